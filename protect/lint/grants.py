"""Exact checks of what a policy grants: each finding comes with a request that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from protect.analysis.constraints import Except
from protect.analysis.outcomes import Outcome
from protect.analysis.topics import Topic, topic_of
from protect.analysis.walking import can, paths
from protect.lint.catalogue import Check, Form
from protect.lint.findings import Finding, Severity, Span
from protect.lint.known import MAGIC
from protect.lint.polar_files import PolarFiles
from protect.policy.graph import Switch, Test, every
from protect.policy.policy import Policy
from protect.policy.questions import Operator, Question, question
from protect.policy.vocabulary import Fact
from protect.values import Query, Rule

_OWN = "    image.owner = subject.tenant;\n"
_SHOW = 'allow(subject: Subject, "get_image", image: Image) if\n' + _OWN
_ADMIN = 'allow(subject: Subject, action, _image: Image) if\n    action in [{}] and\n    subject.has_role("admin");\n'

EVERYTHING = Check(
    "PG111",
    "allows-everything",
    Severity.SECURITY,
    Form.POLAR,
    "a rule allows actions that nobody has thought of",
    "Any subject may do whatever the API will offer some day, to images of other tenants too.",
    "allow(_subject: Subject, _action, _resource);\n",
    'allow(subject: Subject, _action, _resource) if\n    subject.has_role("admin");\n',
    "Name the actions, or ask for a role or the owner.",
    exact=True,
)
CROSS_TENANT = Check(
    "PG112",
    "cross-tenant-write",
    Severity.SECURITY,
    Form.POLAR,
    "members may change images of other tenants",
    "A subject with no more than the usual roles changes, deletes or deactivates what belongs to somebody else.",
    _SHOW
    + '\nallow(subject: Subject, "get_image", _image: Image) if\n    subject.has_role("member");\n'
    + '\nallow(subject: Subject, "delete_image", _image: Image) if\n    subject.has_role("member");\n',
    _SHOW + '\nallow(subject: Subject, "delete_image", image: Image) if\n    subject.has_role("member") and\n' + _OWN,
    "Ask for the owner as well: `image.owner = subject.tenant`.",
    exact=True,
)
DOWNLOAD = Check(
    "PG113",
    "download-wider-than-show",
    Severity.SECURITY,
    Form.POLAR,
    "the data of an image may be downloaded by somebody who may not see the image",
    "Whoever guesses or remembers an id gets the data.",
    _SHOW + '\nallow(subject: Subject, "download_image", image: Image) if\n'
    '    image.owner = subject.tenant or\n    image.visibility = "shared";\n',
    _SHOW + '\nallow(subject: Subject, "download_image", image: Image) if\n' + _OWN,
    "Allow `get_image` where `download_image` is allowed, or narrow the download.",
    exact=True,
)
PUBLISH = Check(
    "PG114",
    "publishing-too-wide",
    Severity.SECURITY,
    Form.POLAR,
    "members may publish images to everybody",
    "A public image stands in every tenant's list: a fake of a well-known one is booted by others. By default only "
    "admins publish, and only owners hand an image to the community.",
    _SHOW + '\nallow(subject: Subject, "publicize_image", image: Image) if\n' + _OWN,
    _SHOW + '\nallow(subject: Subject, "publicize_image", _image: Image) if\n    subject.has_role("admin");\n',
    "Ask for `admin`, or for a role that publishers have.",
    exact=True,
)
SHARE = Check(
    "PG115",
    "sharing-too-wide",
    Severity.SECURITY,
    Form.POLAR,
    "members may share images of other tenants, or answer for them",
    "Whoever adds a member to somebody's image gives it away; whoever answers for a member puts images into its list.",
    _SHOW + '\nallow(subject: Subject, "add_member", _member: Member) if\n    subject.has_role("member");\n',
    _SHOW + '\nallow(subject: Subject, "add_member", member: Member) if\n'
    '    subject.has_role("member") and\n    member.image.owner = subject.tenant;\n',
    "Ask for `member.image.owner = subject.tenant`; for `modify_member` ask for `member.tenant = subject.tenant`.",
    exact=True,
)
LOCATION = Check(
    "PG116",
    "locations-too-wide",
    Severity.SECURITY,
    Form.POLAR,
    "members may see or set where the data of images lie",
    "An address may carry credentials of the store, and who sets one decides what the image's data are.",
    _SHOW
    + '\nallow(subject: Subject, "set_image_location", _location: Location) if\n    subject.has_role("member");\n',
    _SHOW + '\nallow(subject: Subject, "set_image_location", location: Location) if\n'
    '    subject.has_role("member") and\n    location.image.owner = subject.tenant;\n',
    "Ask for the image's owner; leave `fetch_image_location` and `delete_image_location` to services and admins.",
    exact=True,
)
BLIND = Check(
    "PG117",
    "change-without-show",
    Severity.SECURITY,
    Form.POLAR,
    "an image may be changed or deleted by somebody who may not see it",
    "The API answers `not found` before, so the right is none; where it does not, the change is made blindly.",
    _SHOW + '\nallow(subject: Subject, "delete_image", image: Image) if\n'
    '    image.owner = subject.tenant or\n    (subject.has_role("cleaner") and image.visibility = "shared");\n',
    _SHOW + '\nallow(subject: Subject, "delete_image", image: Image) if\n' + _OWN,
    "Allow `get_image` wherever the change is allowed, or narrow the change.",
    exact=True,
)
LOCKED_OUT = Check(
    "PG118",
    "admin-locked-out",
    Severity.ERROR,
    Form.POLAR,
    "an admin may never do what others may",
    "Nobody is left who could put a tenant's mistake right.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant and\n'
    '    not subject.has_role("admin");\n',
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant or\n'
    '    subject.has_role("admin");\n',
    'Add `subject.has_role("admin")` as an alternative.',
    exact=True,
)
FROM_STORE = Check(
    "PG120",
    "download-from-store-drift",
    Severity.WARNING,
    Form.POLAR,
    "data may be downloaded from a named store by somebody who may not download them",
    "`download_from_store` is asked for a download that names its store. Where it is wider, naming one is a way in.",
    _SHOW
    + '\nallow(subject: Subject, "download_image", image: Image) if\n    subject.has_role("puller") and\n'
    + _OWN
    + '\nallow(subject: Subject, "download_from_store", image: Image) if\n'
    + _OWN,
    _SHOW + "\nallow(subject: Subject, action, image: Image) if\n"
    '    action in ["download_image", "download_from_store"] and\n    subject.has_role("puller") and\n' + _OWN,
    "Give both actions the same rule.",
    exact=True,
)
BLIND_PROPERTY = Check(
    "PG121",
    "property-written-unread",
    Severity.SECURITY,
    Form.POLAR,
    "a property may be changed by somebody who may not read it",
    "A hidden value is overwritten or taken away by somebody who cannot know what it says.",
    'allow(subject: Subject, action, property: Property) if\n    action in ["read", "update"] and\n'
    '    property.name = "note" and\n    property.image.owner = subject.tenant;\n\n'
    'forbid(_subject: Subject, "read", property: Property) if\n    property.name = "note" and\n'
    '    property.image.visibility = "shared";\n',
    'allow(subject: Subject, action, property: Property) if\n    action in ["read", "update"] and\n'
    '    property.name = "note" and\n    property.image.owner = subject.tenant;\n\n'
    'forbid(_subject: Subject, action, property: Property) if\n    action in ["read", "update"] and\n'
    '    property.name = "note" and\n    property.image.visibility = "shared";\n',
    "Forbid all of create, read, update and delete where reading is forbidden.",
    exact=True,
)
MAGIC_OPEN = Check(
    "PG122",
    "unprotected-magic-property-in-rules",
    Severity.SECURITY,
    Form.POLAR,
    "members may write properties by which the compute service boots",
    "An image's owner who can change `kernel_id`, `block_device_mapping` or an encryption key's id breaks the boot, or "
    "names what is another tenant's.",
    "allow(subject: Subject, action, property: Property) if\n"
    '    action in ["create", "read", "update", "delete"] and\n    property.image.owner = subject.tenant;\n',
    "allow(subject: Subject, action, property: Property) if\n"
    '    action in ["create", "read", "update", "delete"] and\n    property.image.owner = subject.tenant and\n'
    f'    not property.matches("(?i)^ *({"|".join(MAGIC)}) *$");\n',
    "Leave them to admins and services, as rules/properties.polar does.",
    exact=True,
)

#: The roles that everybody in a project has, and those of an admin. Keystone gives the lesser ones along.
ORDINARY: Final = frozenset({"member", "reader"})
ADMIN: Final = frozenset({"admin", "manager", "member", "reader"})

_CHANGES: Final = ("modify_image", "delete_image", "upload_image", "deactivate", "reactivate")
_OF_LOCATIONS: Final = (
    *("set_image_location", "add_image_location", "get_image_location"),
    *("fetch_image_location", "delete_image_location"),
)
#: To what of a member a stranger has no relation: who adds itself to another tenant's image takes it, and an owner who
#: answers for a member puts the image into its list. Where an action is not named, to nothing.
_TO_STRANGERS: Final = {"add_member": "image", "modify_member": "tenant"}
_ROLES: Final = ("subject", "roles")
#: How many ways through the rules are looked at for one comparison of two actions.
MOST_PATHS: Final = 400


@dataclass(frozen=True, slots=True)
class Grant:
    """One finding, with what tells it from others of the same check: the action and the names."""

    key: tuple[str, str]
    check: Check
    message: str
    help: str
    query: Query | None
    witness: str


def findings(files: PolarFiles, policy: Policy, granted: Iterable[Grant]) -> Iterator[Finding]:
    """Yield a finding for each of those that are ``granted`` by a policy of these files."""
    for grant in granted:
        rule = policy.explain(grant.query).rule if grant.query is not None else None
        span = _span(files, rule)
        yield grant.check.at(
            span,
            grant.message,
            grant.help,
            witness=grant.witness,
            subject=f"{grant.key[1]} {files.subject(span.file, span.line) if span.line else span.file}",
        )


def _span(files: PolarFiles, rule: Rule | None) -> Span:
    if rule is not None and rule.file in files.own:
        for one in files.own_rules():
            if one.span.file == rule.file and one.span.line == rule.line:
                return files.span(one.name_span)
    # Decided by a rule of the files beside, which some word of these files makes wider.
    return Span(sorted(files.own)[0])


def grants(policy: Policy) -> Iterator[Grant]:
    """Yield what a policy grants too widely."""
    if policy.table.leaves_actions:
        return
    look = _Look(policy)
    open_to_all = look.ordinary("Image", "\ue000any", stranger=True)
    if open_to_all is not None:
        who = "any member" if open_to_all.subject.roles else "any subject"
        message = f"{who} may do any action, whoever owns the image"
        yield _grant(EVERYTHING, "", message, "name the actions", open_to_all)
        return
    yield from _too_wide(look)
    for check, wide, narrow in (
        (DOWNLOAD, "download_image", "get_image"),
        (BLIND, "modify_image", "get_image"),
        (BLIND, "delete_image", "get_image"),
        (BLIND, "upload_image", "get_image"),
        (FROM_STORE, "download_from_store", "download_image"),
    ):
        query = look.wider("Image", wide, narrow)
        if query is not None:
            message = f"who may `{wide}` may not always `{narrow}`"
            witness = f"{described(query)} may `{wide}`, and not `{narrow}`"
            yield Grant(
                (check.code, wide), check, message, f"allow `{narrow}` there, or narrow `{wide}`", query, witness
            )
    yield from _lockouts(look)
    yield from _properties(look)


def _too_wide(look: _Look) -> Iterator[Grant]:
    for action in _CHANGES:
        query = look.ordinary("Image", action, stranger=True)
        if query is not None:
            help = "ask for the owner: `image.owner = subject.tenant`"
            yield _grant(CROSS_TENANT, action, f"members may `{action}` of other tenants", help, query)
    for action, stranger in (("publicize_image", False), ("communitize_image", True)):
        query = look.ordinary("Image", action, stranger=stranger)
        if query is not None:
            yield _grant(PUBLISH, action, f"members may `{action}`", "ask for a role that publishers have", query)
    for action in ("add_member", "delete_member", "modify_member"):
        query = look.ordinary("Member", action, stranger=_TO_STRANGERS.get(action, True))
        if query is not None:
            whose = "for other tenants" if action == "modify_member" else "of images of other tenants"
            help = "ask for `member.image.owner = subject.tenant`"
            if action == "modify_member":
                help = "ask for `member.tenant = subject.tenant`"
            yield _grant(SHARE, action, f"members may `{action}` {whose}", help, query)
    for action in _OF_LOCATIONS:
        for kind in ("Location", "Image"):
            query = look.ordinary(
                kind, action, stranger=action not in ("fetch_image_location", "delete_image_location")
            )
            if query is not None:
                yield _grant(
                    LOCATION, action, f"members may `{action}`", "ask for the image's owner, or a service", query
                )
                break


def _lockouts(look: _Look) -> Iterator[Grant]:
    for action in ("get_image", "modify_image", "delete_image"):
        topic = topic_of(look.policy, "Image", action)
        if look.never(topic, ADMIN) and (query := look.can(topic, None)) is not None:
            message = f"an admin may never `{action}`, though others may"
            witness = f"no subject with the role admin may `{action}`; {described(query)} may"
            yield Grant((LOCKED_OUT.code, action), LOCKED_OUT, message, "let admins do it as well", query, witness)


def _properties(look: _Look) -> Iterator[Grant]:
    names = sorted(look.policy.mentioned()) or ["some_name"]
    met: set[int] = set()
    for name in names[:MOST_PATHS]:
        topic = topic_of(look.policy, "Property", "update", name)
        graphs = topic.graphs(look.policy)
        identity = hash(tuple(map(id, graphs.roots())))
        if identity in met:
            continue
        met.add(identity)
        query = look.wider("Property", "update", "read", name)
        if query is not None:
            help = "forbid all four operations together"
            message = f"who may change the property `{_name(query)}` may not always read it"
            witness = f"{described(query)} may `update`, and not `read`"
            yield Grant((BLIND_PROPERTY.code, name), BLIND_PROPERTY, message, help, query, witness)
    opened: list[str] = []
    shown: Query | None = None
    for name in MAGIC:
        for action in ("update", "create", "delete"):
            query = look.ordinary("Property", action, name=name)
            if query is not None:
                opened.append(name)
                shown = shown or query
                break
    if shown is not None:
        more = f" and {len(opened) - 1} more" if len(opened) > 1 else ""
        message = f"members may write `{opened[0]}`{more}"
        yield _grant(MAGIC_OPEN, "magic", message, "leave them to admins and services: " + ", ".join(opened), shown)


def _name(query: Query) -> str:
    return str(getattr(query.resource, "name", ""))


def _grant(check: Check, key: str, message: str, help: str, query: Query) -> Grant:
    return Grant((check.code, key), check, message, help, query, f"{described(query)} may `{_action(query)}`")


def _action(query: Query) -> str:
    return query.action if query.action.isprintable() and "\ue000" not in query.action else "anything"


class _Look:
    """Asks the policy's graphs about kinds of subjects."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def _roles_asked(self, *topics: Topic) -> set[str]:
        """Return the roles that the graphs of these topics ask for."""
        nodes = every(*(root for topic in topics for root in topic.graphs(self.policy).roots()))
        asked = (node.question for node in nodes if isinstance(node, Test))
        return {str(one.operand) for one in asked if one.fact == _ROLES and isinstance(one.operand, str)}

    def given(self, topic: Topic, roles: Iterable[str] | None, *, stranger: bool | str) -> tuple[Any, ...]:
        """Return what is known of a subject with these roles and nothing else that a policy asks about.

        ``roles`` None: nothing but that it is no admin. A ``stranger`` owns and shares nothing of what is asked about;
        with a word, that holds for this part of it alone.
        """
        found: dict[Any, None] = {}
        texts: dict[Fact, set[str]] = {}
        for node in every(*topic.graphs(self.policy).roots()):
            if isinstance(node, Switch):
                if node.fact[0] == "subject" and roles is not None:
                    texts.setdefault(node.fact, set()).update(node.branches)
            elif isinstance(node, Test):
                answer = _answer(node.question, roles, stranger=stranger)
                if answer is not None:
                    found[node.question, answer] = None
        excepted = [Except(fact, frozenset(values)) for fact, values in texts.items()]
        return (*found, *excepted)

    def can(self, topic: Topic, roles: Iterable[str] | None, *, stranger: bool | str = False) -> Query | None:
        """Return a query that is allowed to such a subject; None where there is none, or that cannot be said."""
        answer = can(self.policy, topic, self.given(topic, roles, stranger=stranger))
        return answer if isinstance(answer, Query) else None

    def never(self, topic: Topic, roles: frozenset[str]) -> bool:
        """Whether it is proven that nobody who has these roles may, whatever else is true."""
        has = [(question(Operator.HAS_FOLDED, ("subject", "roles"), role), True) for role in sorted(roles)]
        return can(self.policy, topic, has) is None

    def ordinary(self, kind: str, action: str, *, stranger: bool | str = False, name: str = "") -> Query | None:
        """Return a query by a subject with the usual roles, or with none, that is allowed."""
        topic = topic_of(self.policy, kind, action, name) if name else topic_of(self.policy, kind, action)
        for roles in (frozenset[str](), ORDINARY):
            query = self.can(topic, roles, stranger=stranger)
            if query is not None:
                return query
        return None

    def wider(self, kind: str, wide: str, narrow: str, name: str = "") -> Query | None:
        """Return a query for which ``wide`` is allowed and ``narrow`` is not, by somebody of some usual kind."""
        ask, against = (
            topic_of(self.policy, kind, action, name) if name else topic_of(self.policy, kind, action)
            for action in (wide, narrow)
        )
        if ask.graphs(self.policy).roots() == against.graphs(self.policy).roots():
            return None
        # To both, a subject with a role that neither asks for is one without it.
        further = self._roles_asked(ask, against) - ORDINARY - {"admin"}
        for roles in (ORDINARY, *(ORDINARY | {role} for role in sorted(further)), ADMIN):
            profile = _closed(self.given(ask, roles, stranger=False), self.given(against, roles, stranger=False))
            for path in islice(paths(self.policy, ask, profile), MOST_PATHS):
                if path.outcome is not Outcome.ALLOWED:
                    continue
                query = can(self.policy, against, (*path.constraints, *profile), Outcome.DENIED)
                if isinstance(query, Query) and self.policy.decide(query._replace(action=wide)).allowed:
                    return query._replace(action=wide)
        return None


def _answer(asked: Question, roles: Iterable[str] | None, *, stranger: bool | str) -> bool | None:
    """Return what is known of such a subject; None where the question is open."""
    if asked.fact == _ROLES and isinstance(asked.operand, str):
        if roles is None:
            return False if asked.operand == "admin" else None
        return asked.operand in roles
    if roles is None or asked.fact == ("subject", "authenticated"):
        return None
    about_subject = [fact[0] == "subject" for fact in asked.facts()]
    apart = stranger is True or any(stranger == fact[1] for fact in asked.facts() if fact[0] == "resource")
    return False if all(about_subject) or (apart and any(about_subject)) else None


def _closed(*profiles: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(one for profile in profiles for one in profile))


def described(query: Query) -> str:
    """Say who asks about what, as far as it matters."""
    subject, resource = query.subject, query.resource
    who = [f"roles {', '.join(sorted(subject.roles))}" if subject.roles else "no role"]
    if subject.service_roles:
        who.append(f"service roles {', '.join(sorted(subject.service_roles))}")
    who += [f'{name} "{value}"' for name in ("tenant", "id", "domain") if (value := getattr(subject, name)) is not None]
    what = []
    image = getattr(resource, "image", resource)
    name = getattr(resource, "name", None)
    if image is not resource and isinstance(name, str):
        what.append(f'name "{name}"')
    if getattr(resource, "tenant", None):
        what.append(f'tenant "{resource.tenant}"')  # type: ignore[union-attr]
    what += [f'{key} "{value}"' for key in ("owner", "visibility", "status") if (value := getattr(image, key, None))]
    kind = resource.kind.lower()
    about = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" + (f" with {', '.join(what)}" if what else "")
    return f"a subject with {', '.join(who)}, on {about},"
