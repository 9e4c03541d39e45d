"""Expressions: operators between operands, built by precedence, and what may stand as a value or as a condition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, NoReturn, TypeAlias

from protect.errors import Problem
from protect.polar.cursor import Cursor, Mistake
from protect.polar.syntax import Call, Dot, Literal, Operation, Term, Variable
from protect.polar.tokens import Token, quoted

#: How tight the operators bind that stand between two operands.
_BINARY: Final = {
    "or": 1,
    "and": 2,
    "=": 4,
    ":=": 4,
    "==": 5,
    "!=": 5,
    "<=": 5,
    ">=": 5,
    "<": 5,
    ">": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "mod": 7,
    "rem": 7,
    "in": 8,
    "matches": 8,
}
_NOT: Final = 3
LEVEL: Final = {**_BINARY, "not": _NOT}
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "mod", "rem"})


#: Operands that wait for their operator: each with its first token and its end in the text, brackets included.
_Operands: TypeAlias = list[tuple[Term, Token, int]]


class Expressions(Cursor, ABC):
    """Reads operators. What stands between them is read by the methods that are left open."""

    @abstractmethod
    def _operand(self, pattern: bool) -> Term:
        """Read what stands between operators; in a pattern, that is data."""

    @abstractmethod
    def _pattern(self) -> Term:
        """Read what stands behind ``matches``."""

    def _value(self, pattern: bool = False) -> Term:
        """Read a term that must have a value: an argument, an element, a field."""
        term = self._expression(pattern)
        self._require_value(term)
        return term

    def _condition(self) -> Term:
        """Read a term that must be true or false: the parts of ``forall``."""
        term = self._expression()
        self._require_condition(term)
        return term

    def _expression(self, pattern: bool = False) -> Term:
        """Read operands and operators by precedence. It calls itself for brackets only: depth is bounded."""
        operators: list[Token] = []
        operands: _Operands = []
        while True:
            self._negation(operators)
            first = self._index
            term = self._operand(pattern)
            level = _BINARY.get(self._kinds[self._index], 0)
            if not level and not operators:
                return term
            if self._kinds[self._index] == ":=":
                self._check_assignment(first, operators)
            operands.append((term, self._tokens[first], self._end()))
            self._reduce_to(level, operators, operands)
            while self._kinds[self._index] == "matches":
                self._match(operands)
                level = _BINARY.get(self._kinds[self._index], 0)
                self._reduce_to(level, operators, operands)
            if not level:
                return operands[0][0]
            operators.append(self._tokens[self._index])
            self._index += 1

    def _negation(self, operators: list[Token]) -> None:
        """Take a ``not`` where one may stand."""
        if self._kinds[self._index] == "not":
            if operators and LEVEL[operators[-1][0]] >= _NOT:
                self._fail("a value", "put brackets around a `not` that stands inside another expression")
            operators.append(self._tokens[self._index])
            self._index += 1

    def _check_assignment(self, first: int, operators: list[Token]) -> None:
        bare = self._kinds[first] == "name" and self._index == first + 1
        if not bare or (operators and LEVEL[operators[-1][0]] > _NOT):
            self._fail("`=`", "only a variable can stand before `:=`")

    def _reduce_to(self, level: int, operators: list[Token], operands: _Operands) -> None:
        """Build the operations that bind at least as tight as what follows, of precedence ``level``."""
        following = self._kinds[self._index]
        while operators and LEVEL[operators[-1][0]] >= level:
            operator = operators[-1][0]
            if operator in ("and", "or"):
                if operator == following:
                    break
                self._build_chain(operators, operands)
            elif operator == "not":
                self._build_not(operators, operands)
            else:
                self._build_binary(operators, operands)

    def _build_chain(self, operators: list[Token], operands: _Operands) -> None:
        operator = operators[-1][0]
        count = 1
        while operators and operators[-1][0] == operator:
            operators.pop()
            count += 1
        parts = operands[-count:]
        del operands[-count:]
        terms = [part[0] for part in parts]
        for term in terms:
            self._require_condition(term)
        last = terms[-1]
        if isinstance(last, Operation) and last.operator == operator:
            # `a and (b and c)` is one chain; `(a and b) and c` is not: so Oso reads them.
            terms[-1:] = last.operands
        end = parts[-1][2]
        operands.append((Operation(operator, tuple(terms), self._span(parts[0][1], end)), parts[0][1], end))

    def _build_not(self, operators: list[Token], operands: _Operands) -> None:
        start = operators.pop()
        term, _, end = operands.pop()
        self._require_condition(term)
        operands.append((Operation("not", (term,), self._span(start, end)), start, end))

    def _build_binary(self, operators: list[Token], operands: _Operands) -> None:
        right, _, end = operands.pop()
        left, start, _ = operands.pop()
        self._require_value(left)
        self._require_value(right)
        operands.append((Operation(operators.pop()[0], (left, right), self._span(start, end)), start, end))

    def _match(self, operands: _Operands) -> None:
        self._index += 1
        left, start, _ = operands.pop()
        self._require_value(left)
        pattern = self._pattern()
        end = self._end()
        operands.append((Operation("matches", (left, pattern), self._span(start, end)), start, end))

    # Values and conditions: Polar keeps them apart; a variable, a lookup and `true` or `false` may be either.

    def _require_value(self, term: Term) -> None:
        if isinstance(term, Call):
            advice = f"a rule answers yes or no: call it on its own, as in `{term.name}(…) and …`"
        elif isinstance(term, Operation) and term.operator not in _ARITHMETIC:
            advice = "write the condition on its own and join it with `and`"
        else:
            return
        self._mistake(term, f"expected a value, found the condition {self._source(term)}", advice)

    def _require_condition(self, term: Term) -> None:
        match term:
            case Variable() | Dot() | Call() | Literal(value=bool()):
                return
            case Operation(operator=operator) if operator not in _ARITHMETIC:
                return
        message = f"expected a condition, found the value {self._source(term)}"
        self._mistake(term, message, "compare it with something, as in `x = 1`")

    def _mistake(self, term: Term, message: str, advice: str) -> NoReturn:
        raise Mistake(Problem(self._file, term.span.line, term.span.column, message, advice))

    def _source(self, term: Term) -> str:
        return quoted(self._text[term.span.start : term.span.end])
