"""Answers of the API behind us: read whole where they are edited, streamed where they are not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from protect.glance.documents import UnexpectedDocument
from protect.upstream.addresses import without_addresses

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

MAX_ANSWER = 64 * 1024 * 1024  # bytes of an answer that we read
MAX_ERROR = 256 * 1024  # bytes of an error that are shown

_GZIP = 16 + zlib.MAX_WBITS

# What described the answer before it was edited, or must not pass at all.
_DESCRIBES_THE_BODY = frozenset(
    {"content-length", "content-md5", "etag", "last-modified", "accept-ranges", "digest", "content-digest"}
)
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})
_METADATA_HEADER = "x-image-meta-"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the API. ``status`` is the line, such as ``200 OK``."""

    status: str
    headers: Headers
    body: bytes

    @property
    def code(self) -> int:
        return int(self.status[:3])

    @property
    def succeeded(self) -> bool:
        return self.status.startswith("2")

    @property
    def encoding(self) -> str:
        """How the body is compressed; `identity` where it is plain."""
        given = [value.strip().lower() for name, value in self.headers if name.lower() == "content-encoding"]
        return ", ".join(given) or "identity"

    def with_body(self, body: bytes) -> Answer:
        """Return the same answer with another plain body, without what described the old one.

        Compressed where that one was: then the client has asked for it, and the API has an opinion on it.
        """
        if self.encoding == "gzip":
            body = gzip.compress(body, compresslevel=6, mtime=0)
        kept = [(k, v) for k, v in self.headers if not _describes_the_body(k)]
        return Answer(self.status, [*kept, ("Content-Length", str(len(body)))], body)

    def with_headers(self, extra: Headers) -> Answer:
        """Return the same answer with ``extra``, in the place of headers of the same names."""
        return Answer(self.status, _replaced(self.headers, extra), self.body)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers)
        return [self.body]


def collect(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Run the API to the end; raises UnexpectedDocument for an answer larger than MAX_ANSWER."""
    begun: list[tuple[str, Headers]] = []
    body = bytearray()

    def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        # An application that tells of its failure by `exc_info` still has an answer: nothing of it has been sent yet.
        # What there was of another one is no part of it: errors are shown, and that may have to be redacted.
        body.clear()
        begun[:] = [(status, headers)]
        return take

    def take(chunk: bytes) -> None:
        body.extend(chunk)
        if len(body) > MAX_ANSWER:
            raise UnexpectedDocument("an answer that is too large")

    chunks = app(environ, start)
    try:
        for chunk in chunks:
            take(chunk)
    finally:
        close(chunks)
    if not begun:
        raise UnexpectedDocument("no answer")
    status, headers = begun[0]
    answer = Answer(status, [(k, v) for k, v in headers if _end_to_end(k)], bytes(body))
    return _shown(answer) if answer.code >= 400 else answer


def _joined(chunks: Iterable[bytes], most: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise UnexpectedDocument("an answer that is too large")
    return bytes(body)


def _shown(error: Answer) -> Answer:
    """Return an error of the API as a client may see it: plain, and without the addresses of stores."""
    if not error.body:
        return error
    try:
        text = without_addresses(_plain(error, MAX_ERROR))
    except UnexpectedDocument:
        return _unshown(error.status, error.headers)
    if text == error.body:
        return error
    return Answer(error.status, _without_encoding(error.headers), b"").with_body(text)


def _unshown(status: str, headers: Headers) -> Answer:
    kept = _replaced(_without_encoding(headers), [("Content-Type", "text/plain; charset=UTF-8")])
    return Answer(status, kept, b"").with_body(b"The image API gave an error that cannot be shown.")


def _without_encoding(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name.lower() != "content-encoding"]


def _plain(answer: Answer, most: int) -> bytes:
    """Return the body without its compression; raises UnexpectedDocument, also for one of more than ``most`` bytes."""
    body = answer.body
    if answer.encoding == "gzip":
        decoder = zlib.decompressobj(_GZIP)
        try:
            body = decoder.decompress(body, most + 1)
        except zlib.error:
            raise UnexpectedDocument("an answer that is not compressed as it says") from None
        if len(body) <= most and (not decoder.eof or decoder.unused_data):
            raise UnexpectedDocument("a compressed answer that is cut short, or goes on behind its end")
    elif answer.encoding != "identity":
        raise UnexpectedDocument("an answer in a compression that is not known here")
    if len(body) > most:
        raise UnexpectedDocument("an answer that is too large")
    return body


def close(chunks: object) -> None:
    """Close an answer's chunks, as WSGI asks for, where they can be closed."""
    closing = getattr(chunks, "close", None)
    if closing is not None:
        closing()


def editable(answer: Answer) -> bytes:
    """Return the plain body of a success that can be edited; raises UnexpectedDocument."""
    if answer.code not in (200, 201):
        raise UnexpectedDocument(f"an answer {answer.code}")
    return _plain(answer, MAX_ANSWER)


def streamed(app: WSGIApplication, extra: Headers, failed: Callable[[Answer], WSGIApplication]) -> WSGIApplication:
    """Return the API with the data in its answer untouched: our headers are added, image metadata in them is cut.

    An error is no data: it is held until it is complete, and what ``failed`` makes of it is shown, without the
    addresses of stores.
    """

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        stream = _Stream(environ, start_response, extra, failed)
        return stream.passed(app(environ, stream.start))

    return run


class _Stream:
    """One answer on its way through. ``held`` is the beginning of an error."""

    def __init__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        extra: Headers,
        failed: Callable[[Answer], WSGIApplication],
    ) -> None:
        self._environ = environ
        self._start_response = start_response
        self._extra = extra
        self._failed = failed
        self._started = False
        self._under_way = False
        self._held: tuple[str, Headers, Any] | None = None
        self._written: list[bytes] = []

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Any:
        if self._under_way and exc_info is not None:
            # Too late for another answer: whoever reads the data must not take them for whole.
            raise exc_info[1].with_traceback(exc_info[2])
        passed = [(k, v) for k, v in headers if _passes(k)]
        if int(status[:3]) >= 400:
            self._held = status, passed, exc_info
            return self._written.append
        self._started = True
        return self._start_response(status, _replaced(passed, self._extra), exc_info)

    def passed(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        if self._held is not None:
            return self._error(chunks)
        # Most have started by now, and what they return may be more to the server than its chunks: a file.
        self._under_way = self._started
        return chunks if self._started else self._late(chunks)

    def _error(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        assert self._held is not None
        status, headers, exc_info = self._held
        try:
            answer = _shown(Answer(status, headers, _joined(chain(self._written, chunks), MAX_ERROR)))
        except UnexpectedDocument:
            answer = _unshown(status, headers)
        finally:
            close(chunks)

        def start(status: str, headers: Headers, _: Any = None, /) -> Any:
            return self._start_response(status, headers, exc_info)

        return self._failed(answer.with_headers(self._extra))(self._environ, start)

    def _late(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on what starts only when its first chunk is asked for."""
        try:
            rest = iter(chunks)
            for chunk in rest:
                if self._held is not None:
                    yield from self._error(chain([chunk], rest))
                    return
                self._under_way = True
                yield chunk
            if self._held is not None:
                yield from self._error(())
        finally:
            close(chunks)


# The API has few headers, and each answer has most of them.
@lru_cache(maxsize=256)
def _passes(header: str) -> bool:
    return not header.lower().startswith(_METADATA_HEADER)


@lru_cache(maxsize=256)
def _end_to_end(header: str) -> bool:
    return _passes(header) and header.lower() not in _HOP_BY_HOP


@lru_cache(maxsize=256)
def _describes_the_body(header: str) -> bool:
    return header.lower() in _DESCRIBES_THE_BODY


def _replaced(headers: Headers, extra: Headers) -> Headers:
    ours = {name.lower() for name, _ in extra}
    return [(name, value) for name, value in headers if name.lower() not in ours] + extra
