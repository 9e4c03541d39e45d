"""Where the decision log goes: the standard output or a file, line by line, and again after its file was moved away."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterable, Iterator

from protect.errors import ConfigError

# What a pipe takes at once from several writers without mixing their lines.
PIPE, FILE = select.PIPE_BUF, 64 * 1024
_STDOUT = 1
_PATIENCE = 1000  # milliseconds


class LogFile:
    """A place for lines; several processes may share it. ``path``: None for the standard output.

    A file that was renamed or removed since the last lines, as log rotation does, is made anew.
    """

    def __init__(self, path: str | None) -> None:
        """Open now: raises ConfigError."""
        self._path = path
        self._handle = _STDOUT
        if path is not None:
            try:
                self._handle = _open(path)
            except OSError as error:
                raise ConfigError(f"`decision_log_file = {path}` cannot be written: {error.strerror}") from None

    def write(self, lines: Iterable[bytes]) -> None:
        """Write whole lines, each with its end; raises OSError. Waits for whoever reads a pipe."""
        self._follow()
        size = FILE if stat.S_ISREG(os.fstat(self._handle).st_mode) else PIPE
        for chunk in _chunks(lines, size):
            self._write(chunk)

    def close(self) -> None:
        """Close the file; the standard output stays open."""
        if self._path is not None and self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _follow(self) -> None:
        if self._path is None:
            return
        try:
            there, ours = os.stat(self._path), os.fstat(self._handle)
            moved = (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
        except FileNotFoundError:
            moved = True
        if moved:
            handle = _open(self._path)
            os.close(self._handle)
            self._handle = handle

    def _write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[os.write(self._handle, rest) :]
            except BlockingIOError:
                # Somebody has made our standard output one that does not wait.
                waiting = select.poll()
                waiting.register(self._handle, select.POLLOUT)
                waiting.poll(_PATIENCE)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _chunks(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the lines joined, as many together as fit into ``size`` bytes."""
    together, length = list[bytes](), 0
    for line in lines:
        if together and length + len(line) > size:
            yield b"".join(together)
            together, length = [], 0
        together.append(line)
        length += len(line)
    if together:
        yield b"".join(together)
