"""Keeps a policy up to date with its files: built aside, checked, and swapped in one assignment."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protect.errors import PolicyError, Problem
from protect.loading import BY_ROLES, Protection, load_sources, read
from protect.policy.policy import Policy

log = logging.getLogger("protect.policy")

Clock = Callable[[], float]

#: Seconds between the two looks that have to see a change alike.
SETTLE = 0.5

_alive: weakref.WeakSet[Reloader] = weakref.WeakSet()


def look_soon() -> None:
    """Have the files of every policy of this process looked at now, each in its own thread. For a signal's handler."""
    for reloader in list(_alive):
        reloader.look_soon()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the files as they are now are not in force. ``since`` is by the reloader's clock."""

    message: str
    since: float


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
        self._stopped = False
        self._wake = threading.Event()
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None
        self._good = self._seen = read(self._paths, protection)
        self._settled = True
        self.policy: Policy = load_sources(self._good)
        self.loaded = timer()
        self._looked = stopwatch()
        self.failures = 0
        self.trouble: Trouble | None = None
        if self._good.missing:
            self.trouble = Trouble(f"missing: {', '.join(self._good.missing)}", timer())

    @property
    def age(self) -> float:
        """Seconds since the last look at the files ended, well or badly."""
        return self._stopwatch() - self._looked

    def start(self, *, on_demand: bool = False) -> None:
        """Start looking, if there is an interval, or ``on_demand`` too. Looking goes on in the children of a server
        that forks."""
        if (self._seconds <= 0 and not on_demand) or self._thread is not None:
            return
        self._run()
        _alive.add(self)
        reference, held = weakref.ref(self), list[Reloader]()

        def before() -> None:
            # A child must not be born in the middle of a look: what the compiler has locked would stay locked there.
            reloader = reference()
            if reloader is not None and not reloader._stopped:
                reloader._looking.acquire()
                held.append(reloader)

        def in_parent() -> None:
            while held:
                held.pop()._looking.release()

        def in_child() -> None:
            # Threads do not survive a fork.
            while held:
                reloader = held.pop()
                reloader._looking, reloader._wake = threading.Lock(), threading.Event()
                reloader._run()

        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)

    def stop(self) -> None:
        """Stop looking."""
        self._stopped = True
        self._wake.set()

    def look_soon(self) -> None:
        """Have the thread look at the files now; a change that it sees is looked at again before it counts."""
        self._wake.set()

    def look(self) -> bool:
        """Look at the files once; return whether another policy is in force now. Never raises."""
        with self._looking:
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
            self.trouble = None  # whatever kept us from reading them is over
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
            self.loaded = self._timer()
            log.info("policy revision %s is in force", self.policy.revision)
        self.trouble = None

    def _failed(self, message: str) -> None:
        if self.trouble is not None and self.trouble.message == message:
            return
        self.failures += 1
        self.trouble = Trouble(message, self._timer())
        log.error("the policy files cannot be used, revision %s stays in force:\n%s", self.policy.revision, message)

    def _run(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="protect-policy", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped:
            self._wake.wait(self._pause())
            self._wake.clear()
            if not self._stopped:
                self.look()

    def _pause(self) -> float | None:
        """Return the seconds until the next look, None for none."""
        if self._settled:
            return self._seconds or None
        return min(self._seconds, SETTLE) if self._seconds else SETTLE
