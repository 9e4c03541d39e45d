"""From constraints to a query that satisfies them, or to the proof that there is none.

What no constraint demands has no value: a fact without one answers every question with no. So only the facts that a
constraint demands are given values. A proof is made from what the constraints force, never from values that were tried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

import re2

from protect.analysis.constraints import Among, Constraint, Except, facts_of, holder, kind_of
from protect.analysis.names import CannotSay, Pattern, finder, names
from protect.analysis.orders import Below, numbers
from protect.policy.patterns import MALFORMED
from protect.policy.questions import Ask, Of, Operator, Question, asker
from protect.policy.vocabulary import ACTION, NAME, TYPES, Fact, Kind, Scalar, reader
from protect.values import (
    AnyResource,
    Image,
    Location,
    Member,
    Metadef,
    Property,
    Query,
    Resource,
    Store,
    Subject,
    Task,
)

Answer = Query | CannotSay | None

_ORDERINGS = (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)
_TEXT, _NUMBER, _TRUTH = "text", "number", "truth"
_TYPES: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({_TEXT}),
    Kind.NUMBER: frozenset({_NUMBER}),
    Kind.TRUTH: frozenset({_TRUTH}),
    Kind.ANY: frozenset({_TEXT, _NUMBER, _TRUTH}),
}

#: A value that reads well, by the last word of the fact.
_FRESH = {
    "tenant": "tenant-a",
    "owner": "tenant-b",
    "visibility": "private",
    "status": "active",
    "id": "some-id",
    "name": "some_name",
    "action": "any_other_action",
}


class _Contradiction(Exception):
    """The constraints cannot all hold: a proof."""


class _Unclear(Exception):
    """Neither a query nor a proof."""


def satisfy(constraints: Iterable[Constraint], kind: str, *, action: str | None = None) -> Answer:
    """Return a query about a ``kind`` of resource for which all constraints hold; None proves that there is none.

    ``action`` is the query's; None is any that the constraints allow.
    """
    constraints = list(constraints)
    try:
        made = _World(kind, action, constraints).query()
    except _Contradiction:
        return None
    except _Unclear as why:
        return CannotSay(str(why))
    except (ValueError, OverflowError, re2.error, *MALFORMED) as error:
        return CannotSay(f"cannot be evaluated: {error}")
    if holds(made, constraints):
        return made
    return CannotSay("the conditions are too entangled to find an example")


def holds(query: Query, constraints: Iterable[Constraint]) -> bool:
    """Whether each constraint holds for ``query``; False where one cannot be evaluated."""
    try:
        return all(_holds(query, constraint) for constraint in constraints)
    except Exception:
        # Whatever a fact or a pattern raises: it is no example then.
        return False


def _holds(query: Query, constraint: Constraint) -> bool:
    if isinstance(constraint, tuple):
        return bool(asks(constraint[0])(query)) is constraint[1]
    value = _read(constraint.fact)(query)
    return (value in constraint.values) is isinstance(constraint, Among)


@lru_cache(maxsize=16_384)
def asks(asked: Question) -> Ask:
    """Return what answers a question about a query, made once."""
    return asker(asked)


@lru_cache(maxsize=4_096)
def _read(fact: Fact) -> Callable[[Query], Any]:
    return reader(fact)


_Key = tuple[str, Scalar]


def _key(value: Scalar) -> _Key:
    if isinstance(value, bool):
        return _TRUTH, value
    return (_TEXT, value) if isinstance(value, str) else (_NUMBER, value)


@dataclass(slots=True)
class _Group:
    """Facts that must all have one and the same value."""

    facts: list[Fact]
    types: frozenset[str]
    literal: _Key | None = None
    domain: frozenset[str] | None = None
    unequal: set[_Key] = field(default_factory=set)
    found_in: list[Pattern] = field(default_factory=list)
    not_in: list[Pattern] = field(default_factory=list)
    value: Scalar | None = None


class _World:
    """One attempt. Groups are known by a number; ``_of`` says which one a demanded fact is in."""

    def __init__(self, kind: str, action: str | None, constraints: list[Constraint]) -> None:
        self._kind = kind
        self._constraints = constraints
        self._groups: dict[int, _Group] = {}
        self._of: dict[Fact, int] = {}
        self._truths: dict[Fact, bool] = {}
        self._inside: dict[Fact, set[str]] = defaultdict(set)
        self._outside: dict[Fact, set[str]] = defaultdict(set)
        self._inside_of: list[tuple[Operator, Fact, Fact]] = []
        self._shared: list[tuple[Fact, Fact, str]] = []
        self._orders: list[Question] = []
        self._action = action
        self._negative: list[Question] = []

    def query(self) -> Query:
        """Return the query. Raises _Contradiction or _Unclear."""
        self._known()
        if self._action is not None:
            self._bind(self._need(ACTION), _key(self._action))
        if self._kind == "Property":
            self._text(NAME)
        for constraint in self._constraints:
            if isinstance(constraint, Among):
                group = self._text(constraint.fact)
                group.domain = constraint.values if group.domain is None else group.domain & constraint.values
            elif isinstance(constraint, tuple):
                (self._yes if constraint[1] else self._no)(constraint[0])
        for constraint in self._constraints:
            if isinstance(constraint, Except) and constraint.fact in self._of:
                self._group(constraint.fact).unequal.update((_TEXT, value) for value in constraint.values)
        self._properties()
        different = list(self._different())
        self._sets()
        self._members()
        self._settle_types()
        self._numbers(different)
        self._texts(different)
        return self._built()

    def _known(self) -> None:
        said: dict[Question, bool] = {}
        for constraint in self._constraints:
            for fact in facts_of(constraint):
                if kind_of(fact, self._kind) is None:
                    raise _Unclear(f"no {self._kind} has the fact `{'.'.join(fact)}`")
            if isinstance(constraint, tuple) and said.setdefault(*constraint) is not constraint[1]:
                raise _Contradiction

    # --- what must have a value ---

    def _need(self, fact: Fact) -> _Group:
        if fact not in self._of:
            kind = kind_of(fact, self._kind)
            if kind is None or kind not in _TYPES:
                raise _Unclear(f"`{'.'.join(fact)}` holds no single value")
            number = len(self._of)
            self._of[fact] = number
            self._groups[number] = _Group([fact], _TYPES[kind])
        return self._group(fact)

    def _group(self, fact: Fact) -> _Group:
        return self._groups[self._of[fact]]

    def _text(self, fact: Fact) -> _Group:
        group = self._need(fact)
        group.types &= {_TEXT}
        return group

    def _bind(self, group: _Group, literal: _Key) -> None:
        if group.literal is not None and group.literal != literal:
            raise _Contradiction
        group.literal = literal
        group.types &= {literal[0]}

    def _join(self, fact: Fact, other: Fact) -> None:
        one, two = self._need(fact), self._need(other)
        if one is two:
            return
        for joined in two.facts:
            self._of[joined] = self._of[fact]
        one.facts += two.facts
        one.types &= two.types
        if two.literal is not None:
            self._bind(one, two.literal)
        if two.domain is not None:
            one.domain = two.domain if one.domain is None else one.domain & two.domain
        one.unequal |= two.unequal
        one.found_in += two.found_in
        one.not_in += two.not_in

    def _yes(self, asked: Question) -> None:
        operator, fact, operand = asked.operator, asked.fact, asked.operand
        match operator:
            case Operator.IS_TRUE:
                if kind_of(fact, self._kind) is Kind.TRUTH:
                    self._truths[fact] = True
                else:
                    self._bind(self._need(fact), (_TRUTH, True))
            case Operator.EQUALS if isinstance(operand, Of):
                self._join(fact, operand.fact)
            case Operator.EQUALS if operand is not None and not isinstance(operand, Of):
                self._bind(self._need(fact), _key(operand))
            case Operator.HAS | Operator.HAS_FOLDED if isinstance(operand, Of):
                self._text(operand.fact)
                self._inside_of.append((operator, fact, operand.fact))
            case Operator.HAS | Operator.HAS_FOLDED:
                # Roles are kept in lower case, so nobody has one that is not.
                if not isinstance(operand, str) or (operator is Operator.HAS_FOLDED and operand != operand.lower()):
                    raise _Contradiction
                self._inside[fact].add(operand)
            case Operator.SHARED if isinstance(operand, Of):
                self._text(operand.fact)
                self._shared.append((fact, operand.fact, asked.status))
            case Operator.MATCHES | Operator.SEARCHES:
                self._text(fact).found_in.append((operator, str(operand)))
            case _ if operator in _ORDERINGS:
                for ordered in asked.facts():
                    group = self._need(ordered)
                    group.types &= {_NUMBER}
                self._orders.append(asked)
            case _:
                raise _Contradiction

    def _no(self, asked: Question) -> None:
        if asked.operator is Operator.IS_TRUE and kind_of(asked.fact, self._kind) is Kind.TRUTH:
            self._truths[asked.fact] = False
        elif asked.operator in (Operator.HAS, Operator.HAS_FOLDED) and isinstance(asked.operand, str):
            self._outside[asked.fact].add(asked.operand)
        else:
            self._negative.append(asked)

    def _denied(self, *operators: Operator) -> Iterator[Question]:
        """Yield the questions answered no that can matter: all of their facts have a value."""
        for asked in self._negative:
            if asked.operator in operators:
                single = [fact for fact in asked.facts() if kind_of(fact, self._kind) in _TYPES]
                if all(fact in self._of for fact in single):
                    yield asked

    # --- what that forces ---

    def _properties(self) -> None:
        for fact in [*self._of]:
            where = holder(fact)
            if where == fact or where[-1] != "properties":
                continue
            if fact[-1] in self._outside[where]:
                raise _Contradiction
        for fact, keys in list(self._inside.items()):
            if fact[-1] == "properties":
                # A property that an image has, has a value; which one does not matter.
                for key in keys:
                    self._need((*fact, "get", key))

    def _different(self) -> Iterator[tuple[_Group, _Group]]:
        for asked in self._denied(Operator.EQUALS, Operator.IS_TRUE):
            group = self._group(asked.fact)
            if isinstance(asked.operand, Of):
                other = self._group(asked.operand.fact)
                if other is group or (group.literal is not None and group.literal == other.literal):
                    raise _Contradiction
                yield group, other
            else:
                group.unequal.add(_key(True if asked.operand is None else asked.operand))

    def _token(self, fact: Fact, *, folded: bool = False) -> object:
        """Return what stands for a fact's value: the value where it is forced, else the group itself."""
        group = self._group(fact)
        if group.literal is not None and isinstance(group.literal[1], str):
            return group.literal[1].lower() if folded else group.literal[1]
        return self._of[fact]

    def _sets(self) -> None:
        tokens = set()
        for operator, where, fact in self._inside_of:
            folded = operator is Operator.HAS_FOLDED
            tokens.add((where, self._token(fact, folded=folded)))
            self._group(fact).unequal.update((_TEXT, text) for text in self._outside[where])
        tokens |= {(where, text) for where, texts in self._inside.items() for text in texts}
        for where, texts in self._outside.items():
            if any((where, text) in tokens for text in texts):
                raise _Contradiction
        for asked in self._denied(Operator.HAS, Operator.HAS_FOLDED):
            assert isinstance(asked.operand, Of)
            folded = asked.operator is Operator.HAS_FOLDED
            if (asked.fact, self._token(asked.operand.fact, folded=folded)) in tokens:
                raise _Contradiction
            self._group(asked.operand.fact).unequal.update((_TEXT, text) for text in self._inside[asked.fact])

    def _members(self) -> None:
        said: dict[object, str] = {}
        for where, fact, status in self._shared:
            if said.setdefault((where, self._token(fact)), status) != status:
                raise _Contradiction
        for asked in self._denied(Operator.SHARED):
            assert isinstance(asked.operand, Of)
            if said.get((asked.fact, self._token(asked.operand.fact))) == asked.status:
                raise _Contradiction

    # --- values ---

    def _settle_types(self) -> None:
        for asked in self._denied(Operator.MATCHES, Operator.SEARCHES):
            self._group(asked.fact).not_in.append((asked.operator, str(asked.operand)))
        for group in self._each():
            if not group.types:
                raise _Contradiction
            if group.literal is not None:
                self._check(group)
                group.value = group.literal[1]
            elif group.types == {_TRUTH}:
                free = [value for value in (False, True) if (_TRUTH, value) not in group.unequal]
                if not free:
                    raise _Contradiction
                group.value = free[0]
            elif _TEXT in group.types:
                group.types = frozenset({_TEXT})

    def _check(self, group: _Group) -> None:
        assert group.literal is not None
        kind, value = group.literal
        if group.literal in group.unequal or (group.domain is not None and value not in group.domain):
            raise _Contradiction
        if kind == _TEXT and not self._fits(group, str(value)):
            raise _Contradiction

    @staticmethod
    def _fits(group: _Group, text: str) -> bool:
        return all(finder(one)(text) for one in group.found_in) and not any(finder(one)(text) for one in group.not_in)

    def _each(self) -> list[_Group]:
        return list({id(self._groups[number]): self._groups[number] for number in self._of.values()}.values())

    def _numbers(self, different: list[tuple[_Group, _Group]]) -> None:
        free = {id(group): group for group in self._each() if group.types == {_NUMBER} and group.value is None}

        def end(operand: Any) -> Any:
            if not isinstance(operand, Of):
                return Fraction(operand)
            group = self._group(operand.fact)
            return id(group) if group.value is None else Fraction(group.value)

        orders = [_below(asked, end, answer=True) for asked in self._orders]
        for asked in self._denied(*_ORDERINGS):
            if all(self._group(fact).types == {_NUMBER} for fact in asked.facts()):
                orders.append(_below(asked, end, answer=False))
        apart = [
            (end(Of(one.facts[0])), end(Of(two.facts[0])))
            for one, two in different
            if one.types == two.types == {_NUMBER}
        ]
        apart += [
            (number, Fraction(value))
            for number, group in free.items()
            for kind, value in group.unequal
            if kind == _NUMBER
        ]
        if not free and not orders and not apart:
            return
        found = numbers(list(free), orders, apart)
        if found is None:
            raise _Contradiction
        for number, value in found.items():
            free[number].value = value  # type: ignore[index]

    def _texts(self, different: list[tuple[_Group, _Group]]) -> None:
        free = [group for group in self._each() if group.value is None]
        # Those with the least choice first.
        free.sort(key=lambda group: (group.domain is None, not group.found_in, not group.not_in))
        texts = {group.value for group in self._each() if isinstance(group.value, str)}
        texts |= {value for group in self._each() for kind, value in group.unequal if isinstance(value, str)}
        texts |= {text for where in (*self._inside.values(), *self._outside.values()) for text in where}
        for group in free:
            others = {
                id(two) if one is group else id(one): two if one is group else one
                for one, two in different
                if group in (one, two)
            }
            # Only texts: the number 5 is another value than the text "5" anyway.
            chosen = {other.value for other in others.values() if isinstance(other.value, str)}
            bound = {str(other.literal[1]) for other in others.values() if other.literal and other.literal[0] == _TEXT}
            unequal = {value for kind, value in group.unequal if isinstance(value, str)} | bound
            group.value = self._chosen(group, unequal, chosen, texts)
            texts.add(group.value)

    def _chosen(self, group: _Group, unequal: set[str], chosen: set[str], texts: set[str]) -> str:
        if group.domain is not None:
            left = sorted(text for text in group.domain - unequal if self._fits(group, text))
            if not left:
                raise _Contradiction
            return next((text for text in left if text not in chosen), left[0])
        if group.found_in or group.not_in:
            found = names(group.found_in, group.not_in, unequal)
            if found is None:
                raise _Contradiction
            if isinstance(found, CannotSay):
                raise _Unclear(found.why)
            if found in chosen:
                again = names(group.found_in, group.not_in, unequal | chosen)
                return again if isinstance(again, str) else found
            return found
        word = group.facts[0][-1]
        liked = _FRESH.get(word, f"some-{word.replace('_', '-')}" if word.isidentifier() else "something")
        taken = {text.lower() for text in texts | unequal | chosen}
        if liked.lower() not in taken:
            return liked
        return next(text for number in range(2, len(taken) + 3) if (text := f"{liked}-{number}").lower() not in taken)

    # --- the query ---

    def _built(self) -> Query:
        values: dict[Fact, Any] = {fact: self._group(fact).value for fact in self._of}
        values |= self._truths
        sets: dict[Fact, set[str]] = {where: set(texts) for where, texts in self._inside.items()}
        for operator, where, fact in self._inside_of:
            text = str(self._group(fact).value)
            sets.setdefault(where, set()).add(text.lower() if operator is Operator.HAS_FOLDED else text)
        members = {where: {} for where, _, _ in self._shared}  # type: dict[Fact, dict[str, str]]
        for where, fact, status in self._shared:
            members[where][str(self._group(fact).value)] = status
        return _query(self._kind, values, sets, members)


def _below(asked: Question, end: Callable[[object], Any], *, answer: bool) -> Below:
    left, right = end(Of(asked.fact)), end(asked.operand)
    if asked.operator in (Operator.MORE, Operator.AT_LEAST):
        left, right = right, left
    equal = asked.operator in (Operator.AT_MOST, Operator.AT_LEAST)
    return Below(left, right, equal) if answer else Below(right, left, not equal)


_CLASSES: Mapping[str, Callable[..., AnyResource]] = {
    "Image": Image,
    "Property": Property,
    "Member": Member,
    "Location": Location,
    "Task": Task,
    "Store": Store,
    "Metadef": Metadef,
    "Resource": Resource,
}


def _query(kind: str, values: Mapping[Fact, Any], sets: Mapping[Fact, set[str]], members: Mapping[Fact, Any]) -> Query:
    """Put a query together from its facts."""

    def fields(prefix: Fact) -> dict[str, Any]:
        made: dict[str, Any] = {}
        depth = len(prefix)
        for fact, value in values.items():
            if fact[:depth] != prefix or fact[depth : depth + 1] == ("image",):
                continue
            if "get" in fact[-2:-1] and len(fact) == depth + 3:
                made.setdefault(fact[depth], {})[fact[-1]] = value
            elif len(fact) == depth + 1:
                made[fact[depth]] = value
        for fact, texts in sets.items():
            if fact[:-1] != prefix:
                continue
            if fact[-1] == "properties":
                held = made.setdefault("properties", {})
                for text in texts:
                    held.setdefault(text, "something")
            else:
                made[fact[-1]] = frozenset(texts)
        for fact, statuses in members.items():
            if fact[:-1] == prefix:
                made[fact[-1]] = dict(statuses)
        return made

    resource = fields(("resource",))
    if "image" in TYPES[kind]:
        resource["image"] = Image(**fields(("resource", "image")))
    if kind == "Property":
        resource.setdefault("name", "some_name")
    if kind == "Member":
        resource.setdefault("tenant", None)
    context = {fact[-1]: value for fact, value in values.items() if fact[0] == "context"}
    action = values.get(ACTION, "any_other_action")
    return Query(Subject(**fields(("subject",))), str(action), _CLASSES[kind](**resource), context)
