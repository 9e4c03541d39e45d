"""What the API itself keeps true, so that examples look like requests that can happen.

A difference between two policies is a difference wherever it shows; these conditions only choose the example, and mark
what shows nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from protect.analysis.constraints import Among, Constraint, Except
from protect.analysis.topics import Topic
from protect.glance.attributes import CORE
from protect.policy.questions import Operator, question
from protect.policy.vocabulary import CORE as IS_CORE
from protect.policy.vocabulary import NAME, TYPES, Fact
from protect.values import Image, Member, Property, Query

VISIBILITIES = ("private", "shared", "community", "public")
STATUSES = frozenset(
    ("queued", "saving", "uploading", "importing", "active", "deactivated", "killed", "pending_delete", "deleted")
)
MEMBER_STATUSES = frozenset(("pending", "accepted", "rejected"))


def assumptions(topic: Topic, constraints: Iterable[Constraint]) -> Iterator[Constraint]:
    """Yield what the API keeps true of queries of this topic, where ``constraints`` touch on it."""
    image = _image_of(topic.kind)
    constraints = list(constraints)
    asked = [constraint[0] for constraint in constraints if isinstance(constraint, tuple) and constraint[1]]
    if image is not None:
        yield Among((*image, "visibility"), frozenset(VISIBILITIES))
        if any(one.fact == (*image, "status") for one in asked):
            yield Among((*image, "status"), STATUSES)
        if any(one.operator is Operator.SHARED for one in asked):
            yield question(Operator.EQUALS, (*image, "visibility"), "shared"), True
        for number in ("size", "min_disk", "min_ram"):
            if any((*image, number) in one.facts() for one in asked):
                yield question(Operator.AT_LEAST, (*image, number), 0), True
    if topic.kind == "Member" and any(one.fact == ("resource", "status") for one in asked):
        yield Among(("resource", "status"), MEMBER_STATUSES)
    if topic.kind == "Property" and not topic.attribute:
        yield Except(NAME, CORE)
        yield question(Operator.IS_TRUE, IS_CORE), False
    # Whoever is not authenticated has no facts at all.
    if any(one.fact[0] == "subject" and one.operator is not Operator.IS_TRUE for one in asked):
        yield question(Operator.IS_TRUE, ("subject", "authenticated")), True


def _image_of(kind: str) -> Fact | None:
    if kind == "Image":
        return ("resource",)
    return ("resource", "image") if "image" in TYPES[kind] else None


def oddities(query: Query, topic: Topic) -> list[str]:
    """Return what is unlike anything that the API asks, in words; nothing for a query that can happen."""
    found: list[str] = []
    resource, subject = query.resource, query.subject
    image = resource if isinstance(resource, Image) else getattr(resource, "image", None)
    if isinstance(image, Image):
        if image.visibility not in (None, *VISIBILITIES):
            found.append(f"no image has the visibility `{image.visibility}`")
        if image.status is not None and image.status not in STATUSES:
            found.append(f"no image has the status `{image.status}`")
        if image.members and image.visibility != "shared":
            found.append("only shared images have members")
        for number in (image.size, image.min_disk, image.min_ram):
            if number is not None and (not isinstance(number, int) or number < 0):
                found.append(f"no image has the size `{number}`")
    if isinstance(resource, Property) and not topic.attribute:
        if resource.name in CORE:
            found.append(f"`{resource.name}` is an attribute of the API, not a property")
        elif resource.core:
            found.append(f"`{resource.name}` is no attribute of the API")
    if isinstance(resource, Member) and resource.status is not None and resource.status not in MEMBER_STATUSES:
        found.append(f"no member has the status `{resource.status}`")
    if not subject.authenticated and (subject.roles or subject.service_roles or subject.id or subject.tenant):
        found.append("whoever is not authenticated has neither roles nor a tenant")
    return found


#: A query with one more fact, or one fact less.
_Change = Callable[[Query], Query]


def with_image(query: Query, **fields: Any) -> Query:
    """Return the query with these facts of its image changed, or of the image behind the resource."""
    resource: Any = query.resource
    if isinstance(resource, Image):
        return query._replace(resource=replace(resource, **fields))
    return query._replace(resource=replace(resource, image=replace(resource.image, **fields)))


def dressed(query: Query, keeps: Callable[[Query], bool]) -> Query:
    """Return ``query`` with the facts that every real one has, as far as ``keeps`` still holds."""
    for change in _usual(query):
        changed = change(query)
        if keeps(changed):
            query = changed
    return query


def _usual(query: Query) -> Iterator[_Change]:
    subject = query.subject
    if subject.authenticated:
        if subject.tenant is None:
            yield lambda query: query._replace(subject=replace(query.subject, tenant="tenant-a"))
        if subject.id is None:
            yield lambda query: query._replace(subject=replace(query.subject, id="some-user"))
    image = query.resource if isinstance(query.resource, Image) else getattr(query.resource, "image", None)
    if isinstance(image, Image):
        if image.id is None:
            yield lambda query: with_image(query, id="some-image")
        if image.visibility is None:
            yield from (_with("visibility", visibility) for visibility in VISIBILITIES)
        if image.owner is None:
            yield from (_with("owner", owner) for owner in (subject.tenant or "tenant-a", "tenant-b"))


def _with(field: str, value: str) -> _Change:
    """Return the change that gives the image ``value`` where it has none yet."""

    def change(query: Query) -> Query:
        resource: Any = query.resource
        image = getattr(resource, "image", resource)
        return query if getattr(image, field) is not None else with_image(query, **{field: value})

    return change


def reductions(query: Query) -> Iterator[Query]:
    """Yield the query with one fact less, each in turn: those that say least about a request first."""
    subject = query.subject
    for role in sorted(subject.roles):
        yield query._replace(subject=replace(subject, roles=subject.roles - {role}))
    for role in sorted(subject.service_roles):
        yield query._replace(subject=replace(subject, service_roles=subject.service_roles - {role}))
    for claim in sorted(subject.claims):
        kept = {name: value for name, value in subject.claims.items() if name != claim}
        yield query._replace(subject=replace(subject, claims=kept))
    if subject.admin_project:
        yield query._replace(subject=replace(subject, admin_project=False))
    if not subject.authenticated:
        yield query._replace(subject=replace(subject, authenticated=True))
    for name in sorted(query.context):
        yield query._replace(context={key: value for key, value in query.context.items() if key != name})
    for fewer in _fewer(query.resource):
        yield query._replace(resource=fewer)
    for field in ("id", "domain", "tenant"):
        if getattr(subject, field) is not None:
            without: Any = {field: None}
            yield query._replace(subject=replace(subject, **without))


def simpler(query: Query) -> Iterator[Query]:
    """Yield queries about plainer images, best first: one of the subject's own, and one that everybody sees."""
    resource: Any = query.resource
    image = getattr(resource, "image", resource)
    if isinstance(image, Image) and image.members:
        tenant = query.subject.tenant or "tenant-a"
        own = query._replace(subject=replace(query.subject, tenant=tenant))
        yield with_image(own, owner=tenant, members={}, visibility=None)
        yield with_image(query, visibility="public", members={})


_KEPT = {"Property": ("name", "core"), "Member": ()}


def _fewer(resource: Any) -> Iterator[Any]:
    for name in resource.__slots__:
        value = getattr(resource, name)
        if name in _KEPT.get(resource.kind, ()):
            continue
        if isinstance(value, Image):
            yield from (replace(resource, **{name: fewer}) for fewer in _fewer(value))
        elif isinstance(value, frozenset):
            yield from (replace(resource, **{name: value - {one}}) for one in sorted(value))
        elif isinstance(value, dict):
            for key in sorted(value):
                yield replace(resource, **{name: {one: kept for one, kept in value.items() if one != key}})
        elif value is True:
            yield replace(resource, **{name: False})
        elif value is not None and value is not False:
            yield replace(resource, **{name: None})
