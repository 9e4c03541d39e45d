"""What of an image's document a subject may read: the rest is cut out before it is shown."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from protect.enforcement.exchange import Exchange
from protect.glance import documents
from protect.glance.attributes import CORE, LOCATION_ATTRIBUTES
from protect.glance.documents import Document
from protect.upstream.answers import Answer, editable
from protect.values import Image, Property, Query


def show_image(x: Exchange, answer: Answer, *actions: str) -> Answer:
    """Return an answer that shows one image, redacted; raises Refused unless ``actions`` are allowed on it."""
    document = documents.read_document(editable(answer), x.match.names.get("image"))
    image = x.stored(document)
    for action in actions:
        x.require(action, image, about=image)
    cut(x, document, image)
    # Written anew even where nothing was cut: the API's own spacing would tell one case from the other.
    return answer.with_body(documents.write(document))


def cut(x: Exchange, document: Document, image: Image) -> None:
    """Remove in place what may not be read, and log it."""
    hidden = x.hide(image, document.keys() - CORE)
    if attributes := hidden_attributes(x, document, image):
        hidden = hidden | (attributes & document.keys())
    if hidden:
        x.log_hidden(x.why_hidden(image, document, hidden), image.id)
    documents.cut(document, hidden, locations=locations_shown(x, document, image))


def hidden_attributes(x: Exchange, document: Document, image: Image) -> AbstractSet[str]:
    """Return the attributes of the API that may not be read on this image, whether it has them or not."""
    always, sometimes = x.hidden_attributes()
    if not always and not sometimes:
        return always
    # In lists this is done for each image: a policy that hides no attribute is asked nothing.
    hidden = always if not sometimes else always | {n for n in sometimes if not _readable(x, document, image, n)}
    return hidden | LOCATION_ATTRIBUTES if not hidden.isdisjoint(LOCATION_ATTRIBUTES) else hidden


def _readable(x: Exchange, document: Document, image: Image, name: str) -> bool:
    attribute = Property(name, image, document.get(name), core=True)
    return x.point.forbidden(Query(x.subject, "read", attribute, x.context)).allowed


def locations_shown(x: Exchange, document: Document, image: Image) -> bool:
    return not has_locations(document) or x.decide("get_image_location", image).allowed


def has_locations(document: Document) -> bool:
    # Two look-ups: `isdisjoint` would walk over every name of every image in a list.
    return "locations" in document or "direct_url" in document
