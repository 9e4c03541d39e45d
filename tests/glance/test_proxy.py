"""The proxy in front of a real Glance that has no filter of its own: the same story, told over HTTP."""

from __future__ import annotations

import dataclasses
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import ROOT, Glance, Reply
from tests.glance.test_story import DATA, Client, refused, worked
from tests.glance.test_streaming import FLAT, MIB, WARM_UP, forget_peak, memory, stored, there_and_back
from tests.pipeline_servers import SERVERS, Served, served

OWNER = "olivia:t1:member,reader"
STRANGER = "sam:t3:member,reader"
ADMIN = "ada:ops:admin,member,reader"

INI = """\
[pipeline:main]
pipeline = identity protect
[filter:identity]
paste.filter_factory = tests.glance.identity_filter:filter_factory
[app:protect]
paste.app_factory = protect.proxy.factory:app_factory
upstream = {upstream}
policy = {policy}
image_size_cap = 4294967296
"""


@pytest.fixture(scope="module")
def behind(start_glance: StartGlance) -> Glance:
    return start_glance(options="show_multiple_locations = true")


@pytest.fixture(scope="module")
def proxies(behind: Glance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    """One proxy for each kind of server, started when it is asked for."""
    policy = f"{ROOT / 'rules'} {ROOT / 'rules' / 'variants' / 'hidden_property.polar'}"
    with ExitStack() as stack:

        class Started(dict[str, Served]):
            def __missing__(self, server: str) -> Served:
                ini = tmp_path_factory.mktemp("proxy") / "proxy.ini"
                ini.write_text(INI.format(upstream=behind.url, policy=policy))
                self[server] = stack.enter_context(served(ini, server))
                return self[server]

        yield Started()


@pytest.fixture(scope="module", params=SERVERS)
def glance(request: pytest.FixtureRequest, behind: Glance, proxies: dict[str, Served]) -> Glance:
    """What a client sees of Glance: the proxy's address."""
    return dataclasses.replace(behind, port=proxies[request.param].port)


@pytest.fixture
def client(glance: Glance, tmp_path: Path) -> Client:
    return Client(glance, tmp_path)


def new_image(glance: Glance, token: str = OWNER, **attributes: Any) -> str:
    return glance.create(token, disk_format="raw", container_format="bare", **attributes)


def header(reply: Reply, name: str) -> str | None:
    # Not every server writes a header's name as it was given.
    return {key.lower(): value for key, value in reply.headers.items()}.get(name.lower())


def status_of(glance: Glance, image: str) -> Any:
    return glance.show(ADMIN, image)["status"]


def test_the_clients_work_through_the_proxy(client: Client, glance: Glance, tmp_path: Path) -> None:
    data = tmp_path / "image.raw"
    data.write_bytes(DATA)
    options = ("--disk-format", "raw", "--container-format", "bare", "--property", "os_distro=debian")
    shown = worked(client.glanceclient(OWNER, "image-create", "--name", "mine", *options, "--file", str(data)))
    found = re.search(r"\| id +\| (\S+)", shown)
    assert found, shown
    image = found[1]

    worked(client.glanceclient(OWNER, "image-download", "--file", str(tmp_path / "back.raw"), image))
    assert (tmp_path / "back.raw").read_bytes() == DATA
    worked(client.openstack(OWNER, "set", "--property", "os_version=12", image))
    assert "os_version='12'" in worked(client.openstack(OWNER, "show", "-c", "properties", image))
    refused(client.openstack(OWNER, "set", "--property", "kernel_id=evil", image), "403")
    refused(client.openstack(STRANGER, "show", image), "404|No Image found")
    worked(client.openstack(OWNER, "delete", image))


def test_a_hidden_property_is_hidden_and_survives(glance: Glance) -> None:
    image = new_image(glance, ADMIN, owner="t1", cost_centre="4711")

    assert "cost_centre" not in glance.show(OWNER, image)
    assert glance.patch(OWNER, image, {"op": "replace", "path": "/name", "value": "n"}).status == 200
    assert glance.show(ADMIN, image)["cost_centre"] == "4711"
    listed = glance.call("GET", "/v2/images?cost_centre=4711", OWNER).json["images"]
    assert listed == []


def test_who_asks_is_not_what_the_client_says(glance: Glance) -> None:
    forged = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": "ops", "X-User-Id": "ada"}

    assert glance.call("GET", "/v2/images", None, headers=forged).status == 401


@pytest.mark.parametrize(
    ("wanted", "status", "data"),
    [
        pytest.param("bytes=0-9", 206, DATA[:10], id="the beginning"),
        pytest.param("bytes=-5", 206, DATA[-5:], id="the end"),
        pytest.param("bytes=999999999-", 416, None, id="beyond the end"),
    ],
)
def test_a_part_of_an_image(glance: Glance, wanted: str, status: int, data: bytes | None) -> None:
    image = new_image(glance)
    glance.upload(OWNER, image, DATA)

    reply = glance.call("GET", f"/v2/images/{image}/file", OWNER, headers={"Range": wanted})

    assert reply.status == status
    if data is not None:
        assert reply.body == data
        assert header(reply, "Content-Length") == str(len(data))


@pytest.mark.parametrize(
    "method, path, status",
    [
        pytest.param("GET", "/v2/images/{}/file", 204, id="no data yet"),
        pytest.param("HEAD", "/v2/images/{}/file", 405, id="HEAD"),
        pytest.param("GET", "/v2/images/none", 404, id="not there"),
        pytest.param("GET", "/v2/images/{}%2Ffile", 204, id="an encoded slash"),
    ],
)
def test_answers_without_data(glance: Glance, method: str, path: str, status: int) -> None:
    reply = glance.call(method, path.format(new_image(glance)), OWNER)

    assert (reply.status, header(reply, "Transfer-Encoding")) == (status, None)


def test_the_new_images_address_is_the_proxys(glance: Glance, behind: Glance) -> None:
    reply = glance.call("POST", "/v2/images", OWNER, {"disk_format": "raw", "container_format": "bare"})

    assert reply.status == 201
    assert header(reply, "Location") == f"{glance.url}/v2/images/{reply.json['id']}"


@pytest.mark.parametrize("chunked", [pytest.param(False, id="a length"), pytest.param(True, id="chunks")])
def test_an_upload_that_breaks_off_makes_no_image(glance: Glance, chunked: bool) -> None:
    image = new_image(glance)
    head = f"PUT /v2/images/{image}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {OWNER}\r\n"
    head += "Content-Type: application/octet-stream\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n40\r\n" if chunked else "Content-Length: 64\r\n\r\n"
    with socket.create_connection(("127.0.0.1", glance.port)) as sock:
        sock.settimeout(20)
        sock.sendall(head.encode() + b"half" * 4)
        sock.shutdown(socket.SHUT_WR)
        # Until the proxy has noticed: it says something, or hangs up as well.
        while sock.recv(65536):
            pass

    deadline = time.monotonic() + 20
    while status_of(glance, image) == "saving" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status_of(glance, image) != "active"


@pytest.mark.parametrize("chunked", [pytest.param(False, id="a length"), pytest.param(True, id="chunks")])
def test_memory_stays_flat(behind: Glance, proxies: dict[str, Served], chunked: bool) -> None:
    proxy = proxies["gunicorn"]
    glance = dataclasses.replace(behind, port=proxy.port)
    (worker,) = proxy.worker_pids()
    warm, image = new_image(glance), new_image(glance)
    there_and_back(glance, warm, WARM_UP, chunked)
    forget_peak(worker)
    before = memory(worker, "VmRSS")

    try:
        there_and_back(glance, image, 512 * MIB if chunked else 2048 * MIB, chunked)
        peak = memory(worker, "VmHWM")
    finally:
        for each in (warm, image):
            assert glance.call("DELETE", f"/v2/images/{each}", OWNER).status == 204

    assert proxy.worker_pids() == [worker]
    assert peak - before < FLAT


def test_a_refused_upload_stores_nothing(glance: Glance) -> None:
    image = new_image(glance)
    before = len(stored(glance))

    reply = glance.call(
        "PUT", f"/v2/images/{image}/file", STRANGER, b"x" * MIB, {"Content-Type": "application/octet-stream"}
    )

    assert reply.status == 404
    assert len(stored(glance)) == before
