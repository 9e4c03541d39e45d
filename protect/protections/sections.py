"""What the sections of a protection file say: the pattern, and who may create, read, update and delete.

What Glance would not load is a problem. What it loads, and what cannot mean what its author thinks, is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from protect.errors import Problem
from protect.policy.patterns import MALFORMED, Search, doubts, linear, parse, repeats_within_repeats, searcher
from protect.protections import ini
from protect.protections.conditions import EVERYONE, NOBODY, Condition, has_role
from protect.spelling import nearest

OPERATIONS = ("create", "read", "update", "delete")

#: Names that begin so are the API's own. Glance drops such sections, and opens these names to everyone.
RESERVED = "os_glance"

_EVERY_NAME = frozenset({"", "^", "$", ".*", "^.*", ".*$", "^.*$", ".+", "^.+", ".+$", "^.+$", ".", "^.", ".?"})
_PLAIN = re.compile(r"(?P<start>\^?)(?P<text>(?:[\w \-:/@,;!#%&'\"=<>~`]|\\[^\w\s])*)(?P<end>\$?)")


class Format(StrEnum):
    """What stands behind an operation: roles, or the name of a policy rule."""

    ROLES = "roles"
    POLICIES = "policies"


@dataclass(frozen=True, slots=True)
class Literal:
    """A pattern that is plain text, perhaps tied to the name's start or end."""

    text: str
    start: bool
    end: bool

    def covers(self, other: Literal) -> bool:
        """Whether every name in which ``other`` is found has this one in it, too."""
        if self.start and self.end:
            return other.start and other.end and other.text == self.text
        if self.start:
            return other.start and other.text.startswith(self.text)
        if self.end:
            return other.end and other.text.endswith(self.text)
        return self.text in other.text


@dataclass(frozen=True, slots=True)
class Section:
    """One section. ``who`` has a condition for each of ``OPERATIONS``; ``literal`` is None for a real expression."""

    file: str
    line: int
    pattern: str
    who: Mapping[str, Condition]
    search: Search
    literal: Literal | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands."""

    file: str
    line: int
    column: int

    def problem(self, message: str, help: str) -> Problem:
        """Return a problem of this place."""
        return Problem(self.file, self.line, self.column, message, help)


#: Says who may, from the name of a policy rule, or adds to the problems.
ReadPolicy = Callable[[str, Place, list[Problem]], Condition]


class Reader:
    """Reads files one after the other, as if they were one: the first section that fits a name decides."""

    def __init__(self, read_policy: ReadPolicy | None = None) -> None:
        """``read_policy`` is for the format ``policies``; without it the values are roles."""
        self._read_policy = read_policy
        self.sections: list[Section] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def read(self, text: str, file: str) -> None:
        """Add the sections of one file."""
        document = ini.read(text, file)
        found, doubted = len(self.problems), len(self.warnings)
        self.problems += document.problems
        if not document.blocks:
            whole = Place(file, 0, 0)
            self._warn(
                whole, "no section, so nobody may do anything with any property", "write `[pattern]` and who may"
            )
        self._unknown_keys(file, document.defaults)
        before = len(self.sections)
        for block in document.blocks:
            self._block(file, block, document.defaults)
        for index in range(before, len(self.sections)):
            self._unreachable(index)
        self.problems[found:] = sorted(self.problems[found:], key=_place)
        self.warnings[doubted:] = sorted(self.warnings[doubted:], key=_place)

    def _warn(self, place: Place, message: str, help: str) -> None:
        self.warnings.append(place.problem(message, help))

    def _block(self, file: str, block: ini.Block, defaults: Mapping[str, ini.Option]) -> None:
        place = Place(file, block.line, block.column)
        if block.name.startswith(RESERVED):
            self._warn(
                place,
                f"`[{block.name}]` is dropped, as in Glance: names that begin with `{RESERVED}` are the API's own",
                "take the section out",
            )
            return
        if block.rest:
            self._warn(place, f"`{block.rest}` behind the section's name is ignored", "write it in a line of its own")
        self._unknown_keys(file, block.options)
        compiled = self._pattern(place, block.name)
        self._inherited(place, block, defaults)
        options = {**defaults, **block.options}
        who = {operation: self._who(place, block, operation, options) for operation in OPERATIONS}
        if compiled is not None:
            search = searcher(block.name)
            self.sections.append(Section(file, block.line, block.name, who, search, literal(block.name)))

    def _pattern(self, place: Place, pattern: str) -> re.Pattern[str] | None:
        try:
            compiled = parse(pattern)
        except MALFORMED as error:
            column = place.column + (getattr(error, "pos", 0) or 0)
            self.problems.append(
                Problem(
                    place.file,
                    place.line,
                    column,
                    f"`[{pattern}]` is no regular expression: {getattr(error, 'msg', None) or 'too large'}",
                    "correct it; a `\\` takes its meaning from a sign: `\\*`",
                )
            )
            return None
        for message in doubts(compiled):
            self._warn(
                place, f"`[{pattern}]` may mean something else in a later Python: {message}", "escape it with `\\`"
            )
        if linear(compiled) is None and repeats_within_repeats(compiled):
            self._warn(
                place,
                f"`[{pattern}]` repeats what repeats itself: some names may keep the service busy for very long",
                "do without look-around, back-references and flags, or without one of the repetitions",
            )
        return compiled

    def _unknown_keys(self, file: str, options: Mapping[str, ini.Option]) -> None:
        for option in options.values():
            if option.key not in OPERATIONS:
                near = nearest(option.key, OPERATIONS)
                hint = f"did you mean `{near}`?" if near else "take it out"
                self._warn(
                    Place(file, option.line, option.column),
                    f"`{option.key}` is ignored: the operations are {', '.join(OPERATIONS)}",
                    hint,
                )

    def _inherited(self, place: Place, block: ini.Block, defaults: Mapping[str, ini.Option]) -> None:
        taken = [operation for operation in OPERATIONS if operation not in block.options and operation in defaults]
        if taken:
            lines = ", ".join(f"`{operation}` (line {defaults[operation].line})" for operation in taken)
            self._warn(
                place,
                f"`[{block.name}]` takes {lines} from [{ini.DEFAULT}], which fills the gaps of every section",
                "write it in the section if this is meant",
            )

    def _who(self, header: Place, block: ini.Block, operation: str, options: Mapping[str, ini.Option]) -> Condition:
        option = options.get(operation)
        if option is None:
            message = f"`[{block.name}]` does not say who may {operation}"
            self.problems.append(
                header.problem(message, f"write `{operation} = …`; `!` is for nobody, `@` for everybody")
            )
            return NOBODY
        place = Place(header.file, option.line, option.value_column)
        try:
            value = ini.interpolated(option.value, options)
        except ini.CannotInterpolate as error:
            self.problems.append(place.problem(str(error), "write the value itself, and `%%` for a `%`"))
            return NOBODY
        if not value:
            self._warn(place, f"`{operation}` of `[{block.name}]` names nobody", "write `!` if nobody is meant")
            return NOBODY
        if self._read_policy is not None:
            return self._policy(place, value, self._read_policy)
        return self._roles(place, value)

    def _policy(self, place: Place, value: str, read_policy: ReadPolicy) -> Condition:
        if value in ("@", "!"):
            return EVERYONE if value == "@" else NOBODY
        if "," in value:
            message = f"`{value}` is more than one policy rule"
            self.problems.append(place.problem(message, "put them together in the file of rules, and name that rule"))
            return NOBODY
        return read_policy(value, place, self.problems)

    def _roles(self, place: Place, value: str) -> Condition:
        roles = [role.strip() for role in value.split(",")]
        if "@" in roles and "!" in roles:
            self.problems.append(place.problem("`@` is for everybody and `!` for nobody", "keep one of the two"))
            return NOBODY
        for message, help in _doubts(roles):
            self._warn(place, message, help)
        if "!" in roles:
            return NOBODY
        if "@" in roles:
            return EVERYONE
        return has_role(*(role for role in roles if role))

    def _unreachable(self, index: int) -> None:
        section = self.sections[index]
        place = Place(section.file, section.line, 1)
        if section.literal and Literal(RESERVED, start=True, end=False).covers(section.literal):
            self._warn(
                place,
                f"`[{section.pattern}]` is never asked: names that begin with `{RESERVED}` are open to everybody",
                "take the section out",
            )
            return
        for earlier in self.sections[:index]:
            if _shadows(earlier, section):
                self._warn(
                    place,
                    f"`[{section.pattern}]` is never asked: `[{earlier.pattern}]` at {earlier.file}:{earlier.line} "
                    "fits every such name, and the first section that fits decides",
                    "put it before that one, or take it out",
                )
                return


def literal(pattern: str) -> Literal | None:
    """Return the text that ``pattern`` is, or None for a real expression."""
    found = _PLAIN.fullmatch(pattern)
    if found is None or not found["text"]:
        return None
    return Literal(re.sub(r"\\(.)", r"\1", found["text"]), bool(found["start"]), bool(found["end"]))


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def first(sections: Sequence[Section], name: str) -> int | None:
    """Return the index of the section that decides about ``name``."""
    return next((index for index, section in enumerate(sections) if section.search(name)), None)


def _shadows(earlier: Section, later: Section) -> bool:
    if earlier.pattern in _EVERY_NAME or earlier.pattern == later.pattern:
        return True
    if later.literal is None:
        return False
    if earlier.literal is not None and earlier.literal.covers(later.literal):
        return True
    return later.literal.start and later.literal.end and earlier.search(later.literal.text)


def _doubts(roles: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what is odd about a list of roles that Glance takes without a word."""
    roles = list(roles)
    for role in roles:
        if not role:
            yield "an empty name in the list of roles fits nobody", "take the comma out"
        elif role in ("!", "@"):
            if len(roles) > 1:
                whom = "nobody" if role == "!" else "everybody"
                yield f"`{role}` means {whom}, whatever else is listed", f"write `{role}` alone, or take it out"
        elif "#" in role or ";" in role:
            yield f"`{role}` is one role: a comment cannot stand behind a value", "put the comment in a line of its own"
        elif "\n" in role:
            yield f"`{role.splitlines()[0]}` and the lines below it are one role", "end the line with a comma"
        elif role.startswith("!"):
            yield f"`{role}` is one role: `!` does not negate", "name the roles that may"
        elif re.search(r"\s(and|or|not)\s", f" {role} "):
            yield f"`{role}` is one role: there are no expressions here", "separate alternatives with a comma"
        elif re.search(r"\s", role):
            yield f"`{role}` is one role with a space in its name", "separate alternatives with a comma"
        elif role.startswith(("role:", "rule:")):
            yield (
                f"`{role}` is one role of that name",
                f"write `{role[5:]}`, or set protection_format to policies if these are rules",
            )
