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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from protect.errors import Problem
from protect.polar.cursor import MAX_DEPTH, Mistake, place
from protect.polar.expressions import LEVEL
from protect.polar.syntax import (
    Block,
    Dictionary,
    InlineQuery,
    List,
    Literal,
    Operation,
    Parameter,
    Rule,
    ShorthandRule,
    Statement,
    Term,
    TypeDeclaration,
    Variable,
    inside,
)
from protect.polar.terms import Terms
from protect.polar.tokens import RESERVED, quoted, tokenize

#: Tokens after which a statement cannot end, so that the next line goes on with it.
_OPEN_ENDED: Final = frozenset(LEVEL) | {"(", "[", ",", ":", ".", "if", "new"}
_BLOCKS: Final = ("actor", "resource")
_JOIN: Final = "join conditions with `and` or `or`"
_RULE_FORM: Final = "a rule reads `name(parameters) if condition;`"


_Read = tuple[Sequence[Statement], Sequence[Problem]]
_remembered: Final[ContextVar[dict[tuple[str, str], _Read] | None]] = ContextVar("remembered", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Read each text once inside: for who checks it, compiles it, and compiles it again with changes beside it."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def parse(text: str, file: str) -> _Read:
    """Return the statements of ``text`` and all problems, in the text's order. Never raises, whatever the text.

    Where there are problems, the statements are those that could be read, and must not be used to decide.
    """
    known = _remembered.get()
    if known is None:
        return _parsed(text, file)
    found = known.get((text, file))
    if found is None:
        found = known[text, file] = _parsed(text, file)
    return found


def _parsed(text: str, file: str) -> _Read:
    tokens, lexical = tokenize(text, file)
    parser = _Parser(text, file, tokens, lexical)
    statements = parser.statements()
    return tuple(statements), tuple(sorted([*lexical, *parser.problems], key=place))


class _Parser(Terms):
    """Reads statements: rules, type declarations, blocks. Goes on behind a mistake."""

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        while self._kinds[self._index] != "end":
            first = self._index
            self._depth = 0
            try:
                statement = self._statement()
                self._check_height(first, statement)
                found.append(statement)
            except Mistake as mistake:
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
            message = f"expected `actor` or `resource`, found {quoted(kind[1])}"
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
            except Mistake as mistake:
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
