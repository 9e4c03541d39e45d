"""What `--help` says: every example works, and the exit status is the command's own."""

from __future__ import annotations

import argparse
import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protect.cli import GROUPS, main, parser

ROOT = Path(__file__).parent.parent

#: These go on until they are stopped: their examples are parsed, and run by tests of their own.
SERVERS = ("serve", "lsp")

EVALUATION = (
    '{"subject": {"type": "user", "id": "u"}, "action": {"name": "get_image"}, '
    '"resource": {"type": "image", "id": "1", "properties": {"owner": "t"}}}'
)
DECISION = (
    '{"time": "2030-01-01T00:00:00Z", "outcome": "denied", "action": "get_image", "resource": "Image", '
    '"resource_id": "1", "property": null, "subject": "u", "tenant": "t", "reason": "no rule allows it", '
    '"revision": "0", "mode": "enforce", "request_id": null, "facts": {}}\n'
)
PIPELINE = """\
[pipeline:glance-api-keystone]
pipeline = cors authtoken context rootapp
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
"""
SECTION = "[^x_]\ncreate = {0}\nread = {0}\nupdate = {0}\ndelete = {0}\n"


def commands() -> dict[str, argparse.ArgumentParser]:
    [action] = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)


def examples() -> Iterator[tuple[str, str]]:
    for name, command in commands().items():
        text = (command.epilog or "").replace("\\\n", " ")
        for line in re.findall(r"^  ((?:\S.* \| )?protect .*)$", text, re.MULTILINE):
            yield name, " ".join(line.split())


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An operator's folder, with what the examples name."""
    here = tmp_path_factory.mktemp("machine")
    glance = here / "etc" / "glance"
    (glance / "protect").mkdir(parents=True)
    for folder in ("rules", "new-rules"):
        shutil.copytree(ROOT / "rules", here / folder)
        tests = (ROOT / "examples" / "tests" / "images_test.yaml").read_text()
        (here / folder / "images_test.yaml").write_text(tests.replace("policy: ../../rules", "policy: ../rules"))
    for file in (ROOT / "rules").glob("*.polar"):
        shutil.copy(file, glance / "protect")
    shutil.copy(ROOT / "rules" / "images.polar", here)
    (glance / "property-protections.conf").write_text(SECTION.format("admin"))
    for folder in (here, glance):
        (folder / "policy.yaml").write_text('"admins": "role:admin"\n"get_image": "role:member"\n')
    for name in ("my.polar", "my_rules.polar"):
        (here / name).write_text('allow(s: Subject, "get_image", _i: Image) if s.has_role("auditor");\n')
    (here / "my_properties.polar").write_text(
        'allow(s: Subject, action, p: Property) if action in ["create", "read", "update", "delete"] and\n'
        '    p.name = "x" and s.has_role("admin");\n'
    )
    (here / "evaluation.json").write_text(EVALUATION)
    (here / "decisions.log").write_text(DECISION)
    return here


@pytest.mark.parametrize(("command", "example"), list(examples()))
def test_every_example_works(
    command: str,
    example: str,
    machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(machine)
    _made_before(machine, example)
    if "git:" in example:
        _history(machine)
    words = shlex.split(example.rpartition(" | ")[2].replace("/etc/glance", str(machine / "etc" / "glance")))
    arguments, given = [], DECISION if " | " in example else "yes\n"
    left = iter(words[1:])
    for word in left:
        if word.startswith("<"):
            given = (machine / (word[1:] or next(left))).read_text()
        elif word.startswith(">"):
            word[1:] or next(left)
        else:
            arguments.append(word)
    if command in ("install", "uninstall") and not {"--yes", "--dry-run"} & set(arguments):
        arguments.append("--yes")  # at a terminal they ask
    if command in SERVERS:
        parser(command).parse_args(arguments)
        return
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    status = main(arguments)
    assert status in (0, 1), capsys.readouterr().err


def _made_before(machine: Path, example: str) -> None:
    """Make what an earlier example of the same command would have made."""
    (machine / "etc" / "glance" / "glance-api-paste.ini").write_text(PIPELINE)
    who = "admins" if "--protection-format policies" in example else "admin"
    (machine / "property-protections.conf").write_text(SECTION.format(who))
    if "--check" in example:
        assert main(["matrix", "rules", "--update", "matrix.csv"]) == 0
    if "policy.json" in example and "diff" in example:
        assert main(["compile", "rules", "my.polar", "-o", "policy.json"]) == 0
    if "candidate.json" in example:
        import gzip

        assert main(["compile", "rules", "-o", "candidate.json"]) == 0
        (machine / "decisions.log.1.gz").write_bytes(gzip.compress(DECISION.encode()))
    for name in re.findall(r" -o (\S+)", example):
        (machine / name).unlink(missing_ok=True)


def _history(machine: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git")
    if not (machine / ".git").exists():
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for words in (
            ["init", "-q", "-b", "main"],
            ["add", "rules", "property-protections.conf"],
            [*who, "commit", "-q", "-m", "rules"],
        ):
            subprocess.run([git, *words], cwd=machine, check=True)


def test_the_list_of_commands_is_grouped_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name, command in commands().items():
        [line] = re.findall(rf"^  {name} +(\S.*)$", said, re.MULTILINE)
        assert len(line) < 70
        assert command.epilog is None or "exit status" in command.epilog
    assert "before a policy goes live:" in said


def test_the_list_says_of_each_command_what_its_own_parser_says() -> None:
    [action] = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    theirs = {one.dest: one.help for one in action._get_subactions()}
    assert theirs == {name: said for group in GROUPS.values() for name, said in group.items()}


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["nonsense"]], ids=lambda words: " ".join(words))
def test_what_is_said_of_no_command_needs_none_of_them(words: list[str]) -> None:
    code = (
        "import sys\nfrom protect.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        "print('loaded', *(name for name in sys.modules if name.startswith(('protect.policy', 'protect.lint', 'oso'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("loaded\n")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"protect (\d+\.\d+.*|not installed)\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        pytest.param("lnit", "`lnit` is no command; did you mean `lint`?", id="near to one"),
        pytest.param("qqq", "`qqq` is no command; known: lint, test, ", id="near to none"),
        pytest.param("--quiet", "`--quiet` is no command", id="an option in its place"),
    ],
)
def test_an_unknown_command_is_a_wrong_usage(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_command_the_list_is_shown_as_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "protect COMMAND --help" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(commands()))
def test_only_install_speaks_of_a_dry_run(command: str) -> None:
    status = (commands()[command].epilog or "").partition("exit status:")[2]
    assert ("--dry-run" in status) is (command in ("install", "uninstall"))
