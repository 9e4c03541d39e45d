"""What the rules of the entry points are about, as far as their heads and first conditions tell.

A question that no rule can answer with yes is not asked of Oso; and questions that come to the same rules, none of
which looks at what tells the questions apart, are asked once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from protect.polar.syntax import List, Literal, Operation, Parameter, Pattern, Rule, Term, Variable, walk
from protect.policy.vocabulary import RESOURCES


@dataclass(frozen=True, slots=True)
class Head:
    """One rule of an entry point. ``actions`` and ``kind`` are those that it can hold for, None for any.

    ``named`` is the action in its head, which is not among ``actions`` again. ``reads_action`` and ``reads_resource``:
    whether what it answers can differ by them beyond that. ``plain``: the head asks nothing, so where the rule cannot
    hold it makes no difference at all.
    """

    named: str | None
    actions: frozenset[str] | None
    kind: str | None
    reads_action: bool
    reads_resource: bool
    plain: bool

    def can_hold(self, action: str) -> bool:
        """Whether the rule may hold, once Oso tries it; else Oso comes no further than to its first condition."""
        return self.actions is None or action in self.actions


@dataclass(frozen=True, slots=True)
class Tried:
    """The rules that Oso tries for one action on one type: ``count`` of them. ``may_hold``: whether any of them may.

    ``read`` are the numbers, in the text's order, of those that can make a difference; ``reads_action`` and
    ``reads_resource`` whether any of these looks at it.
    """

    count: int
    may_hold: bool
    read: tuple[int, ...]
    reads_action: bool
    reads_resource: bool


class Heads:
    """The rules of one entry point, by the actions that they name."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._tried: dict[tuple[str, str], Tried] = {}
        self._named: dict[str | None, list[tuple[int, Head]]] = {}
        for number, rule in enumerate(rules):
            head = head_of(rule)
            self._named.setdefault(head.named, []).append((number, head))

    def tried(self, action: str, kind: str) -> Tried:
        """Return which rules Oso tries for ``action`` on ``kind``; found once, for many names may be asked about."""
        known = self._tried.get((action, kind))
        if known is None:
            known = self._tried[action, kind] = self._found(action, kind)
        return known

    def _found(self, action: str, kind: str) -> Tried:
        named = sorted([*self._named.get(None, ()), *self._named.get(action, ())], key=_number)
        tried = {number: head for number, head in named if head.kind in (None, kind)}
        read = {number: head for number, head in tried.items() if head.can_hold(action) or not head.plain}
        return Tried(
            len(tried),
            any(head.can_hold(action) for head in tried.values()),
            tuple(read),
            any(head.reads_action for head in read.values()),
            any(head.reads_resource for head in read.values()),
        )


def _number(numbered: tuple[int, Head]) -> int:
    return numbered[0]


def head_of(rule: Rule) -> Head:
    """Return what a rule of an entry point is about."""
    _, action, resource = rule.parameters
    named = action.term.value if isinstance(action.term, Literal) and isinstance(action.term.value, str) else None
    listed = None if named is not None else _listed(rule.body, action)
    uses = Counter(term.name for term in walk(rule) if isinstance(term, Variable))
    return Head(
        named,
        listed,
        _kind(resource),
        named is None and _read(action, uses, seen=1 if listed is None else 2),
        _read(resource, uses, seen=1),
        all(_asks_nothing(parameter) for parameter in rule.parameters),
    )


def _kind(resource: Parameter) -> str | None:
    name = resource.specializer.name if isinstance(resource.specializer, Pattern) else None
    return name if name in RESOURCES else None


def _read(parameter: Parameter, uses: Counter[str], *, seen: int) -> bool:
    """Whether a rule looks at a parameter more often than ``seen``."""
    return not isinstance(parameter.term, Variable) or uses[parameter.term.name] > seen or not _asks_nothing(parameter)


def _asks_nothing(parameter: Parameter) -> bool:
    """Whether a parameter takes a text, or anything of a type, without a look inside."""
    if parameter.specializer is None:
        return isinstance(parameter.term, Literal | Variable)
    return isinstance(parameter.specializer, Pattern) and parameter.specializer.fields is None


def _listed(body: Term | None, action: Parameter) -> frozenset[str] | None:
    """Return the actions that the rule's first condition lists; None where it does not begin so."""
    first = body
    while isinstance(first, Operation) and first.operator == "and":
        first = first.operands[0]
    if not isinstance(first, Operation) or len(first.operands) != 2 or not isinstance(action.term, Variable):
        return None
    left, right = first.operands
    if not isinstance(left, Variable) or left.name != action.term.name:
        return None
    if first.operator in ("=", "=="):
        items: tuple[Term, ...] = (right,)
    elif first.operator == "in" and isinstance(right, List) and right.rest is None:
        items = right.items
    else:
        return None
    texts = frozenset(item.value for item in items if isinstance(item, Literal) and isinstance(item.value, str))
    # An empty list is kept as it is: nobody else would find out what the rest of such a rule asks for.
    return texts if texts and all(isinstance(item, Literal) for item in items) else None
