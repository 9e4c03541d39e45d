"""A WSGI application of a pipeline file, served by a real server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APPLICATION = "tests.pipeline_application:application"
START_SECONDS = 60
STOP_SECONDS = 15

SERVERS = ("granian", "gunicorn", "waitress")


@dataclass(frozen=True)
class Served:
    """A running server. ``pid`` is the one that was started; its workers, if it has any, are its children."""

    port: int
    pid: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-6000:]

    def worker_pids(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


def command(server: str, port: int, listener: int) -> list[str]:
    if server == "granian":
        options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--blocking-threads", "4"]
        return [sys.executable, "-m", "granian", *options, APPLICATION]
    if server == "gunicorn":
        options = ["--bind", f"fd://{listener}", "--worker-class", "gthread", "--threads", "4", "--timeout", "300"]
        return [sys.executable, "-m", "gunicorn", *options, "--no-control-socket", APPLICATION]
    return [sys.executable, "-m", "waitress", "--listen", f"127.0.0.1:{port}", APPLICATION]


@contextmanager
def served(ini: Path, server: str = "gunicorn", **environment: str) -> Iterator[Served]:
    """Serve the main application of ``ini``, wait until it accepts connections, and stop it for sure at the end."""
    if find_spec(server) is None:
        pytest.skip(f"{server} is not installed")
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    kept |= {"PYTHONPATH": str(ROOT), "SERVED_INI": str(ini), **environment}
    log_file = ini.with_suffix(f".{server}.log")
    with socket.create_server(("127.0.0.1", 0)) as listener, log_file.open("wb") as log:
        port = listener.getsockname()[1]
        inherited = server == "gunicorn"
        if not inherited:
            # These bind a port themselves.
            listener.close()
        process = subprocess.Popen(
            command(server, port, listener.fileno()),
            cwd=ROOT,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()] if inherited else [],
            start_new_session=True,
        )
    running = Served(port, process.pid, log_file)
    try:
        wait_until_ready(running, process)
        yield running
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(running: Served, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}:\n{running.log()}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", running.port), timeout=5) as probe:
            # An answer of any kind: with an inherited socket the kernel accepts before the server does.
            probe.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            if probe.recv(4) == b"HTTP":
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not answer:\n{running.log()}")
