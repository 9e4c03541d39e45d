"""A real Glance on 127.0.0.1, with or without our filter, and with or without Glance's own protection."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.glance.keystone import AUTH_TOKEN_CONF
from tests.glance.keystone import PASTE_INI as KEYSTONE_PIPELINE

ROOT = Path(__file__).parents[2]
GLANCE_ENV = Path(os.environ.get("PROTECT_GLANCE_ENV", ROOT / ".venv-glance"))
PYTHON = GLANCE_ENV / "bin" / "python"

START_SECONDS = 90
STOP_SECONDS = 15

PATCH_TYPE = "application/openstack-images-v2.1-json-patch"
DATA_TYPE = "application/octet-stream"

SERVER_CONF = """\
[DEFAULT]
enabled_backends = store1:file
use_keystone_limits = false
worker_self_reference_url = {url}
{options}
[database]
connection = sqlite:///{directory}/glance.sqlite
[glance_store]
default_backend = store1
[store1]
filesystem_store_datadir = {directory}/images
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[oslo_concurrency]
lock_path = {directory}/locks
[oslo_policy]
policy_file = {directory}/none.yaml
[paste_deploy]
config_file = {directory}/paste.ini
flavor = {flavor}
"""

TEST_PIPELINE = """\
[pipeline:glance-api-test]
pipeline = versionnegotiation testidentity {protect} context rootapp
[filter:testidentity]
paste.filter_factory = identity_filter:filter_factory
"""

PASTE_INI = """\
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
"""

PROTECT_INI = """\
[filter:protect]
paste.filter_factory = protect.factories:filter_factory
{options}
"""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:2000]!r}"


@dataclass(frozen=True)
class Glance:
    """A running Glance. ``directory`` holds its configuration, database, files and ``server.log``."""

    port: int
    pid: int
    directory: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(
        self,
        method: str,
        path: str,
        token: str | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Reply:
        """Send one request. ``body`` is bytes, an iterator of bytes (sent in chunks), or anything JSON."""
        sent = {"Content-Type": PATCH_TYPE} if method == "PATCH" else {}
        sent |= {"X-Auth-Token": token} if token is not None else {}
        sent |= dict(headers or {})
        if not isinstance(body, bytes | Iterator | None):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.headers.items()), reply.read())
        finally:
            connection.close()

    def patch(self, token: str, image_id: str, *changes: Mapping[str, Any]) -> Reply:
        return self.call("PATCH", f"/v2/images/{image_id}", token, list(changes))

    def create(self, token: str, /, **attributes: Any) -> str:
        """Create an image and return its id."""
        reply = self.call("POST", "/v2/images", token, attributes)
        assert reply.status == 201, f"{reply}\n{self.log()}"
        return str(reply.json["id"])

    def show(self, token: str, image_id: str) -> Any:
        reply = self.call("GET", f"/v2/images/{image_id}", token)
        assert reply.status == 200, f"{reply}\n{self.log()}"
        return reply.json

    def upload(self, token: str, image_id: str, data: bytes | Iterator[bytes], size: int | None = None) -> None:
        """Upload bytes; or an iterator of bytes: ``size`` of them, or without a size as a chunked request."""
        headers = {"Content-Type": DATA_TYPE} | ({"Content-Length": str(size)} if size is not None else {})
        reply = self.call("PUT", f"/v2/images/{image_id}/file", token, data, headers)
        assert reply.status == 204, f"{reply}\n{self.log()}"

    def download(self, token: str, image_id: str, piece: int = 1 << 20) -> Iterator[bytes]:
        """Yield the data of an image in pieces, none of which is kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", f"/v2/images/{image_id}/file", headers={"X-Auth-Token": token})
            reply = connection.getresponse()
            assert reply.status == 200, f"{reply.status}\n{self.log()}"
            while data := reply.read(piece):
                yield data
        finally:
            connection.close()

    def log(self, characters: int = 4000) -> str:
        return (self.directory / "server.log").read_text(errors="replace")[-characters:]

    def worker_pids(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


def environment(directory: Path) -> dict[str, str]:
    """Return the process environment: this checkout's `protect` and the identity filter, and no proxies."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    paths = [str(Path(__file__).parent), str(ROOT)]
    return kept | {"OS_GLANCE_CONFIG_DIR": str(directory), "PYTHONPATH": os.pathsep.join(paths)}


def make_database(directory: Path) -> Path:
    """Create an empty Glance database (seconds of migrations) and return its file, to be copied."""
    directory.mkdir(parents=True, exist_ok=True)
    write_configuration(directory, "http://127.0.0.1", None, "")
    configuration = directory / "glance-api.conf"
    made = subprocess.run(
        [PYTHON, GLANCE_ENV / "bin" / "glance-manage", "--config-file", configuration, "db_sync"],
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    return directory / "glance.sqlite"


def write_configuration(
    directory: Path, url: str, protect: Mapping[str, str] | None, native: str, options: str = "", keystone: str = ""
) -> None:
    for name in ("images", "staging", "tasks", "locks"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "none.yaml").write_text("{}\n")
    if native:
        (directory / "property-protections.conf").write_text(native)
        options += f"\nproperty_protection_file = {directory}/property-protections.conf\n"
        options += "property_protection_rule_format = roles\n"
    pipeline = KEYSTONE_PIPELINE if keystone else TEST_PIPELINE
    paste = pipeline.format(protect="protect" if protect is not None else "") + PASTE_INI
    if protect is not None:
        paste += PROTECT_INI.format(options="\n".join(f"{key} = {value}" for key, value in protect.items()))
    (directory / "paste.ini").write_text(paste)
    flavor = "keystone" if keystone else "test"
    conf = SERVER_CONF.format(url=url, directory=directory, options=options, flavor=flavor)
    if keystone:
        conf += AUTH_TOKEN_CONF.format(url=keystone)
    (directory / "glance-api.conf").write_text(conf)


@contextmanager
def running_glance(
    directory: Path,
    database: Path,
    *,
    protect: Mapping[str, str] | None = None,
    native: str = "",
    options: str = "",
    threads: int = 4,
    keystone: str = "",
) -> Iterator[Glance]:
    """Start a Glance, wait until it answers, and stop it for sure at the end.

    ``protect`` are our filter's options (None: no filter), ``native`` is the text of Glance's own
    property-protection file in the `roles` format, ``options`` more lines for Glance's [DEFAULT] section. With the
    address of a ``keystone`` the pipeline is the one that Glance ships, which asks it about tokens.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(database, directory / "glance.sqlite")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The socket is bound here and inherited, so that nothing else can take the port meanwhile.
        port = listener.getsockname()[1]
        write_configuration(directory, f"http://127.0.0.1:{port}", protect, native, options, keystone)
        command = [
            *(str(PYTHON), "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--workers", "1"),
            *(
                "--worker-class",
                "gthread",
                "--threads",
                str(threads),
                "--timeout",
                "300",
                "--no-control-socket",
            ),
            "glance.wsgi.api:application",
        ]
        with (directory / "server.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment(directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
    try:
        glance = Glance(port, process.pid, directory)
        wait_until_ready(glance, process)
        yield glance
    finally:
        stop(process)


def wait_until_ready(glance: Glance, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"glance ended with status {process.returncode}:\n{glance.log()}")
        with suppress(OSError, http.client.HTTPException):
            if glance.call("GET", "/versions", None, timeout=2).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"glance does not answer after {START_SECONDS} seconds:\n{glance.log()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    # Whatever is left in the server's own process group: a worker that hangs in a request.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
