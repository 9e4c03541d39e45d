"""The bodies of requests: what a request says of its own, read within limits, and passed on in full."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from protect.errors import MalformedRequest
from protect.json_bodies import MAX_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def has_body(environ: WSGIEnvironment) -> bool:
    """Tell whether a request says that it has a body; raises MalformedRequest if it says so in two ways."""
    return _chunked(environ) or bool(declared_length(environ))


def declared_length(environ: WSGIEnvironment) -> int | None:
    """Return the Content-Length, None without one; raises MalformedRequest."""
    declared = str(environ.get("CONTENT_LENGTH") or "")
    if not declared:
        return None
    if not (declared.isascii() and declared.isdigit()) or len(declared) > 18:
        raise MalformedRequest("the Content-Length is not a number of bytes")
    if _chunked(environ):
        raise MalformedRequest("the request has both a Content-Length and a Transfer-Encoding")
    return int(declared)


def _chunked(environ: WSGIEnvironment) -> bool:
    return bool(environ.get("HTTP_TRANSFER_ENCODING"))


def read_body(environ: WSGIEnvironment) -> bytes:
    """Return the request's JSON body; raises MalformedRequest where it is missing, too large or cut short.

    What was read is put back in front of the rest, so that the request can still be passed on as it came.
    """
    declared = declared_length(environ)
    if declared is not None and declared > MAX_BODY:
        raise _too_large()
    if str(environ.get("HTTP_CONTENT_ENCODING") or "identity").strip().lower() != "identity":
        raise MalformedRequest("the body is compressed; send plain JSON", 415)
    if declared is None and not _chunked(environ):
        return b""
    stream = environ["wsgi.input"]
    body = _read(stream, MAX_BODY + 1 if declared is None else declared)
    environ["wsgi.input"] = Replayed(body, stream)
    # The stream before could perhaps be rewound; this one cannot.
    environ.pop("webob.is_body_seekable", None)
    if len(body) > MAX_BODY:
        raise _too_large()
    if declared is not None and len(body) < declared:
        raise MalformedRequest(f"the body ended after {len(body)} of {declared} bytes")
    return body


def _read(stream: Any, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        chunk = stream.read(size - len(body))
        if not chunk:
            break
        body += chunk
    return bytes(body)


def _too_large() -> MalformedRequest:
    return MalformedRequest(f"the body has more than {MAX_BODY} bytes", 413)


class _Lines:
    """What WSGI asks of a request body beyond ``read`` and ``readline``."""

    def readline(self, size: int = -1) -> bytes:
        raise NotImplementedError

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


class Replayed(_Lines):
    """A request body of which the beginning has been read: reads as if it had not."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = BytesIO(head)
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        head = self._head.read(size)
        if size is None or size < 0:
            return head + bytes(self._rest.read())
        return head or bytes(self._rest.read(size))

    def readline(self, size: int = -1) -> bytes:
        line = self._head.readline(size)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + bytes(self._rest.readline(size - len(line) if size >= 0 else -1))


class CapExceeded(OSError):
    """The client has sent more than it may. An OSError, because that is what a broken upload looks like."""


class Capped(_Lines):
    """A request body that breaks off after ``cap`` bytes: whoever reads it never sees it complete."""

    def __init__(self, stream: Any, cap: int) -> None:
        self._stream = stream
        self._left = cap
        self.exceeded = False

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._stream.read(self._wanted(size)))

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._stream.readline(self._wanted(size)))

    def _wanted(self, size: int | None) -> int:
        # One byte more than is left tells "too large" from "exactly as large as allowed".
        return self._left + 1 if size is None or size < 0 else min(size, self._left + 1)

    def _counted(self, chunk: bytes) -> bytes:
        self._left -= len(chunk)
        if self._left < 0:
            self.exceeded = True
            self._left = 0
        if self.exceeded:
            raise CapExceeded("the image is larger than this service accepts")
        return bytes(chunk)
