"""Real WSGI servers with small applications, to see what they make of a request."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from protect.identity.guards import Guard, Tls, Unauthenticated, Unix
from protect.identity.keystone import VERIFIED, identify
from tests.certificates import Authority

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
SERVERS = ("granian", "gunicorn", "waitress")
DEADLINE = 30.0  # seconds until a server must answer

# What keystonemiddleware takes out of a request before it sets its own. Names as WebOb looks them up: `-` is `_`.
_SET_BY_KEYSTONE = re.compile(
    r"HTTP_(X_(SERVICE_)?(IDENTITY_STATUS|ROLES?|(USER|PROJECT|TENANT|DOMAIN)(_\w+)?)|X_SERVICE_CATALOG"
    r"|X_IS_ADMIN_PROJECT)"
)


def unix_guard(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer who asks, as the guard for Unix sockets sees it."""
    return _guarded(Unix(), environ, start_response)


def tls_guard(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer who asks, as the guard for client certificates sees it."""
    return _guarded(Tls(listener_verifies=True), environ, start_response)


def _guarded(guard: Guard, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    try:
        return _answer(start_response, {"name": guard(environ).name})
    except Unauthenticated as error:
        return _answer(start_response, {"refused": error.reason})


def raw(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer what the server makes of a request, and whom the filter would see: nobody stands before it."""
    return _answer(start_response, _seen(environ))


def behind_keystone(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer the same behind a stand-in for keystonemiddleware, for which every `X-Auth-Token` is a member's."""
    for key in [key for key in environ if _SET_BY_KEYSTONE.fullmatch(key)]:
        del environ[key]
    if environ.get("HTTP_X_AUTH_TOKEN"):
        environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
        environ["HTTP_X_USER_ID"] = "u1"
        environ["HTTP_X_PROJECT_ID"] = "t1"
        environ["HTTP_X_ROLES"] = "member"
    else:
        environ["HTTP_X_IDENTITY_STATUS"] = "Invalid"
    environ[VERIFIED] = object()
    return _answer(start_response, _seen(environ))


def behind_a_mark(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer the same behind a stand-in that leaves the mark, but forgets to take the client's headers out."""
    environ[VERIFIED] = object()
    return _answer(start_response, _seen(environ))


def _seen(environ: WSGIEnvironment) -> dict[str, Any]:
    subject = identify(environ)
    headers = {key: value for key, value in environ.items() if key.startswith("HTTP_X") or key == "HTTP_AUTHORIZATION"}
    return {"headers": headers, "authenticated": subject.authenticated, "roles": sorted(subject.roles)}


def _answer(start_response: StartResponse, document: object) -> list[bytes]:
    body = json.dumps(document).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class Server:
    """A server with one of the applications above, on a free port or a Unix socket.

    With an ``authority``, whose certificate for `server` it shows, it wants one of a client as well, unless
    ``anonymous`` clients are let in.
    """

    def __init__(
        self,
        name: str,
        application: str,
        folder: Path,
        *,
        unix: bool = False,
        authority: Authority | None = None,
        anonymous: bool = False,
    ) -> None:
        self._authority = authority
        self._client = None if anonymous else "client"
        self._path = str(folder / f"{name}-{application}.sock") if unix else ""
        self._port = 0 if unix else _free_port()
        self._log = (folder / f"{name}-{application}-{self._port}.log").open("wb")
        self._process = subprocess.Popen(
            [
                *_command(name, self._path, self._port),
                *(_tls(name, authority, anonymous) if authority else []),
                f"tests.servers:{application}",
            ],
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                self.get([])
                return self
            except (OSError, ValueError):
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self._stop()
                    raise AssertionError(f"the server does not answer: {Path(self._log.name).read_text()}") from None
                select.select([], [], [], 0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def get(self, headers: Sequence[str], host: str = "images.example") -> dict[str, Any]:
        """Return the answer to a request with these lines in its head, byte for byte."""
        lines = ["GET / HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
        with self._connected() as connection:
            connection.sendall("\r\n".join(lines).encode("latin-1"))
            data = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = data.partition(b"\r\n\r\n")
        return {"status": int(head.split()[1])} if b" 200 " not in head[:16] else json.loads(body)

    def _connected(self) -> socket.socket:
        plain = socket.socket(socket.AF_UNIX if self._path else socket.AF_INET)
        try:
            plain.settimeout(DEADLINE)
            plain.connect(self._path or ("127.0.0.1", self._port))
            if self._authority is None:
                return plain
            return self._authority.context(self._client).wrap_socket(plain, server_hostname="127.0.0.1")
        except OSError:
            plain.close()
            raise

    def connects(self, client: str | None) -> bool:
        """Tell whether the server lets this client in."""
        before, self._client = self._client, client
        try:
            self.get([])
        except (OSError, ValueError, IndexError):
            return False
        finally:
            self._client = before
        return True

    def _stop(self) -> None:
        # Its workers too: they are in its group.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()


def _command(name: str, path: str, port: int) -> list[str]:
    if name == "granian":
        place = ["--uds", path] if path else ["--port", str(port)]
        return [f"{BIN}/granian", "--interface", "wsgi", "--blocking-threads", "1", *place]
    if name == "gunicorn":
        place = ["--bind", f"unix:{path}" if path else f"127.0.0.1:{port}"]
        return [f"{BIN}/gunicorn", "-k", "gthread", "--no-control-socket", *place]
    return [f"{BIN}/waitress-serve", f"--unix-socket={path}" if path else f"--listen=127.0.0.1:{port}"]


def _tls(name: str, authority: Authority, anonymous: bool) -> list[str]:
    certificate, key, ca = (f"{authority.folder}/{file}" for file in ("server.pem", "server.key", "ca.pem"))
    if name == "granian":
        wanted = [] if anonymous else ["--ssl-ca", ca, "--ssl-client-verify"]
        return ["--ssl-certificate", certificate, "--ssl-keyfile", key, *wanted]
    wanted = [] if anonymous else ["--ca-certs", ca, "--cert-reqs", "2"]
    return ["--certfile", certificate, "--keyfile", key, *wanted]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
