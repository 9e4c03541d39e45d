"""The place in a file's tokens while it is parsed: brackets, names, spans, and the mistakes found there."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NoReturn

from protect.errors import Problem
from protect.polar.syntax import Span
from protect.polar.tokens import RESERVED, Token, quoted

#: How deep brackets, and with them the tree, may be nested. Real policies stay below ten.
MAX_DEPTH: Final = 100


class Mistake(Exception):
    """Ends the statement that is being read; carries the problem to report."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class Cursor:
    """The next token of a file, and the problems that were found before it."""

    def __init__(self, text: str, file: str, tokens: list[Token], lexical: list[Problem]) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._tokens = tokens
        # Two more at the end, because a statement is told by its first three.
        self._kinds = [*(token[0] for token in tokens), "end", "end"]
        self._index = 0
        self._depth = 0
        self._lexical = sorted(map(place, lexical))

    # Brackets, names, places

    def _open(self) -> Token:
        token = self._tokens[self._index]
        if self._depth >= MAX_DEPTH:
            message = f"brackets are nested deeper than {MAX_DEPTH}"
            raise Mistake(self._problem(token, message, "move a part into a rule of its own"))
        self._depth += 1
        self._index += 1
        return token

    def _close(self, opening: Token, expected: str) -> None:
        """Take the bracket that ends ``expected``, which says what may stand here: "`,` or `)`"."""
        if self._kinds[self._index] != expected[-2]:
            advice = f"`{expected[-2]}` closes the `{opening[0]}` of line {opening[4]}, column {opening[5]}"
            self._fail(expected, advice)
        self._depth -= 1
        self._index += 1

    def _name(self, what: str) -> Token:
        token = self._tokens[self._index]
        if token[0] != "name":
            if token[0] in RESERVED:
                self._reserved(what)
            self._fail(what)
        self._index += 1
        return token

    def _end(self) -> int:
        """Where the last token that was taken ends."""
        return self._tokens[self._index - 1][3]

    def _span(self, start: Token, end: int) -> Span:
        return Span(self._file, start[2], end, start[4], start[5])

    # Mistakes

    def _problem(self, token: Token, message: str, advice: str = "") -> Problem:
        return Problem(self._file, token[4], token[5], message, advice)

    def _fail(self, expected: str, advice: str = "") -> NoReturn:
        token = self._tokens[self._index]
        found = "the end of the file" if token[0] == "end" else quoted(self._text[token[2] : token[3]])
        raise Mistake(self._problem(token, f"expected {expected}, found {found}", advice))

    def _reserved(self, what: str, advice: str = "choose another name") -> NoReturn:
        token = self._tokens[self._index]
        raise Mistake(self._problem(token, f"`{token[1]}` is a reserved word and cannot be {what}", advice))

    def _report(self, problem: Problem, first: int) -> None:
        """Keep ``problem``, unless what stands between token ``first`` and here was no token: that explains it."""
        start, last = self._tokens[first], self._tokens[max(first, self._index - 1)]
        at = bisect_left(self._lexical, (start[4], start[5]))
        if at == len(self._lexical) or self._lexical[at] > (last[4], last[5] + last[3] - last[2]):
            self.problems.append(problem)


def place(problem: Problem) -> tuple[int, int]:
    """What problems are sorted by: line and column."""
    return problem.line, problem.column
