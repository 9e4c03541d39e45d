"""What a command does with its streams: closed, cut off, full, in an encoding that lacks letters; and hostile text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protect.cli import main
from protect.cli.progress import EVERY, PATIENCE, Progress
from protect.showing import visible

ROOT = Path(__file__).parent.parent
HOSTILE = "\x1b[31m\x07\u202e"
DRIVERS = set("\x1b\x07\u202e")
RULE = 'allow(_s: Subject, "get_image", _i: Image);\n'


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'protect() {{ {sys.executable} -m protect "$@"; }}; {line}'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        pytest.param("protect matrix rules --format json | head -1; exit ${PIPESTATUS[0]}", 141, "", id="cut off"),
        pytest.param("protect matrix rules --format json | cat >/dev/null; exit ${PIPESTATUS[0]}", 0, "", id="not cut"),
        pytest.param("protect lint --list >&-", 2, "standard output is closed", id="closed"),
        pytest.param("protect lint --no-cache --quiet rules/roles.polar >&-", 0, "", id="closed with nothing to say"),
        pytest.param("protect lint --list 2>&-", 0, "", id="standard error closed"),
        pytest.param("protect lint --list >/dev/full", 2, "no space left on device", id="full"),
        pytest.param("protect explain - </dev/null", 2, "standard input is empty", id="nothing on standard input"),
        pytest.param("protect explain - <&-", 2, "standard input is empty", id="standard input closed"),
    ],
)
def test_streams(line: str, status: int, said: str) -> None:
    done = shell(line)
    assert done.returncode == status
    assert done.stderr.count("\n") == (1 if said else 0), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("encoding", "shown"), [pytest.param("ascii", "\\xfc", id="escaped"), pytest.param("utf-8", "ü", id="as it is")]
)
def test_letters_that_the_output_lacks_are_escaped(tmp_path: Path, encoding: str, shown: str) -> None:
    path = tmp_path / "p.polar"
    path.write_text('allow(_s: Subject, "für", _i: Image);\n', encoding="utf-8")
    done = shell(f"protect matrix '{path}'", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0
    assert f"f{shown}r" in done.stdout


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("plain, ünd ☂", "plain, ünd ☂", id="what is seen stays"),
        pytest.param("a\x1b[31m", "a\\x1b[31m", id="an escape"),
        pytest.param("a\nb\r", "a\\x0ab\\x0d", id="line ends"),
        pytest.param("\u202ea\udcff", "\\u202ea\\udcff", id="direction, and half a character"),
    ],
)
def test_text_is_made_visible(said: str, shown: str) -> None:
    assert visible(said) == shown


@pytest.mark.parametrize("command", ["matrix", "lint", "test", "compile -o -", "diff rules"])
@pytest.mark.parametrize("name", [f"a{HOSTILE}\n::error::x", f"a{HOSTILE}\n::error::x.polar"])
def test_a_hostile_name_drives_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    (tmp_path / name).write_text("allow(\x1b[31m", encoding="utf-8")
    for path in (tmp_path / name, tmp_path / f"{name}-is-not-there"):
        assert main([*command.split(), str(path)]) in (1, 2)
        said = capsys.readouterr()
        assert not set(said.out + said.err) & DRIVERS
        assert "\n::error::" not in said.out + said.err


def test_warnings_while_loading_drive_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "property-protections.conf"
    section = "create = admin\nread = admin\nupdate = admin\ndelete = admin\n"
    path.write_text(f"[x{HOSTILE}]\n{section}[x{HOSTILE}]\n{section}[os_glance{HOSTILE}]\n{section}", encoding="utf-8")
    done = shell(f"protect compile '{path}' -o /dev/null")
    assert not set(done.stderr) & DRIVERS
    assert "\\x1b" in done.stderr


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("after", "shown"), [pytest.param(PATIENCE + 0.1, True, id="late"), pytest.param(PATIENCE - 0.1, False, id="soon")]
)
def test_progress_is_shown_after_two_seconds(capsys: pytest.CaptureFixture[str], after: float, shown: bool) -> None:
    clock = Clock()
    progress = Progress("things", clock)
    clock.now = after
    progress(1, 4)
    progress(2, 4)  # not twice within the time
    clock.now += 10 * EVERY
    progress(3, 4)
    progress.end()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (2 if shown else 1)
    assert lines[-1].startswith("things: 3 of 4, about ")


@pytest.mark.parametrize(("command", "seldom"), [("lint", True), ("test", True), ("serve", False), ("lsp", False)])
def test_only_commands_that_end_soon_leave_garbage_lie(command: str, seldom: bool) -> None:
    said = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import atexit, gc, sys; from protect.cli import console; usual = gc.get_threshold()\n"
            "atexit.register(lambda: print(gc.get_threshold() != usual))\nconsole()",
            *(command, "--help"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.endswith(f"{seldom}\n")
