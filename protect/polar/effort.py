"""How long Oso takes at the least: to read a policy, which nothing can stop, and to answer one question about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from protect.polar.syntax import Literal, Operation, Rule, Statement, walk

#: What reading takes for one condition with each of those that it is joined to, in seconds; measured, and rounded up.
_JOINED: Final = 1.2e-8
#: What one question takes for one rule with each of those that may answer it as well.
_RIVALS: Final = 5e-8


def least_seconds(statements: Sequence[Statement]) -> float:
    """Return how many seconds Oso takes for these statements, where that is long at all.

    It grows with the square of what one ``and`` or ``or`` joins (0.01 for 1,000 conditions, 5 for 20,000), and of the
    rules that answer one question (0.05 for 1,000, 20 for 20,000). Facts are looked up, and cost nothing.
    """
    joined = 0
    rivals: Counter[object] = Counter()
    for statement in statements:
        if isinstance(statement, Rule) and statement.body is not None:
            rivals[_head(statement)] += 1
            for term in walk(statement.body):
                if isinstance(term, Operation) and term.operator in ("and", "or"):
                    joined += len(term.operands) ** 2
    return _JOINED * joined + _RIVALS * max(rivals.values(), default=0) ** 2


def _head(rule: Rule) -> object:
    """Return what tells the questions that rules answer apart: the name, and the texts in the head."""
    terms = [parameter.term for parameter in rule.parameters]
    return rule.name, tuple(term.value if isinstance(term, Literal) else None for term in terms)
