"""Patches of an image: both media types read into one form, and written again in one spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from protect.errors import MalformedRequest
from protect.glance import attributes, locations
from protect.glance.documents import Document, check_amount, check_attribute, check_name, check_property
from protect.json_bodies import dump, kind, parse, printable

MAX_OPERATIONS = 256

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (V20, V21)


class Op(StrEnum):
    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One operation on the attribute or property ``name``; ``position`` is set for one of the locations."""

    op: Op
    name: str
    value: object = None
    position: str | None = None

    @property
    def custom(self) -> bool:
        return self.name not in attributes.CORE


class UnsupportedMediaType(MalformedRequest):
    """The body is not a patch that the API reads."""

    def __init__(self) -> None:
        super().__init__(f"Image PATCH expects Content-Type one of: {', '.join(MEDIA_TYPES)}", 415)


def media_type(content_type: str) -> str:
    """Return the media type of a patch without its parameters; raises UnsupportedMediaType."""
    found = content_type.partition(";")[0].strip()
    if found not in MEDIA_TYPES:
        raise UnsupportedMediaType
    return found


def read(body: bytes, media: str) -> tuple[Change, ...]:
    """Return the operations of a patch; raises MalformedRequest (400, or 403 for what nobody may write)."""
    changes = tuple(change_in(operation, media) for operation in operations_in(body))
    for change in changes:
        check(change)
    return changes


def operations_in(body: bytes) -> list[object]:
    """Return the operations of a patch, unread; raises MalformedRequest."""
    operations = parse(body)
    if not isinstance(operations, list):
        raise MalformedRequest(f"the body must be a JSON array of operations, not {kind(operations)}")
    if not operations:
        raise MalformedRequest("the patch has no operation; send at least one")
    if len(operations) > MAX_OPERATIONS:
        raise MalformedRequest(f"the patch has more than {MAX_OPERATIONS} operations")
    check_amount(operation.get("value") for operation in operations if isinstance(operation, dict))
    return operations


def applied(document: Document, changes: Iterable[Change]) -> Document:
    """Return ``document`` as it is after ``changes``. Those that cannot be done on it leave it as it was."""
    after = dict(document)
    for change in changes:
        if change.name == "locations":
            after["locations"] = _places(locations.list_of(after), change)
            if change.op is not Op.REMOVE and after.get("status") == "queued":
                after["status"] = "active"
        elif change.op is Op.REMOVE:
            after.pop(change.name, None)
        else:
            after[change.name] = change.value
    return after


def _places(places: list[object], change: Change) -> list[object]:
    if change.op is Op.REPLACE:
        return list(cast("list[object]", change.value))
    if change.op is Op.REMOVE:
        at = locations.index(change.position, len(places))
        del places[at : at + 1]
    else:
        places.insert(locations.index(change.position, len(places) + 1), change.value)
    return places


def write(changes: Sequence[Change], media: str) -> bytes:
    """Write operations in the one spelling that has only one reading."""
    return dump([_operation(change, media) for change in changes])


def pointer(name: str, position: str | None = None) -> str:
    """Return the JSON pointer of ``name``."""
    path = "/" + name.replace("~", "~0").replace("/", "~1")
    return path if position is None else f"{path}/{position}"


def pointed(path: object) -> tuple[str, ...]:
    """Return the parts that the API reads from a JSON pointer; raises MalformedRequest.

    The API drops all slashes before the first part, and the white space around each part.
    """
    if not isinstance(path, str):
        raise MalformedRequest(f"the path of an operation must be text, not {kind(path)}")
    shown = printable(path)
    if not path.startswith("/"):
        raise MalformedRequest(f"the path `{shown}` does not start with a slash")
    if re.search(r"/\s*/", path[1:]) or path[1:].strip() == "/":
        raise MalformedRequest(f"the path `{shown}` has two slashes in a row")
    if len(path) > 1 and path.endswith("/"):
        raise MalformedRequest(f"the path `{shown}` ends with a slash")
    if re.search(r"~(?![01])", path):
        raise MalformedRequest(f"the path `{shown}` has a `~` that is neither `~0` nor `~1`")
    return tuple(_unescaped(part) for part in path.lstrip("/").split("/"))


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~").strip()


def change_in(operation: object, media: str) -> Change:
    """Return what an operation does; raises MalformedRequest."""
    if not isinstance(operation, dict):
        raise MalformedRequest(f"an operation must be a JSON object, not {kind(operation)}")
    op, path = _operator_v21(operation) if media == V21 else _operator_v20(operation)
    parts = pointed(path)
    name, position = parts[0], parts[1] if len(parts) == 2 else None
    if len(parts) != _depth(op, name):
        raise MalformedRequest(f"the path `{printable(str(path))}` does not lead to an attribute of an image")
    # The path is written again from what was read: both must be the same thing to the API.
    if pointed(pointer(name, position)) != parts:
        raise MalformedRequest(f"the path `{printable(str(path))}` can be read in two ways")
    if op is Op.REMOVE:
        return Change(op, name, position=position)
    if "value" not in operation:
        raise MalformedRequest(f"the operation `{op}` needs a `value`")
    return Change(op, name, operation["value"], position)


def _operator_v21(operation: dict[str, object]) -> tuple[Op, object]:
    op = operation.get("op")
    if not isinstance(op, str) or op not in set(Op):
        raise MalformedRequest(f"the `op` of an operation must be one of: {', '.join(Op)}")
    if "path" not in operation:
        raise MalformedRequest(f"the operation `{op}` needs a `path`")
    return Op(op), operation["path"]


def _operator_v20(operation: dict[str, object]) -> tuple[Op, object]:
    found = [op for op in Op if op.value in operation]
    if len(found) != 1:
        raise MalformedRequest(f"an operation must have exactly one key out of: {', '.join(Op)}")
    return found[0], operation[found[0].value]


def _depth(op: Op, name: str) -> int:
    return 2 if name == "locations" and op is not Op.REPLACE else 1


def check(change: Change) -> None:
    """Raise MalformedRequest (400, or 403) for what the API lets nobody write."""
    if change.custom:
        if attributes.is_internal(change.name):
            raise MalformedRequest(f"Attribute '{printable(change.name)}' is reserved.", status=403)
        if change.op is Op.REMOVE:
            check_name(change.name)
        else:
            check_property(change.name, change.value)
        return
    if change.name in attributes.READ_ONLY:
        raise MalformedRequest(f"Attribute '{change.name}' is read-only.", status=403)
    if change.name == "locations":
        _check_location(change)
    elif change.op is Op.REMOVE:
        raise MalformedRequest(f"Property {change.name} may not be removed.", status=403)
    else:
        check_attribute(change.name, change.value)


def _check_location(change: Change) -> None:
    if change.op is Op.REPLACE:
        check_attribute(change.name, change.value)
        if not change.value:
            # Without a location an image becomes queued again, and open to other data under the same id.
            raise MalformedRequest("Cannot set locations to empty list.", status=403)
    elif not re.fullmatch(r"[0-9]{1,4}|-", change.position or ""):
        raise MalformedRequest("the position of a location must be a number or `-`")


def _operation(change: Change, media: str) -> dict[str, object]:
    path = pointer(change.name, change.position)
    head: dict[str, object]
    head = {"op": change.op.value, "path": path} if media == V21 else {change.op.value: path}
    return head if change.op is Op.REMOVE else {**head, "value": change.value}
