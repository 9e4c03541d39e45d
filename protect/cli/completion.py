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
_PATHS = frozenset({"PATH", "FILE", "FILE|URL", "FROM", "OLD", "NEW", "LOG", "POLICY", "INI"})


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
    _prepare(whole, shtab.FILE)
    print(shtab.complete(whole, shell=chosen.shell))
    return 0


def _prepare(parser: argparse.ArgumentParser, files: object) -> None:
    """Tell what arguments can be. The parser is for completion alone: it would refuse other values now."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {one.dest: one.help for one in action._get_subactions()}
            for name, command in action.choices.items():
                # A shell has one line for each.
                command.description = said[name]
                _prepare(command, files)
        elif action.choices is None:
            action.choices = _values(action)
            if action.metavar in _PATHS:
                action.complete = files  # type: ignore[attr-defined]


def _values(action: argparse.Action) -> list[str] | None:
    """Return the values of an argument that are known; None for anything."""
    from protect.analysis.topics import OPERATIONS
    from protect.lint.catalogue import checks
    from protect.lint.known import actions
    from protect.protections.sections import Format

    codes = sorted(checks())
    if "--action" in action.option_strings:
        return sorted({*actions(), *OPERATIONS})
    match action.metavar:
        case "CODE":
            return codes
        case "CODES":
            return ["ALL", *sorted({code[:2] for code in codes}), *codes]
        case "FORMAT":
            return [str(one) for one in Format]
    return None
