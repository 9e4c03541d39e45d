"""The request that a gateway asks about, as it reached the gateway: method, raw path, and body where it is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from protect.errors import MalformedRequest, ProtectError
from protect.proxy.headers import check_connection

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_VISIBLE = re.compile(r"[!-~]+\Z")
_METHOD = re.compile(r"[A-Z]{1,20}\Z")
_HEADER = re.compile(r"[A-Z0-9_]+\Z")
#: Nobody has a reason to escape these, and not every API takes the escaped for the same.
_NEVER_ESCAPED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/\\")

# What is said to us and not to the API. The gateway's connection to us is none of the client's, and the client's Host
# must not decide whether the API can be asked.
_OURS = (
    "HTTP_X_PROTECT_TOKEN",
    "HTTP_X_ORIGINAL_METHOD",
    "HTTP_X_ORIGINAL_URI",
    "RAW_URI",
    "REQUEST_URI",
    "HTTP_HOST",
    "HTTP_CONNECTION",
)
_HERE = {"SERVER_NAME": "protect", "SERVER_PORT": "80"}
_FORWARDED = "HTTP_X_FORWARDED_"
_OF_A_BODY = ("CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "wsgi.input_terminated")
_METHOD_OVERRIDES = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD")


class NotTold(ProtectError):
    """A rule asks for a circumstance that the gateway has not told us."""


class Circumstances(dict[str, object]):
    """The context of a gateway's question. The client's address is only known where the gateway tells it: taken as
    absent, it could silence a `forbid`."""

    def get(self, name: str, default: object = None) -> object:
        if name == "remote_address" and name not in self:
            raise NotTold("the gateway does not tell the client's address in X-Forwarded-For")
        return super().get(name, default)


def circumstances(environ: Mapping[str, object]) -> Circumstances:
    """Return the context of a question. Of many addresses the last counts: the gateway itself has added that one."""
    told = str(environ.get("HTTP_X_FORWARDED_FOR") or "").rpartition(",")[2].strip()
    known = Circumstances(api="glance", api_version="v2")
    if told:
        known["remote_address"] = told
    return known


def split(uri: str) -> tuple[str, str]:
    """Return what PATH_INFO and QUERY_STRING are for a raw request target.

    The gateway passes on the target as it is, so one that another server might read in another way is refused: raises
    MalformedRequest.
    """
    if not _VISIBLE.match(uri) or not uri.startswith("/") or "#" in uri:
        raise MalformedRequest("the address of the request is not a path and a query")
    path, _, query = uri.partition("?")
    for escape in _ESCAPE.finditer(path):
        if escape[1] is None:
            raise MalformedRequest("the path has a `%` that begins no escape")
        if chr(int(escape[1], 16)) in _NEVER_ESCAPED:
            raise MalformedRequest("the path has an escaped slash, or escapes what needs no escape")
    return unquote_to_bytes(path).decode("latin-1"), query


def original(environ: WSGIEnvironment, method: str, path: str, query: str, *, body: bool) -> WSGIEnvironment:
    """Return the request that is asked about, as the filter would see it; raises MalformedRequest.

    ``body`` tells whether the gateway's own request carries that request's body.
    """
    if not _METHOD.match(method):
        raise MalformedRequest("the method of the request is not one")
    if any(name in environ for name in _METHOD_OVERRIDES):
        raise MalformedRequest("the request has a header that asks for another method")
    check_connection(str(environ.get("HTTP_CONNECTION") or ""))
    if any(name.startswith("HTTP_") and not _HEADER.match(name) for name in environ):
        # To an API it may be the header that is decided on, and is not here.
        raise MalformedRequest("the request has a header whose name is not of letters, digits and hyphens")
    gone = _OURS if body else (*_OURS, *_OF_A_BODY)
    kept = {
        name: value
        for name, value in environ.items()
        if name not in gone and not name.startswith((_FORWARDED, "webob.", "wsgiorg.", "paste."))
    }
    kept.update(_HERE, REQUEST_METHOD=method, SCRIPT_NAME="", PATH_INFO=path, QUERY_STRING=query)
    if not body:
        kept["wsgi.input"] = BytesIO()
    return kept


def raw_target(environ: Mapping[str, object]) -> str | None:
    """Return the target of a request as the server has read it, None where it does not say."""
    for name in ("RAW_URI", "REQUEST_URI"):
        value = environ.get(name)
        if isinstance(value, str) and value:
            return value
    return None
