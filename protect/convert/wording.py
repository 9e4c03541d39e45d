"""Polar as text: literals, names, comments, and conditions as rules write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, count

from protect.errors import ConfigError
from protect.polar.tokens import RESERVED
from protect.policy.questions import Of, Operand, Operator, Question
from protect.policy.vocabulary import RESOURCE, TYPES, Fact, Form, Kind, Word
from protect.protections.conditions import EVERYONE, NOBODY, AllOf, AnyOf, Ask, Condition, Not
from protect.showing import visible

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_WIDTH = 110

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_WORD = re.compile(r"\w+")
#: A variable among the parameters of a rule.
_PARAMETER = re.compile(r'(?<![\w"])[a-z]\w*(?=[:,)])(?!")')

_USER: Fact = ("subject", "roles")
_SERVICE: Fact = ("subject", "service_roles")


class Unspeakable(ConfigError):
    """The language that is converted to has no words for this."""


def text(value: str) -> str:
    """Return a text literal. Raises Unspeakable for a character that cannot be seen: policy files may not hold such."""
    written = "".join(_ESCAPES.get(letter, letter) for letter in value)
    if not written.isprintable():
        raise Unspeakable(f"`{visible(value)}` holds a character that cannot be seen, which a policy may not hold")
    return f'"{written}"'


def texts(values: Iterable[str]) -> str:
    """Return a list of text literals."""
    return "[" + ", ".join(map(text, values)) + "]"


def comment(lines: Iterable[str]) -> list[str]:
    """Return comment lines. What cannot be seen is written out, so that it can neither hide nor end the comment."""
    shown = ("".join(one if one.isprintable() else ascii(one)[1:-1] for one in line) for line in lines)
    return [f"# {line}".rstrip() for line in shown]


def defines(line: str) -> bool:
    """Whether a line is more than a comment."""
    return not line.startswith("#")


class Names:
    """Gives out names for rules: each once, and none that is taken or that Polar keeps for itself."""

    def __init__(self, taken: Collection[str] = ()) -> None:
        self._taken = set(taken)

    def slug(self, written: str, otherwise: str) -> str:
        """Return a name that tells ``written`` as far as letters go; ``otherwise`` where it has none."""
        plain = re.sub(r"[^a-z0-9]+", "_", written.lower()).strip("_")[:40].strip("_")
        if not plain[:1].isalpha() or plain in RESERVED:
            plain = f"{otherwise}_{plain}".rstrip("_")
        name = next(one for one in self._candidates(plain) if one not in self._taken)
        self._taken.add(name)
        return name

    @staticmethod
    def _candidates(plain: str) -> Iterator[str]:
        yield plain
        yield from (f"{plain}_{number}" for number in count(2))


def simplified(condition: Condition) -> Condition:
    """Return the condition without parts that decide nothing; EVERYONE and NOBODY stand at the top or not at all."""
    match condition:
        case Not(part):
            inner = simplified(part)
            if inner in (EVERYONE, NOBODY):
                return NOBODY if inner == EVERYONE else EVERYONE
            return inner.part if isinstance(inner, Not) else Not(inner)
        case AnyOf(parts):
            return _joined(parts, AnyOf, neutral=NOBODY, decisive=EVERYONE)
        case AllOf(parts):
            return _joined(parts, AllOf, neutral=EVERYONE, decisive=NOBODY)
    return condition


def _joined(
    parts: Iterable[Condition], kind: type[AnyOf] | type[AllOf], neutral: Condition, decisive: Condition
) -> Condition:
    found: list[Condition] = []
    for part in map(simplified, parts):
        for one in part.parts if isinstance(part, kind) else (part,):
            if one == decisive:
                return decisive
            if one != neutral and one not in found:
                found.append(one)
    return found[0] if len(found) == 1 else kind(tuple(found))


def questions(condition: Condition) -> Iterator[Question]:
    """Yield what a condition asks."""
    match condition:
        case Ask(asked):
            yield asked
        case Not(part):
            yield from questions(part)
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from questions(part)


class Speaker:
    """Writes conditions about one type of resource.

    ``calls`` are conditions that have a rule of their own, and how that is called; ``roles`` are the rules for roles
    that may be the subject's or the service's.
    """

    def __init__(
        self,
        kind: str,
        variable: str,
        calls: Mapping[Condition, str] | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        self._kind = kind
        self._variable = variable
        self._calls = calls or {}
        self._roles = roles or {}

    def said(self, condition: Condition, *, within: str = "") -> str:
        """Return a simplified condition as text. ``within`` is the operator around it. Raises Unspeakable."""
        if condition in self._calls:
            return self._calls[condition]
        match condition:
            case Ask(asked):
                return self._asked(asked)
            case Not(part):
                inner = self.said(part)
                return f"not {inner}" if self._single(part) else f"not ({inner})"
            case AnyOf(parts):
                spoken = self.alternatives(parts)
                joined = " or ".join(spoken)
                return f"({joined})" if within == "and" and len(spoken) > 1 else joined
            case AllOf(parts):
                joined = " and ".join(self.said(part, within="and") for part in parts)
                return f"({joined})" if within == "or" else joined

    def alternatives(self, parts: Iterable[Condition]) -> list[str]:
        """Return the parts of an ``AnyOf``, each as text."""
        parts = tuple(parts)
        either = {_role(part, _USER) for part in parts} & {_role(part, _SERVICE) for part in parts}
        spoken: list[str] = []
        for part in parts:
            role = _role(part, _USER) or _role(part, _SERVICE)
            if role is not None and role in either and role in self._roles:
                said = f"{self._roles[role]}(subject)"
            else:
                said = self.said(part, within="or")
            if said not in spoken:
                spoken.append(said)
        return spoken

    def knows(self, condition: Condition) -> bool:
        """Whether a condition has a rule of its own."""
        return condition in self._calls

    def _single(self, part: Condition) -> bool:
        return isinstance(part, Ask) or part in self._calls

    def _asked(self, asked: Question) -> str:
        fact = asked.fact
        match asked.operator:
            case Operator.IS_TRUE:
                return self.fact(fact)
            case Operator.EQUALS:
                return f"{self.fact(fact)} = {self._operand(asked.operand)}"
            case Operator.HAS | Operator.HAS_FOLDED:
                owner, word = self._owner(fact)
                return f"{owner}.{word}({self._operand(asked.operand)})"
            case Operator.SHARED:
                owner, word = self._owner(fact)
                return f"{owner}.{word}(subject, {text(asked.status)})"
        raise Unspeakable(f"`{asked.phrase(self._kind)}` cannot be said in a rule")

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Of):
            return self.fact(operand.fact)
        if isinstance(operand, bool):
            return str(operand).lower()
        return text(operand) if isinstance(operand, str) else str(operand)

    def fact(self, fact: Fact) -> str:
        """Return how a rule writes a fact. Raises Unspeakable where this type of resource has none such."""
        written, kind = self._root(fact)
        rest = list(fact[1:])
        if kind == "Context":
            rest.insert(0, "context")
        while rest:
            if len(rest) == 3 and rest[1] == "get":
                self._word(kind, rest[0], Form.METHOD, "get")
                return f"{written}.get({text(rest[2])})"
            name, word = self._word(kind, rest.pop(0), Form.ATTRIBUTE)
            written, kind = f"{written}.{name}", word.target
        return written

    def _owner(self, fact: Fact) -> tuple[str, str]:
        """Return the object that has a set, and the method that asks it."""
        *way, last = fact
        written, kind = self._root(fact)
        for step in way[1:]:
            name, word = self._word(kind, step, Form.ATTRIBUTE)
            written, kind = f"{written}.{name}", word.target
        name, _ = self._word(kind, last, Form.METHOD)
        return written, name

    def _root(self, fact: Fact) -> tuple[str, str]:
        if fact[0] == "subject":
            return "subject", "Subject"
        if fact[:1] == RESOURCE:
            return self._variable, self._kind
        return "context", "Context"

    def _word(self, kind: str, field: str, form: Form, method: str = "") -> tuple[str, Word]:
        for name, word in TYPES.get(kind, {}).items():
            keyed = word.kind is Kind.ANY and word.form is Form.METHOD
            if word.field == field and word.form is form and (name == "get" if method else not keyed):
                return name, word
        raise Unspeakable(f"a rule about a {kind} cannot ask for `{field}`")


def either_role(condition: Condition) -> Iterator[str]:
    """Yield the roles that may be the subject's or the service's."""
    match condition:
        case AnyOf(parts):
            both = {_role(part, _USER) for part in parts} & {_role(part, _SERVICE) for part in parts}
            yield from (role for role in dict.fromkeys(_role(part, _USER) for part in parts) if role and role in both)
            for part in parts:
                yield from either_role(part)
        case AllOf(parts):
            for part in parts:
                yield from either_role(part)
        case Not(part):
            yield from either_role(part)


def _role(part: Condition, fact: Fact) -> str | None:
    """Return the role that a part asks for among ``fact``, None for any other question."""
    if isinstance(part, Ask) and part.question.operator is Operator.HAS_FOLDED and part.question.fact == fact:
        return part.question.operand if isinstance(part.question.operand, str) else None
    return None


def rule(head: str, condition: Condition, speaker: Speaker, first: str = "") -> list[str]:
    """Return the lines of a rule, or of one for each alternative: ``head`` if ``first`` and the condition.

    No line for what is nobody's.
    """
    condition = simplified(condition)
    if condition == NOBODY:
        return []
    parts = [first] if first else []
    if condition == EVERYONE:
        return clause(head, parts)
    known = speaker.knows(condition)
    if isinstance(condition, AllOf) and not known:
        return clause(head, [*parts, *(speaker.said(one, within="and") for one in condition.parts)])
    whole = clause(head, [*parts, speaker.said(condition, within="and" if first else "")])
    if not isinstance(condition, AnyOf) or known or max(map(len, whole)) <= _WIDTH:
        return whole
    if any(True for _ in either_role(condition)):
        return [line for spoken in speaker.alternatives(condition.parts) for line in clause(head, [*parts, spoken])]
    return [line for part in condition.parts for line in rule(head, part, speaker, first)]


def clause(head: str, parts: Sequence[str]) -> list[str]:
    """Return a rule whose conditions all must hold, on one line where it fits.

    A parameter that no condition needs is marked as such.
    """
    needed = set(_WORD.findall(_QUOTED.sub("", " ".join(parts))))
    name, opening, rest = head.partition("(")
    head = name + opening + _PARAMETER.sub(lambda one: one[0] if one[0] in needed else f"_{one[0]}", rest)
    if not parts:
        return [f"{head};"]
    whole = f"{head} if {' and '.join(parts)};"
    if len(whole) <= _WIDTH:
        return [whole]
    lines = [f"    {line}" for part in map(_wrapped, parts) for line in f"{part} and".split("\n")]
    return [f"{head} if", *lines[:-1], lines[-1].removesuffix(" and") + ";"]


def _wrapped(part: str) -> str:
    """Return a condition in brackets with a line for each alternative, where it is long."""
    if len(part) <= _WIDTH or not part.startswith("("):
        return part
    plain = _QUOTED.sub(lambda one: "." * len(one[0]), part)
    depths = list(accumulate({"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0) for letter in plain))
    ends = [found.start() for found in re.finditer(" or ", plain) if depths[found.start()] == 1]
    starts = [1, *(end + len(" or ") for end in ends)]
    alternatives = [part[start:end] for start, end in zip(starts, [*ends, len(part) - 1], strict=True)]
    return "(\n    " + " or\n    ".join(alternatives) + "\n)"
