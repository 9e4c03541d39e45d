"""Metadata definitions on the wire: what a request that writes one is going to make, by type and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, cast

from protect.errors import MalformedRequest
from protect.glance.documents import check_count
from protect.glance.routes import On
from protect.json_bodies import kind, required_text
from protect.values import Metadef

#: For each type of definition the action that adds one.
ADD: Mapping[On, str] = {
    On.NAMESPACE: "add_metadef_namespace",
    On.RESOURCE_TYPE: "add_metadef_resource_type_association",
    On.OBJECT: "add_metadef_object",
    On.PROPERTY: "add_metadef_property",
    On.TAG: "add_metadef_tag",
}
# What a namespace may be created with. Properties come as an object, by their names.
_CONTENTS = {"resource_type_associations": On.RESOURCE_TYPE, "objects": On.OBJECT, "tags": On.TAG}

# The API reads the header as its own options: anything else is a no.
_YES = frozenset({"1", "t", "true", "on", "y", "yes"})


class Made(NamedTuple):
    """A definition that a request makes or renames. ``inside`` are the names of the properties in an object."""

    on: On
    name: str
    inside: tuple[str, ...] = ()


def namespace(body: Mapping[str, object], tenant: str | None) -> Metadef:
    """Return the namespace that a body describes; raises MalformedRequest.

    What the body leaves out has the value that the API will give it, also where there was another one before.
    """
    name = required_text(body, "namespace")
    owner, visibility = body.get("owner", tenant), body.get("visibility", "private")
    if not all(value is None or isinstance(value, str) for value in (owner, visibility)):
        raise MalformedRequest("`owner` and `visibility` of a namespace must be text")
    text = cast("str | None", owner), cast("str | None", visibility)
    return Metadef(
        name, On.NAMESPACE.value, name, text[0] or tenant, text[1] or "private", {"protected": False, **body}
    )


def definition(on: On, body: Mapping[str, object]) -> Made:
    """Return the definition of one type that a body describes; raises MalformedRequest."""
    inside = _property_names(body) if on is On.OBJECT else ()
    return Made(on, required_text(body, "name"), inside)


def contents(body: Mapping[str, object]) -> Iterator[Made]:
    """Yield what a namespace is created with; raises MalformedRequest."""
    for key, on in _CONTENTS.items():
        if body.get(key) is not None:
            yield from _listed(on, key, body[key])
    for name in _property_names(body):
        yield Made(On.PROPERTY, name)


def tags(body: Mapping[str, object]) -> Iterator[Made]:
    """Yield the tags that a body lists; raises MalformedRequest, also where it lists none."""
    return _listed(On.TAG, "tags", body.get("tags"))


def counted(made: Iterable[Made]) -> list[Made]:
    """Return them all; raises MalformedRequest (413) for more than one request may write: each is decided on."""
    found = list(made)
    check_count(sum(1 + len(one.inside) for one in found), "definitions")
    return found


def appends(header: object) -> bool:
    """Tell whether new tags join those of a namespace; if not, the API deletes those first."""
    return str(header or "").strip().lower() in _YES


def _listed(on: On, key: str, items: object) -> Iterator[Made]:
    if not isinstance(items, list):
        raise MalformedRequest(f"`{key}` must be an array, not {kind(items)}")
    for item in items:
        if not isinstance(item, dict):
            raise MalformedRequest(f"`{key}` must be an array of objects")
        yield definition(on, item)


def _property_names(body: Mapping[str, object]) -> tuple[str, ...]:
    found = body.get("properties")
    if found is not None and not isinstance(found, dict):
        raise MalformedRequest(f"`properties` must be an object, not {kind(found)}")
    return tuple(found or ())
