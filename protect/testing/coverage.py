"""Which rules decided at least one test. Invariants do not count: they are about every request, and no rule decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protect.analysis.walking import deciding_rules
from protect.testing.policies import Tested
from protect.testing.running import Ran
from protect.values import Rule


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one policy. ``idle`` are rules that decide no request at all: they are left out, as no test can reach them."""

    covered: tuple[Rule, ...]
    uncovered: tuple[Rule, ...]
    idle: tuple[Rule, ...] = ()

    @property
    def percent(self) -> float:
        """Return how many in a hundred are covered."""
        total = len(self.covered) + len(self.uncovered)
        return 100.0 * len(self.covered) / total if total else 100.0


def coverage(tested: Tested, all_ran: Iterable[Ran]) -> Coverage:
    """Return what the tests of one policy reach."""
    reached = {
        check.rule
        for ran in all_ran
        if ran.tested is tested
        for result in ran.results
        for check in result.checks
        if check.rule is not None
    }
    rules = tested.policy.rules
    # What stands in no line is nobody's to test: a protection file's answer where no section fits.
    written = [index for index, rule in enumerate(rules) if rule.line]
    can = deciding_rules(tested.policy)
    idle = {index for index in written if can.proven and index not in can.witnesses} - reached
    return Coverage(
        tuple(rules[index] for index in written if index in reached),
        tuple(rules[index] for index in written if index not in reached | idle),
        tuple(rules[index] for index in written if index in idle),
    )
