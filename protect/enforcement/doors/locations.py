"""The calls about an image's locations alone: add one, show them, take one out of a store."""

from __future__ import annotations

from protect import json_bodies
from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.writing import require_attribute, require_locations, require_validation
from protect.glance import documents, locations
from protect.upstream.answers import Answer, editable
from protect.values import Image

_READ = frozenset({"url", "validation_data"})


def add(x: Exchange) -> Plan:
    image = x.image()
    # The API reads nothing else: metadata that it does not store are no facts.
    body = {name: value for name, value in x.read_object().items() if name in _READ}
    place = locations.proposed(body, image)
    require_locations(x, "add_image_location", image, [place])
    require_attribute(x, "update", image, "locations")
    require_validation(x, "update", image, [body])
    return Plan(json_bodies.dump(body))


def show(x: Exchange) -> Plan:
    act(x)
    image = x.image()
    require_attribute(x, "read", image, "locations")
    return Plan(edit=lambda answer: _edit(x, answer, image))


def remove_from_store(x: Exchange) -> Plan:
    x.context["store"] = x.match.names["store"]
    plan = act(x)
    require_removal(x, x.image())
    return plan


def require_removal(x: Exchange, image: Image) -> None:
    """Raise Refused where a rule forbids to change the locations, or to delete one of them."""
    for action in ("update", "delete"):
        require_attribute(x, action, image, "locations")


def _edit(x: Exchange, answer: Answer, image: Image) -> Answer:
    rows = documents.read_array(editable(answer))
    kept = [row for row in rows if x.decide("fetch_image_location", locations.stored(row, image)).allowed]
    return answer.with_body(documents.write(kept))
