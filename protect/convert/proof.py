"""The proof that a policy and its conversion decide alike.

A conversion that is too long to be explored whole is explored link by link. Each link is a policy whose rules are those
of the conversion, but for the one that leads on to the next link: there stands a question. Polar has no rules with side
effects, and that one is called with what its caller was called with, so the answer to the question is what the next
link says, and the graphs put behind one another are the graph of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeGuard

from protect.analysis import Comparison, compare
from protect.analysis.names import finder
from protect.policy.graph import NO, Builder, Leaf, Node, Switch, Test, every
from protect.policy.policy import ByName, Graphs, Policy, Table
from protect.policy.questions import Operator, Question, question
from protect.policy.vocabulary import NAME, Fact
from protect.values import Image, Property, Query, Subject


@dataclass(frozen=True, slots=True)
class Union:
    """Expressions of Python, and one of RE2 that is found in the names in which any of them is.

    Each of them was proven to be found where its alternative in ``ours`` is. Names that are spelt out are left out of
    that: both policies know them, and ask for no pattern.
    """

    patterns: tuple[str, ...]
    ours: str


def compared(old: Policy, gathered: Policy, new: Policy, unions: Sequence[Union]) -> Comparison:
    """Compare two policies over all requests: ``old`` as it is, with its sections ``gathered``, and ``new``.

    The patterns of each of ``unions`` stand one after the other in ``gathered``. They are asked for there as in
    ``new``, and need not be proven to be found in the same names again for each way through the graphs.
    """
    comparison = compare(old, gathered, everything=True)
    if comparison.differences or comparison.unproven:
        return comparison
    with suppress(Broken):
        gathered = _Asking(unions).policy(gathered)
    return compare(gathered, new, everything=True)


def explored(policy: Policy) -> bool:
    """Whether the compiler has looked at the whole of the policy: otherwise nothing can be proven of it."""
    roots = (root for graphs in policy.table.all() for root in graphs.roots())
    return all(one.explored for one in every(*roots) if isinstance(one, Leaf))


def deepest(policy: Policy) -> bool:
    """Whether a question is answered for which all rules have to be asked: about a name that none of them mentions."""
    return not policy.decide(Query(Subject(), "read", Property("\ue000", Image()))).error


class Broken(Exception):
    """The links do not make a chain."""


def chained(links: Sequence[Policy], behind: Fact) -> Policy:
    """Return the policy that the links make: each but the last asks ``behind``, which is what the next one says.

    All but properties is the first one's. Raises Broken for links that do something else.
    """
    first = links[0].table
    chain = _Chain(links, behind)
    actions = dict.fromkeys(action for one in links for action in one.table.properties)
    table = Table(first.actions, first.other, {action: chain.by_name(action) for action in actions})
    table.other_properties = chain.by_name(None)
    return Policy(table, revision=links[0].revision, rules=links[0].rules)


class _Chain:
    def __init__(self, links: Sequence[Policy], behind: Fact) -> None:
        self._links = links
        self._behind = behind
        self._builder = Builder()

    def by_name(self, action: str | None) -> ByName:
        """Return the graphs of one action on properties; None is any that no link mentions."""
        tables = [_by_name(one, action) for one in self._links]

        def named(name: str) -> Graphs:
            found = [one.names.get(name, one.other) if action is None else one.find(action, name) for one in tables]
            return self._joined(found, name)

        names = dict.fromkeys(name for one in tables for name in one.names)
        made = ByName(self._joined([one.other for one in tables]), {name: named(name) for name in names})
        if action is not None:
            made.same = named(action)
        elif any(one.same is not None for one in tables):
            made.same = self._joined([one.same or one.other for one in tables])
        return made

    def _joined(self, found: Sequence[Graphs], name: str | None = None) -> Graphs:
        if any(one.forbid is not NO or one.discard is not NO for one in found):
            raise Broken
        first, *rest = [one.allow for one in found]
        leads = next((node.branches[1] for node in every(first) if self._asks(node)), None)
        chain: Node = NO
        if isinstance(leads, Leaf):
            # What a later link allows, the rule of the first allows: the one that leads there.
            for root in reversed(rest):
                chain = self._put(root, chain, name, leads.rule)
        return Graphs(allow=self._put(first, chain, name))

    def _asks(self, node: Node) -> TypeGuard[Test]:
        return isinstance(node, Test) and node.question.fact == self._behind

    def _put(self, root: Node, chain: Node, name: str | None, rule: int | None = None) -> Node:
        """Return a graph with ``chain`` where it asks for what is behind, of properties with this ``name``."""
        while isinstance(root, Test) and (known := _answer(root.question, name)) is not None:
            root = root.branches[known]
        if self._asks(root):
            return self._followed(root, chain)
        made: dict[int, Node] = {}
        for node in every(root):
            if isinstance(node, Leaf):
                made[id(node)] = self._leaf(node, rule)
            elif self._asks(node):
                made[id(node)] = self._followed(node, chain)
            elif isinstance(node, Test):
                no, yes = (made[id(one)] for one in node.branches)
                known = _answer(node.question, name)
                made[id(node)] = self._builder.test(node.question, no, yes) if known is None else (no, yes)[known]
            elif isinstance(node, Switch):
                cases = {literal: made[id(branch)] for literal, branch in node.branches.items()}
                made[id(node)] = self._builder.switch(node.fact, cases, made[id(node.branches.otherwise)])
        return made[id(root)]

    def _leaf(self, leaf: Leaf, rule: int | None) -> Leaf:
        if not leaf.explored:
            raise Broken
        return self._builder.leaf(True, leaf.rule if rule is None else rule) if leaf.holds else NO

    @staticmethod
    def _followed(node: Test, chain: Node) -> Node:
        """Return what is behind, where its answer is the answer."""
        no, yes = node.branches
        if not isinstance(no, Leaf) or not isinstance(yes, Leaf) or no.holds or not yes.holds:
            raise Broken
        return chain


def _by_name(policy: Policy, action: str | None) -> ByName:
    other = policy.table.other_properties
    return policy.table.properties.get(action, other) if action is not None else other


def _answer(asked: Question, name: str | None) -> bool | None:
    """Return whether a pattern is found in a name that is known."""
    if name is None or asked.operator is not Operator.MATCHES or asked.fact != NAME:
        return None
    return bool(finder((asked.operator, str(asked.operand)))(name))


class _Asking:
    """Puts one question in the place of several that stand one after the other and lead to the same."""

    def __init__(self, unions: Sequence[Union]) -> None:
        self._places = {
            question(Operator.SEARCHES, NAME, pattern): (union, index)
            for union in unions
            for index, pattern in enumerate(union.patterns)
        }
        self._builder = Builder()

    def policy(self, policy: Policy) -> Policy:
        """Return the policy with its questions put so. Raises Broken where they do not stand so."""
        table = policy.table
        return Policy(
            Table(
                {key: self._graphs(one) for key, one in table.actions.items()},
                {kind: self._graphs(one) for kind, one in table.other.items()},
                {action: self._by_name(one) for action, one in table.properties.items()},
                self._by_name(table.other_properties),
                table.leaves_actions,
            ),
            revision=policy.revision,
            rules=policy.rules,
        )

    def _by_name(self, one: ByName) -> ByName:
        names = {name: self._graphs(each) for name, each in one.names.items()}
        return ByName(self._graphs(one.other), names, self._graphs(one.same) if one.same is not None else None)

    def _graphs(self, one: Graphs) -> Graphs:
        return Graphs(self._node(one.forbid), self._node(one.allow), self._node(one.discard))

    def _node(self, root: Node) -> Node:
        made: dict[int, Node] = {}
        #: Which nodes ask for the patterns of a union from this one on, of those that ask not yet for all.
        part: dict[int, tuple[Union, int]] = {}

        def whole(node: Node) -> Node:
            if id(node) in part:
                raise Broken
            return made[id(node)]

        for node in every(root):
            if isinstance(node, Leaf):
                # Which section it was says nothing here.
                made[id(node)] = self._builder.leaf(node.holds)
            elif isinstance(node, Switch):
                cases = {literal: whole(branch) for literal, branch in node.branches.items()}
                made[id(node)] = self._builder.switch(node.fact, cases, whole(node.branches.otherwise))
            elif isinstance(node, Test):
                before, yes = node.branches[0], whole(node.branches[1])
                union, index = self._places.get(node.question, (None, 0))
                if union is None:
                    made[id(node)] = self._builder.test(node.question, whole(before), yes)
                    continue
                asked = question(Operator.MATCHES, NAME, union.ours)
                if part.get(id(before)) == (union, index + 1):
                    made[id(node)] = _more(made[id(before)], asked, yes)
                elif index + 1 == len(union.patterns):
                    made[id(node)] = self._builder.test(asked, whole(before), yes)
                else:
                    raise Broken
                if index:
                    part[id(node)] = union, index
        return whole(root)


def _more(node: Node, asked: Question, yes: Node) -> Node:
    """Return a node that asks for the patterns behind one more, which leads to the same."""
    if node is yes or (isinstance(node, Test) and node.question == asked and node.branches[1] is yes):
        return node
    raise Broken
