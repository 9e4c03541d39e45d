"""Answers of the API behind us: read whole where they are edited, streamed where they are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webob import Request

from protect.glance.documents import UnexpectedDocument

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

MAX_ANSWER = 64 * 1024 * 1024  # bytes of an answer that we read

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
        return 200 <= self.code < 300

    def with_body(self, body: bytes) -> Answer:
        """Return the same answer with another body, without what described the old one."""
        kept = [(k, v) for k, v in self.headers if k.lower() not in _DESCRIBES_THE_BODY]
        return Answer(self.status, [*kept, ("Content-Length", str(len(body)))], body)

    def with_headers(self, extra: Headers) -> Answer:
        """Return the same answer with ``extra``, in the place of headers of the same names."""
        return Answer(self.status, _replaced(self.headers, extra), self.body)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers)
        return [self.body]


def collect(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Run the API to the end; raises UnexpectedDocument for an answer larger than MAX_ANSWER."""
    # An application that tells of its failure by `exc_info` still has an answer: nothing of it has been sent yet.
    status, headers, chunks, _ = Request(environ).call_application(app, catch_exc_info=True)
    try:
        body = _joined(chunks)
    finally:
        close(chunks)
    passed = [(k, v) for k, v in headers if _passes(k) and k.lower() not in _HOP_BY_HOP]
    return Answer(status, passed, body)


def _joined(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER:
            raise UnexpectedDocument("an answer that is too large")
    return bytes(body)


def close(chunks: object) -> None:
    """Close an answer's chunks, as WSGI asks for, where they can be closed."""
    closing = getattr(chunks, "close", None)
    if closing is not None:
        closing()


def editable(answer: Answer) -> bytes:
    """Return the body of a success that can be edited; raises UnexpectedDocument for a compressed one."""
    for name, value in answer.headers:
        if name.lower() == "content-encoding" and value.strip().lower() != "identity":
            raise UnexpectedDocument("a compressed answer")
    if answer.code not in (200, 201):
        raise UnexpectedDocument(f"an answer {answer.code}")
    return answer.body


def streamed(app: WSGIApplication, extra: Headers) -> WSGIApplication:
    """Return the API with its answer untouched, but for headers: ours are added, image metadata is cut."""

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
            passed = [(k, v) for k, v in headers if _passes(k)]
            return start_response(status, _replaced(passed, extra), exc_info)

        return app(environ, start)

    return run


def _passes(header: str) -> bool:
    return not header.lower().startswith(_METADATA_HEADER)


def _replaced(headers: Headers, extra: Headers) -> Headers:
    ours = {name.lower() for name, _ in extra}
    return [(name, value) for name, value in headers if name.lower() not in ours] + extra
