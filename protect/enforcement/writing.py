"""Decisions on what a request writes into an image: each property, and the visibility."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from protect.enforcement.exchange import Exchange
from protect.glance.json_bodies import printable
from protect.values import Image, Property


def require_visibility(x: Exchange, image: Image, wanted: object, *, about: Image | None = None) -> None:
    """Raise Refused where showing an image to others needs an action that is not allowed."""
    action = {"public": "publicize_image", "community": "communitize_image"}.get(cast("str", wanted))
    if action is not None:
        x.require(action, image, about=about)


def discarded_on_create(x: Exchange, image: Image, properties: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names that a rule says to drop; raises Refused for the first one that is denied."""
    return tuple(name for name, value in properties.items() if not written(x, "create", Property(name, image, value)))


def written(x: Exchange, action: str, prop: Property, *, about: Image | None = None) -> bool:
    """Tell whether a property is written (True) or silently dropped (False); raises Refused if denied."""
    decision = x.decide(action, prop)
    if decision.allowed:
        return True
    if decision.discard and not decision.error:
        return False
    raise x.refused(decision, reserved(prop.name), action, about)


def reserved(name: str) -> str:
    return f"Attribute '{printable(name)}' is reserved."
