"""`protect diff`: what a change of policy changes for whom, exactly, with an example of each difference."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from protect.cli import policies
from protect.cli.progress import Progress
from protect.errors import ConfigError
from protect.showing import visible

if TYPE_CHECKING:
    from protect.analysis import Comparison, Difference, Topic
    from protect.policy import Policy

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Compares two policies over all requests that there can be, and shows for each action and property where the new one
allows more (wider) or less (narrower), each with an example that both policies have decided. Silence is a proof: the
two decide every request alike. Where a proof is out of reach, that is said (cannot prove), and counts as a difference.

OLD and NEW are policy files (.polar, Glance's .conf, saved ones), directories, or git:REVISION:PATH; several with
commas between them are one policy. A .conf file alone leaves everything but properties to the API, so it is compared
with other policies by what they say of properties (--all compares all actions).
"""

EXAMPLES = """\
examples:
  protect diff git:main:rules rules
      what your working copy changes
  protect diff git:main:rules rules --fail-on wider --format markdown
      for a pull request: fails if anybody may do more than before
  protect diff git:HEAD:property-protections.conf property-protections.conf
      a protection file as it was, and as it is
  protect diff /etc/glance/property-protections.conf rules/properties.polar,rules/roles.polar,rules/images.polar
      a protection file against a policy in Polar
  protect diff rules rules,rules/variants/tenant_admin.polar --action download_image
      one action

"""

#: How long a comparison may take, in seconds.
PATIENCE = 300.0

FAIL_ON = ("any", "wider", "narrower", "none")
FORMATS = ("text", "json", "markdown")


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "diff",
        help="what a change of policy changes, with an example of each difference",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_status,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("old", metavar="OLD", help="the policy as it was")
    command.add_argument("new", metavar="NEW", help="the policy as it is to be")
    command.add_argument(
        "--fail-on", choices=FAIL_ON, default="any", help="which differences make the exit status 1 (default: any)"
    )
    command.add_argument("--format", choices=FORMATS, default="text", help="how the differences are shown")
    command.add_argument(
        "--action", metavar="NAME", action="append", default=[], help="only this action; may be repeated"
    )
    command.add_argument("--property", metavar="NAME", help="only what is said of properties of this name")
    command.add_argument(
        "--all", action="store_true", help="compare all actions, though one policy leaves them to the API"
    )
    command.add_argument(
        "--patience",
        metavar="SECONDS",
        type=float,
        default=PATIENCE,
        help=f"what is not compared after so long cannot be proven (default: {PATIENCE:.0f})",
    )
    formats = policies.add_options(command)
    formats.add_argument("--old-format", metavar="FORMAT", help="the format of OLD, where it is another one than NEW's")
    formats.add_argument("--new-format", metavar="FORMAT", help="the format of NEW")
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Compare, print, and return the exit status."""
    from protect.analysis import compare

    old, new = (
        policies.load(policies.split(path), policies.protection(chosen, format))
        for path, format in ((chosen.old, chosen.old_format), (chosen.new, chosen.new_format))
    )
    progress = Progress("questions compared")
    comparison = compare(
        old,
        new,
        everything=chosen.all,
        only=_chooser(chosen.action, old, new),
        name=chosen.property,
        seconds=chosen.patience,
        progress=progress,
    )
    progress.end()
    if not comparison.compared:
        raise ConfigError(
            "one of the two leaves these actions to the API, so nothing was compared; --all compares them"
        )
    write = {"text": as_text, "json": as_json, "markdown": as_markdown}[chosen.format]
    print(write(comparison, (chosen.old, old), (chosen.new, new)))
    return int(failed(comparison, chosen.fail_on))


def failed(comparison: Comparison, fail_on: str) -> bool:
    """Whether the comparison has what must not be. What could not be proven counts like what was found."""
    if fail_on == "none":
        return False
    return bool(comparison.unproven) or any(fail_on in ("any", one.direction) for one in comparison.differences)


def _chooser(actions: Sequence[str], old: Policy, new: Policy) -> Callable[[Topic], bool] | None:
    """Return what chooses the topics of these actions. Raises ConfigError for one that nobody knows."""
    from protect.lint.known import OPERATIONS, misspelt
    from protect.lint.known import actions as asked

    if not actions:
        return None
    known = {
        action
        for policy in (old, new)
        for action in (*(of for _, of in policy.table.actions), *policy.table.properties)
    }
    for action in actions:
        possible = {*known, *asked(), *OPERATIONS}
        if action not in possible:
            near = misspelt(action, possible)
            hint = f"did you mean `{near}`?" if near else "it would be compared with nothing, and pass"
            raise ConfigError(f"neither the policies nor the API know an action `{action}`; {hint}")
    # An action that neither mentions is decided like any other of those.
    wanted = {action if action in known else None for action in actions}
    return lambda topic: topic.action in wanted


_Named = tuple[str, "Policy"]


class Group:
    """Differences that are one to a reader: the same who and where, for several actions or names."""

    def __init__(self, first: Difference) -> None:
        self.first = first
        self.members = [first]

    def actions(self) -> list[str]:
        """Return the actions, in words."""
        names = [one.topic.action or "any other action" for one in self.members]
        return list(dict.fromkeys(names))

    def sentence(self) -> str:
        """Say the difference once for all of them."""
        from protect.analysis.sentences import SPELLED_OUT, joined

        more = sum(len(one.topic.names or ()) or 1 for one in self.members[1:] if one.topic.kind == "Property")
        actions = self.actions()
        if len(actions) > SPELLED_OUT + 1:
            actions = [*actions[:SPELLED_OUT], f"{len(actions) - SPELLED_OUT} others on"]
        told = self.first.sentence(joined(actions, "or"))
        if self.first.topic.kind == "Property" and more and len(actions) == 1:
            told += f" (and {more} more {'properties' if more > 1 else 'property'})"
        return told


def groups(differences: Iterable[Difference]) -> list[Group]:
    """Put together what differs alike: wider ones first."""
    found: dict[tuple[object, ...], Group] = {}
    for one in sorted(differences, key=lambda one: (one.direction != "wider", one.topic.names is not None)):
        topic = one.topic
        per_name = topic.kind == "Property"
        key = (
            one.direction, topic.kind, topic.attribute, one.before, one.after, one.who, one.where, one.oddities,
            topic.action if per_name else one.thing,
        )  # fmt: skip
        if key in found:
            found[key].members.append(one)
        else:
            found[key] = Group(one)
    return list(found.values())


def subject_matter(topic: Topic) -> str:
    """Say what a topic is about, in few words."""
    action = topic.action or "any other action"
    if topic.kind != "Property":
        return f"{action} on {topic.kind}"
    word = "the attribute" if topic.attribute else "the property"
    if topic.names is None:
        return f"{action} of any {'other attribute' if topic.attribute else 'property that is not mentioned'}"
    names = sorted(topic.names)
    listed = ", ".join(f'"{name}"' for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{action} of {word} {listed}" if names else f"{action} of a property that is called like the action"


def _summary(comparison: Comparison) -> str:
    count = dict.fromkeys(("wider", "narrower"), 0)
    for one in comparison.differences:
        count[one.direction] += 1
    parts = [f"{number} {direction}" for direction, number in count.items()]
    return f"{comparison.compared} questions compared: {', '.join(parts)}, {len(comparison.unproven)} not proven"


def _same(comparison: Comparison) -> str:
    if comparison.partial:
        return "no difference in what was compared"
    return "no difference: the two policies decide every request alike"


_ONLY_PROPERTIES = "one of the two leaves all else to the API: only what they say of properties was compared (--all)"


def as_text(comparison: Comparison, old: _Named, new: _Named) -> str:
    """Return the comparison for a terminal."""
    lines: list[str] = []
    for group in groups(comparison.differences):
        first = group.first
        lines.append(f"{first.direction}: {', '.join(group.actions())} on {first.topic.kind}")
        lines.append(f"  {group.sentence()}")
        lines.append(f"    before: {first.old.reason}")
        lines.append(f"    after:  {first.new.reason}")
        lines.append("")
    for topic, why in comparison.unproven:
        lines += [f"cannot prove: {subject_matter(topic)}", f"  {why}", ""]
    if comparison.properties_only:
        lines.append(_ONLY_PROPERTIES)
    if not comparison.differences and not comparison.unproven:
        lines.append(_same(comparison))
    lines.append(_summary(comparison))
    return "\n".join(visible(line) for line in lines)


def as_json(comparison: Comparison, old: _Named, new: _Named) -> str:
    """Return the comparison for other programs."""
    from protect.analysis.sentences import details

    document = {
        "old": {"path": old[0], "revision": old[1].revision},
        "new": {"path": new[0], "revision": new[1].revision},
        "compared": comparison.compared,
        "properties_only": comparison.properties_only,
        "partial": comparison.partial,
        "same": not comparison.differences and not comparison.unproven,
        "differences": [
            {
                "direction": one.direction,
                **_topic(one.topic),
                "before": one.before,
                "after": one.after,
                "sentence": one.sentence(),
                "reason_before": one.old.reason,
                "reason_after": one.new.reason,
                "example": details(one.query),
                "unlikely": list(one.oddities),
            }
            for one in comparison.differences
        ],
        "unproven": [{**_topic(topic), "why": why} for topic, why in comparison.unproven],
    }
    return json.dumps(document, indent=2, default=str)


def _topic(topic: Topic) -> dict[str, object]:
    names = sorted(topic.names) if topic.names is not None else None
    return {"resource": topic.kind, "action": topic.action, "names": names, "attribute": topic.attribute}


def as_markdown(comparison: Comparison, old: _Named, new: _Named) -> str:
    """Return the comparison for a pull request."""
    lines = [f"### Policy: {_escaped(old[0])} → {_escaped(new[0])}", ""]
    if not comparison.differences and not comparison.unproven:
        lines.append(f"{_same(comparison).capitalize()}.")
        return "\n".join(lines)
    lines += ["| | action | on | example |", "|---|---|---|---|", *_rows(comparison)]
    lines += ["", f"{_summary(comparison)}."]
    if comparison.properties_only:
        lines.append(f"{_ONLY_PROPERTIES}.")
    return "\n".join(lines)


def _rows(comparison: Comparison) -> Iterator[str]:
    for group in groups(comparison.differences):
        actions = ", ".join(f"`{_code(action)}`" for action in group.actions())
        told = _escaped(group.sentence())
        yield f"| **{group.first.direction}** | {actions} | {group.first.topic.kind} | {told} |"
    for topic, why in comparison.unproven:
        yield f"| **cannot prove** | {_escaped(topic.action or 'any other')} | {topic.kind} | {_escaped(why)} |"


def _escaped(text: str) -> str:
    """Write text so that Markdown shows it as it is."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|!~@])", r"\\\1", plain)


def _code(text: str) -> str:
    return visible(text).replace("`", "'").replace("|", "\\|")
