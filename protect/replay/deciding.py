"""What a policy decides on a line of the log, as far as the line tells enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protect.analysis import topic_of
from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes, Step, upwards
from protect.glance.attributes import CORE as ATTRIBUTES
from protect.policy.policy import Policy
from protect.policy.questions import Of, Operator, Question, asker
from protect.policy.vocabulary import CORE, Fact, phrase
from protect.policy.vocabulary import reader as value_of
from protect.replay.lines import MISSING, Line, kind, query, reader
from protect.values import Query

#: Lines whose answers are remembered; beyond, the memory is emptied and filled anew.
MOST_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Answer:
    """``outcome`` None: it cannot be said, for want of one of the facts that ``lacking`` names."""

    outcome: Outcome | None
    lacking: tuple[str, ...] = ()
    rule: str = ""


@dataclass(slots=True)
class _Matter:
    """What decides on one action on one type of resource, and of one name: the graph, and what it asks for."""

    step: Step
    kind: str
    action: str
    facts: tuple[Fact, ...]
    readers: tuple[Callable[[Line], Any], ...]
    #: Which of the facts are only ever compared with each other: what they are does not matter, only which are equal.
    compared: tuple[int, ...]
    answers: dict[tuple[Any, ...], Answer]
    attribute: bool = False


class Replay:
    """Answers lines by one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._made = Outcomes(rules=True)
        self._matters: dict[tuple[str, str, str | None, bool], _Matter] = {}
        #: By identity, which is safe: ``_made`` keeps every step.
        self._asked: dict[int, tuple[Fact, ...]] = {}
        self._only_compared: dict[int, tuple[int, ...]] = {}
        self._askers: dict[int, Callable[[Query], bool]] = {}
        self._remembered = 0

    def answer(self, line: Line) -> Answer:
        """Return what the policy decides on this line, or which facts were wanting."""
        name = line.get("property")
        if line["resource"] == "Property" and not isinstance(name, str):
            return Answer(None, ("the property's name",))
        if line["resource"] != "Property":
            return self._answer(line, None, attribute=False)
        attribute = (line.get("facts") or {}).get("attribute", MISSING)
        if isinstance(attribute, bool) or name not in ATTRIBUTES:
            return self._answer(line, name, attribute=attribute is True)
        # An attribute of the API, or a property that somebody asked about by that name: they are decided differently.
        one, other = (self._answer(line, name, attribute=each) for each in (True, False))
        if one.outcome is other.outcome:
            return one
        return Answer(None, one.lacking or other.lacking or ("whether an attribute of the API is meant",))

    def _answer(self, line: Line, name: str | None, *, attribute: bool) -> Answer:
        topic = (line["resource"], line["action"], name, attribute)
        matter = self._matters.get(topic)
        if matter is None:
            matter = self._matters[topic] = self._matter(line, name, attribute=attribute)
        values = [read(line) for read in matter.readers]
        key = _pattern(values, matter.compared)
        known = matter.answers.get(key)
        if known is None:
            if self._remembered > MOST_REMEMBERED:
                for one in self._matters.values():
                    one.answers.clear()
                self._remembered = 0
            self._remembered += 1
            known = matter.answers[key] = self._decided(matter, values, name)
        return known

    def _matter(self, line: Line, name: str | None, *, attribute: bool) -> _Matter:
        of = kind(line)
        topic = topic_of(self._policy, of, line["action"], name, attribute=attribute)
        step = topic.step(self._policy, self._made)
        facts = self._asked.get(id(step))
        if facts is None:
            found = dict.fromkeys(fact for one in upwards(step) if not isinstance(one, End) for fact in _facts(one))
            found.pop(CORE, None)
            facts = self._asked[id(step)] = tuple(found)
        readers = tuple(reader(fact, of) for fact in facts)
        compared = self._compared(step, facts)
        return _Matter(step, of, line["action"], facts, readers, compared, {}, attribute)

    def _compared(self, step: Step, facts: Sequence[Fact]) -> tuple[int, ...]:
        found = self._only_compared.get(id(step))
        if found is None:
            told = {fact for one in upwards(step) for fact in _told_apart(one)}
            found = self._only_compared[id(step)] = tuple(at for at, fact in enumerate(facts) if fact not in told)
        return found

    def _decided(self, matter: _Matter, values: Sequence[Any], name: str | None) -> Answer:
        known = {fact: value for fact, value in zip(matter.facts, values, strict=True) if value is not MISSING}
        if matter.kind == "Property":
            known[CORE] = matter.attribute
        asked = query(known, matter.action, matter.kind, name)
        return self._walked(matter, known, asked)

    def _walked(self, matter: _Matter, known: Mapping[Fact, Any], asked: Query) -> Answer:
        """Walk down; where a fact is wanting, both ways."""
        found: dict[Outcome, End] = {}
        lacking: dict[Fact, None] = {}
        seen: set[int] = set()
        waiting = [matter.step]
        while waiting:
            step = waiting.pop()
            if id(step) in seen:
                continue
            seen.add(id(step))
            if isinstance(step, End):
                found.setdefault(step.outcome, step)
                continue
            wanting = [fact for fact in _facts(step) if fact not in known]
            if not wanting:
                waiting.append(self._next(step, asked))
                continue
            lacking |= dict.fromkeys(wanting)
            waiting += [step.no, step.yes] if isinstance(step, Fork) else [step.otherwise, *step.cases.values()]
        if len(found) > 1:
            return Answer(None, tuple(phrase(fact, matter.kind) for fact in lacking))
        [(outcome, end)] = found.items()
        if outcome is Outcome.UNSEEN:
            return Answer(None, ("a part of the policy that was not explored",))
        rule = self._policy.rules[end.rule] if end.rule is not None else None
        return Answer(outcome, (), str(rule) if rule is not None else "")

    def _next(self, step: Fork | Choice, asked: Query) -> Step:
        if isinstance(step, Fork):
            ask = self._askers.get(id(step))
            if ask is None:
                ask = self._askers[id(step)] = asker(step.question)
            return step.yes if ask(asked) else step.no
        return step.cases.get(value_of(step.fact)(asked), step.otherwise)


def _facts(step: Fork | Choice) -> tuple[Fact, ...]:
    return step.question.facts() if isinstance(step, Fork) else (step.fact,)


def _told_apart(step: Step) -> Iterable[Fact]:
    """Return the facts whose own value matters to a step, beyond being equal to another fact's."""
    if isinstance(step, End):
        return ()
    if isinstance(step, Choice):
        return (step.fact,)
    match step.question:
        case Question(operator=Operator.EQUALS, operand=Of()):
            return ()
        case Question(operator=Operator.SHARED) as asked:
            return (asked.fact,)  # the line tells the status of this very tenant
        case asked:
            return asked.facts()


def _pattern(values: list[Any], compared: Iterable[int]) -> tuple[Any, ...]:
    """Return the values, with those that are only compared replaced by which of them are equal."""
    if not compared:
        return tuple(values)
    shape = list(values)
    numbers: dict[object, int] = {}
    for at in compared:
        value = shape[at]
        if value is not None and value is not MISSING:
            # A number that no line can hold in its place: these are texts, or nothing.
            shape[at] = numbers.setdefault((type(value), value), len(numbers))
    return tuple(shape)
