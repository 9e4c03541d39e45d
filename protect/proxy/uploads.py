"""The body of a request on its way to the API: in pieces, and never said to be complete when it is not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from protect.connections import readable
from protect.errors import MalformedRequest
from protect.upstream.bodies import declared_length

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PIECE = 1 << 16  # bytes that are held of a body

# It takes the end of a connection for the end of a chunked body, so that half an upload looks like a whole one.
_SILENT_ABOUT_BROKEN_CHUNKS = "Granian"
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_STATUS_DIGIT = len("HTTP/1.1 ")


@dataclass(frozen=True, slots=True)
class Upload:
    """A body. ``length``: as declared, None where it comes in chunks. ``announced``: the least that it must have."""

    length: int | None
    announced: int = 0

    @property
    def empty(self) -> bool:
        return self.length == 0


def upload(environ: WSGIEnvironment) -> Upload:
    """Return what a request says of its body; raises MalformedRequest where it says it in two ways."""
    coding = str(environ.get("HTTP_TRANSFER_ENCODING") or "")
    length = declared_length(environ)
    if not coding:
        return Upload(length or 0)
    if coding.strip().lower() != "chunked":
        raise MalformedRequest("the body has a transfer encoding that is not `chunked`", 501)
    announced = str(environ.get("HTTP_X_OPENSTACK_IMAGE_SIZE") or "")
    if announced.isascii() and announced.isdigit() and len(announced) <= 18:
        return Upload(None, int(announced))
    if environ.get("SERVER_SOFTWARE") == _SILENT_ABOUT_BROKEN_CHUNKS:
        raise MalformedRequest("this server needs a Content-Length, or X-OpenStack-Image-Size, with an upload", 411)
    return Upload(None)


def framing(body: Upload, method: str) -> list[tuple[str, str]]:
    """Return the headers that say where the body ends."""
    if body.length is None:
        return [("Transfer-Encoding", "chunked")]
    return [] if body.empty and method in _WITHOUT_BODY else [("Content-Length", str(body.length))]


def send(connection: HTTPConnection, body: Upload, environ: WSGIEnvironment) -> bool:
    """Send the body; False where the API has answered, or hung up, before the end.

    Raises MalformedRequest where the client breaks off, and TimeoutError where the API takes nothing any more. Then
    the connection must be closed: the API sees a body that is cut short.
    """
    for piece in _pieces(environ["wsgi.input"], body):
        framed = piece if body.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece)
        if _answered(connection.sock) or not _taken(connection, framed):
            return False
    return body.length is not None or _taken(connection, b"0\r\n\r\n")


def _taken(connection: HTTPConnection, data: bytes) -> bool:
    try:
        connection.send(data)
    except TimeoutError:
        raise
    except OSError:
        # Hung up, perhaps with an answer that can still be read.
        return False
    return True


def _pieces(stream: object, body: Upload) -> Iterator[bytes]:
    sent, length = 0, body.length
    while length is None or sent < length:
        piece = _read(stream, PIECE if length is None else min(PIECE, length - sent))
        if not piece:
            break
        sent += len(piece)
        yield piece
    expected = body.announced if length is None else length
    if sent < expected:
        raise MalformedRequest(f"the body ended after {sent} of {expected} bytes")


def _read(stream: object, size: int) -> bytes:
    try:
        return bytes(stream.read(size))  # type: ignore[attr-defined]
    except Exception as error:
        # Each server has its own exceptions for a client that has gone.
        raise MalformedRequest("the body broke off") from error


def _answered(sock: socket.socket) -> bool:
    """Tell whether the API has given its answer, or hung up, though the upload is not over."""
    # Under TLS something to read may be no answer at all, and cannot be looked at without taking it.
    if isinstance(sock, ssl.SSLSocket) or not readable(sock):
        return False
    try:
        seen = sock.recv(_STATUS_DIGIT + 1, socket.MSG_PEEK)
    except OSError:
        return True
    # An interim answer (1xx) is none.
    return not seen or (len(seen) > _STATUS_DIGIT and seen[_STATUS_DIGIT:] != b"1")
