"""Our parser against Oso's, on policies made at random and on broken copies of them.

What we accept, Oso must accept, with the same tree. What Oso accepts, we accept too, but for the kinds in DELIBERATE.
``PROTECT_EXHAUSTIVE=1`` runs many more cases.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from protect.polar.parser import parse
from protect.polar.syntax import (
    Call,
    Dictionary,
    Dot,
    InlineQuery,
    List,
    Literal,
    New,
    Operation,
    Pattern,
    Term,
    Variable,
)

ffi = pytest.importorskip("polar.ffi", reason="oso is not installed here")
ParserError = pytest.importorskip("polar.exceptions").ParserError

CASES = 20_000 if os.environ.get("PROTECT_EXHAUSTIVE") else 1_500

#: What we refuse on purpose although Oso's parser accepts it: each kind, an example, and our first message.
DELIBERATE = {
    "names-that-are-not-ascii-can-look-like-others": ("f(_ä);", r"in the name `.*` is not ASCII"),
    "typographic-quotes-are-no-strings": ("f(_“a”);", r"in the name `.*` is not ASCII"),
    "a-space-that-does-not-break-is-part-of-a-name-in-oso": ("f(\u00a0_x);", r"in the name `.*` is not ASCII"),
    "byte-order-mark": ("\ufefff(1);", "the file starts with a byte order mark"),
    "nul": ("# \0\nf(1);", "hidden character U\\+0000"),
    "zero-width-space-in-a-string": ('f("a\u200b");', "hidden character U\\+200B"),
    "direction-mark-in-a-comment": ("# \u202e\nf(1);", "hidden character U\\+202E"),
    "a-lone-carriage-return-ends-a-comment-unseen": ("# a\rf(1);", "carriage return without a line feed"),
    "a-block-of-another-kind-is-refused-by-oso-later": ("thing A {}", "expected `actor` or `resource`, found"),
    "a-block-without-a-kind-is-refused-by-oso-later": ("A {}", "expected `actor` or `resource`, found"),
    "a-block-without-a-name-is-refused-by-oso-later": ("actor {}", "expected the name of a class, found `{`"),
    "an-unknown-declaration-is-refused-by-oso-later": (
        'resource A { colours = ["red"]; }',
        "expected `roles`, `permissions` or `relations`, found",
    ),
    "a-dictionary-of-roles-is-refused-by-oso-later": (
        "resource A { roles = {a: B}; }",
        "expected a list of strings, found `{`",
    ),
    "a-list-of-relations-is-refused-by-oso-later": (
        'resource A { relations = ["a"]; }',
        r"expected a dictionary, found `\[`",
    ),
    "another-word-for-on-is-refused-by-oso-later": (
        'resource A { "a" if "b" at "c"; }',
        "expected `on`, found `",
    ),
    "new-called-like-a-function": ("f() if new (g(1));", r"expected the name of a class, found `\(`"),
    "in-called-like-a-function": ("f() if in(1, [1]);", "expected a value, found `in`"),
    "a-dot-called-like-a-function-may-abort-oso": ("f() if .(1);", r"expected a value, found `\.`"),
    "a-name-that-ends-in-colons-and-a-question-mark": ("f(_a::?);", r"unexpected `\?`"),
    "deeper-than-any-policy": (f"f(_) if {'(' * 101}true{')' * 101};", "brackets are nested deeper than 100"),
    "a-longer-chain-than-any-policy": (f"f(_) if _.{'.'.join('a' * 101)};", "nested deeper than 100 operations"),
}


class Oso:
    """Oso's parser, asked through the interface that its library uses itself."""

    def __init__(self) -> None:
        class Quiet(ffi.Polar):
            def process_messages(self) -> None:
                for _ in ffi.process_messages(self.next_message):
                    pass

        self._polar = Quiet()
        self._polar.set_message_enricher(lambda message: message)

    def accepts(self, text: str) -> bool:
        try:
            self._polar.load([ffi.PolarSource(padded(text), "policy.polar")])
        except ParserError:
            return False
        except Exception:
            # Parsed, and refused for another reason afterwards.
            return True
        finally:
            self._polar.clear_rules()
        return True

    def tree(self, condition: str) -> object:
        """Return Oso's tree of a condition: a condition cannot be a value, and the error says what it found."""
        with pytest.raises(ParserError) as caught:
            self._polar.new_query_from_str(padded(f"0 = ({condition})"))
        return shape(caught.value.details["term"])


#: Oso takes ``new (…)``, ``in (…)`` and ``.(…)`` where a value may start, but aborts the process when it has to show
#: one that has too few arguments.
CALLED_OPERATOR = re.compile(
    r"""(?: [^\w\s)\]}"?] | \?= | \b(?:if|and|or|not|in|new|matches|mod|rem) )
        \s* (?: \. | \bin\b | \bnew\b ) \s* \(""",
    re.VERBOSE,
)


def padded(text: str) -> str:
    # Oso counts an error's place in characters up to a byte offset, and aborts the process where that is past the end.
    return text + "\n" * (len(text.encode()) - len(text))


OPERATORS = {
    "Unify": "=", "Assign": ":=", "Eq": "==", "Neq": "!=", "Leq": "<=", "Geq": ">=", "Lt": "<", "Gt": ">",
    "Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Mod": "mod", "Rem": "rem", "In": "in", "Isa": "matches",
    "And": "and", "Or": "or", "Not": "not", "Cut": "cut", "Debug": "debug", "Print": "print", "ForAll": "forall",
}  # fmt: skip


def shape(term: dict[str, object]) -> object:
    """Oso's tree as plain values."""
    ((kind, body),) = term["value"].items()
    return SHAPES[kind](body)


def shape_number(body: dict[str, object]) -> object:
    ((kind, number),) = body.items()
    return (kind, str(float(number)) if kind == "Float" else number)


def shape_call(body: dict[str, object]) -> object:
    return ("Call", body["name"], list(map(shape, body["args"])), shape_fields(body["kwargs"] or {}))


def shape_fields(fields: dict[str, object]) -> object:
    return {key: shape(term) for key, term in fields.items()}


def shape_pattern(body: dict[str, object]) -> object:
    if "Dictionary" in body:
        return ("Pattern", None, shape_fields(body["Dictionary"]["fields"]))
    return ("Pattern", body["Instance"]["tag"], shape_fields(body["Instance"]["fields"]["fields"]))


def shape_expression(body: dict[str, object]) -> object:
    operands = list(map(shape, body["args"]))
    if body["operator"] in ("Dot", "New"):
        return (body["operator"], *operands)
    return (OPERATORS[body["operator"]], *operands)


SHAPES: dict[str, Callable[[object], object]] = {
    "String": lambda body: ("String", body),
    "Boolean": lambda body: ("Boolean", body),
    "Number": shape_number,
    "Variable": lambda body: ("Variable", body),
    "RestVariable": lambda body: ("Rest", body),
    "List": lambda body: ("List", *map(shape, body)),
    "Dictionary": lambda body: ("Dictionary", shape_fields(body["fields"])),
    "Pattern": shape_pattern,
    "Call": shape_call,
    "Expression": shape_expression,
}


def ours(term: Term) -> object:
    """Our tree in the form of ``shape``."""
    match term:
        case Literal(value=bool(value)):
            return ("Boolean", value)
        case Literal(value=str(value)):
            return ("String", value)
        case Literal(value=int(value)):
            return ("Integer", value)
        case Literal(value=float(value)):
            return ("Float", str(value))
        case Variable(name=name):
            return ("Variable", name)
        case List(items=items, rest=rest):
            return ("List", *map(ours, items), *([("Rest", rest.name)] if rest else []))
        case Dictionary(fields=fields):
            return ("Dictionary", {key: ours(value) for key, value in fields})
        case Pattern(name=name, fields=fields):
            return ("Pattern", name, {key: ours(value) for key, value in fields.fields} if fields else {})
        case Call(name=name, arguments=arguments, keywords=keywords):
            return ("Call", name, list(map(ours, arguments)), {key: ours(value) for key, value in keywords})
        case New(call=call):
            return ("New", ours(call))
        case Dot(base=base, attribute=str(attribute), arguments=None):
            return ("Dot", ours(base), ("String", attribute))
        case Dot(base=base, attribute=str(attribute), arguments=arguments, keywords=keywords):
            named = {key: ours(value) for key, value in keywords}
            return ("Dot", ours(base), ("Call", attribute, list(map(ours, arguments)), named))
        case Dot(base=base, attribute=attribute):
            return ("Dot", ours(base), ours(attribute))
        case Operation(operator=operator, operands=operands):
            return (operator, *map(ours, operands))
    raise AssertionError(term)


class Author:
    """Writes policies at random, most of them well-formed."""

    def __init__(self, random: random.Random) -> None:
        self.random = random

    def one_of(self, *choices: str | Callable[[int], str], depth: int) -> str:
        chosen = self.random.choice(choices)
        return chosen if isinstance(chosen, str) else chosen(depth - 1)

    def several(self, make: Callable[[int], str], depth: int, most: int = 3) -> str:
        return ", ".join(make(depth) for _ in range(self.random.randint(0, most)))

    def policy(self) -> str:
        return "\n".join(self.statement() for _ in range(self.random.randint(1, 3)))

    def statement(self) -> str:
        kind = self.random.choice(["rule"] * 6 + ["fact", "type", "query", "block"])
        if kind == "rule":
            return f"{self.name()}({self.several(self.parameter, 2)}) if {self.condition(4)};"
        if kind == "fact":
            return f"{self.name()}({self.several(self.value, 1)});"
        if kind == "type":
            return f"type {self.name()}({self.several(self.parameter, 2)});"
        if kind == "query":
            return f"?= {self.condition(3)};"
        return self.block()

    def block(self) -> str:
        parts = [
            'roles = ["reader", "writer"];',
            'permissions = ["read",, "write",];',
            "relations = {parent: Parent, owner: User};",
            '"read" if "reader";',
            '"write" if "writer" on "parent";',
            "roles = [];",
        ]
        chosen = self.random.sample(parts, self.random.randint(0, 4))
        return f"{self.random.choice(['actor', 'resource'])} Image {{ {' '.join(chosen)} }}"

    def name(self) -> str:
        return self.random.choice(["allow", "f", "a::b", "ok?", "_x", "on", "actor"])

    def variable(self, depth: int = 0) -> str:
        return self.random.choice(["x", "y", "_", "_z", "nil", "Image", "a::b", "on"])

    def literal(self, depth: int = 0) -> str:
        return self.random.choice(
            [
                *("0", "1", "-1", "+ 2", "1.5", "-0.0", "1.", "1e3", "2.5E-3", "01", "inf", "-inf", "nan"),
                *("true", "false", '"a"', '""', r'"\"\n\q\\"', '"é🎉"', '"a#b"', "9223372036854775807"),
            ]
        )

    def attribute(self, depth: int = 0) -> str:
        return self.random.choice(["name", "owner", "type", "in", "new", "ok?", "x::y", '("a b")', "(x)"])

    def parameter(self, depth: int) -> str:
        if self.random.random() < 0.5:
            return f"{self.variable()}: {self.pattern(depth)}"
        return self.value(depth)

    def pattern(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.variable, self.literal, depth=0)
        return self.one_of(
            self.variable,
            self.literal,
            lambda d: f"Image{{{self.several(self.pattern_field, d)}}}",
            lambda d: f"{{{self.several(self.pattern_field, d)}}}",
            lambda d: f"[{self.several(self.pattern_element, d)}]",
            depth=depth,
        )

    def pattern_field(self, depth: int) -> str:
        key = self.random.choice(["a", "b", "c", "if", "d", "e"])
        value = self.one_of(self.variable, self.pattern, lambda d: f"{self.variable()}.{self.attribute()}", depth=depth)
        return f"{key}: {value}"

    def pattern_element(self, depth: int) -> str:
        return self.one_of(self.literal, self.variable, lambda d: f"{self.literal()} + 1", "Image{}", depth=depth)

    def value(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.variable, self.literal, depth=0)
        return self.one_of(
            self.variable,
            self.literal,
            self.lookup,
            lambda d: f"[{self.several(self.value, d)}]",
            lambda d: f"[{self.value(d)}, *rest]",
            lambda d: f"{{{self.field('a', d)}, {self.field('if', d)}}}",
            lambda d: f"new Image({self.several(self.value, d, 2)})",
            lambda d: f"({self.value(d)})",
            lambda d: f"{self.value(d)} {self.random.choice(['+', '-', '*', '/', 'mod', 'rem'])} {self.value(d)}",
            depth=depth,
        )

    def field(self, key: str, depth: int) -> str:
        return f"{key}: {self.value(depth)}"

    def lookup(self, depth: int) -> str:
        base = self.random.choice([self.variable(), f"({self.value(depth)})", self.variable()])
        text = f"{base}.{self.attribute()}"
        if self.random.random() < 0.5:
            text = f"{base}.get({self.several(self.value, depth, 2)})"
        return text + self.random.choice(["", "", ".id", "(k: 1)" if text[-1].isalpha() else ""])

    def condition(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.variable, "true", "x.y", depth=0)
        return self.one_of(
            self.comparison,
            self.comparison,
            self.lookup,
            lambda d: f"{self.condition(d)} and {self.condition(d)}",
            lambda d: f"{self.condition(d)} or {self.condition(d)}",
            lambda d: f"({self.condition(d)})",
            lambda d: f"not ({self.condition(d)})",
            lambda d: f"not {self.comparison(d)}",
            lambda d: f"{self.name()}({self.several(self.value, d)})",
            lambda d: f"g({self.value(d)}, key: {self.value(d)}, type: 1)",
            lambda d: f"forall({self.condition(d)}, {self.condition(d)})",
            lambda d: f"{self.random.choice(['print', 'debug'])}({self.several(self.value, d)})",
            "cut",
            "x := 1",
            depth=depth,
        )

    def comparison(self, depth: int) -> str:
        operator = self.random.choice(["=", "==", "!=", "<", ">", "<=", ">=", "in", "matches"])
        if operator == "matches":
            return f"{self.operand(depth)} matches {self.pattern(depth)}"
        if operator == "in":
            return f"{self.operand(depth)} in {self.operand(depth)}"
        return f"{self.value(depth)} {operator} {self.value(depth)}"

    def operand(self, depth: int) -> str:
        return self.one_of(self.variable, self.literal, lambda d: f"({self.value(d)})", self.lookup, depth=depth)


TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|\w+|[:=!<>?]=|\s+|.', re.DOTALL)
SPARE_TOKENS = (
    *re.split(" ", "; , . : :: = := == ! != ( ) [ ] { } * + - / ? ?= | && ' # a X 1 1e 1.5 -1"),
    *re.split(" ", "if and or not in matches new cut print debug forall type mod rem true nil inf nan isa on actor _"),
    *('"', '"s"', "\\", "\r\n", "\n"),
)


def mutant(random: random.Random, text: str) -> str:
    """Return ``text`` with one token or character deleted, doubled, swapped with the next, or put in."""
    parts = TOKEN.findall(text) if random.random() < 0.7 else list(text)
    if not parts:
        return text
    at = random.randrange(len(parts))
    change = random.randrange(5)
    if change == 0:
        del parts[at]
    elif change == 1:
        parts.insert(at, parts[at])
    elif change == 2:
        parts[at : at + 2] = reversed(parts[at : at + 2])
    elif change == 3:
        parts.insert(at, f" {random.choice(SPARE_TOKENS)} ")
    else:
        parts[at] = random.choice(SPARE_TOKENS)
    return "".join(parts)


def deliberate(text: str) -> bool:
    """Whether the deliberate kinds explain every problem that we see in ``text``."""
    kinds = re.compile("|".join(message for _, message in DELIBERATE.values()))
    return all(kinds.search(problem.message) for problem in parse(text, "p")[1])


@pytest.fixture(scope="module")
def oso() -> Oso:
    return Oso()


def test_every_mutant_is_accepted_or_refused_as_by_oso(oso):
    source = random.Random(20)
    author = Author(source)
    outcomes: Counter[str] = Counter()
    wrong = []
    for _ in range(CASES):
        text = author.policy()
        for _ in range(source.randrange(3)):
            text = mutant(source, text)
        # Without comments as well, because one may stand between the two; a string may hold a `#`, though.
        if any(map(CALLED_OPERATOR.search, (text, re.sub("#.*", "", text)))):
            outcomes["not asked"] += 1
            continue
        we, they = not parse(text, "policy.polar")[1], oso.accepts(text)
        outcomes[f"{'accepted' if we else 'refused'}, by oso {'accepted' if they else 'refused'}"] += 1
        if we != they and (we or not deliberate(text)):
            wrong.append((text, "we accept" if we else str(parse(text, "p")[1][0])))
    print(dict(outcomes))
    assert wrong[:10] == []
    assert outcomes["accepted, by oso accepted"] > CASES // 5
    assert outcomes["refused, by oso refused"] > CASES // 5


def test_every_accepted_condition_has_osos_tree(oso):
    source = random.Random(21)
    author = Author(source)
    compared = 0
    for _ in range(CASES):
        text = author.condition(4)
        for _ in range(source.randrange(2)):
            text = mutant(source, text)
        statements, problems = parse(f"?= not ({text});", "p")
        if problems or "#" in text or len(statements) != 1:
            continue
        assert isinstance(statements[0], InlineQuery)
        compared += 1
        assert ours(statements[0].term) == oso.tree(f"not ({text})"), text
    assert compared > CASES // 3


@pytest.mark.parametrize(("text", "message"), DELIBERATE.values(), ids=DELIBERATE)
def test_what_only_we_refuse(oso, text, message):
    assert oso.accepts(text)
    problems = parse(text, "p")[1]
    assert re.search(message, problems[0].message), problems


def test_numbers_are_read_as_oso_reads_them(oso):
    source = random.Random(22)
    for _ in range(CASES // 5):
        text = f"{source.choice(['', '-', '+'])}{source.randrange(10 ** source.randint(1, 25))}"
        text += source.choice(["", ".", f".{source.randrange(10**6)}"]) + source.choice(
            ["", "e5", "E-7", f"e{source.randint(-400, 400)}", "e"]
        )
        statements, problems = parse(f"?= x = {text};", "p")
        if problems:
            assert not oso.accepts(f"f({text});"), text
            continue
        tree = ours(statements[0].term)
        assert json.dumps(tree) == json.dumps(oso.tree(f"x = {text}")), text
        assert not (isinstance(tree[2][1], str) and math.isnan(float(tree[2][1])))
