"""`protect completion`: what shells read is understood by them, and names every command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from protect.cli import MODULES, main


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_there_and_the_shell_reads_it(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = script(shell, capsys)

    assert [name for name in MODULES if name not in written] == []
    found = shutil.which(shell)
    if found is not None:
        path = tmp_path / "completion"
        path.write_text(written)
        subprocess.run([found, "-n", str(path)], check=True, timeout=30)


@pytest.mark.parametrize(
    ("words", "there", "not_there"),
    [
        (["protect", "con"], "convert", "lint"),
        (["protect", "convert", "--pol"], "--policy-rules", "--force"),
        (["protect", "completion", ""], "zsh", "convert"),
        (["protect", "replay", "decisions"], "decisions.log", "replay"),
        (["protect", "lint", "--explain", "PG1"], "PG102", "PG"),
        (["protect", "lint", "--select", "P"], "PG", "ALL"),
        (["protect", "explain", "--action", "down"], "download_image", "update"),
        (["protect", "matrix", "--protection-format", ""], "policies", "decisions.log"),
    ],
)
def test_bash_completes(
    words: list[str], there: str, not_there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    (tmp_path / "decisions.log").touch()
    (tmp_path / "completion").write_text(script("bash", capsys))
    function = "_shtab_protect"
    program = (
        f'source ./completion; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); {function}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        [bash, "-c", program, "bash", *words], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )

    proposed = [line.strip() for line in done.stdout.splitlines()]
    assert there in proposed
    assert not_there not in proposed


@pytest.mark.parametrize(
    ("line", "there", "not_there"),
    [
        ("protect con", "convert", "lint"),
        ("protect replay dec", "decisions.log", "replay"),
        ("protect lint --explain PG1", "PG102", "PG"),
        ("protect explain --action=down", "--action=download_image", "--action=update"),
    ],
)
def test_fish_completes(
    line: str, there: str, not_there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("no fish")
    (tmp_path / "decisions.log").touch()
    (tmp_path / "completion").write_text(script("fish", capsys))
    done = subprocess.run(
        [fish, "--no-config", "-c", f"source completion; complete -C '{line}'"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    proposed = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert there in proposed
    assert not_there not in proposed


def test_commands_are_described_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "convert:'a policy in another language, proven to decide alike'" in script("zsh", capsys)
