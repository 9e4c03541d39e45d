"""How lint's findings are told: every format, with hostile texts in them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from protect.lint import reports
from protect.lint.findings import Edit, Finding, Fix, Related, Report, Severity, Span, Suppressed, with_fingerprints
from protect.lint.reports import Style
from protect.lint.texts import Text

FILE = "a b/é%.polar"
SOURCE = Text(FILE, 'first\n\tallow("x",,"y");  # \x1b[31m red \u202e\nlast')
HOSTILE = "100%\r\n::error::x,y:z <b>&\"' \x1b[2J \u202e \x00 ]]>"


def finding(severity: Severity = Severity.WARNING, message: str = HOSTILE, span: Span | None = None) -> Finding:
    code, name = {"warning": ("PL019", "repeated-comma"), "security": ("PG112", "cross-tenant-write")}.get(
        severity, ("PL001", "syntax-error")
    )
    where = span or Span(FILE, 2, 11, 2, 13)
    related = (Related(Span(FILE, 1, 1, 1, 6), HOSTILE),)
    return Finding(
        code, name, severity, message, where, "help " + HOSTILE, HOSTILE, related, Fix("drop", (Edit(15, 16, ""),))
    )


FOUND = with_fingerprints([finding(), finding(Severity.SECURITY), finding(Severity.ERROR, span=Span("/abs/x.conf"))])
REPORT = Report(
    tuple(FOUND), (Suppressed(FOUND[0], "a reason", f"{FILE}:1"), Suppressed(FOUND[1], "", "baseline")), ("a note",), 2
)
NOTHING = Report(files=3)
TEXTS = {FILE: SOURCE}


def told(style: Style, report: Report = REPORT, **more: Any) -> str:
    return reports.rendered(style, report, TEXTS, version="1.2.3", **more)


@pytest.mark.parametrize("style", Style)
def test_nothing_that_a_terminal_obeys_is_told(style: Style) -> None:
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f\u202e]", told(style)) == []


@pytest.mark.parametrize("style", Style)
def test_a_report_is_a_pure_function(style: Style) -> None:
    assert told(style) == told(style)
    assert told(style, NOTHING) == told(style, NOTHING)


def test_text_shows_the_place() -> None:
    report = Report((finding(message="two commas in a row"),), files=1)
    lines = told(Style.TEXT, report).split("\n")
    assert lines[:4] == [
        "warning[PL019]: two commas in a row  (repeated-comma)",
        f" --> {FILE}:2:11",
        '2 |     allow("x",,"y");  # \\x1b[31m red \\u202e',
        "  |              ^^",
    ]


def test_color_is_only_there_when_it_is_wanted() -> None:
    assert "\x1b[" not in told(Style.TEXT)
    assert "\x1b[1;33mwarning[PL019]\x1b[0m" in told(Style.TEXT, color=True)


def test_a_secret_in_the_excerpt_is_covered() -> None:
    assert "allow" in told(Style.TEXT)
    assert "allow" not in told(Style.TEXT, secrets=['allow("x"'])


def test_concise_is_a_line_for_each() -> None:
    lines = told(Style.CONCISE).splitlines()
    assert len(lines) == len(FOUND)
    assert lines[-1].startswith("a b/é%.polar:2:11: PL019 100%\\x0d\\x0a::error::")


def test_json_leaves_nothing_out() -> None:
    document = json.loads(told(Style.JSON))
    assert document["format"] == "protect-lint/1"
    assert [one["message"] for one in document["findings"]] == [HOSTILE] * 3
    assert document["suppressed"][0]["reason"] == "a reason"
    assert document["findings"][0]["fix"]["applicability"] == "safe"
    assert document["notes"] == ["a note"]


def test_sarif_has_what_the_standard_asks_for() -> None:
    document = json.loads(told(Style.SARIF))
    check_sarif(document)
    [run] = document["runs"]
    assert run["tool"]["driver"]["semanticVersion"] == "1.2.3"
    assert [one.get("suppressions") for one in run["results"]] == [
        None,
        None,
        None,
        [{"kind": "inSource", "justification": "a reason"}],
        [{"kind": "external"}],
    ]
    security = next(rule for rule in run["tool"]["driver"]["rules"] if rule["id"] == "PG112")
    assert float(security["properties"]["security-severity"]) > 7
    places = [one["locations"][0]["physicalLocation"] for one in run["results"]]
    assert places[0]["artifactLocation"] == {"uri": "file:///abs/x.conf"}
    assert places[0]["region"] == {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
    assert places[1]["artifactLocation"] == {"uri": "a%20b/%C3%A9%25.polar", "uriBaseId": "SRCROOT"}
    assert places[1]["region"] == {"startLine": 2, "startColumn": 11, "endLine": 2, "endColumn": 13}


def test_sarif_without_a_finding_is_one_too() -> None:
    check_sarif(json.loads(told(Style.SARIF, NOTHING)))


#: What we write, as the standard has it: name to (type, required). What is not here may not be there.
SHAPES: dict[str, dict[str, tuple[str, bool]]] = {
    "log": {"$schema": ("text", False), "version": ("text", True), "runs": ("[run]", True)},
    "run": {
        "tool": ("tool", True),
        "columnKind": ("text", False),
        "originalUriBaseIds": ("any", False),
        "invocations": ("[invocation]", False),
        "results": ("[result]", False),
    },
    "invocation": {"executionSuccessful": ("truth", True), "toolExecutionNotifications": ("[notification]", False)},
    "notification": {"level": ("level", False), "message": ("message", True)},
    "tool": {"driver": ("driver", True)},
    "driver": {"name": ("text", True), "semanticVersion": ("text", False), "rules": ("[rule]", False)},
    "rule": {
        "id": ("text", True),
        "name": ("text", False),
        "shortDescription": ("message", False),
        "fullDescription": ("message", False),
        "help": ("message", False),
        "defaultConfiguration": ("configuration", False),
        "properties": ("any", False),
    },
    "configuration": {"level": ("level", False)},
    "message": {"text": ("text", True)},
    "result": {
        "ruleId": ("text", False),
        "ruleIndex": ("number", False),
        "level": ("level", False),
        "message": ("message", True),
        "locations": ("[location]", False),
        "relatedLocations": ("[location]", False),
        "partialFingerprints": ("any", False),
        "suppressions": ("[suppression]", False),
        "fixes": ("[fix]", False),
    },
    "suppression": {"kind": ("suppressed", True), "justification": ("text", False)},
    "location": {"id": ("number", False), "physicalLocation": ("physical", False), "message": ("message", False)},
    "physical": {"artifactLocation": ("artifact", True), "region": ("region", True)},
    "artifact": {"uri": ("text", True), "uriBaseId": ("text", False)},
    "region": dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), ("number", True)),
    "fix": {"description": ("message", False), "artifactChanges": ("[change]", True)},
    "change": {"artifactLocation": ("artifact", True), "replacements": ("[replacement]", True)},
    "replacement": {"deletedRegion": ("region", True), "insertedContent": ("message", False)},
}
CHOICES = {"level": ("none", "note", "warning", "error"), "suppressed": ("inSource", "external")}


def check_sarif(document: dict[str, Any]) -> None:
    assert document["version"] == "2.1.0"
    check_shape(document, "log")
    for run in document["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"].get("rules", ())]
        assert len(rules) == len(set(rules))
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]


def check_shape(value: Any, shape: str) -> None:
    if shape.startswith("["):
        assert isinstance(value, list)
        for one in value:
            check_shape(one, shape[1:-1])
    elif shape in SHAPES:
        fields = SHAPES[shape]
        assert value.keys() <= fields.keys()
        assert {name for name, (_, required) in fields.items() if required} <= value.keys()
        for name, inner in value.items():
            check_shape(inner, fields[name][0])
    elif shape in CHOICES:
        assert value in CHOICES[shape]
    elif shape != "any":
        assert type(value) is {"text": str, "number": int, "truth": bool}[shape]
        assert shape != "number" or value >= 0


def test_github_has_a_command_for_each_worst_first() -> None:
    lines = told(Style.GITHUB).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    where = "file=a b/é%25.polar,line=2,endLine=2,col=11,endColumn=13,title=PL019 repeated-comma"
    assert lines[-1].startswith(f"::warning {where}::100%25%0D%0A::error::x,y:z <b>&")


@pytest.mark.parametrize(
    ("span", "place"),
    [
        pytest.param(
            Span("./a:b,c.polar", 2, 3, 2, 5), "file=a%3Ab%2Cc.polar,line=2,endLine=2,col=3,endColumn=5", id="one line"
        ),
        pytest.param(Span("x\ny", 2, 3, 4, 5), "file=x%0Ay,line=2,endLine=4", id="no columns for several lines"),
        pytest.param(Span("::error::x"), "file=%3A%3Aerror%3A%3Ax", id="the whole of a file whose name is a command"),
    ],
)
def test_github_is_told_the_place_as_it_wants_it(span: Span, place: str) -> None:
    [line] = told(Style.GITHUB, Report((finding(span=span),))).splitlines()
    assert line.startswith(f"::warning {place},title=")


def test_gitlab_tells_equal_findings_apart() -> None:
    rows = json.loads(told(Style.GITLAB))
    assert len({row["fingerprint"] for row in rows}) == len(rows) == 3
    assert {row["severity"] for row in rows} == {"critical", "minor"}
    assert all(row["location"]["positions"]["begin"]["line"] >= 1 for row in rows)


def test_junit_is_xml() -> None:
    suites = ElementTree.fromstring(told(Style.JUNIT))
    assert suites.attrib["failures"] == "3"
    assert len(suites.findall(".//failure")) == 3
    assert suites.findall(".//testcase")[0].attrib["file"] == "/abs/x.conf"
    assert ElementTree.fromstring(told(Style.JUNIT, NOTHING)).attrib["failures"] == "0"


def test_junit_tells_two_findings_of_one_place_apart() -> None:
    report = Report((finding(message="one"), finding(message="two")))
    cases = ElementTree.fromstring(told(Style.JUNIT, report)).findall(".//testcase")
    assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == 2


def test_statistics_count_the_codes() -> None:
    assert (
        reports.statistics(REPORT) == "1  PG112  cross-tenant-write\n1  PL001  syntax-error\n1  PL019  repeated-comma\n"
    )


def test_paths_are_relative_for_gitlab_and_sarif() -> None:
    one = Report((finding(span=Span("./x.polar", 1, 1, 1, 2)),), files=1)
    assert json.loads(told(Style.GITLAB, one))[0]["location"]["path"] == "x.polar"
    [result] = json.loads(told(Style.SARIF, one))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == str(Path("x.polar"))
