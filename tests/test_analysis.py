"""Exact analysis: names that fit patterns, queries that fit constraints, and proofs that there are none."""

from __future__ import annotations

import itertools
import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protect.analysis import (
    Among,
    CannotSay,
    Constraint,
    Except,
    Outcome,
    can,
    deciding_rules,
    names,
    outcomes,
    paths,
    satisfy,
    topic_of,
    topics,
)
from protect.analysis import holds as all_hold
from protect.analysis.automata import FOUND, Unsupported, machine
from protect.analysis.constraints import facts_of, kind_of
from protect.analysis.names import finder
from protect.analysis.orders import Below, numbers
from protect.analysis.regions import apart
from protect.policy import Policy
from protect.policy.policy import Graphs, Table
from protect.policy.questions import Of, Operator, Question, question
from protect.policy.vocabulary import CORE, NAME, Kind
from protect.values import Image, Property, Query, Subject
from tests.test_graph_agrees_with_oso import compiled, policies, queries

EXAMPLES = 3_000 if os.environ.get("PROTECT_EXHAUSTIVE") else 40

ROLES = ("subject", "roles")
TENANT = ("subject", "tenant")
OWNER = ("resource", "owner")
SIZE = ("resource", "size")


def matches(pattern: str) -> tuple[Operator, str]:
    return Operator.MATCHES, pattern


def searches(pattern: str) -> tuple[Operator, str]:
    return Operator.SEARCHES, pattern


# --- names ---


@pytest.mark.parametrize(
    ("found_in", "not_in", "other_than", "there_is"),
    [
        pytest.param([matches("^hw_")], [matches("_cpu$")], [], True, id="one prefix without one suffix"),
        pytest.param([matches("^hw_cpu$")], [matches("_cpu$")], [], False, id="a name that has the suffix"),
        pytest.param([matches("^hw_")], [matches("^hw")], [], False, id="a prefix within another"),
        pytest.param([matches("^hw")], [matches("^hw_")], [], True, id="and the other way round"),
        pytest.param([matches("^a$")], [], ["a"], False, id="the only name is taken"),
        pytest.param([matches("^[ab]$")], [], ["a"], True, id="one of two names is taken"),
        pytest.param([searches("^a$")], [], ["a"], True, id="Python's end stands before a newline as well"),
        pytest.param([searches(r"^a\Z")], [], ["a"], False, id="and its real end does not"),
        pytest.param([matches("(?i)^a$")], [], ["a"], True, id="another case is another name"),
        pytest.param([matches("(?i)^a$")], [], ["a", "A"], False, id="both cases are taken"),
        pytest.param([matches("(?i)^k$")], [], ["k", "K"], True, id="the sign for kelvin is a k without case"),
        pytest.param([searches("kernel_id")], [searches("^kernel_id$")], [], True, id="not anchored"),
        pytest.param([searches(".*")], [searches(".*")], [], False, id="a pattern and its opposite"),
        pytest.param([searches(r"^\d$")], [searches("^[0-9]$")], [], True, id="Python knows more digits"),
        pytest.param([matches(r"^\d$")], [matches("^[0-9]$")], [], False, id="RE2 does not"),
        pytest.param([], [matches("")], [], False, id="every name has an empty pattern in it"),
        pytest.param([matches("^[Ѐ-Ђ]$")], [], ["Ѐ", "Ё"], True, id="one of three letters beyond ASCII is not taken"),
        pytest.param([matches("^[Ѐ-Ђ]$")], [], ["Ѐ", "Ё", "Ђ"], False, id="all three are"),
        pytest.param([matches("^[\ud7fe-\ue001]$")], [], ["\ud7fe", "\ud7ff"], True, id="behind the surrogates"),
        pytest.param(
            [matches("^[\ud7fe-\ue001]$")],
            [],
            ["\ud7fe", "\ud7ff", "\ue000", "\ue001"],
            False,
            id="surrogates are no names",
        ),
    ],
)
def test_names_are_found_or_proven_not_to_exist(
    found_in: list[tuple[Operator, str]], not_in: list[tuple[Operator, str]], other_than: list[str], there_is: bool
) -> None:
    found = names(found_in, not_in, other_than)
    assert (found is not None) is there_is
    if found is not None:
        assert isinstance(found, str)
        assert found not in other_than
        assert all(finder(one)(found) for one in found_in)
        assert not any(finder(one)(found) for one in not_in)


LETTERS = "xaЀЁЂЃéäö"


def test_names_that_are_taken_are_no_proof_while_others_are_left() -> None:
    chance = random.Random(13)
    seen = {True: 0, False: 0}
    for _ in range(1_000 if EXAMPLES < 1000 else 10_000):
        low, high = sorted(chance.sample("axЀЁЂЃ", 2))
        patterns = [matches(f"^[{low}-{high}{chance.choice(['', 'é', 'xé'])}]{chance.choice(['', '?', '{2}'])}$")]
        not_in = [matches(one) for one in chance.sample(["^x", "[Ё-Ђ]", "^[^é]", "Ѐ.", "^$"], chance.randint(0, 2))]
        texts = ["", *LETTERS, *(one + two for one in LETTERS for two in LETTERS)]
        fit = [text for text in texts if all(finder(one)(text) for one in patterns)]
        left_out = set(chance.sample(fit, chance.randint(0, min(len(fit), 12))))
        expected = {text for text in fit if text not in left_out and not any(finder(one)(text) for one in not_in)}
        found = names(patterns, not_in, left_out)
        seen[found is not None] += 1
        assert not isinstance(found, CannotSay)
        if found is None:
            assert not expected, (patterns, not_in, left_out)
        else:
            assert found not in left_out
            assert finder(patterns[0])(found) and not any(finder(one)(found) for one in not_in)
    assert min(seen.values()) > 30


def test_patterns_that_begin_apart_have_no_text_together() -> None:
    chance = random.Random(17)
    seen = {True: 0, False: 0}
    for _ in range(1_500 if EXAMPLES < 1000 else 20_000):
        pair = []
        for _ in range(2):
            written = "".join(chance.choice(ATOMS) + chance.choice(TIMES) for _ in range(chance.randint(1, 4)))
            pair.append(chance.choice([matches, searches])(chance.choice(["^", "^", "(?i)^", ""]) + written))
        try:
            for one in pair:
                finder(one)
        except Exception:
            continue
        told = apart(*pair)
        seen[told] += 1
        if told:
            assert names(pair) is None, pair
            texts = (
                "".join(chance.choice("abkiK\n\u212aé1 ].") for _ in range(chance.randint(0, 3))) for _ in range(60)
            )
            assert not any(all(finder(one)(text) for one in pair) for text in texts)
    assert min(seen.values()) > 60


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        pytest.param("^hw_", "^os_", True, id="two prefixes"),
        pytest.param("^hw_", "^hw_cpu", False, id="one within the other"),
        pytest.param("^hw_", "os_", False, id="one that may stand anywhere"),
        pytest.param("(?i)^HW_", "^os_", True, id="without case"),
        pytest.param("(?i)^HW_", "^hw_", False, id="the same but for case"),
        pytest.param("^(hw|os)_", "^(vm|img)_", True, id="alternatives"),
        pytest.param("^(hw|os)_", "^(vm|os)_", False, id="alternatives with one in common"),
        pytest.param("^a?", "^b", False, id="what need not be there"),
    ],
)
def test_beginnings_tell_patterns_apart(one: str, other: str, told: bool) -> None:
    assert apart(searches(one), searches(other)) is told


def test_what_is_not_understood_is_tried_and_never_proven() -> None:
    assert isinstance(names([searches(r"^(?=a)b$")]), CannotSay)
    found = names([searches(r"^(?=hw_)hw_x?$")], other_than=["hw_"])
    assert isinstance(found, str | CannotSay)


def test_patterns_too_large_together_are_no_proof() -> None:
    large = [matches(f"(a|b){{{count}}}c.{{20}}x") for count in (11, 13, 17)]
    assert isinstance(names(large, [matches("c")]), CannotSay | None)


ATOMS = ["a", "k", "i", "K", "\\n", ".", "^", "$", "\\A", "\\Z", "\\z", "[ab]", "[^a]", "\\d", "\\w", "(?i:k)", "(a|b)",
         "(?:ab|)", "(?s:.)", "é", "]", "\\.", "[]a]", "(?i:[^k])"]  # fmt: skip
TIMES = ["", "", "", "*", "+", "?", "{2}", "{0,1}", "*?"]


def test_automata_find_what_the_engines_find() -> None:
    chance = random.Random(11)
    compared = 0
    for _ in range(1_500 if EXAMPLES < 1000 else 30_000):
        pattern = "".join(chance.choice(ATOMS) + chance.choice(TIMES) for _ in range(chance.randint(1, 4)))
        for dialect, operator in (("re2", Operator.MATCHES), ("python", Operator.SEARCHES)):
            try:
                search, made = finder((operator, pattern)), machine(pattern, dialect)
            except Unsupported:
                continue
            except Exception:
                continue  # no pattern at all for this engine
            for _ in range(4):
                text = "".join(chance.choice("abkiK\n\u212aé1 ].") for _ in range(chance.randint(0, 4)))
                states = made.closed((0,), start=True)
                found = FOUND in states
                for letter in text:
                    states = made.step(states, ord(letter))
                    found = found or FOUND in states
                found = found or FOUND in made.closed(states, start=not text, end=True)
                assert found == search(text), (dialect, pattern, text)
                compared += 1
    assert compared > 2_000


# --- numbers ---


def test_numbers_fit_orderings_or_there_are_none() -> None:
    from fractions import Fraction

    chance = random.Random(3)
    seen = {True: 0, False: 0}
    for _ in range(600):
        ends = ["a", "b", "c", *(Fraction(number) for number in (-1, 0, 1, 2))]
        orders = [Below(*chance.sample(ends, 2), equal=chance.random() < 0.5) for _ in range(chance.randint(0, 4))]
        different = [tuple(chance.sample(ends, 2)) for _ in range(chance.randint(0, 2))]

        def fits(given: dict, orders: list = orders, different: list = different) -> bool:
            def value(end: object) -> Fraction:
                return end if isinstance(end, Fraction) else Fraction(given[end])

            return all(
                value(one.left) < value(one.right) or (one.equal and value(one.left) == value(one.right))
                for one in orders
            ) and all(value(left) != value(right) for left, right in different)

        found = numbers(["a", "b", "c"], orders, different)
        seen[found is not None] += 1
        if found is not None:
            assert fits(dict(found)), (orders, different)
        else:
            tried = [Fraction(number, 4) for number in range(-8, 13, 2)]
            assert not any(
                fits(dict(zip("abc", values, strict=True))) for values in itertools.product(tried, repeat=3)
            ), (orders, different)
    assert min(seen.values()) > 50


# --- worlds ---


def yes(operator: Operator, fact: tuple[str, ...], operand: object = None, status: str = "") -> Constraint:
    return question(operator, fact, operand, status), True  # type: ignore[arg-type]


def no(operator: Operator, fact: tuple[str, ...], operand: object = None, status: str = "") -> Constraint:
    return question(operator, fact, operand, status), False  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("constraints", "possible"),
    [
        pytest.param(
            [yes(Operator.EQUALS, OWNER, "a"), no(Operator.EQUALS, OWNER, "b")], True, id="one text, not another"
        ),
        pytest.param(
            [yes(Operator.EQUALS, OWNER, "a"), yes(Operator.EQUALS, OWNER, "b")], False, id="two texts at once"
        ),
        pytest.param([no(Operator.EQUALS, OWNER, Of(OWNER))], True, id="nothing equals nothing"),
        pytest.param(
            [no(Operator.EQUALS, OWNER, Of(OWNER)), yes(Operator.EQUALS, OWNER, "a")],
            False,
            id="but a value equals itself",
        ),
        pytest.param(
            [
                yes(Operator.EQUALS, OWNER, Of(TENANT)),
                yes(Operator.EQUALS, TENANT, "a"),
                no(Operator.EQUALS, OWNER, "a"),
            ],
            False,
            id="equal by way of another fact",
        ),
        pytest.param([yes(Operator.MORE, SIZE, 1), yes(Operator.LESS, SIZE, 3)], True, id="between two numbers"),
        pytest.param([yes(Operator.MORE, SIZE, 3), yes(Operator.LESS, SIZE, 1)], False, id="beyond both ends"),
        pytest.param([no(Operator.MORE, SIZE, 3), no(Operator.AT_MOST, SIZE, 3)], True, id="no size is neither"),
        pytest.param([yes(Operator.HAS_FOLDED, ROLES, "Admin")], False, id="roles are kept in lower case"),
        pytest.param([yes(Operator.HAS_FOLDED, ROLES, "admin")], True, id="a role in lower case"),
        pytest.param(
            [
                yes(Operator.HAS, ("resource", "properties"), "x"),
                no(Operator.EQUALS, ("resource", "properties", "get", "x"), "1"),
            ],
            True,
            id="a property with another value",
        ),
        pytest.param(
            [
                no(Operator.HAS, ("resource", "properties"), "x"),
                yes(Operator.EQUALS, ("resource", "properties", "get", "x"), "1"),
            ],
            False,
            id="a value of a property that is not there",
        ),
        pytest.param(
            [
                yes(Operator.SHARED, ("resource", "members"), Of(TENANT), "accepted"),
                no(Operator.SHARED, ("resource", "members"), Of(TENANT), "pending"),
            ],
            True,
            id="accepted, not pending",
        ),
        pytest.param(
            [
                yes(Operator.SHARED, ("resource", "members"), Of(TENANT), "accepted"),
                yes(Operator.SHARED, ("resource", "members"), Of(TENANT), "pending"),
            ],
            False,
            id="accepted and pending at once",
        ),
        pytest.param(
            [Among(OWNER, frozenset("ab")), Except(OWNER, frozenset("a"))], True, id="one of two, not the first"
        ),
        pytest.param([Among(OWNER, frozenset("a")), Except(OWNER, frozenset("ab"))], False, id="one of those left out"),
    ],
)
def test_a_world_is_found_or_proven_not_to_exist(constraints: list[Constraint], possible: bool) -> None:
    found = satisfy(constraints, "Image", action="get_image")
    assert (found is not None) is possible
    if found is not None:
        assert isinstance(found, Query)
        assert all_hold(found, constraints)


IMAGE = ("resource", "image")
TEXT_FACTS = [TENANT, ("subject", "id"), (*IMAGE, "owner"), NAME]
ANY_FACTS = [(*IMAGE, "properties", "get", "a"), ("context", "get", "c"), ("resource", "value")]
NUMBER_FACTS = [(*IMAGE, "size"), (*IMAGE, "min_disk")]
ORDERS = [Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST]


def some_question(chance: random.Random) -> Question:
    texts = ["a", "b", "A"]
    match chance.randrange(11):
        case 0:
            return question(Operator.EQUALS, chance.choice(TEXT_FACTS), chance.choice(texts))
        case 1:
            one, two = chance.sample(TEXT_FACTS + ANY_FACTS, 2)
            return question(Operator.EQUALS, one, Of(two))
        case 2:
            return question(Operator.EQUALS, chance.choice(ANY_FACTS), chance.choice(["a", "1", 1, 1.0, True, False]))
        case 3:
            return question(chance.choice(ORDERS), chance.choice(NUMBER_FACTS + ANY_FACTS), chance.choice([0, 1, 1.5]))
        case 4:
            one, two = chance.sample(NUMBER_FACTS + ANY_FACTS, 2)
            return question(chance.choice(ORDERS[:2]), one, Of(two))
        case 5:
            return question(Operator.HAS_FOLDED, ROLES, chance.choice(["a", "b"]))
        case 6:
            return question(Operator.HAS_FOLDED, ROLES, Of(chance.choice(TEXT_FACTS + ANY_FACTS)))
        case 7:
            held = (*IMAGE, chance.choice(["tags", "properties"]))
            return question(Operator.HAS, held, chance.choice([*texts, Of(chance.choice(TEXT_FACTS))]))
        case 8:
            return question(Operator.SHARED, (*IMAGE, "members"), Of(TENANT), chance.choice(["accepted", "pending"]))
        case 9:
            # Facts of any type side by side, where a text may look like a number.
            one, two = chance.sample([*ANY_FACTS, NAME], 2)
            return question(Operator.EQUALS, one, Of(two))
    return question(Operator.MATCHES, NAME, chance.choice(["^a", "b", "^(a|b)$", "(?i)^a$", "^1$", "^[Ѐ-Ё]$"]))


def some_constraint(chance: random.Random) -> Constraint:
    """A question and its answer, or one of several texts: what lists and names that are taken come to."""
    texts = frozenset(chance.sample(["a", "b", "1", "2", "True", "Ѐ", "Ё"], chance.randint(1, 3)))
    match chance.randrange(8):
        case 0:
            return Among(chance.choice([*ANY_FACTS, NAME, TENANT]), texts)
        case 1:
            return Except(chance.choice([*ANY_FACTS, NAME]), texts)
    return some_question(chance), chance.random() < 0.6


def worlds(constraints: list[Constraint]) -> itertools.product | None:
    """Every small world in which the facts of the constraints differ; None where there are too many."""
    texts = [None, "a", "b", "A", "z"]
    values = {
        Kind.TEXT: [*texts, "1", "Ё"],
        Kind.ANY: [*texts, "1", "2", "True", 0, 1, 1.25, 2, True, False],
        Kind.NUMBER: [None, 0, 1, 1.25, 2],
        Kind.SET: [set(some) for count in range(4) for some in itertools.combinations(("a", "b", "z"), count)],
        Kind.MEMBERS: [None, "accepted", "pending"],
    }
    asked = sorted({fact for one in constraints for fact in facts_of(one)})
    domains = [
        ["a", "b", "A", "z", "ab", "1", "Ѐ", "Ё"] if fact == NAME else values[kind_of(fact, "Property")]
        for fact in asked
    ]  # type: ignore[index]
    size = 1
    for domain in domains:
        size *= len(domain)
    return itertools.product(*([(fact, value) for value in domain] for fact, domain in zip(asked, domains, strict=True))) if size < 30_000 else None  # fmt: skip  # noqa: E501


def world(chosen: tuple) -> Query:
    facts = dict(chosen)
    tenant = facts.get(TENANT)
    member = facts.get((*IMAGE, "members"))
    value = facts.get((*IMAGE, "properties", "get", "a"))
    held = facts.get((*IMAGE, "properties"), set())
    properties = dict.fromkeys(held, "other") | ({"a": value} if value is not None else {})
    image = Image(
        owner=facts.get((*IMAGE, "owner")),
        size=facts.get((*IMAGE, "size")),
        min_disk=facts.get((*IMAGE, "min_disk")),
        tags=frozenset(facts.get((*IMAGE, "tags"), ())),
        members={tenant: member} if tenant and member else {},
        properties=properties,
    )
    subject = Subject(id=facts.get(("subject", "id")), tenant=tenant, roles=frozenset(facts.get(ROLES, ())))
    circumstance = facts.get(("context", "get", "c"))
    name, value = facts.get(NAME, "z"), facts.get(("resource", "value"))
    return Query(subject, "read", Property(name, image, value), {"c": circumstance})


def test_a_proof_that_there_is_no_world_is_one() -> None:
    chance = random.Random(7)
    proven = checked = found = 0
    for _ in range(2_000 if EXAMPLES < 1000 else 50_000):
        constraints = [some_constraint(chance) for _ in range(chance.randint(1, 6))]
        answer = satisfy(constraints, "Property", action="read")
        if isinstance(answer, Query):
            found += 1
            assert all_hold(answer, constraints)
        elif answer is None:
            proven += 1
            tried = worlds(constraints)  # type: ignore[arg-type]
            if tried is not None and checked < (60 if EXAMPLES < 1000 else 3_000):
                checked += 1
                assert not any(all_hold(world(chosen), constraints) for chosen in tried), constraints
    assert found > 1_000
    assert min(proven, checked) > 30


def test_values_that_look_alike_are_told_apart() -> None:
    chance = random.Random(19)
    values = ["1", "2", "True", 1, 2, True, False, None]
    everything = [world(tuple(zip(ANY_FACTS, chosen, strict=True))) for chosen in itertools.product(values, repeat=3)]
    seen = {True: 0, False: 0}
    for _ in range(150 if EXAMPLES < 1000 else 4_000):
        constraints: list[Constraint] = []
        for fact in ANY_FACTS:
            texts = chance.sample(["1", "2", "True"], chance.randint(1, 2))
            constraints += chance.choice(
                [
                    [Among(fact, frozenset(texts))],
                    [yes(Operator.EQUALS, fact, chance.choice(values[:-1]))],
                    [no(Operator.EQUALS, fact, chance.choice(values[:-1])), yes(Operator.EQUALS, fact, Of(fact))],
                ]
            )
        for one, two in itertools.combinations(ANY_FACTS, 2):
            if chance.random() < 0.7:
                constraints.append((question(Operator.EQUALS, one, Of(two)), chance.random() < 0.15))
        answer = satisfy(constraints, "Property", action="read")
        seen[answer is not None] += 1
        if isinstance(answer, Query):
            assert all_hold(answer, constraints)
        elif answer is None:
            assert not any(all_hold(one, constraints) for one in everything), constraints
    assert min(seen.values()) > 15


# --- policies ---


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_outcomes_are_those_that_queries_have(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(("Image", "Property", "Member", "Task")))
    policy = compiled(data.draw(policies(kind)), None)
    asked = data.draw(st.lists(queries(kind), min_size=6, max_size=12))
    known = {topic: outcomes(policy, topic) for topic in topics(policy, kinds=[kind]) if not topic.attribute}
    for topic, found in known.items():
        for outcome, witness in found.witnesses.items():
            decision = policy.decide(witness.query)
            expected = (
                Outcome.DISCARDED if decision.discard else Outcome.ALLOWED if decision.allowed else Outcome.DENIED
            )
            assert outcome is expected
            assert all_hold(witness.query, topic.given)
    for query in asked:
        mine = [topic for topic in known if topic.action in (query.action, None) and all_hold(query, topic.given)]
        mine = [topic for topic in mine if topic.action is not None] or mine
        assert len(mine) == 1, (mine, query)
        decision = policy.decide(query)
        outcome = Outcome.DISCARDED if decision.discard else Outcome.ALLOWED if decision.allowed else Outcome.DENIED
        assert outcome in known[mine[0]] or not known[mine[0]].proven


@pytest.mark.parametrize(
    ("rules", "decide"),
    [
        pytest.param(['has_role("a")', 'has_role("b")'], {0, 1}, id="two rules that both matter"),
        pytest.param(['has_role("a")', 'has_role("A")'], {0}, id="the same rule again never matters"),
        pytest.param(
            ['has_role("a")', 'has_role("a") and s.has_role("b")'],
            {0},
            id="a narrower rule behind a wider one never does",
        ),
    ],
)
def test_rules_that_decide(rules: list[str], decide: set[int]) -> None:
    text = "\n".join(f'allow(s: Subject, "read", _i: Image) if s.{rule};' for rule in rules)
    found = deciding_rules(compiled(text, None))
    assert found.proven
    assert set(found.witnesses) == decide


def test_can_gives_a_witness_or_a_proof() -> None:
    policy = Policy.load(["rules"])
    topic = topic_of(policy, "Image", "publicize_image")
    not_admin = question(Operator.HAS_FOLDED, ROLES, "admin"), False
    assert can(policy, topic, [not_admin]) is None
    admin = can(policy, topic)
    assert isinstance(admin, Query)
    assert policy.decide(admin).allowed


def test_paths_are_those_that_a_query_can_go() -> None:
    policy = Policy.load(["rules"])
    found = list(paths(policy, topic_of(policy, "Image", "get_image")))
    assert {path.outcome for path in found} == {Outcome.ALLOWED, Outcome.DENIED}
    for path in found:
        witness = path.witness()
        assert isinstance(witness, Query)
        assert policy.decide(witness).allowed is (path.outcome is Outcome.ALLOWED)


def test_attributes_are_decided_by_what_forbids_alone() -> None:
    policy = compiled(
        'forbid(s: Subject, "update", p: Property) if p.name = "owner" and p.core and not s.has_role("admin");\n'
        'allow(s: Subject, "read", p: Property) if s.has_role("x") and p.name = "y";',
        None,
    )
    topic = topic_of(policy, "Property", "update", "owner", attribute=True)
    admin = question(Operator.HAS_FOLDED, ROLES, "admin")
    assert isinstance(can(policy, topic, [(admin, True)]), Query)
    assert can(policy, topic, [(admin, False)]) is None
    assert question(Operator.IS_TRUE, CORE), True in topic.given


@pytest.mark.parametrize(
    ("second", "decide"),
    [
        pytest.param('p.name = "ramdisk_id"', [0, 1, 2], id="two names, decided alike"),
        pytest.param('p.name = "kernel_id"', [0, 1], id="the same name twice"),
        pytest.param('p.name in ["kernel_id", "ramdisk_id"]', [0, 1, 2], id="one name more"),
    ],
)
def test_of_names_that_end_alike_each_has_its_rule(second: str, decide: list[int]) -> None:
    rule = 'forbid(s: Subject, "update", p: Property) if {} and not s.has_role("admin");\n'
    allow = 'allow(s: Subject, "update", _p: Property) if s.has_role("member");\n'
    found = deciding_rules(compiled(allow + rule.format('p.name = "kernel_id"') + rule.format(second), None))
    assert found.proven
    assert sorted(found.witnesses) == decide  # type: ignore[type-var]


def test_an_empty_policy_denies_everything() -> None:
    policy = Policy(Table(other={"Image": Graphs()}), revision="r", rules=())
    found = outcomes(policy, topic_of(policy, "Image", "x"))
    assert found.proven
    assert set(found.witnesses) == {Outcome.DENIED}
