"""A file of entities: the attributes of ids that a query names without properties, and what searches range over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protect import json_bodies
from protect.authzen.fields import wrong
from protect.authzen.images import Resources
from protect.authzen.resources import made
from protect.authzen.subjects import GivenSubject, Subjects
from protect.errors import MalformedRequest, PolicyError, Problem
from protect.json_bodies import kind, printable
from protect.values import NOTHING

_SECTIONS = ("subjects", "resources", "actions")
_KEYS = ("type", "id", "properties")


#: How an entity is written where a search finds it, and the value that queries are made of.
Candidate = tuple[Mapping[str, str], Any]


@dataclass(frozen=True, slots=True)
class Entities:
    """What the file says. ``revision`` is the hash of its text."""

    subjects: Subjects = field(default_factory=dict)
    resources: Resources = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    revision: str = ""
    _subjects_of: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    _resources_of: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)

    @classmethod
    def of(cls, subjects: Subjects, resources: Resources, actions: tuple[str, ...], revision: str) -> Entities:
        return cls(subjects, resources, actions, revision, _by_type(subjects), _by_type(resources))

    def subjects_of(self, type_: str) -> Sequence[Candidate]:
        """Return the subjects of one type in the order of the file."""
        return self._subjects_of.get(type_, ())

    def resources_of(self, type_: str) -> Sequence[Candidate]:
        """Return the resources of one type in the order of the file."""
        return self._resources_of.get(type_, ())


def _by_type(entities: Mapping[tuple[str, str], object]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for (type_, id_), value in entities.items():
        found.setdefault(type_, []).append(({"type": type_, "id": id_}, value))
    return found


NO_ENTITIES = Entities()


def read_entities(file: str, data: bytes) -> Entities:
    """Return the entities in the JSON text ``data``. Raises PolicyError, which lists every problem of ``file``."""
    return _Reading(file).entities(data)


@dataclass(slots=True)
class _Reading:
    """One reading of a file; ``problems`` are collected, so that one run shows them all."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def entities(self, data: bytes) -> Entities:
        sections = self._sections(data)
        subjects: dict[tuple[str, str], Any] = {}
        for path, type_, id_, properties in self._each(sections, "subjects"):
            try:
                subjects[type_, id_] = GivenSubject(type_, id_, properties)
            except MalformedRequest as error:
                self._problem(path, str(error))
        resources: dict[tuple[str, str], Any] = {}
        given = list(self._each(sections, "resources"))
        # Images first: other resources name theirs by id.
        for path, type_, id_, properties in sorted(given, key=lambda one: one[1] != "image"):
            try:
                resources[type_, id_] = made(type_, id_, properties, resources)
            except MalformedRequest as error:
                self._problem(path, str(error))
        actions = self._actions(sections)
        if self.problems:
            raise PolicyError(self.problems)
        ordered = {(type_, id_): resources[type_, id_] for _, type_, id_, _ in given}
        return Entities.of(subjects, ordered, actions, hashlib.sha256(data).hexdigest()[:16])

    def _sections(self, data: bytes) -> Mapping[str, object]:
        try:
            value = json_bodies.parse(data)
        except MalformedRequest as error:
            raise PolicyError([Problem(self.file, 0, 0, str(error).replace("the body", "the file"))]) from None
        if not isinstance(value, dict):
            message = f"the file must be a JSON object, not {kind(value)}"
            raise PolicyError([Problem(self.file, 0, 0, message, f"known sections: {', '.join(_SECTIONS)}")])
        for name in value.keys() - set(_SECTIONS):
            self._problem(printable(name), "unknown section", f"known: {', '.join(_SECTIONS)}")
        return value

    def _rows(self, sections: Mapping[str, object], name: str) -> Iterator[tuple[str, object]]:
        rows = sections.get(name, [])
        if isinstance(rows, list):
            yield from ((f"{name}[{index}]", row) for index, row in enumerate(rows))
        else:
            self._problem(name, f"must be an array, not {kind(rows)}")

    def _each(self, sections: Mapping[str, object], name: str) -> Iterator[tuple[str, str, str, Mapping[str, object]]]:
        """Yield the path, type, id and properties of each good row of a section."""
        first: dict[tuple[str, str], str] = {}
        for path, row in self._rows(sections, name):
            if not isinstance(row, dict):
                self._problem(path, f"must be an object, not {kind(row)}")
                continue
            before = len(self.problems)
            for key in row.keys() - set(_KEYS):
                # Only what stands under `properties` is a fact; beside it, it would be lost without a word.
                self._problem(f"{path}.{printable(key)}", "unknown key", f"known: {', '.join(_KEYS)}")
            type_, id_ = self._text(row, "type", path), self._text(row, "id", path)
            properties = row.get("properties", NOTHING)
            if properties is not NOTHING and not isinstance(properties, dict):
                self._problem(f"{path}.properties", f"must be an object, not {kind(properties)}")
            elif len(self.problems) == before and (same := first.setdefault((type_, id_), path)) != path:
                self._problem(path, f"{printable(type_)} `{printable(id_)}` is in the file twice", f"first at {same}")
            elif len(self.problems) == before:
                yield path, type_, id_, properties

    def _actions(self, sections: Mapping[str, object]) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for path, row in self._rows(sections, "actions"):
            named = {"name": row} if isinstance(row, str) else row
            if not isinstance(named, dict):
                self._problem(path, f"must be a name, or an object with a `name`, not {kind(row)}")
                continue
            before = len(self.problems)
            name = self._text(named, "name", path)
            if name in names:
                self._problem(path, f"the action `{printable(name)}` is in the file twice", "take one out")
            if len(self.problems) == before:
                names[name] = None
        return tuple(names)

    def _text(self, row: Mapping[str, object], key: str, path: str) -> str:
        value = row.get(key)
        if isinstance(value, str) and value:
            return value
        if key in row:
            self.problems.append(Problem(self.file, 0, 0, str(wrong(f"{path}.{key}", "text that is not empty", value))))
        else:
            self._problem(f"{path}.{key}", "is missing")
        return ""

    def _problem(self, path: str, message: str, help_: str = "") -> None:
        self.problems.append(Problem(self.file, 0, 0, f"`{path}`: {message}", help_))
