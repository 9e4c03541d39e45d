"""`protect lint`: what is wrong with policy files, before they decide anything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from protect.cli.writing import write
from protect.errors import ConfigError
from protect.lint import baseline, catalogue, compiled, reports, targets
from protect.lint.catalogue import Check, Form
from protect.lint.findings import Report, Severity
from protect.lint.reports import Style
from protect.lint.run import Options, lint, secret_words
from protect.protections.sections import Format
from protect.showing import visible

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Checks policy files: `.polar` rules, Glance's property-protections.conf, oslo.policy's policy.yaml. In directories
they are found by their names. What a policy grants is decided on its decision graph, so such a finding is a proof,
and comes with a request that shows it.

Files of one folder are one policy. A file that cannot stand alone is checked beside the rules of the folder above
it, or beside the shipped ones; `--beside` says it otherwise.
"""

EXAMPLES = """\
examples:
  protect lint /etc/glance/protect
      everything in a folder and below it
  protect lint --explain PP304
      what a finding means, with a bad and a good example
  protect lint --select PG,PP --ignore PP315 rules property-protections.conf
      families and single codes; names such as `unanchored-pattern` do as well
  protect lint --fix --diff rules
      what the safe fixes would change; without --diff they are made
  protect lint --baseline lint-baseline.json --update-baseline rules
      accept what is there today; later runs with --baseline report what is new
  protect lint --format sarif rules >lint.sarif
      for code scanning; also github, gitlab, junit, json, concise
  protect lint --stdin-filename rules/images.polar - <images.polar
      what an editor has not saved yet

A comment on the line, or above the rule, section or entry, suppresses a finding:
  # protect: ignore[PP304] reason="every kernel_* name is meant" until=2030-12-31
`ignore-file[…]` holds for the whole file. Findings of the severity `security` need the reason.

"""

STATUS = """\
exit status:
  0  no finding, or none as bad as --fail-level
  1  findings; with --diff, fixes to make
  2  wrong usage, or a file that cannot be read
  3  an error in protect itself
"""


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "lint",
        help="find mistakes in policy files, and what grants more than it looks",
        description=DESCRIPTION,
        epilog=EXAMPLES + STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", metavar="PATH", nargs="*", help="files and directories; `-` is standard input")
    command.add_argument("--stdin-filename", metavar="NAME", help="what `-` is called, and so what kind of file it is")
    command.add_argument("--explain", metavar="CODE", help="show the page of a check, and end")
    command.add_argument("--list", action="store_true", help="list all checks, and end; with --format json as JSON")
    which = command.add_argument_group("what is reported")
    which.add_argument("--select", metavar="CODES", action="append", default=[], help="only these codes or families")
    which.add_argument("--ignore", metavar="CODES", action="append", default=[], help="all but these")
    which.add_argument(
        "--fail-level",
        choices=[*map(str, Severity), "none"],
        default=str(Severity.WARNING),
        help="what is at least as bad makes the exit status 1 (default: warning)",
    )
    which.add_argument("--baseline", metavar="FILE", help="report only what this file does not know")
    which.add_argument("--update-baseline", action="store_true", help="write the baseline instead of reporting")
    which.add_argument("--today", metavar="DAY", help="the day by which suppressions expire (default: today)")
    read = command.add_argument_group("how files are read")
    read.add_argument(
        "--beside",
        metavar="PATH",
        action="append",
        default=[],
        help="policy files that the given ones are loaded beside",
    )
    read.add_argument(
        "--protection-format", choices=list(Format), help="of .conf files (default: told by their names and comments)"
    )
    read.add_argument("--text-only", action="store_true", help="leave the exact checks out; takes no Oso")
    read.add_argument(
        "--patience",
        type=float,
        default=compiled.PATIENCE,
        metavar="SECONDS",
        help=f"how long exploring one policy may take (default: {compiled.PATIENCE})",
    )
    read.add_argument("--no-cache", action="store_true", help="neither use nor keep graphs in the user's cache folder")
    how = command.add_argument_group("how it is reported")
    how.add_argument("--format", choices=list(Style), default=Style.TEXT)
    how.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    how.add_argument("--statistics", action="store_true", help="how often each code was found, instead of the findings")
    how.add_argument("--quiet", "-q", action="store_true", help="no summary")
    change = command.add_argument_group("fixes")
    change.add_argument("--fix", action="store_true", help="make the safe fixes; each is proven to change no decision")
    change.add_argument("--diff", action="store_true", help="with --fix: show them instead")
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Check, report, and return the exit status."""
    if chosen.explain:
        print(page(catalogue.find(chosen.explain)), end="")
        return 0
    if chosen.list:
        print(listing(catalogue.checks().values(), as_json=chosen.format == Style.JSON), end="")
        return 0
    files = _targets(chosen)
    options = _options(chosen)
    report = lint(files, options)
    if chosen.fix or chosen.diff:
        return _fix(chosen, files, options, report)
    return _reported(chosen, files, report)


def _targets(chosen: argparse.Namespace) -> list[targets.Target]:
    named = [path for path in chosen.paths if path != "-"]
    if not chosen.paths:
        raise ConfigError("nothing to check; name files or directories, such as `protect lint rules`")
    found = [targets.read(path) for path in targets.found(named)]
    if "-" in chosen.paths:
        name = chosen.stdin_filename or str(Form.POLAR)
        form = targets.form_of(name)
        if form is None:
            raise ConfigError(f"`{name}` is not a kind of file that is known here; accepted: .polar, .conf, .yaml")
        # In the place of the file itself, where that is given too.
        found = [one for one in found if one.text.file != name]
        # An empty file is a file: an editor's new one.
        data = sys.stdin.buffer.read(targets.MOST_BYTES + 1) if sys.stdin is not None else b""
        found.append(targets.target(name, data, form))
    return found


def _options(chosen: argparse.Namespace) -> Options:
    known: frozenset[str] = frozenset()
    if chosen.update_baseline and not chosen.baseline:
        raise ConfigError("`--update-baseline` writes the file that `--baseline` names; name one")
    if chosen.baseline and not chosen.update_baseline:
        known = baseline.read(Path(chosen.baseline))
    try:
        today = date.fromisoformat(chosen.today) if chosen.today else date.today()
    except ValueError:
        raise ConfigError(f"`{chosen.today}` is no day; write it as 2030-12-31") from None
    codes = catalogue.chosen(_split(chosen.select) or ["ALL"]) - catalogue.chosen(_split(chosen.ignore))
    cache = None if chosen.no_cache else compiled.cache_folder()
    exact = not chosen.text_only
    return Options(codes, today, tuple(chosen.beside), chosen.protection_format, known, cache, exact, chosen.patience)


def _split(values: Iterable[str]) -> list[str]:
    return [word for value in values for word in value.split(",") if word.strip()]


def _reported(chosen: argparse.Namespace, files: Sequence[targets.Target], report: Report) -> int:
    if chosen.update_baseline:
        text = baseline.written(report.findings)
        write(chosen.baseline, text.encode())
        print(f"{visible(chosen.baseline)}: {_count(len(report.findings), 'finding')} accepted", file=sys.stderr)
        return 0
    for note in report.notes:
        print(f"protect: {visible(note)}", file=sys.stderr)
    if chosen.statistics:
        _print(reports.statistics(report))
    else:
        texts = {one.text.file: one.text for one in files}
        secrets = secret_words(texts.values())
        style = Style(chosen.format)
        _print(
            reports.rendered(
                style,
                report,
                texts,
                version=_version() if style is Style.SARIF else "",
                color=_colored(chosen.color),
                secrets=secrets,
            )
        )
    if not chosen.quiet:
        print(summary(report), file=sys.stderr)
    return 2 if any(one.unread for one in files) else _status(report, chosen.fail_level)


def _status(report: Report, level: str) -> int:
    if level == "none":
        return 0
    return int(any(finding.severity.rank <= Severity(level).rank for finding in report.findings))


def _print(text: str) -> None:
    print(text, end="")


def _colored(wanted: str) -> bool:
    if wanted != "auto":
        return wanted == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _fix(chosen: argparse.Namespace, files: Sequence[targets.Target], options: Options, report: Report) -> int:
    from protect.lint import fixing

    fixed, notes = fixing.fixes(files, report, options.cache, options.beside)
    for note in notes:
        print(f"protect: {visible(note)}", file=sys.stderr)
    if chosen.diff:
        for one in fixed:
            _print(one.difference())
        return int(bool(fixed))
    for one in fixed:
        fixing.write(one)
    count = sum(len(one.findings) for one in fixed)
    print(f"{_count(count, 'finding')} fixed in {_count(len(fixed), 'file')}", file=sys.stderr)
    again = [targets.read(one.path) if one.path is not None else one for one in files]
    return _reported(chosen, again, lint(again, options))


def summary(report: Report) -> str:
    """Return the line that ends a run."""
    counts = [
        _count(sum(one.severity is severity for one in report.findings), _NOUNS[severity])
        for severity in Severity
        if any(one.severity is severity for one in report.findings)
    ]
    said = f"{_count(report.files, 'file')}: {', '.join(counts) or 'no finding'}"
    fixable = sum(one.fix is not None and one.fix.safe for one in report.findings)
    if fixable:
        said += f"; {fixable} can be fixed with --fix"
    if report.suppressed:
        said += f"; {len(report.suppressed)} suppressed"
    return said


_NOUNS = {
    Severity.ERROR: "error",
    Severity.SECURITY: "security finding",
    Severity.WARNING: "warning",
    Severity.INFO: "remark",
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


#: How many lines of an example are shown whole.
_LONGEST_EXAMPLE = 40


def page(check: Check) -> str:
    """Return the page of a check."""

    def indented(text: str) -> str:
        # What cannot be seen is the point of some examples, and of one its length.
        lines = text.splitlines()
        if len(lines) > _LONGEST_EXAMPLE:
            lines[3:-3] = [f"# … {len(lines) - 6} more lines …"]
        return "".join(f"    {visible(line)}".rstrip() + "\n" for line in lines)

    mode = f", with mode {check.mode:04o}" if check.mode != 0o644 else ""
    wrapped = {name: _wrapped(getattr(check, name)) for name in ("why", "how")}
    exact = "Decided on the policy's decision graph; for `.polar` files that takes Oso.\n\n" if check.exact else ""
    summary = _wrapped(f"{check.summary[:1].upper()}{check.summary[1:]}.")
    return (
        f"{check.code} {check.name} ({check.severity})\n\n{summary}\n"
        f"{wrapped['why']}\n{exact}bad ({check.form.value}{mode}):\n\n{indented(check.bad)}\n"
        f"good:\n\n{indented(check.good)}\nwhat to do:\n{wrapped['how']}"
    )


def _wrapped(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 100) + "\n"


def listing(checks: Iterable[Check], *, as_json: bool) -> str:
    """Return all checks as a table, or as JSON."""
    rows = list(checks)
    if as_json:
        keys = ("code", "name", "severity", "summary", "why", "how", "bad", "good", "exact")
        documents = [{**{key: getattr(one, key) for key in keys}, "file": one.form.value} for one in rows]
        return json.dumps(documents, indent=2) + "\n"
    names = max(len(one.name) for one in rows)
    return "".join(f"{one.code}  {one.severity:<8}  {one.name:<{names}}  {one.summary}\n" for one in rows)


def _version() -> str:
    # Imported here, as it takes longer than checking a small file.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("protect")
    except PackageNotFoundError:
        return "0"
