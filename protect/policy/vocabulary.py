"""The facts that rules may ask about: one table, read by the checker, the interview, the runtime and the docs.

A *fact* is named by the way to it from a query, as a tuple of text: ``("subject", "tenant")``,
``("resource", "image", "owner")``, ``("resource", "get", "os_distro")``. Adding a fact is adding a row here and a field
to the value in ``protect.values``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from protect.values import Query

Fact = tuple[str, ...]
Scalar = str | int | float | bool
Reader = Callable[[Query], Any]


class Kind(StrEnum):
    """What a fact holds. The value is how messages name it."""

    TEXT = "text"
    NUMBER = "a number"
    TRUTH = "true or false"
    ANY = "text, a number, or true or false"
    SET = "a set"
    MEMBERS = "members"
    OBJECT = "an object"


class Form(StrEnum):
    """How a rule writes it: ``image.owner`` or ``image.has_tag("x")``."""

    ATTRIBUTE = "attribute"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the vocabulary.

    ``field`` is the attribute of the value that holds it, ``kind`` what that is, ``form`` how a rule writes it,
    ``target`` the type it leads to (objects only), ``usage`` how to write it, for messages and the docs.
    """

    field: str
    kind: Kind
    usage: str
    form: Form = Form.ATTRIBUTE
    target: str = ""
    folded: bool = False


def _words(usage: str, **fields: Kind) -> dict[str, Word]:
    return {name: Word(name, kind, f"{usage}.{name}") for name, kind in fields.items()}


def _get(variable: str, field: str) -> dict[str, Word]:
    return {"get": Word(field, Kind.ANY, f'{variable}.get("name")', Form.METHOD)}


def _to_image(variable: str) -> dict[str, Word]:
    return {"image": Word("image", Kind.OBJECT, f"{variable}.image", target="Image")}


TEXT, NUMBER, TRUTH = Kind.TEXT, Kind.NUMBER, Kind.TRUTH

#: Type name, as written behind the colon of a rule's head, to the words that may follow a dot.
TYPES: Mapping[str, Mapping[str, Word]] = {
    "Subject": {
        **_words("subject", id=TEXT, tenant=TEXT, domain=TEXT, authenticated=TRUTH, admin_project=TRUTH),
        "has_role": Word("roles", Kind.SET, 'subject.has_role("admin")', Form.METHOD, folded=True),
        "has_service_role": Word(
            "service_roles", Kind.SET, 'subject.has_service_role("service")', Form.METHOD, folded=True
        ),
        **_get("subject", "claims"),
    },
    "Image": {
        **_words("image", id=TEXT, owner=TEXT, visibility=TEXT, status=TEXT, name=TEXT),
        **_words("image", disk_format=TEXT, container_format=TEXT, protected=TRUTH, hidden=TRUTH),
        **_words("image", size=NUMBER, min_disk=NUMBER, min_ram=NUMBER),
        "has_tag": Word("tags", Kind.SET, 'image.has_tag("x")', Form.METHOD),
        "has_property": Word("properties", Kind.SET, 'image.has_property("x")', Form.METHOD),
        "shared_with": Word("members", Kind.MEMBERS, "image.shared_with(subject)", Form.METHOD),
        **_get("image", "properties"),
    },
    "Property": {
        "name": Word("name", Kind.TEXT, "property.name"),
        "value": Word("value", Kind.ANY, "property.value"),
        "matches": Word("name", Kind.TEXT, 'property.matches("^hw_")', Form.METHOD),
        **_words("property", core=TRUTH),
        **_to_image("property"),
    },
    "Member": {**_words("member", tenant=TEXT, status=TEXT), **_to_image("member")},
    "Location": {
        **_words("location", url=TEXT, scheme=TEXT),
        **_get("location", "attributes"),
        **_to_image("location"),
    },
    "Task": {**_words("task", id=TEXT, type=TEXT, owner=TEXT, status=TEXT), **_get("task", "attributes")},
    "Store": {**_words("store", id=TEXT), **_get("store", "attributes")},
    "Metadef": {
        **_words("metadef", id=TEXT, type=TEXT, namespace=TEXT, owner=TEXT, visibility=TEXT),
        **_get("metadef", "attributes"),
    },
    "Resource": {**_words("resource", type=TEXT, id=TEXT), **_get("resource", "attributes")},
    "Context": {"get": Word("context", Kind.ANY, 'context.get("x")', Form.METHOD)},
}

#: What the third argument of a rule can be.
RESOURCES: tuple[str, ...] = tuple(name for name in TYPES if name not in ("Subject", "Context"))

#: Name of the global value that carries the circumstances of a query.
CONTEXT = "context"

#: The subject and the circumstances stay the same over all images and properties of one request.
SUBJECT: Fact = ("subject",)
RESOURCE: Fact = ("resource",)
NAME: Fact = ("resource", "name")
VALUE: Fact = ("resource", "value")
CORE: Fact = ("resource", "core")
ACTION: Fact = ("action",)


def scalar(value: object) -> Scalar | None:
    """Return ``value`` if rules can compare it as JSON does, else None: lists, objects and null equal nothing."""
    return value if isinstance(value, str | int | float) else None


def reader(fact: Fact) -> Reader:
    """Return the function that reads ``fact`` from a query. Reading raises whatever the value's attribute raises."""
    if fact == VALUE:
        return lambda query: scalar(query.resource.value)  # type: ignore[union-attr]
    if len(fact) > 1 and fact[-2] == "get":
        where, key = attrgetter(".".join(fact[:-2])), fact[-1]
        return lambda query: scalar(where(query).get(key))
    return attrgetter(".".join(fact))


def subject_only(fact: Fact) -> bool:
    """Whether the fact is the same for every resource of one request."""
    return fact[0] != "resource"


def phrase(fact: Fact, kind: str = "Resource") -> str:
    """Write the fact as a rule about a ``kind`` would: ``image.owner``, ``property.image.get("x")``."""
    keyed = len(fact) > 1 and fact[-2] == "get"
    way = fact[: -2 if fact[0] == CONTEXT else -3] if keyed else fact
    written = ".".join((kind.lower(), *way[1:]) if way[0] == "resource" else way)
    return f'{written}.get("{fact[-1]}")' if keyed else written
