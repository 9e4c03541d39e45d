"""`protect matrix`: who may do what, for people to read, for a golden file, and as a page."""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import sys
import textwrap
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protect.cli import policies
from protect.cli.progress import Progress
from protect.cli.writing import write
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
_NO_PROPERTY, _ANY_PROPERTY, _ANY_ACTION = "", "*", "*"

#: How many seconds are spent on one matrix, and how long a condition may be in a table.
PATIENCE = 60.0
_LONGEST = 200
_LONGEST_NAME = 48
_LIKE, _ATTRIBUTE = "like ", " (attribute)"
#: How what a spreadsheet takes for a formula begins; wide letters are taken for narrow ones.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")  # noqa: RUF001
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
        return _checked(_read(chosen.check), _cells(lines(made)))
    print(_shown(chosen.format, made, policy), end="")
    return 0


def _checked(before: _Cells, after: _Cells) -> int:
    changes = list(changed(before, after))
    if before != after and not changes:
        changes = ["no answer is another one, but roles, actions or properties came or went: write it with --update"]
    print("\n".join(changes) if changes else "no change")
    return int(bool(changes))


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
    from protect.analysis.matrix import ANY, kinds_named

    for column in made.columns:
        action, kinds = column.topic.action or _ANY_ACTION, kinds_named(column.kinds)
        for row in made.rows:
            answers: dict[tuple[str, str], list[str]] = {}
            for place in made.places:
                cell = made.cells[row, place, column]
                answers.setdefault((cell.answer, cell.condition), []).append(place.label)
            for (answer, condition), labels in answers.items():
                for label in [ANY] if len(answers) == 1 else labels:
                    for name in _properties(column):
                        yield Line(kinds, action, name, row.label, label, answer, condition)


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
    from protect.analysis.matrix import ANY_OTHER_ACTION, kinds_named

    notes: dict[str, int] = {}
    shown: list[str] = []
    for kinds, columns in groupby(made.columns, key=lambda column: column.kinds):
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
            _of_properties(lines)
            if kinds == ("Property",)
            else [[one.topic.action or ANY_OTHER_ACTION, *cells] for one, cells in lines]
        )
        shown += [*_table([kinds_named(kinds), *(row.label for row in made.rows)], body, width), ""]
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

#: What is answered where a file has no line: an action that nothing is said of is refused, an attribute that nothing
#: forbids is anybody's.
_REFUSED, _ALLOWED = ("no", ""), ("yes", "")

#: The answer and its condition, by resource, action, property, subject and kind of image.
_Cells = Mapping[tuple[str, ...], tuple[str, str]]


def _cells(found: Iterable[Line]) -> _Cells:
    from protect.analysis.matrix import atoms, kinds_of

    return {
        (kind, visible(line.action), visible(line.property), visible(line.subject), atom): (
            line.answer,
            visible(line.condition),
        )
        for line in found
        for kind in kinds_of(line.resource)
        for atom in sorted(atoms(line.image))
    }


def _read(path: str) -> _Cells:
    """Return what a file says. One that was damaged, or merged by hand, is refused: it would hide changes."""
    try:
        # Spreadsheets put a mark in front.
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            if tuple(head) != HEADER:
                raise ConfigError(f"`{path}` is no matrix; write one with --update")
            return _agreed(path, [(reader.line_num, _line(path, reader.line_num, row)) for row in reader if row])
    except (UnicodeDecodeError, csv.Error):
        raise ConfigError(f"`{path}` is not CSV in UTF-8; write it again with --update") from None


def _agreed(path: str, found: Iterable[tuple[int, Line]]) -> _Cells:
    """Return what lines say; raises ConfigError for one that says otherwise than one before it."""
    cells: dict[tuple[str, ...], tuple[str, str]] = {}
    for number, line in found:
        said = _cells([line])
        if any(cells.get(key, answer) != answer for key, answer in said.items()):
            raise ConfigError(
                f"line {number} of `{path}` says otherwise than a line before it; write it again with --update"
            )
        cells |= said
    return cells


def _line(path: str, number: int, row: Sequence[str]) -> Line:
    from protect.analysis.matrix import ANY, Answer, atoms, kinds_of
    from protect.policy.vocabulary import RESOURCES

    if len(row) == len(HEADER):
        line = Line(*map(_text_of, row))
        known = {*kinds_of(line.resource)} <= {*RESOURCES} and atoms(line.image) <= atoms(ANY)
        if known and line.answer in list(Answer):
            return line
    raise ConfigError(f"line {number} of `{path}` is none of a matrix; write it again with --update")


def changed(before: _Cells, after: _Cells) -> Iterator[str]:
    """Yield what changed, in words: the images that changed alike are told together.

    What only one side names is compared with what the other one says of all such: a role with a subject that has none
    of the roles named there, an action or a property with any other.
    """
    from protect.analysis.matrix import ANY, atoms

    sides = _Side(before), _Side(after)
    topics = dict.fromkeys(key[:3] for key in (*before, *after))
    subjects = dict.fromkeys(key[3] for key in (*before, *after))
    told: dict[tuple[str, ...], list[str]] = {}
    for key in ((*topic, subject, atom) for topic in topics for subject in subjects for atom in sorted(atoms(ANY))):
        old, new = (side.answer(key) for side in sides)
        if old is None or new is None or old != new:
            told.setdefault((*key[:-1], _said(old), _said(new)), []).append(key[-1])
    for (resource, action, name, subject, old_said, new_said), images in told.items():
        what = "any other action" if action == _ANY_ACTION else action
        of = f" {_property_named(name)}" if resource == "Property" else ""
        yield visible(f"{what}{of} on {resource}, {subject}, {', '.join(_together(images))}: {old_said} -> {new_said}")


def _property_named(name: str) -> str:
    if not name.startswith(_ANY_PROPERTY):
        return name
    return "any other attribute" if name.endswith(_ATTRIBUTE) else "any other property"


class _Side:
    """The answers of one of two matrices, also about what only the other one names."""

    def __init__(self, cells: _Cells) -> None:
        self._cells = cells
        self._topics = {key[:3] for key in cells}
        self._subjects = {key[3] for key in cells}
        #: Where patterns tell names apart, it is not said which of them would fit another name.
        self._with_patterns = {key[:2] for key in cells if key[2].startswith(_LIKE)}

    def answer(self, key: tuple[str, ...]) -> tuple[str, str] | None:
        """Return what is answered; None where that cannot be told."""
        topic = key[:3]
        if topic not in self._topics and _is_one(key) and topic[:2] in self._with_patterns:
            return None
        subject = self._subject(key[3])
        for asked in (topic, _any_other(topic)):
            if asked in self._topics:
                return self._cells.get((*asked, subject, key[4]))
        return _ALLOWED if key[2].endswith(_ATTRIBUTE) else _REFUSED

    def _subject(self, named: str) -> str:
        """Return the subject, or the one that this matrix cannot tell from it."""
        from protect.analysis.matrix import NO_ROLE, implied

        return next((one for one in (named, *implied(named)) if one in self._subjects), NO_ROLE)


def _any_other(topic: tuple[str, ...]) -> tuple[str, ...]:
    kind, action, name = topic
    if kind != "Property":
        return kind, _ANY_ACTION, name
    return kind, action, f"{_ANY_PROPERTY}{_ATTRIBUTE}" if name.endswith(_ATTRIBUTE) else _ANY_PROPERTY


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
        return "not known"
    return f"{cell[0]} (if {cell[1]})" if cell[1] else cell[0]
