"""Looking at something now and then, in a thread of its own: files, and keys that are fetched."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

_alive: weakref.WeakSet[Watch] = weakref.WeakSet()


def look_soon() -> None:
    """Have everything that this process looks at looked at now, each in its own thread. For a signal's handler."""
    for watch in list(_alive):
        watch.look_soon()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why what is there now is not in force. ``since`` is a time of the wall clock. ``fatal``: nothing is in force."""

    message: str
    since: float
    fatal: bool = False


class Watch:
    """Calls ``look`` now and then, and when it is told to.

    ``pause`` returns the seconds until the next look, None for none. ``looking`` is held during a look; whoever looks
    in another thread holds it as well. It goes on in the children of a process that forks.
    """

    def __init__(self, look: Callable[[], object], pause: Callable[[], float | None], name: str) -> None:
        """``look`` takes ``looking`` itself, and never raises. ``name`` is the thread's."""
        self._look = look
        self._pause = pause
        self._name = name
        self._stopped = False
        self._renew()

    def _renew(self) -> None:
        self.looking = threading.Lock()
        self._wake = threading.Event()

    def start(self) -> None:
        """Start looking, after a first pause. A second call does nothing."""
        if self not in _alive:
            _alive.add(self)
            self._run()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        _alive.discard(self)
        self._wake.set()

    def look_soon(self) -> None:
        """Have the thread look now."""
        self._wake.set()

    def _run(self) -> None:
        threading.Thread(target=self._watch, name=self._name, daemon=True).start()

    def _watch(self) -> None:
        while not self._stopped:
            self._wake.wait(self._pause())
            self._wake.clear()
            if not self._stopped:
                self._look()


# Threads do not survive a fork. And a child must not be born in the middle of a look: what that has locked, the
# compiler's locks as well, would stay locked there for ever.

_forking = threading.Lock()
_held: list[Watch] = []


def _before() -> None:
    _forking.acquire()
    for watch in list(_alive):
        watch.looking.acquire()
        _held.append(watch)


def _in_parent() -> None:
    while _held:
        _held.pop().looking.release()
    _forking.release()


def _in_child() -> None:
    global _forking
    _forking = threading.Lock()
    while _held:
        watch = _held.pop()
        watch._renew()
        watch._run()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
