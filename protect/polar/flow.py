"""Where values go inside a policy: which of its texts can meet the property's name there, and which the action.

Both reach Polar as plain text, so it compares them with other texts by itself, without a question. Every place that can
hold a value (a variable, a parameter, a list) belongs to a group, and whatever is compared or passed on joins two
groups. So two texts that can ever meet are in one group. That some in one group never meet costs time, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from protect.polar.check import BLOCK_RULES, ENTRY_POINTS
from protect.polar.syntax import (
    Block,
    Call,
    Dictionary,
    Dot,
    Literal,
    New,
    Operation,
    Parameter,
    Pattern,
    Rule,
    Statement,
    Term,
    Variable,
    inside,
    walk,
)

_NAME = "the property's name"
_ACTION = "the action"
#: What joins conditions, and so holds no value.
_CONNECTIVES = ("and", "or", "not", "forall")


@dataclass(frozen=True, slots=True)
class Meetings:
    """``names`` are the texts that can meet a property's name, ``actions`` those that can meet the action.

    ``crossing``: the two can meet each other.
    """

    names: frozenset[str]
    actions: frozenset[str]
    crossing: bool


def meetings(statements: Sequence[Statement]) -> Meetings:
    """Return what can meet in a policy."""
    groups = _Groups()
    for entry in ENTRY_POINTS:
        groups.join(_ACTION, (entry, 1))
    for number, statement in enumerate(statements):
        if isinstance(statement, Rule):
            _Walk(groups, number).rule(statement)
        elif isinstance(statement, Block):
            _block(groups, statement)
    names, actions = groups.texts(_NAME), groups.texts(_ACTION)
    return Meetings(names, actions, groups.find(_NAME) == groups.find(_ACTION))


def _block(groups: _Groups, block: Block) -> None:
    # Polar makes rules of a block, which pass their arguments on to each other.
    places = [(name, index) for name, arity in BLOCK_RULES.items() for index in range(arity)]
    for place in places:
        groups.join(places[0], place)
    for text in (*(rule.head for rule in block.shorthand), *_texts(block)):
        groups.join(places[0], groups.holding(text))


def _texts(block: Block) -> Iterator[str]:
    return (term.value for term in walk(block) if isinstance(term, Literal) and isinstance(term.value, str))


class _Groups:
    """Places in groups; joining two places makes their groups one."""

    def __init__(self) -> None:
        self._next: dict[object, object] = {}
        self._held: dict[object, str] = {}
        self._all_one = False

    def find(self, place: object) -> object:
        """Return what stands for the whole group of a place."""
        if self._all_one:
            return None
        while (onward := self._next.get(place, place)) != place:
            self._next[place] = self._next.get(onward, onward)
            place = onward
        return place

    def join(self, left: object, right: object) -> None:
        """Make the groups of two places one."""
        self._next[self.find(left)] = self.find(right)

    def join_all(self) -> None:
        """Make all places one group, now and from now on."""
        self._all_one = True

    def new(self) -> object:
        """Return a place of its own."""
        return object()

    def holding(self, text: str) -> object:
        """Return a new place that holds ``text``."""
        place = self.new()
        self._held[place] = text
        return place

    def texts(self, place: object) -> frozenset[str]:
        """Return the texts that the group of a place holds."""
        group = self.find(place)
        return frozenset(text for held, text in self._held.items() if self.find(held) == group)


class _Walk:
    """Joins what one rule compares and passes on. ``number`` keeps its variables apart from those of other rules."""

    def __init__(self, groups: _Groups, number: int) -> None:
        self._groups = groups
        self._number = number

    def rule(self, rule: Rule) -> None:
        for index, parameter in enumerate(rule.parameters):
            self._groups.join((rule.name, index), self._parameter(parameter))
        if rule.body is not None:
            self._place(rule.body)

    def _parameter(self, parameter: Parameter) -> object:
        place = self._place(parameter.term)
        if parameter.specializer is not None:
            self._groups.join(place, self._place(parameter.specializer))
        return place

    def _place(self, term: Term) -> object:
        """Return the place that holds what ``term`` comes to, after joining whatever meets inside it."""
        match term:
            case Variable():
                return self._number, term.name
            case Literal():
                return self._groups.holding(term.value) if isinstance(term.value, str) else self._groups.new()
            case Dot():
                for part in inside(term):
                    self._part(part)
                # What is called with a text asks about it, and never shows it to Polar.
                return _NAME if _may_be_name(term) else self._groups.new()
            case Call():
                for index, argument in enumerate(term.arguments):
                    self._groups.join((term.name, index), self._place(argument))
                return self._groups.new()
            case Pattern():
                for key, value in term.fields.fields if term.fields else ():
                    place = self._place(value)
                    if key == "name":
                        self._groups.join(_NAME, place)
                return self._groups.new()
            case Operation() if term.operator in _CONNECTIVES:
                for operand in term.operands:
                    self._place(operand)
                return self._groups.new()
            case Dictionary() | New():
                # Made in one place and taken apart in another: whatever is anywhere may be in it.
                self._groups.join_all()
                return self._together(inside(term))
            case _:
                return self._together(inside(term))

    def _together(self, parts: Iterable[object]) -> object:
        place = self._groups.new()
        for part in parts:
            self._groups.join(place, self._part(part))
        return place

    def _part(self, part: object) -> object:
        assert isinstance(part, Term), "parameters and shorthand stand in no term"
        return self._place(part)


def _may_be_name(dot: Dot) -> bool:
    return dot.attribute == "name" or not isinstance(dot.attribute, str)
