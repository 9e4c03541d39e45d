"""The format ``policies``: names of oslo.policy rules, read by oslo.policy's own parser and turned into conditions.

Rules see the image. In Glance they are asked about nothing at all here, so that none about an owner can ever hold.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from protect.errors import PolicyError, Problem
from protect.policy.questions import Of, Operator, question
from protect.policy.vocabulary import Fact, Scalar
from protect.protections.conditions import EVERYONE, NOBODY, AllOf, AnyOf, Ask, Condition, Not, has_role
from protect.protections.glance_rules import GLANCE_RULES
from protect.protections.sections import Place
from protect.spelling import nearest

_TENANT: Fact = ("subject", "tenant")
_IMAGE: Fact = ("resource", "image")
_VISIBILITY: Fact = (*_IMAGE, "visibility")
_MEMBERS: Fact = (*_IMAGE, "members")

#: What Glance tells its rules about who asks.
_CREDENTIALS: Mapping[str, Fact] = {
    "user_id": ("subject", "id"),
    "project_id": _TENANT,
    "user_domain_id": ("subject", "domain"),
}
_RENAMED = {"tenant": "project_id", "tenant_id": "project_id", "user": "user_id", "is_admin": "rule:context_is_admin"}

#: What Glance tells them about an image; any other key is a property.
_TEXTS: Mapping[str, Fact] = {
    **{name: (*_IMAGE, name) for name in ("name", "status", "visibility", "disk_format", "container_format", "owner")},
    "project_id": (*_IMAGE, "owner"),
    "id": (*_IMAGE, "id"),
    "image_id": (*_IMAGE, "id"),
}
_NUMBERS: Mapping[str, Fact] = {name: (*_IMAGE, name) for name in ("size", "min_disk", "min_ram")}
_TRUTHS: Mapping[str, Fact] = {"protected": (*_IMAGE, "protected"), "os_hidden": (*_IMAGE, "hidden")}
_MEMBERSHIP = ("member", "member_id")
_UNKNOWN = frozenset(
    ("tags", "locations", "checksum", "created_at", "updated_at", "virtual_size", "os_hash_algo", "os_hash_value")
)

#: How long a chain of rules may be, each of which refers to the next: oslo.policy follows some three hundred.
MOST_REFERENCES = 100

#: What YAML calls a text; the keys of rules may be nothing else, such as `<<`, which takes in what stands elsewhere.
_TEXT = "tag:yaml.org,2002:str"

_KEY = re.compile(r"%\((?P<key>[^)]+)\)s")
_WORD_JOINS = ("and", "or", "not", "")


class _Inconvertible(Exception):
    """A check that has no meaning here: what is wrong, and what to do."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


class RuleBook:
    """The rules by name: those of the file over those in Glance's code."""

    def __init__(self, text: str = "", file: str = "") -> None:
        """Read a ``policy.yaml``. Raises PolicyError: not YAML, not names with checks, or oslo.policy is missing."""
        self._oslo, self._yaml = _libraries(file)
        self._file = file
        self._places: dict[str, Place] = {}
        self._texts: dict[str, Any] = dict(GLANCE_RULES)
        self._conditions: dict[str, Condition] = {}
        self._under_way: list[str] = []
        self._read(text)

    def condition(self, value: str, place: Place, problems: list[Problem]) -> Condition:
        """Return who may, for the name of a rule that stands at ``place`` of a protection file."""
        return self._guarded(f"rule:{value}", place, problems)

    def _read(self, text: str) -> None:
        yaml = self._yaml
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            message = f"not YAML: {getattr(error, 'problem', None) or 'cannot be read'}"
            raise PolicyError([Problem(self._file, line, column, message, "correct it")]) from None
        if content is None:
            return
        if not isinstance(content, dict):
            raise PolicyError([Problem(self._file, 1, 1, "not a list of rules", 'write lines such as "name": "check"')])
        found: list[Problem] = []
        for key, _ in root.value:
            place = Place(self._file, key.start_mark.line + 1, key.start_mark.column + 1)
            if key.tag != _TEXT:
                found.append(place.problem("the name of a rule is no text", "write the name in quotes, and one check"))
                continue
            if key.value in self._places:
                first = self._places[key.value].line
                found.append(place.problem(f"rule `{key.value}` is there already, in line {first}", "keep one of them"))
            self._places[key.value] = place
        if found:
            raise PolicyError(found)
        self._texts |= content

    def _guarded(self, check: Any, place: Place, problems: list[Problem]) -> Condition:
        try:
            return self._converted(self._parsed(check), place, problems)
        except _Inconvertible as error:
            problems.append(place.problem(str(error), error.help))
            return NOBODY

    def _rule(self, name: str, place: Place, problems: list[Problem]) -> Condition:
        if name in self._under_way:
            chain = " -> ".join([*self._under_way[self._under_way.index(name) :], name])
            raise _Inconvertible(f"rule `{name}` comes back to itself: {chain}", "take one of the references out")
        if name in self._conditions:
            return self._conditions[name]
        if name not in self._texts:
            near = nearest(name, self._texts)
            hint = f"did you mean `{near}`?" if near else "define it in the file that policy_rules names"
            raise _Inconvertible(f"no rule is called `{name}`", hint)
        if len(self._under_way) == MOST_REFERENCES:
            message = f"rule `{name}` is the end of a chain of more than {MOST_REFERENCES} rules, one after the other"
            raise _Inconvertible(message, "refer to the last rule of the chain")
        self._under_way.append(name)
        try:
            # A rule from Glance's code has no place of its own: what is wrong with it is wrong where it is used.
            condition = self._guarded(self._texts[name], self._places.get(name, place), problems)
        finally:
            self._under_way.pop()
        self._conditions[name] = condition
        return condition

    def _parsed(self, check: Any) -> Any:
        """Return oslo.policy's tree. What oslo.policy cannot read, it reads as a refusal; here that is a problem."""
        lists = isinstance(check, list)
        for word in _words(check):
            if word not in ("@", "!") and ":" not in word:
                raise _Inconvertible(f"`{word}` is no check", "write `kind:match`, such as `role:admin`")
        with _silent("oslo_policy"):
            tree = self._oslo.parse_rule(check)
        if type(tree).__name__ == "FalseCheck" and not lists and check.strip("() \t\n") != "!":
            raise _Inconvertible(f"`{check}` cannot be understood", "check its words, brackets, `and`, `or` and `not`")
        return tree

    def _converted(self, check: Any, place: Place, problems: list[Problem]) -> Condition:
        match type(check).__name__:
            case "TrueCheck":
                return EVERYONE
            case "FalseCheck":
                return NOBODY
            case "NotCheck":
                return Not(self._converted(check.rule, place, problems))
            case "AndCheck":
                return AllOf(tuple(self._converted(part, place, problems) for part in check.rules))
            case "OrCheck":
                return AnyOf(tuple(self._converted(part, place, problems) for part in check.rules))
            case "RuleCheck":
                return self._rule(check.match, place, problems)
            case "RoleCheck":
                return _role(check.match)
            case "GenericCheck":
                return _generic(check.kind, check.match)
        raise _Inconvertible(
            f"`{check}` asks somebody else", "rules here may ask about roles, the subject and the image"
        )


def _libraries(file: str) -> tuple[Any, Any]:
    try:
        return import_module("oslo_policy._parser"), import_module("yaml")
    except ImportError:
        help = "pip install oslo.policy, or set protection_format to roles"
        message = "protection files that name policy rules need oslo.policy, which is not installed"
        raise PolicyError([Problem(file or "policy_rules", 0, 0, message, help)]) from None


def _words(check: Any, depth: int = 0) -> Iterator[str]:
    """Yield the single checks of a rule; raises _Inconvertible for what is neither text nor a list of texts."""
    if isinstance(check, list):
        # Deeper ones are refusals to oslo.policy, and a few lines of aliases can make millions of them.
        if depth > 1:
            raise _Inconvertible("the lists are nested too deeply", "write a list of lists: any of these, all of those")
        for part in check:
            yield from ([part] if isinstance(part, str) else _words(part, depth + 1))
        return
    if not isinstance(check, str) or depth:
        raise _Inconvertible("the rule is no text", "write a check in quotes: `@` for everybody, `!` for nobody")
    for word in check.split():
        stripped = word.lstrip("(").rstrip(")")
        if stripped.lower() not in _WORD_JOINS:
            yield stripped


@contextmanager
def _silent(name: str) -> Iterator[None]:
    # The parser logs with a traceback what is reported here as a problem, at its place.
    logger = logging.getLogger(name)
    before, logger.propagate = logger.propagate, False
    handler = logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _role(match: str) -> Condition:
    key = _KEY.fullmatch(match)
    if key is not None:
        fact = _TEXTS.get(key["key"]) or _property(key["key"])
        return has_role(Of(fact))
    return has_role(_plain(match))


def _generic(kind: str, match: str) -> Condition:
    literal = _literal(kind)
    key = _KEY.fullmatch(match)
    if literal is not None:
        [value] = literal
        if key is None:
            return EVERYONE if str(value) == _plain(match) else NOBODY
        return _image_is(key["key"], value)
    if kind == "is_admin_project":
        return _truth(("subject", "admin_project"), _plain(match))
    if kind == "roles":
        if match != match.lower():
            raise _Inconvertible(f"`{kind}:{match}` never holds: Glance tells roles in lower case", "write `role:…`")
        return has_role(_plain(match))
    if kind == "service_roles":
        return Ask(question(Operator.HAS_FOLDED, ("subject", kind), _plain(match).lower()))
    credential = _CREDENTIALS.get(kind)
    if credential is None:
        known = ", ".join([*_CREDENTIALS, "roles", "service_roles", "is_admin_project"])
        hint = f"write `{_RENAMED[kind]}`" if kind in _RENAMED else f"accepted: {known}, or a value in quotes"
        raise _Inconvertible(f"`{kind}:{match}` asks for what Glance does not tell its rules", hint)
    if key is None:
        return Ask(question(Operator.EQUALS, credential, _plain(match)))
    if key["key"] in _MEMBERSHIP and credential == _TENANT:
        return _shared()
    if key["key"] in (*_NUMBERS, *_TRUTHS, *_MEMBERSHIP):
        raise _Inconvertible(f"`{kind}:{match}` compares two things that are never equal", "compare it with a value")
    return Ask(question(Operator.EQUALS, credential, Of(_TEXTS.get(key["key"]) or _property(key["key"]))))


def _image_is(key: str, value: object) -> Condition:
    if key in _TRUTHS:
        return _truth(_TRUTHS[key], str(value))
    if key in _NUMBERS:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _Inconvertible(f"`{key}` is a number, and `{value}` is none", "compare it with a number")
        return Ask(question(Operator.EQUALS, _NUMBERS[key], value))
    if value is None:
        raise _Inconvertible(f"`None:%({key})s` asks for what is missing", "ask for a value")
    if key in _MEMBERSHIP:
        return AllOf((_shared(), Ask(question(Operator.EQUALS, _TENANT, str(value)))))
    return Ask(question(Operator.EQUALS, _TEXTS.get(key) or _property(key), str(value)))


def _truth(fact: Fact, value: str) -> Condition:
    holds = Ask(question(Operator.IS_TRUE, fact))
    if value not in ("True", "False"):
        raise _Inconvertible(f"`{value}` is compared with true or false", "write `True` or `False`")
    return holds if value == "True" else Not(holds)


def _shared() -> Condition:
    """Holds for a tenant on the image's member list, whatever it answered: pending members see the image, too."""
    statuses = ("accepted", "pending", "rejected")
    listed = AnyOf(tuple(Ask(question(Operator.SHARED, _MEMBERS, Of(_TENANT), status)) for status in statuses))
    return AllOf((Ask(question(Operator.EQUALS, _VISIBILITY, "shared")), listed))


def _property(key: str) -> Fact:
    if key in _UNKNOWN or key in _NUMBERS or key in _TRUTHS or key in _MEMBERSHIP:
        raise _Inconvertible(f"`%({key})s` cannot be compared here", f"accepted: {', '.join(_TEXTS)}, or a property")
    return (*_IMAGE, "properties", "get", key)


def _plain(match: str) -> str:
    if "%" in match:
        raise _Inconvertible(f"`{match}` mixes text with what is filled in", "write text alone, or `%(key)s` alone")
    return match


def _literal(kind: str) -> tuple[Scalar | None] | None:
    """Return the value that ``kind`` is written as, or None for a name."""
    try:
        value = ast.literal_eval(kind)
    except ValueError:
        return None
    except (SyntaxError, MemoryError, RecursionError):
        raise _Inconvertible(f"`{kind}` is neither a name nor a value", "write a name, or a value in quotes") from None
    if not isinstance(value, str | int | float | bool | None):
        raise _Inconvertible(f"`{kind}` is no text, number, or true or false", "write one of these")
    return (value,)
