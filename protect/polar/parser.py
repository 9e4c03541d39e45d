"""The parser of Polar: text in, statements and every syntax mistake out, each at its exact place.

It accepts no text that Oso's own parser refuses. It refuses a little more than Oso on purpose:

- characters that a reader does not see or that reorder the line (controls, direction marks, lone carriage
  returns), anywhere, and names that are not ASCII: two names that look alike must be alike;
- blocks that are neither ``actor`` nor ``resource``, declarations that no block can have, and any other word for
  ``on``: Oso parses them, to refuse them a moment later;
- ``new``, ``in`` and ``.`` called like functions: Oso takes ``.(x)`` for a condition, and some of these end the whole
  process;
- anything nested deeper than MAX_DEPTH: Oso ends the whole process on text that is nested deeply enough.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, NoReturn, TypeAlias

from protect.errors import Problem
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
    ShorthandRule,
    Span,
    Statement,
    Term,
    TypeDeclaration,
    Variable,
    inside,
)

#: How deep brackets, and with them the tree, may be nested. Real policies stay below ten.
MAX_DEPTH: Final = 100

_MAX_INTEGER: Final = 2**63 - 1

#: kind, text, start, end, line, column. The kind of a reserved word or an operator is its text; the other kinds
#: are "name", "string", "number" and "end". Plain tuples, because a file has a hundred thousand of them.
Token: TypeAlias = tuple[str, str, int, int, int, int]

RESERVED: Final = frozenset(
    {"and", "cut", "debug", "false", "forall", "if", "in", "inf", "isa", "matches", "mod", "nan", "new", "not", "or"}
    | {"print", "rem", "true", "type"}
)

#: Reserved words that Oso takes as an attribute, a key or the name of an argument nevertheless.
_KEYS: Final = (RESERVED - {"false", "inf", "isa", "mod", "nan", "rem", "true"}) | {"name"}

#: Controls, line separators, invisible and direction characters, and halves of a character. They have no place in a
#: policy: they make a line read differently from what it says.
_HIDDEN: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff"
)
_HIDDEN_RUN: Final = re.compile(rf"[{_HIDDEN}]+|\r(?!\n)")

# One match is one token with what goes before it. Possessive repetition, so no text makes the match go back and
# try again. A name takes in any character that is not ASCII, to be reported as one name.
_TOKEN: Final = re.compile(
    rf"""
    (?: [ \t\r\n]++ | \#[^\r\n]*+ | [{_HIDDEN}]++ )*+
    (?: ( (?:[A-Za-z_]|[^\x00-\x7f{_HIDDEN}]) (?:[A-Za-z0-9_]|[^\x00-\x7f{_HIDDEN}])*+
          (?: (?:::)++(?:[A-Za-z0-9_]|[^\x00-\x7f{_HIDDEN}])++ )*+ \?? )  # 1 a name or a reserved word
      | ( "(?:[^"\\\n]|\\.|\\\Z)*+"? )                               # 2 a string, closed or not
      | ( //[^\r\n]*+ | /\*(?:[^*]|\*(?!/))*+(?:\*/)? )             # 3 a comment of another language
      | ( :=|==|!=|<=|>=|\?=|[-+*/=<>()\[\]{{}},;:.] )              # 4 an operator or bracket
      | ( [0-9]++(?:\.[0-9]*+)?+(?:[eE][0-9]*+[+-]?+[0-9]*+)?+ )    # 5 a number
      | ( '[^'\\\r\n]*+' | && | \|\| | . )                        # 6 what is no token
      | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME, _STRING, _FOREIGN_COMMENT, _OPERATOR, _NUMBER, _NO_TOKEN = range(1, 7)

_CLOSED_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"', re.DOTALL)
_FLOAT: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

#: What a token of another language is read as, so that one mistake is one problem; and what to write instead.
_FOREIGN: Final = {
    "&&": ("and", "write `and`"),
    "&": ("and", "write `and`"),
    "||": ("or", "write `or`"),
    "|": ("or", "write `or`"),
    "!": ("not", "write `not`"),
    "%": ("mod", "write `mod`"),
}
_QUOTES: Final = frozenset(map(chr, [0xAB, 0xB4, 0xBB, *range(0x2018, 0x2020)]))

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
_LEVEL: Final = {**_BINARY, "not": _NOT}
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "mod", "rem"})
#: Tokens after which a statement cannot end, so that the next line goes on with it.
_OPEN_ENDED: Final = frozenset(_LEVEL) | {"(", "[", ",", ":", ".", "if", "new"}
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
_BLOCKS: Final = ("actor", "resource")
_JOIN: Final = "join conditions with `and` or `or`"
_RULE_FORM: Final = "a rule reads `name(parameters) if condition;`"


def parse(text: str, file: str) -> tuple[list[Statement], list[Problem]]:
    """Return the statements of ``text`` and all problems, in the text's order. Never raises, whatever the text.

    Where there are problems, the statements are those that could be read, and must not be used to decide.
    """
    reader = _Reader(text, file)
    tokens = reader.tokens()
    parser = _Parser(text, file, tokens, reader.problems)
    statements = parser.statements()
    return statements, sorted([*reader.problems, *parser.problems], key=_place)


class _Mistake(Exception):
    """Ends the statement that is being read; carries the problem to report."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class _Reader:
    """Cuts a text into tokens. What is no token is reported and read as what was probably meant."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._hidden()

    def tokens(self) -> list[Token]:
        """Return the tokens, the last of kind "end"."""
        tokens: list[Token] = []
        append = tokens.append
        text = self._text
        line, line_start = 1, 0
        line_end = text.find("\n")
        for match in _TOKEN.finditer(text):
            group = match.lastindex
            if group is None:
                break
            start, end = match.span(group)
            while -1 < line_end < start:
                line, line_start = line + 1, line_end + 1
                line_end = text.find("\n", line_start)
            word = match[group]
            column = start - line_start + 1
            if group == _OPERATOR:
                kind = word
            elif group == _STRING:
                kind = "string"
                if len(word) == 1 or word[-1] != '"' or "\\" in word:
                    word = self._string(word, line, column)
            elif group == _NAME:
                kind = word if word in RESERVED else "name"
                if not word.isascii():
                    self._confusable(word, line, column)
            elif group == _NUMBER:
                kind = "number"
                word = self._number(word, line, column)
            else:
                kind, word = self._no_token(word, line, column)
                if not kind:
                    continue
            append((kind, word, start, end, line, column))
        tokens.append(self._end(tokens))
        return tokens

    def _end(self, tokens: list[Token]) -> Token:
        end = len(self._text)
        line = self._text.count("\n") + 1
        column = end - (self._text.rfind("\n") + 1) + 1
        return ("end", "", end, end, line, column)

    def _report(self, line: int, column: int, message: str, advice: str = "") -> None:
        self.problems.append(Problem(self._file, line, column, message, advice))

    def _hidden(self) -> None:
        line, seen = 1, 0
        for match in _HIDDEN_RUN.finditer(self._text):
            start = match.start()
            line += self._text.count("\n", seen, start)
            seen = start
            column = start - self._text.rfind("\n", 0, start)
            if start == 0 and match[0] == "\ufeff":
                advice = "save it as UTF-8 without one"
                self._report(line, column, "the file starts with a byte order mark", advice)
                continue
            if match[0] == "\r":
                # Oso takes it for the end of a comment, and most editors do not show it.
                self._report(line, column, "carriage return without a line feed", "end lines with a line feed")
                continue
            self._report(line, column, f"hidden character {_describe(match[0][0])}", "remove it")

    def _string(self, word: str, line: int, column: int) -> str:
        # Only a string that has an escape, or that is not closed, comes here.
        body, closed = _unescaped(word)
        if not closed:
            self._report(
                line,
                column,
                "the string is not closed on its line",
                'end it with `"`; a `"` inside a string is written `\\"`, a line end `\\n`',
            )
        return f'"{body}"'

    def _confusable(self, word: str, line: int, column: int) -> None:
        odd = next(index for index, character in enumerate(word) if not character.isascii())
        if word[odd] in _QUOTES:
            advice = 'strings stand in straight double quotes: `"text"`'
        else:
            advice = "names are made of the letters a to z, digits and `_`; any text may stand in a string"
        what = f"{_describe(word[odd])} in the name {_quoted(word)}"
        self._report(line, column + odd, f"{what} is not ASCII", advice)

    def _number(self, word: str, line: int, column: int) -> str:
        if word.isdecimal():
            digits = word.lstrip("0")
            if len(digits) > 19 or int(digits or "0") > _MAX_INTEGER:
                advice = f"the largest is {_MAX_INTEGER}; write a larger number as a float, such as `1e20`"
                self._report(line, column, f"the integer {_quoted(word)} is too large", advice)
                return "0"
        elif not _FLOAT.fullmatch(word):
            # Oso takes the sign behind an exponent as a part of it: `1e5-3` is no subtraction.
            advice = "an exponent reads `1e6` or `1e-6`; put spaces around a sign that is not part of it"
            self._report(line, column, f"{_quoted(word)} is not a number", advice)
            return "0.0"
        return word

    def _no_token(self, word: str, line: int, column: int) -> tuple[str, str]:
        """Report what is no token; return the kind and text that it is read as, the kind empty for none."""
        if word[0] == "/":
            self._report(line, column, f"unexpected {_quoted(word[:2])}", "a comment starts with `#`")
            return "", ""
        if word[0] == "'":
            message = f"unexpected {_quoted(word)}" if len(word) > 1 else "unexpected `'`"
            self._report(line, column, message, 'use double quotes: `"text"`')
            return ("string", f'"{word[1:-1]}"') if len(word) > 1 else ("", "")
        kind, advice = _FOREIGN.get(word, ("", ""))
        if word == "`":
            advice = 'use double quotes: `"text"`'
        what = "backtick" if word == "`" else _quoted(word)
        self._report(line, column, f"unexpected {what}", advice or "it means nothing in Polar; remove it")
        return kind, word


class _Parser:
    """Reads statements from tokens, and goes on behind a mistake."""

    def __init__(self, text: str, file: str, tokens: list[Token], lexical: list[Problem]) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._tokens = tokens
        # Two more at the end, because a statement is told by its first three.
        self._kinds = [*(token[0] for token in tokens), "end", "end"]
        self._index = 0
        self._depth = 0
        self._lexical = sorted(map(_place, lexical))

    # Statements

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        while self._kinds[self._index] != "end":
            first = self._index
            self._depth = 0
            try:
                statement = self._statement()
                self._check_height(first, statement)
                found.append(statement)
            except _Mistake as mistake:
                self._recover(first)
                self._report(mistake.problem, first)
            except RecursionError:
                # The caller's own stack was nearly full: MAX_DEPTH alone takes half of Python's limit.
                self._recover(first)
                self._report(self._problem(self._tokens[first], "the statement is nested too deeply"), first)
        return found

    def _statement(self) -> Statement:
        kind = self._kinds[self._index]
        if kind == "name":
            following = self._kinds[self._index + 1]
            if following == "(":
                return self._rule()
            if following == "{" or (following == "name" and self._kinds[self._index + 2] == "{"):
                return self._block()
            self._index += 1
            self._fail("`(`", _RULE_FORM)
        if kind == "type":
            return self._type()
        if kind == "?=":
            return self._inline_query()
        if kind in RESERVED:
            self._reserved("a rule")
        self._fail("a rule", _RULE_FORM)

    def _rule(self) -> Rule:
        name = self._tokens[self._index]
        self._index += 1
        parameters = self._parameters()
        body = None
        if self._kinds[self._index] == "if":
            self._index += 1
            body = self._expression()
        end = self._end_statement("the rule", "begin its body with `if`" if body is None else _JOIN)
        return Rule(name[1], parameters, body, self._span(name, end), self._span(name, name[3]))

    def _type(self) -> TypeDeclaration:
        start = self._tokens[self._index]
        self._index += 1
        name = self._name("the name of a rule")
        if self._kinds[self._index] != "(":
            self._fail("`(`", "a type declaration reads `type name(parameter: Type);`")
        parameters = self._parameters()
        if self._kinds[self._index] == "if":
            self._fail("`;` after the type declaration", "only a rule has a body: remove `type` or the body")
        end = self._end_statement("the type declaration")
        return TypeDeclaration(name[1], parameters, self._span(start, end))

    def _inline_query(self) -> InlineQuery:
        start = self._tokens[self._index]
        self._index += 1
        term = self._expression()
        return InlineQuery(term, self._span(start, self._end_statement("the query", _JOIN)))

    def _end_statement(self, what: str, advice: str = "") -> int:
        """Take the ``;`` and return where it ends. ``advice`` is for what goes on in the same line."""
        token = self._tokens[self._index]
        if token[0] == ";":
            self._index += 1
            return token[3]
        before = self._tokens[self._index - 1]
        if token[4] > before[4]:
            advice = f"put `;` at the end of line {before[4]}"
        elif token[0] in ("end", "}"):
            advice = "put `;` before it"
        self._fail(f"`;` after {what}", advice)

    # Heads

    def _parameters(self) -> tuple[Parameter, ...]:
        opening = self._open()
        found: list[Parameter] = []
        if self._kinds[self._index] != ")":
            found.append(self._parameter())
            while self._kinds[self._index] == ",":
                self._index += 1
                found.append(self._parameter())
        self._close(opening, "`,` or `)`")
        return tuple(found)

    def _parameter(self) -> Parameter:
        start = self._tokens[self._index]
        if self._kinds[self._index + 1] == ":" and start[0] in RESERVED:
            self._reserved("a parameter")
        term = self._value()
        specializer = None
        if self._kinds[self._index] == ":":
            if start is not self._tokens[self._index - 1] or start[0] != "name":
                self._fail("`,` or `)`", "only a variable has a type")
            self._index += 1
            specializer = self._pattern()
        if term.span.end == self._end():
            return Parameter(term, specializer, term.span)
        return Parameter(term, specializer, self._span(start, self._end()))

    # Blocks

    def _block(self) -> Block:
        kind = self._tokens[self._index]
        unknown = kind[1] not in _BLOCKS
        if self._kinds[self._index + 1] == "{":
            self._index += 0 if unknown else 1
            self._fail("`actor` or `resource`" if unknown else "the name of a class", _block_form(kind[1]))
        name = self._tokens[self._index + 1]
        self._index += 2
        if unknown:
            message = f"expected `actor` or `resource`, found {_quoted(kind[1])}"
            self.problems.append(self._problem(kind, message, "only these begin a block"))
        self._open()
        declarations: list[tuple[str, Term]] = []
        shorthand: list[ShorthandRule] = []
        end = self._block_parts(declarations, shorthand)
        span = self._span(kind, end)
        return Block(kind[1], name[1], tuple(declarations), tuple(shorthand), span, self._span(name, name[3]))

    def _block_parts(self, declarations: list[tuple[str, Term]], shorthand: list[ShorthandRule]) -> int:
        """Read up to the ``}``, going on behind mistakes; return where it ends."""
        mistaken = False
        while self._kinds[self._index] != "}":
            first = self._index
            if self._kinds[first] == "end" or self._starts_statement(first):
                if mistaken:
                    return self._end()
                self._fail("`}` at the end of the block", "close the block before the next statement")
            try:
                self._block_part(declarations, shorthand)
            except _Mistake as mistake:
                mistaken = True
                self._depth = 1
                self._recover_in_block(first)
                self._report(mistake.problem, first)
        self._index += 1
        return self._end()

    def _block_part(self, declarations: list[tuple[str, Term]], shorthand: list[ShorthandRule]) -> None:
        kind = self._kinds[self._index]
        if kind == "string":
            shorthand.append(self._shorthand())
        elif kind == "name":
            declarations.append(self._declaration())
        else:
            advice = 'such as `roles = ["reader"];` or `"read" if "reader";`'
            self._fail("a declaration, a shorthand rule or `}`", advice)

    def _declaration(self) -> tuple[str, Term]:
        name = self._tokens[self._index]
        if name[1] not in ("roles", "permissions", "relations"):
            self._fail("`roles`, `permissions` or `relations`", "only these are declared in a block")
        self._index += 1
        if self._kinds[self._index] != "=":
            self._fail("`=`", f"a declaration reads `{name[1]} = …;`")
        self._index += 1
        value: Term = self._relations() if name[1] == "relations" else self._texts(name[1])
        self._end_statement("the declaration")
        return name[1], value

    def _texts(self, name: str) -> List:
        if self._kinds[self._index] != "[":
            self._fail("a list of strings", f'such as `{name} = ["one", "two"];`')
        opening = self._open()
        items: list[Term] = []
        while self._kinds[self._index] != "]":
            if self._kinds[self._index] != "string":
                self._fail("a string", 'names stand in double quotes: `"reader"`')
            items.append(self._primary(False))
            if not self._commas():
                break
        self._close(opening, "`,` or `]`")
        return List(tuple(items), None, self._span(opening, self._end()))

    def _relations(self) -> Dictionary:
        if self._kinds[self._index] != "{":
            self._fail("a dictionary", "such as `relations = {parent: Parent};`")
        return self._fields(self._class_name)

    def _class_name(self) -> Variable:
        name = self._name("the name of a class")
        return Variable(name[1], self._span(name, name[3]))

    def _shorthand(self) -> ShorthandRule:
        start = self._tokens[self._index]
        head = self._primary(False)
        if self._kinds[self._index] != "if":
            self._fail("`if`", 'a shorthand rule reads `"read" if "reader";`')
        self._index += 1
        body = self._shorthand_text()
        if self._kinds[self._index] == "name" and self._kinds[self._index + 1] == "string":
            if self._tokens[self._index][1] != "on":
                self._fail("`on`", 'such as `"read" if "reader" on "parent";`')
            self._index += 1
            relation = self._shorthand_text()
            body = Operation("on", (body, relation), replace(body.span, end=relation.span.end))
        if self._kinds[self._index] in ("and", "or"):
            advice = "write one shorthand rule for each, or a rule outside the block"
            self._fail("`;` after the shorthand rule", advice)
        end = self._end_statement("the shorthand rule")
        assert isinstance(head, Literal)
        return ShorthandRule(str(head.value), body, self._span(start, end))

    def _shorthand_text(self) -> Term:
        if self._kinds[self._index] != "string":
            self._fail("a string", 'such as `"read" if "reader";` or `"read" if "reader" on "parent";`')
        return self._primary(False)

    # Expressions

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
        # Each operand with its first token and its end in the text, brackets around it included.
        operands: list[tuple[Term, Token, int]] = []
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
            if operators and _LEVEL[operators[-1][0]] >= _NOT:
                self._fail("a value", "put brackets around a `not` that stands inside another expression")
            operators.append(self._tokens[self._index])
            self._index += 1

    def _check_assignment(self, first: int, operators: list[Token]) -> None:
        bare = self._kinds[first] == "name" and self._index == first + 1
        if not bare or (operators and _LEVEL[operators[-1][0]] > _NOT):
            self._fail("`=`", "only a variable can stand before `:=`")

    def _reduce_to(self, level: int, operators: list[Token], operands: list[tuple[Term, Token, int]]) -> None:
        """Build the operations that bind at least as tight as what follows, of precedence ``level``."""
        following = self._kinds[self._index]
        while operators and _LEVEL[operators[-1][0]] >= level:
            operator = operators[-1][0]
            if operator in ("and", "or"):
                if operator == following:
                    break
                self._build_chain(operators, operands)
            elif operator == "not":
                self._build_not(operators, operands)
            else:
                self._build_binary(operators, operands)

    def _build_chain(self, operators: list[Token], operands: list[tuple[Term, Token, int]]) -> None:
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

    def _build_not(self, operators: list[Token], operands: list[tuple[Term, Token, int]]) -> None:
        start = operators.pop()
        term, _, end = operands.pop()
        self._require_condition(term)
        operands.append((Operation("not", (term,), self._span(start, end)), start, end))

    def _build_binary(self, operators: list[Token], operands: list[tuple[Term, Token, int]]) -> None:
        right, _, end = operands.pop()
        left, start, _ = operands.pop()
        self._require_value(left)
        self._require_value(right)
        operands.append((Operation(operators.pop()[0], (left, right), self._span(start, end)), start, end))

    def _match(self, operands: list[tuple[Term, Token, int]]) -> None:
        self._index += 1
        left, start, _ = operands.pop()
        self._require_value(left)
        pattern = self._pattern()
        end = self._end()
        operands.append((Operation("matches", (left, pattern), self._span(start, end)), start, end))

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
            message = f"the key {_quoted(token[1])} is given twice"
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

    # Brackets, names, places

    def _open(self) -> Token:
        token = self._tokens[self._index]
        if self._depth >= MAX_DEPTH:
            message = f"brackets are nested deeper than {MAX_DEPTH}"
            raise _Mistake(self._problem(token, message, "move a part into a rule of its own"))
        self._depth += 1
        self._index += 1
        return token

    def _close(self, opening: Token, expected: str) -> None:
        """Take the bracket that ends ``expected``, which says what may stand here: "`,` or `)`"."""
        if self._kinds[self._index] != expected[-2]:
            advice = f"`{expected[-2]}` closes the `{opening[0]}` of line {opening[4]}, column {opening[5]}"
            self._fail(expected, advice)
        self._depth -= 1
        self._index += 1

    def _name(self, what: str) -> Token:
        token = self._tokens[self._index]
        if token[0] != "name":
            if token[0] in RESERVED:
                self._reserved(what)
            self._fail(what)
        self._index += 1
        return token

    def _end(self) -> int:
        """Where the last token that was taken ends."""
        return self._tokens[self._index - 1][3]

    def _span(self, start: Token, end: int) -> Span:
        return Span(self._file, start[2], end, start[4], start[5])

    # Values and conditions: Polar keeps them apart; a variable, a lookup and `true` or `false` may be either.

    def _require_value(self, term: Term) -> None:
        if isinstance(term, Call):
            self._mistake(
                term.span,
                f"expected a value, found the condition {self._source(term)}",
                f"a rule answers yes or no: call it on its own, as in `{term.name}(…) and …`",
            )
        if isinstance(term, Operation) and term.operator not in _ARITHMETIC:
            self._mistake(
                term.span,
                f"expected a value, found the condition {self._source(term)}",
                "write the condition on its own and join it with `and`",
            )

    def _require_condition(self, term: Term) -> None:
        match term:
            case Variable() | Dot() | Call() | Literal(value=bool()):
                return
            case Operation(operator=operator) if operator not in _ARITHMETIC:
                return
        self._mistake(
            term.span,
            f"expected a condition, found the value {self._source(term)}",
            "compare it with something, as in `x = 1`",
        )

    def _source(self, term: Term) -> str:
        return _quoted(self._text[term.span.start : term.span.end])

    def _check_height(self, first: int, statement: Statement) -> None:
        # No tree is higher than it has tokens, so most are not measured. Blocks are flat.
        if self._index - first <= MAX_DEPTH or isinstance(statement, Block):
            return
        level: list[Parameter | ShorthandRule | Term] = inside(statement)
        for _ in range(MAX_DEPTH):
            level = [part for node in level for part in inside(node)]
            if not level:
                return
        start = level[0].span
        message = f"the expression is nested deeper than {MAX_DEPTH} operations"
        problem = Problem(self._file, start.line, start.column, message, "move a part into a rule of its own")
        self._report(problem, first)

    # Mistakes

    def _problem(self, token: Token, message: str, advice: str = "") -> Problem:
        return Problem(self._file, token[4], token[5], message, advice)

    def _fail(self, expected: str, advice: str = "") -> NoReturn:
        token = self._tokens[self._index]
        found = "the end of the file" if token[0] == "end" else _quoted(self._text[token[2] : token[3]])
        raise _Mistake(self._problem(token, f"expected {expected}, found {found}", advice))

    def _reserved(self, what: str, advice: str = "choose another name") -> NoReturn:
        token = self._tokens[self._index]
        raise _Mistake(self._problem(token, f"`{token[1]}` is a reserved word and cannot be {what}", advice))

    def _mistake(self, span: Span, message: str, advice: str) -> NoReturn:
        raise _Mistake(Problem(self._file, span.line, span.column, message, advice))

    def _report(self, problem: Problem, first: int) -> None:
        """Keep ``problem``, unless what stands between token ``first`` and here was no token: that explains it."""
        start, last = self._tokens[first], self._tokens[max(first, self._index - 1)]
        at = bisect_left(self._lexical, (start[4], start[5]))
        if at == len(self._lexical) or self._lexical[at] > (last[4], last[5] + last[3] - last[2]):
            self.problems.append(problem)

    def _recover(self, first: int) -> None:
        """Go to the next statement: behind the next ``;`` or block, or where a line starts like one."""
        depth, block = 0, False
        if self._index == first and self._kinds[first] not in (";", "{"):
            self._index += 1
        while (kind := self._kinds[self._index]) != "end":
            if self._index > first and self._starts_statement(self._index):
                return
            self._index += 1
            if kind == "{":
                depth += 1
            elif kind == ";":
                if not depth:
                    return
                block = True
            elif kind == "}" and depth:
                depth -= 1
                if block and not depth:
                    self._index += self._kinds[self._index] == ";"
                    return

    def _recover_in_block(self, first: int) -> None:
        """Go behind the next ``;``, or to the ``}`` of the block, or where a line starts like a statement."""
        while (kind := self._kinds[self._index]) != "end":
            if self._index > first and self._starts_statement(self._index):
                return
            # `};` ends a dictionary: nothing that ends a block has a semicolon.
            if kind == "}" and self._kinds[self._index + 1] != ";":
                return
            self._index += 1
            if kind == ";":
                return

    def _starts_statement(self, index: int) -> bool:
        """Whether token ``index`` stands at the edge and looks like the start of a statement."""
        token = self._tokens[index]
        if token[5] != 1 or self._kinds[index - 1] in _OPEN_ENDED:
            return False
        kind = token[0]
        if kind == "name":
            following = self._kinds[index + 1]
            return following == "(" or (following == "name" and self._kinds[index + 2] == "{")
        return kind in ("type", "?=")


def _block_form(kind: str) -> str:
    return f"a block reads `{kind if kind in _BLOCKS else 'resource'} Name {{ … }}`"


def _unescaped(word: str) -> tuple[str, bool]:
    """Return what a string says, and whether it is closed."""
    closed = _CLOSED_STRING.fullmatch(word) is not None
    body = word[1:-1] if closed else word[1:]
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), body), closed


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _describe(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name.lower()})" if name else "")


def _quoted(text: str) -> str:
    """``text`` for a message, in backticks: one line, 40 characters at most, nothing that a terminal obeys."""
    short = text if len(text) <= 40 else text[:39] + "…"
    return f"`{_safe(short)}`"


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else f"\\u{ord(c):04x}" for c in text)
