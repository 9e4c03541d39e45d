"""A real Glance behind the filter: what tasks tell, and metadata definitions by every door that leads to them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import ROOT, Glance

OPERATOR = "oscar:ops:admin,operator,member,reader"
ADMIN = "ada:ops:admin,member,reader"
READER = "rita:t1:reader"

POLICY = """\
forbid(subject: Subject, "get_image_location", _image: Image) if subject.has_role("operator");
forbid(subject: Subject, "tasks_api_access", task: Task) if
    subject.has_role("operator") and task.get("import_from_format") = "secret";

writes("add_metadef_namespace"); writes("modify_metadef_namespace"); writes("add_metadef_property");
writes("add_metadef_object"); writes("add_metadef_tag"); writes("add_metadef_resource_type_association");
forbid(subject: Subject, action, metadef: Metadef) if
    writes(action) and subject.has_role("operator") and metadef.id = "official";
forbid(subject: Subject, "add_metadef_namespace", metadef: Metadef) if
    subject.has_role("operator") and metadef.visibility = "public";
forbid(subject: Subject, "get_metadef_namespace", metadef: Metadef) if
    metadef.owner = "hidden" and subject.has_role("reader") and not subject.has_role("admin");
"""

#: Images come from this machine, by any port.
OPTIONS = """
enabled_backends = store1:file,web:http
enabled_import_methods = [web-download]
[web]
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = []
"""
SPACES = "/v2/metadefs/namespaces"


@pytest.fixture(scope="module")
def glance(start_glance: StartGlance, tmp_path_factory: pytest.TempPathFactory) -> Glance:
    policy = tmp_path_factory.mktemp("policy") / "tasks.polar"
    policy.write_text(POLICY)
    return start_glance(protect={"policy": f"{ROOT / 'rules'} {policy}"}, options=OPTIONS)


class _Data(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"data")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def web() -> Iterator[str]:
    """Serve four bytes at any address, and yield one that has a user and a query."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Data) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:s3cr3t@127.0.0.1:{server.server_port}/image?secret=s3cr3t"
        server.shutdown()


# --- Tasks ---


def tasks_of(glance: Glance, token: str, image: str) -> list[Any]:
    return list(glance.call("GET", f"/v2/images/{image}/tasks", token).json["tasks"])


def settled(glance: Glance, image: str) -> str:
    """Return the id of the image's only task when that has ended."""
    deadline = time.monotonic() + 30
    while (task := tasks_of(glance, ADMIN, image)[0])["status"] in ("pending", "processing"):
        assert time.monotonic() < deadline, task
        time.sleep(0.1)
    return str(task["id"])


def imported(glance: Glance, url: str) -> str:
    image = glance.create(ADMIN, disk_format="raw", container_format="bare")
    method = {"name": "web-download", "uri": url}
    assert glance.call("POST", f"/v2/images/{image}/import", ADMIN, {"method": method}).status == 202
    return image


def located(glance: Glance, url: str) -> str:
    image = glance.create(ADMIN, disk_format="raw", container_format="bare")
    sums = {"os_hash_algo": "sha512", "os_hash_value": "00" * 64}
    added = glance.call("POST", f"/v2/images/{image}/locations", ADMIN, {"url": url, "validation_data": sums})
    assert added.status == 202, added
    return image


@pytest.mark.parametrize("make", [imported, located], ids=["an-import", "a-location"])
def test_a_task_tells_no_address_to_whoever_may_not_read_locations(glance: Glance, make: Any) -> None:
    with web() as url:
        image = make(glance, url)
        task = settled(glance, image)

    for path in (f"/v2/images/{image}/tasks", f"/v2/tasks/{task}"):
        told = glance.call("GET", path, ADMIN)
        kept = glance.call("GET", path, OPERATOR)
        assert (told.status, kept.status) == (200, 200)
        assert b"s3cr3t" in told.body
        assert b"s3cr3t" not in kept.body and b"[removed]" in kept.body and image.encode() in kept.body
    assert b"s3cr3t" not in glance.call("GET", "/v2/tasks", OPERATOR).body


def test_a_list_of_tasks_shows_none_on_which_a_rule_could_not_be_asked(glance: Glance) -> None:
    image_properties = {"disk_format": "raw", "container_format": "bare"}
    given = {"import_from": "http://127.0.0.1:1/x", "image_properties": image_properties}
    made = {
        form: glance.call("POST", "/v2/tasks", ADMIN, {"type": "import", "input": given | {"import_from_format": form}})
        for form in ("secret", "raw")
    }
    assert {reply.status for reply in made.values()} == {201}

    def statuses(token: str) -> list[int]:
        return [glance.call("GET", f"/v2/tasks/{reply.json['id']}", token).status for reply in made.values()]

    assert (statuses(OPERATOR), statuses(ADMIN)) == ([403, 200], [200, 200])
    # The list says nothing of the format, so it cannot tell which of them may be seen.
    assert glance.call("GET", "/v2/tasks", OPERATOR).json["tasks"] == []
    assert len(glance.call("GET", "/v2/tasks", ADMIN).json["tasks"]) >= 2
    page = glance.call("GET", "/v2/tasks?limit=1", OPERATOR)
    assert (page.json["tasks"], "next" in page.json) == ([], False)


# --- Metadata definitions ---


TYPED = {"title": "x", "type": "string"}


@pytest.mark.parametrize(
    ("method", "path", "body", "done"),
    [
        pytest.param("POST", "/properties", {"name": "NAME", **TYPED}, 201, id="a-property"),
        pytest.param("PUT", "/properties/p", {"name": "NAME", **TYPED}, 200, id="a-property-by-a-new-name"),
        pytest.param("POST", "/objects", {"name": "NAME"}, 201, id="an-object"),
        pytest.param("PUT", "/objects/o", {"name": "NAME"}, 200, id="an-object-by-a-new-name"),
        pytest.param("POST", "/objects", {"name": "q", "properties": {"NAME": TYPED}}, 201, id="inside-an-object"),
        pytest.param("POST", "/tags/NAME", None, 201, id="a-tag"),
        pytest.param("PUT", "/tags/t", {"name": "NAME"}, 200, id="a-tag-by-a-new-name"),
        pytest.param("POST", "/tags", {"tags": [{"name": "NAME"}]}, 201, id="tags"),
        pytest.param("POST", "/resource_types", {"name": "NAME"}, 201, id="a-resource-type"),
        pytest.param("PUT", "", {"namespace": "NAME"}, 200, id="a-namespace-by-a-new-name"),
    ],
)
def test_a_name_is_refused_by_every_door(
    glance: Glance, method: str, path: str, body: dict[str, Any] | None, done: int
) -> None:
    made: dict[str, Any] = {"namespace": "doors", "owner": "ops", "visibility": "private", "tags": [{"name": "t"}]}
    made |= {"properties": {"p": TYPED}, "objects": [{"name": "o"}]}
    make_namespace(glance, made)

    def status(name: str) -> int:
        filled = _named(body, name)
        return glance.call(method, f"{SPACES}/doors" + path.replace("NAME", name), OPERATOR, filled).status

    before = glance.call("GET", f"{SPACES}/doors", ADMIN).body
    assert status("official") == 403
    assert glance.call("GET", f"{SPACES}/doors", ADMIN).body == before
    assert status("other") == done
    for name in ("doors", "other"):
        glance.call("DELETE", f"{SPACES}/{name}", ADMIN)


def make_namespace(glance: Glance, made: dict[str, Any]) -> None:
    """Create a namespace; again while a task of before has Glance's database locked."""
    for _ in range(40):
        glance.call("DELETE", f"{SPACES}/{made['namespace']}", ADMIN)
        reply = glance.call("POST", SPACES, ADMIN, made)
        if reply.status == 201:
            return
        time.sleep(0.25)
    raise AssertionError(f"{reply}\n{glance.log()}")


def _named(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key.replace("NAME", name): _named(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, name) for each in value]
    return value.replace("NAME", name) if isinstance(value, str) else value


def test_a_namespace_is_not_made_public_by_the_other_door(glance: Glance) -> None:
    named: dict[str, Any] = {"namespace": "mine", "owner": "ops"}
    assert glance.call("POST", SPACES, OPERATOR, named | {"visibility": "public"}).status == 403
    assert glance.call("POST", SPACES, OPERATOR, named | {"visibility": "private"}).status == 201
    assert glance.call("PUT", f"{SPACES}/mine", OPERATOR, named | {"visibility": "public"}).status == 403
    assert glance.call("GET", f"{SPACES}/mine", ADMIN).json["visibility"] == "private"
    assert glance.call("PUT", f"{SPACES}/mine", OPERATOR, named | {"description": "d"}).status == 200
    assert glance.call("PUT", f"{SPACES}/mine", ADMIN, named | {"visibility": "public"}).status == 200


def test_a_hidden_namespace_is_answered_as_one_that_is_not_there(glance: Glance) -> None:
    for name, owner, visibility in (
        ("hid", "hidden", "public"),
        ("pub", "ops", "public"),
        ("foreign", "t2", "private"),
    ):
        made = {"namespace": name, "owner": owner, "visibility": visibility}
        assert glance.call("POST", SPACES, ADMIN, made).status == 201

    def told(path: str, name: str) -> tuple[int, bytes, set[str]]:
        reply = glance.call("GET", SPACES + path.format(name), READER)
        return reply.status, reply.body.replace(name.encode(), b"NAME"), set(reply.headers)

    for path in ("/{}", "/{}/properties", "?marker={}", "?limit=1&marker={}"):
        assert told(path, "hid") == told(path, "nil") == told(path, "foreign")
        assert (told(path, "hid")[0], told(path, "pub")[0]) == (404, 200)
