"""A file as text: its lines, and how an offset becomes a place and a place an offset."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from protect.lint.findings import Span

_WORD = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[\w.]+[?]?|.', re.DOTALL)


class Text:
    """The decoded content of one file. Columns and offsets are in code points."""

    def __init__(self, file: str, content: str) -> None:
        self.file = file
        self.content = content

    @cached_property
    def starts(self) -> list[int]:
        """Return the offset at which each line begins."""
        return [0, *(match.end() for match in re.finditer("\n", self.content))]

    @cached_property
    def lines(self) -> list[str]:
        """Return the lines, without what ends them."""
        return [line.removesuffix("\r") for line in self.content.split("\n")]

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a place, as near as the text has one."""
        if not 0 < line <= len(self.starts):
            return len(self.content) if line > 0 else 0
        return min(self.starts[line - 1] + max(column - 1, 0), len(self.content))

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """Return the span of ``content[start:end]``."""
        line, column = self.place(start)
        end_line, end_column = self.place(max(start, end))
        return Span(self.file, line, column, end_line, end_column)

    def word(self, line: int, column: int) -> Span:
        """Return the span of the word that begins at a place; of the file, for line 0."""
        if line <= 0:
            return Span(self.file)
        start = self.offset(line, column)
        found = _WORD.match(self.content, start)
        # A line end is nothing to point at.
        end = found.end() if found and found[0] not in ("\n", "\r") else start
        return self.span(start, end)

    def line(self, number: int) -> Span:
        """Return the span of a line's text, without the space around it."""
        text = self.lines[number - 1] if 0 < number <= len(self.lines) else ""
        indent = len(text) - len(text.lstrip())
        return Span(self.file, number, indent + 1, number, len(text.rstrip()) + 1)
