"""The decision graphs of a policy that is checked, made by the compiler, and the memory of what was found out before.

What is remembered serves lint alone: no service ever decides by them. It lies in the user's own cache folder, is used
only where that folder and the file belong to this user and nobody else may write them, and is found under a hash of
the texts and of the compiler itself; what is not what was stored does not load. It is data, read as a saved policy is:
nothing in it is run.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from protect.errors import PolicyError
from protect.polar.explored import Explored
from protect.policy.policy import Policy
from protect.policy.saved import read_saved, save

#: How many files are kept: for each policy its graphs, and what its rules could be spared.
MOST_FILES: Final = 400

#: A saved policy is read before anything is known of it.
MOST_BYTES: Final = 32 * 1024 * 1024


#: How long the exploring of one policy may take, in seconds. What is not explored then is not judged.
PATIENCE: Final = 1.0


class NoCompiler(Exception):
    """Oso is not installed."""


def cache_folder() -> Path | None:
    """Return the folder for remembered graphs, made if it is not there; None where there is no safe one."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    home = Path(base) if base.startswith("/") else Path(os.path.expanduser("~")) / ".cache"
    if not home.is_absolute():
        return None
    folder = home / "protect" / "lint"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _own(folder.lstat(), stat.S_ISDIR) and _own(folder.parent.lstat(), stat.S_ISDIR) else None
    except OSError:
        return None


def _own(info: os.stat_result, is_kind: object) -> bool:
    kind = stat.S_ISDIR if is_kind is stat.S_ISDIR else stat.S_ISREG
    return kind(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def policy(
    files: Sequence[tuple[str, str]],
    folder: Path | None,
    patience: float = PATIENCE,
    explored: Explored | None = None,
) -> tuple[Policy, bool]:
    """Return the policy of ``(file name, text)`` pairs, remembered in ``folder`` or compiled.

    With it comes whether all of it was looked at, as far as time goes: compiling stops after ``patience`` seconds.
    ``explored`` are graphs that policies have in common. Raises PolicyError for what cannot be compiled, and
    NoCompiler.
    """
    memory = Memory(folder, "graphs", ("polar", "policy"))
    key = memory.key(files)
    with suppress(PolicyError):
        if (content := memory.recall(key)) is not None:
            return read_saved(key, content), True
    try:
        compiler = import_module("protect.polar.compiler")
    except ImportError:
        raise NoCompiler from None
    start = time.monotonic()
    compiled: Policy = compiler.compile_policy(files, key[:16], seconds=patience, explored=explored)
    whole = time.monotonic() - start < patience
    if whole and folder is not None:
        memory.remember(key, save(compiled))
    return compiled, whole


@dataclass(frozen=True, slots=True)
class Memory:
    """What was found out about policies, one file for each in ``folder``, or nothing where that is None.

    ``kind`` is what was found out, ``code`` the packages that found it out: others of them would find something else.
    """

    folder: Path | None
    kind: str
    code: tuple[str, ...]

    def key(self, files: Iterable[tuple[str, str]]) -> str:
        """Return the hash of ``(file name, text)`` pairs and of the code."""
        digest = hashlib.sha256(self.kind.encode())
        for package in self.code if self.folder is not None else ():
            digest.update(_code(package))
        for name, text in files:
            data = text.encode("utf-8", "replace")
            digest.update(f"{name}\0{len(data)}\0".encode("utf-8", "replace"))
            digest.update(data)
        return digest.hexdigest()

    def recall(self, key: str) -> bytes | None:
        """Return what was remembered, None where nothing was, or another might have written it."""
        if self.folder is None:
            return None
        try:
            handle = os.open(self.folder / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            if not _own(os.fstat(handle), stat.S_ISREG):
                return None
            data = file.read(MOST_BYTES)
        checked, _, content = data.partition(b"\n")
        return content if checked == _checksum(key, content) else None

    def remember(self, key: str, content: bytes) -> None:
        """Remember ``content``, and forget what is oldest; where that cannot be written, do nothing."""
        if self.folder is None:
            return
        with suppress(OSError):
            made = self.folder / f"{key}.{os.urandom(8).hex()}"
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(_checksum(key, content) + b"\n" + content)
            made.replace(self.folder / key)
            old = sorted(self.folder.iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
            for path in old[MOST_FILES:]:
                path.unlink(missing_ok=True)


@cache
def _code(package: str) -> bytes:
    """Return what tells the code of a package from what it was before."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent.parent / package).glob("*.py")):
        info = path.stat()
        digest.update(f"{path.name}\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
    return digest.digest()


def _checksum(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).hexdigest().encode()


def same(left: Policy, right: Policy) -> bool:
    """Whether two policies have the same graphs, whichever rules they name."""
    return _graphs(left) == _graphs(right)


def _graphs(compiled: Policy) -> str:
    """Return the table of a policy without its rules, as text that is equal for equal graphs."""
    document = json.loads(save(compiled))
    numbers: dict[str, int] = {}
    canonical: list[int] = []
    for node in document["nodes"]:
        match node:
            case ["leaf", holds, _]:
                shape: list[object] = ["leaf", holds]
            case ["switch", fact, cases, otherwise]:
                branches = {literal: canonical[one] for literal, one in cases.items()}
                kept = {literal: one for literal, one in branches.items() if one != canonical[otherwise]}
                shape = ["switch", fact, sorted(kept.items()), canonical[otherwise]]
                if not kept:
                    canonical.append(canonical[otherwise])
                    continue
            case ["test", *question, no, yes]:
                if canonical[no] == canonical[yes]:
                    canonical.append(canonical[no])
                    continue
                shape = ["test", question, canonical[no], canonical[yes]]
            case _:
                shape = list(node)
        canonical.append(numbers.setdefault(json.dumps(shape), len(numbers)))
    shapes = {number: shape for shape, number in numbers.items()}

    def number(value: object) -> object:
        return [canonical[one] for one in value] if isinstance(value, list) else value

    def by_name(entry: dict[str, object]) -> object:
        names = entry["names"]
        assert isinstance(names, dict)
        other = number(entry["other"])
        kept = {name: number(one) for name, one in names.items() if number(one) != other}
        return [other, sorted(kept.items()), number(entry["same"])]

    return json.dumps(
        [
            sorted([kind, action, number(one)] for kind, action, one in document["actions"]),
            sorted((kind, number(one)) for kind, one in document["other"].items()),
            sorted((action, by_name(one)) for action, one in document["properties"].items()),
            by_name(document["other_properties"]),
            sorted(shapes.items()),
        ]
    )
