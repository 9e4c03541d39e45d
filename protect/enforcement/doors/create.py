"""POST of an image: decided on the image that the request proposes."""

from __future__ import annotations

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.redaction import show_image
from protect.enforcement.writing import discarded_on_create, require_visibility
from protect.glance import documents, json_bodies


def create(x: Exchange) -> Plan:
    body = x.read_object()
    image = documents.proposed_image(body, x.subject.tenant)
    x.require("add_image", image)
    require_visibility(x, image, image.visibility)
    if "locations" in body:
        x.require("set_image_location", image)
    discarded = discarded_on_create(x, image, image.properties)
    kept = {name: value for name, value in body.items() if name not in discarded}
    return Plan(json_bodies.dump(kept), edit=lambda answer: show_image(x, answer), discarded=discarded)
