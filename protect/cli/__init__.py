"""The console script `protect`: one module for each command, and the exit status that each error means."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from protect.cli import streams
from protect.errors import ProtectError
from protect.showing import visible

#: ``CUT_OFF``: whoever read the output stopped, as after `| head -1`; shells say it so of every program.
DONE, DIFFERENCE, UNUSABLE, INTERNAL, INTERRUPTED, CUT_OFF = 0, 1, 2, 3, 130, 141

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

#: What the commands are for, in the order in which one comes to need them.
GROUPS: Mapping[str, Sequence[str]] = {
    "before a policy goes live": ("lint", "test", "diff", "matrix", "explain", "replay"),
    "put it to work": ("install", "uninstall", "serve", "decide"),
    "from one form into another": ("convert", "compile"),
    "for editors and shells": ("lsp", "completion"),
}

EXIT_STATUS = """\
exit status:
  0  done, or nothing to do
  1  findings, failures or a difference
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; None takes the arguments of the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    streams.prepare()
    try:
        if not given:
            parser().print_help(sys.stderr)
            return UNUSABLE
        chosen = parser(given[0]).parse_args(given)
        status = int(chosen.run(chosen))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        streams.abandon()
        return CUT_OFF
    except (ProtectError, OSError) as error:
        print(f"protect: {streams.told(error)}", file=sys.stderr)
        if isinstance(error, OSError) and error.filename is None:
            streams.abandon()
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        print(f"protect: internal error: {type(error).__name__}: {visible(str(error))}", file=sys.stderr)
        return INTERNAL


class Parser(argparse.ArgumentParser):
    """A parser whose complaints drive no terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


class _Top(Parser):
    """The parser of the whole command line: its help lists the commands in groups."""

    overview = ""

    def format_help(self) -> str:
        return f"usage: protect COMMAND …\n\n{self.overview}\n\n{EXIT_STATUS}"


def parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of the whole command line; where a module is called as ``command`` is, of that one alone.

    Importing what the other commands need would take longer than some commands run.
    """
    top = _Top(
        prog="protect",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module in (command,) if command in MODULES else MODULES:
        import_module(f"protect.cli.{module}").add_commands(commands, EXIT_STATUS)
    top.overview = _overview({one.dest: one.help or "" for one in commands._get_subactions()})
    return top


def _overview(said: Mapping[str, str]) -> str:
    """Return what there is, in groups: each command with what its own parser says of it."""
    grouped = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "and": tuple(name for name in said if name not in grouped)}
    lines = ["Policy and property protection in front of an image API."]
    for title, names in groups.items():
        if known := [name for name in names if name in said]:
            lines += ["", f"{title}:", *(f"  {name:<11} {said[name]}" for name in known)]
    return "\n".join([*lines, "", "`protect COMMAND --help` explains each, with examples."])
