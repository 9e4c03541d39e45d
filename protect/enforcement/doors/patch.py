"""PATCH of an image: every operation is decided on, and only what is left of them is sent on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from webob import exc

from protect.enforcement import redaction
from protect.enforcement.doors.locations import require_removal
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.refusals import Refused
from protect.enforcement.writing import (
    attribute_written,
    carried_out,
    require_locations,
    require_visibility,
    reserved,
    written,
)
from protect.glance import documents, locations, patches
from protect.glance.documents import as_image
from protect.glance.patches import Change, Op
from protect.json_bodies import printable
from protect.upstream.answers import Answer
from protect.upstream.facts import FetchedImage
from protect.values import Decision, Image, Location, Property


def patch(x: Exchange) -> Plan:
    media = patches.media_type(str(x.environ.get("CONTENT_TYPE") or ""))
    changes = patches.read(x.read_body(), media)
    fetched = x.fetched()
    image = as_image(fetched)
    x.require("modify_image", image, about=image)
    walk = Walk(x, fetched, media)
    kept = tuple(change for change in changes if walk.permits(change))
    discarded = tuple(dict.fromkeys(change.name for change in changes if change not in kept))
    if not kept:
        return Plan(answer=_unchanged(x, fetched), discarded=discarded)
    body = patches.write(kept, media)
    return Plan(body, media, edit=lambda answer: redaction.show_image(x, answer), discarded=discarded)


class Walk:
    """The operations of a patch one after the other, on the image as it will be when each is reached.

    What one adds, the next one finds; one that is refused or dropped leaves the image as it was.
    """

    def __init__(self, x: Exchange, fetched: FetchedImage, media: str) -> None:
        self._x = x
        self._fetched = fetched
        self._image = as_image(fetched)
        self._media = media
        self._names: dict[str, object] | None = None
        self._places: list[object] | None = None

    def permits(self, change: Change) -> bool:
        """Tell whether an operation is done (True) or dropped (False); raises Refused where it may not be done."""
        x, image = self._x, self._image
        if change.name == "locations":
            if self._places is None:
                self._places = locations.list_of(self._fetched.stored().document)
            return _locations_written(x, image, change, self._places)
        if not change.custom:
            return _attribute_written(x, image, change)
        if self._names is None:
            self._names = dict(image.properties)
        done = _change_written(x, image, change, self._names, self._media)
        if done:
            _apply(change, self._names)
        return done


def _attribute_written(x: Exchange, image: Image, change: Change) -> bool:
    before = image.tags if change.name == "tags" else frozenset[str]()
    if not attribute_written(x, "update", image, change.name, change.value, before=before):
        return False
    if change.name == "visibility":
        require_visibility(x, image, change.value, about=image)
    return True


def _locations_written(x: Exchange, image: Image, change: Change, places: list[object]) -> bool:
    """Tell whether an operation on the locations is done (True) or dropped; ``places`` are changed as it does."""
    if change.op is Op.REMOVE:
        require_removal(x, image)
        at = locations.index(change.position, len(places))
        # Where the API does not show the stored addresses, the rules are asked about one without an address.
        gone = [locations.stored(place, image) for place in places[at : at + 1]] or [Location(image)]
        require_locations(x, "delete_image_location", image, gone)
        del places[at : at + 1]
        return True
    new = change.value if change.op is Op.REPLACE else [change.value]
    proposed = [locations.proposed(each, image) for each in cast("list[object]", new)]
    if not attribute_written(x, "update", image, "locations"):
        return False
    require_locations(x, "set_image_location", image, proposed)
    if change.op is Op.REPLACE:
        addresses = {place.url for place in proposed}
        gone = [old for place in places if (old := locations.stored(place, image)).url not in addresses]
        if gone:
            require_removal(x, image)
            require_locations(x, "delete_image_location", image, gone)
        places[:] = cast("list[object]", new)
    else:
        places.insert(locations.index(change.position, len(places) + 1), change.value)
    return True


def _change_written(x: Exchange, image: Image, change: Change, names: Mapping[str, object], media: str) -> bool:
    name, new = change.name, Property(change.name, image, change.value)
    if name not in names:
        if change.op is Op.ADD:
            return written(x, "create", new, about=image)
        raise _absent(name)
    old = Property(name, image, names[name])
    readable = x.decide("read", old)
    if readable.error:
        raise x.refused(readable, reserved(name), "read", image)
    if not readable.allowed:
        return _hidden_written(x, change, new, readable)
    if change.op is Op.REMOVE:
        return written(x, "delete", old, about=image)
    if change.op is Op.ADD and media == patches.V20:
        raise _conflict(f"Property {printable(name)} already present.")
    return written(x, "update", new, about=image)


def _hidden_written(x: Exchange, change: Change, new: Property, readable: Decision) -> bool:
    """Answer a change of a property that exists and may not be read: where possible as if it did not."""
    if change.op is not Op.ADD:
        raise _absent(change.name)
    decision = x.quietly("update", new)
    if decision.allowed:
        # The right to create is no right to overwrite what one cannot see; neither is the right to update.
        decision = replace(readable, discard=False)
    x.log_decision(decision, "update", new)
    return carried_out(x, decision, "update", new, about=new.image)


def _apply(change: Change, names: dict[str, object]) -> None:
    if change.op is Op.REMOVE:
        del names[change.name]
    else:
        names[change.name] = change.value


def _absent(name: str) -> Refused:
    return _conflict(f"Property {printable(name)} does not exist.")


def _conflict(message: str) -> Refused:
    return Refused(exc.HTTPConflict(message))


def _unchanged(x: Exchange, fetched: FetchedImage) -> Answer:
    """Return the image as it is, for a patch of which nothing is left."""
    stored = fetched.stored()
    document = dict(stored.document)
    redaction.cut(x, document, as_image(stored))
    headers = [("Content-Type", "application/json")]
    return Answer("200 OK", headers, b"").with_body(documents.write(document))
