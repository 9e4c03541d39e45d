"""Timing in turns: every candidate runs in every round, so that a change of the machine's speed hits all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping


def rounds(candidates: Mapping[str, tuple[Callable[[], object], int]], *, count: int = 15) -> dict[str, float]:
    """Return the least seconds of one call of each candidate. A candidate is a function and its calls per round.

    The least, not the mean: what a busy machine adds is never a property of the code.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for function, _ in candidates.values():
        function()
    for _ in range(count):
        for name, (function, calls) in candidates.items():
            gc.collect()
            gc.disable()
            start = time.process_time()
            for _ in range(calls):
                function()
            seconds[name].append((time.process_time() - start) / calls)
            gc.enable()
    return {name: min(values) for name, values in seconds.items()}


def line(text: str, value: float, unit: str, bound: str = "") -> None:
    """Print one result, aligned."""
    print(f"  {text:<58} {value:>10.2f} {unit:<4} {bound}")
