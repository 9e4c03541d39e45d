"""POST of an image: decided on the image that the request proposes."""

from __future__ import annotations

from protect import json_bodies
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.redaction import show_image
from protect.enforcement.writing import creatable


def create(x: Exchange) -> Plan:
    body = x.read_object()
    kept = creatable(x, body)
    discarded = tuple(name for name in body if name not in kept)
    return Plan(json_bodies.dump(kept), edit=lambda answer: show_image(x, answer), discarded=discarded)
