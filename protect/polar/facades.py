"""Facades: the objects that Polar sees while a policy is interviewed. They hold no values, only the way to a fact.

Whatever Polar does with one arrives here as a question, which the interview answers. Whatever is not in the vocabulary
raises ``VocabularyError``. It is no ``AttributeError`` on purpose: Oso turns those into a silent "no" inside ``not``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

import re2

from protect.policy.questions import Of, Operand, Operator, Question, compiled, matcher, question
from protect.policy.vocabulary import CONTEXT, NAME, RESOURCE, RESOURCES, SUBJECT, TYPES, Fact, Kind, Word


class VocabularyError(Exception):
    """A rule reached for something that is no fact. ``word`` is what it reached for, to find the place."""

    def __init__(self, message: str, word: str = "", help: str = "") -> None:
        self.word = word
        self.help = help
        super().__init__(message)


_NO_ORDER = "text has no order here: `<`, `<=`, `>` and `>=` compare numbers"


class Interview(Protocol):
    """What facades need of the one who asks."""

    def answer(self, asked: Question) -> bool:
        """Answer a question the way the path being explored says."""

    @property
    def references(self) -> Mapping[str, Fact]:
        """Stand-in texts: which fact of the query each of them stands for."""

    @property
    def literal_name(self) -> bool:
        """Whether the property's name is one known text, rather than a stand-in for many."""

    def name_was_read(self) -> None:
        """Take note that this path depends on the property's name."""


class FactFacade:
    """A fact that rules can compare: text, a number, or what ``get`` returns."""

    __slots__ = ("_fact", "_interview", "_kind")

    def __init__(self, interview: Interview, fact: Fact, kind: Kind) -> None:
        self._interview = interview
        self._fact = fact
        self._kind = kind

    def __repr__(self) -> str:
        return ".".join(self._fact)

    def __getattr__(self, name: str) -> NoReturn:
        raise VocabularyError(f"{self._kind} has no attributes, so there is no `{name}` to ask for", name)

    def __bool__(self) -> NoReturn:
        raise VocabularyError("a fact is no condition by itself: compare it with something")

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        operand = self._operand(other)
        if operand is None or not _comparable(self._kind, other):
            return False
        return self._interview.answer(question(Operator.EQUALS, self._fact, operand))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: object) -> bool:
        return self._ordered(Operator.LESS, Operator.LESS, other, swap=False)

    def __le__(self, other: object) -> bool:
        return self._ordered(Operator.AT_MOST, Operator.AT_MOST, other, swap=False)

    def __gt__(self, other: object) -> bool:
        return self._ordered(Operator.MORE, Operator.LESS, other, swap=True)

    def __ge__(self, other: object) -> bool:
        return self._ordered(Operator.AT_LEAST, Operator.AT_MOST, other, swap=True)

    def _ordered(self, with_literal: Operator, with_fact: Operator, other: object, *, swap: bool) -> bool:
        if isinstance(other, FactFacade):
            if Kind.TEXT in (self._kind, other._kind):
                raise VocabularyError(_NO_ORDER)
            left, right = (other, self) if swap else (self, other)
            return self._interview.answer(question(with_fact, left._fact, Of(right._fact)))
        if isinstance(other, bool) or not isinstance(other, int | float) or self._kind is Kind.TEXT:
            raise VocabularyError(_NO_ORDER)
        return self._interview.answer(question(with_literal, self._fact, other))

    def _operand(self, other: object) -> Operand:
        if other is None:
            raise VocabularyError(
                'nothing equals nothing, so a comparison with `nil` never holds; ask `image.has_property("x")`, '
                "or compare with a value",
                "nil",
            )
        if isinstance(other, FactFacade):
            return Of(other._fact)
        if type(other) is str:
            stands_for = self._interview.references.get(other)
            return Of(stands_for) if stands_for else other
        return other if isinstance(other, int | float) else None


def _comparable(kind: Kind, other: object) -> bool:
    """Whether a fact of this kind can ever equal ``other``: text never equals a number."""
    other_kind = other._kind if isinstance(other, FactFacade) else _kind_of(other)
    return Kind.ANY in (kind, other_kind) or kind is other_kind


def _kind_of(literal: object) -> Kind:
    if isinstance(literal, str):
        return Kind.TEXT
    return Kind.TRUTH if isinstance(literal, bool) else Kind.NUMBER


class ObjectFacade:
    """The subject, a resource, an image behind a property, or the circumstances. One subclass for each type."""

    __slots__ = ("_interview", "_name", "_way")

    type_name = ""

    def __init__(self, interview: Interview, way: Fact, name: str = "") -> None:
        self._interview = interview
        self._way = way
        self._name = name

    def __repr__(self) -> str:
        return ".".join(self._way)

    def __eq__(self, other: object) -> bool:
        # Each look at `property.image` makes a new facade of the one image.
        return isinstance(other, ObjectFacade) and self._way == other._way

    def __hash__(self) -> int:
        return hash(self._way)

    def __getattr__(self, name: str) -> Any:
        word = TYPES[self.type_name].get(name)
        if word is None:
            raise VocabularyError(
                f"{self.type_name} has no `{name}`", name, "say in the rule's head what it is about: `resource: Image`"
            )
        fact = (*self._way, *word.field.split(".")) if self.type_name != "Context" else self._way
        if word.form.value == "method":
            return self._method(name, word, fact)
        if word.kind is Kind.OBJECT:
            return FACADES[word.target](self._interview, fact)
        if word.kind is Kind.TRUTH:
            return self._interview.answer(question(Operator.IS_TRUE, fact))
        if fact == NAME and self.type_name == "Property":
            # Plain text, so that Oso can look ground facts up by it instead of trying each in turn.
            self._interview.name_was_read()
            return self._name
        return FactFacade(self._interview, fact, word.kind)

    def _method(self, name: str, word: Word, fact: Fact) -> Callable[..., object]:
        match name:
            case "get":
                return lambda key: FactFacade(self._interview, (*fact, "get", self._key(key)), word.kind)
            case "matches":
                return self._matches
            case "shared_with":
                return lambda subject, status="accepted": self._shared(fact, subject, status)
            case _:
                operator = Operator.HAS_FOLDED if word.folded else Operator.HAS
                return lambda item: self._has(name, operator, fact, item)

    def _key(self, key: object) -> str:
        if type(key) is not str or key in self._interview.references:
            raise VocabularyError("`get` takes a name written in the policy, in double quotes", "get")
        return key

    def _matches(self, pattern: object) -> bool:
        if type(pattern) is not str or pattern in self._interview.references:
            raise VocabularyError("`matches` takes a regular expression written in the policy", "matches")
        self._interview.name_was_read()
        try:
            if self._interview.literal_name:
                return matcher(pattern)(self._name)
            compiled(pattern)
            return self._interview.answer(question(Operator.MATCHES, NAME, pattern))
        except re2.error:
            raise VocabularyError(f"`{pattern}` is no regular expression in RE2's syntax", "matches") from None

    def _shared(self, fact: Fact, subject: object, status: object) -> bool:
        if not isinstance(subject, ObjectFacade) or subject.type_name != "Subject":
            raise VocabularyError("`shared_with` takes the subject", "shared_with")
        if status not in ("pending", "accepted", "rejected"):
            raise VocabularyError(
                '`shared_with` takes a status of "pending", "accepted" (the default) or "rejected"', "shared_with"
            )
        return self._interview.answer(question(Operator.SHARED, fact, Of(("subject", "tenant")), str(status)))

    def _has(self, name: str, operator: Operator, fact: Fact, item: object) -> bool:
        if isinstance(item, FactFacade) and item._kind in (Kind.TEXT, Kind.ANY):
            return self._interview.answer(question(operator, fact, Of(item._fact)))
        if type(item) is not str:
            # A variable that has no value yet is text to Python, of a class of Oso's.
            raise VocabularyError(f"`{name}` takes text", name, "give a variable its value before it is used here")
        stands_for = self._interview.references.get(item)
        if stands_for:
            return self._interview.answer(question(operator, fact, Of(stands_for)))
        return self._interview.answer(
            question(operator, fact, item.lower() if operator is Operator.HAS_FOLDED else item)
        )


#: One class for each type of the vocabulary, because Oso tells resources apart by their class.
FACADES: Mapping[str, type[ObjectFacade]] = {
    name: type(name, (ObjectFacade,), {"__slots__": (), "type_name": name}) for name in TYPES
}


def subject(interview: Interview) -> ObjectFacade:
    """Return the facade of who asks."""
    return FACADES["Subject"](interview, SUBJECT)


def resource(interview: Interview, kind: str, name: str = "") -> ObjectFacade:
    """Return the facade of the resource; ``name`` is a property's."""
    assert kind in RESOURCES
    return FACADES[kind](interview, RESOURCE, name)


def context(interview: Interview) -> ObjectFacade:
    """Return the facade of the circumstances."""
    return FACADES["Context"](interview, (CONTEXT,))
