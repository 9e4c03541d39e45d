"""One line on standard error that says how far a command is, once that takes longer than one likes to wait."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

#: After how many seconds it is shown, and how often.
PATIENCE = 2.0
EVERY = 0.5
_WIDTH = 60


class Progress:
    """Called with how many of how many are done."""

    def __init__(self, words: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``words`` stand before the numbers: `changes tried`."""
        self._words = words
        self._clock = clock
        self._began = self._said = clock()
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        terminal = sys.stderr.isatty()
        if now - self._began < PATIENCE or (self._shown and now - self._said < (EVERY if terminal else 10 * EVERY)):
            return
        self._said = now
        left = (now - self._began) / done * (total - done) if done else 0.0
        line = f"{self._words}: {done} of {total}, about {left:.0f} s to go"
        print(f"\r{line:<{_WIDTH}}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        """Leave the line."""
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)
