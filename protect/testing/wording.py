"""Conditions of invariants: written as rules write them, read without Oso.

``subject.has_role("reader") and image.owner = subject.tenant`` asks the words of the vocabulary, joined by `and`, `or`,
`not` and brackets. The names in it are ``subject``, ``context``, and the resource by its type (``image``, ``property``,
…) or as ``resource``. The policy's own helper rules are not known here: a condition that came from the policy could not
catch the policy's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from protect.errors import Problem
from protect.polar.check import problems
from protect.polar.parser import parse
from protect.polar.syntax import Call, Dot, List, Literal, Operation, Rule, Statement, Term, Variable, walk
from protect.policy.questions import Of, Operator, question
from protect.policy.vocabulary import CONTEXT, NAME, TYPES, Fact, Form, Kind, Word
from protect.protections.conditions import EVERYONE, NOBODY, AllOf, AnyOf, Ask, Condition, Not
from protect.testing.documents import Node

_WITH_LITERAL = {"<": Operator.LESS, "<=": Operator.AT_MOST, ">": Operator.MORE, ">=": Operator.AT_LEAST}
_SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MEMBER_STATUSES = ("accepted", "pending", "rejected")


class _Unsaid(Exception):
    """A term that no condition can be made of."""

    def __init__(self, term: Term, message: str, help: str = "") -> None:
        self.term = term
        self.message = message
        self.help = help


def condition(node: Node, kind: str) -> tuple[Condition, str] | None:
    """Return the condition that the node says about a ``kind``, and its text; None where it has mistakes."""
    text = node.text("a condition")
    if text is None:
        return None
    resource = {kind.lower(): kind, "resource": kind}
    head = f"condition({', '.join(f'{name}: {of}' for name, of in {'subject': 'Subject', **resource}.items())}) if "
    place = _Place(node, text, len(head))
    statements, found = parse(f"{head}{text}\n;", node.mistakes.file)
    rule = statements[0] if len(statements) == 1 else None
    if not found and isinstance(rule, Rule) and rule.body is not None:
        found = list(_checked(rule))
    elif not found:
        node.mistake("one condition is meant here", "join conditions with `and` or `or`, and write no `;`")
        return None
    for problem in found:
        place.mistake(problem.line, problem.column, problem.message, problem.help)
    if found:
        return None
    assert isinstance(rule, Rule) and rule.body is not None
    try:
        said = _Reader({"subject": "Subject", **resource}).condition(rule.body)
    except _Unsaid as error:
        place.mistake(error.term.span.line, error.term.span.column, error.message, error.help)
        return None
    return said, " ".join(text.split())


class _Place:
    """Where a place of the condition is in the test file."""

    def __init__(self, node: Node, text: str, head: int) -> None:
        self._node = node
        self._lines = text.split("\n")
        self._head = head

    def mistake(self, line: int, column: int, message: str, help: str) -> None:
        """Note a mistake at a place of the rule that was made of the condition."""
        if line > len(self._lines):
            line, message = len(self._lines), message.replace("found `;`", "and the condition ends here")
            column = len(self._lines[-1]) + 1 + (self._head if line == 1 else 0)
        offset = column - 1 - (self._head if line == 1 else 0)
        style = self._node.raw.style
        start, end = self._node.raw.start_mark, self._node.raw.end_mark
        mistakes = self._node.mistakes
        if style == "|":
            indent = _indent(mistakes.lines, start.line + line)
            mistakes.add(start.line + 1 + line, indent + max(offset, 0) + 1, message, help)
        elif start.line == end.line and offset >= 0 and line == 1:
            mistakes.add(start.line + 1, start.column + 1 + offset + (style is not None), message, help)
        else:
            self._node.mistake(message, help)


def _indent(lines: list[str], index: int) -> int:
    line = lines[index] if index < len(lines) else ""
    return len(line) - len(line.lstrip())


def _checked(rule: Rule) -> Iterator[Problem]:
    """Yield what is wrong with the words of the condition."""
    assert rule.body is not None
    used = {term.name for term in walk(rule.body) if isinstance(term, Variable)}
    # A name that the condition does not use would be one that occurs only once.
    parameters = tuple(one for one in rule.parameters if isinstance(one.term, Variable) and one.term.name in used)
    statement: Statement = replace(rule, parameters=parameters)
    for problem in problems([statement], rule.span.file, complete=False):
        # A name that is not known is said by whoever reads the condition, with the names that are.
        if " occurs only once in this rule" not in problem.message:
            yield problem


class _Reader:
    """Makes conditions of terms. ``names`` are the objects that a condition can speak of, each with its type."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def condition(self, term: Term) -> Condition:
        match term:
            case Literal(value=bool() as value):
                return EVERYONE if value else NOBODY
            case Operation(operator="and"):
                return AllOf(tuple(map(self.condition, term.operands)))
            case Operation(operator="or"):
                return AnyOf(tuple(map(self.condition, term.operands)))
            case Operation(operator="not"):
                return Not(self.condition(term.operands[0]))
            case Operation(operator="=" | "==" | ":="):
                return self._equal(term.operands[0], term.operands[1])
            case Operation(operator="!="):
                return Not(self._equal(term.operands[0], term.operands[1]))
            case Operation(operator="<" | "<=" | ">" | ">="):
                return self._ordered(term)
            case Operation(operator="in"):
                listed = term.operands[1]
                if not isinstance(listed, List) or listed.rest is not None:
                    raise _Unsaid(listed, "the right side of `in` is a list", 'write `["a", "b"]`')
                return AnyOf(tuple(self._equal(term.operands[0], item) for item in listed.items))
            case Dot():
                return self._asked(term)
            case Call():
                help = "write what it asks: a condition that came from the policy could not catch its mistakes"
                raise _Unsaid(term, f"`{term.name}` is no word of the vocabulary", help)
        raise _Unsaid(term, "this is no condition", 'such as `subject.has_role("admin")` or `image.size > 10`')

    def _equal(self, left: Term, right: Term) -> Condition:
        if isinstance(left, Literal):
            left, right = right, left
        fact, kind = self._fact(left)
        if isinstance(right, Literal):
            if kind is not Kind.TRUTH:
                return Ask(question(Operator.EQUALS, fact, right.value))
            asked = Ask(question(Operator.IS_TRUE, fact))
            if not isinstance(right.value, bool):
                raise _Unsaid(right, "this never equals true or false")
            return asked if right.value else Not(asked)
        other, other_kind = self._fact(right)
        if Kind.TRUTH in (kind, other_kind):
            raise _Unsaid(right, "facts that are true or false are not compared with each other", "join them instead")
        return Ask(question(Operator.EQUALS, fact, Of(other)))

    def _ordered(self, term: Operation) -> Condition:
        left, right = term.operands
        operator = term.operator
        if isinstance(left, Literal):
            left, right, operator = right, left, _SWAPPED[operator]
        fact, _ = self._fact(left)
        if isinstance(right, Literal):
            return Ask(question(_WITH_LITERAL[operator], fact, right.value))
        other, _ = self._fact(right)
        if operator in (">", ">="):
            fact, other, operator = other, fact, _SWAPPED[operator]
        return Ask(question(_WITH_LITERAL[operator], fact, Of(other)))

    def _asked(self, dot: Dot) -> Condition:
        """Return what a dot asks by itself."""
        where, word = self._word(dot)
        fact = (*where, word.field)
        if word.kind is Kind.TRUTH:
            return Ask(question(Operator.IS_TRUE, fact))
        arguments = dot.arguments or ()
        if word.kind is Kind.MEMBERS:
            return self._shared(dot, fact)
        if word.kind is Kind.SET:
            operator = Operator.HAS_FOLDED if word.folded else Operator.HAS
            item = arguments[0]
            if isinstance(item, Literal):
                text = str(item.value)
                return Ask(question(operator, fact, text.lower() if word.folded else text))
            return Ask(question(operator, fact, Of(self._fact(item)[0])))
        if dot.attribute == "matches" and isinstance(arguments[0], Literal):
            return Ask(question(Operator.MATCHES, NAME, str(arguments[0].value)))
        raise _Unsaid(dot, "this is no condition by itself", "compare it with something")

    def _shared(self, dot: Dot, fact: Fact) -> Condition:
        subject, *rest = dot.arguments or ()
        if not isinstance(subject, Variable) or self._names.get(subject.name) != "Subject":
            raise _Unsaid(dot, "`shared_with` takes the subject", "write `image.shared_with(subject)`")
        status = rest[0].value if rest and isinstance(rest[0], Literal) else "accepted"
        if status not in _MEMBER_STATUSES:
            raise _Unsaid(dot, "`shared_with` takes a status", f"accepted: {', '.join(_MEMBER_STATUSES)}")
        return Ask(question(Operator.SHARED, fact, Of(("subject", "tenant")), str(status)))

    def _fact(self, term: Term) -> tuple[Fact, Kind]:
        """Return the fact that a term names, and what it holds."""
        if not isinstance(term, Dot):
            raise _Unsaid(term, "one side must be a fact", "such as `image.owner` or `subject.tenant`")
        where, word = self._word(term)
        if word.form is Form.METHOD:
            key = (term.arguments or (None,))[0]
            if term.attribute != "get" or not isinstance(key, Literal):
                raise _Unsaid(term, "this is not compared", f"write `{word.usage}` as a condition by itself")
            # The circumstances are the mapping itself; others have one in a field.
            return (*where, *(() if where == (CONTEXT,) else (word.field,)), "get", str(key.value)), word.kind
        if word.kind is Kind.OBJECT:
            raise _Unsaid(term, "this is an object, no fact", "ask one of its facts, such as `.owner`")
        return (*where, word.field), word.kind

    def _word(self, dot: Dot) -> tuple[Fact, Word]:
        kind, where = self._object(dot.base)
        word = TYPES[kind].get(str(dot.attribute))
        if word is None:
            raise _Unsaid(dot, f"{kind} has no such word")
        return where, word

    def _object(self, term: Term) -> tuple[str, Fact]:
        """Return the type of the object that a term names, and the way to it."""
        if isinstance(term, Variable):
            if term.name == CONTEXT:
                return "Context", (CONTEXT,)
            if term.name in self._names:
                kind = self._names[term.name]
                return kind, ("subject",) if kind == "Subject" else ("resource",)
            known = [f"`{name}`" for name in (*self._names, CONTEXT)]
            raise _Unsaid(term, f"`{term.name}` is nothing here", f"known: {', '.join(known)}")
        if isinstance(term, Dot):
            where, word = self._word(term)
            if word.kind is Kind.OBJECT:
                return word.target, (*where, word.field)
        raise _Unsaid(term, "this has no facts", "such as `image.owner` or `subject.tenant`")
