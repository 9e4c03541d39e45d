"""What to do with a request that may pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from protect.upstream.answers import Answer


class Plan(NamedTuple):
    """What to do with a request that may pass.

    ``body`` replaces the request's own (None: it streams through), ``query`` its query string (None: it stays).
    ``check`` is called before the API is asked, and may refuse. ``edit`` rewrites a success of the API, and may still
    refuse (None: the answer streams through). ``answer`` is given without asking the API. ``discarded`` are the names
    of properties that are dropped, ``capped`` tells an upload.
    """

    body: bytes | None = None
    content_type: str = "application/json"
    query: str | None = None
    check: Callable[[], None] | None = None
    edit: Callable[[Answer], Answer] | None = None
    answer: Answer | None = None
    discarded: tuple[str, ...] = ()
    capped: bool = False
