"""How long `protect lint` takes, from the start of the process to its end.

    python -m tests.bench.lint [RUNS]

Beside each is a process of Python that does no more than read the same files: with Oso, which finds syntax errors and
nothing else, or with ``configparser``. All take turns, so that a change of the machine's speed hits all alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "rules"
RUNS = 15

OSO = """\
import sys
from oso import Oso
oso = Oso()
for name in ("Subject", "Image", "Property", "Member", "Location", "Metadef", "Task", "Store"):
    oso.register_class(type(name, (), {}))
oso.register_constant({}, "context")
oso.load_files(sys.argv[1:])
"""
CONFIGPARSER = "import configparser, sys; configparser.RawConfigParser().read(sys.argv[1:])"


@dataclass(frozen=True)
class Case:
    """What is checked, and within how many seconds it should be."""

    title: str
    target: float | None
    paths: Sequence[str]
    reading: str = OSO
    first_time: bool = True

    def lint(self) -> list[str]:
        """Return the command."""
        options = ["--no-cache"] if self.first_time else []
        return [sys.executable, "-m", "protect", "lint", "--quiet", "--fail-level", "none", *options, *self.paths]

    def read(self) -> list[str]:
        """Return the command that only reads the files."""
        files = [str(file) for path in self.paths for file in ([path] if Path(path).is_file() else _files(Path(path)))]
        return [sys.executable, "-c", self.reading, *files]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.polar"))


ACTIONS = ("get_image", "modify_image", "delete_image", "download_image", "upload_image")


def rules_on_actions(count: int) -> str:
    """Return rules that say the same of many roles."""
    return "".join(
        f'allow(subject: Subject, "{ACTIONS[number % len(ACTIONS)]}", image: Image) if\n'
        f'    subject.has_role("role{number}") and image.owner = subject.tenant;\n'
        for number in range(count)
    )


def rules_on_properties(count: int) -> str:
    """Return a rule for each of many properties."""
    return "".join(
        f'allow(subject: Subject, "update", property: Property) if\n'
        f'    property.name = "prop_{number}" and subject.has_role("role{number}") and\n'
        f"    property.image.owner = subject.tenant;\n"
        for number in range(count)
    )


def sections(count: int) -> str:
    """Return a protection file."""
    return "".join(
        f"[^x_{number}_.*$]\ncreate = admin,role{number}\nread = admin,member\nupdate = admin\ndelete = admin\n\n"
        for number in range(count)
    )


def seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    """Return the time that a process takes; raises CalledProcessError unless it does what it should."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(runs: int = RUNS) -> None:
    """Time every case, and print it beside its target and what reading alone takes."""
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        texts = {
            "actions.polar": rules_on_actions(1000),
            "properties.polar": rules_on_properties(1000),
            "property-protections.conf": sections(200),
        }
        for name, text in texts.items():
            (base / name).write_text(text)
        shipped = [str(path) for path in sorted(RULES.glob("*.polar"))]
        cases = (
            Case("the shipped rules, for the first time", 0.5, shipped),
            Case("the shipped rules, again", 0.5, shipped, first_time=False),
            Case("and their variants, for the first time", None, [str(RULES)]),
            Case("and their variants, again", None, [str(RULES)], first_time=False),
            Case("1,000 rules on actions", 3.0, [str(base / "actions.polar")]),
            Case("1,000 rules on properties", 3.0, [str(base / "properties.polar")]),
            Case("a protection file of 200 sections", 2.0, [str(base / "property-protections.conf")], CONFIGPARSER),
        )
        environment = {**os.environ, "XDG_CACHE_HOME": directory}
        print(f"protect lint: medians of {runs} processes each, and the fastest")
        for case in cases:
            commands = case.lint(), case.read()
            for command in commands:
                seconds(command, environment)
            times = [[seconds(command, environment) for command in commands] for _ in range(runs)]
            ours, reading = (statistics.median(column) for column in zip(*times, strict=True))
            target = (
                ""
                if case.target is None
                else f"target {case.target:.1f} s: {'met' if ours < case.target else 'NOT MET'}"
            )
            ratio = statistics.median(lint / read for lint, read in times)
            print(
                f"  {case.title:<42} {ours:6.2f} s ({min(lint for lint, _ in times):.2f})  "
                f"reading alone {reading:5.2f} s, {ratio:4.1f} times  {target}",
                flush=True,
            )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
