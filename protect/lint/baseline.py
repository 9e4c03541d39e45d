"""The baseline: findings that were there when lint was introduced, by their fingerprints."""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from protect.errors import ConfigError
from protect.lint.findings import Finding

FORMAT = "protect-lint-baseline/1"


def read(path: Path) -> frozenset[str]:
    """Return the fingerprints of a baseline. Raises ConfigError for anything else."""
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise ValueError
        return frozenset(str(one["fingerprint"]) for one in document["findings"])
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}; `--update-baseline` writes it") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"`{path}` is no baseline; `--update-baseline` writes one") from None


def written(findings: Iterable[Finding]) -> str:
    """Return a baseline as text: sorted, a line for each finding, so that its changes read well in a review."""
    rows = sorted(
        ({"code": one.code, "file": one.span.file, "fingerprint": one.fingerprint} for one in findings),
        key=lambda row: (row["file"], row["code"], row["fingerprint"]),
    )
    lines = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in rows)
    inner = f"[\n{lines}\n  ]" if rows else "[]"
    return f'{{\n  "format": "{FORMAT}",\n  "findings": {inner}\n}}\n'


def divided(findings: Iterable[Finding], known: AbstractSet[str]) -> tuple[list[Finding], list[Finding]]:
    """Return the findings that are new, and those that the baseline knows."""
    new: list[Finding] = []
    old: list[Finding] = []
    for finding in findings:
        (old if finding.fingerprint in known else new).append(finding)
    return new, old
