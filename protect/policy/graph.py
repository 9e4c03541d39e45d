"""The decision graph: what a policy answers, as plain data that a query walks down.

An inner node asks one question (``Test``) or reads one text fact (``Switch``, which is a run of equality tests on that
fact folded into one dictionary step); the answer picks the next node; a ``Leaf`` ends the walk. Sub-graphs are shared:
two nodes that ask the same and lead to the same are one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from protect.policy.questions import Operator, Question, asker
from protect.policy.vocabulary import CORE, NAME, VALUE, Fact, reader, subject_only
from protect.values import Query


class Leaf:
    """The end of a walk: whether the entry point holds, and the index of the rule that says so.

    ``explored`` is False where the compiler's budget ended: nobody has asked Oso about this path yet.
    """

    __slots__ = ("decision", "explored", "growth", "holds", "rule")

    ask: Final = None

    def __init__(self, holds: bool, rule: int | None = None, *, explored: bool = True) -> None:
        self.holds = holds
        self.rule = rule
        self.explored = explored
        #: What answers in place of an unexplored leaf; None in a saved policy.
        self.growth: Any = None
        #: Filled by the policy that owns the graph, so that deciding allocates nothing.
        self.decision: Any = None


class Test:
    """One question. ``branches`` are the nodes for no and for yes, in this order: an answer is an index."""

    __slots__ = ("ahead", "ask", "branches", "question")

    #: The name is the field's; pytest must not take it for a test.
    __test__ = False

    def __init__(self, question: Question, no: Node, yes: Node) -> None:
        self.question = question
        self.ask = asker(question)
        #: Whether the answer is the same for every image of one request.
        self.ahead = question.about_subject()
        self.branches: tuple[Node, Node] = (no, yes)


class Cases(dict[str, "Node"]):
    """The branches of a switch: a value that no case names goes to ``otherwise``."""

    __slots__ = ("otherwise",)

    def __init__(self, cases: Mapping[str, Node], otherwise: Node) -> None:
        super().__init__(cases)
        self.otherwise = otherwise

    def __missing__(self, key: object) -> Node:
        return self.otherwise


class Switch:
    """One text fact, compared with many literals in one step."""

    __slots__ = ("ahead", "ask", "branches", "fact")

    def __init__(self, fact: Fact, cases: Mapping[str, Node], otherwise: Node) -> None:
        self.fact = fact
        self.ask = reader(fact)
        self.ahead = subject_only(fact)
        self.branches = Cases(cases, otherwise)

    def question(self, literal: str) -> Question:
        """Return the equality that one case stands for."""
        return Question(Operator.EQUALS, self.fact, literal, "str")


Node = Leaf | Test | Switch

#: Shared by every graph: the entry point does not hold, and no rule was near enough to name.
NO: Final = Leaf(False)


def walk_subject(node: Any, query: Query) -> Any:
    """Walk as far as the subject, the circumstances and the property's name decide: the same for all images."""
    while (ask := node.ask) is not None and node.ahead:
        node = node.branches[ask(query)]
    return node


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes that follow directly."""
    if isinstance(node, Test):
        yield from node.branches
    elif isinstance(node, Switch):
        yield from node.branches.values()
        yield node.branches.otherwise


def every(*roots: Node) -> Iterator[Node]:
    """Yield each node of the graphs once, every child before its parents."""
    seen: set[int] = set()
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if id(root) in seen:
            continue
        seen.add(id(root))
        stack.append((root, children(root)))
        while stack:
            node, rest = stack[-1]
            for child in rest:
                if id(child) not in seen:
                    seen.add(id(child))
                    stack.append((child, children(child)))
                    break
            else:
                stack.pop()
                yield node


def facts(*roots: Node) -> set[Fact]:
    """Return every fact that the graphs can read."""
    found: set[Fact] = set()
    for node in every(*roots):
        if isinstance(node, Test):
            found.update(node.question.facts())
        elif isinstance(node, Switch):
            found.add(node.fact)
    return found


def differs_by_property(*roots: Node) -> bool:
    """Whether two properties of one image can end differently in these graphs, once their names are known."""
    if any(isinstance(node, Leaf) and not node.explored for node in every(*roots)):
        return True
    return any(fact in (NAME, VALUE, CORE) for fact in facts(*roots))


class Builder:
    """Makes nodes, each different one once, and folds runs of equality tests into switches.

    A test whose two branches are the same node is that node: a question that changes nothing is not asked.
    """

    def __init__(self) -> None:
        self._nodes: dict[object, Node] = {("leaf", False, None): NO}

    def leaf(self, holds: bool, rule: int | None = None) -> Leaf:
        """Return the leaf for one outcome."""
        leaf = self._shared(("leaf", holds, rule), lambda: Leaf(holds, rule))
        assert isinstance(leaf, Leaf)
        return leaf

    def unexplored(self, topic: tuple[str, ...]) -> Leaf:
        """Return the leaf for all paths of ``topic`` that nobody has asked Oso about."""
        leaf = self._shared(("unexplored", topic), lambda: Leaf(False, explored=False))
        assert isinstance(leaf, Leaf)
        return leaf

    def test(self, question: Question, no: Node, yes: Node) -> Node:
        """Return the node that asks ``question``; an equality with text becomes, or joins, a switch."""
        if no is yes:
            return no
        if question.operator is Operator.EQUALS and isinstance(question.operand, str):
            if isinstance(no, Switch) and no.fact == question.fact:
                return self.switch(question.fact, {**no.branches, question.operand: yes}, no.branches.otherwise)
            if isinstance(no, Test) and _equality_with_text(no.question) and no.question.fact == question.fact:
                literal = str(no.question.operand)
                cases = {literal: no.branches[1], question.operand: yes}
                return self.switch(question.fact, cases, no.branches[0])
        return self._shared(("test", question, id(no), id(yes)), lambda: Test(question, no, yes))

    def run(self, fact: Fact, cases: Mapping[str, Node], no: Node) -> Node:
        """Return the node for a run of equalities on ``fact``: as many calls of ``test``, in one step."""
        if isinstance(no, Switch) and no.fact == fact:
            cases, no = {**no.branches, **cases}, no.branches.otherwise
        return self.switch(fact, cases, no)

    def switch(self, fact: Fact, cases: Mapping[str, Node], otherwise: Node) -> Node:
        """Return the node that reads ``fact`` and looks the value up."""
        kept = {literal: node for literal, node in cases.items() if node is not otherwise}
        if not kept:
            return otherwise
        if len(kept) == 1:
            [(literal, yes)] = kept.items()
            asked = Question(Operator.EQUALS, fact, literal, "str")
            return self._shared(("test", asked, id(otherwise), id(yes)), lambda: Test(asked, otherwise, yes))
        key = ("switch", fact, id(otherwise), frozenset((literal, id(node)) for literal, node in kept.items()))
        return self._shared(key, lambda: Switch(fact, kept, otherwise))

    def _shared(self, key: object, make: Callable[[], Node]) -> Node:
        # Identities in keys are safe: every node stays in this table as long as the builder lives.
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = make()
        return node


def _equality_with_text(question: Question) -> bool:
    return question.operator is Operator.EQUALS and isinstance(question.operand, str)
