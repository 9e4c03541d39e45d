"""What is wrong with a policy, as far as its text tells: all of it at once, each with its place.

Oso reports one error per load, silently accepts calls of the wrong arity, and lets a rule reach any attribute of
Python. So everything is checked here first; the interview then meets sound text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import re2

from protect.errors import Problem
from protect.polar.marks import MARK
from protect.polar.syntax import (
    Block,
    Call,
    Dictionary,
    Dot,
    InlineQuery,
    List,
    Literal,
    New,
    Operation,
    Parameter,
    Pattern,
    Rule,
    Span,
    Statement,
    Term,
    TypeDeclaration,
    Variable,
    walk,
)
from protect.policy.questions import compiled
from protect.policy.vocabulary import CONTEXT, RESOURCES, TYPES, Form, Kind, Word
from protect.spelling import nearest

#: Entry points: the names by which the service asks, each with the types its arguments can have.
ENTRY_POINTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "allow": (("Subject",), ("String",), RESOURCES),
    "forbid": (("Subject",), ("String",), RESOURCES),
    "discard": (("Subject",), ("String",), ("Property",)),
}

#: Types of plain values, which helper rules may ask for.
PLAIN_TYPES = ("String", "Integer", "Float", "Boolean", "List", "Dictionary")

#: Resource blocks define these; Polar gives them a meaning of their own.
BLOCK_RULES = {"has_permission": 3, "has_role": 3, "has_relation": 3}

#: No fact is further away: `property.image.owner` is two hops.
MOST_HOPS = 4

_ORDERINGS = ("<", "<=", ">", ">=")
_ARITHMETIC = ("+", "-", "*", "/", "mod", "rem")
_EQUALITIES = ("=", ":=", "==", "!=")

_HOW_TO_WRITE = {Kind.TEXT: "it in double quotes", Kind.NUMBER: "a number, without quotes"}

_REFUSED = {
    "cut": "`cut` makes a decision depend on the order of the rules; write the condition into the rules",
    "debug": "`debug` stops the service to wait for a terminal; use `Policy.explain`",
    "print": "`print` writes what it is given to the log of the service; use `Policy.explain`",
}


def problems(
    statements: Sequence[Statement], file: str, *, complete: bool = True, beside: bool = False
) -> list[Problem]:
    """Return every problem of the statements of all files together, in the order of the text.

    ``file`` is the one to name for what is wrong with the whole.
    ``complete`` is False where syntax errors hide a part of the policy: then nothing is said of missing rules.
    ``beside`` tells that something else allows what is not forbidden here.
    """
    arities = _arities(statements)
    found: list[Problem] = []
    for statement in statements:
        found.extend(_Checker(arities, complete).statement(statement))
    if complete and not allows(statements):
        if not beside:
            how = "write one: allow(subject, action, resource) if …;"
            found.append(Problem(file, 0, 0, "no `allow` rule, so nobody could do anything", how))
        elif not any(isinstance(each, Rule) and each.name in ENTRY_POINTS for each in statements):
            how = "write one, or leave the file out"
            found.append(Problem(file, 0, 0, "no `allow`, `forbid` or `discard` rule, so nothing is added", how))
    return found


def allows(statements: Iterable[Statement]) -> bool:
    """Tell whether one of the statements is an `allow` rule, whether it ever holds or not."""
    return any(isinstance(each, Rule) and each.name == "allow" for each in statements)


def _arities(statements: Iterable[Statement]) -> dict[str, dict[int, Span]]:
    """Return the number of arguments each rule is defined with, and where."""
    arities: dict[str, dict[int, Span]] = {}
    for statement in statements:
        if isinstance(statement, Rule):
            arities.setdefault(statement.name, {}).setdefault(len(statement.parameters), statement.name_span)
        if isinstance(statement, Block):
            for name, arity in BLOCK_RULES.items():
                arities.setdefault(name, {}).setdefault(arity, statement.name_span)
    return arities


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean …`` where a known word is near, else the known words."""
    words = sorted(known)
    near = nearest(word, words)
    return f"did you mean `{near}`?" if near else f"known: {', '.join(words)}"


@dataclass(slots=True)
class _Checker:
    """Checks one statement. ``types`` are the types that its variables are known to have."""

    arities: Mapping[str, Mapping[int, Span]]
    complete: bool = True
    types: dict[str, str] = field(default_factory=dict)

    def statement(self, statement: Statement) -> Iterator[Problem]:
        terms = list(walk(statement))
        match statement:
            case Rule():
                self._learn(statement)
                if statement.name in ENTRY_POINTS:
                    yield from _entry_point(statement)
                    yield from _taken(statement)
                for parameter in statement.parameters:
                    yield from self._parameter(parameter)
                yield from _singletons(statement, terms)
                if statement.body is not None:
                    yield from self._condition(statement.body)
            case TypeDeclaration():
                for parameter in statement.parameters:
                    yield from self._parameter(parameter)
            case Block():
                if statement.name not in TYPES or statement.name == "Context":
                    yield _problem(
                        statement.name_span, f"unknown type `{statement.name}`", suggestion(statement.name, _types())
                    )
                return
            case InlineQuery():
                pass
        for term in terms:
            yield from self._term(term)

    def _learn(self, rule: Rule) -> None:
        entry = ENTRY_POINTS.get(rule.name, ())
        for index, parameter in enumerate(rule.parameters):
            if isinstance(parameter.term, Variable):
                if isinstance(parameter.specializer, Pattern) and parameter.specializer.name:
                    self.types[parameter.term.name] = parameter.specializer.name
                elif index < len(entry) and len(entry[index]) == 1:
                    self.types[parameter.term.name] = entry[index][0]

    def _condition(self, term: Term) -> Iterator[Problem]:
        """Check a term that stands for a yes or a no by itself."""
        if isinstance(term, Operation) and term.operator in ("and", "or", "not", "forall"):
            for operand in term.operands:
                yield from self._condition(operand)
        elif isinstance(term, Dot) and (kind := self._kind(term)) in (Kind.TEXT, Kind.NUMBER, Kind.ANY):
            yield _problem(
                term.span, f"{_written(term)} is {kind}, no condition by itself", "compare it with something"
            )

    def _parameter(self, parameter: Parameter) -> Iterator[Problem]:
        if isinstance(parameter.specializer, Pattern):
            yield from self._pattern(parameter.specializer)

    def _pattern(self, pattern: Pattern) -> Iterator[Problem]:
        known = (*_types(), *PLAIN_TYPES, "Actor")
        if pattern.name is not None and pattern.name not in known:
            yield _problem(pattern.name_span, f"unknown type `{pattern.name}`", suggestion(pattern.name, known))
            return
        for name, value in pattern.fields.fields if pattern.fields else ():
            yield from self._word(pattern.name, name, None, value.span)

    def _term(self, term: Term) -> Iterator[Problem]:
        match term:
            case Variable():
                yield from _variable(term)
            case Dot():
                yield from self._dot(term)
            case Call():
                yield from self._call(term)
            case New():
                yield _problem(
                    term.span, "`new` makes objects, and a rule only asks", "pass on the subject and the resource"
                )
            case Operation():
                yield from self._operation(term)

    def _dot(self, dot: Dot) -> Iterator[Problem]:
        attribute = dot.attribute
        if isinstance(attribute, Literal) and isinstance(attribute.value, str):
            attribute = attribute.value
        if not isinstance(attribute, str):
            yield _problem(dot.attribute_span, "the word behind a dot must be written out", "write `image.owner`")
            return
        base = self._type(dot.base)
        if base is not None and base != "" and base not in TYPES:
            return  # the unknown type is a problem of its own
        if base == "" and isinstance(dot.base, Dot) and self._type(dot.base.base) == "":
            return  # said of the word before already
        if base == "":
            yield _problem(
                dot.attribute_span,
                f"`{attribute}` is asked of something that has no attributes",
                "only the subject, the resource, an image behind one, and `context` have attributes",
            )
            return
        yield from self._word(base, attribute, dot, dot.attribute_span)

    def _word(self, base: str | None, attribute: str, dot: Dot | None, span: Span) -> Iterator[Problem]:
        """Check one word after a dot. ``base`` is the type, or None where it is not known."""
        words = {name: word for name in ([base] if base else TYPES) for name, word in TYPES.get(name, {}).items()}
        word = words.get(attribute)
        if word is None:
            owner = f"{base} has no `{attribute}`" if base else f"`{attribute}` is not in the vocabulary"
            yield _problem(span, owner, suggestion(attribute, words))
            return
        if dot is None or dot.arguments is None:
            if word.form is Form.METHOD:
                yield _problem(span, f"`{attribute}` must be called", f"write `{word.usage}`")
            return
        if word.form is Form.ATTRIBUTE:
            yield _problem(span, f"`{attribute}` is a fact and cannot be called", f"write `{word.usage}`")
            return
        yield from _arguments(attribute, word, dot)

    def _type(self, term: Term, hops: int = 0) -> str | None:
        """Return the type of a term, None where it is not known, empty where it can have no attributes."""
        if hops > MOST_HOPS:
            return ""
        if isinstance(term, Variable):
            if term.name == CONTEXT and term.name not in self.types:
                return "Context"
            known = self.types.get(term.name)
            return "" if known in PLAIN_TYPES else None if known == "Actor" else known
        if isinstance(term, Dot) and isinstance(term.attribute, str):
            base = self._type(term.base, hops + 1)
            words = TYPES.get(base, {}) if base else {"image": Word("image", Kind.OBJECT, "", target="Image")}
            word = words.get(term.attribute)
            return word.target if word else ""
        return ""

    def _call(self, call: Call) -> Iterator[Problem]:
        defined = self.arities.get(call.name)
        if defined is None:
            if self.complete:
                yield _problem(call.span, f"no rule is called `{call.name}`", suggestion(call.name, self.arities))
            return
        if self.complete and len(call.arguments) not in defined:
            arity, span = next(iter(defined.items()))
            yield _problem(
                call.span,
                f"`{call.name}` is asked with {len(call.arguments)} arguments",
                f"it is defined with {arity}, at {span.file}:{span.line}",
            )

    def _operation(self, operation: Operation) -> Iterator[Problem]:
        operator, operands = operation.operator, operation.operands
        if operator in _REFUSED:
            yield _problem(operation.span, f"`{operator}` is not allowed in a policy", _REFUSED[operator])
        elif operator == "in" and not isinstance(operands[1], List):
            # Polar looks for a text inside another by itself, without a question, and a name can be a stand-in.
            yield _problem(
                operands[1].span,
                "the right side of `in` must be a list written in place",
                'write `x in ["a", "b"]`, or one fact for each: `listed("a"); listed("b");`',
            )
        elif operator in _ORDERINGS:
            yield from self._ordering(operation)
        elif operator in _ARITHMETIC:
            for operand in operands:
                if isinstance(operand, Dot):
                    yield _problem(operand.span, "facts cannot be calculated with", "compare the fact with a number")
        elif operator in _EQUALITIES:
            yield from self._equality(operation)
        elif operator == "matches" and isinstance(operands[1], Pattern):
            yield from self._matches(operands[1])

    def _ordering(self, operation: Operation) -> Iterator[Problem]:
        for operand in operation.operands:
            if self._kind(operand) is Kind.TEXT or (isinstance(operand, Literal) and not _is_number_literal(operand)):
                yield _problem(operand.span, f"`{operation.operator}` compares numbers, and this is none", "use `=`")
                return
        # Polar orders two texts by itself, without a question, so one side has to be a number beyond doubt.
        if not any(self._is_number(operand) for operand in operation.operands):
            yield _problem(
                operation.span,
                f"`{operation.operator}` compares numbers, and neither side is one for certain",
                "put a number or a fact like `image.size` on one side",
            )

    def _matches(self, pattern: Pattern) -> Iterator[Problem]:
        if pattern.name in PLAIN_TYPES:
            yield _problem(pattern.name_span, f"nothing here is a `{pattern.name}`", "compare the fact with a value")
            return
        yield from self._pattern(pattern)

    def _equality(self, operation: Operation) -> Iterator[Problem]:
        left, right = operation.operands
        for fact, literal in ((left, right), (right, left)):
            kind = self._kind(fact)
            if isinstance(literal, Literal) and kind in (Kind.TEXT, Kind.NUMBER):
                matches = isinstance(literal.value, str) if kind is Kind.TEXT else _is_number_literal(literal)
                if not matches:
                    yield _problem(
                        literal.span, f"{_written(fact)} is {kind}, so it never equals this", f"write {kind}"
                    )

    def _kind(self, term: Term) -> Kind | None:
        if not isinstance(term, Dot) or not isinstance(term.attribute, str):
            return None
        base = self._type(term.base)
        if base:
            word = TYPES.get(base, {}).get(term.attribute)
            return word.kind if word and (word.form is Form.ATTRIBUTE or term.attribute == "get") else None
        kinds = {word.kind for words in TYPES.values() for name, word in words.items() if name == term.attribute}
        return kinds.pop() if len(kinds) == 1 and term.arguments is None else None

    def _is_number(self, term: Term) -> bool:
        if isinstance(term, Literal):
            return _is_number_literal(term)
        return isinstance(term, Dot) and (
            self._kind(term) in (Kind.NUMBER, Kind.ANY) or term.attribute in ("get", "value")
        )


def _types() -> tuple[str, ...]:
    return tuple(name for name in TYPES if name != "Context")


def _is_number_literal(term: Literal) -> bool:
    return isinstance(term.value, int | float) and not isinstance(term.value, bool)


def _written(term: Term) -> str:
    if isinstance(term, Dot):
        return f"`{_bare(term)}`"
    return "this"


def _bare(term: Term) -> str:
    if isinstance(term, Dot) and isinstance(term.attribute, str):
        return f"{_bare(term.base)}.{term.attribute}"
    return term.name if isinstance(term, Variable) else "…"


def _problem(span: Span, message: str, help: str = "") -> Problem:
    return Problem(span.file, span.line, span.column, message, help)


def _entry_point(rule: Rule) -> Iterator[Problem]:
    expected = ENTRY_POINTS[rule.name]
    names = {"allow": "resource", "forbid": "resource", "discard": "property: Property"}
    usage = f"write {rule.name}(subject: Subject, action, {names[rule.name]}) if …;"
    if len(rule.parameters) != len(expected):
        yield _problem(rule.name_span, f"`{rule.name}` has {len(rule.parameters)} parameters, not 3", usage)
        return
    for parameter, types in zip(rule.parameters, expected, strict=True):
        specializer = parameter.specializer
        if isinstance(specializer, Pattern) and specializer.name and specializer.name in (*_types(), *PLAIN_TYPES):
            if specializer.name not in types:
                yield _problem(
                    specializer.name_span,
                    f"this parameter of `{rule.name}` is never a `{specializer.name}`, so the rule never holds",
                    usage,
                )
        elif isinstance(specializer, Literal | List):
            yield _problem(parameter.span, "a parameter's type must be a type", usage)
    if isinstance(rule.parameters[1].term, Literal) and not isinstance(rule.parameters[1].term.value, str):
        yield _problem(rule.parameters[1].span, "an action is text", 'write it in double quotes: "get_image"')


def _singletons(rule: Rule, terms: Iterable[Term]) -> Iterator[Problem]:
    counts: Counter[str] = Counter()
    first: dict[str, Span] = {}
    for term in terms:
        if isinstance(term, Variable):
            counts[term.name] += 1
            first.setdefault(term.name, term.span)
    for name, count in counts.items():
        if count == 1 and not name.startswith("_") and not _is_constant(name):
            yield _problem(
                first[name],
                f"`{name}` occurs only once in this rule",
                f"write `_{name}` if that is meant; else it is misspelt",
            )


#: What stands for a value of its own in Oso, also in a head: a parameter of that name takes nothing else.
_CONSTANTS = (CONTEXT, "Datetime", "Timedelta")


def _is_constant(name: str) -> bool:
    return name in (CONTEXT, MARK, "nil", "Actor", *TYPES, *PLAIN_TYPES)


def _taken(rule: Rule) -> Iterator[Problem]:
    for parameter in rule.parameters:
        if isinstance(parameter.term, Variable) and parameter.term.name in _CONSTANTS:
            name = parameter.term.name
            # It equals nothing that anybody asks about, so the rule would never hold, and a `forbid` forbid nothing.
            yield _problem(parameter.term.span, f"the name `{name}` is taken", "use another")


def _variable(variable: Variable) -> Iterator[Problem]:
    if variable.name == "nil":
        yield _problem(
            variable.span,
            "nothing equals nothing, so a comparison with `nil` never holds",
            'ask `image.has_property("x")`, or compare with a value',
        )
    elif variable.name == MARK:
        yield _problem(variable.span, f"the name `{MARK}` is taken", "use another")
    elif variable.name != CONTEXT and _is_constant(variable.name):
        yield _problem(
            variable.span, f"`{variable.name}` is a type, not a value", "types stand behind a colon or `matches`"
        )


def _arguments(attribute: str, word: Word, dot: Dot) -> Iterator[Problem]:
    arguments = dot.arguments or ()
    allowed = (1, 2) if word.kind is Kind.MEMBERS else (1,)
    if len(arguments) not in allowed or dot.keywords:
        yield _problem(dot.attribute_span, f"`{attribute}` takes one argument", f"write `{word.usage}`")
        return
    argument = arguments[0]
    if isinstance(argument, Literal | List | Dictionary) and word.kind is Kind.MEMBERS:
        yield _problem(argument.span, f"`{attribute}` takes the subject", f"write `{word.usage}`")
    elif isinstance(argument, Literal) and not isinstance(argument.value, str):
        yield _problem(argument.span, f"`{attribute}` takes text", f"write `{word.usage}`")
    elif attribute == "matches" and isinstance(argument, Literal):
        try:
            compiled(str(argument.value))
        except re2.error as error:
            detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
            yield _problem(
                argument.span,
                f"this regular expression is not usable: {detail}",
                "RE2's syntax is accepted: no look-around, no back-references",
            )
