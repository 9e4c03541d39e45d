"""One line of the decision log: what it tells of a query, and what it does not.

Beside the fields that every line has, a line may carry `facts`, an object of what else was known when the decision was
made. What is there is known, `null` included; what is not there is not. Values of properties are never there.

    subject       roles, service_roles, domain, authenticated, admin_project
    image         owner, visibility, status, disk_format, container_format, protected, hidden, size, min_disk, min_ram
    membership    the status of the subject's tenant on the image's list of members; null: it is not on it
    resource      of anything but an image or a property: tenant, status, type, owner, namespace, visibility, scheme
    attribute     whether the API's own attribute was asked about, not a property of that name
    context       the circumstances: api, api_version, store, import_method, …

A text as long as texts may be, 256 characters or what the line says in `cut`, may have been longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import orjson

from protect.policy.vocabulary import TYPES, Fact, Kind
from protect.values import (
    AnyResource,
    Image,
    Location,
    Member,
    Metadef,
    Property,
    Query,
    Resource,
    Store,
    Subject,
    Task,
)

Line = Mapping[str, Any]

#: Names and ids are cut at this length in the log, unless the line says otherwise.
CUT: Final = 256


class Missing(Enum):
    """The one value that stands for what a line does not tell."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

_TOP = ("outcome", "action", "resource")
#: How a line begins that we wrote.
_START = b'{"time"'
_RESOURCE = frozenset({"tenant", "status", "type", "owner", "namespace", "visibility", "scheme"})
_NONE: Line = {}


def parsed(raw: bytes) -> Line | None:
    """Return one line of a log; None for what is none. Text before the object, as of a log's handler, is skipped."""
    start = raw.find(_START)
    if start < 0 and (start := raw.find(b"{")) < 0:
        return None
    try:
        line = orjson.loads(raw[start:])
    except orjson.JSONDecodeError:
        return None
    if not isinstance(line, dict) or not all(isinstance(line.get(field), str) for field in _TOP):
        return None
    name = line.get("property")
    return line if name is None or isinstance(name, str) else None


def whole(line: Line, text: str) -> bool:
    """Tell whether a text of the line is surely all of it."""
    cut = line.get("cut", CUT)
    return len(text) < (cut if isinstance(cut, int) else 0)


def kind(line: Line) -> str:
    """Return the type of resource."""
    found: str = line["resource"]
    return found if found in TYPES and found not in ("Subject", "Context") else "Resource"


def is_attribute(line: Line) -> bool | None:
    """Tell whether an attribute of the API was asked about, not a property of that name; None where it is not said."""
    found = _object(line).get("attribute")
    return found if isinstance(found, bool) else None


def _object(line: Line, *way: str) -> Line:
    found: Any = line.get("facts")
    for step in way:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else _NONE


def _short(line: Line, field: str) -> Any:
    """Return a text of the line itself, unless it may have been cut."""
    value = line.get(field, MISSING)
    if value is None or (isinstance(value, str) and whole(line, value)):
        return value
    return MISSING


def reader(fact: Fact, of: str) -> Callable[[Line], Any]:
    """Return the function that reads a fact about a query for a type ``of`` resource from a line, or MISSING."""
    match fact:
        case ("subject", "id"):
            return lambda line: _short(line, "subject")
        case ("subject", "tenant"):
            return lambda line: _short(line, "tenant")
        case ("subject", name):
            accept = _accept("Subject", name)
            return lambda line: accept(_object(line, "subject").get(name, MISSING))
        case ("context", "get", name):
            return lambda line: _text(_object(line, "context").get(name, MISSING))
        case ("action",):
            return lambda line: line["action"]
        case ("resource", "name") if of == "Property":
            return lambda line: _short(line, "property")
    return _of_resource(fact, of)


def _of_resource(fact: Fact, of: str) -> Callable[[Line], Any]:
    to_image = of in ("Property", "Member", "Location")
    image = fact[2:] if fact[:2] == ("resource", "image") else fact[1:] if of == "Image" else ()
    if fact[0] == "resource" and len(image) == 1:
        [name] = image
        if name == "id":
            return lambda line: _short(line, "resource_id")
        if name == "members":
            return lambda line: _text(_object(line).get("membership", MISSING))
        accept = _accept("Image", name)
        return lambda line: accept(_object(line, "image").get(name, MISSING))
    if fact[0] == "resource" and len(fact) == 2 and of not in ("Image", "Property"):
        name = fact[1]
        if name == "id" and not to_image:
            return lambda line: _short(line, "resource_id")
        if name == "type" and of == "Resource":
            return lambda line: _short(line, "resource")
        if name in _RESOURCE:
            return lambda line: _text(_object(line, "resource").get(name, MISSING))
    return _missing


def _missing(_: Any) -> Any:
    return MISSING


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else MISSING


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else MISSING


def _number(value: Any) -> Any:
    return value if value is None or (isinstance(value, int | float) and not isinstance(value, bool)) else MISSING


def _roles(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return MISSING
    return tuple(sorted(value))


def _accept(of: str, name: str) -> Callable[[Any], Any]:
    """Return what takes a value for the fact of that name, or MISSING for one of another type: nobody has logged it."""
    if of == "Subject" and name in ("roles", "service_roles"):
        return _roles
    word = TYPES[of].get(name)
    return _TYPED.get(word.kind, _missing) if word is not None else _missing


_TYPED: Mapping[Kind, Callable[[Any], Any]] = {Kind.TEXT: _text, Kind.TRUTH: _truth, Kind.NUMBER: _number}


def query(known: Mapping[Fact, Any], action: str, of: str, name: str | None) -> Query:
    """Return a query of which ``known`` holds; all else is as if there were nothing."""
    tenant = known.get(("subject", "tenant"))
    fields = {fact[1]: value for fact, value in known.items() if fact[0] == "subject"}
    for field in ("roles", "service_roles"):
        fields[field] = frozenset(fields.get(field, ()))
    subject = Subject(**{field: value for field, value in fields.items() if value is not None})
    way = 2 if of != "Image" else 1
    image = {
        fact[way]: value
        for fact, value in known.items()
        if fact[0] == "resource" and len(fact) == way + 1 and (way == 1 or fact[1] == "image") and value is not None
    }
    if "members" in image:
        image["members"] = {tenant: image["members"]} if tenant is not None else {}
    own = {
        fact[1]: value
        for fact, value in known.items()
        if fact[0] == "resource" and len(fact) == 2 and fact[1] not in ("name", "core")
    }
    context = {fact[2]: value for fact, value in known.items() if fact[0] == "context"}
    return Query(subject, action, _resource(of, Image(**image), own, known, name), context)


def _resource(of: str, image: Image, own: dict[str, Any], known: Mapping[Fact, Any], name: str | None) -> AnyResource:
    match of:
        case "Image":
            return image
        case "Property":
            return Property(name or "", image, core=known.get(("resource", "core")) is True)
        case "Member":
            return Member(own.get("tenant"), image, own.get("status"))
        case "Location":
            return Location(image, scheme=own.get("scheme"))
    made = {"Task": Task, "Store": Store, "Metadef": Metadef}.get(of, Resource)
    return made(**own)  # type: ignore[no-any-return]
