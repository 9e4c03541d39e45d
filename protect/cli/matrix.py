"""`protect matrix`: who may do what, for people to read, for a golden file, and as a page."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import sys
import textwrap
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protect.cli import policies
from protect.cli.compile import write
from protect.cli.progress import Progress
from protect.errors import ConfigError
from protect.showing import visible

if TYPE_CHECKING:
    from protect.analysis.matrix import Column, Matrix
    from protect.policy import Policy

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Shows who may do what: every role that the policy mentions, and every kind of image that it tells apart (the subject's
own, shared with it and accepted or pending, a stranger's, by visibility), against every action and property. Each
answer is exact: yes and no hold for all such requests; "depends" comes with a condition that is enough for a yes.

A subject with a role has the roles, too, that Keystone makes it imply (admin: member, reader), and no others.
"""

EXAMPLES = """\
examples:
  protect matrix
      the shipped rules
  protect matrix /etc/glance/protect --format html > who-may-do-what.html
      one page without anything from the network: filters, and why on a click
  protect matrix rules --update matrix.csv
      the golden file, to be kept beside the policy
  protect matrix rules --check matrix.csv
      for a pipeline: fails, and says what changed, if the policy no longer says the same

"""

HEADER = ("resource", "action", "property", "subject", "image", "answer", "condition")
_NO_PROPERTY, _ANY_PROPERTY = "", "*"

#: How many seconds are spent on one matrix, and how long a condition may be in a table.
PATIENCE = 60.0
_LONGEST = 200
_LONGEST_NAME = 48
_LIKE, _ATTRIBUTE = "like ", " (attribute)"
#: How what a spreadsheet takes for a formula begins.
_FORMULA = ("=", "+", "-", "@", "'")
_UNCLEAR = "?"


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "matrix",
        help="who may do what: a table, a page, a golden file",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_status,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", metavar="PATH", nargs="*", help="the policy (without: the shipped rules)")
    command.add_argument("--format", choices=("text", "csv", "html", "json"), default="text", help="how it is shown")
    golden = command.add_mutually_exclusive_group()
    golden.add_argument("--check", metavar="FILE", help="compare with a CSV file written earlier; status 1 on a change")
    golden.add_argument("--update", metavar="FILE", help="write that CSV file")
    command.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"what is not looked at by then is said to be unclear (default: {PATIENCE:g})",
    )
    policies.add_options(command)
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Fill in the matrix, print or compare it, and return the exit status."""
    from protect.analysis.matrix import matrix

    if chosen.check and not Path(chosen.check).exists():
        raise ConfigError(f"`{chosen.check}` does not exist; write it first with --update")
    policy = policies.load(chosen.paths, policies.protection(chosen))
    progress = Progress("actions and properties looked at")
    try:
        made = matrix(policy, patience=chosen.patience, progress=progress)
    finally:
        progress.end()
    unclear = sum(cell.answer == "unclear" for cell in made.cells.values())
    if unclear:
        print(f"protect: {unclear} of {len(made.cells)} answers cannot be proven", file=sys.stderr)
    if chosen.update:
        write(chosen.update, as_csv(made).encode())
        return 0
    if chosen.check:
        before, after = _read(chosen.check), _cells(lines(made))
        changes = list(changed(before, after))
        if before != after and not changes:
            changes = ["nobody may do more or less; what can be asked is other: write it again with --update"]
        print("\n".join(changes) if changes else "no change")
        return int(bool(changes))
    print(_shown(chosen.format, made, policy), end="")
    return 0


def _shown(wanted: str, made: Matrix, policy: Policy) -> str:
    match wanted:
        case "csv":
            return as_csv(made)
        case "json":
            return as_json(made, policy)
        case "html":
            from protect.cli.matrix_page import page

            return page(made, policy)
    return as_text(made, max(40, shutil.get_terminal_size((100, 24)).columns))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the golden file: what is answered about one kind of subject and image."""

    resource: str
    action: str
    property: str
    subject: str
    image: str
    answer: str
    condition: str


def lines(made: Matrix) -> Iterator[Line]:
    """Yield the matrix line by line. Kinds of images that are answered alike are one line."""
    from protect.analysis.matrix import ANY

    for column in made.columns:
        topic = column.topic
        for row in made.rows:
            answers: dict[tuple[str, str], list[str]] = {}
            for place in made.places:
                cell = made.cells[row, place, column]
                answers.setdefault((cell.answer, cell.condition), []).append(place.label)
            for (answer, condition), labels in answers.items():
                for label in [ANY] if len(answers) == 1 else labels:
                    for name in _properties(column):
                        yield Line(topic.kind, str(topic.action), name, row.label, label, answer, condition)


def _properties(column: Column) -> list[str]:
    topic = column.topic
    if topic.kind != "Property":
        return [_NO_PROPERTY]
    names = [column.like or _ANY_PROPERTY] if topic.names is None else sorted(topic.names)
    return [f"{name}{_ATTRIBUTE}" for name in names] if topic.attribute else names


def as_csv(made: Matrix) -> str:
    """Return the golden file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for line in lines(made):
        writer.writerow([_cell_text(getattr(line, name)) for name in HEADER])
    return text.getvalue()


def _cell_text(said: str) -> str:
    """Return text that no spreadsheet takes for a formula, and no terminal obeys."""
    shown = visible(said)
    # One more where one stands already, so that reading it takes away what was put there.
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _text_of(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def as_json(made: Matrix, policy: Policy) -> str:
    """Return the matrix for other programs."""
    document = {
        "revision": policy.revision,
        "lines": [{name: getattr(line, name) for name in HEADER} for line in lines(made)],
    }
    return json.dumps(document, indent=1) + "\n"


def as_text(made: Matrix, width: int = 100) -> str:
    """Return tables for a terminal of this width: for each type of resource, actions down and subjects across."""
    notes: dict[str, int] = {}
    shown: list[str] = []
    for kind, columns in groupby(made.columns, key=lambda column: column.topic.kind):
        lines = [
            (
                column,
                tuple(
                    _images([(place.label, made.cells[row, place, column]) for place in made.places], notes)
                    for row in made.rows
                ),
            )
            for column in columns
        ]
        body = (
            _of_properties(lines) if kind == "Property" else [[str(one.topic.action), *cells] for one, cells in lines]
        )
        shown += [*_table([kind, *(row.label for row in made.rows)], body, width), ""]
    for condition, number in notes.items():
        shown += textwrap.wrap(f"{number}: if {_cut(condition)}", width, subsequent_indent="   ")
    if any(_UNCLEAR in cell for line in shown for cell in line.split()):
        shown.append(f"{_UNCLEAR}: cannot be proven")
    shown += textwrap.wrap("own, accepted, pending, stranger's: whose image it is, and how it is shared with it", width)
    return "\n".join(visible(line) for line in shown) + "\n"


def _of_properties(lines: Sequence[tuple[Column, tuple[str, ...]]]) -> list[list[str]]:
    """Return the lines of a table: properties that are answered alike together, and so the operations on them."""
    answers: dict[str, dict[str, tuple[str, ...]]] = {}
    for column, cells in lines:
        for name in _properties(column):
            answers.setdefault(name, {})[str(column.topic.action)] = cells
    patterns = {column.like for column, _ in lines}
    groups: dict[Hashable, list[str]] = {}
    for name, by_action in answers.items():
        # A section is told by itself, whatever others say.
        own = name if name in patterns or name == _ANY_PROPERTY else ""
        groups.setdefault((own, tuple(by_action.items())), []).append(name)
    body = []
    # Those that are named, and then those that patterns tell apart.
    for names in sorted(groups.values(), key=lambda names: names[0] in patterns or names[0] == _ANY_PROPERTY):
        actions: dict[tuple[str, ...], list[str]] = {}
        for action, cells in answers[names[0]].items():
            actions.setdefault(cells, []).append(action)
        body += [[f"{_named(names)}: {_done(done)}", *cells] for cells, done in actions.items()]
    return body


def _named(names: Sequence[str]) -> str:
    if names[0] == _ANY_PROPERTY:
        return "any other property"
    listed = ", ".join(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in names[:3])
    return listed + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _done(actions: Sequence[str]) -> str:
    from protect.analysis.topics import OPERATIONS

    return "everything" if {*OPERATIONS} <= set(actions) else ", ".join(actions)


def _table(head: Sequence[str], body: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of a table: long cells are wrapped, and columns that have no place follow in another table."""
    lines = [list(head), *map(list, body)]
    first = max(12, min(max(len(line[0]) for line in lines), width * 2 // 5))
    most = max(8, width // 4)
    widths = [min(most, max(len(line[index]) for line in lines)) for index in range(1, len(head))]
    left = list(range(len(widths)))
    while left:
        fitting = [left.pop(0)]
        while left and first + sum(widths[one] + 2 for one in [*fitting, left[0]]) <= width:
            fitting.append(left.pop(0))
        for line in lines:
            yield from _wrapped(
                [line[0], *(line[one + 1] for one in fitting)], [first, *(widths[one] for one in fitting)]
            )
        if left:
            yield ""


def _wrapped(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    parts = [
        textwrap.wrap(visible(cell), width, subsequent_indent="  " if number == 0 else "") or [""]
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    for line in range(max(map(len, parts))):
        yield "  ".join(
            (part[line] if line < len(part) else "").ljust(width) for part, width in zip(parts, widths, strict=True)
        ).rstrip()


def _cut(condition: str) -> str:
    if len(condition) <= _LONGEST:
        return condition
    return f"{condition[:_LONGEST].rsplit(' and ', 1)[0]} … (whole in --format csv)"


def _images(cells: Sequence[tuple[str, Any]], notes: dict[str, int]) -> str:
    """Say for which images the answer is yes; a number refers to a condition."""
    told: dict[str, list[str]] = {}
    for label, cell in cells:
        mark = {"yes": "", "unclear": _UNCLEAR}.get(cell.answer)
        if cell.answer == "depends":
            mark = f"[{notes.setdefault(cell.condition, len(notes) + 1)}]"
        if mark is not None:
            told.setdefault(mark, []).append(_short(label))
    said = [f"{'all' if len(labels) == len(cells) else ', '.join(labels)}{mark}" for mark, labels in told.items()]
    return "; ".join(said) or "-"


def _short(label: str) -> str:
    return label.removeprefix("shared with it (").removesuffix(")").removesuffix(" any")


# --- the golden file ---

_NOTHING = ("no", "")

_Cells = Mapping[tuple[str, ...], tuple[str, str]]


def _cells(found: Iterator[Line]) -> _Cells:
    from protect.analysis.matrix import atoms

    return {
        (line.resource, visible(line.action), visible(line.property), visible(line.subject), atom): (
            line.answer,
            visible(line.condition),
        )
        for line in found
        for atom in sorted(atoms(line.image))
    }


def _read(path: str) -> _Cells:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            rows = [Line(*map(_text_of, row)) for row in reader if len(row) == len(HEADER)]
    except UnicodeDecodeError:
        raise ConfigError(f"`{path}` is not UTF-8 text; write it again with --update") from None
    if tuple(head) != HEADER:
        raise ConfigError(f"`{path}` is no matrix; write one with --update")
    return _cells(iter(rows))


def changed(before: _Cells, after: _Cells) -> Iterator[str]:
    """Yield what changed, in words: the images that changed alike are told together.

    A new kind of subject, image or property that may do nothing is no change, nor is one of those that is gone.
    """
    told: dict[tuple[str, ...], list[str]] = {}
    sides = _Side(before), _Side(after)
    for key in dict.fromkeys([*before, *after]):
        old, new = (side.answer(key) for side in sides)
        unknown = any(side.is_unknown(key) for side in sides)
        if unknown or (old or _NOTHING) != (new or _NOTHING):
            told.setdefault((*key[:-1], _said(old), _said(new)), []).append(key[-1])
    for (resource, action, name, subject, old_said, new_said), images in told.items():
        of = f" {name if name != _ANY_PROPERTY else 'any other property'}" if resource == "Property" else ""
        yield visible(
            f"{action}{of} on {resource}, {subject}, {', '.join(_together(images))}: {old_said} -> {new_said}"
        )


class _Side:
    """The answers of one of two matrices, also about properties that only the other one names."""

    def __init__(self, cells: _Cells) -> None:
        self._cells = cells
        self._named = {key[:3] for key in cells}
        #: Where patterns tell names apart, it is not said which of them would fit another name.
        self._with_patterns = {key[:2] for key in cells if key[2].startswith(_LIKE)}

    def answer(self, key: tuple[str, ...]) -> tuple[str, str] | None:
        """Return what is answered: of a property that is not named here, what is of any other."""
        if key[:3] not in self._named and _is_one(key) and key[:2] not in self._with_patterns:
            return self._cells.get((*key[:2], _ANY_PROPERTY, *key[3:]))
        return self._cells.get(key)

    def is_unknown(self, key: tuple[str, ...]) -> bool:
        """Whether it cannot be told what is answered."""
        return key[:3] not in self._named and _is_one(key) and key[:2] in self._with_patterns


def _is_one(key: tuple[str, ...]) -> bool:
    """Whether a property, or a kind of them, is meant and not an attribute nor any other one."""
    return key[0] == "Property" and key[2] != _ANY_PROPERTY and not key[2].endswith(_ATTRIBUTE)


def _together(images: Sequence[str]) -> list[str]:
    """Say several kinds of images in as few words as there are."""
    from protect.analysis.matrix import ANY, atoms

    left = set(images)
    told = []
    for several in (ANY, f"own {ANY}", f"stranger's {ANY}"):
        if atoms(several) <= left:
            left -= atoms(several)
            told.append(several.removesuffix(f" {ANY}"))
    return [*told, *(image for image in images if image in left)]


def _said(cell: tuple[str, str] | None) -> str:
    if cell is None:
        return "not there"
    return f"{cell[0]} (if {cell[1]})" if cell[1] else cell[0]
