"""`protect lint` as it is run: options, exit status, fixes."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from protect.cli import main
from protect.lint.catalogue import checks
from protect.lint.polar_files import parsed
from protect.lint.texts import Text

ROOT = Path(__file__).parent.parent
OWN = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'
MIXED = (
    'allow(subject: Subject, "get_image", image: Image) if\n'
    '    subject.has_role("admin") or subject.has_role("reader") and image.owner = subject.tenant;\n'
)
SECTION = "[^{}$]\ncreate = admin\nread = @\nupdate = {}\ndelete = admin\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    policy = tmp_path / "policy"
    policy.mkdir(mode=0o755)
    monkeypatch.chdir(policy)
    return policy


def write(name: str, text: str, mode: int = 0o644) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def lint(*arguments: str) -> int:
    return main(["lint", *arguments])


@pytest.mark.parametrize(
    ("text", "arguments", "status"),
    [
        pytest.param(OWN, [], 0, id="clean"),
        pytest.param(MIXED, [], 1, id="a warning"),
        pytest.param(MIXED, ["--fail-level", "error"], 0, id="a warning is no error"),
        pytest.param(MIXED, ["--fail-level", "security"], 0, id="a warning is not about security"),
        pytest.param(MIXED, ["--ignore", "PL018"], 0, id="ignored"),
        pytest.param(MIXED, ["--ignore", "pl"], 0, id="the family ignored"),
        pytest.param(MIXED, ["--select", "PG,PR"], 0, id="others selected"),
        pytest.param(MIXED, ["--select", "unclear-and-or"], 1, id="selected by name"),
        pytest.param(OWN + "x(y) if y = 1;\n", [], 0, id="a remark"),
        pytest.param(OWN + "x(y) if y = 1;\n", ["--fail-level", "info"], 1, id="a remark that counts"),
        pytest.param(OWN + "x(y) if", ["--fail-level", "none"], 0, id="nothing counts"),
        pytest.param(OWN, ["--select", "PX"], 2, id="an unknown code"),
        pytest.param(OWN, ["--today", "soon"], 2, id="no day"),
        pytest.param(OWN, ["missing.polar"], 2, id="no such file"),
        pytest.param(OWN, ["--update-baseline"], 2, id="no baseline named"),
        pytest.param(OWN, ["--beside", "missing"], 2, id="nothing beside"),
    ],
)
@pytest.mark.usefixtures("here")
def test_exit_status(text: str, arguments: list[str], status: int) -> None:
    write("a.polar", text)
    assert lint("a.polar", *arguments) == status


@pytest.mark.usefixtures("here")
def test_a_wrong_option_is_a_wrong_usage() -> None:
    with pytest.raises(SystemExit) as error:
        lint("--format", "yaml", ".")
    assert error.value.code == 2


def test_nothing_to_check_is_a_wrong_usage(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint() == 2
    assert lint(".") == 2
    assert "has nothing to check" in capsys.readouterr().err


def test_findings_go_to_standard_output_and_the_summary_does_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.polar", MIXED)
    lint("--format", "concise", ".")
    said = capsys.readouterr()
    assert said.out == "a.polar:2:34: PL018 `and` binds closer than `or` here\n"
    assert said.err == "1 file: 1 warning; 1 can be fixed with --fix\n"
    lint("--format", "concise", "--quiet", ".")
    assert capsys.readouterr().err == ""


def test_no_color_but_on_a_terminal_or_when_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.polar", MIXED)
    lint("a.polar")
    assert "\x1b" not in capsys.readouterr().out
    lint("a.polar", "--color", "always")
    assert "\x1b[" in capsys.readouterr().out


def test_standard_input_is_checked_as_the_file_it_is_called(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.polar", OWN)
    text = SECTION.format("cost", "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert lint("-", "--stdin-filename", "property-protections.conf", "--format", "concise", "--select", "PP314") == 1
    assert capsys.readouterr().out.startswith("property-protections.conf:4:9: PP314 ")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MIXED.encode())))
    assert lint(".", "-", "--stdin-filename", "a.polar", "--select", "PL018") == 1


def test_every_page_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    for code, check in checks().items():
        assert lint("--explain", code.lower()) == 0
        page = capsys.readouterr().out
        assert page.startswith(f"{code} {check.name} ({check.severity})")
        assert page.isprintable() or page.replace("\n", "").isprintable()
        assert page.count("\n") < 100


def test_an_unknown_page_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint("--explain", "unanchord-pattern") == 2
    assert "did you mean `unanchored-pattern`?" in capsys.readouterr().err


def test_the_list_names_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint("--list") == 0
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == list(checks())
    assert lint("--list", "--format", "json") == 0
    assert {one["code"] for one in json.loads(capsys.readouterr().out)} == set(checks())


def test_the_baseline_is_written_and_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.polar", MIXED)
    assert lint("a.polar", "--baseline", "b.json", "--update-baseline") == 0
    assert lint("a.polar", "--baseline", "b.json") == 0
    assert "1 suppressed" in capsys.readouterr().err
    write("a.polar", MIXED + MIXED.replace("get_image", "get_images"))
    assert lint("a.polar", "--baseline", "b.json") == 1


# Fixes

FIXES = [
    pytest.param(
        "a.polar",
        OWN.replace("image: Image", "image: Image").replace("subject: Subject", "subject: Subject")
        + 'allow(s: Subject, "get_image", i: Image) if\n    i.owner = s.tenant;\n',
        OWN,
        id="a duplicate rule",
    ),
    pytest.param(
        "a.polar",
        MIXED,
        MIXED.replace(
            'or subject.has_role("reader") and image.owner = subject.tenant',
            'or (subject.has_role("reader") and image.owner = subject.tenant)',
        ),
        id="brackets",
    ),
    pytest.param(
        "a.polar",
        'allow(subject: Subject, "get_images", image: Image) if\n    subject.has_role("x");\n',
        'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("x");\n',
        id="a variable",
    ),
    pytest.param(
        "a.polar",
        OWN.replace('"get_image"', "action").replace("if\n", 'if\n    action in ["get_image",, "x"] and'),
        OWN.replace('"get_image"', "action").replace("if\n", 'if\n    action in ["get_image", "x"] and'),
        id="a comma",
    ),
    pytest.param("a.polar", f"# protect: ignore[PL018]\n{OWN}", OWN, id="a stale comment above"),
    pytest.param("a.polar", OWN.rstrip() + "  # protect: ignore[PL018]\n", OWN, id="a stale comment behind"),
    pytest.param(
        "property-protections.conf", SECTION.format("x", ""), SECTION.format("x", "!"), id="an empty permission"
    ),
    pytest.param(
        "property-protections.conf",
        SECTION.format("x", "").replace("= \n", "=\n"),
        SECTION.format("x", "!"),
        id="an empty permission without a space",
    ),
]


@pytest.mark.parametrize(("name", "before", "after"), FIXES)
def test_a_safe_fix_is_made(name: str, before: str, after: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(name, before, 0o640)
    assert lint(name, "--fix", "--diff") == 1
    assert path.read_text() == before
    assert capsys.readouterr().out.startswith(f"--- {name}\n+++ {name} (fixed)\n")
    lint(name, "--fix")
    assert path.read_text() == after
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(here.iterdir()) == [path.resolve()]
    capsys.readouterr()
    assert lint(name, "--fix", "--diff") == 0


def test_a_fix_that_changes_a_decision_is_not_made(here: Path) -> None:
    from protect.lint import fixing, targets
    from protect.lint.findings import Edit, Finding, Fix, Report, Severity, Span

    write("a.polar", MIXED)
    file = targets.read(Path("a.polar"))
    at = MIXED.index('"admin"')

    def offered(text: str) -> Report:
        fix = Fix("rename", (Edit(at, at + 7, text),))
        return Report((Finding("PL018", "x", Severity.WARNING, "m", Span("a.polar", 2, 1, 2, 2), fix=fix),), files=1)

    assert fixing.fixes([file], offered('"ADMIN"'), None)[0] != []
    fixed, notes = fixing.fixes([file], offered('"operator"'), None)
    assert fixed == []
    assert notes == ["a.polar:2: PL018 is not fixed: that it changes no decision could not be proven"]


def test_an_unsafe_fix_is_not_made(here: Path) -> None:
    text = "[cost]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n\n" + SECTION.format(".*", "admin")
    path = write("property-protections.conf", text)
    assert lint(str(path), "--fix") == 1
    assert path.read_text() == text


def test_a_file_that_changed_meanwhile_is_left_alone(here: Path) -> None:
    from protect.errors import ConfigError
    from protect.lint import fixing, targets

    path = write("a.polar", MIXED)
    fixed = fixing.Fixed(targets.read(path), OWN, ())
    path.write_text(MIXED + "# more\n")
    with pytest.raises(ConfigError, match="was changed by somebody else meanwhile"):
        fixing.write(fixed)
    assert path.read_text() == MIXED + "# more\n"
    assert os.listdir(here) == ["a.polar"]


def test_a_link_stays_a_link(here: Path) -> None:
    real = write("real.polar", MIXED)
    Path("a.polar").symlink_to("real.polar")
    lint("a.polar", "--fix")
    assert Path("a.polar").is_symlink()
    assert "or (subject" in real.read_text()


# What goes with it


def test_the_hook_and_the_workflow_are_what_they_seem() -> None:
    yaml = pytest.importorskip("yaml")
    [hook] = [
        one for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()) if one["id"] == "protect-lint"
    ]
    assert hook["entry"] == "protect lint"
    workflow = yaml.safe_load((ROOT / "examples" / "ci" / "lint-policy.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["lint"]["steps"] if "run" in step]
    assert any("protect lint" in command for command in commands)


def test_the_page_names_every_family() -> None:
    page = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
    assert [family for family in sorted({code[:2] for code in checks()}) if f"| `{family}` |" not in page] == []


@pytest.mark.parametrize(
    ("data", "status", "codes"),
    [
        pytest.param(b"# f\xfcr alle\n", 2, ["PE509", "PL018"], id="not UTF-8: a finding, and the other file's"),
        pytest.param("# für alle\n".encode(), 1, ["PL018"], id="UTF-8"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_file_that_is_not_utf_8_is_a_finding(
    capsys: pytest.CaptureFixture[str], data: bytes, status: int, codes: list[str]
) -> None:
    write("b.polar", MIXED)
    rule = 'allow(subject: Subject, "delete_image", image: Image) if\n    image.owner = subject.tenant;\n'
    Path("a.polar").write_bytes(data + rule.encode())
    Path("a.polar").chmod(0o644)
    assert lint("--format", "json", ".") == status
    assert [one["code"] for one in json.loads(capsys.readouterr().out)["findings"]] == codes


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_very_large_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def an_empty_file(path: Path) -> None:
    write(path.name, "")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(a_pipe, "cannot be read: it is no file", id="a pipe"),
        pytest.param(a_folder, "cannot be read: it is no file", id="a folder"),
        pytest.param(a_link_to_nothing, "cannot be read: No such file or directory", id="a link to nothing"),
        pytest.param(a_link_to_itself, "cannot be read: Too many levels of symbolic links", id="a link to itself"),
        pytest.param(a_very_large_file, "larger than 16 MiB", id="a very large file"),
        pytest.param(an_empty_file, None, id="an empty file is a file"),
    ],
)
@pytest.mark.parametrize("name", ["b.polar", "property-protections.conf", "policy.yaml"])
@pytest.mark.usefixtures("here")
def test_what_cannot_be_read_is_a_finding_and_the_rest_is_checked(
    capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], said: str | None, name: str
) -> None:
    write("a.polar", MIXED)
    make(Path(name))
    status = lint("--format", "json", "--select", "PE509,PL018", ".")
    found = [(one["span"]["file"], one["message"]) for one in json.loads(capsys.readouterr().out)["findings"]]
    others = [("a.polar", message) for _, message in found if message != said]
    assert len(others) == 1
    assert found == [*others, *([(name, said)] if said else [])]
    assert status == (2 if said else 1)


@pytest.mark.parametrize(
    ("named", "status", "codes"),
    [
        pytest.param("b.polar", 2, ["PE509"], id="a link to nothing is there"),
        pytest.param("c.polar", 2, None, id="what is not there is a slip of the hand"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_named_has_to_be_there(
    capsys: pytest.CaptureFixture[str], named: str, status: int, codes: list[str] | None
) -> None:
    write("a.polar", OWN)
    Path("b.polar").symlink_to("nothing")
    assert lint("--format", "json", "a.polar", named) == status
    out = capsys.readouterr().out
    assert ([one["code"] for one in json.loads(out)["findings"]] if out else None) == codes


@pytest.mark.parametrize(
    ("readable", "codes"),
    [pytest.param(True, ["PL014"], id="nobody has the rule"), pytest.param(False, [], id="perhaps it is in there")],
)
@pytest.mark.usefixtures("here")
def test_nothing_is_missed_that_may_be_in_a_file_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], readable: bool, codes: list[str]
) -> None:
    write("a.polar", 'allow(subject: Subject, "get_image", image: Image) if owns(subject, image);\n')
    write("b.polar", "") if readable else Path("b.polar").symlink_to("b.polar")
    lint("--format", "json", "--ignore", "PE509", ".")
    found = [one["code"] for one in json.loads(capsys.readouterr().out)["findings"]]
    assert found == codes


@pytest.mark.parametrize(
    ("join", "count", "found"),
    [
        pytest.param(" or ", 400, ["PR602"], id="many alternatives"),
        pytest.param(" and ", 400, ["PR602"], id="many conditions"),
        pytest.param(';\nallow(subject: Subject, "x", _resource) if ', 400, ["PR602"], id="many rules of one head"),
        pytest.param(" or ", 3, [], id="a few alternatives"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_policy_that_takes_longer_than_patience_to_be_read_is_not(
    capsys: pytest.CaptureFixture[str], join: str, count: int, found: list[str]
) -> None:
    conditions = join.join(f'subject.has_role("role_{number}")' for number in range(count))
    write("a.polar", f'allow(subject: Subject, "x", _resource) if {conditions};\n')
    lint("--format", "json", "--select", "PR602,PL", "--patience", "0.001", ".")
    assert [one["code"] for one in json.loads(capsys.readouterr().out)["findings"]] == found


@pytest.mark.parametrize(
    ("line", "word"),
    [
        pytest.param(0, "", id="before the first line"),
        pytest.param(1, "a", id="where it begins"),
        pytest.param(2, "a", id="where it ends, and another begins"),
        pytest.param(3, "", id="between two"),
        pytest.param(5, "c", id="where it goes on"),
        pytest.param(6, "d", id="the first of two in a line"),
        pytest.param(7, "", id="behind the last"),
    ],
)
def test_a_line_belongs_to_the_statement_that_is_there_first(line: int, word: str) -> None:
    text = "a(x) if\n  x = 1; b(x) if x = 2;\n\nc(x) if x\n = 3;\nd(x) if x = 1; e(x) if x = 2;\n"
    assert parsed([Text("p.polar", text)]).subject("p.polar", line)[:1] == word
