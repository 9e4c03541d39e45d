"""The subjects and resources of a test file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protect.analysis.realism import MEMBER_STATUSES, STATUSES, VISIBILITIES
from protect.glance.attributes import CORE
from protect.testing.documents import Node, named
from protect.testing.suites import Named
from protect.values import Image, Location, Member, Metadef, Property, Resource, Store, Subject, Task

_Read = Callable[[Node, str], Any]
_Images = Mapping[str, Named]


def _texts(node: Node, what: str) -> frozenset[str]:
    return frozenset(text for text, _ in node.texts(what))


def _values(node: Node, what: str) -> dict[str, object]:
    return {key: value.value(f"`{key}`") for key, _, value in node.pairs(what)}


def _properties(node: Node, what: str) -> dict[str, object]:
    for key, place, _ in node.pairs(what):
        if key in CORE:
            place.mistake(f"`{key}` is an attribute of the API, no property", "write it beside `properties`")
    return _values(node, what)


def _members(node: Node, what: str) -> dict[str, str]:
    found = {key: named(value, MEMBER_STATUSES, "status of a member") for key, _, value in node.pairs(what)}
    return {tenant: status for tenant, status in found.items() if status is not None}


def _one_of(known: Any, what: str) -> _Read:
    return lambda node, _: None if node.is_null() else named(node, known, what)


_text: _Read = Node.optional_text
_truth: _Read = Node.truth
_number: _Read = Node.number

_SUBJECT: Mapping[str, _Read] = {
    "id": _text,
    "tenant": _text,
    "domain": _text,
    "roles": _texts,
    "service_roles": _texts,
    "authenticated": _truth,
    "admin_project": _truth,
    "claims": _values,
}
_IMAGE: Mapping[str, _Read] = {
    "id": _text,
    "owner": _text,
    "visibility": _one_of(VISIBILITIES, "visibility"),
    "status": _one_of(STATUSES, "status"),
    "name": _text,
    "disk_format": _text,
    "container_format": _text,
    "protected": _truth,
    "hidden": _truth,
    "size": _number,
    "min_disk": _number,
    "min_ram": _number,
    "tags": _texts,
    "members": _members,
    "properties": _properties,
}
_OTHERS: Mapping[str, tuple[type[Any], Mapping[str, _Read]]] = {
    "Property": (Property, {"name": _text, "value": Node.value}),
    "Member": (Member, {"tenant": _text, "status": _one_of(MEMBER_STATUSES, "status of a member")}),
    "Location": (Location, {"url": _text, "scheme": _text, "attributes": _values}),
    "Task": (Task, {"id": _text, "type": _text, "owner": _text, "status": _text, "attributes": _values}),
    "Store": (Store, {"id": _text, "attributes": _values}),
    "Metadef": (
        Metadef,
        {"id": _text, "type": _text, "namespace": _text, "owner": _text, "visibility": _text, "attributes": _values},
    ),
    "Resource": (Resource, {"type": _text, "id": _text, "attributes": _values}),
}
_OF_IMAGES = ("Property", "Member", "Location")


def read_subjects(node: Node) -> dict[str, Named]:
    """Return the subjects by name. A subject's id is its name where the file says no other."""
    found: dict[str, Named] = {}
    for name, place, value in node.pairs("`subjects`"):
        fields = _fields(value, f"the subject `{name}`", _SUBJECT)
        found[name] = Named(name, Subject(**{"id": name, **fields}), place.line)
    return found


def read_resources(node: Node, kind: str, found: dict[str, Named], *, attribute: bool) -> None:
    """Add the resources of one section to ``found``. Images come before what belongs to them."""
    for name, place, value in node.pairs(f"the section of {kind} entries"):
        if name in found:
            place.mistake(f"there is a `{name}` already, in line {found[name].line}", "call it something else")
            continue
        made = _image(name, value) if kind == "Image" else _other(name, value, kind, found, attribute)
        if made is not None:
            found[name] = Named(name, made, place.line, attribute)


def _image(name: str, node: Node) -> Image:
    return Image(**{"id": name, **_fields(node, f"the image `{name}`", _IMAGE)})


def _other(name: str, node: Node, kind: str, images: _Images, attribute: bool) -> Any:
    made, known = _OTHERS[kind]
    what = f"`{name}`"
    belongs = kind in _OF_IMAGES
    found = node.fields(what, (*known, *(["image"] if belongs else [])), ["image"] if belongs else [])
    fields = {key: read(found[key], f"`{key}`") for key, read in known.items() if key in found}
    if belongs:
        owner = _image_of(found, name, images)
        if owner is None:
            return None
        fields["image"] = owner
    if kind == "Property":
        fields.setdefault("name", name)
        _checked(node, str(fields["name"]), attribute)
        if "value" not in found:
            fields["value"] = fields["image"].properties.get(fields["name"])
        fields["core"] = attribute
    if kind == "Member":
        fields.setdefault("tenant", None)
    return made(**fields)


def _checked(node: Node, name: str, attribute: bool) -> None:
    if attribute and name not in CORE:
        node.mistake(f"`{name}` is no attribute of the API", "put it under `properties:`")
    if not attribute and name in CORE:
        node.mistake(f"`{name}` is an attribute of the API, no property", "put it under `attributes:`")


def _image_of(found: Mapping[str, Node], name: str, images: _Images) -> Image | None:
    if "image" not in found:
        return None
    node = found["image"]
    if node.is_map():
        return _image(f"{name}'s image", node)
    known = {key: one for key, one in images.items() if isinstance(one.value, Image)}
    image = named(node, known, "image")
    if image is None:
        return None
    value = known[image].value
    assert isinstance(value, Image)
    return value


def _fields(node: Node, what: str, known: Mapping[str, _Read]) -> dict[str, Any]:
    found = node.fields(what, known)
    return {key: read(found[key], f"`{key}`") for key, read in known.items() if key in found}
