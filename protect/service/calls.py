"""One request to the decision endpoint, as its endpoints read it, and what they reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import orjson

from protect import json_bodies
from protect.errors import MalformedRequest
from protect.service.slow_bodies import LATE, READING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from protect.values import Decision, Query

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("Content-Type", "application/json"),)
TEXT: Headers = (("Content-Type", "text/plain; charset=utf-8"),)

#: The header that proves who asks, where a route does not name another one.
AUTHORIZATION = "AUTHORIZATION"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost. ``body`` in bytes, ``batch`` in evaluations, ``seconds`` for a batch, a search or a
    list of images.

    ``documents``: the bytes of a body that carries many images, ``images`` how many of them.
    """

    body: int = json_bodies.MAX_BODY
    batch: int = 1000
    seconds: float = 5.0
    documents: int = 8 * 1024 * 1024
    images: int = 10_000


class Reply(NamedTuple):
    """What an endpoint answers. ``headers`` hold no Content-Length: that is counted."""

    body: bytes = b""
    status: int = 200
    headers: Headers = JSON


def json_reply(value: object, status: int = 200) -> Reply:
    return Reply(orjson.dumps(value), status)


def text_reply(text: str, status: int = 200, headers: Headers = ()) -> Reply:
    return Reply(text.encode(), status, TEXT + headers)


@dataclass(slots=True)
class Call:
    """One request. ``rest`` is what follows the path of a route that takes a whole tree; ``enforcement_point`` is the
    name of the service that asks, as it has proved it: None where nobody has to."""

    environ: WSGIEnvironment
    limits: Limits
    rest: str = ""
    enforcement_point: str | None = None

    def header(self, name: str) -> str | None:
        """Return a request header by its name in WSGI, without `HTTP_`; None where it is missing or empty."""
        value = self.environ.get(f"HTTP_{name}")
        return value if isinstance(value, str) and value else None

    def json_body(self, limit: int | None = None) -> bytes:
        """Return the body of a request that says it is JSON; raises MalformedRequest for another Content-Type.

        ``limit`` is how many bytes it may have: those of ``limits.body`` where it is not given.
        """
        given = str(self.environ.get("CONTENT_TYPE") or "")
        if given != "application/json" and given.partition(";")[0].strip().lower() != "application/json":
            raise MalformedRequest("the Content-Type must be application/json")
        return self.body(limit)

    def json_object(self, limit: int | None = None, *, passed_on: bool = False) -> Mapping[str, object]:
        """Return the JSON object in the body; raises MalformedRequest. ``passed_on``: others will read it as well."""
        body = self.json_body(limit)
        return an_object(json_bodies.parse(body) if passed_on else json_bodies.parse_deep(body))

    def body(self, limit: int | None = None) -> bytes:
        """Return the body; raises MalformedRequest where it is larger than allowed or cut short."""
        environ = self.environ
        most = self.limits.body if limit is None else limit
        encoding = environ.get("HTTP_CONTENT_ENCODING")
        if encoding and encoding.strip().lower() != "identity":
            raise MalformedRequest("the body is compressed; send it as it is", 415)
        declared = str(environ.get("CONTENT_LENGTH") or "")
        if not declared:
            body = self._read(most + 1) if environ.get("HTTP_TRANSFER_ENCODING") else b""
            if len(body) > most:
                raise _too_large(most)
            return body
        if not (declared.isascii() and declared.isdigit() and len(declared) < 19):
            raise MalformedRequest("the Content-Length is not a number of bytes")
        length = int(declared)
        if length > most:
            raise _too_large(most)
        body = self._read(length)
        if len(body) < length:
            raise MalformedRequest(f"the body ended after {len(body)} of {length} bytes")
        return body

    def _read(self, length: int) -> bytes:
        environ, start, thread = self.environ, monotonic(), get_ident()
        stream = environ["wsgi.input"]
        connection = environ.get("gunicorn.socket")
        if connection is not None:
            # Other servers have read the body already, or cannot be told.
            before = connection.gettimeout()
            connection.settimeout(self.limits.seconds)
        READING[thread] = start
        try:
            body = bytes(stream.read(length))
            while len(body) < length and (more := stream.read(length - len(body))):
                body += more
        except TimeoutError:
            raise _too_late() from None
        finally:
            READING.pop(thread, None)
            if connection is not None:
                connection.settimeout(before)
        if len(body) < length and environ.get("CONTENT_LENGTH") and monotonic() - start > LATE:
            raise _too_late()
        return body


def an_object(value: object) -> Mapping[str, object]:
    """Return ``value`` where it is a JSON object; raises MalformedRequest."""
    if not isinstance(value, dict):
        raise MalformedRequest(f"the body must be a JSON object, not {json_bodies.kind(value)}")
    return value


def _too_late() -> MalformedRequest:
    return MalformedRequest("the body did not come in time", 408)


def _too_large(most: int) -> MalformedRequest:
    return MalformedRequest(f"the body has more than {most} bytes", 413)


Endpoint = Callable[[Call], Reply]

#: Is told of every decision: for the log and the metrics. Must not raise, and must not wait.
Record = Callable[["Query", "Decision", Call], None]


@dataclass(frozen=True, slots=True)
class Route:
    """A path and what answers there.

    ``tree``: every path that begins with this one, and then ``method`` may be ``*``. ``guarded``: only whoever has
    proved who it is may ask. ``credentials``: the header that proves it; where a client's own Authorization is passed
    on to us, it is another one.
    """

    method: str
    path: str
    endpoint: Endpoint = field(repr=False)
    tree: bool = False
    guarded: bool = True
    credentials: str = AUTHORIZATION


Routes = Iterable[Route]
