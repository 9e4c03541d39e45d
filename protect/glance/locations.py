"""Locations on the wire: the places of an image's data, and the kind of store that each address names.

An address may carry the store's credentials, so no message here ever repeats one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from protect.errors import MalformedRequest
from protect.glance.documents import Document, UnexpectedDocument
from protect.json_bodies import kind
from protect.values import Image, Location

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def scheme(url: str) -> str | None:
    """Return the scheme of an address in lower case, None where it has none."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else None


def proposed(value: object, image: Image) -> Location:
    """Return the location that a request describes; raises MalformedRequest."""
    if not isinstance(value, dict):
        raise MalformedRequest(f"a location must be an object with a `url`, not {kind(value)}")
    url = value.get("url")
    if not isinstance(url, str) or not url:
        raise MalformedRequest("a location needs a `url`, a text that is not empty")
    if not url.isprintable() or any(char.isspace() for char in url):
        # Stores leave these out when they look for the scheme: ` file:` and `fi\nle:` are `file:` to them.
        raise MalformedRequest("the `url` of a location has white space or control characters; percent-encode them")
    return _location(value, url, image)


def stored(value: object, image: Image) -> Location:
    """Return a location as the API shows it; raises UnexpectedDocument."""
    if not isinstance(value, dict) or not isinstance(value.get("url"), str):
        raise UnexpectedDocument("a location without a url")
    return _location(value, value["url"], image)


def list_of(document: Mapping[str, object]) -> list[object]:
    """Return the locations in an image document: none where the API does not show them."""
    found = document.get("locations") or []
    if not isinstance(found, list):
        raise UnexpectedDocument("`locations` is not an array")
    return list(found)


def index(position: str | None, count: int) -> int:
    """Return which of ``count`` items a pointer's last part means to the API: at most the last."""
    last = max(count - 1, 0)
    return last if position is None or not position.isdecimal() else min(int(position), last)


def _location(value: Document, url: str, image: Image) -> Location:
    metadata = value.get("metadata")
    return Location(image, url, scheme(url), metadata if isinstance(metadata, dict) else {})
