"""Namespaces of metadata definitions: one carries objects, properties, tags and resource types, in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from protect import json_bodies
from protect.enforcement.doors.act import act, metadef
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.errors import MalformedRequest
from protect.glance import documents, queries
from protect.glance.documents import Document
from protect.glance.routes import On
from protect.upstream.answers import Answer, editable
from protect.upstream.subrequests import Unavailable
from protect.values import Metadef

MAX_PAGES = 50  # pages that one list request may cost behind us

# What a namespace is shown with.
_SHOWN = (
    (On.RESOURCE_TYPE, "list_metadef_resource_types"),
    (On.OBJECT, "get_metadef_objects"),
    (On.PROPERTY, "get_metadef_properties"),
    (On.TAG, "get_metadef_tags"),
)
# What a namespace may be created with.
_CREATED = {
    "resource_type_associations": (On.RESOURCE_TYPE, "add_metadef_resource_type_association"),
    "objects": (On.OBJECT, "add_metadef_object"),
    "properties": (On.PROPERTY, "add_metadef_property"),
    "tags": (On.TAG, "add_metadef_tag"),
}


def show(x: Exchange) -> Plan:
    plan, namespace = act(x), metadef(x, On.NAMESPACE)
    for on, action in _SHOWN:
        x.require(action, metadef(x, on), about=namespace)
    return plan


def create(x: Exchange) -> Plan:
    body = x.read_object()
    name, owner = json_bodies.required_text(body, "namespace"), body.get("owner", x.subject.tenant)
    visibility = body.get("visibility", "private")
    if not all(value is None or isinstance(value, str) for value in (owner, visibility)):
        raise MalformedRequest("`owner` and `visibility` of a namespace must be text")
    facts: dict[str, Any] = {"namespace": name, "owner": owner, "visibility": visibility}
    x.require("add_metadef_namespace", Metadef(id=name, type=On.NAMESPACE.value, **facts))
    for key, (on, action) in _CREATED.items():
        for item in _names(body, key):
            x.require(action, Metadef(id=item, type=on.value, **facts))
    return Plan(json_bodies.dump(body))


def _names(body: Mapping[str, object], key: str) -> Iterator[str]:
    """Yield the names of what a namespace is created with; raises MalformedRequest."""
    items = body.get(key)
    if isinstance(items, dict) and key == "properties":
        yield from items
    elif isinstance(items, list) and key != "properties":
        for item in items:
            if not isinstance(item, dict):
                raise MalformedRequest(f"`{key}` must be an array of objects")
            yield json_bodies.required_text(item, "name")
    elif items is not None:
        raise MalformedRequest(f"`{key}` must be {'an object' if key == 'properties' else 'an array'}")


def list_namespaces(x: Exchange) -> Plan:
    act(x)
    return Plan(edit=lambda answer: _edit_list(x, answer))


def _edit_list(x: Exchange, answer: Answer) -> Answer:
    page, rows = documents.read_namespaces(editable(answer))
    kept, following = _visible(x, rows), page.pop("next", None)
    for _ in range(MAX_PAGES):
        if kept or following is None:
            break
        # A page of which nothing may be seen has no namespace to name in a link: look behind it.
        more = x.api.get(x.match.path.inside("metadefs", "namespaces"), urlsplit(str(following)).query)
        if more.code != 200:
            raise Unavailable(more)
        page_after, rows = documents.read_namespaces(editable(more))
        kept, following = _visible(x, rows), page_after.get("next")
    if kept and following is not None:
        page["next"] = queries.with_marker(str(following), kept[-1]["namespace"])
    page["namespaces"] = kept
    return answer.with_body(documents.write(page))


def _visible(x: Exchange, rows: list[Document]) -> list[Document]:
    return [row for row in rows if x.decide("get_metadef_namespace", _stored(row)).allowed]


def _stored(row: Document) -> Metadef:
    name, owner, visibility = (documents.text(row, key) for key in ("namespace", "owner", "visibility"))
    return Metadef(id=name, type=On.NAMESPACE.value, namespace=name, owner=owner, visibility=visibility)
