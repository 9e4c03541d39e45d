"""Which files are checked, and which `.polar` files make one policy together."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protect.errors import ConfigError
from protect.lint.catalogue import Form
from protect.lint.polar_files import PolarFiles, parsed
from protect.lint.texts import Text
from protect.locate import shipped_rules
from protect.polar.syntax import calls

_FORMS: Final = {".polar": Form.POLAR, ".conf": Form.PROTECTION, ".yaml": Form.OSLO, ".yml": Form.OSLO}
_RULE_FILES: Final = ("policy.yaml", "policy.yml", "policy.json")
_SKIPPED: Final = ("node_modules", "__pycache__", "site-packages")

#: No policy that people write is larger.
MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a file is not checked: the line to point at, 0 for the whole file, what is wrong, and what to do."""

    line: int
    why: str
    help: str


@dataclass(frozen=True, slots=True)
class Target:
    """One file to check. ``path`` is None for standard input.

    Where ``unread`` says why the file is not checked, the text is empty, or has a mark where others were.
    """

    text: Text
    form: Form
    path: Path | None = None
    unread: Unread | None = None


def form_of(name: str) -> Form | None:
    """Return what kind of file has such a name; None for any other."""
    if Path(name).name == "policy.json":
        return Form.OSLO
    return _FORMS.get(Path(name).suffix)


def is_found(name: str) -> bool:
    """Whether a file of this name is a policy wherever it lies; others are when they are named."""
    protection = name.startswith("property-protections") and name.endswith(".conf")
    return name.endswith(".polar") or protection or name in _RULE_FILES


def found(paths: Iterable[str]) -> list[Path]:
    """Return the files that ``paths`` stand for: files as named, of directories those with a known name, below too.

    Raises ConfigError for what is not there or not known.
    """
    files: list[Path] = []
    for name in paths:
        path = Path(name)
        if os.path.isdir(path):
            inside = sorted(_below(path))
            if not inside:
                known = "`*.polar`, `property-protections*.conf`, `policy.yaml`"
                raise ConfigError(f"`{name}` has nothing to check; in directories these are found: {known}")
            files += inside
        elif not _is_there(path):
            raise ConfigError(f"`{name}` does not exist")
        elif form_of(name) is None:
            raise ConfigError(f"`{name}` is not a kind of file that is known here; accepted: .polar, .conf, .yaml")
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _is_there(path: Path) -> bool:
    """Whether something has this name, if only a link to nothing, or a file in a folder that nobody lets us see."""
    try:
        path.lstat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    return True


def _below(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in _SKIPPED)
        # A folder called like a file keeps a service from loading what is beside it.
        yield from (Path(here) / name for name in (*names, *folders) if is_found(name))
    yield from closed


def read(path: Path) -> Target:
    """Read one file. What cannot be read is a target too, which says so."""
    name, form = str(path), form_of(path.name) or Form.POLAR
    try:
        return target(name, _data(path), form, path)
    except OSError as error:
        unread = Unread(0, f"cannot be read: {error.strerror}", "let it be read, or take it away")
        return Target(Text(name, ""), form, path, unread)


def _data(path: Path) -> bytes:
    """Return the bytes of a file, of a very large one the first. Raises OSError, also for what is no file."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        with open(handle, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1)
    finally:
        os.close(handle)


def target(name: str, data: bytes, form: Form, path: Path | None = None) -> Target:
    """Return the content of a file, or of standard input, as something to check."""
    if len(data) > MOST_BYTES:
        too_large = Unread(0, f"larger than {MOST_BYTES // 1024 // 1024} MiB", "split it")
        return Target(Text(name, ""), form, path, too_large)
    try:
        return Target(Text(name, data.decode("utf-8")), form, path)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        unread = Unread(line, f"not UTF-8 text: the byte 0x{data[error.start]:02x}", "save it as UTF-8")
        return Target(Text(name, data.decode("utf-8", "replace")), form, path, unread)


def policies(targets: Sequence[Target], beside: Sequence[str] = ()) -> list[PolarFiles]:
    """Group the `.polar` files among ``targets`` into policies, each with what it is loaded beside.

    Files of one folder are one policy. Where they cannot stand alone they are completed: by the other files of their
    folder; or, each for itself, by the rules of the folder above; or by the shipped rules. ``beside`` says it instead.
    """
    polar = [one for one in targets if one.form is Form.POLAR]
    if not polar:
        return []
    if beside:
        return [parsed([one.text for one in polar], _texts(_polar_files(beside)))]
    by_folder: dict[Path, list[Target]] = {}
    for one in polar:
        by_folder.setdefault((one.path or Path(one.text.file)).parent, []).append(one)
    found = []
    for folder, members in by_folder.items():
        known = {one.path for one in members}
        others = [read(path) for path in _files_in(folder) if path not in known]
        for group in _completed(folder, members, [one.text for one in others if one.unread is None]):
            # What cannot be read may have the rules that are missing.
            group.complete = group.complete and all(one.unread is None for one in (*members, *others))
            found.append(group)
    return found


def _completed(folder: Path, members: Sequence[Target], others: Sequence[Text]) -> Iterator[PolarFiles]:
    texts = [one.text for one in members]
    alone = parsed(texts)
    if _stands(alone):
        yield alone
        return
    with_others = parsed(texts, others)
    if _stands(with_others):
        yield with_others
        return
    above = _texts(_files_in(folder.resolve().parent))
    if above:
        each = [parsed([text], above) for text in texts]
        if all(map(_stands, each)):
            yield from each
            return
    shipped = _texts(sorted(shipped_rules().glob("*.polar")))
    each = [parsed([text], shipped) for text in texts]
    if all(map(_stands, each)):
        yield from each
        return
    together = parsed(texts, above or shipped)
    yield together if _stands(together) else alone


def _stands(files: PolarFiles) -> bool:
    """Whether an `allow` is there, and every rule that is asked for."""
    rules = files.rules_by_name()
    return "allow" in rules and not calls(one for same in rules.values() for one in same) - rules.keys()


def _texts(paths: Iterable[Path]) -> list[Text]:
    found = [read(path) for path in paths]
    for one in found:
        if one.unread is not None:
            place = f" (line {one.unread.line})" if one.unread.line else ""
            raise ConfigError(f"`{one.text.file}`: {one.unread.why}{place}; {one.unread.help}")
    return [one.text for one in found]


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.polar") if path.is_file())


def _polar_files(names: Iterable[str]) -> list[Path]:
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if not path.exists():
            raise ConfigError(f"`{name}` does not exist")
        files += _files_in(path) if path.is_dir() else [path]
    return files
