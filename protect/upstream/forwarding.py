"""What a request must look like before the API behind us gets it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# An answer that we edit must be whole, and in no compression that we do not know: neither "not modified" nor a part.
_UNEDITABLE = (
    "HTTP_ACCEPT_ENCODING",
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_RANGE",
    "HTTP_CONTENT_RANGE",
    "HTTP_TE",
)
_OF_A_BODY = (
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "HTTP_CONTENT_LENGTH",
    "HTTP_CONTENT_ENCODING",
    "HTTP_CONTENT_MD5",
    "HTTP_CONTENT_TYPE",
    "HTTP_EXPECT",
    "HTTP_TRANSFER_ENCODING",
    "wsgi.input_terminated",
)
# `gzip` by its name, and not with a weight of nothing.
_WANTS_GZIP = re.compile(
    r"(?:^|,)[ \t]*gzip[ \t]*(?:;[ \t]*q=(?!0(?:\.0*)?[ \t]*(?:,|$))[0-9.]+[ \t]*)?(?:,|$)", re.IGNORECASE
)
_METHOD_OVERRIDES = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD")
_RAW_ADDRESS = ("RAW_URI", "REQUEST_URI")
_OF_THE_FIRST_REQUEST = ("webob.", "wsgiorg.routing_args", "routes.", "api.cache.")


def ask_for_plain(environ: WSGIEnvironment) -> None:
    """Change a request so that its answer can be edited: plain, or in gzip where the client would have that."""
    accepted = environ.get("HTTP_ACCEPT_ENCODING")
    _drop(environ, _UNEDITABLE)
    if accepted and _WANTS_GZIP.search(str(accepted)):
        environ["HTTP_ACCEPT_ENCODING"] = "gzip"


def drop_method_overrides(environ: WSGIEnvironment) -> None:
    """Change a request so that nobody behind us takes its method for another than the one we decided on."""
    _drop(environ, _METHOD_OVERRIDES)


def replace_body(environ: WSGIEnvironment, body: bytes, content_type: str) -> None:
    """Change a request to carry ``body`` instead of what the client sent."""
    _drop(environ, _OF_A_BODY)
    _forget_parsed(environ)
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["CONTENT_TYPE"] = content_type


def replace_query(environ: WSGIEnvironment, query_string: str) -> None:
    """Change a request to ask with ``query_string`` instead of what the client sent."""
    _drop(environ, _RAW_ADDRESS)
    _forget_parsed(environ)
    environ["QUERY_STRING"] = query_string


def subrequest(environ: WSGIEnvironment, path_info: str, query_string: str) -> WSGIEnvironment:
    """Return a GET by the same caller; ``environ`` stays as it is."""
    sub = dict(environ)
    _drop(sub, (*_UNEDITABLE, *_OF_A_BODY, *_METHOD_OVERRIDES, *_RAW_ADDRESS))
    _forget_parsed(sub)
    adhoc = sub.get("webob.adhoc_attrs")
    if adhoc is not None:
        # The API's own context lives here when we stand behind the middleware that makes it.
        sub["webob.adhoc_attrs"] = dict(adhoc)
    sub["REQUEST_METHOD"] = "GET"
    sub["PATH_INFO"] = path_info
    sub["QUERY_STRING"] = query_string
    sub["wsgi.input"] = BytesIO()
    return sub


def _forget_parsed(environ: WSGIEnvironment) -> None:
    """Drop what frameworks have remembered of the request's old query or body."""
    remembered = [k for k in environ if k.startswith(_OF_THE_FIRST_REQUEST) and k != "webob.adhoc_attrs"]
    _drop(environ, remembered)


def _drop(environ: WSGIEnvironment, keys: Iterable[str]) -> None:
    for key in keys:
        environ.pop(key, None)
