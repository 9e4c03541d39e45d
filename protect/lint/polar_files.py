"""The `.polar` files that are checked together, parsed: what the checks of the text look at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from protect.errors import Problem
from protect.lint.findings import Span
from protect.lint.texts import Text
from protect.polar.check import BLOCK_RULES, ENTRY_POINTS
from protect.polar.parser import parse
from protect.polar.syntax import Block, InlineQuery, Rule, Statement, calls, reached, rules_by_name
from protect.polar.syntax import Span as Stretch


@dataclass(slots=True)
class PolarFiles:
    """One policy. ``own`` are the files that findings are wanted for; the others are what those are loaded beside."""

    texts: Mapping[str, Text]
    own: frozenset[str]
    statements: list[Statement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: Whether everything could be parsed.
    complete: bool = True
    _by_file: dict[str, list[Statement]] = field(default_factory=dict)

    def own_statements(self) -> Iterator[Statement]:
        """Yield the statements of the files that findings are wanted for."""
        return (statement for statement in self.statements if statement.span.file in self.own)

    def own_rules(self) -> Iterator[Rule]:
        """Yield the rules among them."""
        return (statement for statement in self.own_statements() if isinstance(statement, Rule))

    def span(self, stretch: Stretch) -> Span:
        """Return where something of the syntax tree stands."""
        return self.texts[stretch.file].span(stretch.start, stretch.end)

    def source(self, stretch: Stretch) -> str:
        """Return the text of something of the syntax tree."""
        return self.texts[stretch.file].content[stretch.start : stretch.end]

    def subject(self, file: str, line: int) -> str:
        """Return the text of the statement that a line belongs to, for a fingerprint."""
        if not self._by_file:
            for statement in self.statements:
                self._by_file.setdefault(statement.span.file, []).append(statement)
        there = self._by_file.get(file, [])
        # The one that began before, if it goes on, else the first that begins here.
        begins = bisect_left(there, line, key=lambda statement: statement.span.line)
        for statement in there[max(0, begins - 1) : begins + 1]:
            last = statement.span.line + self.source(statement.span).count("\n")
            if statement.span.line <= line <= last:
                return self.source(statement.span)
        return ""

    def rules_by_name(self) -> dict[str, list[Rule]]:
        """Return all rules of all files by their names."""
        return rules_by_name(self.statements)

    def asked(self) -> set[str]:
        """Return the names of the rules that an entry point comes to."""
        asking = [one for one in self.statements if isinstance(one, InlineQuery | Block)]
        of_blocks = BLOCK_RULES if any(isinstance(one, Block) for one in asking) else ()
        return reached([*ENTRY_POINTS, *calls(asking), *of_blocks], self.rules_by_name())


def parsed(texts: Sequence[Text], beside: Sequence[Text] = ()) -> PolarFiles:
    """Parse ``texts``, and what they are loaded ``beside``."""
    files = PolarFiles({one.file: one for one in (*beside, *texts)}, frozenset(one.file for one in texts))
    seen: set[str] = set()
    for text in (*beside, *texts):
        if text.content in seen:
            continue  # the same text under two names says nothing new
        seen.add(text.content)
        statements, problems = parse(text.content, text.file)
        files.statements += statements
        files.complete = files.complete and not problems
        files.problems += problems
    return files
