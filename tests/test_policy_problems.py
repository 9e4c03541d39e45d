"""What is wrong with a policy is found while it is loaded, all of it, each with its place and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protect import Policy, PolicyError
from protect.polar.compiler import compile_policy

GOOD = "allow(s: Subject, action, i: Image) if"


def problems(text: str) -> list[str]:
    """Return ``line:column: message`` of each problem of a policy."""
    with pytest.raises(PolicyError) as caught:
        compile_policy([("p.polar", text)], "r")
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            'allow(s: Subject, "x", _i: Image) if s.__class__ = "x";',
            ["1:40: Subject has no `__class__`"],
            id="reaching into python",
        ),
        pytest.param(
            'allow(_s: Subject, "x", _i: Image) if x = "a" and x.upper() = "A";',
            ["1:53: `upper` is not in the vocabulary"],
            id="methods of plain text are python too",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if n = "owner" and i.(n) = "x";',
            ["1:57: the word behind a dot must be written out"],
            id="an attribute that is computed",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if i.ownr = "x";', ["1:40: Image has no `ownr`"], id="misspelt attribute"
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Imag) if i.owner = "x";', ["1:28: unknown type `Imag`"], id="misspelt type"
        ),
        pytest.param(
            'allow(_s: Subject, "x", _i: Image) if debug();', ["1:39: `debug` is not allowed in a policy"], id="debug"
        ),
        pytest.param(
            'allow(s: Subject, "x", _i: Image) if print(s);', ["1:38: `print` is not allowed in a policy"], id="print"
        ),
        pytest.param(
            'allow(_s: Subject, "x", _i: Image) if cut;', ["1:39: `cut` is not allowed in a policy"], id="cut"
        ),
        pytest.param(
            'allow(s: Subject, "x", _i: Image) if s = new Subject();',
            ["1:42: `new` makes objects, and a rule only asks", "1:46: no rule is called `Subject`"],
            id="new",
        ),
        pytest.param(
            'f(x) if f(x); allow(s: Subject, "x", _i: Image) if f(s);',
            ["1:1: this policy can only be evaluated by running forever"],
            id="a rule that asks itself",
        ),
        pytest.param(
            'allow(s: Subject, "x", i: Image) if i.owner = nil and s.tenant = i.owner;',
            ["1:47: nothing equals nothing, so a comparison with `nil` never holds"],
            id="comparing with nil",
        ),
        pytest.param(
            'allow(_s: Subject, "x", context: Image) if context.protected;',
            ["1:25: the name `context` is taken"],
            id="a resource called as the circumstances are",
        ),
        pytest.param(
            "allow(_s: Subject, context, _i: Image);",
            ["1:20: the name `context` is taken"],
            id="an action called so",
        ),
        pytest.param(
            'allow(_s: Subject, "x", Datetime: Image) if Datetime.protected;',
            ["1:25: the name `Datetime` is taken"],
            id="a resource called as one of Oso's types",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if i.owner = 3;',
            ["1:48: `i.owner` is text, so it never equals this"],
            id="text compared with a number",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if i.size = "3";',
            ["1:47: `i.size` is a number, so it never equals this"],
            id="a number compared with text",
        ),
        pytest.param(
            'allow(s: Subject, "x", i: Image) if s.tenant < i.size;',
            ["1:37: `<` compares numbers, and this is none"],
            id="ordering text",
        ),
        pytest.param(
            'allow(s: Subject, "x", i: Image) if s.tenant in i.owner;',
            ["1:49: the right side of `in` must be a list written in place"],
            id="searching in text",
        ),
        pytest.param(
            'allow(_s: Subject, "read", p: Property) if l = p.name and "n" in l and (l = ["q"] or not l = ["q"]);',
            ["1:66: the right side of `in` must be a list written in place"],
            id="searching in text that is called a list elsewhere",
        ),
        pytest.param(
            'allow(s: Subject, "x", _i: Image) if s' + ".id" * 5000 + ' = "x";',
            [
                "1:38: the expression is nested deeper than 100 operations",
                "1:43: `id` is asked of something that has no attributes",
            ],
            id="a long chain of attributes",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if i.owner;',
            ["1:38: `i.owner` is text, no condition by itself"],
            id="a fact as a condition",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if i.size + 1 > 3;',
            ["1:38: facts cannot be calculated with"],
            id="calculating with a fact",
        ),
        pytest.param(
            'allow(_s: Subject, "x", _i: Image) if is_adm(_s); is_admin(s) if s.has_role("a");',
            ["1:39: no rule is called `is_adm`"],
            id="misspelt rule",
        ),
        pytest.param(
            'allow(s: Subject, "x", _i: Image) if is_admin(s, 1); is_admin(s) if s.has_role("a");',
            ["1:38: `is_admin` is asked with 2 arguments"],
            id="wrong number of arguments",
        ),
        pytest.param(
            'allow(actor, "x", i: Image) if actr.tenant = i.owner;',
            ["1:7: `actor` occurs only once in this rule", "1:32: `actr` occurs only once in this rule"],
            id="misspelt variable",
        ),
        pytest.param('allow(_s, "x");', ["1:1: `allow` has 2 parameters, not 3"], id="allow with two parameters"),
        pytest.param(
            'discard(_s: Subject, "x", _i: Image); allow(_s: Subject, "x", _i: Image);',
            ["1:31: this parameter of `discard` is never a `Image`, so the rule never holds"],
            id="discarding an image",
        ),
        pytest.param(
            'allow(_s: Subject, "x", p: Property) if p.matches("(?=x)");',
            ["1:51: this regular expression is not usable: invalid perl operator: (?="],
            id="a pattern that is not linear",
        ),
        pytest.param(
            'allow(_s: Subject, "x", p: Property) if r(x) and p.matches(x); r("(a");',
            ["1:52: `(a` is no regular expression in RE2's syntax"],
            id="a broken pattern that comes from a fact",
        ),
        pytest.param(
            'allow(_s: Subject, "x", r) if r.owner = "x";',
            ["1:33: Member has no `owner`"],
            id="an attribute that only some resources have",
        ),
        pytest.param(
            'allow(_s: Subject, "x", _i: Image) if has_type("x"); has_type(x) if x.image.owner = "x";',
            ["1:71: only the subject, the resource and `context` have attributes"],
            id="an attribute of plain text, through a helper",
        ),
        pytest.param(
            'm("a"); allow(s: Subject, "x", _i: Image) if s.has_role(y) and m(y);',
            ["1:48: `has_role` takes text"],
            id="a variable without a value as a role",
        ),
        pytest.param(
            'm("a"); allow(s: Subject, "x", i: Image) if i.get(y) = s.tenant and m(y);',
            ["1:47: `get` takes a name written in the policy, in double quotes"],
            id="a variable without a value as a name",
        ),
        pytest.param('x("y");', ["0:0: no `allow` rule, so nobody could do anything"], id="no allow rule"),
        pytest.param("# é\n", ["0:0: no `allow` rule, so nobody could do anything"], id="nothing but a comment"),
        pytest.param(
            '?= 1 = 2; allow(_s: Subject, "x", _i: Image);',
            ["1:1: Polar refuses this: Inline query failed: 1 = 2"],
            id="an inline query that fails",
        ),
    ],
)
def test_problem_is_found(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{GOOD} action = "a" and i.owner = s.tenant;', id="two facts"),
        pytest.param(f'{GOOD} action = "a" and i.size > 2 * 1024 and s.tenant = "x";', id="a calculated number"),
        pytest.param(f'{GOOD} action in ["a"] and i.("owner") = s.tenant;', id="a quoted attribute"),
        pytest.param("allow(_, _, _);", id="everybody, everything"),
        pytest.param(
            '?= f("a"); f("a"); allow(s: Subject, "x", _i: Image) if f(s.id);', id="an inline query that holds"
        ),
        pytest.param('allow(s: Subject, "é", i: Image) if i.owner = "ö€𝄞" and s.id = "ü";', id="text beyond ascii"),
        pytest.param('allow(s: Subject, "x", r: Resource) if r.type = "vm" and s.id = r.id;', id="any other resource"),
    ],
)
def test_neighbours_load(text: str) -> None:
    compile_policy([("p.polar", text)], "r")


def test_every_problem_of_every_file_is_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.polar").write_text(
        "allow(s: Subject, 'x', _i: Image);\nallow(_s: Subject, \"x\", i: Image) if i.no = 1;\n"
    )
    (tmp_path / "b.polar").write_text("nonsense\n")
    (tmp_path / "c.polar").write_bytes(b"# caf\xe9\n")

    with pytest.raises(PolicyError) as caught:
        Policy.load([str(tmp_path)])
    assert [(Path(one.file).name, one.line, one.column) for one in caught.value.problems] == [("c.polar", 1, 6)]

    (tmp_path / "c.polar").unlink()
    with pytest.raises(PolicyError) as caught:
        Policy.load([str(tmp_path)])
    found = [(Path(one.file).name, one.line) for one in caught.value.problems]
    assert found[0] == ("a.polar", 1)
    assert ("a.polar", 2) in found
    assert found[-1][0] == "b.polar"
    assert all(one.message and one.line and one.column for one in caught.value.problems)


def test_text_that_would_abort_oso_is_a_problem_like_any_other(tmp_path: Path) -> None:
    # In a process of its own, because what is guarded against is the end of the process.
    policy = tmp_path / "p.polar"
    policy.write_text(
        "# " + "é" * 400 + '\nallow(_s: Subject, "é", i: Image) if i.size + 1 > "é" and i.(1) = i.owner &;\n'
    )
    code = (
        "import sys\nfrom protect import Policy, PolicyError\n"
        "try:\n    Policy.load([sys.argv[1]])\nexcept PolicyError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(policy)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "p.polar:2:" in done.stdout


def test_what_only_oso_refuses_does_not_abort_either(tmp_path: Path) -> None:
    policy = tmp_path / "p.polar"
    policy.write_text(
        "# " + "é" * 400 + '\nresource Image { roles = ["é"]; "ö" if "é"; }\nallow(_s: Subject, "é", _i: Image);\n'
    )
    code = "import sys\nfrom protect import Policy\nPolicy.load([sys.argv[1]])\n"
    done = subprocess.run([sys.executable, "-c", code, str(policy)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "p.polar:2:1: Polar refuses this: Undeclared term" in done.stderr
    assert done.stdout == ""


def test_a_file_beside_itself_under_another_name_is_no_problem(tmp_path: Path) -> None:
    for name in ("a.polar", "b.polar"):
        (tmp_path / name).write_text('allow(_s: Subject, "x", _i: Image);\n')
    Policy.load([str(tmp_path)])


def test_a_directory_without_policies_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"no `\.polar` file in this directory"):
        Policy.load([str(tmp_path)])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(os.mkfifo, "is no file", id="a pipe"),
        pytest.param(os.mkdir, "is no file", id="a folder"),
        pytest.param(lambda path: os.symlink("nothing", path), "cannot be read: No such file", id="a link to nothing"),
    ],
)
def test_every_file_of_a_directory_that_cannot_be_read_is_a_problem(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    (tmp_path / "a.polar").write_text('allow(_s: Subject, "x", _i: Image);\n')
    Policy.load([str(tmp_path)])
    for name in ("b.polar", "c.polar"):
        make(tmp_path / name)
    with pytest.raises(PolicyError) as caught:
        Policy.load([str(tmp_path)])
    assert [Path(one.file).name for one in caught.value.problems] == ["b.polar", "c.polar"]
    assert all(one.message.startswith(said) for one in caught.value.problems)


def test_a_pipe_in_place_of_policy_rules_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "p.conf").write_text("[x]\ncreate = r\nread = r\nupdate = r\ndelete = r\n")
    os.mkfifo(tmp_path / "policy.yaml")
    with pytest.raises(PolicyError, match=r"policy\.yaml: is no file"):
        Policy.load(
            [str(tmp_path / "p.conf")], protection_format="policies", policy_rules=str(tmp_path / "policy.yaml")
        )


def test_a_file_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("admin_required: role:admin\n")
    with pytest.raises(PolicyError, match="not a kind of policy file"):
        Policy.load([str(tmp_path / "policy.yaml")])


def test_a_missing_file_means_the_shipped_rules_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = Policy.load([str(tmp_path / "absent.polar")])
    assert policy.revision == Policy.load().revision
    assert [record.getMessage() for record in caplog.records] == [
        f"policy path `{tmp_path}/absent.polar` does not exist: the shipped rules decide",
    ]


def test_one_missing_file_of_several_is_a_problem(tmp_path: Path) -> None:
    """It may be the one that forbids: to go on without it would widen access."""
    present = tmp_path / "present.polar"
    present.write_text('allow(_s: Subject, "x", _i: Image);\n')
    with pytest.raises(PolicyError, match=r"absent\.polar: does not exist, though others of this policy do"):
        Policy.load([str(present), str(tmp_path / "absent.polar")])
