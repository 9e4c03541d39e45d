"""`protect completion`: what a shell needs to complete commands, options and paths."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from protect.errors import ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Writes the completion of commands, options and file names for a shell to standard output.
"""

EXAMPLES = """\
examples:
  protect completion bash >~/.local/share/bash-completion/completions/protect
  protect completion zsh >~/.zfunc/_protect
      with `fpath+=(~/.zfunc)` before `compinit` in ~/.zshrc
  protect completion fish >~/.config/fish/completions/protect.fish

"""

SHELLS = ("bash", "zsh", "fish")
#: Arguments that name files or folders, as the help calls them.
_PATHS = frozenset({"PATH", "FILE", "FROM", "OLD", "NEW", "LOG", "POLICY", "INI", "DIR", "FOLDER"})


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "completion",
        help="completion for bash, zsh and fish",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_status,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=SHELLS)
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Write the completion, and return the exit status."""
    try:
        import shtab
    except ImportError:
        raise ConfigError(
            "completion needs shtab, which is not installed; from a checkout: pip install '.[completion]'"
        ) from None
    from protect.cli import parser

    whole = parser()
    _mark_paths(whole, shtab.FILE)
    print(shtab.complete(whole, shell=chosen.shell))
    return 0


def _mark_paths(parser: argparse.ArgumentParser, files: object) -> None:
    """Tell which arguments are files."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark_paths(command, files)
        elif action.metavar in _PATHS and action.choices is None:
            action.complete = files  # type: ignore[attr-defined]
