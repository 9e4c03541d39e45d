"""Decisions on what a request writes into an image: each property and attribute, and the locations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import cast

from protect.enforcement.exchange import Exchange
from protect.glance import documents, locations
from protect.glance.attributes import CORE
from protect.json_bodies import printable
from protect.values import Decision, Image, Location, Property, Query

_NONE: frozenset[str] = frozenset()

Step = tuple[str | None, Callable[[], bool]]


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
            del left[cast("str", name)]
    return left


def _dropped_on_create(x: Exchange, body: Mapping[str, object]) -> tuple[str | None, ...]:
    for steps in steps_on_create(x, body):
        dropped = tuple(name for name, decide in steps if not decide())
        if dropped:
            return dropped
    return ()


def steps_on_create(x: Exchange, body: Mapping[str, object]) -> Iterator[list[Step]]:
    """Yield what is decided on before an image is created: first its attributes of the API, then all the rest.

    Each step is the name that it is about (None: the image as a whole), and the decision itself: True is written,
    False is dropped, and it raises Refused or MalformedRequest. Raises MalformedRequest for a body that no API takes.
    """
    image = documents.proposed_image(body, x.subject.tenant)
    yield [(n, partial(attribute_written, x, "create", image, n, body[n])) for n in body if n in CORE]
    steps: list[Step] = [
        (None, partial(_required, x, image)),
        ("visibility", partial(_visibility_required, x, image)),
    ]
    if "locations" in body:
        steps.append(("locations", partial(_locations_required, x, image, cast("list[object]", body["locations"]))))
    properties = [Property(name, image, value) for name, value in image.properties.items()]
    yield steps + [(prop.name, partial(written, x, "create", prop)) for prop in properties]


def _required(x: Exchange, image: Image) -> bool:
    message = None
    if image.owner != x.subject.tenant:
        # The words of the API, which clients and people know.
        message = f"You are not permitted to create images owned by '{printable(str(image.owner))}'."
    x.require("add_image", image, message=message)
    return True


def _visibility_required(x: Exchange, image: Image) -> bool:
    require_visibility(x, image, image.visibility)
    return True


def _locations_required(x: Exchange, image: Image, places: list[object]) -> bool:
    require_locations(x, "set_image_location", image, [locations.proposed(each, image) for each in places])
    require_validation(x, "create", image, places)
    return True


def attribute_written(
    x: Exchange, action: str, image: Image, name: str, value: object = None, *, before: AbstractSet[str] = _NONE
) -> bool:
    """Tell whether an attribute of the API is written (True) or silently dropped (False); raises Refused.

    Whoever may change the image may set it, unless a rule forbids it. `tags` are asked about one by one: each that
    is new to those ``before`` or missing from them, as the value; and once without a value where none is.
    """
    x.api.failure = None
    asked = [Property(name, image, each, core=True) for each in _values(name, value, before)]
    decisions = [x.point.forbidden(Query(x.subject, action, each, x.context)) for each in asked]
    # The log says it once: it would be the same line for each tag.
    decision, attribute = max(zip(decisions, asked, strict=True), key=lambda each: _weight(each[0]))
    x.log_decision(decision, action, attribute)
    if decision.allowed or (decision.discard and not decision.error):
        return decision.allowed
    raise _refused(x, decision, name, action, image)


def _weight(decision: Decision) -> int:
    """Order decisions: a refusal outweighs what is dropped, and that what is allowed."""
    return 0 if decision.allowed else 1 if decision.discard and not decision.error else 2


def require_attribute(x: Exchange, action: str, image: Image, name: str, value: object = None) -> None:
    """Raise Refused where a rule forbids to touch an attribute, also where it says to drop it: here is nothing else."""
    decision = x.forbidden(action, Property(name, image, value, core=True))
    if not decision.allowed:
        raise _refused(x, decision, name, action, image)


def require_validation(x: Exchange, action: str, image: Image, places: Iterable[object]) -> None:
    """Raise Refused where a rule forbids to write an attribute that a proposed location brings along.

    Nothing is dropped: the API takes them together or not at all.
    """
    for place in places:
        for name, value in locations.validation(place).items():
            require_attribute(x, action, image, name, value)


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
