"""`protect test`: what a policy must answer, checked; and how much of the policy the tests hold fast."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protect.cli import policies
from protect.cli.progress import Progress
from protect.errors import ConfigError, Problem

if TYPE_CHECKING:
    from protect.testing.coverage import Coverage
    from protect.testing.running import Ran
    from protect.testing.scoring import Score
    from protect.testing.suites import Suite

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Runs the tests of a policy: files called *_test.yaml beside it, with subjects, images and tables of what each may do,
and invariants about every request there can be, which are proven on the decision graph or refuted by a request that
the policy really decides so.

--coverage names the rules that decide no test. --mutate changes the policy in every small way (a rule taken out, a
condition turned round, another role, …) and lists the changes that no test notices, with a request that would; changes
that alter no decision are recognised by proof and not counted.
"""

EXAMPLES = """\
a test file:
  policy: ../rules
  subjects:
    alice: {roles: [member, reader], tenant: acme}
  images:
    own:    {owner: acme, visibility: private}
    theirs: {owner: globex, visibility: private}
  tests:
    - name: a member downloads what is its own
      table: |
        subject  action          own    theirs
        alice    download_image  allow  deny
  invariants:
    - name: only admins publish
      allowed: publicize_image
      only_when: subject.has_role("admin")

examples:
  protect test rules/
      every *_test.yaml in this directory and below
  protect test rules/ --run '*kernel*' -v
      the tests whose names fit
  protect test rules/ --policy new-rules/
      the same tests on another policy
  protect test rules/ --coverage --fail-under 90 --format junit > report.xml
      for a pipeline
  protect test rules/ --mutate=50
      50 of the possible changes, evenly spread

"""

STATUS = """\
exit status:
  0  all passed
  1  failures, something that cannot be proven, or less than --fail-under
  2  wrong usage, input that cannot be read or understood, or nothing tested (see --no-fail-on-empty)
  3  an error in protect itself
"""

FORMATS = ("text", "json", "junit", "tap")
SUFFIXES = ("_test.yaml", "_test.yml")


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "test",
        help="your own expectations of a policy, and proofs over all requests",
        description=DESCRIPTION,
        epilog=EXAMPLES + STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", metavar="PATH", nargs="+", help="a test file, or a directory of them")
    command.add_argument(
        "--run", metavar="GLOB", dest="run_pattern", help="only tests whose name, or `FILE: NAME`, fits the pattern"
    )
    command.add_argument(
        "--policy", metavar="PATH", action="append", default=[], help="test this policy in place of the files' own"
    )
    command.add_argument("--format", choices=FORMATS, default="text", help="how the results are shown")
    command.add_argument("--coverage", action="store_true", help="name the rules that decide no test")
    command.add_argument(
        "--mutate",
        metavar="N",
        nargs="?",
        type=_number,
        const=0,
        help="change the policy in every small way, or in N of them, and list what no test notices",
    )
    command.add_argument(
        "--fail-under",
        metavar="PERCENT",
        type=_percent,
        help="status 1 if the coverage (and with --mutate, the mutation score) is less",
    )
    command.add_argument(
        "--fail-on-empty",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="status 2 if nothing was tested (the default)",
    )
    command.add_argument("-v", "--verbose", action="store_true", help="show the tests that passed as well")
    policies.add_options(command)
    command.set_defaults(run=run)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not accepted; accepted: how many changes, 1 or more")
    return int(text)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"`{text}` is not accepted; accepted: 0 to 100")
    return value


def run(chosen: argparse.Namespace) -> int:
    """Run the tests, print what came of them, and return the exit status."""
    from protect.testing.running import is_failure, results

    all_ran = _ran(chosen, list(_files(chosen.paths)))
    covered = _covered(all_ran) if chosen.coverage or (chosen.fail_under is not None and chosen.mutate is None) else []
    scores = _scores(all_ran, chosen.mutate or None) if chosen.mutate is not None else []
    _print(chosen, all_ran, covered, scores)
    done = [one for one in results(all_ran) if one.outcome != "skipped"]
    if not done and chosen.fail_on_empty:
        print(f"protect: nothing was tested: {_why_nothing(chosen, all_ran)}", file=sys.stderr)
        return 2
    percents = [*(one.percent for one in covered), *(one.percent for one in scores)]
    under = chosen.fail_under is not None and any(percent < chosen.fail_under for percent in percents)
    if under:
        print(f"protect: less than {chosen.fail_under:g} %", file=sys.stderr)
    return int(under or any(map(is_failure, done)))


def _why_nothing(chosen: argparse.Namespace, all_ran: Sequence[Ran]) -> str:
    if not all_ran:
        return f"no file here is called *{SUFFIXES[0]}"
    if any(ran.results for ran in all_ran):
        return "all tests are skipped"
    if chosen.run_pattern is not None:
        return f"no test fits `{chosen.run_pattern}`"
    return "the files have no tests"


def _files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the test files, each once. Raises ConfigError for what is none."""
    seen: set[Path] = set()
    for path in paths:
        found = Path(path)
        if not found.exists():
            raise ConfigError(f"`{path}` does not exist; name a test file, or a directory of them")
        members = [found]
        if not found.is_dir() and not found.is_file():
            raise ConfigError(f"`{path}` is neither a file nor a directory; name one of those")
        if found.suffix in (".polar", ".conf"):
            raise ConfigError(f"`{path}` is a policy; name its tests, `*{SUFFIXES[0]}`, or the directory that has them")
        if found.is_dir():
            members = sorted(one for suffix in SUFFIXES for one in found.rglob(f"*{suffix}") if one.is_file())
        for member in members:
            if member.resolve() not in seen:
                seen.add(member.resolve())
                yield str(member)


def _ran(chosen: argparse.Namespace, files: Sequence[str]) -> list[Ran]:
    """Read all files, then run them. Raises SuiteError with the mistakes of all of them."""
    from protect.testing.documents import SuiteError
    from protect.testing.policies import Policies
    from protect.testing.running import prepared, run

    loaded = Policies(chosen.policy, policies.protection(chosen))
    ready = []
    found: list[Problem] = []
    for file in files:
        try:
            suite = _read(file)
            tested = loaded.load(suite.policy, file)
            ready.append((prepared(suite, tested), tested))
        except SuiteError as error:
            found += error.problems
    if found:
        raise SuiteError(found)
    return [run(suite, tested, chosen.run_pattern) for suite, tested in ready]


def _read(file: str) -> Suite:
    from protect.testing.reading import read

    try:
        return read(Path(file).read_bytes().decode("utf-8"), file)
    except UnicodeDecodeError:
        raise ConfigError(f"`{file}` is not UTF-8 text; save it as UTF-8") from None


def _covered(all_ran: Sequence[Ran]) -> list[Coverage]:
    from protect.testing.coverage import coverage

    return [coverage(tested, all_ran) for tested in {id(ran.tested): ran.tested for ran in all_ran}.values()]


def _scores(all_ran: Sequence[Ran], number: int | None) -> list[Score]:
    from protect.testing.scoring import score

    with_policies = {id(ran.tested): ran.tested for ran in all_ran}.values()
    progress = Progress("changes tried")
    try:
        return [score(tested, all_ran, number, progress) for tested in with_policies]
    finally:
        progress.end()


def _print(
    chosen: argparse.Namespace, all_ran: Sequence[Ran], covered: Sequence[Coverage], scores: Sequence[Score]
) -> None:
    from protect.testing import formats, text

    match chosen.format:
        case "json":
            print(formats.as_json(all_ran, covered, scores))
        case "junit":
            print(formats.as_junit(all_ran, covered, scores))
        case "tap":
            print(formats.as_tap(all_ran))
        case _:
            for line in text.lines(all_ran, verbose=chosen.verbose):
                print(line)
            print(text.summary(all_ran))
    if chosen.format in ("text", "tap"):
        # TAP has no place for them but comments.
        mark = "# " if chosen.format == "tap" else ""
        for one in covered:
            print(*(f"{mark}{line}" for line in text.coverage_lines(one)), sep="\n")
        for score in scores:
            print(*(f"{mark}{line}" for line in text.score_lines(score)), sep="\n")
