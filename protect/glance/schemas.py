"""The schemas of images on the wire: where their properties stand, and what is said of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protect.glance.documents import Document, UnexpectedDocument

Properties = dict[str, dict[str, Any]]

DESCRIPTION = "Set by the cloud; you cannot change it."


def of_images(document: Document) -> Document:
    """Return the part of a schema that describes one image; raises UnexpectedDocument.

    In the schema of a list of images it is nested.
    """
    properties(document)
    listed = document["properties"].get("images")
    if listed is None:
        return document
    items = listed.get("items")
    if not isinstance(items, dict):
        raise UnexpectedDocument("a schema of images without `items`")
    properties(items)
    return items


def properties(schema: Document) -> Properties:
    """Return the properties in a schema; raises UnexpectedDocument."""
    found = schema.get("properties")
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise UnexpectedDocument("a schema without `properties`")
    return found


def remove(schema: Document, name: str) -> None:
    """Take a property out of a schema in place; what is not there cannot be required."""
    del properties(schema)[name]
    required = schema.get("required")
    if isinstance(required, list):
        schema["required"] = [each for each in required if each != name]


def set_read_only(schema: Document, name: str) -> None:
    """Say in place that clients cannot write a property; one that the schema does not name is added."""
    unnamed = {"type": ["null", "string"], "is_base": False, "description": DESCRIPTION}
    properties(schema).setdefault(name, unnamed)["readOnly"] = True


def names(schema: Document) -> Iterator[str]:
    """Yield the names of a schema's properties; the schema may change meanwhile."""
    yield from tuple(properties(schema))
