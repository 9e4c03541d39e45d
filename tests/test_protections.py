"""Glance's property-protection files: what they mean, what is refused and what is doubted, each at its place."""

from __future__ import annotations

import configparser
import logging
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protect import Image, Policy, PolicyError, Property, Query, Resource, Store, Subject, Task
from protect.loading import Protection, Sources, compile_sources
from protect.policy.patterns import LONGEST_NAME, linear, parse, searcher
from protect.policy.saved import read_saved, save
from protect.protections import ini
from protect.protections.sections import OPERATIONS, Format
from protect.reload import Reloader

IMAGE = Image("i", owner="t", visibility="private", properties={"os_type": "linux"})
MEMBER = Subject("u", tenant="t", roles=frozenset({"member"}))
ADMIN = Subject("a", tenant="a", roles=frozenset({"admin"}))
NOBODY = Subject()
EVERYONE = "create = @\nread = @\nupdate = @\ndelete = @\n"
CLOSED = EVERYONE.replace("@", "!")


def section(pattern: str, **who: str) -> str:
    values = {"create": "admin", "read": "admin,member", "update": "admin", "delete": "admin"} | who
    return f"[{pattern}]\n" + "".join(f"{operation} = {value}\n" for operation, value in values.items())


def load(*texts: str, form: str = "roles", rules: str = "", polar: str = "") -> Policy:
    files = [(f"p{index or ''}.conf", text.encode()) for index, text in enumerate(texts)]
    files += [("p.polar", polar.encode())] if polar else []
    return compile_sources(Sources(tuple(files), format=Format(form), rules=("policy.yaml", rules.encode())))


def allowed(policy: Policy, subject: Subject, operation: str, name: str, image: Image = IMAGE) -> bool:
    decision = policy.decide(Query(subject, operation, Property(name, image, "v")))
    assert not decision.error
    return decision.allowed


def problems(*texts: str, form: str = "roles", rules: str = "", polar: str = "") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(*texts, form=form, rules=rules, polar=polar)
    assert all(problem.help for problem in caught.value.problems if not problem.file.endswith(".polar"))
    return [str(problem).split("\n")[0] for problem in caught.value.problems]


# --- what a file means ---


@pytest.mark.parametrize(
    ("who", "subject", "expected"),
    [
        pytest.param("admin", ADMIN, True, id="the role listed"),
        pytest.param("admin", MEMBER, False, id="another role"),
        pytest.param("admin, member", MEMBER, True, id="one of two"),
        pytest.param("admin,\n  member", MEMBER, True, id="a list over two lines"),
        pytest.param("AdMin", ADMIN, True, id="roles compare without case"),
        pytest.param("@", NOBODY, True, id="everybody"),
        pytest.param("!", ADMIN, False, id="nobody"),
        pytest.param("admin,!", ADMIN, False, id="nobody outranks a role"),
        pytest.param("@,admin", MEMBER, True, id="everybody outranks a role"),
        pytest.param("", ADMIN, False, id="nothing is nobody"),
        pytest.param("admin # member", ADMIN, False, id="there is no comment behind a value"),
        pytest.param("member and admin", MEMBER, False, id="there are no expressions"),
        pytest.param("!member", ADMIN, False, id="nothing is negated"),
        pytest.param("%(read)s", MEMBER, True, id="a reference to another value"),
    ],
)
def test_who_may(who: str, subject: Subject, expected: bool) -> None:
    assert allowed(load(section("x", create=who)), subject, "create", "x") is expected


@pytest.mark.parametrize(
    ("service_role", "expected"),
    [
        pytest.param("admin", True, id="a confirmed service's role counts as well"),
        pytest.param("Admin", True, id="without case, which Glance forgets"),
        pytest.param("other", False, id="another role of the service does not"),
    ],
)
def test_service_roles(service_role: str, expected: bool) -> None:
    subject = replace(MEMBER, service_roles=frozenset({service_role}))
    assert allowed(load(section("x")), subject, "create", "x") is expected


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        pytest.param("secret", "xsecretx", True, id="found anywhere"),
        pytest.param("^secret$", "xsecretx", False, id="unless anchored"),
        pytest.param("^secret$", "secret\n", True, id="a dollar also stands before the last newline"),
        pytest.param("^secret$", "secret\n\n", False, id="and not before two"),
        pytest.param("secret", "SECRET", False, id="names compare with case"),
        pytest.param("(?i)secret", "SECRET", True, id="unless the pattern says otherwise"),
        pytest.param("x_foo_*", "x_foo", True, id="an asterisk repeats the sign before it"),
        pytest.param(r"^\d$", "٣", True, id="a digit of any script"),
        pytest.param(r"^\d$", "x", False, id="a letter is no digit"),
        pytest.param(r"(.)\1", "aa", True, id="a back-reference"),
        pytest.param(r"(.)\1", "ab", False, id="a back-reference that fails"),
    ],
)
def test_which_names_a_section_fits(pattern: str, name: str, fits: bool) -> None:
    assert allowed(load(f"[{pattern}]\n{EVERYONE}"), NOBODY, "read", name) is fits


def test_the_first_section_that_fits_decides() -> None:
    first, second = section("x_1", read="!"), f"[x_]\n{EVERYONE}"
    assert not allowed(load(first + second), ADMIN, "read", "x_1")
    assert allowed(load(first + second), ADMIN, "read", "x_2")
    assert allowed(load(second + first), ADMIN, "read", "x_1")


def test_several_files_are_read_one_after_the_other() -> None:
    closed, opened = f"[x]\n{CLOSED}", f"[x]\n{EVERYONE}[y]\n{EVERYONE}"
    policy = load(closed, opened)
    assert not allowed(policy, ADMIN, "read", "x")
    assert allowed(policy, ADMIN, "read", "y")
    assert policy.decide(Query(ADMIN, "read", Property("y", IMAGE))).reason == "allowed by p1.conf:6"
    assert allowed(load(opened, closed), ADMIN, "read", "x")


def test_what_no_section_fits_is_closed_to_everybody() -> None:
    policy = load(section("x"))
    decision = policy.decide(Query(ADMIN, "read", Property("y", IMAGE)))
    assert (decision.allowed, decision.reason) == (False, "refused by p.conf: no section fits this name")
    assert allowed(policy, ADMIN, "read", "x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("os_glance", True, id="the prefix alone"),
        pytest.param("os_glance_importing", True, id="a name of the API's own"),
        pytest.param("my_os_glance", False, id="the words inside another name"),
        pytest.param("OS_GLANCE_x", False, id="the words in capitals"),
    ],
)
@pytest.mark.parametrize("text", ["[.*]\n" + CLOSED, f"[os_glance]\n{CLOSED}[.*]\n{CLOSED}"], ids=["all", "dropped"])
def test_the_names_of_the_api_are_open(text: str, name: str, expected: bool) -> None:
    assert allowed(load(text), NOBODY, "update", name) is expected


def test_defaults_fill_every_gap() -> None:
    policy = load("[DEFAULT]\ncreate = @\n" + section("x", read="admin").replace("create = admin\n", "") + section("y"))
    assert allowed(policy, NOBODY, "create", "x")
    assert not allowed(policy, NOBODY, "create", "y")
    assert policy.warnings == (
        "p.conf:3:2: `[x]` takes `create` (line 2) from [DEFAULT], which fills the gaps of every section; "
        "write it in the section if this is meant",
    )


# --- decisions ---


def test_reasons_name_the_section() -> None:
    policy = load("# ours\n\n" + section("x"))
    assert policy.decide(Query(MEMBER, "read", Property("x", IMAGE))).reason == "allowed by p.conf:3"
    assert policy.decide(Query(MEMBER, "update", Property("x", IMAGE))).reason == "refused by p.conf:3"


def test_other_actions_are_left_to_the_api() -> None:
    policy = load(section("x"))
    for resource in (IMAGE, Resource(type="t")):
        decision = policy.decide(Query(NOBODY, "delete_image", resource))
        assert (decision.allowed, decision.reason) == (True, "left to the API")
    # An operation that Glance does not know is refused there as well.
    assert not policy.decide(Query(ADMIN, "rename", Property("x", IMAGE))).allowed


def test_an_explanation_shows_the_way_and_what_is_missing() -> None:
    explanation = load(section("^a") + section("x")).explain(Query(MEMBER, "update", Property("xx", IMAGE)))
    assert str(explanation).split("\n") == [
        "denied: refused by p.conf:6",
        '  property.name matches "^os_glance": no',
        '  property.name matches "^a": no',
        '  property.name matches "x": yes',
        '  subject has service role "admin": no',
        '  subject has role "admin": no',
        "  p.conf:6 would allow it if:",
        '    subject has role "admin": yes',
    ]


def test_hidden_properties_are_those_that_may_not_be_read() -> None:
    policy = load(section("^secret", read="admin") + section("."))
    names = {"secret_1", "x", "secret"}
    assert policy.hidden(MEMBER, {})(IMAGE, names) == {"secret_1", "secret"}
    assert policy.hidden(ADMIN, {})(IMAGE, names) == set()
    assert policy.hidden(NOBODY, {})(IMAGE, names) == names


def test_the_names_that_sections_spell_out_are_known() -> None:
    # The start or the end of a name is none.
    assert load(section("^a$") + section("b") + section("^c_") + section("_d$") + section("e+")).mentioned() == {
        "a",
        "b",
    }


def test_a_saved_policy_answers_the_same() -> None:
    policy = load(section(r"^x_\d+$", update="@") + section("y"))
    saved = read_saved("saved", save(policy))
    for subject in (MEMBER, ADMIN, NOBODY):
        for name in ("x_1", "x_a", "y", "yy", "z", "os_glance"):
            for operation in (*OPERATIONS, "rename"):
                query = Query(subject, operation, Property(name, IMAGE))
                assert saved.decide(query) == policy.decide(query)
    assert saved.decide(Query(NOBODY, "get_image", IMAGE)) == policy.decide(Query(NOBODY, "get_image", IMAGE))


def test_protection_files_need_no_oso() -> None:
    program = (
        "import sys; sys.modules['oso'] = None; from protect.loading import Sources, compile_sources; "
        f"compile_sources(Sources((('p.conf', {section('x').encode()!r}),)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1], timeout=60)


# --- beside rules ---

POLAR = """\
allow(_subject: Subject, "read", _property: Property);
allow(subject: Subject, "update", property: Property) if property.image.owner = subject.tenant;
allow(subject: Subject, "create", property: Property) if property.name != "create" and subject.has_role("admin");
allow(subject: Subject, "get_image", _image: Image) if subject.has_role("member");
forbid(_subject: Subject, _action, property: Property) if property.name = "locked";
discard(_subject: Subject, "update", property: Property) if property.name = "dropped";
allow(_subject: Subject, "inspect", _property: Property);
"""


@pytest.mark.parametrize(
    ("subject", "operation", "name", "reason"),
    [
        pytest.param(MEMBER, "read", "x", "allowed by p.polar:1", id="both allow"),
        pytest.param(NOBODY, "read", "x", "refused by p.conf:1", id="the file refuses"),
        pytest.param(MEMBER, "update", "open", "allowed by p.polar:2", id="both allow an update"),
        pytest.param(ADMIN, "update", "open", "no rule allows `update` on this property", id="the rules refuse"),
        pytest.param(MEMBER, "update", "x", "refused by p.conf:1", id="the file refuses an update"),
        pytest.param(MEMBER, "read", "y", "refused by p.conf: no section fits this name", id="no section"),
        pytest.param(MEMBER, "read", "locked", "forbidden by p.polar:5", id="a rule forbids what the file allows"),
        pytest.param(MEMBER, "update", "dropped", "dropped by p.polar:6", id="a refusal of the file can be dropped"),
        pytest.param(ADMIN, "create", "x", "allowed by p.polar:3", id="a name that rules do not mention"),
        pytest.param(ADMIN, "create", "create", "no rule allows `create` on this property", id="one that they do"),
        pytest.param(NOBODY, "inspect", "x", "allowed by p.polar:7", id="what files do not speak of"),
    ],
)
def test_beside_rules_a_file_narrows(subject: Subject, operation: str, name: str, reason: str) -> None:
    files = section("^(x|dropped)$") + f"[^(open|locked|create)$]\n{EVERYONE}"
    policy = load(files, polar=POLAR)
    query = Query(subject, operation, Property(name, IMAGE, "v"))
    assert policy.decide(query).reason == reason
    assert read_saved("saved", save(policy)).decide(query) == policy.decide(query)
    if operation == "read":
        hides = policy.hidden(subject, {})(IMAGE, {name})
        assert (name in hides) is not policy.decide(query).allowed


def test_beside_rules_the_rules_decide_on_everything_else() -> None:
    policy = load(section("x"), polar=POLAR)
    assert policy.decide(Query(MEMBER, "get_image", IMAGE)).reason == "allowed by p.polar:4"
    assert not policy.decide(Query(ADMIN, "get_image", IMAGE)).allowed


FORBIDS = """\
forbid(_subject: Subject, "delete_image", image: Image) if image.protected = true;
forbid(_subject: Subject, _action, property: Property) if property.name = "locked";
discard(_subject: Subject, "update", property: Property) if property.name = "dropped";
forbid(subject: Subject, "cache_clean", _store: Store) if not subject.has_role("admin");
"""


@pytest.mark.parametrize(
    ("subject", "action", "resource", "reason"),
    [
        pytest.param(MEMBER, "delete_image", Image(protected=True), "forbidden by p.polar:1", id="a rule forbids"),
        pytest.param(MEMBER, "delete_image", Image(), "left to the API", id="no rule forbids"),
        pytest.param(MEMBER, "get_image", Image(), "left to the API", id="an action that no rule mentions"),
        pytest.param(MEMBER, "tasks_api_access", Task(), "left to the API", id="another type of resource"),
        pytest.param(MEMBER, "cache_clean", Store(), "forbidden by p.polar:4", id="a rule forbids a member"),
        pytest.param(ADMIN, "cache_clean", Store(), "left to the API", id="and no admin"),
        pytest.param(MEMBER, "read", Property("x", IMAGE), "allowed by p.conf:1", id="the file allows"),
        pytest.param(NOBODY, "read", Property("x", IMAGE), "refused by p.conf:1", id="the file refuses"),
        pytest.param(MEMBER, "read", Property("locked", IMAGE), "forbidden by p.polar:2", id="a rule forbids a name"),
        pytest.param(
            MEMBER, "read", Property("y", IMAGE), "refused by p.conf: no section fits this name", id="no section"
        ),
        pytest.param(MEMBER, "update", Property("dropped", IMAGE), "dropped by p.polar:3", id="a refusal is dropped"),
        pytest.param(ADMIN, "inspect", Property("x", IMAGE), "no rule allows `inspect` on this property", id="other"),
    ],
)
def test_rules_that_only_forbid_add_to_a_file(subject: Subject, action: str, resource: Any, reason: str) -> None:
    policy = load(section("^(x|dropped|locked)$"), polar=FORBIDS)
    query = Query(subject, action, resource)
    assert policy.decide(query).reason == reason
    assert read_saved("saved", save(policy)).decide(query) == policy.decide(query)


def test_an_allow_rule_that_never_holds_decides_on_everything() -> None:
    never = 'allow(subject: Subject, "x", _: Image) if subject.has_role("a") and not subject.has_role("a");\n'
    query = Query(MEMBER, "get_image", IMAGE)
    assert load(section("x"), polar=FORBIDS).decide(query).allowed
    assert not load(section("x"), polar=FORBIDS + never).decide(query).allowed


def test_rules_beside_a_file_say_something() -> None:
    nothing = ["p.polar: no `allow`, `forbid` or `discard` rule, so nothing is added"]
    assert problems(section("x"), polar='x("y");') == nothing
    assert load(section("x"), polar="discard(_: Subject, _, _: Property);").decide(Query(MEMBER, "x", IMAGE)).allowed


# --- what cannot be loaded ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            section("x").replace("delete = admin\n", ""),
            ["p.conf:1:2: `[x]` does not say who may delete"],
            id="an operation is missing",
        ),
        pytest.param(
            section("x") + section("*y"),
            ["p.conf:6:2: `[*y]` is no regular expression: nothing to repeat"],
            id="no regular expression",
        ),
        pytest.param(
            section("x", read="@,!"),
            ["p.conf:3:8: `@` is for everybody and `!` for nobody"],
            id="everybody and nobody",
        ),
        pytest.param(
            section("x") + section("x"),
            ["p.conf:6:1: `[x]` is there already, in line 1"],
            id="a section twice",
        ),
        pytest.param(
            section("x") + "READ: @\n",
            ["p.conf:6:1: `read` is there already, in line 3"],
            id="a key twice, whatever its case and sign",
        ),
        pytest.param(
            "# ours\ncreate = @\n" + section("x"),
            ["p.conf:2:1: `create = @` stands before any section"],
            id="no section",
        ),
        pytest.param(
            "\ufeff" + section("x"),
            ["p.conf:1:1: the file begins with a byte order mark"],
            id="a byte order mark",
        ),
        pytest.param(
            section("x", read="50%"),
            ["p.conf:3:8: a `%` begins a reference to another value, and none follows"],
            id="a percent sign",
        ),
        pytest.param(
            section("x", read="%(reed)s"),
            ["p.conf:3:8: `%(reed)s` refers to a value that is not there"],
            id="a reference to nothing",
        ),
        pytest.param(
            section("x", read="%(update)s", update="%(read)s"),
            [
                "p.conf:3:8: the values refer to each other without end",
                "p.conf:4:10: the values refer to each other without end",
            ],
            id="references in a circle",
        ),
        pytest.param(section("x") + "admin\n", ["p.conf:6:1: `admin` is no `operation = who`"], id="no sign"),
        pytest.param(section("x") + "= admin\n", ["p.conf:6:1: `= admin` is no `operation = who`"], id="no key"),
        pytest.param(
            "create\n[(]\nread = @,!\n" + CLOSED,
            [
                "p.conf:1:1: `create` stands before any section",
                "p.conf:2:2: `[(]` is no regular expression: missing ), unterminated subpattern",
                "p.conf:5:1: `read` is there already, in line 3",
            ],
            id="all of them in one run",
        ),
    ],
)
def test_what_glance_would_not_load_is_a_problem(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_the_problems_of_all_files_come_together() -> None:
    assert problems("x", "[(]\n" + CLOSED, polar="allow(")[:2] == [
        "p.conf:1:1: `x` stands before any section",
        "p1.conf:1:2: `[(]` is no regular expression: missing ), unterminated subpattern",
    ]
    assert any(line.startswith("p.polar:1") for line in problems("x", polar="allow("))


def test_text_that_is_not_utf8_is_a_problem() -> None:
    with pytest.raises(PolicyError, match=r"p\.conf:2:1: not UTF-8 text"):
        compile_sources(Sources((("p.conf", b"[x]\n\xff"),)))


# --- what is doubted ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(section("x", read="admin # me"), "p.conf:3:8: `admin # me` is one role: a comment", id="comment"),
        pytest.param(section("x", read="a ; b"), "p.conf:3:8: `a ; b` is one role: a comment", id="semicolon"),
        pytest.param(section("x", read="a and b"), "p.conf:3:8: `a and b` is one role: there are no", id="expression"),
        pytest.param(section("x", read="a b"), "p.conf:3:8: `a b` is one role with a space", id="space"),
        pytest.param(section("x", read="!a"), "p.conf:3:8: `!a` is one role: `!` does not negate", id="negation"),
        pytest.param(section("x", read="role:a"), "p.conf:3:8: `role:a` is one role of that name", id="a rule's words"),
        pytest.param(section("x", read="a\n b"), "p.conf:3:8: `a` and the lines below it are one role", id="lines"),
        pytest.param(section("x", read="a,,b"), "p.conf:3:8: an empty name", id="an empty name"),
        pytest.param(section("x", read="!,a"), "p.conf:3:8: `!` means nobody, whatever", id="nobody and a role"),
        pytest.param(section("x", read="@,a"), "p.conf:3:8: `@` means everybody, whatever", id="everybody and a role"),
        pytest.param(section("x", read=""), "p.conf:3:7: `read` of `[x]` names nobody", id="an empty value"),
        pytest.param(section("x") + "raed = @\n", "p.conf:6:1: `raed` is ignored", id="an unknown key"),
        pytest.param("[DEFAULT]\nraed = @\n" + section("x"), "p.conf:2:1: `raed` is ignored", id="among the defaults"),
        pytest.param("[x] # why\n" + CLOSED, "p.conf:1:2: `# why` behind the section's name", id="behind a header"),
        pytest.param(
            "[os_glance_x]\n" + section("x"), "p.conf:1:2: `[os_glance_x]` is dropped", id="a dropped section"
        ),
        pytest.param(section("^os_glance_x"), "p.conf:1:1: `[^os_glance_x]` is never asked", id="a name of the API's"),
        pytest.param(section(".*") + section("x"), "p.conf:6:1: `[x]` is never asked: `[.*]` at", id="behind all"),
        pytest.param(section("x") + section("^xy"), "p.conf:6:1: `[^xy]` is never asked: `[x]` at", id="behind a part"),
        pytest.param(section("^x") + section("^xy$"), "p.conf:6:1: `[^xy$]` is never asked", id="behind a prefix"),
        pytest.param(section("y$") + section("xy$"), "p.conf:6:1: `[xy$]` is never asked", id="behind a suffix"),
        pytest.param(section("x[0-9]") + section("^x1$"), "p.conf:6:1: `[^x1$]` is never asked", id="behind a class"),
        pytest.param("", "p.conf: no section, so nobody", id="an empty file"),
        pytest.param("# x\n", "p.conf: no section, so nobody", id="only comments"),
        pytest.param(section(r"(?i)(a+)+$"), "p.conf:1:2: `[(?i)(a+)+$]` repeats what repeats", id="a slow pattern"),
        pytest.param(section("[[a]"), "p.conf:1:2: `[[[a]]` may mean something else", id="a pattern of later days"),
    ],
)
def test_what_glance_takes_without_a_word_is_doubted(
    text: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    [warning] = load(text).warnings
    assert warning.startswith(expected)
    assert "; " in warning
    assert "\n" not in warning
    assert [record.message for record in caplog.records] == [warning]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(section("x") + section("y"), id="two sections"),
        pytest.param(section("^xy") + section("x"), id="the wider one comes second"),
        pytest.param(section("^x$") + section("x"), id="the anchored one comes first"),
        pytest.param(section("^x") + section("x"), id="the prefix comes first"),
        pytest.param(section("my_os_glance"), id="a name that only contains the API's"),
        pytest.param(section("x", read="a,\n  b"), id="a list over two lines"),
        pytest.param(section("^(a+)+$"), id="what RE2 searches is never slow"),
        pytest.param("; why\n# and\n" + section("x", read="%(update)s"), id="comments and a reference"),
    ],
)
def test_what_is_in_order_is_not_doubted(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert load(text).warnings == ()
    assert caplog.records == []


# --- policies ---

RULES = """\
owners: role:member and project_id:%(owner)s
strangers: not project_id:%(owner)s
linux: "'linux':%(os_type)s"
public: "'public':%(visibility)s or rule:owners"
members: project_id:%(member_id)s
hidden: True:%(os_hidden)s
small: 10:%(min_ram)s
services: service_roles:service
"""


@pytest.mark.parametrize(
    ("rule", "image", "subject", "expected"),
    [
        pytest.param("owners", IMAGE, MEMBER, True, id="the owner"),
        pytest.param("owners", replace(IMAGE, owner="o"), MEMBER, False, id="not the owner"),
        pytest.param("owners", IMAGE, replace(MEMBER, roles=frozenset()), False, id="the owner without the role"),
        pytest.param(
            "owners", replace(IMAGE, owner=None), replace(MEMBER, tenant=None), False, id="nothing is nobody's"
        ),
        pytest.param("strangers", IMAGE, MEMBER, False, id="negation"),
        pytest.param("strangers", IMAGE, ADMIN, True, id="negation the other way"),
        pytest.param("linux", IMAGE, NOBODY, True, id="a property"),
        pytest.param("linux", replace(IMAGE, properties={}), NOBODY, False, id="no such property"),
        pytest.param("public", replace(IMAGE, visibility="public"), NOBODY, True, id="a literal"),
        pytest.param("public", IMAGE, NOBODY, False, id="another literal"),
        pytest.param("public", IMAGE, MEMBER, True, id="a rule in a rule"),
        pytest.param(
            "members", replace(IMAGE, visibility="shared", members={"a": "pending"}), ADMIN, True, id="shared"
        ),
        pytest.param("members", replace(IMAGE, visibility="shared", members={"b": "accepted"}), ADMIN, False, id="not"),
        pytest.param("hidden", replace(IMAGE, hidden=True), NOBODY, True, id="true"),
        pytest.param("hidden", IMAGE, NOBODY, False, id="false"),
        pytest.param("small", replace(IMAGE, min_ram=10), NOBODY, True, id="a number"),
        pytest.param("small", replace(IMAGE, min_ram=11), NOBODY, False, id="another number"),
        pytest.param("services", IMAGE, replace(NOBODY, service_roles=frozenset({"service"})), True, id="a service"),
        pytest.param("services", IMAGE, replace(NOBODY, roles=frozenset({"service"})), False, id="a user called so"),
        pytest.param("context_is_admin", IMAGE, ADMIN, True, id="a rule of Glance's own"),
        pytest.param("context_is_admin", IMAGE, MEMBER, False, id="a rule of Glance's own, refused"),
        pytest.param("@", IMAGE, NOBODY, True, id="everybody"),
        pytest.param("!", IMAGE, ADMIN, False, id="nobody"),
    ],
)
def test_rules_see_the_image(rule: str, image: Image, subject: Subject, expected: bool) -> None:
    policy = load(f"[x]\n{EVERYONE}".replace("@", rule), form="policies", rules=RULES)
    assert allowed(policy, subject, "update", "x", image) is expected
    assert ("x" in policy.hidden(subject, {})(image, {"x"})) is not expected


def test_a_rule_of_the_file_outranks_glances_own() -> None:
    text = f"[x]\n{EVERYONE}".replace("@", "modify_image")
    assert allowed(load(text, form="policies"), MEMBER, "update", "x")
    assert not allowed(load(text, form="policies", rules='modify_image: "!"'), MEMBER, "update", "x")


@pytest.mark.parametrize(
    ("value", "rules", "expected"),
    [
        pytest.param("a,b", "", "p.conf:2:10: `a,b` is more than one policy rule", id="two rules"),
        pytest.param("modify_imag", "", "p.conf:2:10: no rule is called `modify_imag`", id="an unknown rule"),
        pytest.param("a", "a: rule:b\nb: rule:c", "policy.yaml:2:1: no rule is called `c`", id="unknown further down"),
        pytest.param(
            "a",
            "a: rule:b\nb: not rule:a",
            "policy.yaml:2:1: rule `a` comes back to itself: a -> b -> a",
            id="a circle",
        ),
        pytest.param("a", "a: http://x/y", "policy.yaml:1:1: `http://x/y` asks somebody else", id="a remote check"),
        pytest.param("a", "a: is_admin:True", "policy.yaml:1:1: `is_admin:True` asks for what Glance", id="is_admin"),
        pytest.param("a", "a: tenant:%(owner)s", "policy.yaml:1:1: `tenant:%(owner)s` asks for what", id="an old name"),
        pytest.param("a", "a: role:x and", "policy.yaml:1:1: `role:x and` cannot be understood", id="half a rule"),
        pytest.param("a", "a: admin", "policy.yaml:1:1: `admin` is no check", id="a bare word"),
        pytest.param("a", "a:", "policy.yaml:1:1: the rule is no text", id="no rule"),
        pytest.param("a", "a: \"'x':%(tags)s\"", "policy.yaml:1:1: `%(tags)s` cannot be compared", id="a list"),
        pytest.param("a", "a: role:x%(owner)s", "policy.yaml:1:1: `x%(owner)s` mixes text", id="a mixture"),
        pytest.param("a", "a: @", "policy.yaml:1:4: not YAML", id="no YAML"),
        pytest.param("a", "- a", "policy.yaml:1:1: not a list of rules", id="a list of nothing"),
        pytest.param("a", 'a: "@"\na: "!"', "policy.yaml:2:1: rule `a` is there already, in line 1", id="a rule twice"),
        pytest.param("admin # x", "", "p.conf:2:10: `#` is no check", id="a comment"),
    ],
)
def test_rules_that_cannot_be_used_are_problems(value: str, rules: str, expected: str) -> None:
    found = problems(section("x", create=value, read="@", update="@", delete="@"), form="policies", rules=rules)
    assert found[0].startswith(expected), found
    if "not YAML" not in expected:
        assert "`" in found[0] or "rule" in found[0]


# --- loading ---


def test_options_files_and_revisions(tmp_path: Path) -> None:
    conf, rules = tmp_path / "p.conf", tmp_path / "policy.yaml"
    conf.write_text(f"[x]\n{EVERYONE}".replace("@", "mine"))
    rules.write_text("mine: role:member")
    policy = Policy.load([str(conf)], protection_format="policies", policy_rules=str(rules))
    assert allowed(policy, MEMBER, "read", "x")
    by_roles = Policy.load([str(conf)])
    assert not allowed(by_roles, MEMBER, "read", "x")
    rules.write_text("mine: role:admin")
    changed = Policy.load([str(conf)], protection_format="policies", policy_rules=str(rules))
    assert not allowed(changed, MEMBER, "read", "x")
    assert len({policy.revision, by_roles.revision, changed.revision}) == 3


@pytest.mark.parametrize(
    ("form", "rules", "message"),
    [
        ("role", None, "protection_format: `role` is not accepted"),
        ("policies", "/nowhere/policy.yaml", "/nowhere/policy.yaml: the policy rules cannot be read: No such file"),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, form: str, rules: str | None, message: str) -> None:
    (tmp_path / "p.conf").write_text(section("x"))
    with pytest.raises(PolicyError) as caught:
        Policy.load([str(tmp_path / "p.conf")], protection_format=form, policy_rules=rules)
    assert str(caught.value).startswith(message)


def test_a_change_of_the_rules_is_noticed(tmp_path: Path) -> None:
    conf, rules = tmp_path / "p.conf", tmp_path / "policy.yaml"
    conf.write_text(f"[x]\n{EVERYONE}".replace("@", "mine"))
    rules.write_text("mine: role:member")
    reloader = Reloader([str(conf)], protection=Protection("policies", str(rules)))
    assert allowed(reloader.policy, MEMBER, "read", "x")
    rules.write_text("mine: role:admin")
    reloader.look()
    assert reloader.look()
    assert not allowed(reloader.policy, MEMBER, "read", "x")
    rules.write_text("mine: rule:nothing")
    reloader.look()
    assert not reloader.look()
    assert reloader.trouble is not None
    assert "no rule is called `nothing`" in reloader.trouble.message
    assert allowed(reloader.policy, ADMIN, "read", "x")


# --- the INI format, and patterns ---

LINES = (
    *(
        "[a]",
        "[b]",
        "[DEFAULT]",
        "[a]b]",
        "[]",
        "[",
        " [c]",
        "[d] # x",
        "x = 1",
        "X: 2",
        "y=",
        " z = 3",
        "  more",
        "\tmore",
    ),
    *(
        "",
        "   ",
        "# c",
        "  ; c",
        "word",
        "= 1",
        ": 2",
        "k = [e]",
        "w \x1c= \x0c1",
        "%x = %%",
        "é = ü",
        "a = b = c",
        "\x85",
    ),
)


def test_the_reader_reads_what_configparser_reads() -> None:
    chance = random.Random(5)
    accepted = 0
    for _ in range(10_000):
        text = "".join(
            chance.choice(LINES) + chance.choice(["\n", "\n", "\r\n", "\r"]) for _ in range(chance.randint(0, 9))
        )
        # As reading a file does it.
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        parser = configparser.ConfigParser()
        ours = ini.read(text, "x")
        try:
            parser.read_string(lines)
        except configparser.Error:
            assert ours.problems, repr(text)
            continue
        assert ours.problems == [], repr(text)
        accepted += 1
        theirs = {name: {key: parser.get(name, key, raw=True) for key in parser[name]} for name in parser.sections()}
        defaults = {key: option.value for key, option in ours.defaults.items()}
        assert dict(parser.defaults()) == defaults
        assert theirs == {
            block.name: defaults | {key: option.value for key, option in block.options.items()} for block in ours.blocks
        }, repr(text)
    assert accepted > 1_000


PIECES = (
    *("a", "b", "_", ".", r"\d", r"\w", r"\s", r"\W", "[ab]", "[^a]", r"[^\w]", "(?:", "(", "|", ")", "*", "+", "?"),
    *("{2}", "{1,3}", "$", "^", r"\Z", r"\A", "\n", "é", r"\.", "*?", r"\b", "(?=a)", "$", "^"),
)
TEXTS = (
    *(
        "",
        "a",
        "b",
        "ab",
        "a\n",
        "\n",
        "a_b",
        "é",
        "٣",
        "a٣\n",
        "aab",
        "ba\n\n",
        " a",
        "\x1ca",
        "_",
        "a.b",
        "aaa",
        "a\nb",
    ),
)


def test_a_search_in_linear_time_finds_what_python_finds() -> None:
    chance = random.Random(6)
    translated = 0
    for _ in range(3_000):
        try:
            pattern = parse("".join(chance.choice(PIECES) for _ in range(chance.randint(1, 8))))
        except Exception:
            continue
        found = linear(pattern)
        if found is not None:
            translated += 1
            for text in TEXTS:
                assert found(text) is (pattern.search(text) is not None), (pattern, text)
    assert translated > 500


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(\w+\s?)*$", "(x_)*(x_)*(x_)*$", "(.*a){12}$"])
def test_patterns_that_keep_python_busy_do_not_keep_us(pattern: str) -> None:
    policy = load(section(pattern, read="@"))
    started = time.process_time()
    for end in ("!", "\n\n", "\u0663!"):
        policy.decide(Query(NOBODY, "read", Property("a" * 250 + end, IMAGE)))
    assert time.process_time() - started < 1


def test_only_names_are_searched_by_pythons_engine() -> None:
    found = searcher(r"(a)\1")
    assert found("a" * LONGEST_NAME)
    with pytest.raises(ValueError, match="longer than any name"):
        found("a" * (LONGEST_NAME + 1))
    policy = load(section(r"(a)\1", read="@"))
    decision = policy.decide(Query(NOBODY, "read", Property("a" * (LONGEST_NAME + 1), IMAGE)))
    assert (decision.allowed, decision.error) == (False, True)


def test_warnings_are_logged_under_the_policys_logger(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "protect.policy")
    load(section("x", read="a b"))
    assert [(record.name, record.levelname) for record in caplog.records] == [("protect.policy", "WARNING")]
