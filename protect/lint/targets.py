"""Which files are checked, and which `.polar` files make one policy together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protect.errors import ConfigError
from protect.lint.catalogue import Form
from protect.lint.polar_files import PolarFiles, calls, parsed
from protect.lint.texts import Text
from protect.locate import shipped_rules

_FORMS: Final = {".polar": Form.POLAR, ".conf": Form.PROTECTION, ".yaml": Form.OSLO, ".yml": Form.OSLO}
_RULE_FILES: Final = ("policy.yaml", "policy.yml", "policy.json")
_SKIPPED: Final = ("node_modules", "__pycache__", "site-packages")

#: No policy that people write is larger.
MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """One file to check. ``path`` is None for standard input.

    ``unread`` says, for a file that is not UTF-8, in which line and why; its text then has a mark where others were.
    """

    text: Text
    form: Form
    path: Path | None = None
    unread: tuple[int, str] | None = None


def form_of(name: str) -> Form | None:
    """Return what kind of file has such a name; None for any other."""
    if Path(name).name == "policy.json":
        return Form.OSLO
    return _FORMS.get(Path(name).suffix)


def found(paths: Iterable[str]) -> list[Path]:
    """Return the files that ``paths`` stand for: files as named, of directories those with a known name, below too.

    Raises ConfigError for what is not there or not known.
    """
    files: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(_below(path))
            if not inside:
                known = "`*.polar`, `property-protections*.conf`, `policy.yaml`"
                raise ConfigError(f"`{name}` has nothing to check; in directories these are found: {known}")
            files += inside
        elif not path.exists():
            raise ConfigError(f"`{name}` does not exist")
        elif not path.is_file():
            raise ConfigError(f"`{name}` is neither a file nor a directory; name one of those")
        elif form_of(name) is None:
            raise ConfigError(f"`{name}` is not a kind of file that is known here; accepted: .polar, .conf, .yaml")
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in _SKIPPED)
        for name in names:
            protection = name.startswith("property-protections") and name.endswith(".conf")
            if name.endswith(".polar") or protection or name in _RULE_FILES:
                found = Path(here) / name
                if found.exists() and not found.is_file() and not found.is_dir():
                    raise ConfigError(f"`{found}` is neither a file nor a directory; take it away")
                yield found


def read(path: Path) -> Target:
    """Read one file. Raises ConfigError where it cannot be read or is too large."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from None
    form = form_of(path.name)
    assert form is not None
    return target(str(path), data, form, path)


def target(name: str, data: bytes, form: Form, path: Path | None = None) -> Target:
    """Return the content of a file, or of standard input, as something to check. Raises as ``read`` does."""
    if len(data) > MOST_BYTES:
        raise ConfigError(f"`{name}` is larger than {MOST_BYTES // 1024 // 1024} MiB; split it")
    try:
        return Target(Text(name, data.decode("utf-8")), form, path)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        unread = line, f"not UTF-8 text: the byte 0x{data[error.start]:02x}"
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
    return [group for folder, members in by_folder.items() for group in _completed(folder, members)]


def _completed(folder: Path, members: Sequence[Target]) -> Iterator[PolarFiles]:
    texts = [one.text for one in members]
    alone = parsed(texts)
    if _stands(alone):
        yield alone
        return
    known = {one.path for one in members}
    with_others = parsed(texts, _texts(path for path in _files_in(folder) if path not in known))
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
            raise ConfigError(f"`{one.text.file}` is {one.unread[1]} (line {one.unread[0]}); save it as UTF-8")
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
