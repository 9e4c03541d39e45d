"""Graphs that policies have in common: explored for the first of them, and copied for the others."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from protect.policy.graph import Builder, Leaf, Node, Switch, Test, every


class Explored:
    """Graphs by what they depend on: the texts of rules, and the question. Their leaves count those rules."""

    def __init__(self) -> None:
        self._graphs: dict[Hashable, tuple[Node, Sequence[int], bool]] = {}

    def remember(self, key: Hashable, node: Node, rules: Sequence[int], name_read: bool) -> None:
        """Remember a graph whose leaves name some of ``rules``, unless a part of it is unexplored."""
        if not any(isinstance(one, Leaf) and not one.explored for one in every(node)):
            self._graphs[key] = node, rules, name_read

    def recall(self, key: Hashable, rules: Sequence[int], builder: Builder) -> tuple[Node, bool] | None:
        """Return a graph for a policy that has the same rules as these ``rules``, and whether it reads the name."""
        known = self._graphs.get(key)
        if known is None:
            return None
        node, numbers, name_read = known
        return _copied(node, dict(zip(numbers, rules, strict=True)), builder), name_read


def _copied(root: Node, numbers: Mapping[int, int], builder: Builder) -> Node:
    copies: dict[int, Node] = {}
    for node in every(root):
        match node:
            case Leaf():
                copy: Node = builder.leaf(node.holds, None if node.rule is None else numbers[node.rule])
            case Test():
                no, yes = node.branches
                copy = builder.test(node.question, copies[id(no)], copies[id(yes)])
            case Switch():
                cases = {literal: copies[id(branch)] for literal, branch in node.branches.items()}
                copy = builder.switch(node.fact, cases, copies[id(node.branches.otherwise)])
        copies[id(node)] = copy
    return copies[id(root)]
