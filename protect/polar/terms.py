"""Terms: what stands between the operators of an expression, and the patterns that terms are matched with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from protect.polar.expressions import Expressions
from protect.polar.syntax import (
    Call,
    Dictionary,
    Dot,
    List,
    Literal,
    New,
    Operation,
    Pattern,
    Term,
    Variable,
)
from protect.polar.tokens import RESERVED, Token, quoted

#: Reserved words that Oso takes as an attribute, a key or the name of an argument nevertheless.
_KEYS: Final = (RESERVED - {"false", "inf", "isa", "mod", "nan", "rem", "true"}) | {"name"}

_CONSTANTS: Final[dict[str, bool | float]] = {
    "true": True,
    "false": False,
    "inf": float("inf"),
    # One object for all, because a NaN equals nothing but itself.
    "nan": float("nan"),
}
_STRAY_PAIRS: Final = {
    ("<", ">"): "write `!=`",
    ("=", ">"): "write `>=`",
    ("=", "<"): "write `<=`",
    ("==", "="): "write `==`",
}


class Terms(Expressions):
    """Reads terms: constants, names, collections, calls, lookups, patterns."""

    def _operand(self, pattern: bool) -> Term:
        """Read a primary with the lookups behind it."""
        start = self._tokens[self._index]
        term = self._primary(pattern)
        while self._kinds[self._index] == ".":
            self._require_value(term)
            self._index += 1
            term = self._lookup(start, term)
        return term

    def _lookup(self, start: Token, base: Term) -> Dot:
        token = self._tokens[self._index]
        if token[0] == "(":
            return self._bracketed_lookup(start, base)
        if token[0] not in _KEYS:
            if token[0] in RESERVED:
                self._reserved("an attribute", f'write `.("{token[1]}")`')
            self._fail("the name of an attribute after `.`")
        self._index += 1
        arguments: tuple[Term, ...] | None = None
        keywords: tuple[tuple[str, Term], ...] = ()
        if self._kinds[self._index] == "(":
            arguments, keywords = self._arguments()
        span = self._span(start, self._end())
        return Dot(base, token[1], arguments, keywords, span, self._span(token, token[3]))

    def _bracketed_lookup(self, start: Token, base: Term) -> Dot:
        opening = self._open()
        token = self._tokens[self._index]
        if token[0] not in ("string", "name"):
            self._fail("a string or a variable", 'such as `x.("name")` or `x.(name)`')
        self._index += 1
        span = self._span(token, token[3])
        attribute: Term = Variable(token[1], span) if token[0] == "name" else Literal(token[1][1:-1], span)
        self._close(opening, "`)`")
        return Dot(base, attribute, None, (), self._span(start, self._end()), attribute.span)

    def _primary(self, pattern: bool) -> Term:
        """Read what an expression is made of. In a pattern that is data, and a name with braces is a pattern."""
        token = self._tokens[self._index]
        kind = token[0]
        if kind == "name":
            following = self._kinds[self._index + 1]
            if following == "(" and not pattern:
                return self._call()
            if following == "{" and pattern:
                return self._pattern()
            self._index += 1
            return Variable(token[1], self._span(token, token[3]))
        if kind == "string":
            self._index += 1
            return Literal(token[1][1:-1], self._span(token, token[3]))
        if kind in ("number", "+", "-"):
            return self._number()
        if kind in _CONSTANTS:
            self._index += 1
            return Literal(_CONSTANTS[kind], self._span(token, token[3]))
        if kind == "[":
            return self._list(pattern)
        if kind == "{":
            return self._pattern() if pattern else self._dictionary()
        if kind == "(":
            return self._bracket(pattern)
        if not pattern:
            return self._keyword()
        if kind in RESERVED:
            self._fail("a value in the pattern", "a pattern is made of values and other patterns")
        self._fail("a value")

    def _keyword(self) -> Term:
        """Read what a reserved word begins."""
        token = self._tokens[self._index]
        kind = token[0]
        if kind == "new":
            return self._new()
        if kind == "cut":
            self._index += 1
            return Operation("cut", (), self._span(token, token[3]))
        if kind == "forall":
            return self._forall()
        if kind in ("print", "debug"):
            return self._output()
        if kind in RESERVED and kind not in ("and", "or", "not", "if", "in", "matches"):
            self._reserved("a variable")
        before = self._kinds[self._index - 1]
        if kind == "not":
            self._fail("a value", "put brackets around a `not` that stands inside another expression")
        self._fail("a value", _STRAY_PAIRS.get((before, kind), ""))

    def _number(self) -> Literal:
        start = self._tokens[self._index]
        sign = start[0] if start[0] in ("+", "-") else ""
        if sign:
            self._index += 1
        token = self._tokens[self._index]
        self._index += 1
        value: int | float
        if token[0] == "number":
            value = int(token[1]) if token[1].isdecimal() else float(token[1])
        elif token[0] in ("inf", "nan"):
            value = _CONSTANTS[token[0]]
        else:
            self._index -= 1
            self._fail(f"a number after `{sign}`", "a sign stands before a number only; write `0 - x`")
        if sign == "-" and token[0] != "nan":
            value = -value
        return Literal(value, self._span(start, token[3]))

    def _bracket(self, pattern: bool) -> Term:
        opening = self._open()
        term = self._value(True) if pattern else self._expression()
        self._close(opening, "`)`")
        return term

    def _list(self, pattern: bool) -> List:
        opening = self._open()
        items: list[Term] = []
        rest = None
        while self._kinds[self._index] != "]":
            if self._kinds[self._index] == "*":
                rest = self._rest()
                break
            items.append(self._value(pattern))
            if not self._commas():
                break
        self._close(opening, "`,` or `]`")
        return List(tuple(items), rest, self._span(opening, self._end()))

    def _rest(self) -> Variable:
        self._index += 1
        name = self._name("a variable")
        if self._kinds[self._index] != "]":
            self._fail("`]`", f"the rest of a list, `*{name[1]}`, comes last")
        return Variable(name[1], self._span(name, name[3]))

    def _dictionary(self) -> Dictionary:
        return self._fields(self._value)

    def _fields(self, read: Callable[[], Term]) -> Dictionary:
        opening = self._open()
        fields: list[tuple[str, Term]] = []
        keys: set[str] = set()
        while self._kinds[self._index] != "}":
            key = self._key(keys)
            if self._kinds[self._index] == ":":
                self._index += 1
                fields.append((key[1], read()))
            elif key[0] == "name":
                fields.append((key[1], Variable(key[1], self._span(key, key[3]))))
            else:
                self._fail("`:`", f"a key stands before its value: `{key[1]}: value`")
            if not self._commas():
                break
        self._close(opening, "`,` or `}`")
        return Dictionary(tuple(fields), self._span(opening, self._end()))

    def _key(self, keys: set[str]) -> Token:
        token = self._tokens[self._index]
        if token[0] not in _KEYS:
            if token[0] in RESERVED:
                self._reserved("a key")
            self._fail("a key", "a key is a name without quotes: `{name: value}`")
        self._index += 1
        if token[1] in keys:
            message = f"the key {quoted(token[1])} is given twice"
            self.problems.append(self._problem(token, message, "keep one of them"))
        keys.add(token[1])
        return token

    def _commas(self) -> bool:
        """Take the commas between two elements: Oso takes any number of them."""
        if self._kinds[self._index] != ",":
            return False
        while self._kinds[self._index] == ",":
            self._index += 1
        return True

    # Calls

    def _call(self) -> Call:
        name = self._tokens[self._index]
        self._index += 1
        arguments, keywords = self._arguments()
        return Call(name[1], arguments, keywords, self._span(name, self._end()))

    def _arguments(self) -> tuple[tuple[Term, ...], tuple[tuple[str, Term], ...]]:
        opening = self._open()
        arguments: list[Term] = []
        keywords: list[tuple[str, Term]] = []
        if self._kinds[self._index] != ")":
            while not self._at_keyword():
                arguments.append(self._value())
                if self._kinds[self._index] != ",":
                    break
                self._index += 1
            else:
                keywords = self._keywords()
        self._close(opening, "`,` or `)`")
        return tuple(arguments), tuple(keywords)

    def _at_keyword(self) -> bool:
        return self._kinds[self._index + 1] == ":" and self._kinds[self._index] in _KEYS

    def _keywords(self) -> list[tuple[str, Term]]:
        found: list[tuple[str, Term]] = []
        keys: set[str] = set()
        while self._kinds[self._index] != ")":
            if not self._at_keyword():
                self._fail("a named argument", "arguments without a name come first")
            key = self._key(keys)
            self._index += 1
            found.append((key[1], self._value()))
            if not self._commas():
                break
        return found

    def _new(self) -> New:
        start = self._tokens[self._index]
        self._index += 1
        self._name("the name of a class")
        if self._kinds[self._index] != "(":
            self._fail("`(`", "an object is made by `new Name(arguments)`")
        self._index -= 1
        call = self._call()
        return New(call, self._span(start, call.span.end))

    def _forall(self) -> Operation:
        start = self._tokens[self._index]
        self._index += 1
        if self._kinds[self._index] != "(":
            self._fail("`(`", "write `forall(condition, condition)`")
        opening = self._open()
        every = self._condition()
        if self._kinds[self._index] != ",":
            self._fail("`,`", "`forall` takes two conditions: `forall(x in list, x > 0)`")
        self._index += 1
        holds = self._condition()
        self._close(opening, "`)`")
        return Operation("forall", (every, holds), self._span(start, self._end()))

    def _output(self) -> Operation:
        start = self._tokens[self._index]
        self._index += 1
        if self._kinds[self._index] != "(":
            self._fail("`(`", f"write `{start[0]}(value)`")
        opening = self._open()
        operands: list[Term] = []
        while self._kinds[self._index] != ")":
            operands.append(self._value())
            if self._kinds[self._index] != ",":
                break
            self._index += 1
        self._close(opening, "`,` or `)`")
        return Operation(start[0], tuple(operands), self._span(start, self._end()))

    # Patterns

    def _pattern(self) -> Term:
        """Read what stands after ``:`` in a head or after ``matches``."""
        start = self._tokens[self._index]
        if start[0] == "name":
            self._index += 1
            fields = self._fields(partial(self._operand, True)) if self._kinds[self._index] == "{" else None
            return Pattern(start[1], fields, self._span(start, self._end()), self._span(start, start[3]))
        if start[0] == "{":
            fields = self._fields(partial(self._operand, True))
            return Pattern(None, fields, fields.span, fields.span)
        if start[0] in ("string", "number", "+", "-", "[") or start[0] in _CONSTANTS:
            return self._primary(True)
        if start[0] in RESERVED:
            self._reserved("a type")
        self._fail("a type, a pattern or a value", "such as `Image`, `Image{owner: x}` or `{owner: x}`")
