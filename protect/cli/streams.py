"""Standard input, output and error as a command finds them: closed, cut off, in an encoding that lacks letters."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Any

from protect.errors import ConfigError, Problem, ProtectError
from protect.showing import visible

_HELP = "\n    help: "


class _Closed(io.TextIOBase):
    """Standard output that was closed before we began. To say nothing there is fine."""

    encoding = "utf-8"

    def write(self, said: Any, /) -> int:
        if said:
            raise ConfigError("standard output is closed; direct it to a file, or to /dev/null")
        return 0

    @property
    def buffer(self) -> _Closed:
        """Return what bytes are written to."""
        return self


class _Warnings(logging.Handler):
    """Shows warnings where nobody has set up a log."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"protect: {record.levelname.lower()}: {visible(record.getMessage())}", file=sys.stderr)


def prepare() -> None:
    """Make the streams such that printing works: whatever an encoding lacks is written as an escape."""
    if sys.stdout is None or sys.stderr is None:
        # So that no file that is opened gets the number of a stream.
        while os.open(os.devnull, os.O_RDWR) < 2:
            pass
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = _Closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(logging.lastResort, logging.Handler) and not isinstance(logging.lastResort, _Warnings):
        logging.lastResort = _Warnings(logging.WARNING)


def abandon() -> None:
    """Throw away what is still to be written to standard output: nobody can read it."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)


def standard_input(wanted: str) -> bytes:
    """Return what comes on standard input. Raises ConfigError where nothing does; ``wanted`` says what to give."""
    data = sys.stdin.buffer.read() if sys.stdin is not None else b""
    if not data.strip():
        raise ConfigError(f"standard input is empty; {wanted}")
    return data


def told(error: Exception) -> str:
    """Return what to say of an error. Only line ends between problems, and before their help, are real ones."""
    problems = getattr(error, "problems", None)
    if isinstance(error, ProtectError) and problems:
        return "\n".join(map(_problem, problems))
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror[:1].lower() + error.strerror[1:]
        name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
        return f"`{visible(name)}`: {reason}" if isinstance(name, str) else visible(reason)
    return _HELP.join(map(visible, str(error).split(_HELP)))


def _problem(problem: Problem) -> str:
    place = f"{visible(problem.file)}:{problem.line}:{problem.column}" if problem.line else visible(problem.file)
    return f"{place}: {visible(problem.message)}" + (f"{_HELP}{visible(problem.help)}" if problem.help else "")
