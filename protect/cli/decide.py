"""`protect decide`: one query to one line of JSON, for scripts."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from protect.cli import explain, questions

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = f"""\
Decides one query and prints the answer as one line of JSON, as AuthZEN has it. `protect explain` says why.

{questions.WORDS}"""

EXAMPLES = """\
example:
  protect decide --subject id=u,tenant=red,roles=member --action download_image \\
      --resource image:1 owner=red visibility=private

exit status:
  0  allowed
  1  denied
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "decide",
        help="one query to one line of JSON, for scripts",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explain.add_arguments(command)
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Decide, print, and return the exit status."""
    from protect.authzen.answers import answer

    query, policy = questions.asked(chosen)
    decision = policy.decide(query)
    print(json.dumps(answer(query, decision)))
    return 0 if decision.allowed else 1
