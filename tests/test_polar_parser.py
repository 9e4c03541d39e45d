"""What the parser reads, where it says that it stands, and how it explains each mistake."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protect.polar.cursor import MAX_DEPTH
from protect.polar.parser import parse, remembering
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
    inside,
    walk,
)
from protect.polar.tokens import RESERVED

FILE = "policy.polar"


def read(text: str) -> list[Statement]:
    statements, problems = parse(text, FILE)
    assert not problems
    return list(statements)


def query(text: str) -> Term:
    (statement,) = read(f"?= {text};")
    assert isinstance(statement, InlineQuery)
    return statement.term


def mistakes(text: str) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.message) for problem in parse(text, FILE)[1]]


def span(start: int, end: int, line: int = 1, column: int | None = None) -> Span:
    return Span(FILE, start, end, line, start + 1 if column is None else column)


def sketch(term: Term) -> object:
    """A term without its places."""
    match term:
        case Literal(value=value):
            return value
        case Variable(name=name):
            return f"${name}"
        case List(items=items, rest=rest):
            return [*map(sketch, items), *([f"*{rest.name}"] if rest else [])]
        case Dictionary(fields=fields):
            return {key: sketch(value) for key, value in fields}
        case Pattern(name=name, fields=fields):
            return ("pattern", name, sketch(fields) if fields else None)
        case Call(name=name, arguments=arguments, keywords=keywords):
            return (f"{name}()", *map(sketch, arguments), *((key, sketch(value)) for key, value in keywords))
        case New(call=call):
            return ("new", sketch(call))
        case Dot(base=base, attribute=attribute, arguments=arguments, keywords=keywords):
            name = attribute if isinstance(attribute, str) else sketch(attribute)
            called = () if arguments is None else ([*map(sketch, arguments)], {k: sketch(v) for k, v in keywords})
            return (".", sketch(base), name, *called)
        case Operation(operator=operator, operands=operands):
            return (operator, *map(sketch, operands))


# What is read


def test_a_rule_knows_all_its_places():
    text = 'allow(s: Subject, "get") if s.id = 1;'
    assert read(text) == [
        Rule(
            "allow",
            (
                Parameter(
                    Variable("s", span(6, 7)),
                    Pattern("Subject", None, span(9, 16), span(9, 16)),
                    span(6, 16),
                ),
                Parameter(Literal("get", span(18, 23)), None, span(18, 23)),
            ),
            Operation(
                "=",
                (
                    Dot(Variable("s", span(28, 29)), "id", None, (), span(28, 32), span(30, 32)),
                    Literal(1, span(35, 36)),
                ),
                span(28, 36),
            ),
            span(0, 37),
            span(0, 5),
        )
    ]


def test_places_count_code_points_after_other_scripts_and_both_line_ends():
    text = '# é🎉\r\nf("ü🎉", x) if # ß\r\n  x.("é") = "日本";\nh(1);'
    first, second = read(text)
    assert isinstance(first, Rule)
    assert isinstance(first.body, Operation)
    left, right = first.body.operands
    assert first.span == Span(FILE, text.index("f("), text.index(";") + 1, 2, 1)
    assert first.parameters[0].span == Span(FILE, 8, 12, 2, 3)
    assert first.parameters[1].span == Span(FILE, 14, 15, 2, 9)
    assert (left.span.line, left.span.column, text[left.span.start : left.span.end]) == (3, 3, 'x.("é")')
    assert (right.span.line, right.span.column, text[right.span.start : right.span.end]) == (3, 13, '"日本"')
    assert (second.span.line, second.span.column) == (4, 1)


def test_a_string_over_two_lines_keeps_the_count():
    (rule,) = read('f("a\\\nb",\n  x);')
    assert isinstance(rule, Rule)
    assert rule.parameters[0].term == Literal("a\nb", Span(FILE, 2, 8, 1, 3))
    assert rule.parameters[1].span == Span(FILE, 12, 13, 3, 3)


def test_brackets_belong_to_the_place_of_the_operation_around_them():
    text = "?= (a + b) * (c);"
    (statement,) = read(text)
    assert isinstance(statement, InlineQuery)
    product = statement.term
    assert isinstance(product, Operation)
    assert text[product.span.start : product.span.end] == "(a + b) * (c)"
    assert [text[part.span.start : part.span.end] for part in product.operands] == ["a + b", "c"]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        pytest.param("a or b and c", ("or", "$a", ("and", "$b", "$c")), id="and-binds-tighter-than-or"),
        pytest.param("a and b or c", ("or", ("and", "$a", "$b"), "$c"), id="or-binds-looser-than-and"),
        pytest.param("a and b and c", ("and", "$a", "$b", "$c"), id="a-chain-is-flat"),
        pytest.param("a and (b and c)", ("and", "$a", "$b", "$c"), id="a-bracket-at-the-end-of-a-chain-is-flat"),
        pytest.param("(a and b) and c", ("and", ("and", "$a", "$b"), "$c"), id="a-bracket-before-the-end-stays"),
        pytest.param("not a = b and c", ("and", ("not", ("=", "$a", "$b")), "$c"), id="not-takes-a-comparison"),
        pytest.param("not (a and b)", ("not", ("and", "$a", "$b")), id="not-takes-a-bracket"),
        pytest.param("a = 1 - 2 - 3", ("=", "$a", ("-", ("-", 1, 2), 3)), id="minus-goes-from-left-to-right"),
        pytest.param("a < 1 + 2 * 3", ("<", "$a", ("+", 1, ("*", 2, 3))), id="times-binds-tighter-than-plus"),
        pytest.param("a := 7 mod 2", (":=", "$a", ("mod", 7, 2)), id="assignment"),
        pytest.param("a = -1", ("=", "$a", -1), id="a-sign-before-a-number-is-part-of-it"),
        pytest.param("a = b -1", ("=", "$a", ("-", "$b", 1)), id="a-sign-after-a-value-is-an-operator"),
        pytest.param("a in [1, *r]", ("in", "$a", [1, "*r"]), id="the-rest-of-a-list"),
        pytest.param("a in [1,, 2,]", ("in", "$a", [1, 2]), id="repeated-commas-in-a-list"),
        pytest.param("a = {if: 1, b}", ("=", "$a", {"if": 1, "b": "$b"}), id="a-dictionary-with-a-short-field"),
        pytest.param("x.a", (".", "$x", "a"), id="an-attribute"),
        pytest.param("x.a()", (".", "$x", "a", [], {}), id="a-method-without-arguments"),
        pytest.param("x.type(1, in: 2)", (".", "$x", "type", [1], {"in": 2}), id="a-method-named-by-a-reserved-word"),
        pytest.param('x.("a b").(c)', (".", (".", "$x", "a b"), "$c"), id="attributes-in-brackets"),
        pytest.param("f(1, k: 2)", ("f()", 1, ("k", 2)), id="a-call-with-a-named-argument"),
        pytest.param("new A(1).b = 2", ("=", (".", ("new", ("A()", 1)), "b"), 2), id="a-new-object"),
        pytest.param("a matches Image", ("matches", "$a", ("pattern", "Image", None)), id="a-type"),
        pytest.param("a matches A{b: 1}", ("matches", "$a", ("pattern", "A", {"b": 1})), id="a-type-with-fields"),
        pytest.param("a matches {b: x.c}", ("matches", "$a", ("pattern", None, {"b": (".", "$x", "c")})), id="fields"),
        pytest.param("a matches [A{}]", ("matches", "$a", [("pattern", "A", {})]), id="a-pattern-in-a-list"),
        pytest.param("a matches -1.5", ("matches", "$a", -1.5), id="a-number-as-a-pattern"),
        pytest.param("forall(a in b, not c)", ("forall", ("in", "$a", "$b"), ("not", "$c")), id="forall"),
        pytest.param("print(a, 1) and cut", ("and", ("print", "$a", 1), ("cut",)), id="print-and-cut"),
        pytest.param("debug()", ("debug",), id="debug"),
        pytest.param("nil = a::b", ("=", "$nil", "$a::b"), id="nil-is-a-name"),
        pytest.param("ok?(x?)", ("ok?()", "$x?"), id="names-that-end-in-a-question-mark"),
        pytest.param(r'a = "\n\"\q\\\0é"', ("=", "$a", '\n"q\\\0é'), id="escapes-as-oso-reads-them"),
        pytest.param("a = 1e3", ("=", "$a", 1000.0), id="a-float-with-an-exponent"),
        pytest.param("a = -inf", ("=", "$a", float("-inf")), id="infinity"),
        pytest.param("a = 9223372036854775807", ("=", "$a", 2**63 - 1), id="the-largest-integer"),
    ],
)
def test_an_expression(text, tree):
    assert sketch(query(text)) == tree


def test_true_is_no_number():
    assert type(query("true").value) is bool
    assert type(query("1").value) is int
    assert type(query("1.").value) is float


def test_a_block_with_all_its_parts():
    text = """resource Image {
  permissions = ["read"]; roles = [];
  "read" if "reader";
  relations = {parent: Project};
  "read" if "reader" on "parent";
}
"""
    (block,) = read(text)
    assert isinstance(block, Block)
    assert (block.kind, block.name) == ("resource", "Image")
    assert [(name, sketch(value)) for name, value in block.declarations] == [
        ("permissions", ["read"]),
        ("roles", []),
        ("relations", {"parent": "$Project"}),
    ]
    assert [(rule.head, sketch(rule.body)) for rule in block.shorthand] == [
        ("read", "reader"),
        ("read", ("on", "reader", "parent")),
    ]
    assert text[block.span.start : block.span.end] == text.rstrip()
    assert text[block.name_span.start : block.name_span.end] == "Image"
    start = text.index('"read" if "reader" on')
    assert block.shorthand[1].span == Span(FILE, start, text.index(";", start) + 1, 5, 3)


def test_a_type_and_an_empty_file():
    assert isinstance(read("type allow(s: Subject, action, _);")[0], TypeDeclaration)
    assert read("") == read(" \t\r\n# nothing") == []


def test_equal_text_at_equal_places_is_equal_and_at_others_is_not():
    assert read("f(1);") == read("f(1);")
    assert read("f(1);") != read(" f(1);")
    assert parse("f(1);", "a")[0] != parse("f(1);", "b")[0]


def test_walk_yields_every_term_in_the_order_of_the_text():
    (rule,) = read('f(a: A{b: 1}, [c, *d]) if x.("e")(2) = new G(h: 3) and i(4);'.replace("(2)", ".g(2)"))
    seen = [sketch(term) for term in walk(rule) if isinstance(term, Literal | Variable)]
    assert seen == ["$a", 1, "$c", "$d", "$x", "e", 2, 3, 4]
    assert [type(term).__name__ for term in walk(rule)][:3] == ["Variable", "Pattern", "Dictionary"]
    (block,) = read('actor A { "x" if "y" on "z"; roles = ["r"]; }')
    assert [sketch(term) for term in walk(block) if isinstance(term, Literal)] == ["y", "z", "r"]


def test_walk_of_a_term_starts_with_the_term():
    term = query("a and b")
    assert next(walk(term)) is term


# How mistakes are told


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "advice"),
    [
        pytest.param(
            "allow(a)\nallow(b);", 2, 1, "expected `;` after the rule, found `allow`",
            "put `;` at the end of line 1", id="a-missing-semicolon-before-the-next-rule",
        ),
        pytest.param(
            "f(1)", 1, 5, "expected `;` after the rule, found the end of the file",
            "put `;` before it", id="a-missing-semicolon-at-the-end",
        ),
        pytest.param(
            "f(1);;", 1, 6, "expected a rule, found `;`",
            "a rule reads `name(parameters) if condition;`", id="a-semicolon-too-many",
        ),
        pytest.param(
            "f(x) if x, y;", 1, 10, "expected `;` after the rule, found `,`",
            "join conditions with `and` or `or`", id="a-comma-between-conditions",
        ),
        pytest.param(
            "f(x) :- x;", 1, 6, "expected `;` after the rule, found `:`",
            "begin its body with `if`", id="the-if-of-another-language",
        ),
        pytest.param(
            "f(x) if x = 'a';", 1, 13, "unexpected `'a'`", 'use double quotes: `"text"`', id="single-quotes",
        ),
        pytest.param("f(x) if x && x;", 1, 11, "unexpected `&&`", "write `and`", id="the-and-of-another-language"),
        pytest.param("f(x) if x || x;", 1, 11, "unexpected `||`", "write `or`", id="the-or-of-another-language"),
        pytest.param("f(x) if !x;", 1, 9, "unexpected `!`", "write `not`", id="the-not-of-another-language"),
        pytest.param("f(x) if x <> 1;", 1, 12, "expected a value, found `>`", "write `!=`", id="another-unequal"),
        pytest.param("f(x) if x =< 1;", 1, 12, "expected a value, found `<`", "write `<=`", id="another-at-most"),
        pytest.param("f(1); // text", 1, 7, "unexpected `//`", "a comment starts with `#`", id="another-comment"),
        pytest.param("f(1); /* ; */", 1, 7, "unexpected `/*`", "a comment starts with `#`", id="a-long-comment"),
        pytest.param(
            "f(type);", 1, 3, "`type` is a reserved word and cannot be a variable",
            "choose another name", id="a-reserved-word-as-a-variable",
        ),
        pytest.param(
            "if(x);", 1, 1, "`if` is a reserved word and cannot be a rule",
            "choose another name", id="a-reserved-word-as-a-rule",
        ),
        pytest.param(
            "f(x) if x.mod;", 1, 11, "`mod` is a reserved word and cannot be an attribute",
            'write `.("mod")`', id="a-reserved-word-as-an-attribute",
        ),
        pytest.param(
            'f("a);', 1, 3, "the string is not closed on its line",
            'end it with `"`; a `"` inside a string is written `\\"`, a line end `\\n`', id="an-open-string",
        ),
        pytest.param(
            "f(9223372036854775808);", 1, 3, "the integer `9223372036854775808` is too large",
            "the largest is 9223372036854775807; write a larger number as a float, such as `1e20`",
            id="an-integer-beyond-64-bits",
        ),
        pytest.param(
            "f(1e5-3);", 1, 3, "`1e5-3` is not a number",
            "an exponent reads `1e6` or `1e-6`; put spaces around a sign that is not part of it",
            id="an-exponent-with-a-sign-behind-it",
        ),
        pytest.param(
            "\ufefff(1);", 1, 1, "the file starts with a byte order mark",
            "save it as UTF-8 without one", id="a-byte-order-mark",
        ),
        pytest.param(
            "f(_\u0430);", 1, 4, "U+0430 (cyrillic small letter a) in the name `_\u0430` is not ASCII",
            "names are made of the letters a to z, digits and `_`; any text may stand in a string",
            id="a-letter-that-looks-like-another",
        ),
        pytest.param(
            "f(\u201ca\u201d);", 1, 3, "U+201C (left double quotation mark) in the name `\u201ca\u201d` is not ASCII",
            'strings stand in straight double quotes: `"text"`', id="typographic-quotes",
        ),
        pytest.param("al\u200blow(1);", 1, 3, "hidden character U+200B (zero width space)", "remove it",
                     id="a-zero-width-space-in-a-name"),
        pytest.param("f(\x001);", 1, 3, "hidden character U+0000", "remove it", id="nul"),
        pytest.param('f("a\ud800");', 1, 5, "hidden character U+D800", "remove it", id="half-of-a-character"),
        pytest.param(
            "# a\rf(1);", 1, 4, "carriage return without a line feed",
            "end lines with a line feed", id="a-carriage-return-that-ends-a-comment-unseen",
        ),
        pytest.param(
            "f(x) if g(x) = 1;", 1, 9, "expected a value, found the condition `g(x)`",
            "a rule answers yes or no: call it on its own, as in `g(…) and …`", id="a-rule-called-for-its-value",
        ),
        pytest.param(
            "f(x) if x = (y in z);", 1, 14, "expected a value, found the condition `y in z`",
            "write the condition on its own and join it with `and`", id="a-condition-as-a-value",
        ),
        pytest.param(
            "f(x) if 1 and x;", 1, 9, "expected a condition, found the value `1`",
            "compare it with something, as in `x = 1`", id="a-value-as-a-condition",
        ),
        pytest.param(
            "f(x) if x = 1 = 2;", 1, 9, "expected a value, found the condition `x = 1`",
            "write the condition on its own and join it with `and`", id="two-equal-signs-in-a-row",
        ),
        pytest.param(
            "f(x) if not not x;", 1, 13, "expected a value, found `not`",
            "put brackets around a `not` that stands inside another expression", id="not-not",
        ),
        pytest.param(
            "f(x) if (x = 1;", 1, 15, "expected `)`, found `;`",
            "`)` closes the `(` of line 1, column 9", id="an-open-bracket",
        ),
        pytest.param(
            "f(x) if x in [*r, 1];", 1, 17, "expected `]`, found `,`",
            "the rest of a list, `*r`, comes last", id="more-after-the-rest-of-a-list",
        ),
        pytest.param(
            'f(x) if x = {"a": 1};', 1, 14, 'expected a key, found `"a"`',
            "a key is a name without quotes: `{name: value}`", id="a-key-in-quotes",
        ),
        pytest.param(
            "f(x) if x = {a: 1, a: 2};", 1, 20, "the key `a` is given twice", "keep one of them", id="a-key-twice",
        ),
        pytest.param(
            "f(x) if x = -y;", 1, 14, "expected a number after `-`, found `y`",
            "a sign stands before a number only; write `0 - x`", id="a-sign-before-a-variable",
        ),
        pytest.param(
            "actr A {}", 1, 1, "expected `actor` or `resource`, found `actr`",
            "only these begin a block", id="a-block-of-another-kind",
        ),
        pytest.param(
            'resource A { roles = ["a"] }', 1, 28, "expected `;` after the declaration, found `}`",
            "put `;` before it", id="a-declaration-without-its-semicolon",
        ),
        pytest.param(
            'resource A {\n roles = ["a"];\nf(1);', 3, 1, "expected `}` at the end of the block, found `f`",
            "close the block before the next statement", id="an-open-block",
        ),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(text, line, column, message, advice):
    ((problem),) = parse(text, FILE)[1]
    assert (problem.file, problem.line, problem.column) == (FILE, line, column)
    assert (problem.message, problem.help) == (message, advice)


def test_every_mistake_of_a_file_is_told_in_one_run():
    text = """f(1 2);
g(x) if
  x = 'a' and y && z;
h(1)
i(1);
resource A {
  roles = [a];
  "x" if "y" and "z";
  relations = {a: 1};
}
j("open);
k(x) { x; y; };
l(ok);
m(,);
"""
    assert mistakes(text) == [
        (1, 5, "expected `,` or `)`, found `2`"),
        (3, 7, "unexpected `'a'`"),
        (3, 17, "unexpected `&&`"),
        (5, 1, "expected `;` after the rule, found `i`"),
        (7, 12, "expected a string, found `a`"),
        (8, 14, "expected `;` after the shorthand rule, found `and`"),
        (9, 19, "expected the name of a class, found `1`"),
        (11, 3, "the string is not closed on its line"),
        (12, 6, "expected `;` after the rule, found `{`"),
        (14, 3, "expected a value, found `,`"),
    ]
    assert [rule.name for rule in parse(text, FILE)[0] if isinstance(rule, Rule)] == ["g", "i", "l"]


def test_places_of_mistakes_count_code_points():
    text = '# é🎉\r\nf("é🎉" "b");\r\ng("ü", 1 1);'
    assert mistakes(text) == [
        (2, 8, 'expected `,` or `)`, found `"b"`'),
        (3, 10, "expected `,` or `)`, found `1`"),
    ]


def test_a_message_carries_nothing_that_a_terminal_obeys():
    problems = parse('f(1 "\u202e\x1b[2J\t' + "x" * 100 + '");', FILE)[1]
    assert all(problem.message.isprintable() and len(problem.message) < 120 for problem in problems)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_a_reserved_word_is_no_rule(word):
    assert len(mistakes(f"{word}(_);")) == 1
    assert mistakes(f"{word}s(_);") == []


# Depth and size


def nested(kind: str, depth: int) -> str:
    return {
        "brackets": f"?= {'(' * depth}x{')' * depth};",
        "lists": f"?= {'[' * depth}x{']' * depth};",
        "dictionaries": f"?= {'{a: ' * depth}x{'}' * depth};",
        "calls": f"?= {'x.a(' * depth}x{')' * depth};",
        "negations": f"?= {'not (' * depth}x{')' * depth};",
        "patterns": f"?= x matches {'A{a: ' * depth}x{'}' * depth};",
        "sums": f"?= x = {' + '.join(['1'] * depth)};",
        "lookups": f"?= x{'.a' * depth};",
        "alternations": f"?= {'a or (b and (' * (depth // 2)}x{'))' * (depth // 2)};",
    }[kind]


KINDS = ["brackets", "lists", "dictionaries", "calls", "negations", "patterns", "sums", "lookups", "alternations"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_nested_too_deeply_is_one_problem_and_what_is_not_is_none(kind):
    assert mistakes(nested(kind, MAX_DEPTH // 2 - 2)) == []
    for depth in (2 * MAX_DEPTH + 2, 50_000):
        ((line, _, message),) = mistakes(nested(kind, depth) + "\nf(1);")
        assert line == 1
        assert message.startswith(("brackets are nested deeper", "the expression is nested deeper"))


def test_brackets_may_be_nested_to_the_limit_and_no_deeper():
    assert mistakes(nested("brackets", MAX_DEPTH)) == []
    assert mistakes(nested("brackets", MAX_DEPTH + 1)) == [(1, 104, "brackets are nested deeper than 100")]


def test_no_tree_is_higher_than_the_limit():
    # Brackets that begin chains: neither is too deep alone, but the tree they make together is.
    text = f"?= x = {'(' * 90}1{' + 1)' * 90}{' + 1' * 90};"
    assert [message for _, _, message in mistakes(text)] == ["the expression is nested deeper than 100 operations"]
    assert mistakes(f"?= x = {'(' * 40}1{' + 1)' * 40}{' + 1' * 40};") == []


def test_a_chain_of_conditions_may_be_long():
    assert mistakes(f"?= {' or '.join(['x = 1'] * 2_000)};") == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('magic("kernel_id_{}");', id="facts"),
        pytest.param('allow(s: Subject, "a{}", i: Image) if s.has_role("x") and i.owner = s.tenant;', id="rules"),
        pytest.param("f(1 {});", id="mistakes"),
        pytest.param("f('{}", id="open-single-quotes"),
        pytest.param('f("{}', id="open-strings"),
        pytest.param("((({}[{{", id="open-brackets"),
        pytest.param("\\'{}\\'" * 3, id="stray-escapes"),
        pytest.param("/*{}\0", id="open-comments"),
    ],
)
def test_a_large_file_is_read_in_linear_time(line):
    def seconds(lines: int) -> float:
        text = "\n".join(line.replace("{}", str(number)) for number in range(lines))
        started = time.process_time()
        parse(text, FILE)
        return time.process_time() - started

    small, large = min(seconds(300) for _ in range(3)), min(seconds(3_000) for _ in range(2))
    # Quadratic reading would take a hundred times as long; the rest is room for a busy machine.
    assert large < 30 * small + 0.1


def test_ten_thousand_facts_are_read_quickly():
    text = "\n".join(f'magic("property_{number}");' for number in range(10_000))
    started = time.process_time()
    assert len(read(text)) == 10_000
    # A generous bound: about 0.15 s on a two-core machine of 2024.
    assert time.process_time() - started < 1


# What holds for every text

PIECES = st.sampled_from(
    ["f(x) if ", "x", "1", '"é"', "'", '"', "\\", "(", ")", "[", "]", "{", "}", ";", ",", ".", ":", "=", " and ",
     " or ", " not ", " in ", " matches ", "A{", "*", "-", "new ", "forall(", "type ", "actor A {", "roles", "\n", "\r",
     "#", "é", "🎉", "\0", "\u202e", "1e", "9" * 20, "?=", "&&", "/*"]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=60)))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_without_an_exception_and_every_place_is_true(text):
    statements, problems = parse(text, FILE)
    for problem in problems:
        assert 1 <= problem.line <= text.count("\n") + 1
        assert 1 <= problem.column <= len(text.split("\n")[problem.line - 1]) + 1
        assert problem.message.isprintable()
    for statement in statements:
        check_places(text, statement)


def check_places(text: str, node: Statement | Term) -> None:
    place = node.span
    assert 0 <= place.start < place.end <= len(text)
    assert place.line == text.count("\n", 0, place.start) + 1
    assert place.column == place.start - text.rfind("\n", 0, place.start)
    for part in inside(node):
        assert place.start <= part.span.start
        assert part.span.end <= place.end
        check_places(text, part)


def test_a_text_is_remembered_as_long_as_somebody_wants_it() -> None:
    text = "f(1);"
    assert parse(text, "a")[0] is not parse(text, "a")[0]
    with remembering():
        first = parse(text, "a")[0]
        assert parse(text, "a")[0] is first
        assert parse(text, "b")[0] != first
        with remembering():
            assert parse(text, "a")[0] is not first
    with remembering():
        assert parse(text, "a")[0] is not first
