"""The policies that a command line names: files, directories, saved policies, and what git has of them."""

from __future__ import annotations

import argparse
import posixpath
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from protect.errors import ConfigError
from protect.loading import PROTECTION, Protection

if TYPE_CHECKING:
    from protect.loading import Sources
    from protect.policy import Policy

GIT = "git:"
_SECONDS = 60

#: How many links are followed on the way to one file.
_MOST_LINKS = 20


@dataclass(frozen=True, slots=True)
class Unsaid(Protection):
    """Nobody said how protection files are meant: `load` looks at each for what it says itself."""


def add_options(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that say how protection files are meant; return their group."""
    group = command.add_argument_group("how Glance's protection files (.conf) are read")
    group.add_argument(
        "--protection-format",
        metavar="FORMAT",
        help="`roles`, or `policies`: names of rules (default: what the file says, `# protect: "
        "protection-format=policies` or a name like `x-policies.conf`, else roles)",
    )
    group.add_argument("--policy-rules", metavar="FILE", help="the policy.yaml that those names refer to")
    return group


def protection(chosen: argparse.Namespace, format: str | None = None) -> Protection:
    """Return how protection files are read: as ``format`` says, else as the options do."""
    said = format or chosen.protection_format
    return Protection(said, chosen.policy_rules) if said else Unsaid(rules=chosen.policy_rules)


def load(paths: Sequence[str], protection: Protection) -> Policy:
    """Load one policy from all of ``paths``; the shipped rules where there are none.

    ``git:REV:PATH`` is the file or directory as it is in that revision. Raises ConfigError for what is not there, and
    PolicyError for what cannot be used.
    """
    from protect import loading

    return loading.compile_sources(sources(paths, protection))


def split(argument: str) -> list[str]:
    """Return the paths of one argument: one path, or several with commas between them."""
    if argument and Path(argument).exists():
        return [argument]
    return argument.split(",")


def sources(paths: Sequence[str], protection: Protection) -> Sources:
    """Return the files that ``load`` would make a policy of. Raises ConfigError and PolicyError."""
    from protect import loading

    if not all(paths):
        given = f" in `{','.join(paths)}`" if len(paths) > 1 else ""
        raise ConfigError(f"an empty path{given} names no policy; name a file, a directory, or git:REV:PATH")
    files: list[tuple[str, bytes]] = []
    for path in paths:
        if path.startswith(GIT):
            files += in_git(path)
            continue
        if not Path(path).exists():
            raise ConfigError(f"`{path}` does not exist; name a policy file, a directory of them, or git:REV:PATH")
        files += loading.read([path], protection).files
    if isinstance(protection, Unsaid):
        protection = Protection(_format_of(files), protection.rules)
    # The format is checked there, and the rules read.
    shipped = loading.read(None, protection)
    return loading.Sources(tuple(files) if paths else shipped.files, format=shipped.format, rules=shipped.rules)


def _format_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Return how protection files are meant, by what they say and how they are called."""
    found: dict[str, str] = {}
    for name, data in files:
        if name.endswith(PROTECTION):
            from protect.lint.sections import format_of
            from protect.lint.texts import Text

            found.setdefault(format_of(Text(name, data.decode("utf-8", "replace"))), name)
    if len(found) > 1:
        said = " and ".join(f"`{name}` is in the format {format}" for format, name in found.items())
        raise ConfigError(f"{said}; one policy has one format: name it with --protection-format")
    return next(iter(found), Protection().format)


# --- git ---


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a tree of git has under one name. ``mode`` tells links and submodules from files and directories."""

    mode: str
    object: str

    @property
    def kind(self) -> str:
        return {"120000": "link", "160000": "submodule", "040000": "directory"}.get(self.mode, "file")


def in_git(named: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file that ``git:REV:PATH`` means. Raises ConfigError.

    PATH is seen from where one is; of a directory, the ``.polar`` files directly in it are meant. Links are followed
    as far as the repository goes.
    """
    revision, _, path = named.removeprefix(GIT).partition(":")
    if not revision or not path or revision.startswith("-") or path.startswith("/"):
        raise ConfigError(f"`{named}` cannot be understood; write git:REVISION:PATH, such as git:main:rules")
    tree = _Tree(named, revision)
    found = tree.find(path)
    shown = f"{GIT}{revision}:{posixpath.normpath(path)}"
    if found.kind == "file":
        yield shown, tree.content(found)
        return
    if found.kind == "submodule":
        raise ConfigError(f"`{named}` is a repository of its own; go there, and name its files")
    members = sorted(name for name in tree.listed(found.object) if name.endswith(".polar"))
    if not members:
        raise ConfigError(f"`{named}` has no `.polar` file; name files, or another directory")
    for name in members:
        member = tree.find(posixpath.join(path, name))
        if member.kind != "file":
            raise ConfigError(f"`{name}` in `{named}` is a {member.kind} and no file; name the files")
        yield f"{GIT}{revision}:{posixpath.normpath(posixpath.join(path, name))}", tree.content(member)


class _Tree:
    """All files of one revision."""

    def __init__(self, named: str, revision: str) -> None:
        self._named = named
        self._revision = revision
        said = self._git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{tree}}")
        self._root = _Entry("040000", said.decode().split()[-1])
        self._here = self._git("rev-parse", "--show-prefix").decode("utf-8", "surrogateescape").rstrip("\n")
        self._known: dict[str, dict[str, _Entry]] = {}

    def find(self, path: str) -> _Entry:
        """Return what is at a path that is seen from the working directory, links followed."""
        waiting = [part for part in posixpath.join(self._here, path).split("/") if part not in ("", ".")]
        above: list[_Entry] = []
        current, links = self._root, 0
        while waiting:
            part = waiting.pop(0)
            if part == "..":
                if not above:
                    raise ConfigError(f"`{self._named}` leads out of the repository; name files that are in it")
                current = above.pop()
                continue
            found = self.listed(current.object).get(part) if current.kind == "directory" else None
            if found is None:
                raise ConfigError(f"`{self._named}` does not exist; `git ls-tree {self._revision}` lists what does")
            if found.kind == "link":
                links += 1
                target = self.content(found).decode("utf-8", "surrogateescape")
                if target.startswith("/") or links > _MOST_LINKS:
                    raise ConfigError(f"`{part}` in `{self._named}` is a link to `{target}`; name the file")
                waiting[:0] = [one for one in target.split("/") if one not in ("", ".")]
                continue
            above.append(current)
            current = found
        return current

    def listed(self, tree: str) -> dict[str, _Entry]:
        """Return the entries of a tree by name."""
        if tree not in self._known:
            entries = {}
            for line in filter(None, self._git("ls-tree", "-z", "--full-tree", tree).split(b"\0")):
                described, _, name = line.partition(b"\t")
                mode, _, blob = described.decode().split()
                entries[name.decode("utf-8", "surrogateescape")] = _Entry(mode, blob)
            self._known[tree] = entries
        return self._known[tree]

    def content(self, entry: _Entry) -> bytes:
        """Return the content of a file, or where a link leads."""
        return self._git("cat-file", "blob", entry.object)

    def _git(self, *arguments: str) -> bytes:
        named = self._named
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, check=False, timeout=_SECONDS)
        except FileNotFoundError:
            raise ConfigError(f"`{named}` needs git, which is not installed") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"`{named}` cannot be read: git does not answer") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ConfigError(f"`{named}` cannot be read: {said[0] if said else 'git refuses'}")
        return done.stdout
