"""One graph for the whole of a decision: what ``forbid``, ``allow`` and ``discard`` come to together.

The three graphs of a policy are put behind one another, linear in their size. Nodes that ask the same and lead to the
same are one object, also across two policies, so that what two policies have in common is seen at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from protect.policy.graph import NO, Leaf, Node, Switch, Test, every
from protect.policy.policy import Graphs
from protect.policy.questions import Question
from protect.policy.vocabulary import Fact


class Outcome(StrEnum):
    """How a query ends. ``UNSEEN``: nobody has asked Oso about this path yet."""

    ALLOWED = "allowed"
    DENIED = "denied"
    DISCARDED = "dropped"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class End:
    """The end of a way: the outcome, and the index of the rule that says so, where that is kept."""

    outcome: Outcome
    rule: int | None = None


class Fork:
    """One question. ``no`` and ``yes`` follow."""

    __slots__ = ("no", "question", "yes")

    def __init__(self, question: Question, no: Step, yes: Step) -> None:
        self.question = question
        self.no = no
        self.yes = yes


class Choice:
    """One text fact, compared with many literals; ``otherwise`` follows for any other value, and for none."""

    __slots__ = ("cases", "fact", "otherwise")

    def __init__(self, fact: Fact, cases: Mapping[str, Step], otherwise: Step) -> None:
        self.fact = fact
        self.cases = cases
        self.otherwise = otherwise


Step = End | Fork | Choice


class Outcomes:
    """Makes the graphs. ``rules`` keeps which rule decided; without it, leaves differ by their outcome alone."""

    def __init__(self, *, rules: bool = False) -> None:
        self._rules = rules
        self._steps: dict[Hashable, Step] = {}
        self._kept: dict[tuple[int, ...], tuple[Step, object]] = {}

    def decided(self, graphs: Graphs) -> Step:
        """Return the graph of ``Policy.decide``."""
        return self._remembered(graphs, "decide", lambda: self._decided(graphs))

    def forbidden(self, graphs: Graphs) -> Step:
        """Return the graph of ``Policy.forbidden``."""
        return self._remembered(graphs, "forbidden", lambda: self._forbidden(graphs, self.end(Outcome.ALLOWED)))

    def end(self, outcome: Outcome, rule: int | None = None) -> Step:
        """Return the end with this outcome."""
        kept = rule if self._rules else None
        return self._shared(("end", outcome, kept), lambda: End(outcome, kept))

    def _remembered(self, graphs: Graphs, way: str, make: Callable[[], Step]) -> Step:
        key = (*map(id, graphs.roots()), len(way))
        if key not in self._kept:
            # The graphs are kept as well: as long as they are, nothing else has their identities.
            self._kept[key] = make(), graphs.roots()
        return self._kept[key][0]

    def _decided(self, graphs: Graphs) -> Step:
        refused = self._refused(graphs, None)

        def allowed(leaf: Leaf) -> Step:
            if leaf.holds:
                return self.end(Outcome.ALLOWED, leaf.rule)
            return refused if leaf.rule is None or not self._rules else self._refused(graphs, leaf.rule)

        return self._forbidden(graphs, self._replaced(graphs.allow, allowed))

    def _forbidden(self, graphs: Graphs, otherwise: Step) -> Step:
        def forbidden(leaf: Leaf) -> Step:
            return self._refused(graphs, leaf.rule) if leaf.holds else otherwise

        return self._replaced(graphs.forbid, forbidden)

    def _refused(self, graphs: Graphs, rule: int | None) -> Step:
        denied = self.end(Outcome.DENIED, rule)
        if graphs.discard is NO:
            return denied
        return self._replaced(
            graphs.discard, lambda leaf: self.end(Outcome.DISCARDED, leaf.rule) if leaf.holds else denied
        )

    def _replaced(self, root: Node, follow: Callable[[Leaf], Step]) -> Step:
        made: dict[int, Step] = {}
        for node in every(root):
            if isinstance(node, Leaf):
                made[id(node)] = follow(node) if node.explored else self.end(Outcome.UNSEEN)
            elif isinstance(node, Test):
                no, yes = node.branches
                made[id(node)] = self._fork(node.question, made[id(no)], made[id(yes)])
            elif isinstance(node, Switch):
                cases = {literal: made[id(branch)] for literal, branch in node.branches.items()}
                made[id(node)] = self._choice(node.fact, cases, made[id(node.branches.otherwise)])
        return made[id(root)]

    def _fork(self, question: Question, no: Step, yes: Step) -> Step:
        if no is yes:
            return no
        return self._shared(("fork", question, id(no), id(yes)), lambda: Fork(question, no, yes))

    def _choice(self, fact: Fact, cases: Mapping[str, Step], otherwise: Step) -> Step:
        kept = {literal: step for literal, step in cases.items() if step is not otherwise}
        if not kept:
            return otherwise
        key = ("choice", fact, id(otherwise), frozenset((literal, id(step)) for literal, step in kept.items()))
        return self._shared(key, lambda: Choice(fact, kept, otherwise))

    def _shared(self, key: Hashable, make: Callable[[], Step]) -> Step:
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = make()
        return step


def following(step: Step) -> Iterator[Step]:
    """Yield what follows directly."""
    if isinstance(step, Fork):
        yield step.no
        yield step.yes
    elif isinstance(step, Choice):
        yield from step.cases.values()
        yield step.otherwise


def upwards(root: Step) -> Iterator[Step]:
    """Yield each step of a graph once, whatever follows before what leads to it."""
    seen = {id(root)}
    stack = [(root, following(root))]
    while stack:
        step, rest = stack[-1]
        for child in rest:
            if id(child) not in seen:
                seen.add(id(child))
                stack.append((child, following(child)))
                break
        else:
            stack.pop()
            yield step
