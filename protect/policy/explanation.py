"""Why a decision is what it is: read off the graph, so it is exact and needs no Oso."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from protect.policy.graph import NO, Leaf, Node, Switch, Test, every
from protect.policy.questions import Operator
from protect.policy.vocabulary import phrase
from protect.values import Decision, Explanation, Nearest, Query, Rule, Step

#: How many near rules a denial names, and how many cases of a switch are spelled out.
NEAREST = 3
SPELLED_OUT = 5


def explain(
    decision: Decision,
    roots: tuple[Node, Node, Node],
    query: Query,
    rules: Sequence[Rule],
    leaf_of: Callable[[Any, Query], Leaf],
) -> Explanation:
    """Explain ``decision``, which these ``(forbid, allow, discard)`` graphs gave for ``query``."""
    forbid, allow, discard = roots
    kind = query.resource.kind
    steps: list[Step] = []
    rule: int | None = None
    forbidden = False
    for root, entry in ((forbid, "forbid"), (allow, "allow"), (discard, "discard")):
        if (entry == "allow" and forbidden) or (entry == "discard" and decision.allowed) or root is NO:
            continue
        steps.extend(step for step in _steps(root, query, kind) if step not in steps)
        leaf = leaf_of(root, query)
        if leaf.holds:
            rule, forbidden = leaf.rule, entry == "forbid"
    nearest: tuple[Nearest, ...] = ()
    if not decision.allowed and not forbidden:
        nearest = tuple(_nearest(allow, query, rules, kind))
    return Explanation(decision, tuple(steps), rules[rule] if rule is not None else None, nearest)


def _steps(node: Node, query: Query, kind: str) -> Iterator[Step]:
    while not isinstance(node, Leaf):
        answer: Any = node.ask(query)
        if isinstance(node, Test):
            yield Step(node.question.phrase(kind), bool(answer))
        elif answer in node.branches:
            yield Step(node.question(answer).phrase(kind), True)
        elif len(node.branches) <= SPELLED_OUT:
            yield from (Step(node.question(literal).phrase(kind), False) for literal in node.branches)
        else:
            yield Step(f"{phrase(node.fact, kind)} is one of {len(node.branches)} values that the policy names", False)
        node = node.branches[answer]


@dataclass(frozen=True, slots=True)
class _Way:
    """A way from a node to a leaf that holds: what would have to be otherwise, first condition first."""

    changes: tuple[Step, ...]
    rule: int | None


def _nearest(root: Node, query: Query, rules: Sequence[Rule], kind: str) -> Iterator[Nearest]:
    """Yield the rules that came nearest: fewest answers to change, by one pass over the graph from its leaves."""
    ways: dict[int, dict[int | None, _Way]] = {}
    for node in every(root):
        if isinstance(node, Leaf):
            ways[id(node)] = {node.rule: _Way((), node.rule)} if node.holds else {}
            continue
        best: dict[int | None, _Way] = {}
        for branch, change in _branches(node, query, kind):
            for rule, way in ways[id(branch)].items():
                changes = (*change, *way.changes)
                if rule not in best or len(changes) < len(best[rule].changes):
                    best[rule] = _Way(changes, rule)
        ways[id(node)] = best
    nearest = sorted(ways[id(root)].values(), key=lambda way: (len(way.changes), way.rule or 0))
    for way in nearest[:NEAREST]:
        yield Nearest(rules[way.rule] if way.rule is not None else None, way.changes)


def _branches(node: Test | Switch, query: Query, kind: str) -> Iterator[tuple[Node, tuple[Step, ...]]]:
    """Yield each branch with the answers that would have to change for the query to take it.

    What is asked here the decision has not asked: a fact that cannot be read has no answer, and each would be news.
    """
    actual: Any
    try:
        actual = node.ask(query)
    except Exception:
        actual = None
    if isinstance(node, Test):
        for answer, branch in enumerate(node.branches):
            holds = actual is not None and bool(answer) == bool(actual)
            if node.question.operator is Operator.SEARCHES and not holds:
                continue  # another name is no advice: it would be another section of the file
            yield branch, () if holds else (Step(node.question.phrase(kind), bool(answer)),)
        return
    taken = node.branches[actual]
    yield taken, ()
    for literal, branch in node.branches.items():
        if branch is not taken:
            yield branch, (Step(node.question(literal).phrase(kind), True),)
    if node.branches.otherwise is not taken:
        # What the value is now is not said: it may be one that the reader of an explanation must not see.
        yield node.branches.otherwise, (Step(f"{phrase(node.fact, kind)} has another value", True),)
