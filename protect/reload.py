"""Keeps a policy up to date with its files: built aside, checked, and swapped in one assignment."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from protect.errors import PolicyError, Problem
from protect.loading import BY_ROLES, Protection, load_sources, read
from protect.policy.policy import Policy
from protect.watching import Trouble, Watch

log = logging.getLogger("protect.policy")

Clock = Callable[[], float]

#: Seconds between the two looks that have to see a change alike.
SETTLE = 0.5


class Reloader:
    """Holds the policy in force; ``policy`` is read once per request, so no request sees half of two.

    A look reads the files and compares what they say, which also notices the symlink swap of a mounted ConfigMap. It
    happens in a thread of its own, never in a request. A change counts once two looks in a row have seen it alike, so
    that a file being written is not taken for the whole of it. A policy that cannot be loaded leaves the last good one
    in force; ``trouble`` says so until a good one comes.
    """

    def __init__(
        self,
        paths: Sequence[str] | None = None,
        seconds: float = 0,
        *,
        protection: Protection = BY_ROLES,
        timer: Clock = time.time,
        stopwatch: Clock = time.monotonic,
    ) -> None:
        """Load now: raises PolicyError. ``seconds`` between looks at the files; 0 looks again only when told to.

        ``protection`` is how protection files are read; the file of rules that it names is looked at as well.
        """
        self._paths = tuple(paths or ())
        self._protection = protection
        self._seconds = seconds
        self._timer = timer
        self._stopwatch = stopwatch
        self._watch = Watch(self.look, self._pause, "protect-policy")
        self._good = self._seen = read(self._paths, protection)
        self._settled = True
        self.policy: Policy = load_sources(self._good)
        self.loaded = timer()
        self._looked = stopwatch()
        self.failures = 0
        #: That there are no files, and so the shipped rules decide; None where there are some.
        self.absent: Trouble | None = None
        if self._good.missing:
            self.absent = Trouble(f"missing: {', '.join(self._good.missing)}", timer())
        self.trouble: Trouble | None = self.absent

    @property
    def age(self) -> float:
        """Seconds since the last look at the files ended, well or badly."""
        return self._stopwatch() - self._looked

    def start(self, *, on_demand: bool = False) -> None:
        """Start looking, if there is an interval, or ``on_demand`` too. Looking goes on in the children of a server
        that forks."""
        if self._seconds > 0 or on_demand:
            self._watch.start()

    def stop(self) -> None:
        """Stop looking."""
        self._watch.stop()

    def look(self) -> bool:
        """Look at the files once; return whether another policy is in force now. Never raises."""
        with self._watch.looking:
            before = self.policy
            try:
                self._look()
            except PolicyError as error:
                self._failed(str(error))
            except Exception as error:
                log.exception("looking at the policy files failed")
                self._settled = False  # nothing is wrong with the files: try them again at the next look
                self._failed(f"internal error: {type(error).__name__}")
            self._looked = self._stopwatch()
            return self.policy is not before

    def _look(self) -> None:
        sources = read(self._paths, self._protection)
        if sources != self._seen:
            self._seen, self._settled = sources, False
            return
        if sources == self._good:
            self.trouble = self.absent  # whatever kept us from reading them is over
        if self._settled:
            return
        self._settled = True
        gone = [path for path in sources.missing if path not in self._good.missing]
        if gone:
            # At start a missing file means the shipped rules; later it is somebody's half-done change.
            raise PolicyError(Problem(path, 0, 0, "is gone", "put it back") for path in gone)
        if sources != self._good:
            for name in sorted({name for name, _ in self._good.files} - {name for name, _ in sources.files}):
                log.warning("policy file `%s` is no longer there: its rules no longer hold", name)
            self.policy = load_sources(sources)
            self._good = sources
            self.absent = None
            self.loaded = self._timer()
            log.info("policy revision %s is in force", self.policy.revision)
        self.trouble = self.absent

    def _failed(self, message: str) -> None:
        if self.trouble is not None and self.trouble.message == message:
            return
        self.failures += 1
        self.trouble = Trouble(message, self._timer())
        log.error("the policy files cannot be used, revision %s stays in force:\n%s", self.policy.revision, message)

    def _pause(self) -> float | None:
        """Return the seconds until the next look, None for none."""
        if self._settled:
            return self._seconds or None
        return min(self._seconds, SETTLE) if self._seconds else SETTLE
