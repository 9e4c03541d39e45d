"""What a policy decides, and how it explains it. The brute-force comparison with Oso is in another file."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import pytest

from protect import Decision, Image, Member, Metadef, Policy, PolicyError, Property, Query, Resource, Subject
from protect.polar import compiler, interview
from protect.polar.compiler import compile_policy
from protect.policy.saved import read_saved, save
from protect.policy.vocabulary import TYPES
from tests.plain_oso import PlainOso

OWNER = Subject("u", tenant="t", roles=frozenset({"Member"}))
STRANGER = replace(OWNER, tenant="o")
ADMIN = Subject("a", tenant="adm", roles=frozenset({"ADMIN"}))
IMAGE = Image("i", owner="t", visibility="private", properties={"kernel_id": "k", "os_distro": "x"})

TEXT = """\
allow(subject: Subject, "get_image", _image: Image) if subject.has_role("admin");
allow(subject: Subject, "get_image", image: Image) if
    subject.has_role("member") and image.owner = subject.tenant;

forbid(_subject: Subject, _action, image: Image) if image.get("locked") = true;

magic("kernel_id");
allow(_subject: Subject, "read", _property: Property);
allow(subject: Subject, "update", property: Property) if
    not magic(property.name) and property.image.owner = subject.tenant;
discard(subject: Subject, "update", property: Property) if
    magic(property.name) and subject.has_service_role("volume");
"""


def policy(text: str = TEXT) -> Policy:
    return compile_policy([("p.polar", text)], "rev")


def test_reasons_name_the_rule() -> None:
    decide = policy().decide
    assert decide(Query(ADMIN, "get_image", IMAGE)) == Decision(True, "allowed by p.polar:1", "rev")
    assert decide(Query(OWNER, "get_image", IMAGE)) == Decision(True, "allowed by p.polar:2", "rev")
    assert decide(Query(STRANGER, "get_image", IMAGE)) == Decision(
        False, "no rule allows `get_image` on this image", "rev"
    )


def test_forbid_outranks_allow() -> None:
    locked = replace(IMAGE, properties={"locked": True})
    assert policy().decide(Query(ADMIN, "get_image", locked)) == Decision(False, "forbidden by p.polar:5", "rev")
    unlocked = replace(IMAGE, properties={"locked": 1})  # a number is no truth, in JSON either
    assert policy().decide(Query(ADMIN, "get_image", unlocked)).allowed


def test_discard_instead_of_a_refusal() -> None:
    volume = replace(OWNER, service_roles=frozenset({"volume"}))
    change = Property("kernel_id", IMAGE, "new")
    assert policy().decide(Query(volume, "update", change)) == Decision(
        False, "dropped by p.polar:11", "rev", discard=True
    )
    assert not policy().decide(Query(OWNER, "update", change)).discard
    assert policy().decide(Query(volume, "update", Property("os_distro", IMAGE, "y"))).allowed


def test_roles_as_one_text_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="roles are a set of text"):
        Subject(roles="admin")  # type: ignore[arg-type]


def test_the_image_behind_a_property_is_itself() -> None:
    loaded = policy('allow(_s: Subject, "read", p: Property) if not p.image = p.image;\n')
    assert not loaded.decide(Query(OWNER, "read", Property("x", IMAGE))).allowed
    loaded = policy('allow(_s: Subject, "read", p: Property) if f(p.image, p.image);\nf(x, x);\n')
    assert loaded.decide(Query(OWNER, "read", Property("x", IMAGE))).allowed


def test_roles_compare_without_case_and_never_mix_with_service_roles() -> None:
    assert policy().decide(Query(Subject(roles=frozenset({"aDmIn"})), "get_image", IMAGE)).allowed
    assert not policy().decide(Query(Subject(service_roles=frozenset({"admin"})), "get_image", IMAGE)).allowed


def test_nothing_equals_nothing() -> None:
    nobody = replace(OWNER, tenant=None)
    assert not policy().decide(Query(nobody, "get_image", replace(IMAGE, owner=None))).allowed
    assert policy().decide(Query(replace(OWNER, tenant=""), "get_image", replace(IMAGE, owner=""))).allowed


class Broken:
    """An image whose owner cannot be read."""

    kind = "Image"
    id = "i"
    properties = IMAGE.properties

    @property
    def owner(self) -> str:
        raise OSError("the store is down: secret")


def test_a_fact_that_cannot_be_read_is_a_denial_of_its_own_kind(caplog: pytest.LogCaptureFixture) -> None:
    loaded = policy()
    decision = loaded.decide(Query(OWNER, "get_image", Broken()))  # type: ignore[arg-type]
    assert decision == Decision(False, "the policy could not be evaluated", "rev", error=True)
    assert loaded.errors == 1
    assert "secret" not in caplog.text
    # The admin's rule asks nothing that is broken.
    assert loaded.decide(Query(ADMIN, "get_image", Broken())).allowed  # type: ignore[arg-type]


def test_a_forbid_that_cannot_be_evaluated_forbids() -> None:
    loaded = policy('allow(_s: Subject, "x", _i: Image);\nforbid(_s: Subject, "x", i: Image) if i.owner = "bad";\n')
    decision = loaded.decide(Query(ADMIN, "x", Broken()))  # type: ignore[arg-type]
    assert (decision.allowed, decision.error) == (False, True)
    assert loaded.decide(Query(ADMIN, "x", IMAGE)).allowed


@pytest.mark.parametrize(
    "query", [None, Query(OWNER, None, IMAGE), Query(OWNER, "x", None), Query(None, "get_image", IMAGE)]
)  # type: ignore[arg-type]
def test_decide_never_raises(query: Query) -> None:
    assert not policy().decide(query).allowed


def test_a_decision_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"decision\.allowed"):
        bool(policy().decide(Query(OWNER, "get_image", IMAGE)))


def test_explanation_of_an_allowance() -> None:
    explanation = policy().explain(Query(OWNER, "get_image", IMAGE))
    assert str(explanation) == (
        "allowed: allowed by p.polar:2\n"
        '  image.get("locked") equals true: no\n'
        '  subject has role "admin": no\n'
        '  subject has role "member": yes\n'
        "  image.owner equals subject.tenant: yes"
    )
    assert explanation.rule is not None
    assert explanation.rule.head == 'allow(subject: Subject, "get_image", image: Image)'


def test_explanation_of_a_denial_names_the_nearest_rules_and_what_failed() -> None:
    explanation = policy().explain(Query(STRANGER, "get_image", IMAGE))
    assert str(explanation) == (
        "denied: no rule allows `get_image` on this image\n"
        '  image.get("locked") equals true: no\n'
        '  subject has role "admin": no\n'
        '  subject has role "member": yes\n'
        "  image.owner equals subject.tenant: no\n"
        "  p.polar:1 would allow it if:\n"
        '    subject has role "admin": yes\n'
        "  p.polar:2 would allow it if:\n"
        "    image.owner equals subject.tenant: yes"
    )


def test_an_explanation_does_not_say_what_a_value_is() -> None:
    text = 'allow(s: Subject, "x", i: Image) if not i.get("k") in ["a", "b", "s3cr3t"] and s = s;\n'
    explanation = policy(text).explain(Query(OWNER, "x", replace(IMAGE, properties={"k": "a"})))
    assert [str(change) for change in explanation.nearest[0].changes] == ['image.get("k") has another value: yes']
    text = 'allow(s: Subject, "x", i: Image) if i.get("k") in ["a", "b"] and s.has_role("admin");\n'
    explanation = policy(text).explain(Query(OWNER, "x", replace(IMAGE, properties={"k": "s3cr3t"})))
    assert "s3cr3t" not in str(explanation)


def test_explanation_of_a_prohibition() -> None:
    explanation = policy().explain(Query(ADMIN, "get_image", replace(IMAGE, properties={"locked": True})))
    assert str(explanation) == 'denied: forbidden by p.polar:5\n  image.get("locked") equals true: yes'
    assert explanation.nearest == ()


@pytest.mark.parametrize("budget", [None, 0], ids=["explored", "grown on demand"])
def test_hidden_properties(budget: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if budget is not None:
        monkeypatch.setattr(compiler, "BUDGET", budget)
    text = """
        allow(_s: Subject, "read", p: Property) if p.name = "open";
        allow(s: Subject, "read", p: Property) if p.name = "mine" and p.image.owner = s.tenant;
        allow(_s: Subject, "read", p: Property) if p.name = "low" and p.value < 5;
        allow(_s: Subject, "read", p: Property) if p.matches("^hw_");
        forbid(_s: Subject, "read", p: Property) if p.matches("secret");
        forbid(_s: Subject, "read", p: Property) if p.image.has_tag("dark");
        forbid(_s: Subject, "read", p: Property) if p.core;
    """
    names = {"open", "mine", "low", "hw_x", "hw_secret", "other"}
    hidden = policy(text).hidden(OWNER, {})
    assert hidden(replace(IMAGE, properties={"low": 3}), names) == {"hw_secret", "other"}
    assert hidden(replace(IMAGE, owner="o", properties={"low": 7}), names) == {"mine", "low", "hw_secret", "other"}
    assert hidden(replace(IMAGE, tags=frozenset({"dark"})), names) == names
    assert hidden(Broken(), {"open", "mine"}) == {"open", "mine"}  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_names_that_only_facts_tell_apart_share_one_graph(count: int) -> None:
    text = "".join(f'magic("m{index}");\n' for index in range(count)) + (
        'allow(s: Subject, "update", p: Property) if not magic(p.name) and s.has_role("member");\n'
        'allow(s: Subject, "update", p: Property) if magic(p.name) and s.has_role(p.name);\n'
    )
    loaded = policy(text)
    for index in range(count):
        name = f"m{index}"
        named = Subject(roles=frozenset({name}))
        assert not loaded.decide(Query(OWNER, "update", Property(name, IMAGE))).allowed
        assert loaded.decide(Query(named, "update", Property(name, IMAGE))).allowed
        assert not loaded.decide(Query(named, "update", Property("m_other", IMAGE))).allowed
    assert loaded.decide(Query(OWNER, "update", Property(f"m{count}", IMAGE))).allowed
    graphs = loaded.table.properties["update"].names
    assert len({id(one.allow) for one in graphs.values()}) == 1


def test_a_policy_beyond_the_budget_gives_the_same_answers_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    explored = policy()
    monkeypatch.setattr(compiler, "BUDGET", 0)
    grown = policy()
    queries = [
        Query(subject, action, resource)
        for subject in (OWNER, STRANGER, ADMIN)
        for action, resource in [
            ("get_image", IMAGE),
            ("update", Property("kernel_id", IMAGE)),
            ("update", Property("z", IMAGE)),
        ]
    ]
    for _ in range(2):
        assert [grown.decide(query) for query in queries] == [explored.decide(query) for query in queries]
    asked = grown.growth.asked
    assert asked > 0
    assert [grown.decide(query) for query in queries] == [explored.decide(query) for query in queries]
    assert grown.growth.asked == asked
    assert explored.growth.asked == 0


def test_growth_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "BUDGET", 0)
    monkeypatch.setattr(compiler, "ROOM", 0)
    grown = policy()
    for _ in range(3):
        assert grown.decide(Query(OWNER, "get_image", IMAGE)).allowed
    assert grown.growth.room == 0
    assert grown.growth.asked >= 3


def test_a_saved_policy_decides_alike_without_oso(tmp_path: Path) -> None:
    loaded = Policy.load()
    path = tmp_path / "policy.json"
    path.write_bytes(save(loaded))
    again = Policy.load([str(path)])
    assert again.revision == loaded.revision
    for subject in (OWNER, STRANGER, ADMIN):
        for resource in (
            IMAGE,
            Property("kernel_id", IMAGE, "x"),
            Property("z", IMAGE),
            Member("m", IMAGE),
            Resource("vm"),
        ):
            for action in ("get_image", "update", "create", "add_member", "publicize_image", "nonsense"):
                query = Query(subject, action, resource)
                assert again.decide(query) == loaded.decide(query)
                assert again.explain(query) == loaded.explain(query)


def test_a_saved_policy_denies_what_nobody_explored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "BUDGET", 0)
    again = read_saved("p.json", save(policy()))
    decision = again.decide(Query(ADMIN, "get_image", IMAGE))
    assert (decision.allowed, decision.error) == (False, True)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            (b'"nodes":[', b'"nodes":[["test","is-true",["subject","__class__"],null,"",0,0],'), id="a fact of python"
        ),
        pytest.param((b'["leaf",true,0]', b'["leaf",true,99]'), id="a rule that is not there"),
        pytest.param((b'"has-folded"', b'"eval"'), id="an unknown operator"),
        pytest.param((b'"other":', b'"another":'), id="a part is missing"),
        pytest.param((b"protect-policy/1", b"protect-policy/1 "), id="another format"),
    ],
)
def test_a_damaged_saved_policy_is_refused(damage: tuple[bytes, bytes]) -> None:
    whole = save(policy())
    assert damage[0] in whole
    with pytest.raises(PolicyError, match="not a saved policy"):
        read_saved("p.json", whole.replace(damage[0], damage[1]))


def test_deciding_does_not_import_oso() -> None:
    import subprocess

    code = (
        "import sys\nfrom protect import Policy, Query, Subject, Image\n"
        "from protect.policy.saved import read_saved\n"
        "policy = read_saved('p', sys.stdin.buffer.read())\n"
        "print(policy.decide(Query(Subject('a', roles=frozenset({'admin'})), 'get_image', Image('i'))).allowed)\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('oso', 'polar', '_polar_lib')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=save(policy()), capture_output=True, timeout=60)
    assert done.stdout.decode().split("\n")[:2] == ["True", "[]"], done.stderr


def test_every_word_of_the_vocabulary_can_be_asked() -> None:
    """Whatever the table names, a rule can say; the usage in the table is what one writes."""
    for kind, words in TYPES.items():
        for word in words.values():
            usage = word.usage.replace("image.", "property.image.") if kind == "Image" else word.usage
            of = "Property" if kind in ("Image", "Subject", "Context") else kind
            condition = (
                usage if word.form == "method" and word.kind not in ("text, a number, or true or false",) else None
            )
            if condition is None:
                condition = f"{usage} = {'true' if word.kind == 'true or false' else usage}"
            if word.kind == "an object":
                condition = f"{usage} matches Image"
            variable = "property" if of == "Property" else kind.lower()
            head = f"allow(subject: Subject, action, {variable}: {of})"
            text = f"{head} if subject = subject and action = action and {variable} = {variable} and {condition};"
            policy(text)


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param('not action = "read" and p.name = "a"', id="an action that happens to be called as a property"),
        pytest.param("action = p.name", id="the action and the name meet"),
        pytest.param("not action = p.name", id="the action and the name do not meet"),
        pytest.param("same(action, p.name)", id="they meet behind a helper"),
        pytest.param("known(action) and known(p.name)", id="both are looked up"),
        pytest.param("known(action) and not known(p.name)", id="one is looked up, the other must fail"),
        pytest.param('known(p.name) and action in ["a", "b", "read"]', id="lists and facts share texts"),
        pytest.param("pair(action, p.name)", id="looked up together"),
    ],
)
def test_actions_and_names_are_texts_of_one_kind(condition: str) -> None:
    """An action and a name can be the same text, whether the policy mentions it as either, as both or not at all."""
    text = (
        f"allow(s: Subject, action, p: Property) if s = s and action = action and p = p and {condition};\n"
        'same(x, x);\nknown("a"); known("b"); known("c");\npair("a", "a"); pair("b", "c"); pair("u", "v");\n'
    )
    loaded, plain = policy(text), PlainOso(text)
    texts = ("a", "b", "c", "u", "v", "read", "x", "y")
    for action in texts:
        for name in texts:
            query = Query(OWNER, action, Property(name, IMAGE))
            assert loaded.decide(query).allowed is plain.holds("allow", query), (action, name)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param("allow(_s: Subject, action, _p: Property{name: action});", id="in the head"),
        pytest.param(
            "allow(_s: Subject, _a, _p: Property); forbid(_s: Subject, action, _p: Property{name: action});",
            id="in the head of a forbid",
        ),
        pytest.param("allow(s: Subject, action, p: Property) if [action] = [p.name] and s.id = s.id;", id="in lists"),
        pytest.param(
            "allow(s: Subject, action, p: Property) if d = {x: action} and d = {x: p.name} and s.id = s.id;",
            id="in dictionaries",
        ),
        pytest.param(
            "allow(_s: Subject, action, p: Property) if named(p, action); named(p, name) if name = p.name;",
            id="behind a helper that gives the name back",
        ),
        pytest.param(
            "allow(s: Subject, _action, p: Property) if allow(s, p.name, p.image);"
            'allow(_s: Subject, action, _i: Image) if action in ["a", "b"];',
            id="an entry point is asked about the name as an action",
        ),
        pytest.param(
            'allow(_s: Subject, action, p: Property) if action in ["a", "b"] and p matches Property{name: action};',
            id="in a pattern",
        ),
    ],
)
@pytest.mark.parametrize("facts", ["", 'm("a"); m("b"); m(x) if x in ["u", "v"];'], ids=["no facts", "twins"])
def test_actions_and_names_meet_wherever_a_rule_lets_them(rules: str, facts: str) -> None:
    loaded, plain = policy(rules + facts), PlainOso(rules + facts)
    for action, name in itertools.product(("a", "b", "u", "v", "x"), repeat=2):
        query = Query(OWNER, action, Property(name, IMAGE))
        decided = plain.holds("allow", query) and not ("forbid" in rules and plain.holds("forbid", query))
        assert loaded.decide(query).allowed is decided, (action, name)


SHARED = """
allow(s: Subject, action, _r) if action in ["a", "b", "c"] and s.has_role("admin");
allow(s: Subject, "a", i: Image) if i.owner = s.tenant;
allow(s: Subject, action, t: Task) if action in ["b", "d"] and t.owner = s.tenant;
allow(s: Subject, action, t: Task) if action = "c" and t.owner = action and s.authenticated;
"""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(("Store", "a"), ("Store", "b"), True, id="the rule looks at no action"),
        pytest.param(("Store", "a"), ("Metadef", "c"), True, id="nor at the resource"),
        pytest.param(("Store", "a"), ("Image", "a"), False, id="another rule is about images"),
        pytest.param(("Image", "b"), ("Store", "b"), True, id="that one is about another action"),
        pytest.param(("Task", "b"), ("Task", "a"), False, id="the first condition lists one and not the other"),
        pytest.param(("Task", "c"), ("Task", "b"), False, id="other rules can hold"),
    ],
)
def test_questions_that_come_to_the_same_rules_are_explored_once(
    one: tuple[str, str], other: tuple[str, str], same: bool
) -> None:
    actions = policy(SHARED).table.actions
    assert (actions[one].allow is actions[other].allow) is same


def test_a_rule_that_cannot_hold_is_not_asked_for() -> None:
    table = policy(SHARED).table
    assert ("Store", "d") not in table.actions
    assert ("Task", "d") in table.actions


@pytest.mark.parametrize(
    ("condition", "action", "allowed"),
    [
        pytest.param('action in ["a"]', "a", True, id="listed"),
        pytest.param('action in ["a"]', "b", False, id="not listed"),
        pytest.param('action in ["a"] or s.id = "u"', "b", True, id="an alternative to the list"),
        pytest.param('(action in ["a"] and 1 = 1) or s.id = "u"', "b", True, id="an alternative behind brackets"),
        pytest.param('not action = "a" and 1 = 1', "b", True, id="a negation"),
        pytest.param('(action = "a" and 1 = 1) and 1 = 1', "b", False, id="the first of the first"),
        pytest.param('s.id = "u" and action = "a"', "b", False, id="a later condition"),
        pytest.param('action in ["a", s.id]', "u", True, id="a list with a fact"),
        pytest.param("action = s.id", "u", True, id="a fact"),
    ],
)
def test_only_a_first_condition_that_lists_actions_keeps_a_rule_from_being_asked(
    condition: str, action: str, allowed: bool
) -> None:
    text = f"allow(s: Subject, action, _r) if {condition} and s.id = s.id;"
    if " or " in condition:
        text = f"allow(s: Subject, action, _r) if {condition} or not s.id = s.id;"
    assert policy(text).decide(Query(Subject("u"), action, IMAGE)).allowed is allowed


FACTS = 'm("x1"); m("x2"); m("x3"); m("Read");\n'


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param("m(x) and p.image.owner = x and s.has_role(x)", id="the twin comes back as a role, folded"),
        pytest.param("m(x) and p.image.owner = x and s.get(x) = true", id="the twin comes back as a claim's name"),
        pytest.param(
            "m(x) and p.image.owner = x and p.image.get(x) = x", id="the twin comes back as a property's name"
        ),
        pytest.param("m(x) and p.image.owner = x and p.image.has_tag(x)", id="the twin comes back as a tag"),
        pytest.param("m(x) and p.image.owner = x and not x = action", id="the twin meets the action"),
        pytest.param("m(x) and p.image.owner = x and not x = p.name", id="the twin meets the name"),
        pytest.param("m(x) and p.image.owner = x and p.value = x", id="the twin meets the value"),
        pytest.param("m(p.name) and m(p.image.owner) and not p.name = p.image.owner", id="two facts among the twins"),
        pytest.param("m(p.name) and m(p.value) and not p.image.owner = p.value", id="three facts among the twins"),
        pytest.param("m(action) and m(p.name) and not p.name = action", id="action and name among the twins"),
        pytest.param("m(x) and p.image.owner = x and m(y) and s.tenant = y and not x = y", id="two twins in two facts"),
        pytest.param("m(x) and p.image.owner = x and m(y) and s.tenant = y and x = y", id="one twin in two facts"),
        pytest.param("m(y) and s.has_role(y) and m(x) and s.tenant = x and not x = y", id="a role first, then a twin"),
        pytest.param('x in ["x1", "x2"] and x = p.image.owner and not x = action', id="twins of a list"),
        pytest.param("not (m(x) and p.image.owner = x and not s.has_role(x))", id="under a negation"),
    ],
)
def test_twins_are_explored_once_only_where_that_is_the_same(condition: str) -> None:
    rule = f"allow(s: Subject, action, p: Property) if s = s and action = action and p = p and {condition};"
    loaded, plain = policy(FACTS + rule), PlainOso(FACTS + rule)
    texts = ("x1", "x2", "Read", "y")
    for action, name, owner, mark in itertools.product(texts, texts, texts, texts):
        subject = Subject("u", tenant=mark, roles=frozenset({mark}), claims={mark: True})
        image = Image("i", owner=owner, tags=frozenset({mark}), properties={mark: mark, name: mark})
        query = Query(subject, action, Property(name, image, mark))
        assert loaded.decide(query).allowed is plain.holds("allow", query), query


def test_many_resources_are_decided_as_each_alone() -> None:
    loaded = policy()
    decide = loaded.deciding()
    locked = replace(IMAGE, properties={"locked": True})
    for resource in (
        IMAGE,
        replace(IMAGE, owner="o"),
        locked,
        Property("kernel_id", IMAGE),
        Property("x", IMAGE),
        IMAGE,
    ):
        query = Query(OWNER, "get_image", resource)
        assert decide(query) == loaded.decide(query)


def test_one_among_many_that_cannot_be_read_is_denied_and_the_next_is_not() -> None:
    class Broken:
        kind = "Image"

        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    decide = policy().deciding()
    for _ in range(2):
        assert decide(Query(OWNER, "get_image", Broken())).error  # type: ignore[arg-type]
        assert decide(Query(OWNER, "get_image", IMAGE)).allowed
    assert decide(Query(OWNER, "get_image", None)).error  # type: ignore[arg-type]


@pytest.mark.parametrize(("slow", "error"), [(1, False), (100, True)], ids=["once", "each time"])
def test_a_fact_that_takes_longer_than_oso_waits_is_read_again(
    monkeypatch: pytest.MonkeyPatch, slow: int, error: bool
) -> None:
    """Where a policy is grown on demand, Oso's clock runs while the API is asked for a fact."""

    class Distant:
        kind = "Image"
        asked = 0

        @property
        def owner(self) -> str:
            self.asked += 1
            if self.asked <= slow:
                time.sleep(0.2)
            return "t"

    monkeypatch.setattr(compiler, "BUDGET", 0)
    monkeypatch.setattr(compiler, "BUDGET_PER_GRAPH", 0)
    monkeypatch.setattr(interview, "MOST_PATH_SECONDS", 0.1)
    grown = policy('allow(s: Subject, "x", i: Image) if i.owner = s.tenant and s.has_role("member");')
    decision = grown.decide(Query(OWNER, "x", Distant()))  # type: ignore[arg-type]
    assert (decision.error, decision.allowed) == (error, not error)


RIVALS = "".join(f'allow(s: Subject, "x", _i: Image) if s.has_role("r{number}");\n' for number in range(400))


def test_a_path_for_which_there_is_no_patience_grows_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = compile_policy([("p.polar", RIVALS)], "rev", seconds=0.001)
    assert not hurried.table.actions["Image", "x"].allow.explored  # type: ignore[union-attr]
    for role, allowed in (("r399", True), ("r400", False)):
        decision = hurried.decide(Query(Subject("u", roles=frozenset({role})), "x", IMAGE))
        assert (decision.allowed, decision.error) == (allowed, False)


def test_a_policy_that_comes_back_to_itself_is_refused_without_patience_too() -> None:
    endless = 'allow(s: Subject, "x", i: Image) if f(s, i); f(s, i) if g(s, i); g(s, i) if f(s, i);'
    with pytest.raises(PolicyError, match="running forever"):
        compile_policy([("p.polar", endless)], "rev", seconds=0.001)


def test_a_question_that_takes_too_long_is_told_from_one_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (interview, compiler):
        monkeypatch.setattr(module, "MOST_PATH_SECONDS", 0.001)
    monkeypatch.setattr(interview, "PATIENCE", 1)
    with pytest.raises(PolicyError, match="one question takes longer than"):
        policy(RIVALS)


ALIKE = """
allow(_s: Subject, "x", i: Image) if i.visibility = "public";
allow(s: Subject, "x", i: Image) if i.visibility = "private" and i.owner = s.tenant;
allow(s: Subject, "x", i: Image) if i.visibility = "shared" and i.shared_with(s);
allow(_s: Subject, "x", i: Image) if i.visibility = "community" and i.has_tag("ours");
forbid(_s: Subject, "x", i: Image) if i.status = "deactivated" and i.get("locked") = true;
discard(_s: Subject, "read", p: Property) if p.name = "kernel_id";
allow(s: Subject, "read", p: Property) if p.image.owner = s.tenant and not p.name = "secret";
allow(_s: Subject, "read", p: Property) if p.image.visibility = "public" and p.image.status = "active";
"""

ALIKE_IMAGES = [
    Image(
        "i",
        owner=owner,
        visibility=visibility,
        status=status,
        members={"t": member} if member else {},
        tags=frozenset(tags),
        properties=properties,
    )
    for owner, visibility, status, member, tags, properties in itertools.product(
        ("t", "o", None),
        ("public", "private", "shared", "community"),
        ("active", "deactivated"),
        ("accepted", "pending", ""),
        ([], ["ours"]),
        ({"locked": True, "kernel_id": "k", "secret": "s"}, {"kernel_id": "k", "secret": "s"}),
    )
]


def test_images_that_agree_in_what_decides_are_decided_alike_and_no_others() -> None:
    loaded = policy(ALIKE)
    decide, hide = loaded.deciding(), loaded.hidden(OWNER, {})
    names = frozenset({"kernel_id", "secret", "locked"})
    for image in ALIKE_IMAGES * 2:
        query = Query(OWNER, "x", image)
        assert decide(query) == loaded.decide(query)
        had = names & image.properties.keys()
        readable = {
            n for n in had if loaded.decide(Query(OWNER, "read", Property(n, image, image.properties[n]))).allowed
        }
        assert hide(image, frozenset(had)) == had - readable


class Names(AbstractSet[str]):
    """A set of names that is no `set`."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param('p.matches("^hw_")', id="a pattern tells names apart that no rule mentions"),
        pytest.param('p.matches("^hw_") or p.image.owner = s.tenant', id="a pattern beside a fact"),
        pytest.param('p.value = "v"', id="a value"),
        pytest.param("not p.core", id="the kind of name"),
        pytest.param("p.image.owner = s.tenant", id="nothing does"),
        pytest.param('s.has_role("member")', id="nor the image"),
        pytest.param('p.name in ["read", "hw_a"] or p.image.visibility = "public"', id="names"),
        pytest.param('not p.name = "hw_a" and p.image.owner = s.tenant', id="all but a name"),
        pytest.param('p.name = "x" and p.value = "v" or p.name = "y" and s.tenant = "t"', id="a value of one name"),
    ],
)
@pytest.mark.parametrize("action", ['"read"', "_action"])
@pytest.mark.parametrize(
    "forbid", ["", 'forbid(_, "read", p: Property) if p.name = "y" and p.image.status = "active";']
)
def test_names_that_are_decided_together_are_decided_as_each_for_itself(rule: str, action: str, forbid: str) -> None:
    who, what = ("s" if "s." in rule else "_s"), ("p" if "p." in rule else "_p")
    loaded = policy(f"allow({who}: Subject, {action}, {what}: Property) if {rule};\n{forbid}")
    properties = {"hw_a": "v", "hw_b": "w", "read": "v", "x": "v", "y": "v", "z": None}
    images = [
        Image("i", owner=owner, visibility=visibility, status=status, properties=properties)
        for owner, visibility, status in itertools.product(("t", "o"), ("public", "private"), ("active", "queued"))
    ]
    for names in (properties.keys(), {"x", "y"}, {"hw_b"}, {"z", "read"}):
        hide = loaded.hidden(OWNER, {})
        for image in images * 2:
            readable = {
                n for n in names if loaded.decide(Query(OWNER, "read", Property(n, image, properties[n]))).allowed
            }
            for asked in (set(names), frozenset(names), Names(names)):
                assert hide(image, asked) == asked - readable, (image, asked)


def test_what_one_kind_was_told_holds_for_no_other() -> None:
    loaded = policy("""
        allow(_s: Subject, "x", i: Image) if i.owner = "t";
        allow(_s: Subject, "x", m: Metadef) if m.owner = "o";
        allow(_s: Subject, "x", p: Property) if p.name = "a";
    """)
    decide = loaded.deciding()
    image = Image("i", owner="t")
    for resource in (
        image,
        Metadef("m", owner="t"),
        Metadef("m", owner="o"),
        Property("a", image),
        Property("b", image),
    ) * 2:
        query = Query(OWNER, "x", resource)
        assert decide(query) == loaded.decide(query)


def test_more_combinations_than_are_remembered_are_decided_rightly() -> None:
    loaded = policy()
    decide = loaded.deciding()
    for number in range(600):
        query = Query(OWNER, "get_image", replace(IMAGE, owner=f"o{number}" if number % 3 else "t"))
        assert decide(query) == loaded.decide(query)
