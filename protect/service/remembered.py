"""Replies to what is asked again: the same bytes under the same policy and the same entities have the same answer.

A decision depends on nothing else: not on the clock, not on who asks, and on no header. What cannot be decided is not
remembered, because that may not be so the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from cachetools import FIFOCache

from protect.authzen.entities import Entities
from protect.policy import Policy
from protect.service.calls import Reply
from protect.values import Decision, Query

#: Roughly the bytes of memory that remembered replies may have.
ROOM = 8 * 1024 * 1024
#: Bytes of a body that is worth it: what is longer is less likely to come again.
MAX_BODY = 64 * 1024

#: How many questions are known to have come once.
ONCE = 16_384

# Parsed JSON is about so many times as large as its text, and so many bytes are the objects around one decision.
_TIMES, _EACH = 10, 600


class Known(NamedTuple):
    """A reply, and the decisions in it: each time it is given they are made."""

    reply: Reply
    decisions: Sequence[tuple[Query, Decision]]
    size: int


class _Generation(NamedTuple):
    policy: Policy
    entities: Entities
    replies: FIFOCache[bytes, Known]


class Remembered:
    """The replies of one endpoint. Those under another policy, or with other entities, are forgotten as a whole."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        # Only writing takes it: first in, first out needs none for reading.
        self._lock = Lock()
        self._generation: _Generation | None = None
        self._once: set[int] = set()

    def find(self, body: bytes, policy: Policy, entities: Entities) -> Known | None:
        """Return what was said to ``body``, None where nothing is remembered."""
        generation = self._generation
        if generation is None or generation.policy is not policy or generation.entities is not entities:
            return None
        return generation.replies.get(body)

    def keep(
        self,
        body: bytes,
        policy: Policy,
        entities: Entities,
        reply: Reply,
        decisions: Sequence[tuple[Query, Decision]],
    ) -> None:
        """Remember a reply that is given the second time, unless it is too large or holds what could not be decided."""
        # Most questions never come again: to remember those would cost more than it saves.
        mark = hash(body)
        if mark not in self._once:
            if len(self._once) >= ONCE:
                self._once.clear()
            self._once.add(mark)
            return
        size = _TIMES * len(body) + len(reply.body) + _EACH * len(decisions)
        if len(body) > MAX_BODY or size > self._room or any(decision.error for _, decision in decisions):
            return
        with self._lock:
            generation = self._generation
            if generation is None or generation.policy is not policy or generation.entities is not entities:
                replies: FIFOCache[bytes, Known] = FIFOCache(self._room, getsizeof=lambda known: known.size)
                self._generation = generation = _Generation(policy, entities, replies)
            generation.replies[body] = Known(reply, decisions, size)
