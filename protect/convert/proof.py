"""The proof that a policy and its conversion decide alike."""

from __future__ import annotations

from collections.abc import Mapping

from protect.analysis import Comparison, compare
from protect.policy.graph import Builder, Leaf, Node, Switch, Test, every
from protect.policy.policy import ByName, Graphs, Policy, Table
from protect.policy.questions import Operator, Question, question
from protect.policy.vocabulary import NAME


def compared(old: Policy, new: Policy, patterns: Mapping[str, str]) -> Comparison:
    """Compare two policies over all requests.

    ``patterns`` are expressions of Python and what they are in RE2's syntax, already proven to be found in the same
    names: so both policies ask the same questions, and need not be proven to again for each way through the graphs.
    """
    asked = {
        question(Operator.SEARCHES, NAME, python): question(Operator.MATCHES, NAME, ours)
        for python, ours in patterns.items()
    }
    return compare(_asking(old, asked), new, everything=True)


def explored(policy: Policy) -> bool:
    """Whether the compiler has looked at the whole of the policy: otherwise nothing can be proven of it."""
    roots = (root for graphs in policy.table.all() for root in graphs.roots())
    return all(one.explored for one in every(*roots) if isinstance(one, Leaf))


def _asking(policy: Policy, instead: Mapping[Question, Question]) -> Policy:
    """Return the policy with other questions in the place of some."""
    table = policy.table
    builder = Builder()
    made: dict[int, Node] = {}

    def node(root: Node) -> Node:
        for one in every(root):
            if id(one) in made:
                continue
            if isinstance(one, Test):
                no, yes = one.branches
                made[id(one)] = builder.test(instead.get(one.question, one.question), made[id(no)], made[id(yes)])
            elif isinstance(one, Switch):
                cases = {literal: made[id(branch)] for literal, branch in one.branches.items()}
                made[id(one)] = builder.switch(one.fact, cases, made[id(one.branches.otherwise)])
            elif isinstance(one, Leaf):
                made[id(one)] = one
        return made[id(root)]

    def graphs(one: Graphs) -> Graphs:
        return Graphs(node(one.forbid), node(one.allow), node(one.discard))

    def by_name(one: ByName) -> ByName:
        names = {name: graphs(each) for name, each in one.names.items()}
        return ByName(graphs(one.other), names, graphs(one.same) if one.same is not None else None)

    return Policy(
        Table(
            {key: graphs(one) for key, one in table.actions.items()},
            {kind: graphs(one) for kind, one in table.other.items()},
            {action: by_name(one) for action, one in table.properties.items()},
            by_name(table.other_properties),
            table.leaves_actions,
        ),
        revision=policy.revision,
        rules=policy.rules,
        growth=policy.growth,
    )
