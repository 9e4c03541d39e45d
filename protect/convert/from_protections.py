"""Glance's property-protection files as Polar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protect.convert.patterns import quoted, translated
from protect.convert.wording import (
    Names,
    Speaker,
    Unspeakable,
    comment,
    either_role,
    questions,
    rule,
    simplified,
    text,
    texts,
)
from protect.policy.vocabulary import RESOURCES
from protect.protections.conditions import EVERYONE, NOBODY, Condition
from protect.protections.sections import OPERATIONS, RESERVED, Section

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
        names = Names(("allow", "forbid", "discard", "section", "reserved"))
        roles = dict.fromkeys(role for condition in conditions for role in either_role(condition))
        self._roles = {role: names.slug(f"{role}" if role[:1].isalpha() else f"role_{role}", "role") for role in roles}
        self._speaker = Speaker("Property", "property", roles=self._roles)
        self._groups = _grouped(sections)
        #: The patterns of the file, and what stands for each in the policy.
        self.patterns: dict[str, str] = {f"^{RESERVED}": f"^{RESERVED}"}

    def written(self) -> str:
        """Return the policy. Raises Unspeakable for a pattern that RE2 has no words for."""
        sections = [self._section(number, group) for number, group in enumerate(self._groups, start=1)]
        parts = [self._head(), self._words(), self._entry(), *sections, self._rest()]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"

    def _head(self) -> list[str]:
        files = ", ".join(Path(name).name for name in self._said)
        lines = [f"Properties, protected as in {files}: the first section that fits a name decides about it."]
        for one in self._said.values():
            lines += ["", *one.whole] if one.whole else []
        return comment(lines)

    def _words(self) -> list[str]:
        if not self._roles:
            return []
        said = "A role counts as the subject's own, and as the trusted service's that asks."
        lines = comment(["--- words ---", "", said])
        for role, name in self._roles.items():
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

    def _section(self, number: int, group: _Group) -> list[str]:
        lines: list[str] = []
        for section in group.sections:
            lines += comment([f"--- [{section.pattern}], {Path(section.file).name}:{section.line} ---"])
            lines += comment(self._said[section.file].sections.get(section.line, ()))
        rights = self._rights(number, group)
        if group.every:
            return [*lines, "", *rights]
        fits, last = f"fits_{number}(property)", number == len(self._groups)
        lines += ["", *self._fitting(fits, f"named_{number}", group)]
        mine = f"may_{number}(subject, action{', property' if self._about_image else ''})"
        if any(not line.startswith("#") for line in rights):
            lines += [f"{self._call(number)} if {fits} and {mine};"]
        if not last:
            lines += [f"{self._call(number)} if not {fits} and {self._call(number + 1)};"]
        elif len(self._groups) == 1 and not any(not line.startswith("#") for line in rights):
            lines += [f"{self._call(number).replace('(', '(_').replace(', ', ', _')} if false;"]
        return [*lines, "", *rights]

    def _fitting(self, head: str, named: str, group: _Group) -> list[str]:
        """Return the rules that tell whether the group's sections fit a name."""
        exact = [one.literal.text for one in group.sections if _is_exact(one) and one.literal]
        lines = [f"{named}({text(name)});" for name in dict.fromkeys(exact)]
        if exact:
            lines += [f"{head} if {named}(property.name);"]
            lines += comment(["In Python's expressions, `$` also stands before a line end that ends the name."])
            pattern = "|".join(map(quoted, exact))
            pattern = f"^({pattern})\n$" if len(exact) > 1 else f"^{pattern}\n$"
            if len(exact) == 1:
                # The names that are spelt out are not asked about.
                self.patterns |= {one.pattern: pattern for one in group.sections if _is_exact(one)}
            lines += [f"{head} if property.matches({text(pattern)});"]
        for section in group.sections:
            if not _is_exact(section):
                lines += [f"{head} if property.matches({text(self._pattern(section))});"]
        return lines

    def _pattern(self, section: Section) -> str:
        pattern = translated(section.pattern)
        if pattern is None:
            raise Unspeakable(
                f"{section.file}:{section.line}: `{section.pattern}` has no certain equal in RE2's syntax, in which "
                "rules match names; write it without look-around, back-references, flags, `\\w` and `\\s`"
            )
        self.patterns[section.pattern] = pattern
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
    groups: list[_Group] = []
    for section in sections:
        every = section.pattern in _EVERY
        if groups and groups[-1].who == section.who and groups[-1].every is every:
            groups[-1].sections.append(section)
        else:
            groups.append(_Group([section]))
        if every:
            break  # what follows is never asked
    return groups


def _is_exact(section: Section) -> bool:
    return section.literal is not None and section.literal.start and section.literal.end


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _about_resource(condition: Condition) -> bool:
    return any(fact[0] == "resource" for asked in questions(condition) for fact in asked.facts())
