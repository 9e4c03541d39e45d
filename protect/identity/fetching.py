"""Getting the bytes of a key set: from a file, or over HTTP within bounds of size, time and place."""

from __future__ import annotations

import ipaddress
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit

from protect.errors import ConfigError
from protect.identity.keys import MAX_SET

TIMEOUT = 3.0  # seconds, for each step and for the whole body
_CHUNK = 16 * 1024


def loader(jwks: str, timeout: float = TIMEOUT) -> Callable[[], bytes]:
    """Return what reads ``jwks``, a path or a URL. Both this and the reading raise ConfigError."""
    if "://" not in jwks:
        return lambda: _read(jwks)
    opener = _opener(jwks)
    return lambda: _fetch(opener, jwks, timeout)


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return _bounded(file.read(MAX_SET + 1), path)
    except OSError as error:
        raise ConfigError(f"`jwks = {path}` cannot be read: {error.strerror}") from None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens ``url``; raises ConfigError for a URL that must not be trusted with keys."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or not url.isascii() or parts.scheme not in ("https", "http"):
        raise ConfigError(f"`jwks = {url}` is not accepted; accepted: a path, or an https URL")
    if parts.username is not None or parts.password is not None:
        # Not repeated: it would be in the log.
        raise ConfigError("`jwks` has a user or password in its URL; accepted: a path, or an https URL without them")
    if parts.scheme == "https":
        return urllib.request.build_opener(_SameOrigin)
    if not _loopback(host):
        raise ConfigError(
            f"`jwks = {url}` would let anyone on the way choose the keys; use https (http is for loopback addresses)"
        )
    return urllib.request.build_opener(_SameOrigin, urllib.request.ProxyHandler({}))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where the operator has sent us already."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            fp.close()
            raise HTTPException("it redirects to another place")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(opener: urllib.request.OpenerDirector, url: str, timeout: float) -> bytes:
    try:
        with opener.open(
            urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=timeout
        ) as opened:
            answer = cast("HTTPResponse", opened)
            if answer.status != 200:
                raise HTTPException(f"status {answer.status}")
            return _bounded(_drained(answer, time.monotonic() + timeout), url)
    except HTTPError as error:
        error.close()
        raise ConfigError(f"`jwks = {url}` cannot be fetched: status {error.code}") from None
    except (OSError, HTTPException) as error:
        raise ConfigError(f"`jwks = {url}` cannot be fetched: {str(error).lower() or type(error).__name__}") from None


def _drained(answer: HTTPResponse, deadline: float) -> bytes:
    """Return the body, or as much of it as shows that it is too long."""
    data = bytearray()
    while len(data) <= MAX_SET and (chunk := answer.read1(_CHUNK)):
        if time.monotonic() > deadline:
            raise HTTPException("it takes too long")
        data += chunk
    return bytes(data)


def _bounded(data: bytes, origin: str) -> bytes:
    if len(data) > MAX_SET:
        raise ConfigError(f"`jwks = {origin}` is longer than {MAX_SET // 1024} KiB")
    return data
