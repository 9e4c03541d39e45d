"""An example in words: who asks, and about what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from protect.analysis.constraints import Constraint
from protect.analysis.realism import with_image
from protect.analysis.topics import Topic
from protect.analysis.worlds import asks
from protect.policy.questions import Of, Operator, Question
from protect.values import Image, Query

#: How many names a sentence spells out.
SPELLED_OUT = 3

_TENANT = ("subject", "tenant")


def quoted(value: object) -> str:
    """Write a value as rules write it."""
    return json.dumps(value, ensure_ascii=False)


def joined(words: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def who(core: Query, constraints: Iterable[Constraint] = ()) -> str:
    """Say who asks, by what matters of it."""
    subject = core.subject
    texts = _texts(constraints)
    parts: list[str] = []
    if subject.roles:
        roles = sorted(subject.roles)
        parts.append(f"with {'roles' if len(roles) > 1 else 'role'} {joined([quoted(role) for role in roles])}")
    if subject.service_roles:
        parts.append(f"through a service with role {joined([quoted(role) for role in sorted(subject.service_roles)])}")
    if subject.admin_project:
        parts.append("of the admin project")
    parts += [
        f"with {field} {quoted(value)}"
        for field in ("id", "tenant", "domain")
        if (value := getattr(subject, field)) is not None and value in texts
    ]
    parts += [f"with {name} {quoted(value)}" for name, value in subject.claims.items()]
    if not subject.authenticated:
        return " ".join(["somebody who is not authenticated", *parts])
    if not parts:
        return "any subject, even one without a role," if not subject.roles else "a subject"
    return f"a subject {joined([parts[0], *(part.removeprefix('with ') for part in parts[1:])])}"


def _texts(constraints: Iterable[Constraint]) -> set[str]:
    """Return the texts that the policy itself compares with."""
    found: set[str] = set()
    for constraint in constraints:
        if not isinstance(constraint, tuple):
            found |= constraint.values
        elif isinstance(constraint[0].operand, str):
            found.add(constraint[0].operand)
    return found


def where(
    core: Query, constraints: Sequence[Constraint], topic: Topic, keeps: Callable[[Query], bool] = lambda query: True
) -> str:
    """Say of which image, and in which circumstances. ``keeps``: whether a query is still an example of the same."""
    related = list(_relations(core, constraints, topic.kind))
    image = core.resource if isinstance(core.resource, Image) else getattr(core.resource, "image", None)
    parts = []
    if isinstance(image, Image):
        told = _image(image, related, _texts(constraints))
        told += [relation.words for relation in related if relation.about_image]
        if not any(relation.owned for relation in related) and _stranger_matters(core, keeps):
            told.append("that is not its own")
        parts.append(" ".join([*(["of"] if topic.kind != "Image" else []), "an image", *_with(told)]))
    parts += [relation.words for relation in related if not relation.about_image]
    parts += [f"in circumstances where {name} is {quoted(value)}" for name, value in core.context.items()]
    return " ".join(parts)


def _with(told: Sequence[str]) -> list[str]:
    plain = [words for words in told if not words.startswith("that ")]
    clauses = [words.removeprefix("that ") for words in told if words.startswith("that ")]
    said = [f"with {joined(plain)}"] if plain else []
    return [*said, *([f"that {joined(clauses)}"] if clauses else [])]


class _Relation:
    """Two facts of the example that the policy compares, and that are equal."""

    def __init__(self, asked: Question, kind: str) -> None:
        facts = set(asked.facts())
        self.asked = asked
        self.owned = _TENANT in facts and any(fact[-1] == "owner" for fact in facts)
        self.shared = asked.operator is Operator.SHARED
        self.about_image = self.owned or self.shared
        if self.owned and kind not in ("Task", "Metadef"):
            self.words = "that is its own"
        elif self.shared:
            self.words = f"that is shared with it ({asked.status})"
        elif self.owned or _TENANT in facts:
            self.about_image = False
            self.words = f"where {asked.phrase(kind)}"
        else:
            self.words = f"where {asked.phrase(kind)}"


def _relations(core: Query, constraints: Iterable[Constraint], kind: str) -> Iterator[_Relation]:
    seen = set()
    for constraint in constraints:
        if isinstance(constraint, tuple) and isinstance(constraint[0].operand, Of) and constraint[0] not in seen:
            seen.add(constraint[0])
            if asks(constraint[0])(core):
                yield _Relation(constraint[0], kind)


def _stranger_matters(core: Query, keeps: Callable[[Query], bool]) -> bool:
    """Whether it would be another matter if the image were the subject's own."""
    tenant = core.subject.tenant or "tenant-a"
    own = with_image(core._replace(subject=replace(core.subject, tenant=tenant)), owner=tenant)
    return not keeps(own)


def _image(image: Image, related: Sequence[_Relation], texts: set[str]) -> list[str]:
    told = []
    equal = {fact for relation in related for fact in relation.asked.facts()}
    for field in ("visibility", "status", "id", "name", "disk_format", "container_format", "owner"):
        value = getattr(image, field)
        compared = any(fact[-1] == field and fact[0] == "resource" for fact in equal)
        if value is not None and (not compared or value in texts):
            told.append(f"{field} {quoted(value)}")
    told += [
        f"{field} {value}" for field in ("size", "min_disk", "min_ram") if (value := getattr(image, field)) is not None
    ]
    told += [f"tag {quoted(tag)}" for tag in sorted(image.tags)]
    told += [f"property {quoted(name)} = {quoted(value)}" for name, value in sorted(image.properties.items())]
    told += [f"that is {field}" for field in ("protected", "hidden") if getattr(image, field)]
    return told


def thing(core: Query, constraints: Iterable[Constraint], topic: Topic) -> str:
    """Say what resource it is; nothing for an image."""
    resource: Any = core.resource
    if topic.kind == "Image":
        return ""
    if topic.kind == "Property":
        name = _name(core, constraints, topic)
        if resource.value is not None and not _compared_value(constraints, core):
            name += f" with the value {quoted(resource.value)}"
        return name
    words = {"Resource": "another resource", "Metadef": "a metadata definition"}.get(
        topic.kind, f"a {topic.kind.lower()}"
    )
    told = [
        f"{field} {quoted(value)}"
        for field in resource.__slots__
        if isinstance(value := getattr(resource, field), str) and not _related(field, core, constraints)
    ]
    told += [f"{name} {quoted(value)}" for name, value in getattr(resource, "attributes", {}).items()]
    return " ".join([words, *([f"with {joined(told)}"] if told else [])])


def _related(field: str, core: Query, constraints: Iterable[Constraint]) -> bool:
    return any(
        fact == ("resource", field)
        for relation in _relations(core, constraints, core.resource.kind)
        for fact in relation.asked.facts()
    )


def _compared_value(constraints: Iterable[Constraint], core: Query) -> bool:
    return _related("value", core, constraints)


def _name(core: Query, constraints: Iterable[Constraint], topic: Topic) -> str:
    resource: Any = core.resource
    word = "the attribute" if topic.attribute else "the property"
    if topic.names:
        others = sorted(topic.names - {resource.name})
        if not others:
            return f"{word} {quoted(resource.name)}"
        listed = [quoted(name) for name in others[:SPELLED_OUT]]
        if len(others) > SPELLED_OUT:
            listed.append(f"{len(others) - SPELLED_OUT} more")
        return f"{word} {quoted(resource.name)} (and {joined(listed)})"
    if topic.attribute:
        return f"{word} {quoted(resource.name)}"
    patterns = [
        quoted(constraint[0].operand)
        for constraint in constraints
        if isinstance(constraint, tuple)
        and constraint[1]
        and constraint[0].operator in (Operator.MATCHES, Operator.SEARCHES)
    ]
    if patterns:
        return f"a property such as {quoted(resource.name)}, whose name matches {joined(patterns)},"
    return f"a property such as {quoted(resource.name)}, which is not mentioned,"


def details(query: Query) -> dict[str, Any]:
    """Return a query as plain data: only what it says."""
    subject = query.subject
    asked: dict[str, Any] = {
        "subject": _plain(subject, {"authenticated": True}),
        "action": query.action,
        "resource": {"type": query.resource.kind.lower(), **_plain(query.resource, {})},
    }
    if query.context:
        asked["context"] = dict(query.context)
    return asked


def _plain(value: Any, usual: dict[str, object]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in value.__slots__:
        held = getattr(value, name)
        if isinstance(held, Image):
            held = _plain(held, {})
        elif isinstance(held, frozenset):
            held = sorted(held)
        elif hasattr(held, "items"):
            held = dict(held)
        if held == usual.get(name, False) and isinstance(held, bool):
            continue
        if held is None or held == [] or held == {}:
            continue
        made[name] = held
    return made
