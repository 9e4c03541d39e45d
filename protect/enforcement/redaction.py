"""What of an image's document a subject may read: the rest is cut out before it is shown."""

from __future__ import annotations

from protect.enforcement.exchange import Exchange
from protect.glance import documents
from protect.glance.attributes import CORE
from protect.glance.documents import Document
from protect.upstream.answers import Answer, editable
from protect.values import Image


def show_image(x: Exchange, answer: Answer, *actions: str) -> Answer:
    """Return an answer that shows one image, redacted; raises Refused unless ``actions`` are allowed on it."""
    document = documents.read_document(editable(answer), x.match.names.get("image"))
    image = x.stored(document)
    for action in actions:
        x.require(action, image, about=image)
    changed = cut(x, document, image)
    return answer.with_body(documents.write(document) if changed else answer.body)


def cut(x: Exchange, document: Document, image: Image) -> bool:
    """Remove in place what may not be read, and log it; tell whether anything was removed."""
    hidden = x.hide(image, document.keys() - CORE)
    x.log_hidden(hidden, image.id)
    return documents.cut(document, hidden, locations=locations_shown(x, document, image))


def locations_shown(x: Exchange, document: Document, image: Image) -> bool:
    return not has_locations(document) or x.decide("get_image_location", image).allowed


def has_locations(document: Document) -> bool:
    # Two look-ups: `isdisjoint` would walk over every name of every image in a list.
    return "locations" in document or "direct_url" in document
