"""GET of the schemas of images: what they say is what holds for whoever asks."""

from __future__ import annotations

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance import attributes, documents, schemas
from protect.glance.attributes import CORE
from protect.glance.documents import Document
from protect.upstream.answers import Answer, editable
from protect.values import Image, Property, Query

#: Names that a schema may get from the policy. One with ten thousand protected names must not make every client
#: fetch them all.
MAX_NAMES = 500


def show(x: Exchange) -> Plan:
    """Make the schema say what the subject may do, as decided on an image of the subject's own.

    That is a private image of which nothing else is known, and properties without values.
    A custom property that the subject may not read there is left out. What it may neither create nor update is
    `readOnly`: a custom property by all rules, an attribute of the API by the `forbid` rules. Properties that the
    policy mentions, and that may be read there and not written, are added. Attributes always stay in the schema:
    clients check every image against it, and cannot read some of them without knowing their type.
    """
    return Plan(edit=lambda answer: _edit(x, answer))


def _edit(x: Exchange, answer: Answer) -> Answer:
    document = documents.read_object(editable(answer))
    schema = schemas.of_images(document)
    image = Image(owner=x.subject.tenant, visibility="private")
    for name in schemas.names(schema):
        if name not in CORE and not _may(x, "read", name, image):
            schemas.remove(schema, name)
        elif not _writable(x, name, image):
            schemas.set_read_only(schema, name)
    for name in _mentioned(x, schema):
        if _may(x, "read", name, image) and not _writable(x, name, image):
            schemas.set_read_only(schema, name)
    return answer.with_body(documents.write(document))


def _mentioned(x: Exchange, schema: Document) -> list[str]:
    named = x.point.mentioned() - CORE - set(schemas.names(schema))
    return sorted(name for name in named if not attributes.is_reserved(name))[:MAX_NAMES]


def _writable(x: Exchange, name: str, image: Image) -> bool:
    return _may(x, "create", name, image) or _may(x, "update", name, image)


def _may(x: Exchange, action: str, name: str, image: Image) -> bool:
    # Not logged: nobody has tried to do anything.
    core = name in CORE
    query = Query(x.subject, action, Property(name, image, core=core), x.context)
    return (x.point.forbidden(query) if core else x.point.decide(query)).allowed
