"""Deciding on many things in one request: those that agree in the few facts that decide are decided on once."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from protect.policy.graph import Leaf, Node, Switch, Test, facts
from protect.policy.vocabulary import Fact
from protect.values import Query

#: Facts that have few different values in a list of images, and are at hand in each.
FEW: Final = frozenset({"owner", "visibility", "status", "disk_format", "container_format", "protected", "hidden"})
#: How many combinations are remembered.
MOST: Final = 256

#: Stands for a combination of which nothing is known yet.
NEW: Final[Any] = object()

Outcome = TypeVar("Outcome")

#: Reads a combination from the thing that has the facts; raises what reading one raises.
Key = Callable[[object], object]


def key_of(of: Fact, *roots: Node) -> Key:
    """Return what reads the facts in ``FEW`` that the graphs ask for of the thing that ``of`` leads to."""
    names = sorted({fact[-1] for fact in facts(*roots) if fact[:-1] == of and fact[-1] in FEW})
    return attrgetter(*names) if names else _nothing


class Combinations(Generic[Outcome]):
    """What came of each combination of the facts in ``FEW`` that some graphs ask for; all else is the same throughout.

    ``of`` is the way to those facts from a query: ``("resource",)``, and ``key`` what `key_of` returns for it.
    ``known`` has None for a combination that does not decide alone. Not to be shared between threads. Not worth it for
    the first thing, which may stay the only one: to find out what decided costs more than to decide.
    """

    __slots__ = ("_of", "key", "known")

    def __init__(self, of: Fact, key: Key) -> None:
        self._of = of
        self.key = key
        self.known: dict[object, Outcome | None] = {}

    def remember(self, key: object, outcome: Outcome, query: Query, *roots: Node) -> None:
        """Remember what the walks down ``roots`` came to, if they asked for nothing but the combination."""
        if len(self.known) < MOST:
            self.known[key] = outcome if all(self._decides(root, query) for root in roots) else None

    def _decides(self, node: Any, query: Query) -> bool:
        while not isinstance(node, Leaf):
            if not all(self._same(fact) for fact in _facts(node)):
                return False
            try:
                node = node.branches[node.ask(query)]
            except Exception:
                return False  # the decision did without it
        return node.explored

    def _same(self, fact: Fact) -> bool:
        return fact[0] != "resource" or (fact[:-1] == self._of and fact[-1] in FEW)


def _facts(node: Test | Switch) -> tuple[Fact, ...]:
    return node.question.facts() if isinstance(node, Test) else (node.fact,)


def _nothing(_thing: object) -> object:
    return None
