"""A server that answers each request with the bytes that it is told, and remembers what it was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Received:
    """One request. ``complete``: its body came to the end that it promised. ``connection`` counts from 1."""

    line: str
    headers: list[tuple[str, str]]
    connection: int
    body: bytes = field(default=b"", repr=False)
    complete: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


#: Returns what to answer; None hangs up.
Answer = Callable[[Received], bytes | None]


class Scripted:
    """``early``: answer before the body has been read, and read on only when the answer is None."""

    def __init__(self, answer: Answer, *, early: bool = False, then_close: bool = False) -> None:
        self.answer = answer
        self.early = early
        self.then_close = then_close
        self.received: list[Received] = []
        self.seen = threading.Semaphore(0)
        self.connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def request(self, seconds: float = 10) -> Received:
        """Return the next request, when it is over."""
        assert self.seen.acquire(timeout=seconds), "nothing was received"
        return self.received[-1]

    def accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self.connections.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock, len(self.connections)), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as stream:
            while request := read_head(stream, number):
                self.received.append(request)
                reply = self.answer(request) if self.early else None
                if reply is None:
                    read_body(stream, request)
                    reply = self.answer(request) if request.complete else None
                self.seen.release()
                if reply is None:
                    return
                sock.sendall(reply)
                if self.then_close:
                    return

    def close(self) -> None:
        for sock in self.connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


def read_head(stream: BufferedReader, connection: int) -> Received | None:
    line = stream.readline().decode("latin-1").rstrip("\r\n")
    if not line:
        return None
    headers = list[tuple[str, str]]()
    while text := stream.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = text.partition(":")
        headers.append((name, value.strip()))
    return Received(line, headers, connection)


def read_body(stream: BufferedReader, request: Received) -> None:
    if request.header("Transfer-Encoding") == "chunked":
        while size := stream.readline().strip():
            request.body += stream.read(int(size, 16))
            stream.readline()
            request.complete = size == b"0"
            if request.complete:
                return
        return
    length = int(request.header("Content-Length") or 0)
    request.body = stream.read(length)
    request.complete = len(request.body) == length


@contextmanager
def scripted(answer: Answer, *, early: bool = False, then_close: bool = False) -> Iterator[tuple[Scripted, str]]:
    """Run a server on 127.0.0.1; the second value is its address."""
    server = Scripted(answer, early=early, then_close=then_close)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=server.accept, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # Closing alone does not wake the thread that waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            server.close()
