"""Results for a person: what was asked in words, what was expected, what came, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from protect.analysis.sentences import details
from protect.showing import visible
from protect.testing.coverage import Coverage
from protect.testing.proofs import Example
from protect.testing.running import Check, Outcome, Ran, Result, is_failure
from protect.testing.scoring import Score, Survivor
from protect.testing.suites import Answer, Case, Expectation, Invariant
from protect.values import Explanation, Rule

#: How many wrong answers of one test are explained, how many steps of an explanation, and how many names are listed.
EXPLAINED = 3
STEPS = 12
LISTED = 50

#: How many characters the columns of a table may take before only those with a wrong answer are shown.
WIDE = 100


def lines(all_ran: Sequence[Ran], *, verbose: bool = False) -> Iterator[str]:
    """Yield the results, failures last."""
    for ran in all_ran:
        for result in ran.results:
            if verbose or result.outcome is not Outcome.PASSED:
                yield from map(visible, _result(ran, result))


_WORD = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "FAILED",
    Outcome.UNPROVEN: "CANNOT PROVE",
    Outcome.SKIPPED: "skipped",
}


def _result(ran: Ran, result: Result) -> Iterator[str]:
    test = result.test
    word = _WORD[result.outcome]
    if result.outcome is Outcome.UNPROVEN and not is_failure(result):
        word = "cannot prove (allowed)"
    reason = f": {test.skip}" if test.skip else ""
    yield f"{test.file}:{test.line}: {word}: {test.name}{reason}"
    if result.outcome is Outcome.FAILED or result.outcome is Outcome.UNPROVEN:
        told = failure(ran, result)
        yield from (f"    {line}".rstrip() for line in told)
        yield ""


def failure(ran: Ran, result: Result) -> list[str]:
    """Return what a person needs to know of a failure, line by line."""
    if isinstance(result.test, Invariant):
        return list(_invariant(ran, result.test, result))
    return list(_case(ran, result.test, result))


def _case(ran: Ran, case: Case, result: Result) -> Iterator[str]:
    wrong = result.wrong()
    total = len(result.checks)
    yield f"{len(wrong)} of {total} {'answer is' if total == 1 else 'answers are'} not what the test expects"
    if len(result.checks) > 1:
        yield from grid(case, result.checks)
        yield ""
    for check in wrong[:EXPLAINED]:
        yield from _check(ran, check)
    if len(wrong) > EXPLAINED:
        yield f"and {len(wrong) - EXPLAINED} more"


def _check(ran: Ran, check: Check) -> Iterator[str]:
    one = check.expectation
    at = f"  (line {one.line})" if one.line else ""
    yield f"{one.subject} asks to {one.action} {one.resource}{at}"
    yield from (f"    {line}" for line in described(one.query))
    tested = ran.tested
    rule = f", by {_named(tested.policy.rules[check.rule])}" if check.rule is not None else ""
    yield f"    expected  {one.answer}" + (f", because of {' or '.join(one.because)}" if one.because else "")
    yield f"    got       {check.got}{rule or _no_rule(check)}"
    if check.why is not None:
        yield from (f"    {line}" for line in why(check.why, nearest=one.answer is Answer.ALLOW))


def _no_rule(check: Check) -> str:
    if check.got is Answer.ERROR:
        return ": the policy could not be evaluated"
    return ": no rule allows it" if check.got is Answer.DENY else ""


def why(explanation: Explanation, *, nearest: bool = True) -> Iterator[str]:
    """Yield the questions that were asked, and for a denial what would have to be otherwise."""
    steps = explanation.steps
    if steps:
        yield "why"
        yield from (f"    {step}" for step in steps[:STEPS])
        if len(steps) > STEPS:
            yield f"    and {len(steps) - STEPS} questions more"
    for near in explanation.nearest if nearest else ():
        yield f"{near.rule or 'a rule'} would allow it, if"
        yield from (f"    {change}" for change in near.changes)


def described(query: Any) -> Iterator[str]:
    """Yield the query in words: who asks, and about what."""
    plain = details(query)
    yield f"subject   {_facts(plain['subject'])}"
    resource = dict(plain["resource"])
    kind = resource.pop("type", "resource")
    image = resource.pop("image", None)
    yield f"{kind:<9} {_facts(resource)}"
    if image is not None:
        yield f"image     {_facts(image)}"
    if plain.get("context"):
        yield f"context   {_facts(plain['context'])}"


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in facts.items()) or "nothing is known of it"


def _value(value: object) -> str:
    if isinstance(value, str):
        return value if value.isprintable() and value and " " not in value else ascii(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false"}.get(bool(value), "") if value is not None else "null"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "+".join(map(_value, value))
    return str(value)


def _named(rule: Rule) -> str:
    return f"{rule}  {rule.head}" if rule.line else f"{rule.file}: {rule.head}"


# --- tables ---


def grid(case: Case, checks: Sequence[Check]) -> list[str]:
    """Return the answers as a table. A row with a wrong answer stands there twice: as expected, and as it came."""
    across = case.grid.across
    down = [name for name in ("subject", "action", "resource") if name != across]
    columns = list(dict.fromkeys(_name(check.expectation, across) for check in checks))
    left_out = 0
    if sum(len(column) + 2 for column in columns) > WIDE:
        wrong_ones = {_name(check.expectation, across) for check in checks if not check.passed}
        left_out = len(columns) - len(wrong_ones)
        columns = [column for column in columns if column in wrong_ones]
    by_row: dict[tuple[str, ...], dict[str, Check]] = {}
    for check in checks:
        key = tuple(_name(check.expectation, name) for name in down)
        by_row.setdefault(key, {})[_name(check.expectation, across)] = check
    table: list[list[str]] = [["", *down, *columns]]
    for key, cells in by_row.items():
        wrong = any(not check.passed for check in cells.values())
        got = [_cell(cells.get(column), expected=False) for column in columns]
        if not wrong:
            table.append(["", *key, *got])
            continue
        table.append(["-", *key, *(_cell(cells.get(column), expected=True) for column in columns)])
        table.append(["+", *key, *got])
        marks = [
            "^" * len(one) if _is_wrong(cells.get(column)) else "" for column, one in zip(columns, got, strict=True)
        ]
        table.append(["", *("" for _ in key), *marks])
    if len(table) > LISTED:
        kept = [row for row in table[1:] if row[0]][: LISTED - 1]
        table = [table[0], *kept]
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    widths[0] = 1
    made = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return [*made, f"   ({left_out} columns where all is well are left out)"] if left_out else made


def _name(expectation: Expectation, what: str) -> str:
    return {"subject": expectation.subject, "action": expectation.action, "resource": expectation.resource}[what]


def _cell(check: Check | None, *, expected: bool) -> str:
    if check is None:
        return "."
    answer = check.expectation.answer if expected else check.got
    if not expected and not check.passed and check.got is check.expectation.answer:
        return f"{answer}, other rule"
    return str(answer)


def _is_wrong(check: Check | None) -> bool:
    return check is not None and not check.passed


# --- invariants ---


def _invariant(ran: Ran, invariant: Invariant, result: Result) -> Iterator[str]:
    yield invariant.sentence()
    verdict = result.verdict
    if verdict is None:
        return
    for example in verdict.examples[:EXPLAINED]:
        yield from _example(ran, example, invariant)
    if len(verdict.examples) > EXPLAINED:
        yield f"and {len(verdict.examples) - EXPLAINED} examples more, for other actions"
    for doubt in verdict.doubts:
        yield f"cannot prove: {doubt}"


def _example(ran: Ran, example: Example, invariant: Invariant) -> Iterator[str]:
    yield f"counterexample: {example.sentence}"
    yield from (f"    {line}" for line in described(example.query))
    yield f"    {example.decision.reason}"
    for oddity in example.oddities:
        yield f"    but no request like it is known: {oddity}"


# --- coverage and mutations ---


def coverage_lines(found: Coverage) -> Iterator[str]:
    """Yield the coverage and the rules that no test reaches."""
    total = len(found.covered) + len(found.uncovered)
    yield f"coverage: {found.percent:.1f} % ({len(found.covered)} of {total} rules decide some test)"
    for rule in found.uncovered[:LISTED]:
        yield visible(f"    no test is decided by {_named(rule)}")
    if len(found.uncovered) > LISTED:
        yield f"    and {len(found.uncovered) - LISTED} more"
    for rule in found.idle:
        yield f"    decides no request at all, so it is left out: {_named(rule)}"


def score_lines(found: Score) -> Iterator[str]:
    """Yield the mutation score and the changes that no test noticed."""
    total = found.killed + len(found.survivors)
    yield (
        f"mutations: {found.percent:.1f} % ({found.killed} of {total} changes are noticed by a test); "
        f"{found.tried} of {found.possible} changes tried in {found.seconds:.1f} s, "
        f"{found.equal} of them change no decision, {found.broken} do not load"
    )
    for survivor in found.survivors[:LISTED]:
        yield from (visible(f"    {line}") for line in survivor_lines(survivor))
    if len(found.survivors) > LISTED:
        yield f"    and {len(found.survivors) - LISTED} more"


def survivor_lines(survivor: Survivor) -> Iterator[str]:
    """Yield one change that no test noticed, and what it changes."""
    mutant = survivor.mutant
    yield f"{mutant.file}:{mutant.line}:{mutant.column}: no test notices: {mutant.change}"
    yield f"    {mutant.before}" + (f"  ->  {mutant.after}" if mutant.after else "")
    if survivor.difference is not None:
        yield f"    a test would: {survivor.difference.sentence()}"
    else:
        yield "    cannot prove whether it changes a decision"


def summary(all_ran: Iterable[Ran]) -> str:
    """Return one line about all of it."""
    counts = dict.fromkeys(Outcome, 0)
    asked = left_out = 0
    for ran in all_ran:
        left_out += ran.left_out
        for result in ran.results:
            counts[result.outcome] += 1
            asked += len(result.checks)
    said = [f"{number} {outcome}" for outcome, number in counts.items() if number or outcome is Outcome.PASSED]
    more = f", {left_out} not chosen" if left_out else ""
    return f"{', '.join(said)}{more}; {asked} question{'' if asked == 1 else 's'} asked"
