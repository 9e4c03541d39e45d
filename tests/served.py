"""A running `protect serve`, for tests: on a free port, with what it says and its processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
EVALUATION = "/access/v1/evaluation"
DEADLINE = 30.0  # seconds that anything may take


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def eventually(found: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so; AssertionError when it takes too long."""
    deadline = time.monotonic() + DEADLINE
    while not found():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def question(tenant: str = "t1") -> bytes:
    """Whether a member of ``tenant`` may see an image of t1."""
    subject = {"type": "user", "id": "u1", "properties": {"tenant": tenant, "roles": ["member"]}}
    image = {"type": "image", "id": "i1", "properties": {"owner": "t1", "visibility": "private"}}
    return json.dumps({"subject": subject, "action": {"name": "get_image"}, "resource": image}).encode()


def over_unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


@dataclass
class Served:
    """One running service. ``log`` and ``output`` are files with what it writes."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    output: Path
    headers: Mapping[str, str] = field(default_factory=dict)
    unix: Path | None = None

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        if self.unix is not None:
            connection.sock = over_unix(self.unix)
        return connection

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = self.connect()
        try:
            sent = {**self.headers, **headers}
            if body is not None:
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def decision(self, tenant: str = "t1") -> bool:
        status, body = self.ask("POST", EVALUATION, question(tenant))
        assert status == 200, body
        return bool(json.loads(body)["decision"])

    def ready(self) -> dict[str, Any]:
        return dict(json.loads(self.ask("GET", "/readyz")[1]))

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Ask it to end, and return its status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


def answers(served: Served) -> bool:
    try:
        return served.ask("GET", "/healthz")[0] == 200
    except OSError:
        assert served.process.poll() is None, served.log.read_text()
        return False


def merged(environment: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(environment or {})}


@contextmanager
def serving(
    tmp_path: Path,
    *arguments: str,
    command: list[str] | None = None,
    port: int | None = None,
    unix: Path | None = None,
    headers: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Start it, wait until it answers, and end it. ``command``: instead of `protect serve` on a free port."""
    port = port or free_port()
    place = ["--unix", str(unix)] if unix else ["--listen", f"127.0.0.1:{port}"]
    whole = command or [sys.executable, "-m", "protect", "serve", *place, *arguments]
    log, output = tmp_path / "service.log", tmp_path / "service.out"
    with log.open("wb") as errors, output.open("wb") as lines:
        process = subprocess.Popen(
            whole,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=errors,
            env={**os.environ, **(environment or {})},
        )
    served = Served(process, port, log, output, headers or {}, unix)
    try:
        eventually(lambda: answers(served), f"the first answer of {' '.join(whole)}")
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def refused(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Start what must not start; return its status and what it says."""
    whole = [sys.executable, "-m", "protect", "serve", *arguments]
    done = subprocess.run(
        whole,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        env={**os.environ, **(environment or {})},
    )
    return done.returncode, done.stderr.decode()
