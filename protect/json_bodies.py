"""JSON from a client, read strictly: what two parsers could read in two ways is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NoReturn

import orjson

from protect.errors import MalformedRequest

MAX_BODY = 1024 * 1024  # bytes
MAX_DEPTH = 16  # arrays and objects inside each other
DEEPEST = 254  # as deep as orjson writes
_EXACT = 2.0**53


def parse(body: bytes) -> object:
    """Return the JSON value in ``body``, which will be passed on; raises MalformedRequest for all that is not just one.

    Refused as well is what is nested deeper than ``MAX_DEPTH``, and numbers that parsers read differently.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_slowly(body)
    return value if _plain(value) and _said_once(body, value) else _parse_slowly(body)


def parse_deep(body: bytes) -> object:
    """Return the JSON value in ``body``, which nobody but us will read: nested up to ``DEEPEST``, numbers as they come.

    Raises MalformedRequest.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_slowly(body)
    try:
        if not _said_once(body, value):
            json.loads(body, object_pairs_hook=_unique)
    except (orjson.JSONEncodeError, RecursionError):
        raise MalformedRequest(f"the body is nested more than {DEEPEST} levels deep") from None
    return value


def _said_once(body: bytes, value: object) -> bool:
    """Tell whether ``body`` surely has no key twice in one object.

    The fast parser keeps the last of equal keys and drops the text of the others. Texts and quotes go together: whoever
    has lost a text has fewer quotes.
    """
    return _quotes(body) == _quotes(orjson.dumps(value))


def _quotes(text: bytes) -> int:
    """Count the quotes around texts: not those that are escaped inside of one."""
    if b"\\" not in text:
        return text.count(b'"')
    bare = text.replace(rb"\\", b"")
    return bare.count(b'"') - bare.count(rb"\"")


def _plain(value: object) -> bool:
    """Tell whether ``value`` is nested no deeper than is allowed, and has no number that parsers read differently."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if type(item) is dict:
                inner.extend(item.values())
            elif type(item) is list:
                inner.extend(item)
            elif type(item) is float and not -_EXACT < item < _EXACT:
                return False
        if not inner:
            return True
        level = inner
    return False


def _parse_slowly(body: bytes) -> object:
    """Return the JSON value in ``body``, or say exactly what is wrong with it."""
    if not body.strip():
        raise MalformedRequest("a JSON body is expected in this request")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"the body is not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise MalformedRequest("the body starts with a byte order mark; send plain UTF-8")
    value = _loads(text)
    _check(value)
    return value


def parse_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object in ``body``; raises MalformedRequest."""
    value = parse(body)
    if not isinstance(value, dict):
        raise MalformedRequest(f"the body must be a JSON object, not {kind(value)}")
    return value


def required_text(body: Mapping[str, object], key: str) -> str:
    """Return the text at ``key``; raises MalformedRequest where there is none, or an empty one."""
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedRequest(f"the body needs `{key}`, a text that is not empty")
    return value


def dump(value: object) -> bytes:
    """Write ``value`` in the one form in which we forward it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def kind(value: object) -> str:
    """Name the JSON type of ``value``, for messages. Never its content: it may be what is protected."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "an array", dict: "an object"}
    return names.get(type(value), "something else")


def _loads(text: str) -> object:
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"the body is not JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}"
        ) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise MalformedRequest(f"the body has the key `{printable(name)}` twice in one object")
        seen.add(name)
    return found


def _no_constant(name: str) -> NoReturn:
    raise MalformedRequest(f"the body has `{name}`, which is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedRequest("the body has a number that is too large")
    return number


def _whole(digits: str) -> int:
    # Long integers are slow to convert, and no attribute of an image is longer than 64 bits.
    if len(digits) > 20:
        raise MalformedRequest("the body has a number of more than 20 digits")
    return int(digits)


def _check(value: object) -> None:
    """Refuse too deep nesting, and text that is not Unicode (an unpaired surrogate escape)."""
    level, depth = [value], 0
    while level:
        inner: list[object] = []
        containers = 0
        for item in level:
            if isinstance(item, str):
                _unicode(item)
            elif isinstance(item, dict):
                containers += 1
                inner.extend(item)
                inner.extend(item.values())
            elif isinstance(item, list):
                containers += 1
                inner.extend(item)
        depth += containers > 0
        if depth > MAX_DEPTH:
            raise _too_deep()
        level = inner


def _unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedRequest("the body has an unpaired surrogate escape such as `\\ud800`") from None


def _too_deep() -> MalformedRequest:
    return MalformedRequest(f"the body is nested more than {MAX_DEPTH} levels deep")


def printable(text: str, limit: int = 80) -> str:
    """Return ``text`` fit for a message: no control characters or surrogates, and not endless."""
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:limit])
    return safe + ("…" if len(text) > limit else "")
