"""Runs suites: asks the policy what the tests expect, and proves the invariants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from protect.errors import Problem
from protect.lint.known import actions as api_actions
from protect.policy.policy import Policy
from protect.testing.asking import Asker
from protect.testing.documents import SuiteError, suggestion
from protect.testing.policies import Tested
from protect.testing.proofs import Proof, Verdict, prove, says_nothing
from protect.testing.suites import ANY_OTHER, UNMENTIONED, Answer, Case, Expectation, Invariant, Suite
from protect.testing.tables import OPERATIONS
from protect.values import Explanation

#: Seconds, from any moment on.
Clock = Callable[[], float]


class Outcome(StrEnum):
    """What came of a test. ``UNPROVEN``: neither held up nor refuted."""

    PASSED = "passed"
    FAILED = "failed"
    UNPROVEN = "cannot prove"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One question that was asked. ``rule`` is the index of the rule that decided; ``why`` is kept for what failed."""

    expectation: Expectation
    got: Answer
    rule: int | None
    passed: bool
    why: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test or invariant, with its checks or its verdict."""

    test: Case | Invariant
    outcome: Outcome
    checks: tuple[Check, ...] = ()
    verdict: Verdict | None = None
    seconds: float = 0.0

    def wrong(self) -> list[Check]:
        """Return the checks that did not pass."""
        return [check for check in self.checks if not check.passed]


@dataclass(slots=True)
class Ran:
    """One suite and what came of it. ``left_out`` counts the tests that were not chosen."""

    suite: Suite
    tested: Tested
    results: list[Result] = field(default_factory=list)
    left_out: int = 0

    def failed(self) -> list[Result]:
        """Return the results that make a run fail."""
        return [one for one in self.results if is_failure(one)]


def is_failure(result: Result) -> bool:
    """Whether a result makes the run fail."""
    if result.outcome is Outcome.UNPROVEN:
        return isinstance(result.test, Invariant) and not result.test.lenient
    return result.outcome is Outcome.FAILED


def prepared(suite: Suite, tested: Tested) -> Suite:
    """Return the suite with every ``*`` filled in.

    Raises SuiteError for actions and rules that nobody knows, and for what can never fail.
    """
    found = [*_unknown_actions(suite, tested.policy), *_unknown_rules(suite, tested)]
    if found:
        raise SuiteError(sorted(set(found)))
    cases = []
    for case in suite.cases:
        expectations = tuple(one for each in case.expectations for one in _filled(each, case, tested.policy))
        cases.append(replace(case, expectations=expectations))
    if empty := list(_that_say_nothing(cases, suite, tested.policy)):
        raise SuiteError(empty)
    return replace(suite, cases=tuple(cases))


def _that_say_nothing(cases: Iterable[Case], suite: Suite, policy: Policy) -> Iterator[Problem]:
    """Yield what passes whatever the policy is: green, it would be taken for a promise."""
    for case in cases:
        if not case.expectations and not case.skip:
            help = "name subjects, actions and resources, and answers other than `.`"
            yield Problem(suite.file, case.line, 1, f"the test `{case.name}` asks nothing", help)
    for one in suite.invariants:
        if not one.skip and says_nothing(policy, one):
            help = "`when` holds for no request, `only_when` for all of them, or an action implies itself"
            yield Problem(suite.file, one.line, 1, f"the invariant `{one.name}` holds whatever the policy is", help)


def known_actions(policy: Policy, kind: str) -> set[str]:
    """Return the actions on a type of resource that the policy mentions or the API asks about."""
    mentioned = {action for of, action in policy.table.actions if of == kind}
    if kind == "Property":
        return mentioned | set(OPERATIONS.values())
    return mentioned | api_actions()


def _mentioned(policy: Policy, kind: str) -> list[str]:
    if kind == "Property":
        return list(OPERATIONS.values())
    return sorted(action for of, action in policy.table.actions if of == kind)


def _unknown_actions(suite: Suite, policy: Policy) -> Iterator[Problem]:
    for asked in suite.asked:
        if asked.text in (ANY_OTHER, UNMENTIONED) or not asked.kinds or "Resource" in asked.kinds:
            continue
        known = set().union(*(known_actions(policy, kind) for kind in asked.kinds))
        if asked.text not in known:
            of = " or ".join(sorted(asked.kinds))
            message = f"neither the policy nor the API knows an action `{asked.text}` on a resource of type {of}"
            yield Problem(suite.file, asked.line, asked.column, message, suggestion(asked.text, known))


def _unknown_rules(suite: Suite, tested: Tested) -> Iterator[Problem]:
    for because in suite.because:
        help = tested.missing(because.text)
        if help is not None:
            yield Problem(suite.file, because.line, because.column, f"no rule is `{because.text}`", help)


def _filled(each: Expectation, case: Case, policy: Policy) -> Iterator[Expectation]:
    if each.action != ANY_OTHER:
        yield each
        return
    beside = {one.action for one in case.expectations if (one.subject, one.resource) == (each.subject, each.resource)}
    for action in _mentioned(policy, each.query.resource.kind):
        if action not in beside:
            yield replace(each, action=action, query=each.query._replace(action=action))


def chosen(suite: Suite, pattern: str | None) -> tuple[list[Case | Invariant], int]:
    """Return the tests whose name fits the pattern (or ``file: name``), and how many do not."""
    tests: list[Case | Invariant] = [*suite.cases, *suite.invariants]
    if pattern is None:
        return tests, 0
    kept = [one for one in tests if fnmatchcase(one.name, pattern) or fnmatchcase(f"{suite.file}: {one.name}", pattern)]
    return kept, len(tests) - len(kept)


def run(suite: Suite, tested: Tested, pattern: str | None = None, clock: Clock = time.perf_counter) -> Ran:
    """Run a prepared suite."""
    tests, left_out = chosen(suite, pattern)
    ran = Ran(suite, tested, left_out=left_out)
    asker = Asker(tested.policy)
    for test in tests:
        before = clock()
        result = _invariant(test, tested) if isinstance(test, Invariant) else _case(test, tested, asker)
        ran.results.append(replace(result, seconds=clock() - before))
    return ran


def _case(case: Case, tested: Tested, asker: Asker) -> Result:
    if case.skip:
        return Result(case, Outcome.SKIPPED)
    checks = tuple(_check(one, tested, asker) for one in case.expectations)
    passed = all(check.passed for check in checks)
    return Result(case, Outcome.PASSED if passed else Outcome.FAILED, checks)


def _check(one: Expectation, tested: Tested, asker: Asker) -> Check:
    got = asker.answer(one.query, attribute=one.attribute)
    rule = None if got is Answer.ERROR else asker.rule(one.query, attribute=one.attribute)
    passed = got is one.answer and _meant(one.because, rule, tested)
    # An explanation speaks of `allow` rules as well, which an attribute is not asked of.
    why = None if passed or one.attribute else asker.explain(one.query)
    return Check(one, got, rule, passed, why)


def _meant(because: Sequence[str], rule: int | None, tested: Tested) -> bool:
    return not because or (rule is not None and any(tested.fits(said, rule) for said in because))


_OUTCOMES = {Proof.PROVEN: Outcome.PASSED, Proof.REFUTED: Outcome.FAILED, Proof.OPEN: Outcome.UNPROVEN}


def _invariant(invariant: Invariant, tested: Tested) -> Result:
    if invariant.skip:
        return Result(invariant, Outcome.SKIPPED)
    verdict = prove(tested.policy, invariant)
    return Result(invariant, _OUTCOMES[verdict.proof], verdict=verdict)


def results(all_ran: Iterable[Ran]) -> list[Result]:
    """Return the results of all suites."""
    return [result for ran in all_ran for result in ran.results]
