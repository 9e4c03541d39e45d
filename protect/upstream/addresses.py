"""Addresses of stores in what an error says: they may carry credentials, and nobody who reads an error needs them."""

from __future__ import annotations

import re

REMOVED = b"[removed]"

# The rest of a word, so that no character that an address should not have can save its end. What JSON escapes goes
# with it in one piece, and its quotes stay. Percent-encoded, an address is still one.
_ADDRESS = re.compile(rb"(?P<mark>(?::|%3a)(?:\\?/|%2f){2})(?P<rest>(?:\\[^\"]|[^\\ \t\r\n\f\v\"<>])*)", re.IGNORECASE)
_MARK = re.compile(r"(?::|%3a)(?:\\?/|%2f){2}", re.IGNORECASE)
_SCHEME = re.compile(rb"[a-z0-9+.-]*\Z", re.IGNORECASE)
_LONGEST_SCHEME = 32
_WEB = frozenset({b"http", b"https"})
_SECRET_IN_WEB = re.compile(rb"[@?]|%40|%3f", re.IGNORECASE)


def without_addresses(text: bytes) -> bytes:
    """Return ``text`` (plain, JSON or HTML, in UTF-8) with all but the scheme of each address removed.

    Web addresses stay unless they have a user or a query: that may be a signature.
    """
    return _ADDRESS.sub(_shown, text)


def before_address(text: str) -> str:
    """Return ``text`` up to its first address, of which the scheme stays; all of it where it has none.

    For those who may not know any address: nothing tells where one ends in the middle of a text.
    """
    found = _MARK.search(text)
    return text if found is None else text[: found.end()] + REMOVED.decode()


def _shown(found: re.Match[bytes]) -> bytes:
    before = found.string[max(0, found.start() - _LONGEST_SCHEME) : found.start()]
    scheme = _SCHEME.search(before)
    if scheme is not None and scheme[0].lower() in _WEB and not _SECRET_IN_WEB.search(found["rest"]):
        return found[0]
    return found["mark"] + REMOVED
