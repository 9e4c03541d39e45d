"""Bodies that do not come: when that is too much, and whose connections are ended then."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from protect.service.slow_bodies import LATE, end_reading, stuck
from protect.serving import ServerSettings


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        pytest.param([0.0, 0.0], True, id="every thread waits"),
        pytest.param([0.0], False, id="one of two waits"),
        pytest.param([0.0, 1.0], False, id="one has begun just now"),
        pytest.param([], False, id="nobody waits"),
    ],
)
def test_it_is_too_much_when_every_thread_has_waited_too_long(waiting: list[float], expected: bool) -> None:
    assert stuck(waiting, 2, LATE + 0.5) is expected


@contextmanager
def connected(listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client, and our end of its connection."""
    with socket.socket(listener.family) as client:
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            yield client, ours


def ended(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        while connection.recv(100):
            pass
    except BlockingIOError:
        return False
    return True


def test_only_connections_that_are_quiet_and_have_no_answer_are_ended() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        settings = ServerSettings(port=listener.getsockname()[1])
        (quiet, ours), (busy, busy_ours), (answered, answered_ours) = [
            stack.enter_context(connected(listener)) for _ in range(3)
        ]
        theirs, elsewhere = stack.enter_context(connected(other))
        for client in (quiet, answered, theirs):
            client.send(b"x")
        pause(0.1)
        answered_ours.send(b"y")
        pause(0.3)
        busy.send(b"x")
        assert end_reading(settings.owns, 0.3) == 1
        assert ended(ours)
        assert not any(ended(each) for each in (busy_ours, answered_ours, elsewhere))
        assert end_reading(settings.owns, 0) == 3
        assert ended(busy_ours)
        assert ended(answered_ours)
        assert not ended(elsewhere)
        ours.send(b"an answer")
        assert quiet.recv(100) == b"an answer"


def test_a_unix_socket_does_not_tell_who_is_quiet(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with connected(listener) as (_, ours):
            assert end_reading(ServerSettings(unix=tmp_path / "other").owns, 1) == 0
            assert end_reading(ServerSettings(unix=path).owns, 1) == 1
            assert ended(ours)


def pause(seconds: float) -> None:
    """Let the kernel's clocks of the connections run."""
    threading.Event().wait(seconds)
