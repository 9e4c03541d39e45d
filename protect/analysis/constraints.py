"""Constraints: what is known of a query before it is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from protect.policy.questions import Question
from protect.policy.vocabulary import ACTION, CONTEXT, NAME, SUBJECT, TYPES, Fact, Kind


@dataclass(frozen=True, slots=True)
class Among:
    """The fact is one of these texts."""

    fact: Fact
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Except:
    """The fact is none of these texts; that it has no value is fine."""

    fact: Fact
    values: frozenset[str]


Constraint = tuple[Question, bool] | Among | Except


def facts_of(constraint: Constraint) -> tuple[Fact, ...]:
    """Return the facts that a constraint speaks of."""
    return constraint[0].facts() if isinstance(constraint, tuple) else (constraint.fact,)


def holder(fact: Fact) -> Fact:
    """Return the mapping that a keyed fact is read from, or the fact itself."""
    return fact[:-2] if "get" in fact[-2:-1] else fact


@lru_cache(maxsize=16_384)
def kind_of(fact: Fact, kind: str) -> Kind | None:
    """Return what a fact holds in a query about a ``kind`` of resource; None for what no such query has."""
    if fact == ACTION:
        return Kind.TEXT
    if fact[0] == CONTEXT:
        return Kind.ANY if len(fact) == 3 and fact[1] == "get" else None
    where, way = ("Subject", fact[1:]) if fact[:1] == SUBJECT else (kind, fact[1:])
    if way[:1] == ("image",) and where != "Image" and "image" in TYPES.get(where, {}):
        where, way = "Image", way[1:]
    keyed = "get" in way[-2:-1]
    field = way[0] if way and len(way) == (3 if keyed else 1) else ""
    for name, word in TYPES.get(where, {}).items():
        if word.field == field and (name == "get") is keyed:
            return word.kind
    return None


def never_nothing(fact: Fact, kind: str) -> bool:
    """Whether the fact always has a value."""
    return fact == ACTION or (fact == NAME and kind == "Property")


def linked(constraints: Iterable[Constraint], facts: Iterable[Fact]) -> frozenset[Constraint]:
    """Return the constraints that bear on ``facts``, by themselves or through others that share a fact with them."""
    waiting = {holder(fact) for fact in facts}
    rest = [(constraint, {holder(fact) for fact in facts_of(constraint)}) for constraint in constraints]
    found: set[Constraint] = set()
    while True:
        near = [(constraint, touched) for constraint, touched in rest if touched & waiting]
        if not near:
            return frozenset(found)
        for constraint, touched in near:
            found.add(constraint)
            waiting |= touched
        rest = [one for one in rest if one[0] not in found]
