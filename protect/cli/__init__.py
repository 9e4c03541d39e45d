"""The console script `protect`: one module for each command, and the exit status that each error means."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from protect.cli import streams
from protect.errors import ProtectError
from protect.showing import visible
from protect.spelling import nearest

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
_ELSEWHERE: Mapping[str, str] = {"uninstall": "install"}

#: What the commands are for, in the order in which one comes to need them, each as its own parser says it: importing
#: all of them takes longer than to read this.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "before a policy goes live": {
        "lint": "find mistakes in policy files, and what grants more than it looks",
        "test": "your own expectations of a policy, and proofs over all requests",
        "diff": "what a change of policy changes, with an example of each difference",
        "matrix": "who may do what: a table, a page, a golden file",
        "explain": "why one query is decided as it is, question by question",
        "replay": "a decision log against another policy",
    },
    "put it to work": {
        "install": "put the filter into Glance's pipeline file",
        "uninstall": "take it out again",
        "serve": "answer decision queries over HTTP",
        "decide": "one query to one line of JSON, for scripts",
    },
    "from one form into another": {
        "convert": "a policy in another language, proven to decide alike",
        "compile": "a policy saved as data, for where there is no Oso",
    },
    "for editors and shells": {
        "lsp": "language server, for editors",
        "completion": "completion for bash, zsh and fish",
    },
}

EXIT_STATUS = """\
exit status:
  0  done, or nothing to do
  1  findings, failures or a difference
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""


#: After how many new objects Python looks for garbage; by itself it does so after 700.
_GARBAGE = 100_000


#: Commands that go on until they are told to end.
_LASTING = ("serve", "lsp")


def console() -> NoReturn:
    """Run one command in a process of its own, and end that."""
    if sys.argv[1:2] not in [[name] for name in _LASTING]:
        # A command keeps most of what it makes, and then ends: looking for garbage took a tenth of its time.
        gc.set_threshold(_GARBAGE)
    status = main()
    gc.freeze()
    sys.exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; None takes the arguments of the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    streams.prepare()
    try:
        status = _run(given)
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


def _run(given: Sequence[str]) -> int:
    match given:
        case []:
            print(overview(), end="", file=sys.stderr)
            return UNUSABLE
        case ["-h" | "--help", *_]:
            print(overview(), end="")
            return DONE
        case ["--version", *_]:
            print(_version())
            return DONE
    chosen = parser(given[0]).parse_args(given)
    return int(chosen.run(chosen))


class Parser(argparse.ArgumentParser):
    """A parser whose complaints drive no terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


class _Top(Parser):
    """The parser of the whole command line: its help lists the commands in groups."""

    def format_help(self) -> str:
        return overview()


def parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of the whole command line, or of ``command`` alone.

    Importing what the other commands need would take longer than some commands run. Exits for an unknown command.
    """
    top = _Top(prog="protect", usage="protect COMMAND …")
    known = [name for group in GROUPS.values() for name in group]
    if command and command not in known:
        near = nearest(command, known)
        top.error(
            f"`{command}` is no command; " + (f"did you mean `{near}`?" if near else f"known: {', '.join(known)}")
        )
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, prog="protect", parser_class=Parser
    )
    for module in (_ELSEWHERE.get(command, command),) if command else MODULES:
        import_module(f"protect.cli.{module}").add_commands(commands, EXIT_STATUS)
    return top


def overview() -> str:
    """Return what there is, in groups, and what the exit status tells."""
    lines = ["usage: protect COMMAND …", "", "Policy and property protection in front of an image API."]
    for title, said in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<11} {what}" for name, what in said.items())]
    lines += ["", "`protect COMMAND --help` explains each, with examples; `protect --version` says which this is."]
    return "\n".join(lines) + f"\n\n{EXIT_STATUS}"


def _version() -> str:
    # Imported here, as few ask.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"protect {version('protect')}"
    except PackageNotFoundError:
        return "protect not installed"
