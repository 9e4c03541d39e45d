"""`protect explain`: one query to the decision, the questions that led to it, and what would have to be otherwise."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from protect.cli import policies, questions
from protect.showing import visible

if TYPE_CHECKING:
    from protect.values import Explanation, Query

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = f"""\
Decides one query, and says why: the questions that the policy asked with their answers, the rule that decided with its
file and line, and for a denial the rules that came nearest with what would have to be otherwise.

{questions.WORDS}"""

EXAMPLES = """\
examples:
  protect explain --subject id=u,tenant=red,roles=member --action download_image \\
      --resource image:1 owner=red visibility=private
      by the shipped rules
  protect explain rules my.polar --subject roles=member,tenant=red --action update \\
      --resource property:kernel_id value=x image.owner=red image.visibility=private
      a property of an image, by a policy of several files
  protect explain rules - < evaluation.json
      an AuthZEN evaluation

exit status:
  0  allowed
  1  denied
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "explain",
        help="why one query is decided as it is, question by question",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(command)
    command.add_argument("--format", choices=("text", "json"), default="text", help="how it is shown")
    command.set_defaults(run=run)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the policy and the query."""
    command.add_argument(
        "paths", metavar="PATH", nargs="*", help="the policy's files or directories (without: the shipped rules); `-`"
    )
    questions.add_options(command)
    policies.add_options(command)


def run(chosen: argparse.Namespace) -> int:
    """Decide, print, and return the exit status."""
    query, policy = questions.asked(chosen)
    explanation = policy.explain(query)
    print(as_json(query, explanation) if chosen.format == "json" else as_text(query, explanation))
    return 0 if explanation.decision.allowed else 1


def as_text(query: Query, explanation: Explanation) -> str:
    """Return the explanation for a terminal. What comes from files and arguments cannot drive it."""
    lines = told(explanation)
    if explanation.rule is not None:
        lines.insert(1, f"  {visible(explanation.rule.head)}")
    message = _not_given(query) if explanation.decision.error else None
    if message:
        lines.append(f"  {visible(message)}")
    return "\n".join(lines)


def told(explanation: Explanation) -> list[str]:
    """Return the lines of an explanation; text of somebody else's makes none of its own."""
    decision = explanation.decision
    lines = [visible(f"{'allowed' if decision.allowed else 'denied'}: {decision.reason}")]
    lines += [f"  {visible(str(step))}" for step in explanation.steps]
    for near in explanation.nearest:
        lines.append(f"  {visible(str(near.rule or 'a rule'))} would allow it if:")
        lines += [f"    {visible(str(change))}" for change in near.changes]
    return lines


def as_json(query: Query, explanation: Explanation) -> str:
    """Return the explanation for other programs: as the decision endpoint's `/v1/explain` says it."""
    from protect.authzen.answers import answer

    rule = explanation.rule
    document = {
        **answer(query, explanation.decision),
        "steps": [{"question": step.question, "answer": step.answer} for step in explanation.steps],
        "rule": None if rule is None else {"file": rule.file, "line": rule.line, "head": rule.head},
        "nearest": [
            {
                "rule": None if near.rule is None else {"file": near.rule.file, "line": near.rule.line},
                "changes": [{"question": change.question, "answer": change.answer} for change in near.changes],
            }
            for near in explanation.nearest
        ],
    }
    return json.dumps(document, indent=2)


def _not_given(query: Query) -> str | None:
    from protect.authzen.images import not_given

    return not_given(query.resource)
