"""Questions: all that a policy can ask about a query, each with a yes or a no for an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import re2

from protect.policy.patterns import searcher
from protect.policy.vocabulary import CORE, NAME, VALUE, Fact, Scalar, phrase, reader, subject_only
from protect.values import Query

Ask = Callable[[Query], bool]


class Operator(StrEnum):
    """How a fact is compared with the operand. The values stand in saved graphs: keep them."""

    IS_TRUE = "is-true"
    EQUALS = "equals"
    LESS = "less"
    AT_MOST = "at-most"
    MORE = "more"
    AT_LEAST = "at-least"
    HAS = "has"
    HAS_FOLDED = "has-folded"
    SHARED = "shared"
    MATCHES = "matches"
    #: As ``MATCHES``, for a pattern that is written in Python's syntax and means what Python's ``re`` makes of it.
    SEARCHES = "searches"


@dataclass(frozen=True, slots=True)
class Of:
    """An operand that is itself a fact: ``image.owner = subject.tenant``."""

    fact: Fact


Operand = Scalar | Of | None


@dataclass(frozen=True, slots=True)
class Question:
    """``fact`` compared by ``operator`` with ``operand``. ``status`` is the member's, for ``SHARED`` only.

    Equality of questions is by type as well, so that ``1`` and ``true`` stay two operands.
    """

    operator: Operator
    fact: Fact
    operand: Operand = None
    operand_type: str = ""
    status: str = ""

    def facts(self) -> tuple[Fact, ...]:
        """Return the facts that the answer depends on."""
        return (self.fact, self.operand.fact) if isinstance(self.operand, Of) else (self.fact,)

    def about_subject(self) -> bool:
        """Whether the answer is the same for every image of one request (the property's name aside)."""
        return all(subject_only(fact) or fact in (NAME, CORE) for fact in self.facts())

    def phrase(self, kind: str = "Resource") -> str:
        """Say the question as the statement that a yes confirms."""
        fact = phrase(self.fact, kind)
        if isinstance(self.operand, Of):
            operand = phrase(self.operand.fact, kind)
        elif isinstance(self.operand, bool):
            operand = str(self.operand).lower()
        elif isinstance(self.operand, str):
            operand = f'"{self.operand}"'
        else:
            operand = str(self.operand)
        owner, _, field = fact.rpartition(".")
        match self.operator:
            case Operator.IS_TRUE:
                return f"{fact} is true"
            case Operator.EQUALS:
                return f"{fact} equals {operand}"
            case Operator.LESS:
                return f"{fact} is less than {operand}"
            case Operator.AT_MOST:
                return f"{fact} is at most {operand}"
            case Operator.MORE:
                return f"{fact} is more than {operand}"
            case Operator.AT_LEAST:
                return f"{fact} is at least {operand}"
            case Operator.SHARED:
                return f"{owner} is shared with {operand} ({self.status})"
            case Operator.MATCHES | Operator.SEARCHES:
                return f"{fact} matches {operand}"
            case _:
                thing = {"roles": "role", "service_roles": "service role", "tags": "tag", "properties": "property"}
                return f"{owner} has {thing[field]} {operand}"


def question(operator: Operator, fact: Fact, operand: Operand = None, status: str = "") -> Question:
    """Return the one canonical form of a question: symmetric ones have their two facts in order."""
    if operator is Operator.EQUALS and isinstance(operand, Of) and operand.fact < fact:
        fact, operand = operand.fact, Of(fact)
    kind = "fact" if isinstance(operand, Of) else type(operand).__name__
    # 1 and 1.0 are one number to JSON and to Polar; true is none.
    return Question(operator, fact, operand, "number" if kind in ("int", "float") else kind, status)


def same(left: object, right: object) -> bool:
    """Compare two scalars as JSON does; nothing equals nothing."""
    return left is not None and left == right and isinstance(left, bool) == isinstance(right, bool)


def compiled(pattern: str) -> Callable[[str], object]:
    """Return the search function of a regular expression in RE2's syntax, whose time is linear in the name's length.

    Raises ``re2.error`` for a pattern that RE2 does not accept: look-around and back-references are not in its syntax.
    """
    options = re2.Options()
    options.log_errors = False
    search: Callable[[str], object] = re2.compile(pattern, options).search
    return search


def matcher(pattern: str) -> Callable[[object], bool]:
    """Return the function that says whether a value is text in which ``pattern`` is found."""
    search = compiled(pattern)
    return _remembering(lambda text: search(text) is not None)


def _remembering(search: Callable[[str], bool]) -> Callable[[object], bool]:
    # The same names come back in image after image, and remembering is twenty times faster than searching.
    @lru_cache(maxsize=4096)
    def found(value: object) -> bool:
        return isinstance(value, str) and search(value)

    return found


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordering(operator: Operator) -> Callable[[float, float], bool]:
    match operator:
        case Operator.LESS:
            return lambda left, right: left < right
        case Operator.AT_MOST:
            return lambda left, right: left <= right
        case Operator.MORE:
            return lambda left, right: left > right
        case _:
            return lambda left, right: left >= right


def asker(question: Question) -> Ask:
    """Return the function that answers ``question`` about a query. It raises what reading a fact raises."""
    read, operand = reader(question.fact), question.operand
    if question.operator is Operator.IS_TRUE:
        return lambda query: read(query) is True
    if question.operator is Operator.MATCHES:
        found = matcher(str(operand))
        return lambda query: found(read(query))
    if question.operator is Operator.SEARCHES:
        searched = _remembering(searcher(str(operand)))
        return lambda query: searched(read(query))
    if question.operator is Operator.SHARED:
        status = question.status
        assert isinstance(operand, Of)
        other = reader(operand.fact)
        return lambda query: (tenant := other(query)) is not None and read(query).get(tenant) == status
    if isinstance(operand, Of):
        mixed = any(fact == VALUE or "get" in fact[-2:-1] for fact in question.facts())
        return _between_facts(question.operator, read, reader(operand.fact), mixed=mixed)
    return _with_literal(question.operator, read, operand)


def _between_facts(
    operator: Operator, read: Callable[[Query], object], other: Callable[[Query], object], *, mixed: bool
) -> Ask:
    if operator is Operator.EQUALS:
        if mixed:
            return lambda query: same(read(query), other(query))
        return lambda query: (value := read(query)) is not None and value == other(query)
    if operator is Operator.HAS:
        return lambda query: isinstance(value := other(query), str) and value in read(query)  # type: ignore[operator]
    if operator is Operator.HAS_FOLDED:
        return lambda query: isinstance(value := other(query), str) and value.lower() in read(query)  # type: ignore[operator]
    compare = _ordering(operator)
    return lambda query: _number(a := read(query)) and _number(b := other(query)) and compare(a, b)  # type: ignore[arg-type]


def _with_literal(operator: Operator, read: Callable[[Query], object], operand: Operand) -> Ask:
    if operator is Operator.EQUALS:
        if isinstance(operand, str):
            return lambda query: read(query) == operand
        return lambda query: same(read(query), operand)
    if operator in (Operator.HAS, Operator.HAS_FOLDED):
        return lambda query: operand in read(query)  # type: ignore[operator]
    compare = _ordering(operator)
    return lambda query: _number(a := read(query)) and compare(a, operand)  # type: ignore[arg-type]
