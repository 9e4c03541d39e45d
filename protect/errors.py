"""What can go wrong, as values: every error that leaves this package is one of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class ProtectError(Exception):
    """The root: catch it to catch everything that ``protect`` raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a policy. ``line`` and ``column`` count from 1, in code points; 0 means the whole file."""

    file: str
    line: int
    column: int
    message: str
    help: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f"\n    help: {self.help}" if self.help else "")


class PolicyError(ProtectError):
    """A policy cannot be used. ``problems`` lists all that was found, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class ConfigError(ProtectError):
    """An option is unknown, misplaced or has a value that cannot be used."""


class MalformedRequest(ProtectError):
    """The client's request cannot be understood without guessing. The message says what was wrong."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)
