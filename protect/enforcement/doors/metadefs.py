"""Metadata definitions: namespaces, and the objects, properties, tags and resource types in them, in and out.

Who may not see a namespace sees nothing in it, and changes nothing. What a write makes is decided on by its name,
whether it comes alone, with a namespace, inside an object, or by a new name for something old.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import cast

from protect import json_bodies
from protect.enforcement.doors import pages
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance import definitions, documents, queries
from protect.glance.definitions import ADD, Made
from protect.glance.documents import Document, UnexpectedDocument
from protect.glance.routes import On
from protect.upstream.facts import NOT_TOLD, AnotherNamespace, FetchedMetadef
from protect.upstream.subrequests import Unavailable
from protect.values import AnyResource, Metadef

LOOK = "get_metadef_namespace"

# What a namespace is shown with.
_SHOWN = (
    (On.RESOURCE_TYPE, "list_metadef_resource_types"),
    (On.OBJECT, "get_metadef_objects"),
    (On.PROPERTY, "get_metadef_properties"),
    (On.TAG, "get_metadef_tags"),
)
_ROWS = pages.Rows(documents.read_namespaces, "namespaces", "namespace")

#: Returns the definition of a type and name in one namespace: its facts are those of the namespace.
Definition = Callable[[On, str | None], AnyResource]


# One that the path names


def act(x: Exchange) -> Plan:
    """Decide on the actions of the route alone; everything streams."""
    require_actions(x)
    return Plan()


def require_actions(x: Exchange) -> None:
    """Raise Refused unless the actions of the route are allowed on what its path names."""
    if "namespace" not in x.match.names:
        for action in x.match.route.actions:
            x.require(action, Metadef(type=x.match.route.on.value, owner=x.subject.tenant))
        return
    of = _seen(x, x.match.names["namespace"])
    for action in x.match.route.actions:
        if action != LOOK:
            x.require(action, _named(x, of), about=of(On.NAMESPACE, None))


def show(x: Exchange) -> Plan:
    of = _seen(x, x.match.names["namespace"])
    for on, action in _SHOWN:
        x.require(action, of(on, None), about=of(On.NAMESPACE, None))
    return Plan()


def _named(x: Exchange, of: Definition) -> AnyResource:
    return of(x.match.route.on, x.match.names.get("item"))


def _seen(x: Exchange, namespace: str) -> Definition:
    """Return what stands for the definitions in a namespace; raises Refused (404) unless it may be seen.

    One that does not exist is refused in the same words as one that is hidden.
    """
    of = _definitions(x, namespace)
    about = of(On.NAMESPACE, None)
    decision = x.decide(LOOK, about)
    if not decision.allowed:
        if _absent(x.api.failure):
            x.api.failure = None
        raise x.refused(decision, "", LOOK, about)
    return of


def _definitions(x: Exchange, namespace: str) -> Definition:
    load = cache(partial(x.namespace, namespace))

    def of(on: On, name: str | None) -> AnyResource:
        id_ = namespace if on is On.NAMESPACE else name
        return cast("AnyResource", FetchedMetadef(on.value, id_, namespace, load))

    return of


def _absent(failure: Unavailable | UnexpectedDocument | None) -> bool:
    """Tell whether a namespace is not there for whoever asks: so says the API, of others' private ones as well."""
    if isinstance(failure, Unavailable):
        return failure.answer.code in (403, 404)
    return isinstance(failure, AnotherNamespace)


# Writing


def create(x: Exchange) -> Plan:
    body = x.read_object()
    proposed = definitions.namespace(body, x.subject.tenant)
    made = definitions.counted(definitions.contents(body))
    x.require(ADD[On.NAMESPACE], proposed)
    for each in made:
        _require_added(x, partial(_in, proposed), each)
    return Plan(json_bodies.dump(body))


def _in(namespace: Metadef, on: On, name: str | None) -> Metadef:
    return Metadef(name, on.value, namespace.id, namespace.owner, namespace.visibility, NOT_TOLD)


def update(x: Exchange) -> Plan:
    """PUT of a namespace: decided on as it is and as it will be. The API leaves what is in it alone."""
    body = x.read_object()
    proposed = definitions.namespace(body, x.subject.tenant)
    stored = _seen(x, x.match.names["namespace"])(On.NAMESPACE, None)
    for each in (stored, proposed):
        x.require("modify_metadef_namespace", each, about=stored)
    added = x.quietly(ADD[On.NAMESPACE], proposed)
    if not added.allowed and _differs(cast("Metadef", stored), proposed):
        # What a POST may not make, a PUT makes of nothing else.
        x.require(ADD[On.NAMESPACE], proposed, about=stored)
    return Plan(json_bodies.dump(body))


def _differs(stored: Metadef, proposed: Metadef) -> bool:
    return any(getattr(stored, fact) != getattr(proposed, fact) for fact in ("id", "owner", "visibility"))


def add_definition(x: Exchange) -> Plan:
    body = x.read_object()
    made = definitions.definition(x.match.route.on, body)
    of = _seen(x, x.match.names["namespace"])
    _require_added(x, of, made, about=of(On.NAMESPACE, None))
    return Plan(json_bodies.dump(body))


def update_definition(x: Exchange) -> Plan:
    body = x.read_object()
    made = definitions.definition(x.match.route.on, body)
    of = _seen(x, x.match.names["namespace"])
    about, (modify,) = of(On.NAMESPACE, None), x.match.route.actions
    x.require(modify, _named(x, of), about=about)
    if made.name != x.match.names["item"]:
        for action in (modify, ADD[made.on]):
            x.require(action, of(made.on, made.name), about=about)
    # Which of them are new, only the stored object could tell.
    for action in (ADD[On.PROPERTY], "modify_metadef_property"):
        _require_inside(x, action, of, made, about)
    return Plan(json_bodies.dump(body))


def add_tags(x: Exchange) -> Plan:
    body = x.read_object()
    made = definitions.counted(definitions.tags(body))
    of = _seen(x, x.match.names["namespace"])
    about, (add_all,) = of(On.NAMESPACE, None), x.match.route.actions
    x.require(add_all, of(On.TAG, None), about=about)
    if not definitions.appends(x.environ.get("HTTP_X_OPENSTACK_APPEND")):
        x.require("delete_metadef_tags", about, about=about)
    for each in made:
        x.require(add_all, of(On.TAG, each.name), about=about)
        _require_added(x, of, each, about=about)
    return Plan(json_bodies.dump(body))


def _require_added(x: Exchange, of: Definition, made: Made, *, about: AnyResource | None = None) -> None:
    x.require(ADD[made.on], of(made.on, made.name), about=about)
    _require_inside(x, ADD[On.PROPERTY], of, made, about)


def _require_inside(x: Exchange, action: str, of: Definition, made: Made, about: AnyResource | None) -> None:
    """Raise Refused where a rule forbids a property in an object: whoever may write that needs no `allow` for it."""
    for name in made.inside:
        decision = x.forbidden(action, of(On.PROPERTY, name))
        if not decision.allowed:
            raise x.refused(decision, f"You are not authorized to complete {action} action.", action, about)


# The list


def list_namespaces(x: Exchange) -> Plan:
    pairs = queries.list_parameters(x.parameters())
    require_actions(x)
    if marker := dict(pairs).get("marker"):
        _seen(x, marker)
    return Plan(edit=lambda answer: pages.edit(x, answer, _ROWS, lambda rows: _visible(x, rows)))


def _visible(x: Exchange, rows: list[Document]) -> list[Document]:
    return [row for row in rows if x.decide(LOOK, _stored(row)).allowed]


def _stored(row: Document) -> Metadef:
    name, owner, visibility = (documents.text(row, key) for key in ("namespace", "owner", "visibility"))
    return Metadef(id=name, type=On.NAMESPACE.value, namespace=name, owner=owner, visibility=visibility, attributes=row)
