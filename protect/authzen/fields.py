"""The objects that every message is made of, and what is wrong with one that is not as it must be.

Most messages are right, so what can be checked in one look is; the words are found only when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping

from protect.errors import MalformedRequest
from protect.json_bodies import kind
from protect.values import NOTHING

ENTITY = ("type", "id")
ACTION = ("name",)

#: Type, id and properties.
Entity = tuple[str, str, Mapping[str, object]]


def entity(value: object, where: str) -> Entity:
    """Return the parts of the subject or resource ``value``; raises MalformedRequest.

    ``where`` is its place in the message: ``subject``. Properties that are left out, or empty, are none.
    """
    if type(value) is dict:
        type_, id_ = value.get("type"), value.get("id")
        properties = value.get("properties", NOTHING)
        if (
            type(type_) is str
            and type_
            and type(id_) is str
            and id_
            and (type(properties) is dict or properties is NOTHING)
        ):
            return type_, id_, properties
    raise wrong_object(value, where, ENTITY)


def action(value: object) -> tuple[str, Mapping[str, object]]:
    """Return the name and the properties of the action ``value``; raises MalformedRequest."""
    if type(value) is dict:
        name, properties = value.get("name"), value.get("properties", NOTHING)
        if type(name) is str and name and (type(properties) is dict or properties is NOTHING):
            return name, properties
    raise wrong_object(value, "action", ACTION)


def optional_object(message: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Return the object at ``key``, an empty one where there is none; raises MalformedRequest, also for null."""
    value = message.get(key, NOTHING)
    if type(value) is dict or value is NOTHING:
        return value
    raise wrong(key, "an object", value)


def wrong_object(value: object, where: str, required: tuple[str, ...]) -> MalformedRequest:
    """Return the error for an object that lacks one of the ``required`` texts, or has something else in its place."""
    if value is None:
        return MalformedRequest(f"`{where}` is missing")
    if not isinstance(value, dict):
        return wrong(where, "an object", value)
    for key in required:
        if key not in value:
            return MalformedRequest(f"`{where}.{key}` is missing")
    return wrong_part(value, where, required) or MalformedRequest(f"`{where}` cannot be read")


def wrong_part(value: Mapping[str, object], where: str, texts: tuple[str, ...]) -> MalformedRequest | None:
    """Return the error for something that is there and is of the wrong type, None where all that is there is right."""
    for key in texts:
        if key in value and not (isinstance(value[key], str) and value[key]):
            return wrong(f"{where}.{key}", "text that is not empty", value[key])
    if "properties" in value and not isinstance(value["properties"], dict):
        return wrong(f"{where}.properties", "an object", value["properties"])
    return None


def wrong(path: str, wanted: str, value: object) -> MalformedRequest:
    """Return the error for a value of the wrong type. It never repeats the value, which may be what is protected."""
    given = "empty text" if value == "" else kind(value)
    return MalformedRequest(f"`{path}` must be {wanted}, not {given}")
