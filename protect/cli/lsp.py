"""`protect lsp`: the language server, for editors."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from protect.errors import ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Speaks the Language Server Protocol over standard input and output. Editors start it by themselves: it shows what
`protect lint` finds while a policy is written, with its fixes, says what facts, actions and findings mean, leads to the
rules that are called, and completes facts, actions and rules. docs/editor.md shows how to set editors up.
"""


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "lsp",
        help="language server, for editors",
        description=DESCRIPTION,
        epilog=exit_status,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--stdio", action="store_true", help="the only way; editors may say it")
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Serve until the editor ends it, and return the exit status."""
    try:
        from protect.lsp.server import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise ConfigError(
            "the language server needs pygls, which is not installed; from a checkout: pip install '.[lsp]'"
        ) from None
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    status = serve()
    sys.stderr.flush()
    # Whatever is still being checked would be waited for.
    os._exit(status)
