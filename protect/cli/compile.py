"""`protect compile`: a policy saved as data, to be loaded where there is no Oso."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from protect.cli import policies
from protect.cli.writing import write

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Compiles a policy and saves its decision graphs as one file of JSON, which is loaded like any policy file: faster, and
where Oso has no build. It holds no rule text but the heads, for explanations.
"""

EXAMPLES = """\
examples:
  protect compile rules my.polar -o policy.json
  protect diff rules,my.polar policy.json
      proves that nothing was lost

exit status:
  0  saved
  1  saved, but for what was too large to be explored: that is denied when loaded
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "compile",
        help="a policy saved as data, for where there is no Oso",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", metavar="PATH", nargs="*", help="the policy (without: the shipped rules)")
    command.add_argument("--output", "-o", metavar="FILE", required=True, help="where to save it; `-`: standard output")
    policies.add_options(command)
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Compile, save, and return the exit status: 1 where a part of the policy could not be explored and is lost."""
    from protect.policy.graph import Leaf, every
    from protect.policy.saved import save

    policy = policies.load(chosen.paths, policies.protection(chosen))
    data = save(policy)
    if chosen.output == "-":
        sys.stdout.buffer.write(data + b"\n")
    else:
        write(chosen.output, data)
    roots = (root for graphs in policy.table.all() for root in graphs.roots())
    unseen = sum(isinstance(node, Leaf) and not node.explored for node in every(*roots))
    print(f"protect: saved revision {policy.revision}, {len(data)} bytes", file=sys.stderr)
    if unseen:
        print("protect: the policy is too large to be explored: what was not is denied when loaded", file=sys.stderr)
    return int(bool(unseen))
