"""Decision logs as a command line names them: files, compressed or not, one or several, or standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from protect.errors import ConfigError

#: Bytes of a line. One that is longer is none of ours, and is not held.
LONGEST = 1024 * 1024
_GZIP = b"\x1f\x8b"


class Raw(NamedTuple):
    """One line. ``data`` is None where it is too long to be one; ``number`` counts from 1 in each log.

    ``read`` is how many bytes were read so far in all logs together, compressed ones left out.
    """

    log: str
    number: int
    data: bytes | None
    read: int


def size(paths: Sequence[str]) -> int:
    """Return how many bytes there are to read, 0 where that is not known."""
    if any(path == "-" or path.endswith(".gz") or not Path(path).is_file() for path in paths):
        return 0
    return sum(Path(path).stat().st_size for path in paths)


def lines(paths: Sequence[str]) -> Iterator[Raw]:
    """Yield the lines of all logs, one after the other. Raises ConfigError and OSError."""
    read = 0
    for path in paths:
        with _opened(path) as file:
            for number, data in enumerate(_lines(path, file), start=1):
                read += LONGEST if data is None else len(data)
                yield Raw(path, number, data, read)


def _lines(path: str, file: BinaryIO) -> Iterator[bytes | None]:
    try:
        for data in iter(partial(file.readline, LONGEST), b""):
            if len(data) == LONGEST and not data.endswith(b"\n"):
                while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                    pass
                yield None
            else:
                yield data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(f"`{path}` is damaged, or ends too early: {str(error).rstrip('.').lower()}") from None


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        if sys.stdin is None:
            raise ConfigError("standard input is closed; name a file")
        yield _plain(sys.stdin.buffer)
    else:
        with open(path, "rb") as file:
            yield _plain(file)


def _plain(file: BinaryIO) -> BinaryIO:
    """Return what is read uncompressed, whatever the log is called."""
    buffered: Any = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    found: Any = gzip.GzipFile(fileobj=buffered) if buffered.peek(2)[:2] == _GZIP else buffered
    return cast("BinaryIO", found)
