"""Decisions on what a request writes into an image: each property and attribute, and the locations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import cast

from protect.enforcement.exchange import Exchange
from protect.glance import documents, locations
from protect.glance.attributes import CORE
from protect.glance.json_bodies import printable
from protect.values import Decision, Image, Location, Property

_NONE: frozenset[str] = frozenset()


def require_visibility(x: Exchange, image: Image, wanted: object, *, about: Image | None = None) -> None:
    """Raise Refused where showing an image to others needs an action that is not allowed."""
    action = {"public": "publicize_image", "community": "communitize_image"}.get(cast("str", wanted))
    if action is not None:
        x.require(action, image, about=about)


def creatable(x: Exchange, body: Mapping[str, object]) -> dict[str, object]:
    """Return what is left of the image that a request wants to create, after what a rule says to drop.

    Raises Refused for the first thing that is denied. What is dropped can change other decisions (a foreign owner,
    a visibility), so each is made on an image that has nothing more to lose.
    """
    left = dict(body)
    while dropped := _dropped_on_create(x, left):
        for name in dropped:
            del left[name]
    return left


def _dropped_on_create(x: Exchange, body: Mapping[str, object]) -> tuple[str, ...]:
    image = documents.proposed_image(body, x.subject.tenant)
    core = [name for name in body if name in CORE]
    dropped = tuple(name for name in core if not attribute_written(x, "create", image, name, body[name]))
    if dropped:
        return dropped
    x.require("add_image", image)
    require_visibility(x, image, image.visibility)
    if "locations" in body:
        new = [locations.proposed(each, image) for each in cast("list[object]", body["locations"])]
        require_locations(x, "set_image_location", image, new)
    return discarded_on_create(x, image, image.properties)


def attribute_written(
    x: Exchange, action: str, image: Image, name: str, value: object = None, *, before: AbstractSet[str] = _NONE
) -> bool:
    """Tell whether an attribute of the API is written (True) or silently dropped (False); raises Refused.

    Whoever may change the image may set it, unless a rule forbids it. `tags` are asked about one by one: each that
    is new to those ``before`` or missing from them, as the value; and once without a value where none is.
    """
    decisions = [x.forbidden(action, Property(name, image, each, core=True)) for each in _values(name, value, before)]
    refused = [each for each in decisions if not each.allowed]
    for each in refused:
        if each.error or not each.discard:
            raise _refused(x, each, name, action, image)
    return not refused


def require_attribute(x: Exchange, action: str, image: Image, name: str) -> None:
    """Raise Refused where a rule forbids to touch an attribute, also where it says to drop it: here is nothing else."""
    decision = x.forbidden(action, Property(name, image, core=True))
    if not decision.allowed:
        raise _refused(x, decision, name, action, image)


def require_locations(x: Exchange, action: str, image: Image, places: Iterable[Location]) -> None:
    """Raise Refused unless ``action`` is allowed on each location; what is forbidden on the image is so on all."""
    decision = x.forbidden(action, image)
    if not decision.allowed:
        raise x.refused(decision, f"You are not authorized to complete {action} action.", action, image)
    for place in places:
        x.require(action, place, about=image)


def _values(name: str, value: object, before: AbstractSet[str]) -> Iterable[object]:
    if name == "tags":
        return sorted(set(cast("list[str]", value)) ^ before) or (None,)
    return (value,)


def _refused(x: Exchange, decision: Decision, name: str, action: str, image: Image) -> Exception:
    # An image that is yet to be created has no existence to keep secret.
    return x.refused(decision, reserved(name), action, None if action == "create" else image)


def discarded_on_create(x: Exchange, image: Image, properties: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names that a rule says to drop; raises Refused for the first one that is denied."""
    return tuple(name for name, value in properties.items() if not written(x, "create", Property(name, image, value)))


def written(x: Exchange, action: str, prop: Property, *, about: Image | None = None) -> bool:
    """Tell whether a property is written (True) or silently dropped (False); raises Refused if denied."""
    return carried_out(x, x.decide(action, prop), action, prop, about=about)


def carried_out(x: Exchange, decision: Decision, action: str, prop: Property, *, about: Image | None = None) -> bool:
    """Tell what a decision means for a property: written (True) or silently dropped (False); raises Refused."""
    if decision.allowed:
        return True
    if decision.discard and not decision.error:
        return False
    raise x.refused(decision, reserved(prop.name), action, about)


def reserved(name: str) -> str:
    return f"Attribute '{printable(name)}' is reserved."
