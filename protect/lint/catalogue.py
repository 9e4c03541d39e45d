"""Every check that there is: its code, its name, how bad it is, and its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any

from protect.errors import ConfigError
from protect.lint.findings import Finding, Severity, Span
from protect.spelling import nearest


class Form(StrEnum):
    """What kind of file a check looks at; the value is how the examples' file is called."""

    POLAR = "policy.polar"
    PROTECTION = "property-protections.conf"
    OSLO = "policy.yaml"


@dataclass(frozen=True, slots=True)
class Check:
    """One check with its page.

    ``summary`` says in a line what is wrong, ``why`` what comes of it, ``how`` what to do. ``bad`` and ``good`` are
    whole files: the first has this finding and no other, the second has none. ``mode`` is that of the bad file.
    ``exact``: it is decided on the policy's graph, so for a `.polar` file it takes Oso.
    """

    code: str
    name: str
    severity: Severity
    form: Form
    summary: str
    why: str
    bad: str
    good: str
    how: str
    exact: bool = False
    mode: int = 0o644

    def at(self, span: Span, message: str, help: str = "", **more: Any) -> Finding:
        """Return a finding of this check; ``more`` are other fields of it."""
        return Finding(self.code, self.name, self.severity, message, span, help, **more)


#: The modules whose checks make up the catalogue, in the order of the codes.
_MODULES = ("language", "words", "grants", "reach", "sections", "oslo", "surroundings", "characters")

_checks: dict[str, Check] = {}


def checks() -> dict[str, Check]:
    """Return every check by its code."""
    if not _checks:
        for module in _MODULES:
            found = vars(import_module(f"protect.lint.{module}")).values()
            _checks.update({one.code: one for one in found if isinstance(one, Check)})
    return _checks


def find(code: str) -> Check:
    """Return a check by its code or its name. Raises ConfigError with the nearest ones for any other word."""
    wanted = code.strip()
    for check in checks().values():
        if wanted.upper() == check.code or wanted.lower() == check.name:
            return check
    raise ConfigError(f"`{code}` is no check{_near(wanted, [*checks(), *(one.name for one in checks().values())])}")


def chosen(prefixes: Iterable[str]) -> frozenset[str]:
    """Return the codes that codes, names or beginnings of codes stand for. Raises ConfigError for what fits none."""
    return frozenset(code for prefix in prefixes for code in _fitting(prefix))


def _fitting(prefix: str) -> Iterator[str]:
    wanted = prefix.strip()
    if wanted.upper() == "ALL":
        return iter(checks())
    found = [one.code for one in checks().values() if one.code.startswith(wanted.upper()) or one.name == wanted.lower()]
    if not found or not wanted:
        families = sorted({code[:2] for code in checks()})
        known = [*checks(), *families, *(one.name for one in checks().values())]
        raise ConfigError(f"`{prefix}` is no check and no beginning of one{_near(wanted, known)}")
    return iter(found)


def _near(word: str, known: Iterable[str]) -> str:
    spelled = {one.lower(): one for one in known}
    near = nearest(word.lower(), spelled)
    if near:
        return f"; did you mean `{spelled[near]}`?"
    return "; `protect lint --list` names them all"
