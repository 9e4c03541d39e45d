"""GET of one image: decided on the document that the API answers with."""

from __future__ import annotations

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.redaction import show_image


def show(x: Exchange) -> Plan:
    return Plan(edit=lambda answer: show_image(x, answer, "get_image"))
