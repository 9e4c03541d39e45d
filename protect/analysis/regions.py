"""What is known of a property's name on one way through a policy: constant texts and patterns, and nothing else.

A protection file is a long chain of patterns. So a name that fits what is known is kept, and asked again only where the
next pattern rules it out; and patterns that no text has both of, seen from how they begin, are never tried together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

import re2

from protect.analysis.automata import Ranges, Unsupported, lead, overlap
from protect.analysis.constraints import Among, Constraint, Except, facts_of
from protect.analysis.names import CannotSay, Pattern, automaton, finder, names
from protect.policy.patterns import MALFORMED
from protect.policy.questions import Operator, Question
from protect.policy.vocabulary import NAME

_NONE: frozenset[str] = frozenset()


def pattern_of(asked: Question) -> Pattern | None:
    """Return the pattern that a question looks for in the property's name; None for any other question."""
    if asked.operator in (Operator.SEARCHES, Operator.MATCHES) and asked.fact == NAME:
        return asked.operator, str(asked.operand)
    return None


def apart(one: Pattern, other: Pattern) -> bool:
    """Whether the two begin so differently that no text has both. False proves nothing."""
    left, right = _lead(one), _lead(other)
    if not (left.text.startswith(right.text) or right.text.startswith(left.text)):
        return True
    return any(not overlap(low, high) for low, high in zip(left.places, right.places, strict=False))


@dataclass(frozen=True, slots=True)
class _Lead:
    """How a text with the pattern begins: what can stand in each place, and the text of the first places with one."""

    text: str
    places: tuple[Ranges, ...]


@lru_cache(maxsize=16_384)
def _lead(pattern: Pattern) -> _Lead:
    try:
        places = lead(automaton(pattern))
    except Unsupported:
        return _Lead("", ())
    single = takewhile(lambda place: len(place) == 1 and place[0][0] == place[0][1], places)
    return _Lead("".join(chr(place[0][0]) for place in single), places)


class Region:
    """The names that a way allows. ``entangled`` ones depend on other facts as well: nothing is known of those here.

    ``before`` is the region that this one is a part of: all of its names for which ``holds``.
    """

    __slots__ = (
        *("_among", "_found_in", "_not_in", "_other_than", "entangled"),
        *("_before", "_example", "_fitting", "_holds", "_known"),
    )

    def __init__(
        self,
        found_in: tuple[Pattern, ...] = (),
        not_in: tuple[Pattern, ...] = (),
        other_than: frozenset[str] = _NONE,
        among: frozenset[str] | None = None,
        before: Region | None = None,
        holds: Callable[[str], bool] = bool,
        *,
        entangled: bool = False,
    ) -> None:
        self._found_in = found_in
        self._not_in = not_in
        self._other_than = other_than
        self._among = among
        self._before = before
        self._holds = holds
        self._known = False
        self._example: str | CannotSay | None = None
        self._fitting: tuple[str, ...] | None = None
        self.entangled = entangled

    def further(self, constraint: Constraint) -> Region:
        """Return the region with one more constraint."""
        facts = facts_of(constraint)
        if self.entangled or NAME not in facts:
            return self
        if isinstance(constraint, Among):
            return self._within(constraint.values)
        if isinstance(constraint, Except):
            return self._without(constraint.values)
        asked, answer = constraint
        pattern = pattern_of(asked)
        if pattern is not None:
            return self._with(pattern, answer)
        if asked.operator is Operator.EQUALS and isinstance(asked.operand, str):
            text = frozenset((asked.operand,))
            return self._within(text) if answer else self._without(text)
        return Region(entangled=True)

    def answer(self, pattern: Pattern) -> bool | None:
        """Return whether the pattern is found in all names here or in none, where that is seen at once."""
        if self._among is None:
            return False if any(apart(pattern, one) for one in self._found_in) else None
        try:
            answers = {bool(finder(pattern)(text)) for text in self._left()}
        except (ValueError, re2.error, *MALFORMED):
            return None
        return answers.pop() if len(answers) == 1 else None

    def example(self) -> str | CannotSay | None:
        """Return a name that fits; None proves that there is none."""
        if not self._known:
            self._example = self._found()
            self._known, self._before = True, None
        return self._example

    def _within(self, texts: frozenset[str]) -> Region:
        among = texts if self._among is None else self._among & texts
        return Region(self._found_in, self._not_in, self._other_than, among, self, texts.__contains__)

    def _without(self, texts: frozenset[str]) -> Region:
        others = self._other_than | texts
        return Region(self._found_in, self._not_in, others, self._among, self, lambda text: text not in texts)

    def _with(self, pattern: Pattern, answer: bool) -> Region:
        def holds(text: str) -> bool:
            return bool(finder(pattern)(text)) is answer

        if not answer:
            return Region(self._found_in, (*self._not_in, pattern), self._other_than, self._among, self, holds)
        near = tuple(one for one in self._not_in if not apart(one, pattern))
        return Region((*self._found_in, pattern), near, self._other_than, self._among, self, holds)

    def _found(self) -> str | CannotSay | None:
        before = self._before
        try:
            if before is not None and before._known:
                if before._example is None:
                    return None
                if isinstance(before._example, str) and self._holds(before._example):
                    return before._example
            if self._among is not None:
                return next(iter(self._left()), None)
        except (ValueError, re2.error, *MALFORMED) as error:
            return CannotSay(f"cannot be evaluated: {error}")
        return names(self._found_in, self._not_in, self._other_than)

    def _left(self) -> tuple[str, ...]:
        if self._fitting is None:
            self._fitting = tuple(filter(self._fits, sorted(self._among or ())))
        return self._fitting

    def _fits(self, text: str) -> bool:
        return (
            text not in self._other_than
            and (self._among is None or text in self._among)
            and all(finder(one)(text) for one in self._found_in)
            and not any(finder(one)(text) for one in self._not_in)
        )
