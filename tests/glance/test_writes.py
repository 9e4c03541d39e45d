"""A real Glance behind the filter: what one request may write, and what it may not learn by trying."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import ROOT, Glance, Reply

OWNER = "olivia:t1:member,reader"
ADMIN = "ada:ops:admin,member,reader"
OLDER = {"Content-Type": "application/openstack-images-v2.0-json-patch"}

POLICY = """\
forbid(_subject: Subject, "communitize_image", image: Image) if image.has_property("internal");
forbid(_subject: Subject, "create", property: Property) if
    property.name = "internal" and property.image.visibility = "community";

forbid(subject: Subject, "get_image", image: Image) if
    image.get("quarantine") = "yes" and not image_admin(subject);

operators("cost_centre");
forbid(subject: Subject, action, property: Property) if
    action in ["create", "read", "update", "delete"] and
    operators(property.name) and
    not image_admin(subject);
discard(_subject: Subject, "create", property: Property) if operators(property.name);

forbid(subject: Subject, action, property: Property) if
    action in ["create", "update"] and
    property.name in ["checksum", "os_hash_algo", "os_hash_value"] and
    not image_admin(subject);

forbid(subject: Subject, action, location: Location) if
    action in ["set_image_location", "add_image_location"] and
    subject.has_role("stored") and
    not location.get("store") = "web";

forbid(_subject: Subject, "create", property: Property) if property.matches("^dropped_");
discard(_subject: Subject, "create", property: Property) if property.matches("^dropped_");
"""

OPTIONS = """\
show_multiple_locations = true
enabled_backends = store1:file,web:http
image_property_quota = -1
[web]
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = []
disallowed_ports = []
"""


@pytest.fixture(scope="module")
def glance(start_glance: StartGlance, tmp_path_factory: pytest.TempPathFactory) -> Glance:
    policy = tmp_path_factory.mktemp("policy") / "writes.polar"
    policy.write_text(POLICY)
    return start_glance(protect={"policy": f"{ROOT / 'rules'} {policy}", "decision_log": "denied"}, options=OPTIONS)


@pytest.fixture(scope="module")
def data() -> Iterator[str]:
    """Serve some bytes, and yield their address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"data")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/x"
        server.shutdown()


def add(name: str, value: Any = "1") -> dict[str, Any]:
    return {"op": "add", "path": f"/{name}", "value": value}


def replace(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}


def new_image(glance: Glance, token: str = OWNER, **attributes: Any) -> str:
    return glance.create(token, disk_format="raw", container_format="bare", **attributes)


# --- One patch of many operations ---

INTERNAL, COMMUNITY = add("internal"), replace("visibility", "community")


def test_one_patch_does_not_pass_what_two_would_not(glance: Glance) -> None:
    for changes in ((INTERNAL, COMMUNITY), (COMMUNITY, INTERNAL)):
        image = new_image(glance, visibility="private")
        before = glance.show(ADMIN, image)
        assert glance.patch(OWNER, image, *changes).status == 403
        assert glance.show(ADMIN, image) == before
        assert glance.patch(OWNER, image, changes[0]).status == 200
        assert glance.patch(OWNER, image, changes[1]).status == 403


def test_operations_that_have_nothing_to_do_with_each_other_are_done(glance: Glance) -> None:
    image = new_image(glance, visibility="private", old="1")
    changes = (add("other"), COMMUNITY, {"op": "remove", "path": "/old"}, replace("tags", ["a"]), replace("other", "2"))
    assert glance.patch(OWNER, image, *changes).status == 200
    truth = glance.show(ADMIN, image)
    assert (truth["visibility"], truth["other"], truth["tags"], "old" in truth) == ("community", "2", ["a"], False)


# --- What a write shows ---


def test_a_patch_shows_no_image_that_may_not_be_seen(glance: Glance) -> None:
    image = new_image(glance, secret="s3")
    assert glance.patch(OWNER, image, add("z")).status == 200
    assert glance.patch(ADMIN, image, add("quarantine", "yes")).status == 200
    before = glance.show(ADMIN, image)
    shown = glance.call("GET", f"/v2/images/{image}", OWNER)
    assert shown.status == 404
    for change in (add("z", "2"), add("cost_centre"), {"op": "remove", "path": "/quarantine"}):
        reply = glance.patch(OWNER, image, change)
        assert (reply.status, reply.body) == (404, shown.body)
    assert glance.show(ADMIN, image) == before


def test_a_write_does_not_tell_whether_a_hidden_property_exists(glance: Glance) -> None:
    there, absent = new_image(glance), new_image(glance)
    assert glance.patch(ADMIN, there, add("cost_centre", "4711")).status == 200

    def told(image: str, *changes: Any, **options: Any) -> Any:
        before = len(lines(glance))
        reply = glance.call("PATCH", f"/v2/images/{image}", OWNER, list(changes), **options)
        logged = [line.get("action") for line in lines(glance)[before:] if line.get("action") != "read"]
        return reply.status, names(reply), without_what_differs(reply), logged

    for changes, options in (
        ([add("cost_centre", "guess")], {}),
        ([add("x"), add("cost_centre", "guess")], {}),
        ([add("cost_centre", "guess"), replace("cost_centre", "guess")], {}),
        ([{"add": "/cost_centre", "value": "guess"}], {"headers": OLDER}),
    ):
        assert told(there, *changes, **options) == told(absent, *changes, **options)
    assert glance.show(ADMIN, there)["cost_centre"] == "4711"
    assert "cost_centre" not in glance.show(ADMIN, absent)


def lines(glance: Glance) -> list[dict[str, Any]]:
    """Return the lines of the decision log."""
    found = []
    for line in glance.log(10_000_000).splitlines():
        if '"outcome"' in line:
            found.append(json.loads(line[line.index("{") :]))
    return found


def names(reply: Reply) -> dict[str, str]:
    """Return the headers that do not differ from one answer to the next."""
    passing = ("date", "content-length", "x-openstack-request-id")
    return {name: value for name, value in reply.headers.items() if name.lower() not in passing}


def without_what_differs(reply: Reply) -> Any:
    if reply.status != 200:
        return reply.body
    own = ("id", "self", "file", "created_at", "updated_at")
    return {name: value for name, value in reply.json.items() if name not in own}


# --- Ids ---


@pytest.mark.parametrize(("ending", "status"), [("", 201), ("\n", 400), (" ", 400)])
def test_no_image_is_made_that_nobody_reaches(glance: Glance, ending: str, status: int) -> None:
    image = str(uuid.uuid4()) + ending
    reply = glance.call("POST", "/v2/images", OWNER, {"id": image, "name": image.strip()})
    assert reply.status == status
    listed = glance.call("GET", f"/v2/images?name={image.strip()}", OWNER).json["images"]
    assert [each["id"] for each in listed] == ([image] if status == 201 else [])
    assert (glance.call("DELETE", f"/v2/images/{quote(image)}", OWNER).status == 204) is (status == 201)


# --- Locations ---

SUMS = {"os_hash_algo": "sha512", "os_hash_value": "ab" * 64}


def test_no_sum_comes_with_a_location(glance: Glance, data: str) -> None:
    place = {"url": data, "metadata": {}}
    lied = place | {"validation_data": SUMS | {"checksum": "0" * 32}}
    image = new_image(glance)
    before = glance.show(ADMIN, image)
    for change in (add("locations/-", lied), replace("locations", [lied])):
        assert glance.patch(OWNER, image, change).status == 403
    body = {"url": data, "validation_data": SUMS}
    assert glance.call("POST", f"/v2/images/{image}/locations", OWNER, body).status == 403
    assert glance.show(ADMIN, image) == before

    assert glance.patch(OWNER, image, add("locations/-", place)).status == 200
    assert glance.show(ADMIN, image)["checksum"] is None
    other = new_image(glance)
    assert glance.patch(ADMIN, other, add("locations/-", lied)).status == 200
    assert glance.show(ADMIN, other)["checksum"] == "0" * 32


@pytest.mark.parametrize("store", ["web", "store1", None])
def test_nobody_says_in_which_store_a_location_lies(glance: Glance, data: str, store: str | None) -> None:
    image = new_image(glance)
    place = {"url": data, "metadata": {} if store is None else {"store": store}}
    asked = f"{OWNER},stored"
    for change in (add("locations/-", place), replace("locations", [place])):
        assert glance.patch(asked, image, change).status == 403
    assert glance.call("POST", f"/v2/images/{image}/locations", asked, place).status == 403
    # Whoever is not asked for the store may add it, and Glance finds the store by the address.
    assert glance.patch(OWNER, image, add("locations/-", place)).status == 200
    assert glance.show(ADMIN, image)["locations"] == [{"url": data, "metadata": {"store": "web"}}]


def test_a_location_is_added_by_its_address(glance: Glance, data: str) -> None:
    image = new_image(glance)
    body = {"url": data, "metadata": {"store": "store1", "tier": "x"}}
    assert glance.call("POST", f"/v2/images/{image}/locations", OWNER, body).status == 202
    deadline = time.monotonic() + 30
    while glance.show(ADMIN, image)["status"] != "active" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert glance.show(ADMIN, image)["locations"] == [{"url": data, "metadata": {"store": "web"}}]


# --- Very many ---


@pytest.mark.parametrize(("count", "status"), [(512, 201), (513, 413), (10_000, 413)])
def test_a_create_has_a_bound_and_so_has_what_it_logs(glance: Glance, count: int, status: int, tmp_path: Path) -> None:
    # One of them stays, so that the image is decided on again without the rest.
    body = {f"dropped_{number}": "" for number in range(count - 1)} | {"kept": "1"}
    before = len(glance.log(100_000_000))
    reply = glance.call("POST", "/v2/images", OWNER, body)
    assert reply.status == status
    assert (b"at most 512 properties" in reply.body) is (status == 413)
    assert len(glance.log(100_000_000)) - before < (1_000_000 if status == 201 else 10_000)
