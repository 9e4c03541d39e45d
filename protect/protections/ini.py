"""The INI format of a protection file: what Python's strict ``ConfigParser`` reads, with the place of everything.

``ConfigParser`` stops at the first mistake and forgets where things stood; this reader goes on and remembers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from protect.errors import Problem

DEFAULT = "DEFAULT"

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<key>.*?)\s*[=:]\s*(?P<value>.*)$")
_REFERENCE = re.compile(r"%\(([^)]+)\)s")
_BOM = "\ufeff"

#: How deep a value may refer to values that refer to values.
_DEPTH = 10


@dataclass(slots=True)
class Option:
    """One key of a section. ``value`` is as written, its lines joined by newlines; places count from 1."""

    key: str
    lines: list[str]
    line: int
    column: int
    value_column: int

    @property
    def value(self) -> str:
        """The text behind the sign, without the space around it."""
        return "\n".join(self.lines).rstrip()


@dataclass(slots=True)
class Block:
    """One section. ``column`` is where the name begins, ``rest`` what stands behind the bracket, which nobody reads."""

    name: str
    line: int
    column: int
    rest: str = ""
    options: dict[str, Option] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """A file: its sections in order, and what ``[DEFAULT]`` gives to all of them."""

    blocks: list[Block]
    defaults: dict[str, Option]
    problems: list[Problem]


def read(text: str, file: str) -> Document:
    """Read a file, with everything in it that ``ConfigParser`` would refuse as a problem."""
    return _Reader(file).read(text)


class CannotInterpolate(ValueError):
    """A ``%`` in a value that ``ConfigParser`` cannot resolve; the message says why."""


def interpolated(value: str, options: Mapping[str, Option], depth: int = 1) -> str:
    """Resolve ``%%`` and ``%(key)s`` in ``value``. Raises CannotInterpolate."""
    if depth > _DEPTH:
        raise CannotInterpolate("the values refer to each other without end")
    written = []
    while value:
        before, sign, rest = value.partition("%")
        written.append(before)
        if not sign:
            break
        if rest.startswith("%"):
            written.append("%")
            value = rest[1:]
            continue
        reference = _REFERENCE.match(sign + rest)
        if reference is None:
            raise CannotInterpolate("a `%` begins a reference to another value, and none follows")
        key = reference[1].lower()
        if key not in options:
            raise CannotInterpolate(f"`%({reference[1]})s` refers to a value that is not there")
        written.append(interpolated(options[key].value, options, depth + 1))
        value = (sign + rest)[reference.end() :]
    return "".join(written)


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._document = Document([], {}, [])
        self._name: str | None = None
        self._options: dict[str, Option] | None = None
        self._option: Option | None = None
        self._indent = 0
        #: Where each section, and each key of a section, was first met.
        self._met: dict[tuple[str, str | None], int] = {}

    def read(self, text: str) -> Document:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if text.startswith(_BOM):
            self._problem(1, 1, "the file begins with a byte order mark", "save it as UTF-8 without one")
            lines[0] = lines[0].removeprefix(_BOM)
        for number, line in enumerate(lines, start=1):
            self._line(number, line)
        return self._document

    def _line(self, number: int, line: str) -> None:
        value = line.strip()
        if value.startswith(("#", ";")):
            return
        if not value:
            if self._option is not None:
                self._option.lines.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self._option is not None and indent > self._indent:
            self._option.lines.append(value)
            return
        self._indent = indent
        header = _HEADER.match(value)
        if header:
            self._section(number, indent, header["name"], value[header.end() :].strip())
        elif self._options is None:
            self._problem(number, indent + 1, f"`{value}` stands before any section", "write `[pattern]` above it")
        else:
            self._key(number, indent, value, self._options)

    def _section(self, number: int, indent: int, name: str, rest: str) -> None:
        self._name, self._option = name, None
        if name == DEFAULT:
            self._options = self._document.defaults
            return
        first = self._met.setdefault((name, None), number)
        if first != number:
            self._problem(number, indent + 1, f"`[{name}]` is there already, in line {first}", "make them one section")
            # One problem is enough: its keys are there already because the section is.
            self._met = {place: line for place, line in self._met.items() if place[0] != name or place[1] is None}
        block = Block(name, number, indent + 2, rest)
        self._document.blocks.append(block)
        self._options = block.options

    def _key(self, number: int, indent: int, value: str, options: dict[str, Option]) -> None:
        option = _OPTION.match(value)
        key = option["key"].rstrip().lower() if option else ""
        if option is None or not key:
            self._problem(
                number, indent + 1, f"`{value}` is no `operation = who`", "write what it is for, `=`, and who"
            )
            self._option = None
            return
        first = self._met.setdefault((self._name or "", key), number)
        if first != number:
            self._problem(number, indent + 1, f"`{key}` is there already, in line {first}", "keep one of the two lines")
        place = indent + option.start("value") + 1
        self._option = options[key] = Option(key, [option["value"].strip()], number, indent + 1, place)

    def _problem(self, line: int, column: int, message: str, help: str) -> None:
        self._document.problems.append(Problem(self._file, line, column, message, help))
