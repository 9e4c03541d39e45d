"""The policies that a command line names: files, directories, saved policies, and what git has of them."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protect.errors import ConfigError

if TYPE_CHECKING:
    from protect.loading import Protection, Sources
    from protect.policy import Policy

GIT = "git:"
_SECONDS = 60


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say how protection files are meant."""
    group = command.add_argument_group("how Glance's protection files (.conf) are read")
    group.add_argument(
        "--protection-format",
        metavar="FORMAT",
        default="roles",
        help="`roles` (the default), or `policies`: names of rules",
    )
    group.add_argument("--policy-rules", metavar="FILE", help="the policy.yaml that those names refer to")


def protection(chosen: argparse.Namespace) -> Protection:
    """Return how protection files are read."""
    from protect.loading import Protection

    return Protection(chosen.protection_format, chosen.policy_rules)


def load(paths: Sequence[str], protection: Protection) -> Policy:
    """Load one policy from all of ``paths``; the shipped rules where there are none.

    ``git:REV:PATH`` is the file or directory as it is in that revision. Raises ConfigError for what is not there, and
    PolicyError for what cannot be used.
    """
    from protect import loading

    return loading.compile_sources(_sources(paths, protection))


def split(argument: str) -> list[str]:
    """Return the paths of one argument: one path, or several with commas between them."""
    return [argument] if Path(argument).exists() else [part for part in argument.split(",") if part]


def _sources(paths: Sequence[str], protection: Protection) -> Sources:
    from protect import loading

    if not paths:
        return loading.read(None, protection)
    files: list[tuple[str, bytes]] = []
    rules = None
    for path in paths:
        if path.startswith(GIT):
            files += _in_git(path)
            continue
        if not Path(path).exists():
            raise ConfigError(f"`{path}` does not exist; name a policy file, a directory of them, or git:REV:PATH")
        read = loading.read([path], protection)
        files += read.files
    read = loading.read([paths[0]], protection) if not paths[0].startswith(GIT) else loading.read(None, protection)
    rules = read.rules
    return loading.Sources(tuple(files), format=read.format, rules=rules)


def _in_git(named: str) -> Iterator[tuple[str, bytes]]:
    revision, _, path = named.removeprefix(GIT).partition(":")
    if not revision or not path or revision.startswith("-"):
        raise ConfigError(f"`{named}` cannot be understood; write git:REVISION:PATH, such as git:main:rules")
    prefix = f"{GIT}{revision}:"
    found = next(_listed(named, revision, [path.rstrip("/")]), None)
    if found is None:
        raise ConfigError(f"`{named}` does not exist; `git ls-tree {revision}` lists what does")
    kind, blob, name = found
    if kind == "blob":
        yield prefix + name, _git(named, ["cat-file", "blob", blob])
        return
    members = [one for one in _listed(named, revision, [path.rstrip("/") + "/"]) if one[2].endswith(".polar")]
    if not members:
        raise ConfigError(f"`{named}` has no `.polar` file; name files, or another directory")
    for _, blob, name in sorted(members, key=lambda one: one[2]):
        yield prefix + name, _git(named, ["cat-file", "blob", blob])


def _listed(named: str, revision: str, paths: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the object and the name of each entry. Links are left out: git has only where they lead."""
    listing = _git(named, ["ls-tree", "-z", revision, "--", *paths])
    for entry in filter(None, listing.split(b"\0")):
        described, _, name = entry.partition(b"\t")
        mode, kind, blob = described.decode().split()
        if mode != "120000":
            yield kind, blob, name.decode("utf-8", "surrogateescape")


def _git(named: str, arguments: Sequence[str]) -> bytes:
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
