"""What lint finds in other spellings of a mistake, and does not find in their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protect.analysis.walking import deciding_rules
from protect.errors import PolicyError
from protect.lint.polar_files import parsed
from protect.lint.spare import _without, spare
from protect.lint.texts import Text
from protect.lint.words import plain_names
from protect.polar.compiler import compile_policy
from protect.policy.policy import Policy
from tests.test_graph_agrees_with_oso import policies, queries
from tests.test_lint import OWN, codes, folder, found, write

SHOW = 'allow(s: Subject, "get_image", i: Image) if '
MAGIC = (
    "[^(kernel_id|ramdisk_id|os_command_line|block_device_mapping|bdm_v2|mappings|root_device_name|instance_uuid|"
    "image_type|base_image_ref|cinder_encryption_key_id|cinder_encryption_key_deletion_policy)$]\n"
    "create = admin\nread = @\nupdate = admin\ndelete = admin\n\n"
)
CLOSED = "create = admin\nread = @\nupdate = admin\ndelete = admin\n\n"
USUAL = "create = admin,member\nread = @\nupdate = admin,member\ndelete = admin,member\n"
EVERYBODY = "create = @\nread = @\nupdate = @\ndelete = @\n"


def found_in(tmp_path: Path, text: str, name: str = "a.polar") -> list[str]:
    return sorted(codes(found([write(folder(tmp_path) / name, text)])))


# Rules, and parts of rules, that could be spared


SPARED = [
    pytest.param(
        f'{SHOW}s.has_role("x") and i.owner = s.tenant and i.visibility in ["public", "private"];\n'
        f'{SHOW}s.has_role("x") and i.visibility = "public";\n'
        f'{SHOW}s.authenticated and i.owner = s.tenant and i.visibility = "private";\n',
        [],
        id="one that others cover in part",
    ),
    pytest.param(
        f'{SHOW}s.has_role("x") and i.owner = s.tenant and i.visibility in ["public", "private"];\n'
        f'{SHOW}s.has_role("x") and i.visibility = "public";\n'
        f'{SHOW}i.owner = s.tenant and i.visibility = "private";\n',
        ["PR202"],
        id="one that two others cover together",
    ),
    pytest.param(
        f'allow(s: Subject, _a, _r) if s.has_role("x");\n{SHOW.replace("i:", "_i:")}s.has_role("x");\n',
        ["PR202"],
        id="one that a rule for everything covers",
    ),
    pytest.param(
        f'allow(s: Subject, _a, _r) if s.has_role("x");\n{SHOW.replace("i:", "_i:")}s.has_role("y");\n',
        [],
        id="one beside a rule for everything",
    ),
    pytest.param(
        f"{SHOW}i.owner = s.tenant;\n"
        'forbid(s: Subject, "get_image", _i: Image) if s.has_role("x") and s.authenticated;\n'
        'forbid(s: Subject, "get_image", _i: Image) if s.has_role("x");\n',
        ["PR202"],
        id="a forbid that another covers",
    ),
    pytest.param(
        f'{SHOW}i.owner = s.tenant;\nforbid(s: Subject, "delete_image", _i: Image) if not s.has_role("admin");\n',
        [],
        id="a forbid of what nobody is allowed, which is a guard",
    ),
    pytest.param(
        f'{SHOW}s.has_role("x") or (s.has_role("x") and i.owner = s.tenant);\n',
        ["PR206"],
        id="the narrower alternative",
    ),
    pytest.param(
        f'{SHOW}(s.has_role("x") and i.owner = s.tenant) or s.has_role("x");\n',
        ["PR206"],
        id="the narrower alternative, first",
    ),
    pytest.param(f"{SHOW}i.owner = s.tenant or i.owner = s.tenant;\n", ["PR206"], id="of two equal ones, one"),
    pytest.param(
        f'{SHOW}i.owner = s.tenant or (i.visibility = "public" or i.visibility in ["public"]);\n',
        ["PR206"],
        id="an alternative within another",
    ),
    pytest.param(
        f'{SHOW}i.owner = s.tenant or i.visibility = "public";\n{SHOW}s.has_role("x");\n', [], id="two that differ"
    ),
    pytest.param(
        'seen(s, i) if i.owner = s.tenant;\nseen(s, i) if i.owner = s.tenant and s.has_role("x");\n'
        f"{SHOW}seen(s, i);\n",
        ["PR206"],
        id="one of two rules for a word",
    ),
    pytest.param(
        f'seen(s, i) if i.owner = s.tenant;\nseen(s, _i) if s.has_role("x");\n{SHOW}seen(s, i);\n',
        [],
        id="two rules for a word",
    ),
    pytest.param(
        'listed("a");\nclosed(p) if listed(p.name);\nclosed(p) if p.matches("^a");\n'
        'allow(s: Subject, "read", p: Property) if p.image.owner = s.tenant and closed(p);\n',
        [],
        id="a list of facts, which is there to grow",
    ),
    pytest.param(
        f'one(s) if s.has_role("x");\ntwo(s) if s.has_role("x");\n{SHOW}i.owner = s.tenant and (one(s) or two(s));\n',
        [],
        id="two words that happen to say the same",
    ),
]


@pytest.mark.parametrize(("text", "expected"), SPARED)
def test_what_could_be_spared(text: str, expected: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    file = write(folder(tmp_path) / "a.polar", text)
    wanted = ("PR201", "PR202", "PR203", "PR204", "PR206")
    report, remembered = (found([file], codes=wanted, cache=cache) for _ in range(2))
    assert codes(report) == expected
    assert remembered == report
    for finding in report.findings:
        assert "a.polar:" in finding.message or "what else stands here" in finding.message


def test_what_covers_a_spared_rule_is_named_and_stays(tmp_path: Path) -> None:
    visibilities = ('"public", "shared"', '"shared", "community"', '"public", "community"')
    text = "".join(f"{SHOW}s.authenticated and i.visibility in [{some}];\n" for some in visibilities)
    report = found([write(folder(tmp_path) / "a.polar", text)], codes=("PR202", "PR203"))
    # Of three rules that cover each other in turn, two are needed.
    assert len(report.findings) == 1


def test_two_files_with_the_same_text_are_one(tmp_path: Path) -> None:
    text = f'{OWN}\n{SHOW}i.owner = s.tenant and s.has_role("x");\n'
    paths = [write(folder(tmp_path) / name, text) for name in ("a.polar", "b.polar")]
    report = found(paths, codes=("PR202", "PR203", "PR204"))
    assert [(one.code, one.span.file) for one in report.findings] == [("PR203", str(paths[0]))]


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_is_decided_otherwise_without_what_could_be_spared(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(("Image", "Property")))
    text = data.draw(policies(kind))
    files = parsed([Text("a.polar", text)])
    try:
        policy = compile_policy([("a.polar", text)], "whole", seconds=5)
    except PolicyError:
        return
    decided = deciding_rules(policy)

    def again(texts: Mapping[str, str]) -> Policy:
        return compile_policy(list(texts.items()), "again", seconds=5)

    parts, _ = spare(files, policy, decided, (), again) if decided.proven else ([], True)
    if parts:
        without = again(_without(files, parts))
        for query in data.draw(st.lists(queries(kind), min_size=20, max_size=20)):
            before, after = policy.decide(query), without.decide(query)
            assert (before.allowed, before.discard) == (after.allowed, after.discard)


def test_what_there_was_no_time_for_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    file = write(folder(tmp_path) / "a.polar", f"{SHOW}i.owner = s.tenant or i.owner = s.tenant;\n")
    with monkeypatch.context() as hurried:
        hurried.setattr("protect.lint.spare._alike", lambda *_: None)
        assert codes(found([file], codes=("PR206",), cache=cache)) == []
    assert codes(found([file], codes=("PR206",), cache=cache)) == ["PR206"]


@pytest.mark.parametrize(
    "condition",
    ["s.tenant = action", "s.has_role(action)", 's.get("may") = action'],
)
def test_a_rule_may_compare_the_action_with_what_the_subject_has(condition: str, tmp_path: Path) -> None:
    text = f"allow(s: Subject, action, _i: Image) if {condition};\n"
    found([write(folder(tmp_path) / "a.polar", text)])


# Words and facts, through other rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f'{SHOW}i.owner = s.tenant and not i.owner = "x";\n', [], id="what is there by another condition"),
        pytest.param(
            f'{SHOW}s.authenticated and i.visibility = "public" and not i.owner = "x";\n',
            ["PL020"],
            id="may be missing",
        ),
        pytest.param(
            f'mine(s, i) if i.owner = s.tenant;\n{SHOW}mine(s, i) and s.tenant != "x";\n',
            [],
            id="there by another rule",
        ),
        pytest.param(
            f'mine(s, i) if i.owner = s.tenant;\nmine(_s, i) if i.visibility = "public";\n'
            f'{SHOW}mine(s, i) and i.owner != "x";\n',
            ["PL020"],
            id="there by one of two rules only",
        ),
        pytest.param(
            f'not_x(i) if i.owner != "x";\n{SHOW}i.owner = s.tenant and not_x(i);\n', [], id="there by the caller"
        ),
        pytest.param(
            f'{SHOW}o = i.owner and known(s, i) and not o = "x";\n'
            'known(s, i) if i.status = "active" and o = s.tenant and o in ["q", "r"];\n',
            ["PL020"],
            id="a helper's variable of the same name proves nothing here",
        ),
        pytest.param(
            f'{SHOW}o = i.name and s.has_role(o) and listed(i.owner) and not i.owner = "z";\n'
            'listed(o) if o in ["a", "z"];\n',
            [],
            id="and hides nothing that its own argument proves",
        ),
        pytest.param(
            f'bad(n) if n = "x";\n{SHOW}i.owner = s.tenant and not bad(i.name);\n', ["PL020"], id="an argument"
        ),
        pytest.param(
            f'bad(n) if n = "x";\n{SHOW}i.owner = s.tenant and not bad(i.status);\n', [], id="a sure argument"
        ),
        pytest.param(
            f'bad("x");\nbad("y");\n{SHOW}i.owner = s.tenant and not bad(i.name);\n', ["PL020"], id="a list, said once"
        ),
        pytest.param(
            f'{SHOW}n = i.name and i.owner = s.tenant and not n = "x";\n', ["PL020"], id="a variable that stands for it"
        ),
        pytest.param(
            f'{SHOW}i.owner = s.tenant and not i matches Image{{name: "x"}};\n', ["PL020"], id="a field of a pattern"
        ),
        pytest.param(
            f'{SHOW}i.owner = s.tenant and not i matches Image{{status: "killed"}};\n',
            [],
            id="a sure field of a pattern",
        ),
        pytest.param(
            f'{SHOW}i.owner = s.tenant and i.has_property("os") and not i.get("os") = "x";\n', [], id="asked for before"
        ),
        pytest.param(
            f'asks("publicise_image");\n{OWN}forbid(s: Subject, a, _i: Image) if asks(a) and s.has_role("x");\n',
            ["PG101"],
            id="an action in a fact",
        ),
        pytest.param(
            f'asks("publicize_image");\n{OWN}forbid(s: Subject, a, _i: Image) if asks(a) and s.has_role("x");\n',
            [],
            id="a known action in a fact",
        ),
        pytest.param(
            'allow(s: Subject, "get_image", p: Property) if p.image.owner = s.tenant;\n', ["PG102"], id="of an image"
        ),
        pytest.param('allow(s: Subject, "update", i: Image) if i.owner = s.tenant;\n', ["PG102"], id="of a property"),
        pytest.param(
            f'has(s, role) if s.has_role(role);\n{SHOW}has(s, "memebr") and i.owner = s.tenant;\n',
            ["PG103"],
            id="a role passed",
        ),
        pytest.param(
            f'has(s, role) if s.has_role(role);\n{SHOW}has(s, "member") and i.owner = s.tenant;\n',
            [],
            id="a known role passed",
        ),
        pytest.param(
            f'{SHOW}r in ["amdin", "reader"] and s.has_role(r) and i.owner = s.tenant;\n',
            ["PG103"],
            id="a role of a list",
        ),
        pytest.param(
            f'{SHOW}i.owner = s.tenant and i.get("os_tpye") = "x";\n', ["PG104"], id="letters that changed places"
        ),
        pytest.param(f'{SHOW}i.owner = s.tenant and i.get("os_kind") = "x";\n', [], id="a property of one's own"),
        pytest.param(
            f'seen(x) if x.visibility = "pubic";\n{SHOW}i.owner = s.tenant or seen(i);\n', ["PG105"], id="a value"
        ),
        pytest.param(f'denies(_s, _a, i) if i.status = "killed";\n{OWN}', ["PL017"], id="nearly an entry point"),
        pytest.param(
            'allow(s: Subject, "get_images", _i: Image) if s.has_role("\u0430uditor_x");\n',
            ["PE510"],
            id="two alphabets",
        ),
        pytest.param(
            f'{SHOW}i.owner = s.tenant and i.name = "\u043e\u0431\u0440\u0430\u0437 ubuntu";\n', [], id="a word of each"
        ),
        pytest.param('allow(s: Subject, _a, _r) if s.has_role("member");\n', ["PG111"], id="everything for members"),
        pytest.param(
            f'{OWN}allow(s: Subject, "add_member", m: Member) if m.tenant = s.tenant;\n', ["PG115"], id="adds itself"
        ),
        pytest.param(
            f'{OWN}allow(s: Subject, "modify_member", m: Member) if m.image.owner = s.tenant;\n',
            ["PG115"],
            id="answers for its members",
        ),
        pytest.param(
            f'{OWN}allow(s: Subject, "modify_member", m: Member) if m.tenant = s.tenant;\n', [], id="answers for itself"
        ),
        pytest.param(
            f'{OWN}allow(s: Subject, "delete_image_location", l: Location) if l.image.owner = s.tenant;\n',
            ["PG116"],
            id="takes locations away",
        ),
        pytest.param(
            f'{OWN}allow(s: Subject, "upload_image", _i: Image) if s.has_role("x");\n',
            ["PG117"],
            id="data for an unseen image",
        ),
    ],
)
def test_spellings_in_rules(text: str, expected: list[str], tmp_path: Path) -> None:
    ignored = {"PR205", "PR206"}
    assert [code for code in found_in(tmp_path, text) if code not in ignored] == expected


# Protection files and policy.yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"{MAGIC}[^.*$]\n{USUAL}", [], id="all names, from end to end"),
        pytest.param(f"{MAGIC}[.+]\n{USUAL}", [], id="all names but the empty one"),
        pytest.param(f"{MAGIC}[.+]\n{EVERYBODY}", ["PP316"], id="all names but the empty one, open"),
        pytest.param(f"{MAGIC}[^x]\n{USUAL}", ["PP315"], id="not all names"),
        pytest.param(f"[^(kernal_id|x)$]\n{CLOSED}{MAGIC}[.*]\n{USUAL}", ["PP319"], id="a misspelt one of two"),
        pytest.param(f"[^(kernel_id|x)$]\n{CLOSED}{MAGIC}[.*]\n{USUAL}", [], id="a known one of two"),
        pytest.param(f"[^(x|visibility)$]\n{CLOSED}{MAGIC}[.*]\n{USUAL}", ["PP323"], id="an attribute, one of two"),
        pytest.param(f"[^x(a*)$]\n{CLOSED}{MAGIC}[.*]\n{USUAL}", [], id="written by one who knows"),
        pytest.param(f"[^x\u200b$]\n{CLOSED}{MAGIC}[.*]\n{USUAL}", ["PE510"], id="hidden in a pattern"),
        pytest.param(f"# x\u202ey\n{MAGIC}[.*]\n{USUAL}", ["PE510"], id="hidden in a comment"),
        pytest.param(f"# f\u00fcr \u0430dmin\n{MAGIC}[.*]\n{USUAL}", [], id="letters in a comment"),
    ],
)
def test_spellings_in_protection_files(text: str, expected: list[str], tmp_path: Path) -> None:
    assert found_in(tmp_path, text, "property-protections.conf") == expected


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        pytest.param("role:member", ["PO407"], id="every member"),
        pytest.param("rule:context_is_admin or role:reader", ["PO407"], id="every reader"),
        pytest.param("role:member and project_id:%(project_id)s and not role:guest", [], id="members of the project"),
        pytest.param("True:True", ["PO407"], id="what is always so"),
        pytest.param("rule:context_is_admin or True:False", [], id="what is never so"),
        pytest.param("rule:context_is_admin or role:cl\u0435aner", ["PE510"], id="two alphabets"),
        pytest.param("rule:context_is_admin or role:amdin", ["PO408"], id="letters that changed places"),
    ],
)
def test_spellings_in_policy_yaml(check: str, expected: list[str], tmp_path: Path) -> None:
    assert found_in(tmp_path, f'"delete_image": "{check}"\n', "policy.yaml") == expected


def chain(length: int, check: str = "rule:{}", end: str = "role:publisher") -> str:
    """A rule of Glance that leads through so many others."""
    links = "".join(f'"r{number}": "{check.format(f"r{number + 1}")}"\n' for number in range(length - 1))
    return f'{links}"r{length - 1}": "{end}"\n"publicize_image": "rule:context_is_admin or rule:r0"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(chain(100), [], id="as long as can be"),
        pytest.param(chain(101), ["PO419"], id="one longer"),
        pytest.param(chain(3000), ["PO419"], id="far too long"),
        pytest.param(chain(60, "rule:{0} or not rule:{0}"), ["PO407"], id="each link twice"),
        pytest.param(chain(100, end="@"), ["PO407"], id="what stands at the end counts"),
        pytest.param(chain(3, end="rule:r1"), ["PO405", "PO405"], id="a chain that leads into a circle"),
        pytest.param(chain(3, end="rule:publicize_image"), ["PO405"] * 4, id="a circle"),
    ],
)
def test_rules_that_refer_to_rules(text: str, expected: list[str], tmp_path: Path) -> None:
    assert found_in(tmp_path, text, "policy.yaml") == expected


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("kernel_id", ["kernel_id"]),
        ("^a|b$", ["a", "b"]),
        ("^(?:a|b\\.c)$", ["a", "b.c"]),
        ("(?i)^a$", ["a"]),
        ("^a.*$", []),
        ("^a[bc]$", []),
    ],
)
def test_the_names_in_a_plain_pattern(pattern: str, names: list[str]) -> None:
    assert plain_names(pattern) == names
