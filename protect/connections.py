"""Connections to one HTTP server, kept open between requests: over TCP, TLS or a UNIX socket.

Of the standard library alone, because one of its users runs inside other people's services.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from protect.errors import ConfigError

MOST_IDLE = 32  # connections that are kept for later
IDLE_SECONDS = 30.0
MOST_INTERIM = 8  # answers 1xx before the one that counts

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. ``prefix`` is what its paths start with; ``socket_path`` is set for a UNIX socket."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    socket_path: str = ""

    @property
    def netloc(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if _PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"unix:{self.socket_path}" if self.socket_path else f"{self.scheme}://{self.netloc}{self.prefix}"


def parse_address(option: str, text: str) -> Address:
    """Read ``http://host[:port][/prefix]``, the same with https, or ``unix:/path``; raises ConfigError.

    ``option`` is what the text was given as, for the message.
    """
    if "@" in text:
        # Whatever stands before it may be a password, and the message is logged.
        raise ConfigError(f"`{option}` has a `@`; leave out the name and the password")
    if text.startswith("unix:/"):
        return Address("http", "localhost", _PORTS["http"], socket_path=text.removeprefix("unix:"))
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    clean = text.isascii() and text.isprintable() and not set(text) & set(" ?#\\%")
    if scheme not in _PORTS or not host or port == 0 or not clean:
        raise ConfigError(
            f"`{option} = {text}` is not accepted; accepted: http://host:port, https://host:port, unix:/path"
        )
    return Address(scheme, host, port or _PORTS[scheme], prefix=parts.path.rstrip("/"))


class FinalResponse(http.client.HTTPResponse):
    """A response that is never an interim one: the standard library skips 100 only, and takes 103 for the answer."""

    def begin(self) -> None:
        super().begin()
        for _ in range(MOST_INTERIM):
            if self.status >= 200:
                return
            if self.status == 101:
                raise http.client.HTTPException("the server switches protocols, which nobody asked for")
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        raise http.client.HTTPException("too many interim answers")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Idle(NamedTuple):
    connection: http.client.HTTPConnection
    since: float
    process: int


class Connections:
    """The connections to one server, for any number of threads and of processes that were forked since.

    ``timeout``: seconds to connect, and between two signs of life. ``ca``: a file of certificates to trust
    instead of the system's.
    """

    def __init__(
        self, address: Address, *, timeout: float, ca: str | None = None, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.address = address
        self._timeout = timeout
        self._timer = timer
        self._tls = ssl.create_default_context(cafile=ca) if address.scheme == "https" else None
        # Appending to a deque and popping from it need no lock, which a fork could leave taken.
        self._idle: deque[_Idle] = deque()

    def fresh(self) -> http.client.HTTPConnection:
        """Return a new connection; raises OSError (TimeoutError among them)."""
        connection = self._new()
        # A connection that the server has closed must be noticed, never opened again in silence.
        connection.auto_open = 0
        connection.response_class = FinalResponse
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _new(self) -> http.client.HTTPConnection:
        address = self.address
        if address.socket_path:
            return _UnixConnection(address.socket_path, self._timeout)
        if self._tls is not None:
            return http.client.HTTPSConnection(address.host, address.port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout)

    def idle(self) -> http.client.HTTPConnection | None:
        """Return a connection that was kept and seems to be alive, None without one."""
        while self._idle:
            try:
                connection, since, process = self._idle.pop()
            except IndexError:
                return None
            # Of another process: it still talks over that socket. Something to read on a connection where nothing
            # was asked is its end, or an answer that belongs to nobody.
            fresh_enough = process == os.getpid() and self._timer() - since < IDLE_SECONDS
            if fresh_enough and connection.sock is not None and not readable(connection.sock):
                return connection
            connection.close()
        return None

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose last answer was read to the end."""
        if connection.sock is None or len(self._idle) >= MOST_IDLE:
            connection.close()
        else:
            self._idle.append(_Idle(connection, self._timer(), os.getpid()))

    def close(self) -> None:
        """Close what is kept; a request after that opens a new connection."""
        while self._idle:
            self._idle.pop().connection.close()

    def __del__(self) -> None:
        if hasattr(self, "_idle"):
            self.close()


def readable(sock: socket.socket) -> bool:
    """Tell whether something, or the end, could be read at once."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])  # what eventlet leaves of the module
