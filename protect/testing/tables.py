"""Tables of text: a line with the heads of the columns, then a line for each row, columns apart by spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protect.testing.documents import Node, suggestion

#: The columns of a table of properties, each with the operation that it stands for.
OPERATIONS: Mapping[str, str] = {"C": "create", "R": "read", "U": "update", "D": "delete"}

_NAMES = ("subject", "action", "resource")
_WORD = re.compile(r'"[^"]*"|\S+')


@dataclass(frozen=True, slots=True)
class Cell:
    """One word. ``at`` and ``column`` are its place; ``head`` is what stands above it, at ``head_column``."""

    text: str
    at: int
    column: int
    head_line: int = 0
    head: str = ""
    head_column: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the names in its first columns by their heads, and the cells behind them."""

    line: int
    head_line: int
    names: Mapping[str, Cell]
    cells: tuple[Cell, ...]


def rows(node: Node) -> tuple[str, list[Row]]:
    """Return which of subject, action and resource stands across the head, and the rows."""
    lines = list(_lines(node))
    if not lines:
        return "resource", []
    leading = [cell for cell in lines[0] if cell.text in _NAMES]
    across = [name for name in _NAMES if name not in {cell.text for cell in leading}]
    if len(across) != 1 or lines[0][: len(leading)] != leading:
        node.mistakes.add(
            lines[0][0].at,
            lines[0][0].column,
            "a table begins with two of the columns subject, action and resource",
            "the third goes across: `subject  action  own_image  public_image`",
        )
        return "resource", []
    return across[0], list(_rows(node, lines, len(leading)))


def operations_of(node: Node) -> list[Row]:
    """Return the rows of a table of subjects, properties, and the operations on them."""
    lines = list(_lines(node))
    if not lines:
        return []
    head = [cell.text for cell in lines[0]]
    wrong = [cell for cell in lines[0][2:] if cell.text not in OPERATIONS]
    if head[:2] != ["subject", "property"] or len(head) < 3 or wrong:
        at = wrong[0] if wrong and head[:2] == ["subject", "property"] else lines[0][0]
        help = "such as `subject  property  C R U D`"
        node.mistakes.add(
            at.at,
            at.column,
            "a table of properties has the columns subject, property and operations",
            f"{suggestion(at.text, OPERATIONS)}; {help}" if wrong and at is wrong[0] else help,
        )
        return []
    return list(_rows(node, lines, 2))


def _rows(node: Node, lines: list[list[Cell]], leading: int) -> Iterator[Row]:
    head = lines[0]
    seen: set[str] = set()
    for cell in head:
        if cell.text in seen:
            node.mistakes.add(cell.at, cell.column, f"the column `{cell.text}` stands here already", "take one out")
        seen.add(cell.text)
    if len(lines) == 1:
        node.mistake("the table has no rows", "write one line for each")
    met: dict[tuple[str, ...], int] = {}
    for line in lines[1:]:
        if len(line) != len(head):
            node.mistakes.add(
                line[0].at, line[0].column, f"the row has {len(line)} cells, and there are {len(head)} columns"
            )
            continue
        key = tuple(cell.text for cell in line[:leading])
        first = met.setdefault(key, line[0].at)
        if first != line[0].at:
            node.mistakes.add(
                line[0].at,
                line[0].column,
                f"the row of {', '.join(key)} stands in line {first} already",
                "keep one of them",
            )
            continue
        yield Row(
            line[0].at,
            head[0].at,
            {above.text: cell for above, cell in zip(head[:leading], line[:leading], strict=True)},
            tuple(
                Cell(cell.text, cell.at, cell.column, above.at, above.text, above.column)
                for above, cell in zip(head[leading:], line[leading:], strict=True)
            ),
        )


def _lines(node: Node) -> Iterator[list[Cell]]:
    """Yield the words of each line, with their places in the file."""
    text = node.text("a table")
    if text is None:
        return
    if node.raw.style != "|":
        node.mistake("a table is written in lines of its own", "write `|` behind the colon, and the table below it")
        return
    first = node.line + 1
    for number, line in enumerate(text.split("\n")):
        words = line.partition("#")[0] if line.lstrip().startswith("#") else line
        if not words.strip():
            continue
        source = node.mistakes.lines[first + number - 1] if first + number - 1 < len(node.mistakes.lines) else line
        indent = len(source) - len(line)
        yield [
            Cell(match[0].strip('"'), first + number, max(indent, 0) + match.start() + 1)
            for match in _WORD.finditer(words)
        ]
