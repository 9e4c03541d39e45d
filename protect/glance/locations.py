"""Locations on the wire: the places of an image's data, and the kind of store that each address names.

An address may carry the store's credentials, so no message here ever repeats one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from protect.errors import MalformedRequest, ProtectError
from protect.glance.attributes import VALIDATION
from protect.glance.documents import Document, UnexpectedDocument
from protect.json_bodies import kind
from protect.values import Image, Location

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


class UnknownStore(ProtectError):
    """A rule asks for the store of a location that the API has yet to take: it finds that itself, by the address."""


class _Metadata(Mapping[str, object]):
    """What a client says of a location. Of its store nobody knows, whatever it says; absent, it could silence a
    `forbid`."""

    def __init__(self, said: Mapping[str, object]) -> None:
        self._said = said

    def __getitem__(self, name: str) -> object:
        if name == "store":
            raise UnknownStore("the store of a location that is proposed is not known")
        return self._said[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)


def scheme(url: str) -> str | None:
    """Return the scheme of an address in lower case, None where it has none."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else None


def proposed(value: object, image: Image) -> Location:
    """Return the location that a request wants to add; raises MalformedRequest.

    Asking for its store raises UnknownStore.
    """
    location = described(value, image)
    return replace(location, attributes=_Metadata(location.attributes))


def validation(value: object) -> Mapping[str, str]:
    """Return the attributes of the image that a location brings along; raises MalformedRequest."""
    found = value.get("validation_data", {}) if isinstance(value, dict) else {}
    if not isinstance(found, dict):
        raise MalformedRequest(f"the `validation_data` of a location must be an object, not {kind(found)}")
    if not found.keys() <= VALIDATION:
        raise MalformedRequest(f"the `validation_data` of a location may have: {', '.join(sorted(VALIDATION))}")
    for name, text in found.items():
        if not isinstance(text, str):
            raise MalformedRequest(f"`{name}` in the `validation_data` of a location must be text, not {kind(text)}")
    return found


def described(value: object, image: Image) -> Location:
    """Return the location that somebody describes, all of which is believed; raises MalformedRequest."""
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
