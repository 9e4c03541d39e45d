"""The proof for oslo.policy's rules: its own Enforcer and the converted policy, asked the same over a cross product.

The product holds every value that the rules of an action tell apart, and one more of each; of roles, every set. Left
out are worlds in which Glance's database shows the subject no image at all, so that its rules are never asked; there
the converted policy must not allow what the Enforcer refuses. Subjects and images have a tenant: to oslo.policy nothing
equals nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from protect.convert.from_rules import Rules
from protect.convert.glance_targets import TOLD, kinds
from protect.convert.wording import questions
from protect.policy.policy import Policy
from protect.policy.questions import Of, Operator, Question
from protect.policy.vocabulary import Fact
from protect.values import AnyResource, Image, Location, Member, Metadef, Query, Store, Subject, Task

#: Questions about one action; beyond, every so manieth is asked.
MOST = 20_000
#: Roles of which all sets are tried.
_MOST_ROLES = 6

_OURS, _THEIRS = "our-project", "their-project"
_VISIBILITIES = ("private", "shared", "community", "public")
_STATUSES = (None, "accepted", "pending", "rejected")
_LOCATION = "file:///a"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One question that the two answer differently."""

    query: Query
    enforcer: bool
    ours: bool


@dataclass(slots=True)
class Proof:
    """``asked``: how many questions; ``complete``: whether the whole of the product was asked."""

    asked: int = 0
    complete: bool = True
    disagreements: list[Disagreement] | None = None


def proof(rules: Rules, policy: Policy, most: int = MOST) -> Proof:
    """Ask both; stop at the first disagreement of each action."""
    enforcer = _enforcer(rules)
    found = Proof(disagreements=[])
    for action in rules.actions:
        if kinds(action) != ("Task",) or action in rules.places:
            for kind in kinds(action) or ("Store",):
                _compare(found, enforcer, rules, policy, action, kind, most)
    return found


def _compare(found: Proof, enforcer: Any, rules: Rules, policy: Policy, action: str, kind: str, most: int) -> None:
    worlds = list(_worlds(rules, action, kind))
    step = max(1, -(-len(worlds) // most))
    found.complete &= step == 1 and len(_roles(_asked(rules, action, kind))) <= _MOST_ROLES
    for query in worlds[::step]:
        found.asked += 1
        target, credentials = _target(query, action), _credentials(query.subject)
        theirs = bool(enforcer.enforce(action, target, credentials))
        ours = policy.decide(query).allowed
        if theirs is ours or (theirs and not _shown(query)):
            continue
        assert found.disagreements is not None
        found.disagreements.append(Disagreement(query, theirs, ours))
        return


def _enforcer(rules: Rules) -> Any:
    policy, configuration = import_module("oslo_policy.policy"), import_module("oslo_config.cfg")
    options = configuration.ConfigOpts()
    options([])
    return policy.Enforcer(options, use_conf=False, rules=policy.Rules.from_dict(rules.texts, "default"))


def _worlds(rules: Rules, action: str, kind: str) -> Iterator[Query]:
    asked = list(_asked(rules, action, kind))
    others = _roles(one for name in rules.helpers for one in questions(rules.helper(name)))
    for subject in _subjects(asked, others):
        for resource in _resources(asked, subject, kind, action):
            yield Query(subject, action, resource)


def _asked(rules: Rules, action: str, kind: str) -> Iterator[Question]:
    """Yield what is asked about an action, by the rules that it refers to as well."""
    for one in questions(rules.condition(action, kind if kinds(action) else "")):
        yield one
        for name, facts in rules.facts_of_helpers():
            if one.fact in facts:
                yield from questions(rules.helper(name))


def _roles(asked: Iterable[Question], fact: str = "roles") -> list[str]:
    return sorted({str(one.operand) for one in asked if one.fact == ("subject", fact)})


def _subjects(asked: Iterable[Question], others: Iterable[str]) -> Iterator[Subject]:
    """Yield subjects with every set of the roles that are asked for, or of very many each; and with one of others."""
    asked = list(asked)
    roles, service = _roles(asked), _roles(asked, "service_roles")
    sizes = range(len(roles) + 1) if len(roles) <= _MOST_ROLES else (0, 1, len(roles) - 1, len(roles))
    sets: list[tuple[str, ...]] = [("unheard-of",), *((role,) for role in others)]
    sets += [held for size in sizes for held in itertools.combinations(roles, size)]
    ids = {"u", *_literals(asked, ("subject", "id"))}
    domains = {"d", *_literals(asked, ("subject", "domain"))}
    tenants = {_OURS, *_literals(asked, ("subject", "tenant"))}
    admin = (False, True) if any(one.fact == ("subject", "admin_project") for one in asked) else (False,)
    for user, domain, tenant, held, own, flag in itertools.product(
        sorted(ids), sorted(domains), sorted(tenants), dict.fromkeys(sets), [(), *((one,) for one in service)], admin
    ):
        yield Subject(user, tenant, domain, frozenset(held), frozenset(own), admin_project=flag)


def _literals(asked: Iterable[Question], fact: Fact) -> set[str]:
    return {one.operand for one in asked if one.fact == fact and isinstance(one.operand, str)}


def _resources(asked: list[Question], subject: Subject, kind: str, action: str) -> Iterator[AnyResource]:
    owners = [subject.tenant, _THEIRS]
    if kind == "Store":
        yield Store()
        return
    if kind == "Task":
        yield from (Task(owner=owner) for owner in owners)
        return
    if kind == "Metadef":
        for owner, visibility in itertools.product(owners, ("private", "public")):
            yield Metadef(owner=owner, visibility=visibility)
        return
    if action == "get_images":
        yield Image(owner=subject.tenant)
        return
    for image in _images(asked, owners, subject):
        if kind == "Image":
            yield image
        elif kind == "Location":
            yield Location(image, _LOCATION, "file")
        elif image.visibility == "shared":
            # An owner sees the rows of others, a member its own.
            own = image.owner != subject.tenant
            if own and subject.tenant not in image.members:
                continue
            yield Member(subject.tenant if own else _THEIRS, image, "pending")


def _images(asked: list[Question], owners: Iterable[str | None], subject: Subject) -> Iterator[Image]:
    fields: dict[str, set[Any]] = {}
    properties: dict[str, set[Any]] = {}
    for one in asked:
        for fact in one.facts():
            if fact[0] != "resource":
                continue
            way = fact[2:] if fact[1] == "image" else fact[1:]
            value = _values(one, subject)
            if len(way) == 3 and way[1] == "get":
                properties.setdefault(way[2], {None}).update(value)
            elif way and way[0] not in ("owner", "visibility", "members", "rule", "tenant"):
                fields.setdefault(way[0], {None}).update(value)
    for flag in {"protected", "hidden"} & fields.keys():
        fields[flag] = {False, True}
    names = [*fields, *properties]
    values = [sorted(options, key=str) for options in (*fields.values(), *properties.values())]
    for owner, visibility, status, *chosen in itertools.product(owners, _VISIBILITIES, _STATUSES, *values):
        given = dict(zip(names, chosen, strict=True))
        known = {name: given[name] for name in fields if given[name] is not None}
        yield Image(
            **{"id": "i", **known},
            owner=owner,
            visibility=visibility,
            members={str(subject.tenant): status} if status else {},
            properties={name: given[name] for name in properties if given[name] is not None},
        )


def _values(one: Question, subject: Subject) -> set[Any]:
    """Return values that answer a question yes, and some that answer it no."""
    if isinstance(one.operand, Of):
        return {"another", subject.id, subject.tenant, subject.domain, *subject.roles}
    if one.operator is Operator.IS_TRUE:
        return {True, False}
    if isinstance(one.operand, str):
        return {one.operand, "another"}
    return {one.operand, 7} if one.operand is not None else set()


def _shown(query: Query) -> bool:
    """Whether Glance's database shows the subject the image at all, so that its rules are asked."""
    resource = query.resource
    image = resource if isinstance(resource, Image) else getattr(resource, "image", None)
    if image is None or image.visibility != "shared" or image.owner == query.subject.tenant:
        return True
    return query.subject.tenant in image.members


def _credentials(subject: Subject) -> dict[str, object]:
    return {
        "user_id": subject.id,
        "project_id": subject.tenant,
        "user_domain_id": subject.domain,
        "roles": sorted(subject.roles),
        "service_roles": sorted(subject.service_roles),
        "is_admin_project": subject.admin_project,
    }


def _target(query: Query, action: str) -> Mapping[str, object]:
    """Return what Glance tells its rules about the resource."""
    resource = query.resource
    if isinstance(resource, Metadef):
        return {"project_id": resource.owner, "owner": resource.owner, "visibility": resource.visibility}
    image = resource if isinstance(resource, Image) else getattr(resource, "image", None)
    if image is None:
        return {}
    if action == "get_images":
        return {"project_id": image.owner, "owner": image.owner}
    told: dict[str, object] = {"project_id": image.owner, "owner": image.owner, "visibility": image.visibility}
    # As in Glance: when a shared image is not its own, the database has let it through as a member.
    member = (
        image.visibility == "shared" and image.owner != query.subject.tenant and query.subject.tenant in image.members
    )
    told |= dict.fromkeys(("member", "member_id"), query.subject.tenant if member else None)
    if action in TOLD:
        return told
    for name in ("id", "name", "status", "disk_format", "container_format", "size", "min_disk", "min_ram", "protected"):
        told[name] = getattr(image, name)
    return {**told, "image_id": image.id, "os_hidden": image.hidden, **image.properties}
