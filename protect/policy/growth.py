"""Graphs that grow as requests come, for the parts of a policy too large to walk completely beforehand.

An unseen path asks the policy's own language once, under a lock, and is remembered. What is remembered is bounded; past
the bound the answers stay the same, only slower. Both are counted.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protect.policy.graph import Leaf
from protect.policy.questions import Question, asker
from protect.values import Query

_renewed: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()


def renew_after_fork(owner: object, attribute: str) -> None:
    """Give ``owner`` a new lock in every forked child: nobody there would release one that was held."""
    _renewed[owner] = attribute


def _renew() -> None:
    for owner, attribute in list(_renewed.items()):
        setattr(owner, attribute, threading.Lock())


os.register_at_fork(after_in_child=_renew)


@dataclass(slots=True)
class Counts:
    """Shared by all graphs of one policy. ``room`` is how many more questions may be remembered."""

    room: int
    asked: int = 0


class _Fork:
    __slots__ = ("ask", "branches")

    def __init__(self, question: Question) -> None:
        self.ask = asker(question)
        self.branches: list[_Fork | Leaf | None] = [None, None]


#: What asking about one query gave: the questions in order with their answers, and the leaf at the end.
Answered = tuple[Sequence[tuple[Question, bool]], Leaf]


class PathTree:
    """The remembered paths of one topic. ``ask`` evaluates the policy itself on one query."""

    def __init__(self, ask: Callable[[Query], Answered], counts: Counts) -> None:
        self._ask = ask
        self._counts = counts
        self._lock = threading.Lock()
        renew_after_fork(self, "_lock")
        self._root: list[_Fork | Leaf | None] = [None]

    def leaf(self, query: Query) -> Leaf:
        """Return where ``query`` ends. Raises what reading a fact or evaluating the policy raises."""
        node = self._root[0]
        while isinstance(node, _Fork):
            node = node.branches[node.ask(query)]
        if node is not None:
            return node
        with self._lock:
            asked, leaf = self._ask(query)
            self._counts.asked += 1
            if self._counts.room >= len(asked):
                self._counts.room -= len(asked)
                self._remember(asked, leaf)
            return leaf

    def _remember(self, asked: Sequence[tuple[Question, bool]], leaf: Leaf) -> None:
        slots, index = self._root, 0
        for question, answer in asked:
            fork = slots[index]
            if not isinstance(fork, _Fork):
                fork = slots[index] = _Fork(question)
            slots, index = fork.branches, int(answer)
        slots[index] = leaf
