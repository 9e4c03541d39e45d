"""Bodies that do not come: whoever reads one waits in a thread, and there are only so many threads.

granian hands over a request when it has read its head, and has no limit of time for the rest. It cannot be told to give
up on one body, nor does it say which connection a request has come by. So when every thread waits, the connections are
ended that owe us something and have been quiet for so long; and where that does not help, all of them.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

log = logging.getLogger("protect.service")

#: The threads that wait for a body now, and since when by the monotonic clock.
READING: dict[int, float] = {}
#: Seconds that all threads may wait for bodies.
LATE = 2.0

_PAUSE = 0.25  # seconds
_EXACT = 0.02  # seconds by which the two clocks may differ
# Milliseconds since data was sent, an acknowledgement was sent, and data was received: members of `struct tcp_info`.
_AGES = struct.Struct("III")
_DESCRIPTORS = "/proc/self/fd"


def stuck(waiting: Collection[float], threads: int, now: float) -> bool:
    """Tell whether each of so many threads has waited too long. ``waiting``: since when each of them does."""
    return len(waiting) >= threads and now - max(waiting) > LATE


def keep_threads(threads: int, ours: Callable[[socket.socket], bool]) -> None:
    """Start a thread that ends connections when each of the ``threads`` waits for a body.

    ``ours`` tells whether somebody has connected to us by a socket.
    """

    def watch() -> None:
        again = False
        while True:
            time.sleep(_PAUSE)
            waiting = list(READING.values())
            if not stuck(waiting, threads, time.monotonic()):
                again = False
                continue
            ended = end_reading(ours, 0 if again else time.monotonic() - max(waiting))
            log.warning("each thread waited for a body for %g s; ended %d connections", LATE, ended)
            again = True

    threading.Thread(target=watch, name="protect-bodies", daemon=True).start()


def end_reading(ours: Callable[[socket.socket], bool], quiet: float) -> int:
    """Have no connection of ours bring any more that has brought nothing for ``quiet`` seconds, and has no answer yet;
    return how many there are. With 0: every connection."""
    ended = 0
    for connection in _sockets():
        with connection, suppress(OSError):
            listens = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if ours(connection) and not listens and (not quiet or _owes(connection, quiet)):
                connection.shutdown(socket.SHUT_RD)
                ended += 1
    return ended


def _owes(connection: socket.socket, quiet: float) -> bool:
    """Tell whether a request has begun to come and then stopped; yes where the system does not tell."""
    if connection.family == socket.AF_UNIX:
        return True
    sent, _, received = _AGES.unpack_from(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 44)
    return bool(received <= sent and received / 1000 > quiet - _EXACT)


def _sockets() -> Iterator[socket.socket]:
    """Yield every socket of this process, each as a copy."""
    for name in os.listdir(_DESCRIPTORS) if os.path.isdir(_DESCRIPTORS) else ():
        with suppress(OSError):
            copy = os.dup(int(name))
            try:
                found = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            yield found
