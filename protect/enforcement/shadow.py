"""Shadow mode: answers pass as they are, decisions are made on a copy, and what would be refused is logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from webob import Request

from protect.enforcement.refusals import Refused
from protect.errors import MalformedRequest
from protect.upstream.answers import MAX_ANSWER, Answer, close

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("protect.enforcement")


def watched(app: WSGIApplication, edit: Callable[[Answer], Answer]) -> WSGIApplication:
    """Return an app whose answers pass unchanged, while ``edit`` decides on a copy."""

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, headers, chunks, failure = Request(environ).call_application(app, catch_exc_info=True)
        rest = iter(chunks)
        head = list(_up_to(rest, MAX_ANSWER))
        try:
            answer = Answer(status, list(headers), b"".join(head))
            if answer.succeeded:
                edit(answer)
        except Exception as error:
            report(error)
        start_response(status, headers, failure)
        return _Closing(chain(head, rest), chunks)

    return run


def report(error: Exception) -> None:
    """Log what would have stopped the request."""
    if isinstance(error, Refused | MalformedRequest):
        log.info("shadow mode: this request would have been refused: %s", error)
    else:
        log.error("shadow mode: a request could not be decided on", exc_info=error)


def _up_to(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        size -= len(chunk)
        yield chunk
        if size < 0:
            return


class _Closing:
    """An answer's chunks; closing them closes what they came from."""

    def __init__(self, chunks: Iterator[bytes], source: object) -> None:
        self._chunks = chunks
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        close(self._source)
