"""Two policies side by side: where they decide alike, and a counterexample wherever they do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from protect.analysis.constraints import Among, Constraint
from protect.analysis.outcomes import Outcome, Outcomes
from protect.analysis.realism import assumptions, dressed, oddities, reductions, simpler
from protect.analysis.sentences import thing, where, who
from protect.analysis.topics import Topic, topics
from protect.analysis.walking import (
    MOST_PLACES,
    OUT_OF_TIME,
    Below,
    Bounds,
    Ends,
    Search,
    Steps,
    Witness,
    outcome_of,
)
from protect.analysis.worlds import satisfy
from protect.policy.policy import Policy
from protect.policy.vocabulary import NAME
from protect.values import Decision, Query


class Direction(StrEnum):
    """What the new policy does with a query that the two decide differently."""

    WIDER = "wider"
    NARROWER = "narrower"


#: From the least that one can get to the most. What is dropped is not done, but what is asked along with it is.
_ORDER = (Outcome.DENIED, Outcome.DISCARDED, Outcome.ALLOWED)


@dataclass(frozen=True, slots=True)
class Difference:
    """One topic that the two policies decide differently, in one direction.

    ``query`` is an example that both have decided. ``core`` is what of it matters: every fact that could be left out
    was; ``who``, ``thing`` and ``where`` say it in words. ``oddities`` say why no request like it can happen; they are
    empty wherever a likely example exists.
    """

    topic: Topic
    direction: Direction
    before: Outcome
    after: Outcome
    old: Decision
    new: Decision
    query: Query
    core: Query
    who: str
    thing: str
    where: str
    oddities: tuple[str, ...] = ()

    def sentence(self, action: str = "") -> str:
        """Say who may now do what, or no longer. ``action`` is what to call it there."""
        what = " ".join(filter(None, (self.thing, self.where)))
        done = f"{self.who} {_NOW[self.before, self.after]} {action or self.query.action} {what}"
        return done + (f" (but {'; '.join(self.oddities)})" if self.oddities else "")


_NOW = {
    (Outcome.DENIED, Outcome.ALLOWED): "may now",
    (Outcome.DISCARDED, Outcome.ALLOWED): "may now (it was dropped without a word before)",
    (Outcome.ALLOWED, Outcome.DENIED): "may no longer",
    (Outcome.ALLOWED, Outcome.DISCARDED): "may no longer (it is dropped without a word)",
    (Outcome.DENIED, Outcome.DISCARDED): "is no longer refused, it is dropped without a word, when it wants to",
    (Outcome.DISCARDED, Outcome.DENIED): "is now refused, it was dropped without a word, when it wants to",
}


@dataclass(slots=True)
class Comparison:
    """``unproven`` are the topics about which no more can be said, each with the reason.

    ``properties_only``: one of the two leaves all else to the API, so only properties were compared. ``partial``: for
    that or another reason, not everything was.
    """

    differences: list[Difference] = field(default_factory=list)
    unproven: list[tuple[Topic, str]] = field(default_factory=list)
    compared: int = 0
    properties_only: bool = False
    partial: bool = False

    def directions(self) -> set[Direction]:
        """Return the directions in which there are differences."""
        return {difference.direction for difference in self.differences}


def compare(
    old: Policy,
    new: Policy,
    *,
    everything: bool = False,
    only: Callable[[Topic], bool] | None = None,
    name: str | None = None,
    most: int = MOST_PLACES,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Return where the two policies differ, exactly.

    A policy that leaves actions to the API is compared with one that does not by what they say of properties, but for
    ``everything``. ``only`` chooses topics; ``name`` compares what is said of properties of that name alone; ``most``
    bounds the work on one topic, ``seconds`` that on all of them: what is not compared then is not proven.
    ``progress`` is told how many topics of how many are done.
    """
    comparison = Comparison()
    comparison.properties_only = not everything and old.table.leaves_actions is not new.table.leaves_actions
    comparison.partial = comparison.properties_only or only is not None or name is not None
    made, below = Outcomes(), Below()
    given = (Among(NAME, frozenset({name})),) if name is not None else ()
    until = time.monotonic() + seconds if seconds is not None else None
    wanted = [
        topic
        for topic in topics(old, new, kinds=("Property",) if given else None, made=made)
        if not (comparison.properties_only and (topic.kind != "Property" or topic.attribute))
        and (only is None or only(topic))
    ]
    for topic in wanted:
        if progress is not None:
            progress(comparison.compared, len(wanted))
        comparison.compared += 1
        steps = topic.step(old, made), topic.step(new, made)
        if steps[0] is steps[1]:
            continue
        if until is not None and time.monotonic() > until:
            comparison.unproven.append((topic, OUT_OF_TIME))
            continue
        _Pair(topic, old, new, comparison, Bounds(most, until, below), given).compare(steps)
    said = {_key(one) for one in comparison.differences if one.topic.attribute}
    # An attribute of the API that is asked about like a property is the attribute once more.
    comparison.differences = [
        one for one in comparison.differences if one.topic.attribute or not one.oddities or _key(one) not in said
    ]
    return comparison


def _key(one: Difference) -> tuple[object, ...]:
    name = getattr(one.query.resource, "name", None) if one.topic.kind == "Property" else None
    return one.direction, one.topic.action, name


def direction_of(before: Outcome, after: Outcome) -> Direction | None:
    """Return in which direction an outcome changed; None where it did not."""
    if before is after:
        return None
    return Direction.WIDER if _ORDER.index(after) > _ORDER.index(before) else Direction.NARROWER


def _wanted(ends: Ends) -> Direction | Outcome | None:
    before, after = ends[0].outcome, ends[1].outcome
    return Outcome.UNSEEN if Outcome.UNSEEN in (before, after) else direction_of(before, after)


class _Pair:
    """One topic of two policies."""

    def __init__(
        self,
        topic: Topic,
        old: Policy,
        new: Policy,
        comparison: Comparison,
        bounds: Bounds,
        given: tuple[Constraint, ...] = (),
    ) -> None:
        self._given = given
        self._topic = topic
        self._old = old
        self._new = new
        self._comparison = comparison
        self._bounds = bounds

    def compare(self, steps: Steps) -> None:
        found = Search(self._topic, _wanted, bounds=self._bounds).run(steps, self._given)
        doubts = list(found.doubts)
        unseen = found.witnesses.pop(Outcome.UNSEEN, None)
        if unseen is not None:
            doubts.append("a part of a policy has not been explored")
            direction = self._direction(unseen.query)
            if direction is not None:
                found.witnesses.setdefault(direction, unseen)
        for direction in Direction:
            witness = found.witnesses.get(direction)
            if witness is None:
                continue
            witness = self._likely(steps, direction, witness)
            if self._direction(witness.query) is not direction:
                doubts.append("an example did not hold when it was decided")
                continue
            self._comparison.differences.append(self._difference(direction, witness))
        self._comparison.unproven += [(self._topic, doubt) for doubt in dict.fromkeys(doubts)]

    def _likely(self, steps: Steps, direction: Direction, witness: Witness) -> Witness:
        """Return a witness that a real request can be, where there is one."""
        if not oddities(witness.query, self._topic):
            return witness
        likely = [*witness.constraints, *assumptions(self._topic, witness.constraints)]
        query = satisfy(likely, self._topic.kind, action=self._topic.action)
        if isinstance(query, Query) and self._direction(query) is direction:
            return Witness(query, witness.constraints)
        search = Search(self._topic, lambda ends: _only(direction, _wanted(ends)), bounds=self._bounds, realistic=True)
        found = search.run(steps, self._given)
        other = found.witnesses.get(direction)
        return other if other is not None and self._direction(other.query) is direction else witness

    def _difference(self, direction: Direction, witness: Witness) -> Difference:
        odd = len(oddities(witness.query, self._topic))

        def keeps(query: Query) -> bool:
            return self._direction(query) is direction and len(oddities(query, self._topic)) <= odd

        plain = next((one for one in simpler(witness.query) if keeps(one)), witness.query)
        core = _reduced(plain, keeps)
        query = dressed(core, keeps)
        return Difference(
            topic=self._topic,
            direction=direction,
            before=outcome_of(self._old, self._topic, query),
            after=outcome_of(self._new, self._topic, query),
            old=self._topic.decide(self._old, query),
            new=self._topic.decide(self._new, query),
            query=query,
            core=core,
            who=who(core, witness.constraints),
            thing=thing(core, witness.constraints, self._topic),
            where=where(core, witness.constraints, self._topic, keeps),
            oddities=tuple(oddities(query, self._topic)),
        )

    def _direction(self, query: Query) -> Direction | None:
        return direction_of(outcome_of(self._old, self._topic, query), outcome_of(self._new, self._topic, query))


def _only(wanted: Direction, found: object) -> Direction | None:
    return wanted if found is wanted else None


def _reduced(query: Query, keeps: Callable[[Query], bool]) -> Query:
    """Leave out of ``query`` whatever does not matter."""
    while True:
        fewer = next((one for one in reductions(query) if keeps(one)), None)
        if fewer is None:
            return query
        query = fewer
