"""Ways through graphs of outcomes that some query can go. Of two graphs side by side as well as of one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from protect.analysis.constraints import Among, Constraint, Except, facts_of, holder, linked
from protect.analysis.names import CannotSay
from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes, Step, following, upwards
from protect.analysis.realism import assumptions
from protect.analysis.topics import Topic, topics
from protect.analysis.worlds import Answer, satisfy
from protect.policy.policy import Policy
from protect.policy.questions import Operator, Question, question
from protect.policy.vocabulary import Fact
from protect.values import Query

#: How many places of a graph (or of two, side by side) are looked at before a search gives up.
MOST_PLACES = 20_000

Steps = tuple[Step, ...]
Ends = tuple[End, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """What is known at one place of a walk, in the order in which it was asked."""

    constraints: tuple[Constraint, ...] = ()
    said: Mapping[Question, bool] = field(default_factory=dict)
    equal: Mapping[Fact, str] = field(default_factory=dict)
    unequal: Mapping[Fact, frozenset[str]] = field(default_factory=dict)

    def further(self, constraint: Constraint) -> Way:
        """Return the way with one more constraint."""
        said, equal, unequal = self.said, self.equal, self.unequal
        if isinstance(constraint, tuple):
            asked, answer = constraint
            said = {**said, asked: answer}
            if asked.operator is Operator.EQUALS and isinstance(asked.operand, str):
                if answer:
                    equal = {**equal, asked.fact: asked.operand}
                else:
                    unequal = {**unequal, asked.fact: unequal.get(asked.fact, frozenset()) | {asked.operand}}
        elif isinstance(constraint, Except):
            unequal = {**unequal, constraint.fact: unequal.get(constraint.fact, frozenset()) | constraint.values}
        elif len(constraint.values) == 1:
            equal = {**equal, constraint.fact: min(constraint.values)}
        return Way((*self.constraints, constraint), said, equal, unequal)

    def ahead(self, step: Step) -> Step:
        """Follow a graph as far as what is known decides."""
        while not isinstance(step, End):
            follows = self._follows(step)
            if follows is None:
                return step
            step = follows
        return step

    def _follows(self, step: Fork | Choice) -> Step | None:
        if isinstance(step, Choice):
            if step.fact in self.equal:
                return step.cases.get(self.equal[step.fact], step.otherwise)
            unequal = self.unequal.get(step.fact)
            return step.otherwise if unequal is not None and step.cases.keys() <= unequal else None
        asked = step.question
        answer = self.said.get(asked)
        if answer is None and asked.operator is Operator.EQUALS and isinstance(asked.operand, str):
            if asked.fact in self.equal:
                answer = self.equal[asked.fact] == asked.operand
            elif asked.operand in self.unequal.get(asked.fact, ()):
                answer = False
        return None if answer is None else (step.yes if answer else step.no)


def begin(given: Iterable[Constraint]) -> Way:
    """Return the way that begins with these constraints."""
    way = Way()
    for constraint in given:
        way = way.further(constraint)
    return way


def branches(steps: Steps, way: Way) -> Iterator[tuple[Constraint, Steps]]:
    """Yield how the first undecided step goes on, each with what is then known and where all steps are then."""
    first = next(step for step in steps if not isinstance(step, End))
    literals = _literals(first)
    if literals is None:
        assert isinstance(first, Fork)
        for answer in (True, False):
            yield _moved((first.question, answer), steps, way)
        return
    fact = first.fact if isinstance(first, Choice) else first.question.fact if isinstance(first, Fork) else ()
    texts = set(literals)
    for step in steps:
        if _fact_of(step) == fact:
            texts.update(_literals(step) or ())
    together: dict[tuple[int, ...], list[str]] = {}
    after: dict[tuple[int, ...], Steps] = {}
    for text in sorted(texts - way.unequal.get(fact, frozenset())):
        moved = tuple(_taken(step, fact, text) for step in steps)
        key = tuple(map(id, moved))
        together.setdefault(key, []).append(text)
        after[key] = moved
    for key, alike in together.items():
        known: Constraint = (
            (question(Operator.EQUALS, fact, alike[0]), True) if len(alike) == 1 else Among(fact, frozenset(alike))
        )
        further = way.further(known)
        yield known, tuple(further.ahead(step) for step in after[key])
    yield _moved(Except(fact, frozenset(texts)), steps, way)


def _moved(known: Constraint, steps: Steps, way: Way) -> tuple[Constraint, Steps]:
    further = way.further(known)
    return known, tuple(further.ahead(step) for step in steps)


def _taken(step: Step, fact: Fact, text: str) -> Step:
    if _fact_of(step) != fact:
        return step
    if isinstance(step, Choice):
        return step.cases.get(text, step.otherwise)
    assert isinstance(step, Fork)
    return step.yes if step.question.operand == text else step.no


def _literals(step: Step) -> Iterable[str] | None:
    """Return the texts that a step compares its fact with; None for a step that does something else."""
    if isinstance(step, Choice):
        return step.cases.keys()
    if isinstance(step, Fork) and step.question.operator is Operator.EQUALS and isinstance(step.question.operand, str):
        return (step.question.operand,)
    return None


def _fact_of(step: Step) -> Fact | None:
    if isinstance(step, Choice):
        return step.fact
    return step.question.fact if isinstance(step, Fork) and _literals(step) is not None else None


@dataclass(frozen=True, slots=True)
class Witness:
    """A query, and the constraints of the way that it goes."""

    query: Query
    constraints: tuple[Constraint, ...]


@dataclass(slots=True)
class Found:
    """What a search found, each with a witness. ``proven``: there is nothing else. ``doubts`` say why not, in words."""

    witnesses: dict[Hashable, Witness] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Whether all that is not among the witnesses is impossible."""
        return not self.doubts

    def __contains__(self, key: object) -> bool:
        return key in self.witnesses

    def doubt(self, why: str) -> None:
        """Take note that something could not be seen."""
        if why not in self.doubts:
            self.doubts.append(why)


#: Says what an end of the walk counts as; None for what nobody looks for.
Wanted = Callable[[Ends], Hashable | None]


class Search:
    """Looks for a witness of each different thing that is wanted, and proves that there are no others.

    A place that was reached before, with the same said of what matters from there on, is not entered again.
    """

    def __init__(self, topic: Topic, wanted: Wanted, *, most: int = MOST_PLACES, realistic: bool = False) -> None:
        """``realistic`` looks only at what the API itself keeps true: what it finds is found, but nothing is proven."""
        self._topic = topic
        self._realistic = realistic
        self._wanted = wanted
        self._left = most
        self._below: dict[int, frozenset[End]] = {}
        self._facts: dict[int, frozenset[Fact]] = {}

    def run(self, roots: Steps, given: Iterable[Constraint] = ()) -> Found:
        """Search from these roots, side by side."""
        found = Found()
        start = begin((*self._topic.given, *given))
        if self._satisfied(start.constraints) is None:
            return found
        for root in roots:
            self._look(root)
        seen: set[Hashable] = set()
        waiting = [(tuple(start.ahead(root) for root in roots), start)]
        while waiting:
            steps, way = waiting.pop()
            if not self._promising(steps, found):
                continue
            if all(isinstance(step, End) for step in steps):
                self._arrived(steps, way, found)
                continue
            below = frozenset().union(*(self._facts[id(step)] for step in steps))
            bearing = frozenset(way.constraints) if self._realistic else linked(way.constraints, below)
            key = (tuple(map(id, steps)), bearing)
            if key in seen:
                continue
            seen.add(key)
            self._left -= 1
            if self._left < 0:
                found.doubt("the policy is too large here to be seen completely")
                return found
            # The last one is looked at first: that is where the answers are no.
            for known, after in branches(steps, way):
                further = way.further(known)
                if self._promising(after, found) and self._possible(further, known):
                    waiting.append((after, further))
        return found

    def _look(self, root: Step) -> None:
        """Take note of the ends and the facts below each step."""
        for step in upwards(root):
            if id(step) in self._below:
                continue
            if isinstance(step, End):
                self._below[id(step)], self._facts[id(step)] = frozenset((step,)), frozenset()
                continue
            after = list(dict.fromkeys(map(id, following(step))))
            asked = (step.fact,) if isinstance(step, Choice) else step.question.facts()
            self._below[id(step)] = frozenset().union(*(self._below[one] for one in after))
            self._facts[id(step)] = frozenset(map(holder, asked)).union(*(self._facts[one] for one in after))

    def _promising(self, steps: Steps, found: Found) -> bool:
        return any(
            (key := self._wanted(ends)) is not None and key not in found.witnesses for ends in self._reachable(steps)
        )

    def _reachable(self, steps: Steps) -> Iterator[Ends]:
        if len(steps) == 2 and steps[0] is not steps[1]:
            return ((one, two) for one in self._below[id(steps[0])] for two in self._below[id(steps[1])])
        return (tuple(end for _ in steps) for end in self._below[id(steps[0])])

    def _possible(self, way: Way, known: Constraint) -> bool:
        near = way.constraints if self._realistic else linked(way.constraints, facts_of(known))
        return self._satisfied(near) is not None

    def _arrived(self, steps: Steps, way: Way, found: Found) -> None:
        ends = tuple(step for step in steps if isinstance(step, End))
        key = self._wanted(ends)
        if key is None or key in found.witnesses:
            return
        query = self._satisfied(way.constraints)
        if isinstance(query, CannotSay):
            found.doubt(query.why)
        elif query is not None:
            found.witnesses[key] = Witness(query, way.constraints)

    def _satisfied(self, constraints: Iterable[Constraint]) -> Answer:
        constraints = list(constraints)
        if self._realistic:
            constraints += assumptions(self._topic, constraints)
        return satisfy(constraints, self._topic.kind, action=self._topic.action)


# --- one policy ---


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a policy: what was asked and answered in order, and how it ends."""

    topic: Topic
    constraints: tuple[Constraint, ...]
    outcome: Outcome
    rule: int | None

    def witness(self) -> Answer:
        """Return a query that goes this way."""
        return satisfy(self.constraints, self.topic.kind, action=self.topic.action)


def paths(policy: Policy, topic: Topic, given: Sequence[Constraint] = ()) -> Iterator[Path]:
    """Yield every way through the policy's graph that some query can go, denials first."""
    root = topic.step(policy, Outcomes(rules=True))
    start = begin((*topic.given, *given))
    waiting = [(start.ahead(root), start)]
    while waiting:
        step, way = waiting.pop()
        if isinstance(step, End):
            yield Path(topic, way.constraints, step.outcome, step.rule)
            continue
        for known, (after,) in branches((step,), way):
            further = way.further(known)
            if satisfy(further.constraints, topic.kind, action=topic.action) is not None:
                waiting.append((after, further))


def outcomes(policy: Policy, topic: Topic, given: Sequence[Constraint] = (), *, most: int = MOST_PLACES) -> Found:
    """Return the outcomes that are possible under ``given``, each with a witness that the policy has decided so."""
    found = Search(topic, lambda ends: ends[0].outcome, most=most).run((topic.step(policy, Outcomes()),), given)
    unseen = found.witnesses.pop(Outcome.UNSEEN, None)
    if unseen is not None:
        found.doubt("a part of the policy has not been explored")
        found.witnesses.setdefault(outcome_of(policy, topic, unseen.query), unseen)
    for outcome, witness in list(found.witnesses.items()):
        if outcome_of(policy, topic, witness.query) is not outcome:
            del found.witnesses[outcome]
            found.doubt("an example did not hold when it was decided")
    return found


def outcome_of(policy: Policy, topic: Topic, query: Query) -> Outcome:
    decision = topic.decide(policy, query)
    if decision.discard:
        return Outcome.DISCARDED
    return Outcome.ALLOWED if decision.allowed else Outcome.DENIED


def can(
    policy: Policy, topic: Topic, given: Sequence[Constraint] = (), outcome: Outcome = Outcome.ALLOWED
) -> Query | CannotSay | None:
    """Return a query with this outcome under the constraints ``given``; None proves that there is none."""

    def wanted(ends: Ends) -> Outcome | None:
        return ends[0].outcome if ends[0].outcome in (outcome, Outcome.UNSEEN) else None

    found = Search(topic, wanted).run((topic.step(policy, Outcomes()),), given)
    for witness in found.witnesses.values():
        if outcome_of(policy, topic, witness.query) is outcome:
            return witness.query
    if found.doubts or found.witnesses:
        return CannotSay(found.doubts[0] if found.doubts else "a part of the policy has not been explored")
    return None


def _new(rule: int | None, decided: Found) -> int | None:
    return None if rule in decided else rule


def deciding_rules(policy: Policy) -> Found:
    """Return the indices of the rules that decide some query, each with a witness."""
    made = Outcomes(rules=True)
    decided = Found()
    for topic in topics(policy):

        def wanted(ends: Ends) -> int | None:
            return -1 if ends[0].outcome is Outcome.UNSEEN else _new(ends[0].rule, decided)

        found = Search(topic, wanted).run((topic.step(policy, made),))
        if found.witnesses.pop(-1, None) is not None:
            decided.doubt("a part of the policy has not been explored")
        decided.witnesses |= found.witnesses
        for doubt in found.doubts:
            decided.doubt(doubt)
    return decided
