"""What the decision point says of attributes, and of reading before any image is known."""

from __future__ import annotations

from typing import Any

import pytest

from protect import Policy
from protect.polar.compiler import compile_policy
from protect.policy.saved import read_saved, save
from protect.values import Decision, Image, Property, Query, Subject

MEMBER = Subject("u", "t", roles=frozenset({"member"}))
ADMIN = Subject("a", "ops", roles=frozenset({"admin"}))

RULES = """\
allow(_s: Subject, "read", p: Property) if p.name in ["open", "closed", "foreign", "admins", "size"];
allow(s: Subject, "read", p: Property) if p.name = "own" and p.image.owner = s.tenant;
forbid(s: Subject, "read", p: Property) if p.name in ["closed", "name"] and not s.has_role("admin");
forbid(s: Subject, "read", p: Property) if p.name in ["foreign", "size"] and not p.image.owner = s.tenant;
forbid(_s: Subject, "read", p: Property) if p.name = "tagged" and p.core;
forbid(_s: Subject, "create", p: Property) if p.value = "evil";
forbid(_s: Subject, "create", p: Property) if p.name = "dropped";
discard(_s: Subject, "create", p: Property) if p.name in ["dropped", "kept"];
"""


@pytest.fixture(scope="module", params=["compiled", "saved"])
def policy(request: pytest.FixtureRequest) -> Policy:
    made = compile_policy([("test.polar", RULES)], "r")
    return made if request.param == "compiled" else read_saved("test.json", save(made))


def prop(name: str, value: Any = None, core: bool = True) -> Property:
    return Property(name, Image(owner="u"), value, core)


@pytest.mark.parametrize(
    ("subject", "action", "resource", "allowed", "discard"),
    [
        pytest.param(MEMBER, "create", prop("os"), True, False, id="what-no-rule-names"),
        pytest.param(MEMBER, "update", prop("os"), True, False, id="an-action-that-no-rule-names"),
        pytest.param(MEMBER, "create", prop("os", "evil"), False, False, id="a-forbidden-value"),
        pytest.param(MEMBER, "create", prop("os", "good"), True, False, id="another-value"),
        pytest.param(MEMBER, "create", prop("dropped"), False, True, id="forbidden-and-dropped"),
        pytest.param(MEMBER, "create", prop("kept"), True, False, id="dropped-if-it-were-forbidden"),
        pytest.param(MEMBER, "read", prop("name"), False, False, id="hidden"),
        pytest.param(ADMIN, "read", prop("name"), True, False, id="hidden-from-others"),
        pytest.param(MEMBER, "read", prop("tagged"), False, False, id="an-attribute"),
        pytest.param(MEMBER, "read", prop("tagged", core=False), True, False, id="a-property-of-that-name"),
    ],
)
def test_only_what_is_forbidden_is_forbidden(
    policy: Policy, subject: Subject, action: str, resource: Property, allowed: bool, discard: bool
) -> None:
    decision = policy.forbidden(Query(subject, action, resource))
    assert (decision.allowed, decision.discard, decision.error) == (allowed, discard, False)
    assert decision.revision == "r" and decision.reason


def test_other_resources_can_be_forbidden_too() -> None:
    policy = compile_policy([("p", 'allow(_s: Subject, "x", _i: Image);forbid(_s: Subject, "y", _i: Image);')], "r")
    assert policy.forbidden(Query(MEMBER, "x", Image())).allowed
    assert not policy.forbidden(Query(MEMBER, "y", Image())).allowed


class Broken:
    kind = "Image"

    def __getattr__(self, name: str) -> Any:
        raise ValueError("s3cret")


def test_what_cannot_be_evaluated_is_forbidden() -> None:
    rules = 'forbid(_s: Subject, "update", p: Property) if p.image.owner = "x";'
    policy = compile_policy([("p", rules + "allow(_s: Subject, _a, _r);")], "r")
    broken = Property("name", Broken(), core=True)  # type: ignore[arg-type]
    decision = policy.forbidden(Query(MEMBER, "update", broken))
    assert decision == Decision(False, "the policy could not be evaluated", "r", error=True)
    assert policy.errors == 1
    assert policy.forbidden(Query(MEMBER, "create", broken)).allowed


@pytest.mark.parametrize(
    ("subject", "names", "core", "always", "sometimes"),
    [
        pytest.param(MEMBER, {"open", "closed", "foreign", "own"}, False, {"closed"}, {"foreign", "own"}, id="member"),
        pytest.param(ADMIN, {"open", "closed", "foreign", "own"}, False, set(), {"foreign", "own"}, id="admin"),
        pytest.param(MEMBER, {"unnamed", "admins"}, False, {"unnamed"}, set(), id="what-no-rule-allows"),
        pytest.param(MEMBER, {"name", "size", "tags"}, True, {"name"}, {"size"}, id="attributes"),
        pytest.param(ADMIN, {"name", "size", "tags"}, True, set(), {"size"}, id="attributes-for-an-admin"),
        pytest.param(MEMBER, {"tagged"}, True, {"tagged"}, set(), id="an-attribute-alone"),
        pytest.param(MEMBER, set(), True, set(), set(), id="nothing"),
    ],
)
def test_reading_is_foreseen(
    policy: Policy, subject: Subject, names: set[str], core: bool, always: set[str], sometimes: set[str]
) -> None:
    assert policy.foresee(subject, {}, names, core=core) == (always, sometimes)


IMAGES = [
    Image(owner=owner, properties=dict.fromkeys(("open", "closed", "foreign", "own", "x"), "v")) for owner in "tu"
]


@pytest.mark.parametrize("subject", [MEMBER, ADMIN, Subject()])
@pytest.mark.parametrize("image", IMAGES, ids=["own", "foreign"])
def test_what_is_foreseen_is_what_happens(policy: Policy, subject: Subject, image: Image) -> None:
    names = image.properties.keys()
    ahead, hidden = policy.foresee(subject, {}, names), policy.hidden(subject, {})(image, names)
    assert ahead.always <= hidden <= ahead.always | ahead.sometimes


def test_what_cannot_be_foreseen_may_happen() -> None:
    class Odd:
        def __contains__(self, item: object) -> bool:
            raise ValueError

    policy = compile_policy([("p", RULES)], "r")
    odd = Subject()
    object.__setattr__(odd, "roles", Odd())
    assert policy.foresee(odd, {}, {"name"}, core=True) == (set(), {"name"})


def test_the_names_that_a_policy_mentions(policy: Policy) -> None:
    assert policy.mentioned() >= {"open", "closed", "foreign", "own", "name", "dropped"}
    assert "unnamed" not in policy.mentioned()


@pytest.mark.parametrize("core", [True, False])
def test_a_list_tells_attributes_from_properties(core: bool) -> None:
    """`core` is asked behind a question about the image, where names are decided together."""
    rules = (
        "allow(_s: Subject, _a, _p: Property);\n"
        f'forbid(_s: Subject, "read", p: Property) if p.image.owner = "u" and {"" if core else "not "}p.core;'
    )
    policy = compile_policy([("p", rules)], "r")
    hide = policy.hidden(MEMBER, {})
    assert hide(IMAGES[1], {"open", "x"}) == (set() if core else {"open", "x"})
    assert policy.forbidden(Query(MEMBER, "read", prop("name"))).allowed is not core
