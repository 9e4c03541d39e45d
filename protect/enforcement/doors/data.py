"""An image's data: upload, download and import."""

from __future__ import annotations

from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.errors import MalformedRequest
from protect.glance import json_bodies


def upload(x: Exchange) -> Plan:
    act(x)
    return Plan(capped=True)


def download(x: Exchange) -> Plan:
    pairs = x.parameters()
    plan = act(x)
    if any(name == "prefer" for name, _ in pairs):
        image = x.image()
        x.require("download_from_store", image, about=image)
    return plan


def import_(x: Exchange) -> Plan:
    body = x.read_object()
    method = body.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    if not isinstance(method, dict) or not isinstance(name, str):
        raise MalformedRequest("an import needs `method` with the text `name`")
    x.context["import_method"] = name
    if isinstance(method.get("uri"), str):
        x.context["import_uri"] = method["uri"]
    image = x.image()
    for action in ("copy_image",) if name == "copy-image" else x.match.route.actions:
        x.require(action, image, about=image)
    return Plan(json_bodies.dump(body))
