"""Checks of the words in rules: actions, roles, properties and values that look like others and are none."""

from __future__ import annotations

from collections.abc import Iterator

from protect.lint.catalogue import Check, Form
from protect.lint.findings import Edit, Finding, Fix, Severity
from protect.lint.known import LEGACY_ROLES, OPERATIONS, PROPERTIES, ROLES, VALUES, actions, misspelt
from protect.lint.polar_files import PolarFiles
from protect.polar.check import ENTRY_POINTS
from protect.polar.syntax import Call, Dot, List, Literal, Operation, Pattern, Rule, Term, Variable, walk

_GOOD = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'

ACTION = Check(
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
ROLE = Check(
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


def findings(files: PolarFiles) -> Iterator[Finding]:
    """Yield what is odd about the words of one policy."""
    names = _name_rules(files)
    for rule in files.own_rules():
        if rule.name in ENTRY_POINTS and len(rule.parameters) == 3:
            for literal in _actions(rule):
                yield from _action(files, rule, literal)
        if rule.name in names and rule.body is None:
            for index in names[rule.name]:
                if index < len(rule.parameters):
                    yield from _property(files, rule, rule.parameters[index].term)
        for term in walk(rule):
            yield from _in_term(files, rule, term)


def _actions(rule: Rule) -> Iterator[Literal]:
    """Yield the texts that an entry point compares with the action."""
    action = rule.parameters[1].term
    if isinstance(action, Literal):
        yield action
    if not isinstance(action, Variable) or rule.body is None:
        return
    for term in walk(rule.body):
        if isinstance(term, Operation) and term.operator in ("=", "==", "!=", "in") and len(term.operands) == 2:
            left, right = term.operands
            for one, other in ((left, right), (right, left)):
                if isinstance(one, Variable) and one.name == action.name:
                    items = other.items if isinstance(other, List) else (other,)
                    yield from (item for item in items if isinstance(item, Literal))


def _action(files: PolarFiles, rule: Rule, literal: Literal) -> Iterator[Finding]:
    word = literal.value
    specializer = rule.parameters[2].specializer
    kind = specializer.name if isinstance(specializer, Pattern) else None
    if not isinstance(word, str) or word in actions() or word in OPERATIONS:
        return
    source = files.source(rule.span)
    near = misspelt(word, actions() | set(OPERATIONS))
    if near is not None:
        fix = Fix(f"write `{near}`", (Edit(literal.span.start, literal.span.end, f'"{near}"'),), safe=False)
        yield ACTION.at(
            files.span(literal.span),
            f"no action is called `{word}`",
            f"did you mean `{near}`?",
            fix=fix,
            subject=source,
        )
    elif kind in ("Image", "Property", "Member", "Location"):
        yield UNFAMILIAR.at(
            files.span(literal.span),
            f"the image API never asks whether `{word}` is allowed",
            "take it out, unless a service of yours asks",
            subject=source,
        )


def _in_term(files: PolarFiles, rule: Rule, term: Term) -> Iterator[Finding]:
    if isinstance(term, Dot) and isinstance(term.attribute, str) and term.arguments:
        if term.attribute in ("has_role", "has_service_role"):
            yield from _role(files, rule, term.arguments[0])
        elif term.attribute == "has_property" or (term.attribute == "get" and _about_image(term.base)):
            yield from _property(files, rule, term.arguments[0])
        elif term.attribute == "shared_with" and len(term.arguments) == 2:
            yield from _value(files, rule, ("Member", "status"), term.arguments[1])
    elif isinstance(term, Operation) and term.operator in ("=", "==", "!=", "in") and len(term.operands) == 2:
        for fact, other in (term.operands, term.operands[::-1]):
            if isinstance(fact, Dot) and isinstance(fact.attribute, str) and fact.arguments is None:
                items = other.items if isinstance(other, List) else (other,)
                for item in items:
                    if fact.attribute == "name" and _kind(fact.base, rule) == "Property":
                        yield from _property(files, rule, item)
                    yield from _value(files, rule, (_kind(fact.base, rule), fact.attribute), item)


def _kind(base: Term, rule: Rule) -> str:
    """Return the type of what stands before a dot, as far as the rule's own text tells."""
    if isinstance(base, Dot):
        return "Image" if base.attribute == "image" else ""
    if not isinstance(base, Variable):
        return ""
    for parameter in rule.parameters:
        if isinstance(parameter.term, Variable) and parameter.term.name == base.name:
            if isinstance(parameter.specializer, Pattern):
                return parameter.specializer.name or ""
            break
    return {"image": "Image", "property": "Property", "member": "Member", "membership": "Member"}.get(base.name, "")


def _about_image(base: Term) -> bool:
    return (isinstance(base, Variable) and base.name == "image") or (
        isinstance(base, Dot) and base.attribute == "image"
    )


def _name_rules(files: PolarFiles) -> dict[str, set[int]]:
    """Return the rules that are asked about the name of a property, and with which argument."""
    found: dict[str, set[int]] = {}
    for statement in files.statements:
        for term in walk(statement):
            if isinstance(term, Call):
                for index, argument in enumerate(term.arguments):
                    if isinstance(argument, Dot) and argument.attribute == "name" and not _about_image(argument.base):
                        found.setdefault(term.name, set()).add(index)
    return found


def _role(files: PolarFiles, rule: Rule, term: Term) -> Iterator[Finding]:
    if not isinstance(term, Literal) or not isinstance(term.value, str):
        return
    word, span, source = term.value.lower(), files.span(term.span), files.source(rule.span)
    if word in LEGACY_ROLES:
        meant = LEGACY_ROLES[word]
        yield LEGACY.at(span, f"Keystone no longer gives the role `{word}`", f"write `{meant}`", subject=source)
        return
    near = misspelt(word, ROLES)
    if near is not None:
        fix = Fix(f"write `{near}`", (Edit(term.span.start, term.span.end, f'"{near}"'),), safe=False)
        yield ROLE.at(span, f"`{word}` is no usual role", f"did you mean `{near}`?", fix=fix, subject=source)


def _property(files: PolarFiles, rule: Rule, term: Term) -> Iterator[Finding]:
    if not isinstance(term, Literal) or not isinstance(term.value, str):
        return
    near = misspelt(term.value, PROPERTIES, 0.86)
    if near is not None:
        yield PROPERTY.at(
            files.span(term.span),
            f"`{term.value}` is no well-known property",
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
