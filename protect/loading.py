"""From paths to a policy: reads files, and knows which of them is compiled how."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from protect.errors import PolicyError, Problem
from protect.locate import shipped_rules
from protect.policy.policy import Policy
from protect.policy.saved import is_saved, read_saved
from protect.protections.checks import RuleBook
from protect.protections.graphs import Protections
from protect.protections.sections import Format, Reader

log = logging.getLogger("protect.policy")


PROTECTION = ".conf"


@dataclass(frozen=True, slots=True)
class Protection:
    """How protection files are read: ``format`` is ``roles`` or ``policies``, ``rules`` the path of a policy.yaml."""

    format: str = Format.ROLES
    rules: str | None = None


BY_ROLES = Protection()


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a policy as they were read at one moment. ``missing`` are paths that do not exist.

    ``format`` is how the protection files among them are meant, ``rules`` the file of rules that those refer to.
    """

    files: tuple[tuple[str, bytes], ...]
    missing: tuple[str, ...] = ()
    format: Format = Format.ROLES
    rules: tuple[str, bytes] | None = None

    def revision(self) -> str:
        """Return the hash of all that was read: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, data in (*self.files, *([self.rules] if self.rules else [])):
            digest.update(f"{Path(name).name}\0{len(data)}\0".encode())
            digest.update(data)
        if self.format is not Format.ROLES:
            digest.update(self.format.encode())
        return digest.hexdigest()[:16]


def load(paths: Iterable[str] | None = None, protection: Protection = BY_ROLES) -> Policy:
    """See ``Policy.load``."""
    return load_sources(read(paths, protection))


def load_sources(sources: Sources) -> Policy:
    """Return the policy of these files; where none exists, of the shipped rules, with a warning.

    Raises PolicyError. That some of several files are missing is a problem: the missing one may be what forbids.
    """
    if sources.missing and sources.files:
        raise PolicyError(
            Problem(path, 0, 0, "does not exist, though others of this policy do", "correct the path, or take it out")
            for path in sources.missing
        )
    for path in sources.missing:
        log.warning("policy path `%s` does not exist: the shipped rules decide", path)
    return compile_sources(sources if sources.files else read())


def read(paths: Iterable[str] | None = None, protection: Protection = BY_ROLES) -> Sources:
    """Read the files of ``paths``; of a directory, the ``.polar`` files directly in it, in order of their names.

    Raises PolicyError for a file that cannot be read or whose kind is not known.
    """
    if protection.format not in list(Format):
        help = f"accepted: {', '.join(Format)}"
        raise PolicyError([Problem("protection_format", 0, 0, f"`{protection.format}` is not accepted", help)])
    wanted = [Path(path) for path in paths or ()] or [shipped_rules()]
    files: list[tuple[str, bytes]] = []
    missing: list[str] = []
    found: list[Problem] = []
    for path in wanted:
        try:
            if not path.exists():
                missing.append(str(path))
                continue
            members = sorted(path.glob("*.polar")) if path.is_dir() else [path]
        except OSError as error:
            found.append(_unreadable(path, error))
            continue
        if not members:
            found.append(Problem(str(path), 0, 0, "no `.polar` file in this directory", "name files, or add one"))
        for member in members:
            data = _content(member, found)
            if data is not None:
                files.append((str(member), data))
    rules = None if protection.rules is None else _rules(protection.rules, found)
    if found:
        raise PolicyError(found)
    return Sources(tuple(files), tuple(missing), Format(protection.format), rules)


def _content(path: Path, found: list[Problem], what: str = "") -> bytes | None:
    try:
        # Reading a pipe or a device may never end.
        if path.exists() and not path.is_file():
            found.append(Problem(str(path), 0, 0, "is no file", "name files, or directories of them"))
            return None
        return path.read_bytes()
    except OSError as error:
        found.append(_unreadable(path, error, what))
        return None


def _unreadable(path: Path, error: OSError, what: str = "") -> Problem:
    return Problem(str(path), 0, 0, f"{what}cannot be read: {error.strerror}", "give the service's user access")


def _rules(path: str, found: list[Problem]) -> tuple[str, bytes] | None:
    data = _content(Path(path), found, "the policy rules ")
    return None if data is None else (path, data)


def compile_sources(sources: Sources) -> Policy:
    """Return the policy that the files make. Raises PolicyError, which lists every problem found."""
    saved = [(name, data) for name, data in sources.files if is_saved(data)]
    if saved:
        if len(sources.files) > 1:
            raise PolicyError(
                [Problem(saved[0][0], 0, 0, "a saved policy stands alone", "name no other file beside it")]
            )
        return read_saved(*saved[0])
    found: list[Problem] = []
    texts = [(name, _text(name, data, found)) for name, data in sources.files]
    if found:
        raise PolicyError(found)
    polar = [(name, text) for name, text in texts if not name.endswith(PROTECTION)]
    files = [(name, text) for name, text in texts if name.endswith(PROTECTION)]
    if not files:
        return _polar(polar, sources.revision())
    protections, warnings = _protections(files, polar, sources)
    for warning in warnings:
        log.warning("%s", warning)
    if not polar:
        return protections.alone(sources.revision(), warnings)
    return protections.narrow(_polar(polar, sources.revision(), beside=True), sources.revision(), warnings)


def _polar(texts: Sequence[tuple[str, str]], revision: str, *, beside: bool = False) -> Policy:
    _check_oso(texts)
    from protect.polar.compiler import compile_policy

    return compile_policy(texts, revision, beside=beside)


def _protections(
    files: Sequence[tuple[str, str]], polar: Sequence[tuple[str, str]], sources: Sources
) -> tuple[Protections, list[str]]:
    """Return what the protection files say, and the warnings. Raises PolicyError with every problem of all files."""
    found: list[Problem] = []
    reader = Reader()
    if sources.format is Format.POLICIES:
        name, data = sources.rules or ("", b"")
        try:
            reader = Reader(RuleBook(_decoded(name, data, found), name).condition)
        except PolicyError as error:
            found += error.problems
    for name, text in files:
        reader.read(text, name)
    found += reader.problems
    if found:
        if polar:
            try:
                _polar(polar, sources.revision(), beside=True)
            except PolicyError as error:
                found += error.problems
        raise PolicyError(found)
    warnings = [str(warning).replace("\n    help: ", "; ") for warning in reader.warnings]
    return Protections(reader.sections, [name for name, _ in files]), warnings


def _text(name: str, data: bytes, found: list[Problem]) -> str:
    if not name.endswith((".polar", PROTECTION)):
        found.append(
            Problem(
                name,
                0,
                0,
                "not a kind of policy file that is known here",
                "accepted: `.polar`, Glance's property protections as `.conf`, a saved policy",
            )
        )
        return ""
    return _decoded(name, data, found)


def _decoded(name: str, data: bytes, found: list[Problem]) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        found.append(Problem(name, line, column, "not UTF-8 text", "save the file as UTF-8"))
        return ""


def _check_oso(files: Sequence[tuple[str, str]]) -> None:
    try:
        import oso  # noqa: F401
    except ImportError:
        raise PolicyError(
            [
                Problem(
                    files[0][0],
                    0,
                    0,
                    "compiling a policy needs Oso, which has no build for this Python or platform",
                    "use Python 3.11 or 3.12 on x86-64, or load a policy saved there",
                )
            ]
        ) from None
