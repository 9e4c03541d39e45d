"""An image API that is reached over HTTP, as a WSGI application: streams both ways and holds nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING

from webob import exc

from protect.connections import Connections
from protect.errors import MalformedRequest
from protect.glance.documents import UnexpectedDocument
from protect.proxy import headers, uploads
from protect.proxy.headers import BadAnswer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from protect.proxy.headers import Headers

log = logging.getLogger("protect.proxy")

MAX_HELD = 64 * 1024 * 1024  # bytes of an answer, where the server in front of us cannot break one off

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = frozenset({"CONNECT", "TRACE"})
# It ends a chunked answer as if it were complete when the application fails half-way.
_SILENT_ABOUT_BROKEN_ANSWERS = "Granian"


class BrokenOff(UnexpectedDocument):
    """The API's answer ended before its end. It must not look complete to the client."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: Headers
    body: uploads.Upload
    environ: WSGIEnvironment

    @property
    def repeatable(self) -> bool:
        return self.method in _REPEATABLE and self.body.empty


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request that was answered. ``whole``: nothing of it is left to be sent."""

    connection: HTTPConnection
    response: HTTPResponse
    whole: bool
    method: str

    @property
    def bodiless(self) -> bool:
        return self.method == "HEAD" or self.response.status in (204, 304)


class Forwarder:
    """Sends each request on to one image API."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            answer = self._forwarded(environ)
        except MalformedRequest as error:
            answer = exc.status_map[error.status](str(error))
        except TimeoutError as error:
            answer = self._failed(exc.HTTPGatewayTimeout("The image API did not answer in time."), environ, error)
        except (OSError, HTTPException, BadAnswer, BrokenOff) as error:
            answer = self._failed(exc.HTTPBadGateway("The image API could not be reached."), environ, error)
        return answer(environ, start_response)

    def _failed(self, answer: WSGIApplication, environ: WSGIEnvironment, error: Exception) -> WSGIApplication:
        method, upstream = environ["REQUEST_METHOD"], self._connections.address
        log.error("a %s request to the image API at %s failed: %s: %s", method, upstream, type(error).__name__, error)
        return answer

    def _forwarded(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Send a request, and return its answer, the body of which is still to come.

        Raises MalformedRequest for the client's fault; OSError, HTTPException, BadAnswer and BrokenOff for the API's.
        """
        upstream = self._connections.address
        here = headers.place(environ)
        exchange = self._exchange(_request(environ, self._connections))
        response = exchange.response
        try:
            passed = headers.response_headers(response.getheaders(), upstream, here, response.status)
            status = headers.status_line(response.status, response.reason)
            chunks = _Answer(exchange, self._connections)
            held = b"".join(_held(chunks)) if _must_hold(environ, passed, exchange) else None
        except BaseException:
            exchange.connection.close()
            raise

        def answer(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if held is not None:
                start_response(status, [*passed, ("Content-Length", str(len(held)))])
                return [held]
            try:
                start_response(status, passed)
            except BaseException:
                chunks.close()
                raise
            return chunks

        return answer

    def _exchange(self, request: _Request) -> _Exchange:
        # Only what may be sent twice goes over a connection that the API may be about to close.
        idle = self._connections.idle() if request.repeatable else None
        if idle is not None:
            try:
                return _over(idle, request)
            except (RemoteDisconnected, BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
                pass
        return _over(self._connections.fresh(), request)


def _request(environ: WSGIEnvironment, connections: Connections) -> _Request:
    method = str(environ["REQUEST_METHOD"])
    if method in _REFUSED:
        raise MalformedRequest("the method is not one of the image API's", 405)
    body = uploads.upload(environ)
    sent = headers.request_headers(environ, connections.address) + uploads.framing(body, method)
    return _Request(method, headers.target(environ, connections.address.prefix), sent, body, environ)


def _over(connection: HTTPConnection, request: _Request) -> _Exchange:
    try:
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.endheaders()
        whole = uploads.send(connection, request.body, request.environ)
        return _Exchange(connection, connection.getresponse(), whole, request.method)
    except BaseException:
        # Also when the client has gone: the API must see a body that is cut short, not one that is complete.
        connection.close()
        raise


def _must_hold(environ: WSGIEnvironment, passed: Headers, exchange: _Exchange) -> bool:
    declared = any(name == "Content-Length" for name, _ in passed)
    silent = environ.get("SERVER_SOFTWARE") == _SILENT_ABOUT_BROKEN_ANSWERS
    return silent and not declared and not exchange.bodiless


def _held(chunks: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_HELD:
            raise BadAnswer("an answer without a length that is too large to be held")
        yield chunk


class _Answer:
    """The body of an answer, as it comes. Raises BrokenOff where it ends before its end."""

    def __init__(self, exchange: _Exchange, connections: Connections) -> None:
        self._exchange = exchange
        self._connections = connections
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        response = self._exchange.response
        try:
            piece = b"" if self._exchange.bodiless else response.read1(uploads.PIECE)
            if not piece and response.length:
                raise IncompleteRead(b"", response.length)
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            log.error("the image API at %s broke an answer off: %s", self._connections.address, type(error).__name__)
            raise BrokenOff("an answer that breaks off") from error
        if piece:
            return piece
        self._finish()
        raise StopIteration

    def _finish(self) -> None:
        """Keep the connection for the next request, where the end of this answer is beyond doubt."""
        exchange, response = self._exchange, self._exchange.response
        self._over = True
        framed = response.chunked or bool(response.getheader("Content-Length"))
        response.close()
        # An API that sends a body where none may be would answer the next request with it.
        if exchange.whole and framed and not exchange.bodiless and not response.will_close:
            self._connections.keep(exchange.connection)
        else:
            exchange.connection.close()

    def close(self) -> None:
        """End the exchange, whatever has been read of it."""
        if not self._over:
            self._over = True
            self._exchange.response.close()
            self._exchange.connection.close()
