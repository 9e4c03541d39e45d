"""A report in words and in the formats that other programs read. Every function is pure: a report in, text out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final

from protect.lint.catalogue import checks
from protect.lint.findings import Finding, Report, Severity, Span
from protect.lint.texts import Text
from protect.showing import visible


class Style(StrEnum):
    """The formats."""

    TEXT = "text"
    CONCISE = "concise"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
    GITLAB = "gitlab"
    JUNIT = "junit"


_COLORS: Final = {Severity.ERROR: "31", Severity.SECURITY: "35", Severity.WARNING: "33", Severity.INFO: "36"}
_SARIF_LEVEL: Final = {
    Severity.ERROR: "error",
    Severity.SECURITY: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "note",
}
_GITHUB_LEVEL: Final = {**_SARIF_LEVEL, Severity.INFO: "notice"}
_GITLAB_LEVEL: Final = {
    Severity.ERROR: "critical",
    Severity.SECURITY: "critical",
    Severity.WARNING: "minor",
    Severity.INFO: "info",
}
#: GitHub orders findings of security by a number up to 10.
_SECURITY_SEVERITY: Final = "8.0"
_WIDEST: Final = 160
_DOCS: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def rendered(
    style: Style,
    report: Report,
    texts: Mapping[str, Text],
    *,
    version: str,
    color: bool = False,
    secrets: Sequence[str] = (),
) -> str:
    """Return the report. ``texts`` are the files for excerpts, in which ``secrets`` are not shown."""
    plain: dict[Style, Callable[[], str]] = {
        Style.TEXT: lambda: text(report, texts, color=color, secrets=secrets),
        Style.CONCISE: lambda: concise(report),
        Style.JSON: lambda: as_json(report),
        Style.SARIF: lambda: sarif(report, texts, version=version),
        Style.GITHUB: lambda: github(report),
        Style.GITLAB: lambda: gitlab(report),
        Style.JUNIT: lambda: junit(report),
    }
    return plain[style]()


def place(span: Span) -> str:
    """Say where: `file:line:column`, or the file alone."""
    return f"{visible(span.file)}:{span.line}:{span.column}" if span.line else visible(span.file)


def text(report: Report, texts: Mapping[str, Text], *, color: bool = False, secrets: Sequence[str] = ()) -> str:
    """Return the findings for a reader, with what they are about."""

    def painted(said: str, code: str) -> str:
        return f"\x1b[{code}m{said}\x1b[0m" if color else said

    parts = []
    for finding in report.findings:
        head = painted(f"{finding.severity}[{finding.code}]", f"1;{_COLORS[finding.severity]}")
        parts.append(f"{head}: {painted(visible(finding.message), '1')}  ({finding.name})")
        lines, width = _excerpt(finding.span, texts, secrets)
        arrow = painted(" " * width + "-->", "34")
        parts.append(f"{arrow} {place(finding.span)}")
        for number, line, marks in lines:
            parts.append(painted(f"{number:>{width}} |", "34") + (f" {line}" if line else ""))
            if marks:
                parts.append(painted(" " * width + " |", "34") + " " + painted(marks, f"1;{_COLORS[finding.severity]}"))
        for label, said in (("shown by", finding.witness), ("help", finding.help)):
            if said:
                parts.append(f"{' ' * width} = {painted(label, '1')}: {visible(said)}")
        for related in finding.related:
            parts.append(f"{' ' * width} = {painted('see', '1')}: {place(related.span)}: {visible(related.message)}")
        parts.append("")
    return "\n".join(parts) + ("\n" if parts else "")


def _excerpt(span: Span, texts: Mapping[str, Text], secrets: Sequence[str]) -> tuple[list[tuple[int, str, str]], int]:
    """Return numbered lines with what to put under them, and how wide the numbers are."""
    source = texts.get(span.file)
    if source is None or not 0 < span.line <= len(source.lines):
        return [], 1
    raw = source.lines[span.line - 1]
    end = span.end_column if span.end_line == span.line else len(raw) + 1
    before, inside, after = raw[: span.column - 1], raw[span.column - 1 : end - 1], raw[end - 1 :]
    for secret in secrets:
        before, inside, after = (
            part.replace(secret, "•" * 6) if secret in part else part for part in (before, inside, after)
        )
        if secret in before + inside + after:  # it reaches over the borders of the span
            before, inside, after = "", "•" * 6, ""
    before, inside, after = (visible(part.replace("\t", "    ")) for part in (before, inside, after))
    if len(before) > _WIDEST // 2:
        before = "…" + before[-_WIDEST // 2 :]
    line = (before + inside + after)[:_WIDEST]
    marks = " " * len(before) + "^" * max(1, min(len(inside), _WIDEST - len(before)))
    return [(span.line, line.rstrip(), marks)], len(str(span.line))


def concise(report: Report) -> str:
    """Return a line for each finding."""
    return "".join(f"{place(one.span)}: {one.code} {visible(one.message)}\n" for one in report.findings)


def statistics(report: Report) -> str:
    """Return a line for each code, with how often it was found."""
    counts = Counter(one.code for one in report.findings)
    width = max((len(str(count)) for count in counts.values()), default=1)
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return "".join(f"{count:>{width}}  {code}  {checks()[code].name}\n" for code, count in rows)


def _span(span: Span) -> dict[str, object]:
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _finding(one: Finding) -> dict[str, object]:
    fix = one.fix and {
        "message": one.fix.message,
        "applicability": "safe" if one.fix.safe else "unsafe",
        "edits": [{"start": edit.start, "end": edit.end, "text": edit.text} for edit in one.fix.edits],
    }
    return {
        "code": one.code,
        "name": one.name,
        "severity": str(one.severity),
        "message": one.message,
        "span": _span(one.span),
        "help": one.help,
        "witness": one.witness,
        "related": [{"span": _span(other.span), "message": other.message} for other in one.related],
        "fix": fix,
        "fingerprint": one.fingerprint,
    }


def as_json(report: Report) -> str:
    """Return the report as JSON, with nothing left out. Lines and columns count from 1, offsets of edits from 0."""
    document = {
        "format": "protect-lint/1",
        "files": report.files,
        "findings": [_finding(one) for one in report.findings],
        "suppressed": [
            {**_finding(one.finding), "reason": one.reason, "suppressed_by": one.by} for one in report.suppressed
        ],
        "notes": list(report.notes),
    }
    return _json(document)


def _json(document: object) -> str:
    # ASCII, so that no reader stumbles over half a character of a hostile file.
    return json.dumps(document, indent=2) + "\n"


def sarif(report: Report, texts: Mapping[str, Text], *, version: str) -> str:
    """Return the report as SARIF 2.1.0."""
    found = [*report.findings, *(one.finding for one in report.suppressed)]
    codes = sorted({one.code for one in found})
    rules = [_sarif_rule(code) for code in codes]
    results = [_sarif_result(one, codes, texts) for one in report.findings]
    for hidden in report.suppressed:
        result = _sarif_result(hidden.finding, codes, texts)
        suppression = {"kind": "external" if hidden.by == "baseline" else "inSource"}
        if hidden.reason:
            suppression["justification"] = hidden.reason
        results.append({**result, "suppressions": [suppression]})
    driver = {"name": "protect", "semanticVersion": version, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "where lint was started"}}},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": "note", "message": {"text": note}} for note in report.notes],
            }
        ],
        "results": results,
    }
    return _json({"$schema": _DOCS, "version": "2.1.0", "runs": [run]})


def _sarif_rule(code: str) -> dict[str, Any]:
    check = checks()[code]
    properties: dict[str, Any] = {"tags": [str(check.severity)]}
    if check.severity is Severity.SECURITY:
        properties["security-severity"] = _SECURITY_SEVERITY
    return {
        "id": code,
        "name": "".join(word.title() for word in check.name.split("-")),
        "shortDescription": {"text": check.summary},
        "fullDescription": {"text": check.why},
        "help": {"text": check.how},
        "defaultConfiguration": {"level": _SARIF_LEVEL[check.severity]},
        "properties": properties,
    }


def _sarif_result(one: Finding, codes: Sequence[str], texts: Mapping[str, Text]) -> dict[str, Any]:
    said = [one.message]
    if one.witness:
        said.append(f"Shown by: {one.witness}")
    if one.help:
        said.append(f"Help: {one.help}")
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": codes.index(one.code),
        "level": _SARIF_LEVEL[one.severity],
        "message": {"text": "\n".join(said)},
        "locations": [{"physicalLocation": _physical(one.span)}],
        "partialFingerprints": {"protect/v1": one.fingerprint},
    }
    if one.related:
        result["relatedLocations"] = [
            {"id": number, "physicalLocation": _physical(other.span), "message": {"text": other.message}}
            for number, other in enumerate(one.related, start=1)
        ]
    if one.fix is not None and one.span.file in texts:
        result["fixes"] = [_sarif_fix(one, texts[one.span.file])]
    return result


def _physical(span: Span) -> dict[str, Any]:
    # GitHub takes no result without a region: what is about the whole file stands where that begins.
    region = {
        "startLine": max(1, span.line),
        "startColumn": max(1, span.column),
        "endLine": max(1, span.line, span.end_line),
        "endColumn": max(1, span.end_column),
    }
    return {"artifactLocation": _artifact(span.file), "region": region}


def _artifact(file: str) -> dict[str, str]:
    from urllib.parse import quote

    path = PurePath(file).as_posix()
    uri = quote(path.encode("utf-8", "surrogateescape"), safe="/")
    if path.startswith("/"):
        return {"uri": f"file://{uri}"}
    return {"uri": uri.removeprefix("./"), "uriBaseId": "SRCROOT"}


def _sarif_fix(one: Finding, source: Text) -> dict[str, Any]:
    assert one.fix is not None
    replacements = []
    for edit in one.fix.edits:
        span = source.span(edit.start, edit.end)
        region = {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        }
        replacements.append({"deletedRegion": region, "insertedContent": {"text": edit.text}})
    return {
        "description": {"text": one.fix.message},
        "artifactChanges": [{"artifactLocation": _artifact(one.span.file), "replacements": replacements}],
    }


def github(report: Report) -> str:
    """Return workflow commands, worst first: GitHub shows ten of a kind for each step."""
    lines = []
    for one in sorted(report.findings, key=lambda finding: (finding.severity.rank, finding.span)):
        where = {"file": _relative(one.span.file)}
        if one.span.line:
            where |= {"line": str(one.span.line), "endLine": str(one.span.end_line)}
            if one.span.line == one.span.end_line:  # GitHub takes columns of one line only
                where |= {"col": str(one.span.column), "endColumn": str(one.span.end_column)}
        where["title"] = f"{one.code} {one.name}"
        options = ",".join(f"{key}={_command(value, ':,')}" for key, value in where.items())
        said = "\n".join(filter(None, (one.message, one.witness and f"shown by: {one.witness}", one.help)))
        lines.append(f"::{_GITHUB_LEVEL[one.severity]} {options}::{_command(said)}\n")
    return "".join(lines)


def _command(said: str, more: str = "") -> str:
    said = "".join(one if one in "\r\n" else visible(one) for one in said)
    for character in f"%\r\n{more}":
        said = said.replace(character, f"%{ord(character):02X}")
    return said


def _relative(file: str) -> str:
    return PurePath(file).as_posix().removeprefix("./")


def gitlab(report: Report) -> str:
    """Return a code-quality report."""
    rows = [
        {
            "description": f"{one.code} {one.message}",
            "check_name": one.name,
            "fingerprint": one.fingerprint,
            "severity": _GITLAB_LEVEL[one.severity],
            "location": {
                "path": _relative(one.span.file),
                "positions": {
                    "begin": {"line": max(1, one.span.line), "column": max(1, one.span.column)},
                    "end": {"line": max(1, one.span.end_line), "column": max(1, one.span.end_column)},
                },
            },
        }
        for one in report.findings
    ]
    return _json(rows)


def junit(report: Report) -> str:
    """Return a test report: a case that fails for each finding, or one that passes."""
    found = report.findings
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines.append(f'<testsuites name="protect lint" tests="{max(1, len(found))}" failures="{len(found)}" errors="0">')
    files = list(dict.fromkeys(one.span.file for one in found))
    for file in files:
        mine = [one for one in found if one.span.file == file]
        lines.append(
            f'  <testsuite name={_attribute(file)} tests="{len(mine)}" failures="{len(mine)}" errors="0" skipped="0">'
        )
        for one in mine:
            # GitLab takes two cases of one name for the same.
            case = f"{one.code} {one.name} at {place(one.span)}: {one.message}"
            named = f"name={_attribute(case)} classname={_attribute(file)} file={_attribute(_relative(file))}"
            lines.append(f"    <testcase {named}>")
            said = "\n".join(
                filter(None, (one.witness and f"shown by: {one.witness}", one.help and f"help: {one.help}"))
            )
            lines.append(
                f"      <failure type={_attribute(str(one.severity))} message={_attribute(one.message)}>"
                f"{_xml(said)}</failure>"
            )
            lines.append("    </testcase>")
        lines.append("  </testsuite>")
    if not files:
        lines.append('  <testsuite name="protect lint" tests="1" failures="0" errors="0" skipped="0">')
        lines.append(f'    <testcase name="{report.files} files without a finding" classname="protect lint"/>')
        lines.append("  </testsuite>")
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _attribute(said: str) -> str:
    return f'"{_xml(said)}"'.replace("\n", " ")


def _xml(said: str) -> str:
    # Imported here: one format in seven is XML.
    from html import escape

    # XML has no way to write most control characters, and readers obey some of the others.
    return escape("".join(one if one == "\n" else visible(one) for one in said))
