"""Ways through graphs of outcomes that some query can go. Of two graphs side by side as well as of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from protect.analysis.constraints import Among, Constraint, Except, facts_of, holder
from protect.analysis.names import CannotSay
from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes, Step, following, upwards
from protect.analysis.realism import assumptions
from protect.analysis.regions import Region, pattern_of
from protect.analysis.topics import Topic, topics
from protect.analysis.worlds import Answer, satisfy
from protect.policy.policy import Policy
from protect.policy.questions import Operator, Question, question
from protect.policy.vocabulary import NAME, Fact
from protect.values import Query

#: How many places of a graph (or of two, side by side) are looked at before a search gives up.
MOST_PLACES = 20_000
#: Why nothing is proven once a search was not given more time.
OUT_OF_TIME = "it was given no more time"

Steps = tuple[Step, ...]
Ends = tuple[End, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Constraints that bear on one another, and the facts that they speak of."""

    constraints: frozenset[Constraint] = frozenset()
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, slots=True)
class Way:
    """What is known at one place of a walk, in the order in which it was asked.

    ``bundles`` are by fact; ``region`` is what is known of a property's name, where a property is asked about.
    """

    constraints: tuple[Constraint, ...] = ()
    said: Mapping[Question, bool] = field(default_factory=dict)
    equal: Mapping[Fact, str] = field(default_factory=dict)
    unequal: Mapping[Fact, frozenset[str]] = field(default_factory=dict)
    bundles: Mapping[Fact, Bundle] = field(default_factory=dict)
    region: Region = field(default_factory=lambda: Region(entangled=True))

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
        bundles, region = self._bundled(constraint), self.region.further(constraint)
        return Way((*self.constraints, constraint), said, equal, unequal, bundles, region)

    def _bundled(self, constraint: Constraint) -> Mapping[Fact, Bundle]:
        facts = frozenset(map(holder, facts_of(constraint)))
        bearing = self._about(facts)
        merged = Bundle(
            frozenset((constraint,)).union(*(one.constraints for one in bearing)),
            facts.union(*(one.facts for one in bearing)),
        )
        return {**self.bundles, **dict.fromkeys(merged.facts, merged)}

    def _about(self, facts: Iterable[Fact]) -> list[Bundle]:
        found = (self.bundles[fact] for fact in facts if fact in self.bundles)
        return list({id(one): one for one in found}.values())

    def bearing(self, facts: Iterable[Fact]) -> frozenset[frozenset[Constraint]]:
        """Return the constraints that bear on these facts, by themselves or through others that share a fact."""
        return frozenset(one.constraints for one in self._about(facts))

    def besides_names(self) -> Iterator[Constraint]:
        """Yield the constraints that the region does not know of."""
        for constraint in self.constraints:
            if self.region.entangled or NAME not in facts_of(constraint):
                yield constraint

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
        if answer is None:
            pattern = pattern_of(asked)
            answer = self.region.answer(pattern) if pattern is not None else None
        return None if answer is None else (step.yes if answer else step.no)


def begin(topic: Topic, given: Iterable[Constraint] = ()) -> Way:
    """Return the way that begins with what a topic says, and with these constraints."""
    way = Way(region=Region(entangled=topic.kind != "Property"))
    given = (*topic.given, *given)
    for constraint in given:
        way = way.further(constraint)
    return way


def branches(steps: Steps, way: Way) -> Iterator[tuple[Constraint, Way, Steps]]:
    """Yield how an undecided step goes on: what is then known, and where all steps are then.

    Patterns of names come first: which section of a protection file decides, before who may.
    """
    undecided = [step for step in steps if not isinstance(step, End)]
    first = next(filter(_about_names, undecided), undecided[0])
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
        yield _moved(known, after[key], way)
    yield _moved(Except(fact, frozenset(texts)), steps, way)


def _about_names(step: Step) -> bool:
    return isinstance(step, Fork) and pattern_of(step.question) is not None


def _moved(known: Constraint, steps: Steps, way: Way) -> tuple[Constraint, Way, Steps]:
    further = way.further(known)
    return known, further, tuple(further.ahead(step) for step in steps)


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


class Below:
    """The ends and the facts below each step of some graphs, found once."""

    def __init__(self) -> None:
        self.ends: dict[int, frozenset[End]] = {}
        self.facts: dict[int, frozenset[Fact]] = {}
        self._kept: list[Step] = []

    def look(self, root: Step) -> None:
        """Take note of what is below a graph."""
        if id(root) in self.ends:
            return
        # What is kept keeps its identity.
        self._kept.append(root)
        for step in upwards(root):
            if id(step) in self.ends:
                continue
            if isinstance(step, End):
                self.ends[id(step)], self.facts[id(step)] = frozenset((step,)), frozenset()
                continue
            after = list(dict.fromkeys(map(id, following(step))))
            asked = (step.fact,) if isinstance(step, Choice) else step.question.facts()
            self.ends[id(step)] = frozenset().union(*(self.ends[one] for one in after))
            self.facts[id(step)] = frozenset(map(holder, asked)).union(*(self.facts[one] for one in after))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a search may do: how many places it looks at, and when it gives up (as ``time.monotonic`` tells time).

    ``below`` is shared by searches of the same graphs.
    """

    most: int = MOST_PLACES
    until: float | None = None
    below: Below = field(default_factory=Below)


#: Says what an end of the walk counts as; None for what nobody looks for.
Wanted = Callable[[Ends], Hashable | None]


class Search:
    """Looks for a witness of each different thing that is wanted, and proves that there are no others.

    A place that was reached before, with the same said of what matters from there on, is not entered again.
    """

    def __init__(
        self,
        topic: Topic,
        wanted: Wanted,
        *,
        most: int = MOST_PLACES,
        realistic: bool = False,
        bounds: Bounds | None = None,
    ) -> None:
        """``realistic`` looks only at what the API itself keeps true: what it finds is found, but nothing is proven.

        ``most`` is the bound of places, where no other ``bounds`` are set.
        """
        self._topic = topic
        self._realistic = realistic
        self._wanted = wanted
        bounds = bounds or Bounds(most)
        self._left, self._until, self._below = bounds.most, bounds.until, bounds.below

    def run(self, roots: Steps, given: Iterable[Constraint] = ()) -> Found:
        """Search from these roots, side by side."""
        found = Found()
        start = begin(self._topic, given)
        if self._satisfied(start.constraints) is None:
            return found
        for root in roots:
            self._below.look(root)
        seen: set[Hashable] = set()
        waiting = [(tuple(start.ahead(root) for root in roots), start)]
        while waiting:
            steps, way = waiting.pop()
            if not self._promising(steps, found):
                continue
            if all(isinstance(step, End) for step in steps):
                self._arrived(steps, way, found)
                continue
            key = (tuple(map(id, steps)), self._bearing(steps, way))
            if key in seen:
                continue
            seen.add(key)
            self._left -= 1
            if self._left < 0:
                found.doubt("the policy is too large here to be seen completely")
                return found
            if self._until is not None and time.monotonic() > self._until:
                found.doubt(OUT_OF_TIME)
                return found
            # The last one is looked at first: that is where the answers are no.
            for known, further, after in branches(steps, way):
                if self._promising(after, found) and self._possible(further, known):
                    waiting.append((after, further))
        return found

    def _bearing(self, steps: Steps, way: Way) -> Hashable:
        if self._realistic:
            return frozenset(way.constraints)
        return way.bearing(frozenset().union(*(self._below.facts[id(step)] for step in steps)))

    def _promising(self, steps: Steps, found: Found) -> bool:
        return any(
            (key := self._wanted(ends)) is not None and key not in found.witnesses for ends in self._reachable(steps)
        )

    def _reachable(self, steps: Steps) -> Iterator[Ends]:
        if len(steps) == 2 and steps[0] is not steps[1]:
            return ((one, two) for one in self._below.ends[id(steps[0])] for two in self._below.ends[id(steps[1])])
        return (tuple(end for _ in steps) for end in self._below.ends[id(steps[0])])

    def _possible(self, way: Way, known: Constraint) -> bool:
        if not way.region.entangled and NAME in facts_of(known):
            return way.region.example() is not None
        if self._realistic:
            return self._satisfied(way.besides_names()) is not None
        [near] = way.bearing(map(holder, facts_of(known)))
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
    start = begin(topic, given)
    waiting = [(start.ahead(root), start)]
    while waiting:
        step, way = waiting.pop()
        if isinstance(step, End):
            yield Path(topic, way.constraints, step.outcome, step.rule)
            continue
        for _, further, (after,) in branches((step,), way):
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
    decided, bounds = Found(), Bounds()
    # Of names that end alike, each may have a rule of its own.
    for topic in topics(policy, made=made):

        def wanted(ends: Ends) -> int | None:
            return -1 if ends[0].outcome is Outcome.UNSEEN else _new(ends[0].rule, decided)

        found = Search(topic, wanted, bounds=bounds).run((topic.step(policy, made),))
        if found.witnesses.pop(-1, None) is not None:
            decided.doubt("a part of the policy has not been explored")
        decided.witnesses |= found.witnesses
        for doubt in found.doubts:
            decided.doubt(doubt)
    return decided
