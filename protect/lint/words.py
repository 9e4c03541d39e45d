"""Checks of the words in rules: actions, roles, properties and values that look like others and are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from protect.lint.catalogue import Check, Form
from protect.lint.findings import Edit, Finding, Fix, Severity
from protect.lint.known import LEGACY_ROLES, OPERATIONS, PROPERTIES, ROLES, VALUES, actions, misspelt
from protect.lint.meanings import ACTION, NAME, ROLE, Meanings, meanings
from protect.lint.polar_files import PolarFiles
from protect.polar.check import ENTRY_POINTS
from protect.polar.syntax import Dot, List, Literal, Operation, Pattern, Rule, Term, walk

_GOOD = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'

ACTION_WORD = Check(
    "PG101",
    "misspelt-action",
    Severity.ERROR,
    Form.POLAR,
    "an action that looks like one of the API's and is none",
    "Nothing ever asks for it. In an `allow` the right stays closed; in a `forbid` it stays open.",
    _GOOD + '\nforbid(subject: Subject, "publicise_image", _image: Image) if\n    not subject.has_role("admin");\n',
    _GOOD + '\nforbid(subject: Subject, "publicize_image", _image: Image) if\n    not subject.has_role("admin");\n',
    "Write the API's name. On a property the actions are create, read, update and delete.",
)
UNFAMILIAR = Check(
    "PG102",
    "unfamiliar-action",
    Severity.INFO,
    Form.POLAR,
    "an action on an image or property that the image API never asks about",
    "It is asked only by a service of your own. If there is none, the rule decides nothing.",
    'allow(subject: Subject, "sign", image: Image) if\n    image.owner = subject.tenant;\n',
    _GOOD,
    "Take the rule out, or suppress this where a service of yours asks.",
)
ROLE_WORD = Check(
    "PG103",
    "misspelt-role",
    Severity.ERROR,
    Form.POLAR,
    "a role that looks like one of Keystone's and is none",
    "Nobody has it: the rule never holds, and under `not` it always does.",
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("memeber");\n',
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("member");\n',
    "Correct it, or suppress this if your cloud does have such a role.",
)
PROPERTY = Check(
    "PG104",
    "misspelt-property",
    Severity.WARNING,
    Form.POLAR,
    "a property that looks like a well-known one and is none",
    "The well-known property stays unprotected, or is never found.",
    'allow(subject: Subject, "read", property: Property) if\n'
    '    property.name = "kernal_id" and property.image.owner = subject.tenant;\n',
    'allow(subject: Subject, "read", property: Property) if\n'
    '    property.name = "kernel_id" and property.image.owner = subject.tenant;\n',
    "Correct it, or suppress this if there is such a property.",
)
VALUE = Check(
    "PG105",
    "unknown-value",
    Severity.ERROR,
    Form.POLAR,
    "a value that the fact never has",
    "The visibility and status of an image, and the status of a member, have fixed values. Another never equals.",
    'allow(_subject: Subject, "get_image", image: Image) if\n    image.visibility = "publc";\n',
    'allow(_subject: Subject, "get_image", image: Image) if\n    image.visibility = "public";\n',
    "Write one of the values that the help names.",
)
LEGACY = Check(
    "PG106",
    "legacy-role",
    Severity.WARNING,
    Form.POLAR,
    "a role that Keystone no longer gives",
    "`_member_` was given to everybody in a project until 2018. In a cloud of today nobody has it.",
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("_member_");\n',
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("member");\n',
    "Write `member`, unless your Keystone still gives the old role.",
)


#: How alike a property and a well-known one must be for it to count as misspelt: a letter more, or two that changed
#: places.
ALIKE_NAMES: Final = 0.85
#: The same for roles: in five letters, two that changed places.
ALIKE_ROLES: Final = 0.8
#: Types of which the image API asks by names of their own, and never to create, read, update or delete.
_BY_NAME: Final = ("Image", "Member", "Location")
_NAMES: Final = re.compile(r"(?:\(\?i\))?\^?(?:\((?:\?:)?)?((?:[\w\-:|]|\\[^\w])+)\)?\$?")


def findings(files: PolarFiles) -> Iterator[Finding]:
    """Yield what is odd about the words of one policy."""
    known = meanings(files)
    for rule in files.own_rules():
        for meaning, literal in known.literals(rule):
            if meaning == ACTION:
                yield from _action(files, rule, literal)
            elif meaning == NAME:
                yield from _property(files, rule, literal)
            elif meaning == ROLE:
                yield from _role(files, rule, literal)
        for term in walk(rule):
            yield from _in_term(files, rule, term, known)


def _action(files: PolarFiles, rule: Rule, literal: Literal) -> Iterator[Finding]:
    word = literal.value
    kind = _about(rule)
    if not isinstance(word, str) or word in (OPERATIONS if kind == "Property" else actions()):
        return
    source = files.source(rule.span)
    if word in OPERATIONS or word in actions():
        if kind == "Property" or kind in _BY_NAME:
            yield UNFAMILIAR.at(
                files.span(literal.span),
                f"the image API never asks whether `{word}` is allowed on {'an' if kind == 'Image' else 'a'} {kind}",
                "create, read, update and delete are asked about a Property, all else about what it is done to",
                subject=source,
            )
        return
    near = misspelt(word, actions() | set(OPERATIONS))
    if near is not None:
        fix = Fix(f"write `{near}`", (Edit(literal.span.start, literal.span.end, f'"{near}"'),), safe=False)
        yield ACTION_WORD.at(
            files.span(literal.span),
            f"no action is called `{word}`",
            f"did you mean `{near}`?",
            fix=fix,
            subject=source,
        )
    elif kind == "Property" or kind in _BY_NAME:
        yield UNFAMILIAR.at(
            files.span(literal.span),
            f"the image API never asks whether `{word}` is allowed",
            "take it out, unless a service of yours asks",
            subject=source,
        )


def _about(rule: Rule) -> str:
    """Return the type that an entry point is about."""
    if rule.name not in ENTRY_POINTS or len(rule.parameters) != 3:
        return ""
    specializer = rule.parameters[2].specializer
    return specializer.name or "" if isinstance(specializer, Pattern) else ""


def _in_term(files: PolarFiles, rule: Rule, term: Term, known: Meanings) -> Iterator[Finding]:
    if isinstance(term, Dot) and isinstance(term.attribute, str) and term.arguments:
        about = known.of(term.base, rule)
        if term.attribute in ("has_role", "has_service_role"):
            yield from _role(files, rule, term.arguments[0])
        elif "Image" in about and term.attribute in ("has_property", "get"):
            yield from _property(files, rule, term.arguments[0])
        elif "Property" in about and term.attribute == "matches":
            yield from _property(files, rule, term.arguments[0], pattern=True)
        elif term.attribute == "shared_with" and len(term.arguments) == 2:
            yield from _value(files, rule, ("Member", "status"), term.arguments[1])
    elif isinstance(term, Operation) and term.operator in ("=", "==", "!=", "in") and len(term.operands) == 2:
        for fact, other in (term.operands, term.operands[::-1]):
            if isinstance(fact, Dot) and isinstance(fact.attribute, str) and fact.arguments is None:
                for kind in sorted(known.of(fact.base, rule)):
                    for item in other.items if isinstance(other, List) else (other,):
                        yield from _value(files, rule, (kind, fact.attribute), item)
    elif isinstance(term, Pattern) and term.name and term.fields is not None:
        for key, value in term.fields.fields:
            yield from _value(files, rule, (term.name, key), value)
            if (term.name, key) == ("Property", "name"):
                yield from _property(files, rule, value)


def _role(files: PolarFiles, rule: Rule, term: Term) -> Iterator[Finding]:
    if not isinstance(term, Literal) or not isinstance(term.value, str):
        return
    word, span, source = term.value.lower(), files.span(term.span), files.source(rule.span)
    if word in LEGACY_ROLES:
        meant = LEGACY_ROLES[word]
        yield LEGACY.at(span, f"Keystone no longer gives the role `{word}`", f"write `{meant}`", subject=source)
        return
    near = misspelt(word, ROLES, ALIKE_ROLES)
    if near is not None:
        fix = Fix(f"write `{near}`", (Edit(term.span.start, term.span.end, f'"{near}"'),), safe=False)
        yield ROLE_WORD.at(span, f"`{word}` is no usual role", f"did you mean `{near}`?", fix=fix, subject=source)


def plain_names(pattern: str) -> list[str]:
    """Return the names that a pattern is made of: of `^(a|b)$` both. Nothing for a pattern of another kind."""
    found = _NAMES.fullmatch(pattern)
    return re.sub(r"\\(.)", r"\1", found[1]).split("|") if found else []


def _property(files: PolarFiles, rule: Rule, term: Term, *, pattern: bool = False) -> Iterator[Finding]:
    if not isinstance(term, Literal) or not isinstance(term.value, str):
        return
    for name in plain_names(term.value) if pattern else [term.value]:
        near = misspelt(name, PROPERTIES, ALIKE_NAMES)
        if near is not None:
            yield PROPERTY.at(
                files.span(term.span),
                f"`{name}` is no well-known property",
                f"did you mean `{near}`?",
                subject=files.source(rule.span),
            )


def _value(files: PolarFiles, rule: Rule, fact: tuple[str, str], term: Term) -> Iterator[Finding]:
    allowed = VALUES.get(fact)
    if allowed is None or not isinstance(term, Literal) or not isinstance(term.value, str) or term.value in allowed:
        return
    near = misspelt(term.value, allowed, 0.6)
    hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(allowed)}"
    yield VALUE.at(
        files.span(term.span),
        f"the {fact[1]} is never `{term.value}`",
        hint,
        subject=files.source(rule.span),
    )
