"""Checks of a `policy.yaml` of oslo.policy, as Glance reads it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, Final

from protect.errors import ConfigError
from protect.lint.catalogue import Check, Form
from protect.lint.characters import in_lines
from protect.lint.findings import Finding, Related, Severity, Span
from protect.lint.known import LEGACY_ROLES, RETIRED, ROLES, misspelt, rule_names
from protect.lint.texts import Text
from protect.lint.words import ALIKE_ROLES
from protect.protections.checks import MOST_REFERENCES
from protect.protections.glance_rules import GLANCE_RULES

_GOOD = '"publicize_image": "rule:context_is_admin or role:publisher"\n'

YAML = Check(
    "PO400",
    "yaml-syntax",
    Severity.ERROR,
    Form.OSLO,
    "the file is no YAML list of rules",
    "Glance does not start with it.",
    '"publicize_image": "rule:context_is_admin\n',
    _GOOD,
    'Write lines such as "name": "check".',
)
DUPLICATE = Check(
    "PO401",
    "duplicate-rule-name",
    Severity.ERROR,
    Form.OSLO,
    "a rule is there twice",
    "The last one counts, without a word.",
    '"publicize_image": "!"\n"publicize_image": "rule:context_is_admin or role:publisher"\n',
    _GOOD,
    "Keep one of them.",
)
MISSPELT = Check(
    "PO402",
    "misspelt-rule-name",
    Severity.ERROR,
    Form.OSLO,
    "a rule whose name looks like one of Glance's and is none",
    "Nothing asks for it, and the rule that was meant keeps its default.",
    '"publicise_image": "rule:context_is_admin or role:publisher"\n',
    _GOOD,
    "Write Glance's name.",
)
UNKNOWN = Check(
    "PO403",
    "unknown-rule-name",
    Severity.INFO,
    Form.OSLO,
    "a rule that Glance does not ask for, and no other rule refers to",
    "It decides nothing.",
    '"may_sign": "role:signer"\n' + _GOOD,
    '"may_sign": "role:signer"\n"publicize_image": "rule:context_is_admin or rule:may_sign"\n',
    "Take it out, or refer to it.",
)
UNDEFINED = Check(
    "PO404",
    "undefined-reference",
    Severity.ERROR,
    Form.OSLO,
    "a reference to a rule that is not there",
    "oslo.policy falls back on the rule `default`, which in Glance lets everybody in.",
    '"publicize_image": "rule:context_is_admn or role:publisher"\n',
    _GOOD,
    "Correct the name, or define the rule.",
)
CYCLE = Check(
    "PO405",
    "cyclic-reference",
    Severity.ERROR,
    Form.OSLO,
    "rules that refer to each other in a circle",
    "Glance cannot decide them and does not start.",
    '"one": "rule:two"\n"two": "rule:one"\n"publicize_image": "rule:context_is_admin or rule:one"\n',
    _GOOD,
    "Take one of the references out.",
)
EMPTY = Check(
    "PO406",
    "empty-check",
    Severity.SECURITY,
    Form.OSLO,
    "an empty check lets everybody in",
    "It looks like nobody, or like unfinished.",
    '"get_images": ""\n',
    '"get_images": "@"\n',
    "Write `@` if everybody is meant, `!` for nobody, else who may.",
)
OPEN_WRITE = Check(
    "PO407",
    "open-write",
    Severity.SECURITY,
    Form.OSLO,
    "everybody may change what is not their own",
    "Any authenticated subject may, or any member of whatever project.",
    '"delete_image": "@"\n',
    '"delete_image": "rule:context_is_admin or (role:member and project_id:%(project_id)s and role:cleaner)"\n',
    "Say who may: a role, and `project_id:%(project_id)s` for their own.",
)
ROLE = Check(
    "PO408",
    "misspelt-role-in-check",
    Severity.ERROR,
    Form.OSLO,
    "a role that looks like one of Keystone's and is none",
    "Nobody has it, and under `not` everybody passes.",
    '"publicize_image": "rule:context_is_admin or role:memeber"\n',
    '"publicize_image": "rule:context_is_admin or role:publisher"\n',
    "Correct it.",
)
LOCKED_OUT = Check(
    "PO409",
    "admin-locked-out-of-rule",
    Severity.ERROR,
    Form.OSLO,
    "an admin may not, whatever the image",
    "Nobody is left who could put a tenant's mistake right.",
    '"delete_image": "role:member and project_id:%(project_id)s and not role:admin"\n',
    '"delete_image": "rule:context_is_admin or (role:member and project_id:%(project_id)s and role:cleaner)"\n',
    "Add `rule:context_is_admin or …`.",
)
DEPRECATED = Check(
    "PO410",
    "retired-rule-name",
    Severity.WARNING,
    Form.OSLO,
    "a rule that Glance no longer asks for",
    "It decides nothing. What was to be closed by it may be open.",
    '"copy_from": "!"\n',
    '"copy_image": "!"\n',
    "Take it out; the finding says what became of it.",
)
JSON = Check(
    "PO411",
    "json-in-yaml",
    Severity.WARNING,
    Form.OSLO,
    "the file is JSON",
    "oslo.policy no longer reads JSON files, and JSON has no comments to say why a rule is as it is.",
    '{"publicize_image": "rule:context_is_admin or role:publisher"}\n',
    _GOOD,
    "Convert it with `oslopolicy-convert-json-to-yaml`.",
)
UNREADABLE = Check(
    "PO412",
    "unreadable-check",
    Severity.ERROR,
    Form.OSLO,
    "a check that cannot be understood",
    "oslo.policy logs it and refuses everybody.",
    '"publicize_image": "rule:context_is_admin or publisher"\n',
    _GOOD,
    "Write `kind:match`, such as `role:admin`, joined by `and`, `or` and `not`.",
)
SAME = Check(
    "PO413",
    "equals-default",
    Severity.INFO,
    Form.OSLO,
    "a rule that says what Glance says by default",
    "It will stay behind when the default changes.",
    '"copy_image": "rule:context_is_admin"\n',
    '"copy_image": "rule:context_is_admin or role:publisher"\n',
    "Take it out.",
)
OPEN_DEFAULT = Check(
    "PO414",
    "open-default",
    Severity.SECURITY,
    Form.OSLO,
    "the rule `default` lets everybody in",
    "Whatever has no rule of its own, and every misspelt reference, is open to everybody.",
    '"default": "@"\n',
    '"default": "!"\n',
    "Write `!`, or `rule:context_is_admin`.",
)
UNANSWERED = Check(
    "PO415",
    "unanswered-check",
    Severity.WARNING,
    Form.OSLO,
    "a check of something that Glance does not tell its rules",
    "It never holds.",
    '"publicize_image": "rule:context_is_admin or tenant:publishers"\n',
    '"publicize_image": "rule:context_is_admin or project_id:publishers"\n',
    "Ask for user_id, project_id, user_domain_id, role, service_roles, is_admin_project, or a value of the image.",
)
NO_TEXT = Check(
    "PO416",
    "check-is-no-text",
    Severity.ERROR,
    Form.OSLO,
    "a check that is no text",
    "YAML reads `true`, `no` or a number as something else than text. Glance does not start with it.",
    '"publicize_image": no\n',
    '"publicize_image": "!"\n',
    "Put it into quotes: `@` for everybody, `!` for nobody.",
)
NEGATION = Check(
    "PO417",
    "negated-comparison",
    Severity.SECURITY,
    Form.OSLO,
    "`not` holds also where there is nothing to compare",
    "A check of a value that is missing is false, and its `not` is true: the rule lets in whoever lacks the value.",
    '"download_image": "rule:context_is_admin or (role:member and not \'secret\':%(os_distro)s)"\n',
    '"download_image": "rule:context_is_admin or (role:member and \'public\':%(visibility)s)"\n',
    "Say what must be there instead.",
)
LEGACY = Check(
    "PO418",
    "legacy-role-in-check",
    Severity.WARNING,
    Form.OSLO,
    "a role that Keystone no longer gives",
    "`_member_` was given to everybody in a project until 2018. In a cloud of today nobody has it.",
    '"publicize_image": "rule:context_is_admin or role:_member_"\n',
    '"publicize_image": "rule:context_is_admin or role:publisher"\n',
    "Write `member`, unless your Keystone still gives the old role.",
)

DEEP = Check(
    "PO419",
    "long-chain-of-references",
    Severity.ERROR,
    Form.OSLO,
    "rules that refer to each other in too long a chain",
    f"oslo.policy follows each reference inside the one before it: after a few hundred, Glance answers 500. More than "
    f"{MOST_REFERENCES} are not followed here.",
    "".join(f'"r{number}": "rule:r{number + 1}"\n' for number in range(MOST_REFERENCES + 1))
    + f'"r{MOST_REFERENCES + 1}": "role:publisher"\n"publicize_image": "rule:context_is_admin or rule:r0"\n',
    _GOOD,
    "Refer to the last rule of the chain.",
)

#: Actions that change something, with nobody but the owner or the operator to do so.
_WRITES: Final = frozenset(
    (
        *("modify_image", "delete_image", "upload_image", "publicize_image", "communitize_image", "copy_image"),
        *("deactivate", "reactivate", "add_member", "delete_member", "modify_member", "set_image_location"),
        *("delete_image_location", "add_image_location", "manage_image_cache", "cache_delete", "cache_image"),
    )
)
_ANSWERED: Final = frozenset(
    ("user_id", "project_id", "user_domain_id", "roles", "service_roles", "is_admin_project", "system_scope")
)
_RENAMED: Final = {
    "tenant": "project_id",
    "tenant_id": "project_id",
    "user": "user_id",
    "is_admin": "rule:context_is_admin",
}
_MEMBER: Final = frozenset({"member", "reader"})
_ADMIN: Final = frozenset({"admin", "manager", "member", "reader"})


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a check: ``operator`` is and, or, not, true, false, rule, role or check."""

    operator: str
    parts: tuple[Node, ...] = ()
    kind: str = ""
    match: str = ""
    start: int = 0
    end: int = 0


class Unreadable(ValueError):
    """A check that cannot be understood; ``start`` and ``end`` say where."""

    def __init__(self, message: str, start: int, end: int) -> None:
        self.start, self.end = start, end
        super().__init__(message)


_TOKEN: Final = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<word>(?:[^\s()%'\"]|%\([^)]*\)s|%|'[^']*'|\"[^\"]*\")+|['\"]))"
)


def parsed(check: str) -> Node:
    """Parse a check. Raises Unreadable."""
    tokens = _tokens(check)
    reader = _Reader(tokens, len(check))
    if not tokens:
        return Node("true", end=len(check))
    node = reader.either()
    if reader.index < len(tokens):
        word, start, end = tokens[reader.index]
        raise Unreadable(f"`{word}` is not expected here", start, end)
    return node


def _tokens(check: str) -> list[tuple[str, int, int]]:
    found = []
    place = 0
    while place < len(check.rstrip()):
        match = _TOKEN.match(check, place)
        if match is None:  # every character is a word or a bracket
            raise Unreadable("this cannot be read", place, len(check))
        name = match.lastgroup or "word"
        found.append((match[name], match.start(name), match.end(name)))
        place = match.end()
    return found


@dataclass(slots=True)
class _Reader:
    tokens: Sequence[tuple[str, int, int]]
    length: int
    index: int = 0
    depth: int = 0

    def either(self) -> Node:
        parts = [self.both()]
        while self._word() == "or":
            self.index += 1
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Node("or", tuple(parts), start=parts[0].start, end=parts[-1].end)

    def both(self) -> Node:
        parts = [self.one()]
        while self._word() == "and":
            self.index += 1
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else Node("and", tuple(parts), start=parts[0].start, end=parts[-1].end)

    def one(self) -> Node:
        if self.index >= len(self.tokens):
            raise Unreadable("the check ends too early", max(0, self.length - 1), self.length)
        word, start, end = self.tokens[self.index]
        self.index += 1
        if word.lower() == "not":
            self._deeper(start, end)
            part = self.one()
            self.depth -= 1
            return Node("not", (part,), start=start, end=part.end)
        if word == "(":
            self._deeper(start, end)
            inner = self.either()
            if self.index >= len(self.tokens) or self.tokens[self.index][0] != ")":
                raise Unreadable("this bracket is not closed", start, end)
            self.index += 1
            self.depth -= 1
            return inner
        if word in ("@", "!"):
            return Node("true" if word == "@" else "false", start=start, end=end)
        kind, colon, match = word.partition(":")
        if not colon or word == ")":
            raise Unreadable(f"`{word}` is no check", start, end)
        operator = kind if kind in ("rule", "role") else "check"
        return Node(operator, kind=kind, match=match, start=start, end=end)

    def _deeper(self, start: int, end: int) -> None:
        self.depth += 1
        if self.depth > 50:
            raise Unreadable("the check is nested too deeply", start, end)

    def _word(self) -> str:
        return self.tokens[self.index][0].lower() if self.index < len(self.tokens) else ""


@dataclass(slots=True)
class _Entry:
    """One rule of the file. ``offset`` is where the check's text begins; None where it is not written out in place."""

    name: str
    key: Span
    value: Span
    check: str
    offset: int | None
    node: Node | None = None
    #: Which of the entries of one name counts.
    problems: list[Finding] = field(default_factory=list)


def library() -> Any:
    """Return PyYAML. Raises ConfigError where it is not installed."""
    try:
        return import_module("yaml")
    except ImportError:
        raise ConfigError("policy.yaml cannot be read without PyYAML; pip install PyYAML") from None


def findings(text: Text) -> Iterator[Finding]:
    """Yield what is odd about one file of rules."""
    if text.content.lstrip().startswith("{"):
        yield JSON.at(text.word(1, 1), "this is JSON", "write it as YAML", subject=text.file)
    yield from in_lines(text, "#")
    entries: dict[str, _Entry] = {}
    for one in _read(text):
        if isinstance(one, Finding):
            yield one
            continue
        if one.name in entries:
            first = entries[one.name].key
            yield DUPLICATE.at(
                one.key,
                f"`{one.name}` is there already, in line {first.line}",
                "keep one of them",
                related=(Related(first, "the first one"),),
                subject=one.name,
            )
        entries[one.name] = one
        yield from one.problems
    yield from _File(text, entries).findings()


def _read(text: Text) -> Iterator[_Entry | Finding]:
    yaml = library()
    try:
        root = yaml.compose(text.content, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        span = text.word(mark.line + 1, mark.column + 1) if mark else Span(text.file)
        yield YAML.at(
            span, f"not YAML: {getattr(error, 'problem', None) or 'cannot be read'}", "correct it", subject=text.file
        )
        return
    except (ValueError, RecursionError):
        yield YAML.at(Span(text.file), "not YAML: cannot be read", "correct it", subject=text.file)
        return
    if root is None:
        return
    if root.id != "mapping":
        yield YAML.at(text.word(1, 1), "not a list of rules", 'write lines such as "name": "check"', subject=text.file)
        return
    for key, value in root.value:
        if key.id != "scalar":
            yield YAML.at(_span(text, key), "the name of a rule is text", "write it in quotes", subject=text.file)
            continue
        yield _entry(text, key, value)


def _span(text: Text, node: Any) -> Span:
    start, end = node.start_mark.index, node.end_mark.index
    raw = text.content[start:end].rstrip()
    return text.span(start, start + len(raw.split("\n")[0]))


def _entry(text: Text, key: Any, value: Any) -> _Entry:
    name, span = str(key.value), _span(text, value)
    entry = _Entry(name, _span(text, key), span, "", None)
    if value.id == "sequence":
        entry.check = _listed(value)
    elif value.id == "scalar" and value.tag == "tag:yaml.org,2002:str":
        entry.check = value.value
        start = value.start_mark.index + (1 if value.style in ("'", '"') else 0)
        if text.content[start : start + len(value.value)] == value.value:
            entry.offset = start
    else:
        message = f"the check of `{name}` is no text"
        entry.problems.append(
            NO_TEXT.at(span, message, "put it into quotes: `@` for everybody, `!` for nobody", subject=name)
        )
        return entry
    try:
        entry.node = parsed(entry.check)
    except Unreadable as error:
        where = span if entry.offset is None else text.span(entry.offset + error.start, entry.offset + error.end)
        entry.problems.append(
            UNREADABLE.at(where, str(error), "write `kind:match`, such as `role:admin`", subject=name)
        )
    return entry


def _listed(value: Any) -> str:
    """Return the old form, lists of lists, as an expression: any of the lists, all of what is in one."""
    parts = []
    for one in value.value:
        inner = [str(part.value) for part in one.value] if one.id == "sequence" else [str(one.value)]
        parts.append(" and ".join(inner) or "@")
    return " or ".join(f"({part})" for part in parts)


class _File:
    def __init__(self, text: Text, entries: Mapping[str, _Entry]) -> None:
        self._text = text
        self._entries = entries
        self._defaults = {name: parsed(check) for name, check in GLANCE_RULES.items()}
        self._refers_to: dict[str, Sequence[str]] = {}
        #: A file of another service has other names and other helpers.
        self._glance = (
            not entries
            or any(name in rule_names() or name in RETIRED for name in entries)
            or not any(":" in name for name in entries)
        )

    def findings(self) -> Iterator[Finding]:
        referred = {
            node.match for entry in self._entries.values() for node in _leaves(entry.node) if node.operator == "rule"
        }
        for entry in self._entries.values():
            if self._glance:
                yield from self._name(entry, referred)
            if entry.node is None:
                continue
            yield from self._leaves(entry)
            cycle = self._cycle(entry.name)
            if cycle:
                chain = " -> ".join(f"`{name}`" for name in cycle)
                yield CYCLE.at(entry.key, f"this comes back to itself: {chain}", "take one out", subject=entry.name)
            elif self._lengths[entry.name] > MOST_REFERENCES:
                # Where the chain begins: all of it would be found again and again.
                if entry.name not in referred:
                    said = f"this leads through {self._lengths[entry.name]} rules, one after the other"
                    yield DEEP.at(entry.key, said, "refer to the last of them", subject=entry.name)
            elif self._glance:
                yield from self._meaning(entry)

    def _name(self, entry: _Entry, referred: set[str]) -> Iterator[Finding]:
        name = entry.name
        if name in RETIRED:
            yield DEPRECATED.at(
                entry.key, f"Glance does not ask for `{name}`: {RETIRED[name]}", "take it out", subject=name
            )
        elif name not in rule_names() and name not in referred:
            near = misspelt(name, rule_names())
            if near is not None:
                yield MISSPELT.at(
                    entry.key, f"no rule of Glance is called `{name}`", f"did you mean `{near}`?", subject=name
                )
            else:
                yield UNKNOWN.at(
                    entry.key, f"Glance does not ask for `{name}`", "take it out, or refer to it", subject=name
                )

    def _leaves(self, entry: _Entry) -> Iterator[Finding]:
        for node, negated in _signed(entry.node):
            span = self._place(entry, node)
            if node.operator == "rule" and self._lookup(node.match) is None and self._glance:
                near = misspelt(node.match, [*self._entries, *self._defaults], 0.6)
                hint = f"did you mean `{near}`?" if near else "define it, or correct the name"
                yield UNDEFINED.at(
                    span, f"no rule is called `{node.match}`", hint, subject=f"{entry.name} {node.match}"
                )
            elif node.operator == "role":
                yield from self._role(entry, node, span)
            elif node.operator == "check":
                yield from self._check(entry, node, span, negated)

    def _role(self, entry: _Entry, node: Node, span: Span) -> Iterator[Finding]:
        role = node.match.lower()
        subject = f"{entry.name} {role}"
        if role in LEGACY_ROLES:
            yield LEGACY.at(
                span, f"Keystone no longer gives the role `{role}`", f"write `{LEGACY_ROLES[role]}`", subject=subject
            )
        elif near := misspelt(role, ROLES, ALIKE_ROLES):
            yield ROLE.at(span, f"`{role}` is no usual role", f"did you mean `{near}`?", subject=subject)

    def _check(self, entry: _Entry, node: Node, span: Span, negated: bool) -> Iterator[Finding]:
        literal = node.kind[:1] in "'\"" or node.kind in ("True", "False", "None") or node.kind.isdigit()
        subject = f"{entry.name} {node.kind}:{node.match}"
        if self._glance and not literal and node.kind not in (*_ANSWERED, "http", "https"):
            near = _RENAMED.get(node.kind) or misspelt(node.kind, [*_ANSWERED, "role", "rule"], 0.6)
            hint = f"write `{near}`" if near else "ask for " + ", ".join(sorted(_ANSWERED))
            yield UNANSWERED.at(span, f"Glance does not tell its rules about `{node.kind}`", hint, subject=subject)
        elif negated and "%(" in node.match:
            yield NEGATION.at(
                span,
                f"`not {node.kind}:{node.match}` holds also where there is no such value",
                "say what must be there",
                subject=subject,
            )

    def _meaning(self, entry: _Entry) -> Iterator[Finding]:
        name, node = entry.name, entry.node
        empty = not entry.check.strip()
        everybody = self._evaluate(node, frozenset(), _stranger) is True
        if name == "default":
            if everybody:
                yield OPEN_DEFAULT.at(entry.value, "`default` lets everybody in", "write `!`", subject=name)
            return
        if empty:
            yield EMPTY.at(entry.value, f"the empty check of `{name}` lets everybody in", "write who may", subject=name)
            return
        members = everybody or self._evaluate(node, _MEMBER, _stranger) is True
        if members and name in _WRITES:
            yield OPEN_WRITE.at(
                entry.value,
                f"{'everybody' if everybody else 'every member'} may `{name}`, whoever the image belongs to",
                "say who may",
                witness=f"a subject {'without a role' if everybody else 'with the roles member and reader'}, "
                f"of another project than the image's, may `{name}`",
                subject=name,
            )
        admin = self._evaluate(node, _ADMIN, lambda _: None)
        if admin is False and name in rule_names() and self._evaluate_any(node):
            yield LOCKED_OUT.at(
                entry.value,
                f"an admin may never `{name}`",
                "write `rule:context_is_admin or …`",
                witness="a subject with the roles admin, manager, member and reader, on any image",
                subject=name,
            )
        default = self._defaults.get(name)
        if default is not None and node is not None and _shape(default) == _shape(node):
            yield SAME.at(entry.key, f"`{name}` says what Glance says by default", "take it out", subject=name)

    def _lookup(self, name: str) -> Node | None:
        entry = self._entries.get(name)
        return entry.node or Node("false") if entry is not None else self._defaults.get(name)

    def _cycle(self, name: str) -> list[str]:
        """Return the way from a rule back to itself."""
        before: dict[str, str] = {}
        waiting = [name]
        while waiting:
            place = waiting.pop()
            for further in self._references(place):
                if further == name:
                    way = [name]
                    while place != name:
                        way.append(place)
                        place = before[place]
                    return [name, *reversed(way)]
                if further not in before:
                    before[further] = place
                    waiting.append(further)
        return []

    def _references(self, name: str) -> Sequence[str]:
        """Return the names of the rules that a rule refers to."""
        known = self._refers_to.get(name)
        if known is None:
            found = (leaf.match for leaf in _leaves(self._lookup(name)) if leaf.operator == "rule")
            known = self._refers_to[name] = tuple(dict.fromkeys(found))
        return known

    @cached_property
    def _lengths(self) -> Mapping[str, int]:
        """How many references the longest chain has that begins at each rule. What comes back to itself ends there."""
        lengths: dict[str, int] = {}
        for entry in self._entries:
            waiting = [entry]
            while waiting:
                name = waiting[-1]
                further = self._references(name)
                if name in lengths:
                    lengths[name] = max((lengths[one] + 1 for one in further), default=0)
                    waiting.pop()
                else:
                    lengths[name] = 0
                    waiting += [one for one in further if one not in lengths]
        return lengths

    def _evaluate_any(self, node: Node | None) -> bool:
        """Whether anybody at all may: `!` locks an admin out on purpose."""
        return self._evaluate(node, None, lambda _: None) is not False

    def _evaluate(
        self,
        node: Node | None,
        roles: frozenset[str] | None,
        answer: Callable[[Node], bool | None],
        known: dict[str, bool | None] | None = None,
    ) -> bool | None:
        """Return whether the check holds for ``roles`` (None: unknown ones); None where that depends.

        ``known`` is what rules that it refers to come to: each is looked at once.
        """
        if node is None:
            return None
        known = {} if known is None else known
        match node.operator:
            case "true":
                return True
            case "false":
                return False
            case "role":
                return None if roles is None or "%(" in node.match else node.match.lower() in roles
            case "rule":
                if node.match not in known:
                    known[node.match] = None  # for what comes back to itself
                    known[node.match] = self._evaluate(self._lookup(node.match), roles, answer, known)
                return known[node.match]
            case "not":
                inner = self._evaluate(node.parts[0], roles, answer, known)
                return None if inner is None else not inner
            case "and" | "or":
                values = [self._evaluate(part, roles, answer, known) for part in node.parts]
                decisive = node.operator == "or"
                if decisive in values:
                    return decisive
                return None if None in values else not decisive
        return answer(node)

    def _place(self, entry: _Entry, node: Node) -> Span:
        if entry.offset is None:
            return entry.value
        return self._text.span(entry.offset + node.start, entry.offset + node.end)


def _stranger(node: Node) -> bool | None:
    """Answer a check for a subject who has nothing to do with the image; None for what that does not tell."""
    if "%(" in node.match:
        return False if node.kind in _ANSWERED else None
    try:
        return str(ast.literal_eval(node.kind)) == node.match
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False if node.kind in _ANSWERED else None


def _signed(node: Node | None, negated: bool = False) -> Iterator[tuple[Node, bool]]:
    if node is None:
        return
    if node.operator in ("rule", "role", "check"):
        yield node, negated
    for part in node.parts:
        yield from _signed(part, negated is not (node.operator == "not"))


def _leaves(node: Node | None) -> Iterator[Node]:
    return (leaf for leaf, _ in _signed(node))


def _shape(node: Node) -> object:
    """Return what a check says, whatever its spelling."""
    return node.operator, node.kind, node.match, tuple(_shape(part) for part in node.parts)
