"""`protect test` as it is run: exit status, formats, and the example that is shipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from protect.cli import main

ROOT = Path(__file__).parent.parent
EXAMPLE = str(ROOT / "examples" / "tests")

POLICY = 'allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;\n'
WORLD = """\
policy: p.polar
subjects: {alice: {tenant: acme}, bob: {tenant: other}}
images: {own: {owner: acme}}
tests:
"""
GOOD = "  - {name: good one, subjects: [alice, bob], actions: get_image, resources: own, allow: {alice: '*'}}\n"
WEAK = "  - {name: weak one, subjects: alice, actions: get_image, resources: own, expect: allow}\n"
BAD = (
    '  - {name: "bad <one> # \\\\ \\u0001", subjects: [alice, bob], actions: get_image, resources: own, '
    "expect: allow}\n"
)
SKIPPED = "  - {name: later, skip: waits for it, subjects: alice, actions: get_image, resources: own, expect: deny}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.polar").write_text(POLICY, encoding="utf-8")
    return tmp_path


def write(folder: Path, *tests: str, name: str = "p_test.yaml") -> str:
    path = folder / name
    path.write_text(WORLD + "".join(tests), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("tests", "arguments", "status", "said"),
    [
        pytest.param([GOOD], [], 0, "", id="all passed"),
        pytest.param([GOOD, BAD], [], 1, "", id="one failed"),
        pytest.param([GOOD, BAD], ["--run", "good*"], 0, "", id="the one that fails is not chosen"),
        pytest.param([GOOD, BAD], ["--run", "*p_test.yaml: bad*"], 1, "", id="chosen by file and name"),
        pytest.param([GOOD], ["--run", "nothing"], 2, "no test fits `nothing`", id="nothing fits"),
        pytest.param([GOOD], ["--run", "nothing", "--no-fail-on-empty"], 0, "", id="nothing fits, and may"),
        pytest.param([SKIPPED], [], 2, "all tests are skipped", id="all skipped"),
        pytest.param([GOOD, SKIPPED], [], 0, "", id="one skipped"),
        pytest.param([GOOD], ["--coverage", "--fail-under", "100"], 0, "", id="covered enough"),
        pytest.param([WEAK], ["--mutate", "--fail-under", "90"], 1, "less than 90 %", id="changes go unnoticed"),
        pytest.param([GOOD], ["--mutate", "--fail-under", "20"], 0, "", id="enough changes are noticed"),
        pytest.param(["  - {name: a}\n"], [], 2, "does not say what to expect", id="a mistake in the file"),
        pytest.param([GOOD], ["--policy", "missing"], 2, "does not exist", id="no such policy"),
    ],
)
def test_the_exit_status(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tests: list[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    assert main(["test", write(folder, *tests), *arguments]) == status
    assert said in capsys.readouterr().err


def test_another_policy_can_be_tested(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder / "other.polar"
    other.write_text('allow(_s: Subject, "get_image", _i: Image);\n', encoding="utf-8")
    file = write(folder, GOOD)
    assert main(["test", file]) == 0
    assert main(["test", file, "--policy", str(other)]) == 1
    assert "other.polar:1" in capsys.readouterr().out


def test_a_directory_is_searched_and_its_mistakes_are_told_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "deeper").mkdir()
    write(folder, GOOD)
    write(folder, "  - {name: a}\n", name="a_test.yaml")
    write(folder, "  - {name: b}\n", name="deeper/b_test.yml")
    write(folder, "not read", name="notes.yaml")
    assert main(["test", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "a_test.yaml:5:5:" in told
    assert "b_test.yml:1:9: the policy" in told or "b_test.yml:5:5:" in told


@pytest.mark.parametrize("argument", [["--mutate=0"], ["--fail-under", "101"], ["--format", "xml"], []])
def test_wrong_usage(argument: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["test", *(argument and ["x", *argument])])
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_text_names_what_failed_and_counts_the_rest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", write(folder, GOOD, BAD, SKIPPED), "-v"]) == 1
    out = capsys.readouterr().out
    assert ": passed: good one" in out
    assert ": skipped: later: waits for it" in out
    assert out.endswith("1 passed, 1 failed, 1 skipped; 4 questions asked\n")
    assert "\x01" not in out


def test_json_is_one_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", write(folder, GOOD, BAD, SKIPPED), "--format", "json", "--coverage", "--mutate"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["summary"] == {"passed": 1, "failed": 1, "cannot prove": 0, "skipped": 1, "failed_run": True}
    good, bad, skipped = document["suites"][0]["tests"]
    assert (good["outcome"], good["asked"], good["wrong"]) == ("passed", 2, [])
    assert bad["wrong"][0]["subject"] == "bob"
    assert bad["wrong"][0]["steps"] == [{"question": "image.owner equals subject.tenant", "answer": False}]
    assert skipped["reason"] == "waits for it"
    assert document["coverage"][0]["percent"] == 100
    assert document["mutations"][0]["survived"] == []


def test_junit_can_be_read_whatever_the_names_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", write(folder, GOOD, BAD, SKIPPED), "--format", "junit"]) == 1
    [suite] = ElementTree.fromstring(capsys.readouterr().out)
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    good, bad, skipped = suite.findall("testcase")
    assert list(good) == []
    assert bad.get("name") == "bad <one> # \\ \ufffd"
    assert "bob asks to get_image own" in str(bad[0].text)
    assert skipped[0].get("message") == "waits for it"


def test_tap_can_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", write(folder, GOOD, BAD, SKIPPED), "--format", "tap"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["TAP version 14", "1..3", "ok 1 - good one"]
    assert lines[3].startswith("not ok 2 - bad <one> \\# \\\\")
    assert lines[-1] == "ok 3 - later # SKIP waits for it"
    block = lines[lines.index("  ---") + 1 : lines.index("  ...")]
    assert yaml.safe_load("\n".join(block))["outcome"] == "failed"


def test_the_example_passes_and_reaches_every_shipped_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", EXAMPLE, "--coverage", "--fail-under", "100"]) == 0
    out = capsys.readouterr().out
    assert "0 failed" not in out
    assert "coverage: 100.0 %" in out


def test_the_example_notices_a_sample_of_changes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "protect", "test", EXAMPLE, "--mutate=15", "--fail-under", "100"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["test", "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert "only_when: subject.has_role" in told and "exit status" in told


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("p.polar", "is a policy; name its tests, `*_test.yaml`", id="rules"),
        pytest.param("property-protections.conf", "is a policy", id="a protection file"),
        pytest.param("p_test.yaml", "", id="its tests"),
    ],
)
def test_a_policy_is_not_its_tests(folder: Path, capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    write(folder, GOOD)
    (folder / "property-protections.conf").touch()
    assert main(["test", str(folder / name)]) == (2 if said else 0)
    assert said in capsys.readouterr().err


TABLE = """\
  - name: letters
    images: own
    properties: |
      subject  property  C  R  U  D
      alice    note      {}  -  -
"""


@pytest.mark.parametrize(
    ("letters", "status"),
    [
        pytest.param("-  R", 0, id="as the column is called"),
        pytest.param("-  r", 0, id="small"),
        pytest.param("-  -", 1, id="denied"),
        pytest.param("-  U", 2, id="of another column"),
    ],
)
def test_letters_of_a_table_of_properties(folder: Path, letters: str, status: int) -> None:
    (folder / "p.polar").write_text(POLICY + 'allow(_s: Subject, "read", _p: Property);\n', encoding="utf-8")
    assert main(["test", write(folder, TABLE.format(letters))]) == status


@pytest.mark.parametrize("style", ["text", "tap"])
def test_what_a_file_says_drives_no_terminal(folder: Path, capsys: pytest.CaptureFixture[str], style: str) -> None:
    hostile = '  - {name: "a\\e[31m\\u202e", subjects: bob, actions: get_image, resources: own, expect: allow}\n'
    assert main(["test", write(folder, hostile), "--format", style]) == 1
    out = capsys.readouterr().out
    assert not set("\x1b\u202e") & set(out)
    assert "x1b[31m" in out
