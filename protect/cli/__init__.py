"""The console script `protect`: one module for each command, and the exit status that each error means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from protect.errors import ProtectError

DONE, DIFFERENCE, UNUSABLE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130

#: Modules of commands, in the order of the help. Each is called as its command; one with several has others as well.
MODULES = (
    "install",
    "serve",
    "lint",
    "test",
    "diff",
    "explain",
    "decide",
    "compile",
    "matrix",
    "convert",
    "replay",
    "lsp",
    "completion",
)

EXIT_STATUS = """\
exit status:
  0  done, or nothing to do
  1  findings or a difference: `--dry-run` would change something, or the answer was no
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; None takes the arguments of the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = parser(given[0] if given else "").parse_args(given)
    try:
        return int(chosen.run(chosen))
    except (ProtectError, OSError) as error:
        print(f"protect: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        print(f"protect: internal error: {type(error).__name__}: {error}", file=sys.stderr)
        return INTERNAL


def parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of the whole command line; where a module is called as ``command`` is, of that one alone.

    Importing what the other commands need would take longer than some commands run.
    """
    top = argparse.ArgumentParser(
        prog="protect",
        description="Policy and property protection in front of an image API.",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (command,) if command in MODULES else MODULES:
        import_module(f"protect.cli.{module}").add_commands(commands, EXIT_STATUS)
    return top
