"""PATCH of an image: every operation is decided on, and only what is left of them is sent on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
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
    require_attribute,
    require_locations,
    require_validation,
    require_visibility,
    reserved,
    written,
)
from protect.glance import documents, locations, patches
from protect.glance.documents import StoredImage, as_image
from protect.glance.patches import Change, Op
from protect.json_bodies import printable
from protect.upstream.answers import Answer
from protect.upstream.facts import FetchedImage
from protect.values import Location, Property

#: Decides on one operation as a change of this image: True is done, False is dropped, and it raises Refused.
Decide = Callable[[FetchedImage], bool]


def patch(x: Exchange) -> Plan:
    media = patches.media_type(str(x.environ.get("CONTENT_TYPE") or ""))
    changes = patches.read(x.read_body(), media)
    fetched = x.fetched()
    require_patchable(x, fetched)
    kept = _kept(x, fetched, changes, media)
    left = {id(change) for change in kept}
    discarded = tuple(dict.fromkeys(change.name for change in changes if id(change) not in left))
    if not kept:
        return Plan(answer=_unchanged(x, fetched), discarded=discarded)
    body = patches.write(kept, media)
    return Plan(body, media, edit=lambda answer: redaction.show_image(x, answer), discarded=discarded)


def require_patchable(x: Exchange, fetched: FetchedImage) -> None:
    """Raise Refused unless the image may be changed, and seen: the answer shows all of it."""
    image = as_image(fetched)
    for action in x.match.route.actions:
        x.require(action, image, about=image)


def _kept(x: Exchange, fetched: FetchedImage, changes: Sequence[Change], media: str) -> Sequence[Change]:
    """Return the operations that are not dropped. Each time that one is, those that counted on it are decided anew."""
    while True:
        walk = Walk(x, fetched, media)
        permitted = [change for change in changes if walk.permits(change)]
        changes = [change for place, change in enumerate(permitted) if walk.stands(place)]
        if len(changes) == len(permitted):
            return changes


class Walk:
    """The operations of a patch one after the other, each decided on the stored image and on what it finds.

    What one adds, the next one finds; one that is refused or dropped leaves the image as it was. So one patch does
    nothing that as many requests, one after the other, would not do.
    """

    def __init__(self, x: Exchange, fetched: FetchedImage, media: str) -> None:
        self._x = x
        self._fetched = fetched
        self._media = media
        self._done: list[tuple[Change, Decide]] = []

    def permits(self, change: Change) -> bool:
        """Tell whether an operation is done (True) or dropped (False); raises Refused where it may not be done."""
        images = [self._fetched]
        if self._done:
            now = self._after(done for done, _ in self._done)
            require_patchable(self._x, now)
            images.append(now)
        decide = self._deciding(change, images)
        if decide is None or not all(decide(image) for image in images):
            return False
        self._done.append((change, decide))
        return True

    def stands(self, place: int) -> bool:
        """Tell whether the operation done at ``place`` is done (True) or dropped also on what those behind it leave.

        Raises Refused.
        """
        if place == len(self._done) - 1:
            return True
        others = (done for at, (done, _) in enumerate(self._done) if at != place)
        return self._done[place][1](self._after(others))

    def _after(self, changes: Iterable[Change]) -> FetchedImage:
        """Return the image as ``changes`` leave it. Nothing is fetched until a fact is asked for."""
        x, fetched, changes = self._x, self._fetched, tuple(changes)

        def load() -> StoredImage:
            document = patches.applied(fetched.stored().document, changes)
            if document.get("size") is None and any(change.name == "locations" for change in changes):
                # The API will ask the store. No number: a rule that asks for it cannot be evaluated.
                document["size"] = "unknown"
            return StoredImage(document, x.members)

        return FetchedImage(str(fetched.id), load)

    def _deciding(self, change: Change, images: Sequence[FetchedImage]) -> Decide | None:
        """Return how an operation is decided on, None where it is dropped; raises Refused.

        What it does (create or update, which locations go) depends on the last of ``images``, which it will find.
        """
        x = self._x
        if change.name == "locations":
            return self._locations(change, images[-1])
        if not change.custom:
            return partial(_attribute_written, x, change)
        create = partial(_property_written, x, "create", change.name, change.value)
        names = images[-1].properties
        if change.name not in names:
            if change.op is Op.ADD:
                return create
            raise _absent(change.name)
        found = names[change.name]
        readable = [x.quietly("read", _stored_property(image, change.name, found)) for image in images]
        if not all(each.allowed for each in readable):
            if change.op is Op.ADD and not all(_may_create(x, change, image) for image in images):
                # The very decision that is made where there is none: it must not tell whether there is.
                return create
            hidden = next(image for image, each in zip(images, readable, strict=True) if not each.allowed)
            _hidden_written(x, change, hidden, found)
            return None
        x.log_decision(readable[-1], "read", _stored_property(images[-1], change.name, found))
        if change.op is Op.REMOVE:
            return partial(_property_deleted, x, change.name, found)
        if change.op is Op.ADD and self._media == patches.V20:
            raise _conflict(f"Property {printable(change.name)} already present.")
        return partial(_property_written, x, "update", change.name, change.value)

    def _locations(self, change: Change, now: FetchedImage) -> Decide:
        places = locations.list_of(now.stored().document)
        if change.op is Op.REMOVE:
            at = locations.index(change.position, len(places))
            return partial(self._locations_removed, places[at : at + 1])
        new = cast("list[object]", change.value if change.op is Op.REPLACE else [change.value])
        gone: list[object] = []
        if change.op is Op.REPLACE:
            addresses = {locations.proposed(place, as_image(now)).url for place in new}
            gone = [place for place in places if self._location(place, now).url not in addresses]
        return partial(self._locations_placed, new, gone)

    def _locations_placed(self, new: Sequence[object], gone: Sequence[object], fetched: FetchedImage) -> bool:
        x, image = self._x, as_image(fetched)
        proposed = [locations.proposed(place, image) for place in new]
        if not attribute_written(x, "update", image, "locations"):
            return False
        require_locations(x, "set_image_location", image, proposed)
        for name in {name for place in new for name in locations.validation(place)}:
            # The API says whether they are the ones it has.
            require_attribute(x, "read", image, name, fetched.stored().document.get(name))
        require_validation(x, "update", image, new)
        return not gone or self._locations_removed(gone, fetched)

    def _locations_removed(self, gone: Sequence[object], fetched: FetchedImage) -> bool:
        x, image = self._x, as_image(fetched)
        require_removal(x, image)
        # Where the API does not show the stored addresses, the rules are asked about one without an address.
        places = [self._location(place, fetched) for place in gone] or [Location(image)]
        require_locations(x, "delete_image_location", image, places)
        return True

    def _location(self, place: object, fetched: FetchedImage) -> Location:
        known = locations.list_of(self._fetched.stored().document)
        return (locations.stored if place in known else locations.proposed)(place, as_image(fetched))


def _attribute_written(x: Exchange, change: Change, fetched: FetchedImage) -> bool:
    image = as_image(fetched)
    before = image.tags if change.name == "tags" else frozenset[str]()
    if not attribute_written(x, "update", image, change.name, change.value, before=before):
        return False
    if change.name == "visibility":
        require_visibility(x, image, change.value, about=image)
    return True


def _property_written(x: Exchange, action: str, name: str, value: object, fetched: FetchedImage) -> bool:
    image = as_image(fetched)
    return written(x, action, Property(name, image, value), about=image)


def _property_deleted(x: Exchange, name: str, value: object, fetched: FetchedImage) -> bool:
    return written(x, "delete", _stored_property(fetched, name, value), about=as_image(fetched))


def _stored_property(fetched: FetchedImage, name: str, value: object) -> Property:
    """Return a property as an image has it; with ``value`` where the image is one that lacks it."""
    return Property(name, as_image(fetched), fetched.properties.get(name, value))


def _may_create(x: Exchange, change: Change, fetched: FetchedImage) -> bool:
    return x.quietly("create", Property(change.name, as_image(fetched), change.value)).allowed


def _hidden_written(x: Exchange, change: Change, fetched: FetchedImage, value: object) -> None:
    """Drop a change of a property that exists and may not be read; raises Refused where it is not dropped."""
    readable = x.decide("read", _stored_property(fetched, change.name, value))
    new = Property(change.name, as_image(fetched), change.value)
    if readable.error:
        raise x.refused(readable, reserved(change.name), "read", new.image)
    if change.op is not Op.ADD:
        raise _absent(change.name)
    decision = x.quietly("update", new)
    if decision.allowed:
        # The right to create is no right to overwrite what one cannot see; neither is the right to update.
        decision = replace(readable, discard=False)
    x.log_decision(decision, "update", new)
    carried_out(x, decision, "update", new, about=new.image)


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
