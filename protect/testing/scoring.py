"""The mutation score: how many of the changes that matter some test notices."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from protect import loading
from protect.analysis.compare import Difference, compare
from protect.analysis.topics import Topic
from protect.errors import PolicyError
from protect.loading import Sources
from protect.policy.policy import Policy
from protect.testing.asking import Asker
from protect.testing.mutations import Mutant, Mutations, Reach, sampled
from protect.testing.policies import Tested
from protect.testing.proofs import Proof, prove
from protect.testing.running import Outcome, Ran
from protect.testing.suites import ANY_OTHER, UNMENTIONED, Case, Expectation, Invariant

#: Told how many of how many are done.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change that no test noticed. ``difference`` is what it changes; None where that could not be found out."""

    mutant: Mutant
    difference: Difference | None


@dataclass(slots=True)
class Score:
    """``equal`` changes decide every request as the policy does, which is proven, and ``broken`` ones do not load:
    neither counts. ``possible`` is how many changes there are, of which ``tried`` were made.
    """

    killed: int = 0
    survivors: list[Survivor] = field(default_factory=list)
    equal: int = 0
    broken: int = 0
    tried: int = 0
    possible: int = 0
    seconds: float = 0.0

    @property
    def percent(self) -> float:
        """Return how many in a hundred were noticed, of those that matter."""
        total = self.killed + len(self.survivors)
        return 100.0 * self.killed / total if total else 100.0


def score(
    tested: Tested,
    all_ran: Sequence[Ran],
    number: int | None = None,
    progress: Progress = lambda done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Score:
    """Change the policy in every small way, or in ``number`` of them, and see which changes the tests notice.

    Only tests that passed can notice anything. What fails already is left out.
    """
    began = clock()
    mutations = Mutations(tested.sources)
    found = mutations.all()
    tried = found if number is None else sampled(found, number)
    made = Score(tried=len(tried), possible=len(found))
    expectations, invariants = _notice(tested, all_ran)
    for index, mutant in enumerate(tried):
        progress(index, len(tried))
        changed = _compiled(mutations.made(_beside(mutant, invariants)))
        _judge(tested, mutant, changed, expectations, invariants, made)
    made.seconds = clock() - began
    return made


def _notice(tested: Tested, all_ran: Sequence[Ran]) -> tuple[list[Expectation], list[Invariant]]:
    """Return what can notice a change: each question once."""
    passed = [
        result for ran in all_ran if ran.tested is tested for result in ran.results if result.outcome is Outcome.PASSED
    ]
    expectations = [check.expectation for one in passed if isinstance(one.test, Case) for check in one.checks]
    return expectations, [one.test for one in passed if isinstance(one.test, Invariant)]


def _compiled(sources: Sources) -> Policy | None:
    """Return the policy; None for one that cannot be loaded. Its warnings are of no interest."""
    quiet = logging.getLogger("protect")
    before, quiet.disabled = quiet.disabled, True
    try:
        return loading.compile_sources(sources)
    except PolicyError:
        return None
    finally:
        quiet.disabled = before


def _judge(
    tested: Tested,
    mutant: Mutant,
    changed: Policy | None,
    expectations: Sequence[Expectation],
    invariants: Sequence[Invariant],
    made: Score,
) -> None:
    if changed is None:
        made.broken += 1
        return
    if _noticed(changed, mutant, expectations, invariants):
        made.killed += 1
        return
    comparison = compare(tested.policy, changed, everything=True, only=lambda topic: _within(topic, mutant))
    if not comparison.differences and not comparison.unproven:
        made.equal += 1
        return
    likely = sorted(comparison.differences, key=lambda one: len(one.oddities))
    made.survivors.append(Survivor(mutant, likely[0] if likely else None))


def _within(topic: Topic, mutant: Mutant) -> bool:
    return mutant.reaches(topic.kind, topic.action)


def _beside(mutant: Mutant, invariants: Sequence[Invariant]) -> Mutant:
    """Return the change with what an implication needs besides: both of its sides must be there to be compared."""
    more = [
        Reach(one.kind, frozenset((*one.actions, *one.then)))
        for one in invariants
        if one.then and _reached(one, mutant)
    ]
    return replace(mutant, reach=(*mutant.reach, *more))


def _reached(invariant: Invariant, mutant: Mutant) -> bool:
    return any(mutant.reaches(invariant.kind, action) for action in (*invariant.actions, *invariant.then))


def _noticed(
    changed: Policy, mutant: Mutant, expectations: Sequence[Expectation], invariants: Sequence[Invariant]
) -> bool:
    asker = Asker(changed)
    for one in expectations:
        query = one.query
        reached = mutant.reaches(query.resource.kind, query.action)
        if reached and asker.answer(query, attribute=one.attribute) is not one.answer:
            return True
    asked = (narrowed for one in invariants if (narrowed := _narrowed(one, mutant)) is not None)
    return any(prove(changed, one).proof is not Proof.PROVEN for one in asked)


def _narrowed(invariant: Invariant, mutant: Mutant) -> Invariant | None:
    """Return the invariant about the actions that the change can have an effect on; the others are as they were."""
    if invariant.then:
        return invariant if _reached(invariant, mutant) else None
    if invariant.actions == (ANY_OTHER,):
        if mutant.reaches(invariant.kind, None):
            return invariant
        actions = tuple(sorted({one for reach in mutant.reach for one in reach.actions or ()}))
    else:
        actions = invariant.actions
    actions = tuple(one for one in actions if mutant.reaches(invariant.kind, None if one == UNMENTIONED else one))
    return replace(invariant, actions=actions) if actions else None
