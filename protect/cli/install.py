"""`protect install` and `protect uninstall`: the filter into an operator's pipeline file, and out again."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from protect import loading, paste_ini
from protect.enforcement import Mode
from protect.errors import ConfigError
from protect.paste_ini import Result
from protect.settings import DecisionLog, Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

INSTALL = """\
Puts the filter into Glance's pipeline file: the word `protect` behind the filter that authenticates, in every
pipeline that has one, and a section [filter:protect] at the end. The change is shown as a diff before it is made;
the file as it was is kept beside it; every other line stays as it is. Run it again and nothing more happens.

Install protect into the Python environment that Glance runs in first, and restart Glance afterwards.
"""

STATUS = """\
exit status:
  0  done, or nothing to do
  1  `--dry-run` would change something, or the answer was no
  2  wrong usage, or input that cannot be read or understood
  3  an error in protect itself
"""

INSTALL_EXAMPLES = """\
examples:
  protect install --paste /etc/glance/glance-api-paste.ini --dry-run
      shows what would change
  protect install --paste /etc/glance/glance-api-paste.ini --mode shadow
      decides and logs, and changes nothing yet: a way to try it on real traffic
  protect install --paste /etc/glance/glance-api-paste.ini --policy /etc/glance/protect --yes
      your own policy instead of the shipped rules, without a question

"""

UNINSTALL = """\
Takes out again what `protect install` put in: the word from the pipelines, and the section. A section that was
written by hand stays. The change is shown as a diff before it is made; the file as it was is kept beside it.
"""

UNINSTALL_EXAMPLES = """\
example:
  protect uninstall --paste /etc/glance/glance-api-paste.ini

"""


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add both commands to the command line."""
    install = _command(commands, "install", "put the filter into Glance's pipeline file", INSTALL)
    install.epilog = INSTALL_EXAMPLES + STATUS
    section = install.add_argument_group("what the section [filter:protect] says")
    section.add_argument(
        "--policy",
        metavar="PATH",
        action="append",
        default=[],
        help="a policy file, or a directory of them; may be given again (without: the shipped rules)",
    )
    section.add_argument("--mode", choices=list(Mode), help="`shadow` decides and logs, and changes nothing")
    section.add_argument("--reload", metavar="SECONDS", help="time between looks at the policy's files; 0: never")
    section.add_argument("--image-size-cap", metavar="BYTES", help="the most that one upload may have")
    section.add_argument("--decision-log", choices=list(DecisionLog), help="which decisions are logged")
    section.add_argument(
        "--decision-log-facts",
        choices=("yes", "no"),
        help="`yes` logs what it takes to make each decision again, for `protect replay`",
    )
    install.add_argument(
        "--after",
        metavar="FILTER",
        default="",
        help="the filter that verifies who asks, where it is not Keystone's (`authtoken`); it has to set "
        "`keystone.token_auth` in the WSGI environment",
    )
    install.set_defaults(run=run_install)
    uninstall = _command(commands, "uninstall", "take it out again", UNINSTALL)
    uninstall.epilog = UNINSTALL_EXAMPLES + STATUS
    uninstall.set_defaults(run=run_uninstall)


def _command(commands: Commands, name: str, help: str, description: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=help, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--paste", metavar="FILE", required=True, help="the pipeline file, glance-api-paste.ini")
    asking = command.add_mutually_exclusive_group()
    asking.add_argument("--yes", "-y", action="store_true", help="do not ask")
    asking.add_argument("--dry-run", "-n", action="store_true", help="only show the difference; status 1 if any")
    return command


def run_install(chosen: argparse.Namespace) -> int:
    """Put the filter in; returns the exit status."""
    options = dict(_options(chosen))
    settings = Settings.from_paste({}, {name: value.replace("%%", "%") for name, value in options.items()})
    # Glance would not start with a broken policy: better to hear of it now.
    loading.load(settings.policy)
    return _change(chosen, lambda text, file: paste_ini.install(text, file, options, chosen.after))


def run_uninstall(chosen: argparse.Namespace) -> int:
    """Take the filter out; returns the exit status."""
    return _change(chosen, paste_ini.uninstall)


def _options(chosen: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the options of the section, as they are written in it."""
    if chosen.policy:
        # Glance's working directory is not this one.
        yield "policy", " ".join(_written(os.path.abspath(path)) for path in chosen.policy)
    for name in ("mode", "reload", "image_size_cap", "decision_log", "decision_log_facts"):
        value = getattr(chosen, name)
        if value is not None:
            yield name, _one_line(str(value)).replace("%", "%%")


def _written(path: str) -> str:
    # `%` begins a reference to another option in an ini file; `%%` is the sign itself.
    return shlex.quote(_one_line(path)).replace("%", "%%")


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ConfigError(f"`{ascii(value)[1:-1]}` cannot stand in an ini file; accepted: text of one line")
    return value


def _change(chosen: argparse.Namespace, edit: Callable[[str, str], Result]) -> int:
    # The file itself: replacing a link would leave the file that it leads to as it was.
    path = Path(chosen.paste).resolve()
    before = _read(path)
    result = edit(before, chosen.paste)
    for note in result.notes:
        print(note, file=sys.stderr)
    if result.text == before:
        print(f"{chosen.paste}: nothing to do")
        return 0
    print(_difference(chosen.paste, before, result.text), end="", flush=True)
    if chosen.dry_run:
        return 1
    if not chosen.yes and not _confirmed(chosen.paste):
        print(f"{chosen.paste}: not changed")
        return 1
    kept = _replace(path, before, result.text)
    print(f"{chosen.paste}: changed; as it was: {kept}")
    print("restart Glance to make it effective")
    return 0


def _read(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"`{path}` is not a file; accepted: Glance's glance-api-paste.ini")
    # Whatever the encoding of a comment: every byte comes back as it was.
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _difference(name: str, before: str, after: str) -> str:
    def lines(text: str) -> list[str]:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return [line.removesuffix("\r") for line in shown.removesuffix("\n").split("\n")]

    difference = difflib.unified_diff(lines(before), lines(after), name, f"{name} (changed)", lineterm="")
    return "".join(f"{line}\n" for line in difference)


def _confirmed(name: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked; `--yes` changes the file, `--dry-run` only shows how")
    try:
        return input(f"change {name}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _replace(path: Path, before: str, after: str) -> Path:
    """Replace the file at once, with its mode and owner, and return where the old one is kept."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after.encode("utf-8", "surrogateescape"))
            _dress(file.fileno(), name, path)
            os.fsync(file.fileno())
        if _read(path) != before:
            raise ConfigError(f"`{path}` was changed by somebody else meanwhile; run this again")
        kept = _keep(path)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return kept


def _dress(handle: int, name: str, like: Path) -> None:
    """Give a new file the owner, mode and extended attributes of another."""
    wanted, own = like.stat(), os.fstat(handle)
    if (wanted.st_uid, wanted.st_gid) != (own.st_uid, own.st_gid):
        try:
            os.fchown(handle, wanted.st_uid, wanted.st_gid)
        except PermissionError:
            raise ConfigError(
                f"`{like}` belongs to user {wanted.st_uid}, group {wanted.st_gid}, and only they or root can replace it"
            ) from None
    # After the owner, because a change of owner clears bits of the mode. The times are the new file's own.
    shutil.copystat(like, name)
    os.utime(handle)


def _keep(path: Path) -> Path:
    """Copy the file to the first free name beside it, and return that."""
    number = 1
    while True:
        kept = path.with_name(f"{path.name}.before-protect.{number}")
        try:
            handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(path.read_bytes())
            _dress(file.fileno(), str(kept), path)
            os.fsync(file.fileno())
        return kept
