"""Loading and compiling: the shipped rules, and ten thousand protected names."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from protect import Policy
from protect.locate import shipped_rules
from tests.bench.timing import line


def main() -> None:
    """Print the seconds that each load takes: the median of three."""
    print("loading (seconds, median of three):")
    line("the shipped rules", _median(None), "s")
    with tempfile.TemporaryDirectory() as directory:
        names = Path(directory) / "names.polar"
        names.write_text("".join(f'magic("name_{index}");\n' for index in range(10_000)))
        line("the shipped rules and 10,000 protected names", _median([str(shipped_rules()), str(names)]), "s")


def _median(paths: list[str] | None) -> float:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        Policy.load(paths)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[1]


if __name__ == "__main__":
    main()
