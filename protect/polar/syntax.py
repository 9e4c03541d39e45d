"""The syntax tree of a Polar file: values only, each knowing exactly where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file: ``text[start:end]``, in code points of the decoded text.

    ``line`` and ``column`` are those of ``start``; both count from 1, the column in code points.
    """

    file: str
    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A string (escapes resolved), a number with its sign, or ``true``/``false``."""

    value: str | int | float | bool
    span: Span


@dataclass(frozen=True, slots=True)
class Variable:
    """Any bare name: a variable, ``_``, ``nil``, or a class used as a value."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class List:
    """``[a, b, *rest]``."""

    items: tuple[Term, ...]
    rest: Variable | None
    span: Span


@dataclass(frozen=True, slots=True)
class Dictionary:
    """``{a: 1, b}``: fields in the order of the text; ``{b}`` stands for ``{b: b}``."""

    fields: tuple[tuple[str, Term], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Dot:
    """``base.attribute``, ``base.attribute(arguments)``, or ``base.(attribute)``.

    ``attribute`` is text for a plain name, and a Literal or Variable for the form in brackets.
    ``arguments`` is None where nothing is called: ``x.a`` is not ``x.a()``.
    """

    base: Term
    attribute: str | Term
    arguments: tuple[Term, ...] | None
    keywords: tuple[tuple[str, Term], ...]
    span: Span
    attribute_span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """``name(arguments, key: value)``: asks for a rule."""

    name: str
    arguments: tuple[Term, ...]
    keywords: tuple[tuple[str, Term], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class New:
    """``new Name(arguments)``."""

    call: Call
    span: Span


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with its operands, named as it is written.

    ``and`` and ``or`` take two or more, flattened except for a bracket that does not end the chain; ``cut``
    takes none, ``not`` one, ``print`` and ``debug`` any number, all others two. ``on`` stands in blocks only.
    """

    operator: str
    operands: tuple[Term, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Pattern:
    """``Image``, ``Image{owner: x}`` or ``{owner: x}``.

    Stands after ``:`` in a head, after ``matches``, and inside another pattern. ``name_span`` is the whole
    pattern's where it has no name.
    """

    name: str | None
    fields: Dictionary | None
    span: Span
    name_span: Span


Term: TypeAlias = Literal | Variable | List | Dictionary | Dot | Call | New | Operation | Pattern


@dataclass(frozen=True, slots=True)
class Parameter:
    """``term`` or ``term: specializer`` in a head. The specializer is a Pattern, Literal or List."""

    term: Term
    specializer: Term | None
    span: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """``name(parameters) if body;``, ``body`` None for a fact. The span reaches through the ``;``."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Term | None
    span: Span
    name_span: Span
    #: What ``walk`` yields, once it has.
    terms: tuple[Term, ...] = field(default=(), init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class TypeDeclaration:
    """``type name(parameters);``."""

    name: str
    parameters: tuple[Parameter, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class InlineQuery:
    """``?= term;``."""

    term: Term
    span: Span


@dataclass(frozen=True, slots=True)
class ShorthandRule:
    """``"head" if "body";`` in a block. For ``"a" on "b"`` the body is the Operation ``on``."""

    head: str
    body: Term
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """``actor Name { … }`` or ``resource Name { … }``.

    ``declarations`` are ``roles`` and ``permissions``, each a List of Literals, and ``relations``, a Dictionary
    of Variables that name classes.
    """

    kind: str
    name: str
    declarations: tuple[tuple[str, Term], ...]
    shorthand: tuple[ShorthandRule, ...]
    span: Span
    name_span: Span


Statement: TypeAlias = Rule | TypeDeclaration | InlineQuery | Block


def walk(node: Statement | ShorthandRule | Parameter | Term) -> Iterator[Term]:
    """Yield every term of ``node``, itself included, each before what is inside it, in the text's order."""
    if not isinstance(node, Rule):
        return _walked(node)
    if not node.terms:
        # A rule is walked by every check there is.
        object.__setattr__(node, "terms", tuple(_walked(node)))
    return iter(node.terms)


def _walked(node: Statement | ShorthandRule | Parameter | Term) -> Iterator[Term]:
    # A stack of its own, so that no tree is too deep for it.
    stack: list[Statement | ShorthandRule | Parameter | Term] = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, Term):
            yield node
        stack.extend(reversed(inside(node)))


def inside(node: Statement | ShorthandRule | Parameter | Term) -> list[Parameter | ShorthandRule | Term]:
    """Return what stands directly inside ``node``, in the order of the text."""
    match node:
        case Literal() | Variable():
            return []
        case Rule():
            return [*node.parameters, *_given(node.body)]
        case Parameter():
            return [node.term, *_given(node.specializer)]
        case Operation():
            return list(node.operands)
        case Dot():
            attribute = [] if isinstance(node.attribute, str) else [node.attribute]
            return [node.base, *attribute, *(node.arguments or ()), *_values(node.keywords)]
        case Call():
            return [*node.arguments, *_values(node.keywords)]
        case New():
            return [node.call]
        case List():
            return [*node.items, *_given(node.rest)]
        case Dictionary():
            return _values(node.fields)
        case Pattern():
            return _given(node.fields)
        case TypeDeclaration():
            return list(node.parameters)
        case InlineQuery():
            return [node.term]
        case ShorthandRule():
            return [node.body]
        case Block():
            # Declarations and shorthand may alternate in the text; the span says in which order.
            parts: list[Parameter | ShorthandRule | Term] = [*_values(node.declarations), *node.shorthand]
            return sorted(parts, key=lambda part: part.span.start)


def calls(statements: Iterable[Statement]) -> set[str]:
    """Return the names of the rules that these ask for."""
    return {term.name for statement in statements for term in walk(statement) if isinstance(term, Call)}


def rules_by_name(statements: Iterable[Statement]) -> dict[str, list[Rule]]:
    """Return the rules by their names, those of one name in the text's order."""
    found: dict[str, list[Rule]] = {}
    for statement in statements:
        if isinstance(statement, Rule):
            found.setdefault(statement.name, []).append(statement)
    return found


def reached(names: Iterable[str], rules: Mapping[str, Iterable[Rule]]) -> set[str]:
    """Return ``names``, and the names of all that the ``rules`` of these come to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += calls(rules.get(name, ()))
    return found


def _given(term: Term | None) -> list[Parameter | ShorthandRule | Term]:
    return [] if term is None else [term]


def _values(pairs: tuple[tuple[str, Term], ...]) -> list[Parameter | ShorthandRule | Term]:
    return [term for _, term in pairs]
