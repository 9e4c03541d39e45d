"""Glance's property-protection files as Polar."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from protect.analysis.regions import apart
from protect.convert.patterns import quoted, translated
from protect.convert.proof import Union
from protect.convert.wording import (
    Names,
    Speaker,
    Unspeakable,
    comment,
    defines,
    either_role,
    questions,
    rule,
    simplified,
    text,
    texts,
)
from protect.policy.policy import Policy
from protect.policy.questions import Operator
from protect.policy.vocabulary import CONTEXT, RESOURCES
from protect.protections.conditions import EVERYONE, NOBODY, Condition
from protect.protections.graphs import Protections
from protect.protections.sections import OPERATIONS, RESERVED, Section

#: Stands for all sections behind one, where that one is looked at by itself: nothing else asks for it.
BEHIND = (CONTEXT, "get", "behind")

#: Words of the rules that each group has for itself.
_NUMBERED = ("section", "fits", "may", "named")

#: Beyond so many groups, their order is given up where it decides nothing: a long chain is slow to explore.
_MANY = 40

#: More patterns of a group than these are one: Polar asks for each, whatever is known of the others, in all ways.
_APART = 3
#: Needs no brackets as one of several alternatives.
_SIMPLE = re.compile(r"[^|?]*")

#: Found in every name, the empty one too.
_EVERY = frozenset({"", "^", "$", ".*", "^.*", ".*$", "^.*$"})


@dataclass(frozen=True, slots=True)
class Comments:
    """The comments of one file: those of the whole, and those of the section that begins in a line."""

    whole: tuple[str, ...] = ()
    sections: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def comments(content: str) -> Comments:
    """Return the comments of a protection file. Suppressions of lint findings are left behind."""
    whole: list[str] = []
    found: dict[int, list[str]] = {}
    waiting: list[str] = []
    current: list[str] | None = None
    for number, line in enumerate(content.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            said = stripped.lstrip("#;").strip()
            if not said.startswith("protect:"):
                waiting.append(said)
            continue
        if not stripped:
            if current is None:
                whole += [*waiting, ""] if waiting else []
                waiting = []
            elif waiting:
                waiting.append("")
            continue
        if stripped.startswith("[") and line[:1] == "[":
            current = found.setdefault(number, [])
        (whole if current is None else current).extend(waiting)
        waiting = []
    (whole if current is None else current).extend(waiting)
    return Comments(tuple(_trimmed(whole)), {line: tuple(_trimmed(said)) for line, said in found.items()})


def _trimmed(lines: Sequence[str]) -> list[str]:
    kept = list(lines)
    while kept and not kept[-1]:
        kept.pop()
    while kept and not kept[0]:
        kept.pop(0)
    return kept


@dataclass(slots=True)
class _Group:
    """Sections that follow each other and say the same of who may."""

    sections: list[Section]

    @property
    def who(self) -> Mapping[str, Condition]:
        return self.sections[0].who

    @property
    def every(self) -> bool:
        return any(one.pattern in _EVERY for one in self.sections)


class Writer:
    """Writes the sections of protection files as one policy."""

    def __init__(self, sections: Sequence[Section], said: Mapping[str, Comments]) -> None:
        """``said`` has the comments of each file, by its name."""
        self._said = said
        conditions = [simplified(one) for section in sections for one in section.who.values()]
        self._about_image = any(map(_about_resource, conditions))
        self._groups = _grouped(sections)
        numbered = (f"{word}_{number}" for word in _NUMBERED for number in range(1, len(self._groups) + 2))
        names = Names(("allow", "forbid", "discard", "reserved", *numbered))
        roles = dict.fromkeys(role for condition in conditions for role in either_role(condition))
        self._roles = {role: names.slug(role, "role") for role in roles}
        self._speaker = Speaker("Property", "property", roles=self._roles)
        #: The patterns of the file, and what stands for them in the policy.
        self.unions = [Union((f"^{RESERVED}",), f"^{RESERVED}")]

    @property
    def groups(self) -> int:
        """How many groups of sections are asked one after the other."""
        return len(self._groups)

    def gathered(self, revision: str) -> Policy:
        """Return the policy of the sections themselves, in the order in which they are written."""
        return Protections([one for group in self._groups for one in group.sections], list(self._said)).alone(revision)

    def written(self) -> str:
        """Return the policy. Raises Unspeakable for a pattern that RE2 has no words for."""
        return _text([self._head(), self._words(list(self._roles)), self._entry(), *self._sections, self._rest()])

    def links(self) -> Iterator[str]:
        """Yield the policy in pieces: how it begins, then each group of sections by itself.

        In each, a question for ``BEHIND`` stands for all that follows. Raises as ``written`` does.
        """
        entry = [self._head(), self._words(list(self._roles)), self._entry(), self._rest(), self._behind(1)]
        yield _text(entry)
        for number, section in enumerate(self._sections, start=1):
            used = [role for role, name in self._roles.items() if any(f"{name}(subject)" in line for line in section)]
            asked = ["allow(subject: Subject, action, property: Property) if", f"    {self._call(number)};"]
            yield _text([self._words(used), asked, section, self._behind(number + 1)])

    @cached_property
    def _sections(self) -> list[list[str]]:
        return [self._section(number) for number in range(1, len(self._groups) + 1)]

    def _behind(self, number: int) -> list[str]:
        head = self._call(number).replace("(", "(_").replace(", ", ", _")
        return [f"{head} if context.get({text(BEHIND[-1])}) = true;"]

    def _head(self) -> list[str]:
        files = ", ".join(Path(name).name for name in self._said)
        lines = [f"Properties, protected as in {files}: the first section that fits a name decides about it."]
        for one in self._said.values():
            lines += ["", *one.whole] if one.whole else []
        return comment(lines)

    def _words(self, roles: Sequence[str]) -> list[str]:
        if not roles:
            return []
        said = "A role counts as the subject's own, and as the trusted service's that asks."
        lines = comment(["--- words ---", "", said])
        for role in roles:
            name = self._roles[role]
            lines += [f"{name}(subject) if subject.has_role({text(role)});"]
            lines += [f"{name}(subject) if subject.has_service_role({text(role)});"]
        return lines

    def _entry(self) -> list[str]:
        follows = ["    not reserved(property) and", f"    {self._call(1)};"] if self._groups else []
        return [
            *comment(["--- rules ---", "", "These names are the API's own. It refuses them to its users by itself."]),
            f"reserved(property) if property.matches({text(f'^{RESERVED}')});",
            "",
            "allow(_subject: Subject, action, property: Property) if",
            f"    action in {texts(OPERATIONS)} and",
            "    reserved(property);",
            *(["", "allow(subject: Subject, action, property: Property) if", *follows] if follows else []),
        ]

    @staticmethod
    def _call(number: int) -> str:
        return f"section_{number}(subject, action, property)"

    def _section(self, number: int) -> list[str]:
        group, last = self._groups[number - 1], number == len(self._groups)
        lines: list[str] = []
        for section in group.sections:
            lines += comment([f"--- [{section.pattern}], {Path(section.file).name}:{section.line} ---"])
            lines += comment(self._said[section.file].sections.get(section.line, ()))
        rights = self._rights(number, group)
        if last and not any(map(defines, rights)):
            # What fits is nobody's, as what no section fits.
            return [*lines, "", *rights, f"{self._call(number).replace('(', '(_').replace(', ', ', _')} if false;"]
        if group.every:
            return [*lines, "", *rights]
        fits = f"fits_{number}(property)"
        lines += ["", *self._fitting(fits, f"named_{number}", group)]
        mine = f"may_{number}(subject, action{', property' if self._about_image else ''})"
        if any(map(defines, rights)):
            lines += [f"{self._call(number)} if {fits} and {mine};"]
        if not last:
            lines += [f"{self._call(number)} if not {fits} and {self._call(number + 1)};"]
        return [*lines, "", *rights]

    def _fitting(self, head: str, named: str, group: _Group) -> list[str]:
        """Return the rules that tell whether the group's sections fit a name."""
        exact = [(one.pattern, one.literal.text) for one in group.sections if _is_exact(one) and one.literal]
        lines = [f"{named}({text(name)});" for name in dict.fromkeys(name for _, name in exact)]
        if exact:
            lines += [f"{head} if {named}(property.name);"]
            lines += comment(["In Python's expressions, `$` also stands before a line end that ends the name."])
            pattern = "|".join(quoted(name) for _, name in exact)
            pattern = f"^({pattern})\n$" if len(exact) > 1 else f"^{pattern}\n$"
            # The names that are spelt out are not asked about.
            self.unions.append(Union(tuple(python for python, _ in exact), pattern))
            lines += [f"{head} if property.matches({text(pattern)});"]
        others = [(section.pattern, self._pattern(section)) for section in group.sections if not _is_exact(section)]
        unions = [Union((python,), ours) for python, ours in others]
        if len(others) > _APART:
            ours = "|".join(one if _SIMPLE.fullmatch(one) else f"(?:{one})" for _, one in others)
            unions = [Union(tuple(python for python, _ in others), ours)]
        self.unions += unions
        return [*lines, *(f"{head} if property.matches({text(one.ours)});" for one in unions)]

    def _pattern(self, section: Section) -> str:
        pattern = translated(section.pattern)
        if pattern is None:
            raise Unspeakable(
                f"{section.file}:{section.line}: `{section.pattern}` has no certain equal in RE2's syntax, in which "
                "rules match names; write it without look-around, back-references, flags, `\\w` and `\\s`"
            )
        return pattern

    def _rights(self, number: int, group: _Group) -> list[str]:
        by_who: dict[Condition, list[str]] = {}
        for operation in OPERATIONS:
            by_who.setdefault(simplified(group.who[operation]), []).append(operation)
        nobody = by_who.pop(NOBODY, [])
        lines: list[str] = []
        for condition, operations in by_who.items():
            lines += self._right(number, group, condition, operations)
        return [*lines, *comment([f"nobody may {_joined(nobody)}"])] if nobody else lines

    def _right(self, number: int, group: _Group, condition: Condition, operations: Sequence[str]) -> list[str]:
        one = len(operations) == 1
        words = ["_subject" if condition == EVERYONE else "subject", text(operations[0]) if one else "action"]
        if self._about_image or group.every:
            words.append("property" if _about_resource(condition) else "_property")
        name = f"section_{number}" if group.every else f"may_{number}"
        return rule(
            f"{name}({', '.join(words)})", condition, self._speaker, "" if one else f"action in {texts(operations)}"
        )

    def _rest(self) -> list[str]:
        lines = comment(
            [
                "--- everything else ---",
                "",
                "A protection file leaves every other action to the API. To decide on images, members, … here as well,",
                "take these rules out, and load this file beside others that have an `allow` for them.",
            ]
        )
        kinds = [kind for kind in RESOURCES if kind != "Property"]
        lines += ["", '# protect: ignore[PG111] reason="left to the API, as the protection file leaves it"']
        return [*lines, *(f"allow(_subject: Subject, _action, _{kind.lower()}: {kind});" for kind in kinds)]


def _grouped(sections: Sequence[Section]) -> list[_Group]:
    """Return the sections that are ever asked, with those that spell a name out first in each group."""
    groups: list[_Group] = []
    seen: set[str] = set()
    for section in sections:
        if section.pattern in seen:
            continue  # another file has it
        seen.add(section.pattern)
        every = section.pattern in _EVERY
        near = [one for one in groups[-1:] if one.who == section.who and one.every is every]
        home = near[0] if near else _Group([])
        if not near:
            groups.append(home)
        home.sections.append(section)
        if every:
            break  # what follows is never asked
    if len(groups) > _MANY:
        groups = _gathered(groups)
    for group in groups:
        group.sections.sort(key=_is_exact, reverse=True)
    return groups


def _gathered(groups: Sequence[_Group]) -> list[_Group]:
    """Put groups together that say the same, past others that fit none of their names."""
    found: list[_Group] = []
    for group in groups:
        for before in reversed(found):
            if before.who == group.who and not before.every and not group.every:
                before.sections.extend(group.sections)
                break
            if group.every or any(_meet(one, other) for one in before.sections for other in group.sections):
                found.append(group)
                break
        else:
            found.append(group)
    return found


def _meet(one: Section, other: Section) -> bool:
    """Whether two sections may fit one name. Yes where that is not seen at once."""
    for exact, section in ((one, other), (other, one)):
        if exact.literal is not None and _is_exact(exact):
            return any(section.search(exact.literal.text + end) for end in ("", "\n"))
    return not apart((Operator.SEARCHES, one.pattern), (Operator.SEARCHES, other.pattern))


def _text(parts: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _is_exact(section: Section) -> bool:
    return bool(section.literal and section.literal.start and section.literal.end)


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _about_resource(condition: Condition) -> bool:
    return any(fact[0] == "resource" for asked in questions(condition) for fact in asked.facts())
