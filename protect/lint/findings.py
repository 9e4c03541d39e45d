"""What lint finds: values. Every report is a pure function of these."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is, worst first. ``security``: it works, and lets more happen than it looks."""

    ERROR = "error"
    SECURITY = "security"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a file. Lines and columns count from 1, columns in code points; ``end_column`` is the one behind.

    ``line`` 0 means the whole file.
    """

    file: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that the finding is about."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``text`` in the place of ``source[start:end]``, in code points of the decoded file."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """How to correct it. Only a ``safe`` one is applied by `--fix`: it is proven to change no decision first."""

    message: str
    edits: tuple[Edit, ...]
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that lint found.

    ``witness`` is a concrete request or name that shows it, ``subject`` the text of the rule, section or entry that it
    is about, of which ``fingerprint`` is made: so that it stays the same when lines move.
    """

    code: str
    name: str
    severity: Severity
    message: str
    span: Span
    help: str = ""
    witness: str = ""
    related: tuple[Related, ...] = ()
    fix: Fix | None = None
    subject: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a comment or the baseline keeps out of the report."""

    finding: Finding
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of one run. ``texts`` are the files' contents, for excerpts; ``files`` counts those that were looked at."""

    findings: tuple[Finding, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0


def with_fingerprints(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings in order, each with its fingerprint: of code, file and subject, and which of equals it is."""
    ordered = sorted(set(findings), key=lambda one: (one.span, one.code, one.message))
    met: Counter[tuple[str, str, str]] = Counter()
    marked = []
    for finding in ordered:
        key = (finding.code, finding.span.file, " ".join(finding.subject.split()))
        digest = hashlib.sha256("\0".join((*key, str(met[key]))).encode("utf-8", "replace")).hexdigest()
        met[key] += 1
        marked.append(replace(finding, fingerprint=digest[:32]))
    return marked
