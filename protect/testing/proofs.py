"""Invariants: demands on every request that there can be, proven on the decision graph or refuted by an example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from protect.analysis.constraints import Among, Except
from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes, Step, upwards
from protect.analysis.realism import dressed, oddities, reductions
from protect.analysis.sentences import thing, where, who
from protect.analysis.topics import Topic, topic_of, topics
from protect.analysis.walking import Ends, Found, Search, Steps, Witness
from protect.glance.attributes import CORE
from protect.policy.graph import NO, Builder, facts
from protect.policy.policy import ByName, Graphs, Policy
from protect.policy.questions import Operator, asker, question
from protect.policy.vocabulary import ACTION, NAME
from protect.policy.vocabulary import CORE as IS_CORE
from protect.protections.conditions import AllOf, AnyOf, Ask, Condition, Not, node
from protect.testing.asking import answer, decide
from protect.testing.suites import ANY_OTHER, UNMENTIONED, Answer, Demand, Invariant
from protect.values import Decision, Property, Query

#: How many places of a graph one demand on one action is looked for in before a proof is given up.
MOST_PLACES = 20_000

#: Words that stand for actions that are not named.
_SEVERAL = frozenset((ANY_OTHER, UNMENTIONED))

#: The end of every way that the condition of an invariant does not go.
_OUTSIDE = End(Outcome.DENIED, -1)


class Proof(StrEnum):
    """What came of an invariant."""

    PROVEN = "proven"
    REFUTED = "refuted"
    OPEN = "cannot prove"


@dataclass(frozen=True, slots=True)
class Example:
    """A request that an invariant forbids. ``oddities`` say why no request like it can happen, where that is so."""

    query: Query
    decision: Decision
    sentence: str
    attribute: bool
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome; an example for each action that refutes it; and the reasons why something could not be proven."""

    proof: Proof
    examples: tuple[Example, ...] = ()
    doubts: tuple[str, ...] = ()


def prove(policy: Policy, invariant: Invariant, *, most: int = MOST_PLACES) -> Verdict:
    """Prove or refute what the invariant says of the policy."""
    return _Prover(policy, invariant, most).verdict()


def says_nothing(policy: Policy, invariant: Invariant) -> bool:
    """Tell whether it is proven that no request can break the invariant, whatever the policy says."""
    return _Prover(policy, invariant, MOST_PLACES).says_nothing()


def holds(condition: Condition, query: Query) -> bool:
    """Whether the condition holds for a query."""
    match condition:
        case Ask(asked):
            return asker(asked)(query)
        case Not(part):
            return not holds(part, query)
        case AnyOf(parts):
            return any(holds(part, query) for part in parts)
        case AllOf(parts):
            return all(holds(part, query) for part in parts)


@dataclass(frozen=True, slots=True)
class _Demand:
    """One thing to look for: in a topic, and for an implication beside a second one."""

    topic: Topic
    then: Topic | None = None


class _Prover:
    """The work on one invariant."""

    def __init__(self, policy: Policy, invariant: Invariant, most: int) -> None:
        self._policy = policy
        self._invariant = invariant
        self._most = most
        self._made = Outcomes()
        self._condition = _meant(invariant)

    def verdict(self) -> Verdict:
        examples: list[Example] = []
        doubts: list[str] = []
        for demand in self._demands():
            example, why = self._example(demand)
            if example is not None:
                examples.append(example)
            doubts += [f"{demand.topic.action or 'any other action'}: {doubt}" for doubt in why]
        if examples:
            return Verdict(Proof.REFUTED, tuple(_one_for_each(examples)), tuple(dict.fromkeys(doubts)))
        if doubts:
            return Verdict(Proof.OPEN, (), tuple(dict.fromkeys(doubts)))
        return Verdict(Proof.PROVEN)

    def says_nothing(self) -> bool:
        """Tell whether no request is like the condition, or whether each action only implies itself."""
        if self._invariant.demand is Demand.IMPLIES and {*self._invariant.actions} == {*self._invariant.then}:
            return len({*self._invariant.actions}) == 1
        if self._condition is None:
            return False
        builder = Builder()
        root = node(builder, self._condition, NO, builder.leaf(True))
        like = _guarded(self._made.decided(Graphs(allow=root)), self._made.end(Outcome.ALLOWED))
        topics = [demand.topic for demand in self._demands()]
        return bool(topics) and not any(self._is_like(topic, like) for topic in topics)

    def _is_like(self, topic: Topic, like: Step) -> bool:
        """Tell whether a request goes where the condition leads, or may go there."""
        search = Search(topic, lambda ends: None if ends[0] == _OUTSIDE else "some", most=self._most, realistic=False)
        found = search.run((like,))
        return bool(found.witnesses or found.doubts)

    def _demands(self) -> Iterator[_Demand]:
        said = self._invariant
        if said.demand is Demand.IMPLIES:
            for action in said.actions:
                for then in said.then:
                    yield from self._implications(action, then)
            return
        yield from map(_Demand, self._topics())

    def _topics(self) -> Iterator[Topic]:
        said, policy = self._invariant, self._policy
        if said.kind != "Property":
            yield from (topic_of(policy, said.kind, one) for one in said.actions if one not in _SEVERAL)
            if not _SEVERAL & {*said.actions}:
                return
        # An action that no policy mentions has none as its name.
        wanted = {None if one == UNMENTIONED else one for one in said.actions}
        found = set()
        for topic in topics(policy, kinds=[said.kind]):
            if topic.attribute is said.attribute and (said.actions == (ANY_OTHER,) or topic.action in wanted):
                found.add(topic.action)
                yield topic
        if said.attribute:
            # Where nothing is forbidden there is no topic of its own: all of it is allowed.
            yield from (_attributes(action) for action in said.actions if action not in found | _SEVERAL)

    def _implications(self, action: str, then: str) -> Iterator[_Demand]:
        said, policy = self._invariant, self._policy
        if said.kind != "Property":
            yield _Demand(topic_of(policy, said.kind, action), topic_of(policy, said.kind, then))
            return
        tables = [policy.table.properties.get(one, policy.table.other_properties) for one in (action, then)]
        mentioned = {name for table in tables for name in table.names}
        mentioned |= {one for table, one in zip(tables, (action, then), strict=True) if table.same is not None}
        groups: dict[tuple[int, ...], set[str]] = {}
        for name in mentioned:
            groups.setdefault(_alike(tables, (action, then), name), set()).add(name)
        core = ((question(Operator.IS_TRUE, IS_CORE), True),) if said.attribute else ()
        for names in groups.values():
            given = (Among(NAME, frozenset(names)), *core)
            yield _Demand(*(Topic("Property", one, frozenset(names), said.attribute, given) for one in (action, then)))
        rest = (Except(NAME, frozenset(mentioned)), *core) if mentioned else core
        yield _Demand(*(Topic("Property", one, None, said.attribute, rest) for one in (action, then)))

    def _example(self, demand: _Demand) -> tuple[Example | None, list[str]]:
        steps = self._steps(demand)
        found = self._searched(demand, steps, realistic=False)
        doubts = list(found.doubts)
        unseen = found.witnesses.pop(Outcome.UNSEEN, None)
        if unseen is not None and not found.witnesses:
            doubts.append("a part of the policy has not been explored")
            if self._bad(demand, unseen.query):
                found.witnesses["bad"] = unseen
        witness = found.witnesses.get("bad")
        if demand.then is not None and ACTION in facts(*demand.then.graphs(self._policy).roots()):
            doubts.append(f"what is decided on `{demand.then.action}` depends on the name of the action")
        if witness is None:
            return None, doubts
        if oddities(witness.query, demand.topic):
            likely = self._searched(demand, steps, realistic=True).witnesses.get("bad")
            if likely is not None and self._bad(demand, likely.query):
                witness = likely
        if not self._bad(demand, witness.query):
            return None, [*doubts, "an example did not hold when it was decided"]
        return self._told(demand, witness), doubts

    def _steps(self, demand: _Demand) -> Steps:
        first = demand.topic.step(self._policy, self._made)
        if self._condition is not None:
            builder = Builder()
            root = node(builder, self._condition, NO, builder.leaf(True))
            first = _guarded(self._made.decided(Graphs(allow=root)), first)
        return (first,) if demand.then is None else (first, demand.then.step(self._policy, self._made))

    def _searched(self, demand: _Demand, steps: Steps, *, realistic: bool) -> Found:
        return Search(demand.topic, self._wanted, most=self._most, realistic=realistic).run(steps)

    def _wanted(self, ends: Ends) -> object:
        """Say what the ends of a walk count as."""
        if ends[0] == _OUTSIDE:
            return None
        first = ends[0].outcome
        if self._invariant.demand is Demand.IMPLIES:
            then = ends[-1].outcome
            if first in (Outcome.ALLOWED, Outcome.UNSEEN) and then is not Outcome.ALLOWED:
                return Outcome.UNSEEN if Outcome.UNSEEN in (first, then) else "bad"
            return None
        if first is Outcome.UNSEEN:
            return Outcome.UNSEEN
        return "bad" if (first is Outcome.ALLOWED) is (self._invariant.demand is not Demand.ALWAYS) else None

    def _bad(self, demand: _Demand, query: Query) -> bool:
        """Whether the policy itself decides a query as the invariant says that it must not."""
        if self._condition is not None and not holds(self._condition, query):
            return False
        allowed = self._decided(query) is Answer.ALLOW
        if demand.then is not None:
            then = query._replace(action=str(demand.then.action))
            return allowed and self._decided(then) is not Answer.ALLOW
        return allowed is not (self._invariant.demand is Demand.ALWAYS)

    def _decided(self, query: Query) -> Answer:
        return answer(decide(self._policy, query, attribute=self._invariant.attribute))

    def _told(self, demand: _Demand, witness: Witness) -> Example:
        topic = demand.topic
        odd = len(oddities(witness.query, topic))

        def keeps(query: Query) -> bool:
            return self._bad(demand, query) and len(oddities(query, topic)) <= odd

        core = _reduced(witness.query, keeps)
        query = dressed(core, keeps)
        wrong = query if demand.then is None else query._replace(action=str(demand.then.action))
        may = "may not" if self._invariant.demand is Demand.ALWAYS else "may"
        but = f" but may not {demand.then.action}" if demand.then is not None else ""
        if topic.names:
            # The sentence is about this name; what else the policy treats alike may not fit the condition.
            topic = replace(topic, names=frozenset({str(query.resource.name)}))  # type: ignore[union-attr]
        parts = (
            who(core, witness.constraints),
            f"{may} {query.action}{but}",
            thing(core, witness.constraints, topic),
            where(core, witness.constraints, topic, keeps),
        )
        return Example(
            query,
            decide(self._policy, wrong, attribute=self._invariant.attribute),
            " ".join(part for part in parts if part),
            self._invariant.attribute,
            tuple(oddities(query, topic)),
        )


def _meant(invariant: Invariant) -> Condition | None:
    """Return the condition of the requests that must not be allowed, or must be."""
    if invariant.only is None:
        return invariant.when
    return AllOf((*((invariant.when,) if invariant.when is not None else ()), Not(invariant.only)))


def _alike(tables: Iterable[ByName], actions: Iterable[str], name: str) -> tuple[int, ...]:
    found = (table.find(action, name) for table, action in zip(tables, actions, strict=True))
    return tuple(id(root) for graphs in found for root in graphs.roots())


def _attributes(action: str) -> Topic:
    given = (Among(NAME, CORE), (question(Operator.IS_TRUE, IS_CORE), True))
    return Topic("Property", action, None, True, given)


def _guarded(condition: Step, then: Step) -> Step:
    """Return the graph that goes on with ``then`` wherever ``condition`` holds."""
    made: dict[int, Step] = {}
    for step in upwards(condition):
        if isinstance(step, End):
            made[id(step)] = then if step.outcome is Outcome.ALLOWED else _OUTSIDE
        elif isinstance(step, Fork):
            made[id(step)] = Fork(step.question, made[id(step.no)], made[id(step.yes)])
        elif isinstance(step, Choice):
            cases = {literal: made[id(one)] for literal, one in step.cases.items()}
            made[id(step)] = Choice(step.fact, cases, made[id(step.otherwise)])
    return made[id(condition)]


def _reduced(query: Query, keeps: Callable[[Query], bool]) -> Query:
    """Leave out of ``query`` whatever does not matter."""
    while (fewer := next((one for one in reductions(query) if keeps(one)), None)) is not None:
        query = fewer
    return query


def _one_for_each(examples: Iterable[Example]) -> Iterator[Example]:
    """Yield one example for each action: for properties there is one for each class of names."""
    seen: set[tuple[str, bool]] = set()
    for example in examples:
        likely = isinstance(example.query.resource, Property) and bool(example.oddities)
        key = (example.query.action, likely)
        if key not in seen:
            seen.add(key)
            yield example
