"""`protect replay`: a decision log against another policy."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protect.cli import decision_logs, policies
from protect.cli.decision_logs import Raw
from protect.errors import ConfigError
from protect.showing import visible

if TYPE_CHECKING:
    from protect.policy import Policy
    from protect.replay.deciding import Answer
    from protect.replay.lines import Line

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Decides every line of a decision log anew, by another policy, and shows what would have come out otherwise: wider or
narrower, with the number of requests, an example, and the rule. The log is what the filter and `protect serve` write,
one JSON object on a line. Compressed ones (gzip) are read as they are, several are written with commas between them,
and `-` is standard input.

A line says who asked for what, and not everything that a policy may ask about. Where the answer depends on what the
line does not tell, it is counted as `cannot say`, with what was wanting. Nothing is guessed.
"""

EXAMPLES = """\
examples:
  protect replay decisions.log rules my_rules.polar
      what your rules would have changed
  protect replay --fail-on changed --format json decisions.log,decisions.log.1.gz candidate.json
      for a pipeline, where lines that cannot be decided are no failure
  journalctl -o cat -u glance-api | protect replay - rules
      text before an object is skipped

"""

STATUS = """\
exit status:
  0  every line would be decided as it was
  1  some would not, or it cannot be said (--fail-on)
  2  wrong usage, or nothing that can be read
  3  an error in protect itself
"""

FAIL_ON = ("any", "changed", "wider", "narrower", "none")
_EVERY = 5_000  # lines between two looks at the clock
_FIRST, _AGAIN = 1.0, 0.2  # seconds: until there is a bar, and between two of them
#: Names of properties that are kept for one kind of change, and kinds that are told apart: clients make names up.
_MOST_NAMES = 1_000
_MOST_KINDS = 10_000
#: In the place of an action where there are too many.
_OTHER = "(others)"
#: What is kept of the first line of a kind.
_TOLD = ("time", "subject", "tenant", "resource_id", "request_id", "reason", "revision")
_ORDER = {"denied": 0, "error": 0, "discarded": 1, "allowed": 2}
_WORDS = {"allowed": "allowed", "denied": "denied", "dropped": "discarded"}


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "replay",
        help="a decision log against another policy",
        description=DESCRIPTION,
        epilog=EXAMPLES + STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("log", metavar="LOG", help="the decision log, or several with commas; `-` is standard input")
    command.add_argument("paths", metavar="POLICY", nargs="*", help="the policy (without: the shipped rules)")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.add_argument("--limit", metavar="N", type=_limit, default=20, help="changes that are shown (default: 20)")
    command.add_argument(
        "--fail-on", choices=FAIL_ON, default="any", help="what makes the exit status 1 (default: any)"
    )
    policies.add_options(command)
    command.set_defaults(run=run)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"`{text}` is not accepted; accepted: a whole number, 0 or more")
    return int(text)


@dataclass(slots=True)
class Change:
    """Lines that would be decided otherwise, in the same way. ``log``, ``number`` and ``line`` are of the first."""

    was: str
    now: str
    action: str
    resource: str
    rule: str
    log: str
    number: int
    line: Line
    count: int = 0
    names: set[str] = field(default_factory=set)

    @property
    def direction(self) -> str:
        """wider or narrower."""
        return "wider" if _ORDER[self.now] > _ORDER[self.was] else "narrower"


@dataclass(slots=True)
class Findings:
    """What came of a log."""

    lines: int = 0
    unreadable: int = 0
    same: int = 0
    allowed_before: int = 0
    with_facts: int = 0
    changes: dict[tuple[Any, ...], Change] = field(default_factory=dict)
    unsaid: Counter[tuple[str, str, tuple[str, ...]]] = field(default_factory=Counter)

    def add(self, raw: Raw, line: Line, answer: Answer) -> None:
        """Count one line."""
        was, action, resource = line["outcome"], line["action"], line["resource"]
        self.allowed_before += was == "allowed"
        self.with_facts += "facts" in line
        if answer.outcome is None:
            lacking = action, resource, answer.lacking
            if lacking not in self.unsaid and len(self.unsaid) >= _MOST_KINDS:
                lacking = _OTHER, _OTHER, ()
            self.unsaid[lacking] += 1
            return
        now = _WORDS[answer.outcome]
        if now == was or (now == "denied" and was == "error"):
            self.same += 1
            return
        key = (was, now, action, resource, answer.rule)
        if key not in self.changes and len(self.changes) >= _MOST_KINDS:
            key = (was, now, _OTHER, _OTHER, "")
        change = self.changes.get(key)
        if change is None:
            first = {name: line.get(name) for name in _TOLD}
            change = self.changes[key] = Change(*key, raw.log, raw.number, first)
        change.count += 1
        name = line.get("property")
        if name and len(change.names) < _MOST_NAMES:
            change.names.add(name)

    def sorted(self) -> list[Change]:
        """Return the changes: wider ones first, then by how many lines."""
        return sorted(self.changes.values(), key=lambda one: (one.direction != "wider", -one.count))


def run(chosen: argparse.Namespace) -> int:
    """Replay, print, and return the exit status."""
    policy = policies.load(chosen.paths, policies.protection(chosen))
    logs = policies.split(chosen.log)
    found = replayed(decision_logs.lines(logs), policy, decision_logs.size(logs))
    if found.lines == found.unreadable:
        raise ConfigError(f"`{chosen.log}` has no line of a decision log; name what protect logged, as JSON lines")
    if found.unreadable:
        what = (
            "1 line is no decision, and was"
            if found.unreadable == 1
            else f"{found.unreadable} lines are no decisions, and were"
        )
        print(f"protect: {what} left out", file=sys.stderr)
    if not found.allowed_before:
        print(
            "protect: the log has no decision that allowed: what the policy would refuse cannot show; "
            "log them as well with `decision_log = all`",
            file=sys.stderr,
        )
    if found.unsaid and not found.with_facts:
        print(
            "protect: no line says what else was known, such as roles and owners; "
            "log that as well with `decision_log_facts = yes`",
            file=sys.stderr,
        )
    print(as_json(found, policy, chosen.limit) if chosen.format == "json" else as_text(found, chosen.limit, logs))
    return int(_failed(found, chosen.fail_on))


def _failed(found: Findings, fail_on: str) -> bool:
    directions = {change.direction for change in found.changes.values()}
    match fail_on:
        case "none":
            return False
        case "any":
            return bool(directions or found.unsaid)
        case "changed":
            return bool(directions)
    return fail_on in directions


def replayed(lines: Iterable[Raw], policy: Policy, size: int = 0) -> Findings:
    """Decide every line anew. ``size``: how many bytes there are, 0 where that is not known."""
    from protect.replay.deciding import Replay
    from protect.replay.lines import parsed

    replay, found, bar = Replay(policy), Findings(), _Bar(size)
    try:
        for at, raw in enumerate(lines, start=1):
            if at % _EVERY == 0:
                bar.show(at, raw.read)
            if raw.data is not None and not raw.data.strip():
                continue
            found.lines += 1
            line = None if raw.data is None else parsed(raw.data)
            if line is None or line["outcome"] not in _ORDER:
                found.unreadable += 1
                continue
            found.add(raw, line, replay.answer(line))
    finally:
        bar.end()
    return found


class _Bar:
    """How far it has got, on a terminal."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._shown = False
        self._next = time.monotonic() + _FIRST if sys.stderr.isatty() else float("inf")

    def show(self, lines: int, read: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next, self._shown = now + _AGAIN, True
        part = min(read / self._size, 1.0) if self._size else 0.0
        bar = f" [{'=' * int(part * 30):<30}] {part:4.0%}" if self._size else ""
        print(f"\r{lines:,} lines{bar}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)


def as_text(found: Findings, limit: int, logs: Sequence[str] = ()) -> str:
    """Return the findings for a terminal."""
    lines: list[str] = []
    changes = found.sorted()
    for change in changes[:limit]:
        what = f"{change.action} on {change.resource}"
        if change.names:
            what += f" {_some(sorted(change.names))}"
        lines.append(f"{change.direction}: {what}: {change.was} -> {change.now}, {_times(change.count)}")
        lines.append(
            f"  first in line {change.number}{f' of {change.log}' if len(logs) > 1 else ''}: {_who(change.line)}"
        )
        without = "no rule allows it" if change.now == "denied" else "no rule decides it"
        lines.append(f"  by {change.rule}" if change.rule else f"  {without}")
    if len(changes) > limit:
        lines.append(f"… and {len(changes) - limit} more kinds of change; see them with --limit")
    unsaid = found.unsaid.most_common()
    for (action, resource, lacking), count in unsaid[:limit]:
        wanting = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "") or "enough"
        lines.append(f"cannot say: {action} on {resource}, {_times(count)}: the log does not tell {wanting}")
    if len(unsaid) > limit:
        lines.append(f"… and {len(unsaid) - limit} more kinds of lines that cannot be decided")
    changed = sum(change.count for change in changes)
    lines.append(
        f"{found.lines - found.unreadable} decisions: {found.same} the same, {changed} otherwise, "
        f"{sum(found.unsaid.values())} cannot be said"
    )
    return "\n".join(visible(line) for line in lines)


def _some(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names[:4])
    if len(names) <= 4:
        return quoted
    return f"{quoted} and {'over ' if len(names) == _MOST_NAMES else ''}{len(names) - 4} more"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _who(line: Line) -> str:
    who = ", ".join(f"{field} {line[field]}" for field in ("subject", "tenant") if line.get(field)) or "nobody known"
    request = f", request {line['request_id']}" if line.get("request_id") else ""
    return f"{who}, on {line.get('resource_id') or 'no id'}{request}"


def as_json(found: Findings, policy: Policy, limit: int) -> str:
    """Return the findings for other programs."""
    changes = found.sorted()
    document = {
        "revision": policy.revision,
        "decisions": found.lines - found.unreadable,
        "unreadable": found.unreadable,
        "same": found.same,
        "otherwise": sum(change.count for change in changes),
        "cannot_say": sum(found.unsaid.values()),
        "changes": [
            {
                "direction": change.direction,
                "was": change.was,
                "now": change.now,
                "action": change.action,
                "resource": change.resource,
                "properties": sorted(change.names),
                "rule": change.rule or None,
                "count": change.count,
                "first": {"log": change.log, "line": change.number, **change.line},
            }
            for change in changes[:limit]
        ],
        "more_changes": max(0, len(changes) - limit),
        "lacking": [
            {"action": action, "resource": resource, "facts": list(lacking), "count": count}
            for (action, resource, lacking), count in found.unsaid.most_common(limit)
        ],
    }
    return json.dumps(document, indent=2)
