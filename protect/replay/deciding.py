"""What a policy decides on a line of the log, as far as the line tells enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protect.analysis import Topic
from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes, Step, upwards
from protect.glance.attributes import CORE as ATTRIBUTES
from protect.policy.policy import Policy
from protect.policy.questions import Of, Operator, Question, asker
from protect.policy.vocabulary import CORE, Fact, phrase
from protect.policy.vocabulary import reader as value_of
from protect.replay.lines import MISSING, Line, is_attribute, kind, query, reader, whole
from protect.values import Query

#: Lines whose answers, and questions whose graphs are remembered; beyond, the memory is emptied and filled anew.
MOST_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Answer:
    """``outcome`` None: it cannot be said, for want of one of the facts that ``lacking`` names."""

    outcome: Outcome | None
    lacking: tuple[str, ...] = ()
    rule: str = ""


@dataclass(slots=True)
class _Matter:
    """What decides on some lines: the graph, what it asks for, and what it has answered."""

    step: Step
    kind: str
    attribute: bool
    facts: tuple[Fact, ...]
    readers: tuple[Callable[[Line], Any], ...]
    #: Which of the facts are only ever compared with each other: what they are does not matter, only which are equal.
    compared: tuple[int, ...]
    answers: dict[tuple[Any, ...], Answer] = field(default_factory=dict)


class Replay:
    """Answers lines by one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._made = Outcomes(rules=True)
        #: By type, action, property and whether that is an attribute. Clients make up names, so not for ever.
        self._topics: dict[tuple[str, str, str | None, bool], _Matter] = {}
        #: By the identity of the graph, which is safe: ``_made`` keeps every one.
        self._matters: dict[tuple[int, str, bool], _Matter] = {}
        self._askers: dict[int, Callable[[Query], bool]] = {}
        self._remembered = 0

    def answer(self, line: Line) -> Answer:
        """Return what the policy decides on this line, or which facts were wanting."""
        name = line.get("property")
        if not whole(line, line["action"]):
            return Answer(None, ("the action's whole name",))
        if line["resource"] != "Property":
            return self._answer(line, None, attribute=False)
        if name is None or not whole(line, name):
            return Answer(None, ("the property's name",))
        attribute = is_attribute(line)
        if attribute is not None or name not in ATTRIBUTES:
            return self._answer(line, name, attribute=bool(attribute))
        # An attribute of the API, or a property that somebody asked about by that name: they are decided differently.
        one, other = (self._answer(line, name, attribute=each) for each in (True, False))
        if one.outcome is other.outcome:
            return one
        return Answer(None, one.lacking or other.lacking or ("whether an attribute of the API is meant",))

    def _answer(self, line: Line, name: str | None, *, attribute: bool) -> Answer:
        topic = (line["resource"], line["action"], name, attribute)
        matter = self._topics.get(topic)
        if matter is None:
            if len(self._topics) >= MOST_REMEMBERED:
                self._topics.clear()
            matter = self._topics[topic] = self._matter(kind(line), line["action"], name, attribute=attribute)
        values = [read(line) for read in matter.readers]
        key = _pattern(values, matter.compared)
        known = matter.answers.get(key)
        if known is None:
            if self._remembered >= MOST_REMEMBERED:
                for one in self._matters.values():
                    one.answers.clear()
                self._remembered = 0
            self._remembered += 1
            known = matter.answers[key] = self._decided(matter, values, line["action"], name)
        return known

    def _matter(self, of: str, action: str, name: str | None, *, attribute: bool) -> _Matter:
        """Return what decides. Actions and names that the policy does not tell apart have one in common."""
        topic = Topic(of, action, None if name is None else frozenset({name}), attribute)
        step = topic.step(self._policy, self._made)
        found = self._matters.get((id(step), of, attribute))
        if found is None:
            asked = dict.fromkeys(fact for one in upwards(step) if not isinstance(one, End) for fact in _facts(one))
            asked.pop(CORE, None)
            facts = tuple(asked)
            readers = tuple(reader(fact, of) for fact in facts)
            apart = _told_apart(step)
            compared = tuple(at for at, fact in enumerate(facts) if fact not in apart)
            found = self._matters[id(step), of, attribute] = _Matter(step, of, attribute, facts, readers, compared)
        return found

    def _decided(self, matter: _Matter, values: Sequence[Any], action: str, name: str | None) -> Answer:
        known = {fact: value for fact, value in zip(matter.facts, values, strict=True) if value is not MISSING}
        if matter.kind == "Property":
            known[CORE] = matter.attribute
        return self._walked(matter, known, query(known, action, matter.kind, name))

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


def _told_apart(step: Step) -> set[Fact]:
    """Return the facts whose own value matters to a graph, beyond being equal to another one's."""
    apart: set[Fact] = set()
    equal: list[tuple[Fact, ...]] = []
    for one in upwards(step):
        match one:
            case Choice():
                apart.add(one.fact)
            case Fork(question=Question(operator=Operator.EQUALS, operand=Of()) as asked):
                equal.append(asked.facts())
            case Fork(question=Question(operator=Operator.SHARED) as asked):
                apart.add(asked.fact)  # the line tells the status of this very tenant
            case Fork():
                apart.update(one.question.facts())
    # What is compared with one of those is told apart by it.
    while more := {fact for facts in equal if not apart.isdisjoint(facts) for fact in facts} - apart:
        apart |= more
    return apart


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
            # Numbers that are equal are so in whichever way they are written; true is no number.
            shape[at] = numbers.setdefault((isinstance(value, str), isinstance(value, bool), value), len(numbers))
    return tuple(shape)
