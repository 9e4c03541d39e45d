"""What we ask the API ourselves to decide on a request: as the same caller, and every fact at most once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from protect.errors import ProtectError
from protect.glance.documents import UnexpectedDocument
from protect.upstream.answers import Answer, collect, editable
from protect.upstream.forwarding import subrequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Fact = TypeVar("Fact")


class Unavailable(ProtectError):
    """The API did not tell us a fact. ``answer`` is what it said instead."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"the image API answered {answer.code} when asked for a fact")


class Upstream:
    """The API as one request sees it: the caller's identity, and every fact fetched at most once."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self._app = app
        # A copy from before the request is prepared for forwarding: what we ask ourselves stays the same.
        self._environ = dict(environ)
        self._fetched: dict[str, Answer] = {}
        # Why the last fact could not be had: a decision only says that there was an error.
        self.failure: Unavailable | UnexpectedDocument | None = None

    def get(self, path_info: str, query_string: str = "") -> Answer:
        """Return the API's answer to a GET by the same caller."""
        return collect(self._app, subrequest(self._environ, path_info, query_string))

    def fetch(self, path_info: str, read: Callable[[bytes], Fact]) -> Fact:
        """Return what ``read`` makes of the body of a 200.

        Raises Unavailable for any other answer and UnexpectedDocument for a strange one, each time it is
        asked, and keeps the error as `failure`.
        """
        try:
            answer = self._fetched.get(path_info)
            if answer is None:
                answer = self._fetched[path_info] = self.get(path_info)
            if answer.code != 200:
                raise Unavailable(answer)
            return read(editable(answer))
        except (Unavailable, UnexpectedDocument) as error:
            self.failure = error
            raise
