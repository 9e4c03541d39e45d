"""What passes the proxy in either direction: the request line and the headers."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from protect.connections import Address
from protect.errors import MalformedRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    Headers = list[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_PLAIN = re.compile(r"[a-z0-9-]+\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._~-]+(:[0-9]{1,5})?\Z|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?\Z")
_VERSION = re.compile(r"v2(\.[0-9]{1,2})?\Z")

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)
# What a client may say of its connection: these, and whether it stays open. Any other header that it names there would
# be dropped on the way, and so be decided on without reaching the API.
_OF_ONE_HOP = _HOP_BY_HOP | {"close"}
# The proxy says these itself, or they belong to what has been dealt with when it runs.
_OURS = frozenset({"host", "content-length", "content-type", "expect", "forwarded", "via", "proxy", "x-real-ip"})
# They make an API take a request for another than the one that was decided on.
_OVERRIDES = frozenset(
    {
        "x-http-method-override",
        "x-method-override",
        "x-http-method",
        "x-original-url",
        "x-rewrite-url",
        "x-original-uri",
    }
)
# Who asks, in the words of keystonemiddleware. The API verifies the tokens itself, and whoever stands between it and us
# must not be the one to say who asks.
_IDENTITY = frozenset(
    {
        "x-identity-status",
        "x-roles",
        "x-role",
        "x-user",
        "x-tenant",
        "x-is-admin-project",
        "openstack-system-scope",
    }
)
_IDENTITY_PREFIXES = ("x-service-", "x-user-", "x-project-", "x-tenant-", "x-domain-", "x-identity-", "x-is-admin")
_PREFIXES = (*_IDENTITY_PREFIXES, "x-forwarded-", "x-protect-")
_PASSED = frozenset({"x-service-token"})
_DROPPED = _HOP_BY_HOP | _OURS | _OVERRIDES | _IDENTITY

# The server in front of us says its own.
_NOT_PASSED_BACK = _HOP_BY_HOP | {"date", "server"}
_ADDRESSES = frozenset({"location", "content-location"})
_LENGTH = frozenset({"content-length"})

_PATH = "/~!$&'()*+,;=:@"
_QUERY = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the client believes to be: ``http://host`` and what precedes the API's paths there."""

    origin: str
    mount: str


class BadAnswer(Exception):
    """The API answered what is not HTTP, or what the next one in line could read in two ways."""


def target(environ: WSGIEnvironment, prefix: str) -> str:
    """Return the path and query to ask for: the path decoded as the filter saw it, and encoded in one way."""
    path = _version(environ) + str(environ.get("PATH_INFO", ""))
    if not path.startswith("/"):
        path = f"/{path}"
    if {".", ".."} & set(path.split("/")):
        raise MalformedRequest("the path has a `.` or `..` segment")
    query = str(environ.get("QUERY_STRING", ""))
    try:
        encoded = prefix + quote(path.encode("latin-1"), safe=_PATH)
        return f"{encoded}?{quote(query.encode('latin-1'), safe=_QUERY)}" if query else encoded
    except UnicodeEncodeError:
        raise MalformedRequest("the address is not made of bytes") from None


def _version(environ: WSGIEnvironment) -> str:
    """Return the API's version where it stands in SCRIPT_NAME, because the proxy is mounted at it."""
    last = str(environ.get("SCRIPT_NAME", "")).rpartition("/")[2]
    return f"/{last}" if _VERSION.match(last) else ""


def place(environ: WSGIEnvironment) -> Place:
    """Return where the client believes to be; raises MalformedRequest for a Host that cannot be one."""
    host = str(environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
    if not _HOST.match(host):
        raise MalformedRequest("the Host header is not a host")
    mount = str(environ.get("SCRIPT_NAME", "")).removesuffix(_version(environ))
    return Place(f"{environ['wsgi.url_scheme']}://{host}", quote(mount.encode("latin-1"), safe=_PATH))


def request_headers(environ: WSGIEnvironment, upstream: Address) -> Headers:
    """Return what the API is told, but for the body's framing; raises MalformedRequest."""
    check_connection(str(environ.get("HTTP_CONNECTION") or ""))
    headers = [("Host", upstream.netloc)]
    for name, value in _received(environ):
        plain = name.lower()
        # Some servers behind us take every sign in a name for the same one, and `X.Image.Meta.Store` for the header
        # that was decided on.
        dropped = not _PLAIN.match(plain) or plain in _DROPPED or plain.startswith(_PREFIXES)
        if plain in _PASSED or not dropped:
            headers.append((name, _clean(name, value)))
    content_type = environ.get("CONTENT_TYPE")
    if content_type:
        headers.append(("Content-Type", _clean("Content-Type", str(content_type))))
    return headers + _forwarded(environ)


def check_connection(value: str) -> None:
    """Raise MalformedRequest where a Connection header names more than what belongs to one hop."""
    if not _listed(value) <= _OF_ONE_HOP:
        raise MalformedRequest("the Connection header names a header that is not of one hop")


def _received(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        # A middleware may have set one to None.
        if key.startswith("HTTP_") and isinstance(value, str):
            name = key.removeprefix("HTTP_").replace("_", "-").title()
            if not _TOKEN.match(name):
                raise MalformedRequest("a header's name has a sign that no header may have")
            yield name, value


def _clean(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise MalformedRequest(f"the header {name} has a control character")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise MalformedRequest(f"the header {name} is not made of bytes") from None
    return value


def _forwarded(environ: WSGIEnvironment) -> Headers:
    found = [
        ("X-Forwarded-For", str(environ.get("REMOTE_ADDR") or "")),
        ("X-Forwarded-Proto", str(environ["wsgi.url_scheme"])),
        ("X-Forwarded-Host", str(environ.get("HTTP_HOST") or "")),
    ]
    return [(name, _clean(name, value)) for name, value in found if value]


def _listed(value: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip().lower() for name in value.split(","))))


def status_line(code: int, reason: str) -> str:
    """Return a status for WSGI: with the API's own words, where they are words."""
    words = reason.strip()
    if not words or not words.isascii() or not words.isprintable():
        words = http.client.responses.get(code, "Unknown")
    return f"{code} {words}"


def response_headers(received: Iterable[tuple[str, str]], upstream: Address, here: Place, code: int) -> Headers:
    """Return what the client is told; raises BadAnswer for headers that could be read in two ways."""
    pairs = list(received)
    chunked = _check_framing(pairs)
    dropped = _NOT_PASSED_BACK.union(*(_listed(value) for name, value in pairs if name.lower() == "connection"))
    headers: Headers = []
    for name, value in pairs:
        if not _TOKEN.match(name) or _CONTROL.search(value):
            raise BadAnswer("a header that cannot be passed on")
        if name.lower() in _ADDRESSES:
            value = relocated(value, upstream, here)
        if name.lower() not in dropped | _LENGTH:
            headers.append((name, value))
    length = next((value.strip() for name, value in pairs if name.lower() in _LENGTH), None)
    if length is not None and not chunked and code != 204:
        headers.append(("Content-Length", length))
    return headers


def _check_framing(pairs: Headers) -> bool:
    """Tell whether the body comes in chunks; raises BadAnswer where its end is not one certain place."""
    encodings = [value.strip().lower() for name, value in pairs if name.lower() == "transfer-encoding"]
    lengths = {value.strip() for name, value in pairs if name.lower() in _LENGTH}
    if encodings not in ([], ["chunked"]):
        raise BadAnswer("a transfer encoding that is not `chunked`")
    if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
        raise BadAnswer("a Content-Length that is not one number")
    return bool(encodings)


def relocated(location: str, upstream: Address, here: Place) -> str:
    """Return an address of the API as the client reaches it; any other address as it is."""
    try:
        parts = urlsplit(location)
        if not parts.netloc:
            inside = location.startswith("/")
        else:
            default = {"http": 80, "https": 443}.get(parts.scheme)
            inside = (parts.hostname, parts.port or default) == (upstream.host.lower(), upstream.port)
    except ValueError:
        return location
    prefix = upstream.prefix
    if not inside or not (parts.path == prefix or parts.path.startswith(f"{prefix}/")):
        return location
    path = here.mount + parts.path.removeprefix(prefix)
    tail = (f"?{parts.query}" if parts.query else "") + (f"#{parts.fragment}" if parts.fragment else "")
    return (here.origin if parts.netloc else "") + path + tail
