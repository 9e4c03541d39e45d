"""The text that Oso is given: the policy's own statements, with what the interview needs written into them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from protect.polar.check import ENTRY_POINTS
from protect.polar.marks import MARK, RESOURCE_ALIAS
from protect.polar.syntax import Block, Pattern, Rule, Span, Statement, walk
from protect.values import Rule as RuleReference


class Source:
    """``text`` is what Oso reads. ``rules`` are the entry points' rules; the marks in the text count them.

    A mark at the end of a rule tells which one decided. ``Resource`` gets another name, because Polar has its own idea
    of it.
    """

    def __init__(self, texts: Mapping[str, str], statements: Sequence[Statement]) -> None:
        self.rules: list[RuleReference] = []
        self._statements = list(statements)
        self._starts: list[int] = []
        parts: list[str] = []
        length = 0
        for statement in statements:
            part = self._rewritten(texts[statement.span.file], statement)
            self._starts.append(length)
            parts.append(part)
            length += len(part) + 1
        self.text = "\n".join(parts) + "\n"

    def statement_at(self, line: int, column: int) -> Statement | None:
        """Return the statement at a place of ``text``, as Oso counts: lines and columns from 1."""
        if not self._statements:
            return None
        lines = self.text.split("\n")
        offset = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        return self._statements[max(0, bisect_right(self._starts, offset) - 1)]

    def _rewritten(self, text: str, statement: Statement) -> str:
        span = statement.span
        edits = list(self._edits(text, statement))
        written, place = [], span.start
        for start, end, replacement in sorted(edits):
            written += [text[place:start], replacement]
            place = end
        return "".join([*written, text[place : span.end]])

    def _edits(self, text: str, statement: Statement) -> Iterator[tuple[int, int, str]]:
        for place in _resource_names(statement):
            yield place.start, place.end, RESOURCE_ALIAS
        if not isinstance(statement, Rule) or statement.name not in ENTRY_POINTS:
            return
        mark = f"{MARK}.decided({len(self.rules)})"
        if statement.body is None:
            end = statement.span.end - 1
            yield end, end, f" if {mark}"
        else:
            body = statement.body.span
            yield body.start, body.start, "("
            yield body.end, body.end, f") and {mark}"
        head_end = statement.parameters[-1].span.end if statement.parameters else statement.name_span.end
        head = re.sub(r"\s+", " ", text[statement.span.start : head_end]) + ")"
        self.rules.append(RuleReference(statement.span.file, statement.span.line, head))


def _resource_names(statement: Statement) -> Iterator[Span]:
    if isinstance(statement, Block) and statement.name == "Resource":
        yield statement.name_span
    for term in walk(statement):
        if isinstance(term, Pattern) and term.name == "Resource":
            yield term.name_span
