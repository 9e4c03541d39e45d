"""`protect matrix`: who may do what, for people to read, for a golden file, and as a page."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protect.cli import policies
from protect.cli.compile import write
from protect.errors import ConfigError

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


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "matrix",
        help="who may do what",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_status,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", metavar="PATH", nargs="*", help="the policy (without: the shipped rules)")
    command.add_argument("--format", choices=("text", "csv", "html", "json"), default="text", help="how it is shown")
    golden = command.add_mutually_exclusive_group()
    golden.add_argument("--check", metavar="FILE", help="compare with a CSV file written earlier; status 1 on a change")
    golden.add_argument("--update", metavar="FILE", help="write that CSV file")
    policies.add_options(command)
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Fill in the matrix, print or compare it, and return the exit status."""
    from protect.analysis.matrix import matrix

    policy = policies.load(chosen.paths, policies.protection(chosen))
    made = matrix(policy)
    if chosen.update:
        write(Path(chosen.update), as_csv(made).encode())
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
    return as_text(made)


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
    names = [_ANY_PROPERTY] if topic.names is None else sorted(topic.names)
    return [f"{name} (attribute)" for name in names] if topic.attribute else names


def as_csv(made: Matrix) -> str:
    """Return the golden file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for line in lines(made):
        writer.writerow([getattr(line, name) for name in HEADER])
    return text.getvalue()


def as_json(made: Matrix, policy: Policy) -> str:
    """Return the matrix for other programs."""
    document = {
        "revision": policy.revision,
        "lines": [{name: getattr(line, name) for name in HEADER} for line in lines(made)],
    }
    return json.dumps(document, indent=1) + "\n"


def as_text(made: Matrix) -> str:
    """Return a table for a terminal: an action in each line, a kind of subject in each column, and which images."""
    heads = [row.label for row in made.rows]
    body: list[list[str]] = []
    notes: dict[str, int] = {}
    for column in made.columns:
        cells = [
            _images([(place.label, made.cells[row, place, column]) for place in made.places], notes)
            for row in made.rows
        ]
        body.append([column.label, *cells])
    widths = [max(len(line[index]) for line in [["", *heads], *body]) for index in range(len(heads) + 1)]
    shown = [_aligned(["", *heads], widths), *(_aligned(line, widths) for line in body), ""]
    shown += [f"{number}: if {condition}" for condition, number in notes.items()]
    shown.append("own, accepted, pending, stranger's: whose image it is, and how it is shared with the subject")
    return "\n".join(_visible(line) for line in shown) + "\n"


def _images(cells: Sequence[tuple[str, Any]], notes: dict[str, int]) -> str:
    """Say for which images the answer is yes; a number refers to a condition."""
    told: dict[str, list[str]] = {}
    for label, cell in cells:
        mark = {"yes": "", "unclear": "?"}.get(cell.answer)
        if cell.answer == "depends":
            mark = f"[{notes.setdefault(cell.condition, len(notes) + 1)}]"
        if mark is not None:
            told.setdefault(mark, []).append(_short(label))
    said = [f"{'all' if len(labels) == len(cells) else ', '.join(labels)}{mark}" for mark, labels in told.items()]
    return "; ".join(said) or "-"


def _short(label: str) -> str:
    return label.removeprefix("shared with it (").removesuffix(")").removesuffix(" any")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _visible(line: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


# --- the golden file ---

_NOTHING = ("no", "")

_Cells = Mapping[tuple[str, ...], tuple[str, str]]


def _cells(found: Iterator[Line]) -> _Cells:
    from protect.analysis.matrix import atoms

    return {
        (line.resource, line.action, line.property, line.subject, atom): (line.answer, line.condition)
        for line in found
        for atom in sorted(atoms(line.image))
    }


def _read(path: str) -> _Cells:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            rows = [Line(*row) for row in reader if len(row) == len(HEADER)]
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
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if (old or _NOTHING) != (new or _NOTHING):
            told.setdefault((*key[:-1], _said(old), _said(new)), []).append(key[-1])
    for (resource, action, name, subject, old_said, new_said), images in told.items():
        of = f" {name if name != _ANY_PROPERTY else 'any other property'}" if resource == "Property" else ""
        yield _visible(
            f"{action}{of} on {resource}, {subject}, {', '.join(_together(images))}: {old_said} -> {new_said}"
        )


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
