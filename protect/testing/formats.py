"""Results for machines: JSON, JUnit's XML, and TAP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from protect.analysis.sentences import details
from protect.showing import visible
from protect.testing.coverage import Coverage
from protect.testing.running import Check, Outcome, Ran, Result, is_failure
from protect.testing.scoring import Score, Survivor
from protect.testing.suites import Invariant
from protect.testing.text import failure
from protect.values import Rule

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(all_ran: Sequence[Ran], covered: Sequence[Coverage], scores: Sequence[Score]) -> str:
    """Return everything as one JSON document."""
    results = [result for ran in all_ran for result in ran.results]
    document: dict[str, Any] = {
        "summary": {
            **{str(outcome): sum(one.outcome is outcome for one in results) for outcome in Outcome},
            "failed_run": any(map(is_failure, results)),
        },
        "suites": [_suite(ran) for ran in all_ran],
    }
    if covered:
        document["coverage"] = [_coverage(one) for one in covered]
    if scores:
        document["mutations"] = [_score(one) for one in scores]
    return json.dumps(document, indent=2, ensure_ascii=False)


def _suite(ran: Ran) -> dict[str, Any]:
    return {
        "file": ran.suite.file,
        "revision": ran.tested.policy.revision,
        "not_chosen": ran.left_out,
        "tests": [_result(ran, result) for result in ran.results],
    }


def _result(ran: Ran, result: Result) -> dict[str, Any]:
    test = result.test
    made: dict[str, Any] = {
        "name": test.name,
        "line": test.line,
        "kind": "invariant" if isinstance(test, Invariant) else "test",
        "outcome": str(result.outcome),
        "seconds": round(result.seconds, 6),
    }
    if test.skip:
        made["reason"] = test.skip
    if isinstance(test, Invariant):
        made["demand"] = test.sentence()
    if result.checks:
        made["asked"] = len(result.checks)
        made["wrong"] = [_check(ran, check) for check in result.wrong()]
    if result.verdict is not None:
        made["counterexamples"] = [
            {
                "sentence": one.sentence,
                "query": details(one.query),
                "reason": one.decision.reason,
                "oddities": list(one.oddities),
            }
            for one in result.verdict.examples
        ]
        made["doubts"] = list(result.verdict.doubts)
    return made


def _check(ran: Ran, check: Check) -> dict[str, Any]:
    one = check.expectation
    return {
        "subject": one.subject,
        "action": one.action,
        "resource": one.resource,
        "line": one.line,
        "expected": str(one.answer),
        "because": list(one.because),
        "got": str(check.got),
        "rule": _rule(ran.tested.policy.rules[check.rule]) if check.rule is not None else None,
        "query": details(one.query),
        "steps": [{"question": step.question, "answer": step.answer} for step in check.why.steps] if check.why else [],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {"file": rule.file, "line": rule.line, "head": rule.head}


def _coverage(one: Coverage) -> dict[str, Any]:
    return {
        "percent": round(one.percent, 2),
        "covered": [_rule(rule) for rule in one.covered],
        "uncovered": [_rule(rule) for rule in one.uncovered],
        "idle": [_rule(rule) for rule in one.idle],
    }


def _score(one: Score) -> dict[str, Any]:
    return {
        "percent": round(one.percent, 2),
        "killed": one.killed,
        "survived": [_survivor(each) for each in one.survivors],
        "equal": one.equal,
        "broken": one.broken,
        "tried": one.tried,
        "possible": one.possible,
        "seconds": round(one.seconds, 3),
    }


def _survivor(one: Survivor) -> dict[str, Any]:
    mutant = one.mutant
    return {
        "file": mutant.file,
        "line": mutant.line,
        "column": mutant.column,
        "change": mutant.change,
        "before": mutant.before,
        "after": mutant.after,
        "example": one.difference.sentence() if one.difference else None,
        "query": details(one.difference.query) if one.difference else None,
    }


def as_junit(all_ran: Sequence[Ran], covered: Sequence[Coverage], scores: Sequence[Score]) -> str:
    """Return JUnit's XML: a test suite for each file, a test case for each test."""
    root = ElementTree.Element("testsuites", name="protect test")
    for ran in all_ran:
        results = ran.results
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(ran.suite.file),
            tests=str(len(results)),
            failures=str(sum(map(is_failure, results))),
            errors="0",
            skipped=str(sum(one.outcome is Outcome.SKIPPED for one in results)),
            time=f"{sum(one.seconds for one in results):.6f}",
        )
        for result in results:
            _testcase(suite, ran, result)
    if covered or scores:
        properties = ElementTree.Element("properties")
        for name, percents in (("coverage", covered), ("mutations", scores)):
            for one in percents:
                ElementTree.SubElement(properties, "property", name=name, value=f"{one.percent:.2f}")
        for suite in root[:1]:
            suite.insert(0, properties)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _testcase(suite: ElementTree.Element, ran: Ran, result: Result) -> None:
    test = result.test
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_xml(test.name),
        classname=_xml(test.file),
        file=_xml(test.file),
        line=str(test.line),
        time=f"{result.seconds:.6f}",
    )
    if result.outcome is Outcome.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_xml(test.skip))
    elif result.outcome is not Outcome.PASSED:
        told = failure(ran, result)
        tag = "failure" if is_failure(result) else "system-out"
        attributes = {"message": _xml(told[0]), "type": str(result.outcome)} if tag == "failure" else {}
        ElementTree.SubElement(case, tag, attributes).text = _xml("\n".join(told))


def _xml(text: str) -> str:
    """Leave out what XML cannot carry in any spelling."""
    return _NOT_XML.sub("\ufffd", text)


def as_tap(all_ran: Sequence[Ran]) -> str:
    """Return version 14 of the Test Anything Protocol."""
    results = [(ran, result) for ran in all_ran for result in ran.results]
    made = ["TAP version 14", f"1..{len(results)}"]
    for number, (ran, result) in enumerate(results, start=1):
        made += _tap(number, ran, result)
    return "\n".join(made)


def _tap(number: int, ran: Ran, result: Result) -> Iterator[str]:
    test = result.test
    word = "not ok" if is_failure(result) else "ok"
    skipped = f" # SKIP {_tap_text(test.skip)}" if result.outcome is Outcome.SKIPPED else ""
    yield f"{word} {number} - {_tap_text(test.name)}{skipped}"
    if result.outcome in (Outcome.FAILED, Outcome.UNPROVEN):
        yield "  ---"
        yield f"  at: {json.dumps(f'{visible(test.file)}:{test.line}', ensure_ascii=False)}"
        yield f"  outcome: {json.dumps(str(result.outcome))}"
        yield "  message: |"
        yield from (f"    {visible(line)}".rstrip() for line in failure(ran, result))
        yield "  ..."


def _tap_text(text: str) -> str:
    return visible(" ".join(text.split())).replace("\\", "\\\\").replace("#", "\\#")
