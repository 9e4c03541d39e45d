"""Comments that keep findings out of the report, and what is wrong with such comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from protect.errors import ConfigError
from protect.lint import catalogue
from protect.lint.catalogue import Form
from protect.lint.findings import Edit, Finding, Fix, Severity, Suppressed
from protect.lint.surroundings import EXPIRED, MALFORMED, STALE, UNREASONED
from protect.lint.texts import Text

_COMMENT: Final = {
    Form.POLAR: re.compile(r'^(?P<before>(?:[^"#]|"(?:[^"\\]|\\.)*")*)(?P<mark>#)(?P<comment>.*)$'),
    Form.PROTECTION: re.compile(r"^(?P<before>\s*)(?P<mark>[#;])(?P<comment>.*)$"),
    Form.OSLO: re.compile(
        r"""^(?P<before>(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*'|(?<=\S)\#)*?)(?P<mark>\#)(?P<comment>.*)$"""
    ),
}
_MEANT: Final = re.compile(r"\s*protect:\s*(?P<what>ignore\S*)(?P<rest>.*)$")
_FORM: Final = re.compile(
    r"\s*protect:\s*ignore(?P<all>-file)?\[(?P<codes>[^\]]*)\]"
    r"(?P<options>(?:\s+(?:reason=\"[^\"]*\"|until=\S+))*)\s*$"
)
_REASON: Final = re.compile(r'reason="([^"]*)"')
_UNTIL: Final = re.compile(r"until=(\S+)")


@dataclass(slots=True)
class Suppression:
    """One comment. It covers ``lines`` of the file, from the first to the last."""

    text: Text
    line: int
    start: int
    end: int
    codes: frozenset[str]
    lines: tuple[int, int]
    reason: str = ""
    until: date | None = None
    #: Where the comment stands alone, taking it out takes the line out.
    alone: bool = False
    used: set[str] = field(default_factory=set)

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is one that the comment means."""
        line = max(finding.span.line, 1)
        return (
            finding.code in self.codes
            and finding.span.file == self.text.file
            and self.lines[0] <= line <= self.lines[1]
        )


def read(text: Text, form: Form) -> tuple[list[Suppression], list[Finding]]:
    """Return the suppressions of a file, and what cannot be read of them."""
    found: list[Suppression] = []
    problems: list[Finding] = []
    if "protect:" not in text.content:
        return found, problems
    for number, line in enumerate(text.lines, start=1):
        comment = _COMMENT[form].match(line) if "protect:" in line else None
        if comment is None or not _MEANT.match(comment["comment"]):
            continue
        try:
            found.append(_suppression(text, form, number, comment))
        except ConfigError as error:
            start = text.offset(number, comment.start("mark") + 1)
            span = text.span(start, text.offset(number, len(line) + 1))
            problems.append(MALFORMED.at(span, str(error), 'write `protect: ignore[CODE] reason="why"`', subject=line))
    return found, problems


def _suppression(text: Text, form: Form, number: int, comment: re.Match[str]) -> Suppression:
    form_found = _FORM.match(comment["comment"])
    if form_found is None:
        raise ConfigError("this suppression cannot be read")
    codes = frozenset(catalogue.find(code).code for code in form_found["codes"].split(","))
    until = _UNTIL.search(form_found["options"])
    reason = _REASON.search(form_found["options"])
    alone = not comment["before"].strip()
    line = comment.string
    start = text.offset(number, comment.start("mark") + 1)
    if form_found["all"]:
        lines = (1, len(text.lines))
    elif alone:
        lines = _below(text, form, number)
    else:
        lines = (number, number)
    return Suppression(
        text,
        number,
        start,
        text.offset(number, len(line) + 1),
        codes,
        lines,
        reason[1].strip() if reason else "",
        _day(until[1]) if until else None,
        alone,
    )


def _day(word: str) -> date:
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise ConfigError(f"`{word}` is no day; write it as 2030-12-31") from None


def _below(text: Text, form: Form, number: int) -> tuple[int, int]:
    """Return the lines of the statement, section or entry that begins below a comment."""
    marks = "#;" if form is Form.PROTECTION else "#"
    first = number + 1
    while first <= len(text.lines) and text.lines[first - 1].strip()[:1] in ("", *marks):
        first += 1
    last = first
    while last < len(text.lines):
        line, following = text.lines[last - 1], text.lines[last]
        if form is Form.POLAR and re.search(r";\s*(?:#.*)?$", line):
            break
        if form is Form.PROTECTION and (following.startswith("[") or not text.lines[first - 1].startswith("[")):
            break
        if form is Form.OSLO and (not following.strip() or not following[0].isspace()):
            break
        last += 1
    return first, last


def applied(
    findings: Iterable[Finding], suppressions: Iterable[Suppression], today: date, ran: AbstractSet[str]
) -> tuple[list[Finding], list[Suppressed], list[Finding]]:
    """Return the findings that remain, those that are suppressed, and what is wrong with the suppressions.

    ``ran`` are the codes that were looked for: of another, a suppression is not stale.
    """
    suppressions = list(suppressions)
    checks = catalogue.checks()
    remaining: list[Finding] = []
    hidden: list[Suppressed] = []
    for finding in findings:
        by = [one for one in suppressions if one.covers(finding)]
        for one in by:
            one.used.add(finding.code)
        counting = [one for one in by if not _expired(one, today) and (one.reason or not _security(finding.code))]
        if counting:
            hidden.append(Suppressed(finding, counting[0].reason, f"{counting[0].text.file}:{counting[0].line}"))
        else:
            remaining.append(finding)
    problems = [problem for one in suppressions for problem in _wrong(one, today, ran & checks.keys())]
    return remaining, hidden, problems


def _security(code: str) -> bool:
    return catalogue.checks()[code].severity is Severity.SECURITY


def _expired(suppression: Suppression, today: date) -> bool:
    return suppression.until is not None and suppression.until < today


def _wrong(one: Suppression, today: date, ran: AbstractSet[str]) -> Iterator[Finding]:
    span = one.text.span(one.start, one.end)
    subject = one.text.content[one.start : one.end]
    if _expired(one, today):
        yield EXPIRED.at(
            span, f"this was suppressed until {one.until}", "put it right, or decide anew", subject=subject
        )
        return
    if not one.reason and any(_security(code) for code in one.codes):
        code = next(code for code in sorted(one.codes) if _security(code))
        yield UNREASONED.at(span, f"`{code}` is suppressed without a reason", 'add reason="…"', subject=subject)
        return
    stale = sorted(one.codes - one.used)
    if stale and set(stale) <= ran:
        fix = None
        if not one.used:
            start = one.start
            end = one.end
            content = one.text.content
            if one.alone:
                start = one.text.offset(one.line, 1)
                end = content.find("\n", end) + 1 or len(content)
            else:
                start = len(content[:start].rstrip(" \t"))
            fix = Fix("take it out", (Edit(start, end, ""),))
        codes = ", ".join(f"`{code}`" for code in stale)
        yield STALE.at(span, f"no {codes} is found here", "take it out", fix=fix, subject=subject)
