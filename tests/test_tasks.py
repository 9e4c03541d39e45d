"""Tasks through the filter: an import is decided on as if the image were posted, and shows no more than it."""

from __future__ import annotations

from typing import Any

import pytest
from webob import Request, Response

from protect.enforcement import Protect
from protect.identity.keystone import identify
from protect.values import Image, Property, Query, Task
from tests.doors import Doors, policy
from tests.image_api import ID, ImageApi, image
from tests.test_enforcement import V2, Bench, Rule, anyone, refuse

TASK = f"/v2/tasks/{ID.format(5)}"


def stored(**facts: Any) -> dict[str, Any]:
    return {"id": ID.format(5), "type": "import", "owner": "t1", "status": "success", "result": None} | facts


class Tasks(ImageApi):
    """An image API with one task."""

    def __init__(self, task: dict[str, Any], *images: dict[str, Any]) -> None:
        super().__init__(*(images or (image(1),)))
        self.task = task

    def _respond(self, request: Request) -> Response:
        if request.method != "GET" or "tasks" not in request.path_info:
            return super()._respond(request)
        return Response(json_body=self.task if request.path_info == TASK else {"tasks": [self.task]})


class Pages(ImageApi):
    """An image API with many tasks, of which its list does not tell the input: each row says a task's type."""

    def __init__(self, *types: str) -> None:
        super().__init__()
        self.rows = [_row(number, type_) for number, type_ in enumerate(types)]

    def _respond(self, request: Request) -> Response:
        marker, limit = request.GET.get("marker"), int(request.GET.get("limit", 25))
        start = [row["id"] for row in self.rows].index(marker) + 1 if marker else 0
        page: dict[str, Any] = {"tasks": self.rows[start : start + limit], "first": "/v2/tasks"}
        if len(page["tasks"]) == limit:
            page["next"] = f"/v2/tasks?limit={limit}&marker={page['tasks'][-1]['id']}"
        return Response(json_body=page)


def _row(number: int, type_: str) -> dict[str, Any]:
    return {"id": ID.format(number), "type": type_, "owner": "t1", "status": "success"}


def make(properties: Any, **more: Any) -> dict[str, Any]:
    given = {"import_from": "http://x", "import_from_format": "raw", "image_properties": properties}
    return {"type": "import", "input": given | more}


def no_secrets(query: Query) -> bool:
    return not (isinstance(query.resource, Property) and query.resource.name == "secret" and query.action == "read")


def own_images(query: Query) -> bool:
    return not isinstance(query.resource, Image) or query.resource.owner == query.subject.tenant


def ruled(rules: str, app: ImageApi) -> Doors:
    """Return a filter with rules as text in front of an API."""
    doors = Doors(rules)
    doors.filter = Protect(app, policy=lambda: policy(rules), identify=identify, log=doors.log.append)
    return doors


# --- Making one ---


@pytest.mark.parametrize(
    ("properties", "rule"),
    [
        pytest.param({"visibility": "public"}, refuse("publicize_image"), id="public"),
        pytest.param({"visibility": "community"}, refuse("communitize_image"), id="community"),
        pytest.param(
            {"locations": [{"url": "http://x", "metadata": {}}]}, refuse("set_image_location"), id="locations"
        ),
        pytest.param({"name": "n"}, refuse("add_image"), id="an-image"),
        pytest.param({"owner": "t9"}, own_images, id="a-foreign-owner"),
        pytest.param({"p": "v"}, refuse("create"), id="a-property"),
        pytest.param({"status": "active"}, None, id="a-read-only-attribute"),
    ],
)
def test_a_task_makes_no_image_that_could_not_be_posted(properties: dict[str, Any], rule: Rule | None) -> None:
    refused, allowed = Bench(rule or anyone), Bench(anyone)
    assert (refused.ask("POST", "/v2/tasks", make(properties)).status_int, refused.changed) == (403, [])
    assert refused.ask("POST", "/v2/images", properties).status_int == 403
    if rule:
        assert allowed.ask("POST", "/v2/tasks", make(properties)).status_int == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(make({}), 200, id="an-object"),
        pytest.param(make(None), 400, id="properties-that-are-null"),
        pytest.param(make([["visibility", "public"]]), 400, id="properties-that-are-an-array"),
        pytest.param(make("visibility"), 400, id="properties-that-are-text"),
        pytest.param({"type": "import", "input": []}, 400, id="input-that-is-an-array"),
        pytest.param(make({"protected": "yes"}), 400, id="a-flag-that-is-text"),
        pytest.param(make({}) | {"type": "api_image_import"}, 400, id="past-the-door-for-imports"),
        pytest.param(make({}) | {"type": "location_import"}, 400, id="past-the-door-for-locations"),
    ],
)
def test_only_an_import_that_can_be_understood_is_forwarded(body: dict[str, Any], status: int) -> None:
    bench = Bench(anyone)
    assert (bench.ask("POST", "/v2/tasks", body).status_int, len(bench.changed)) == (status, status == 200)


def test_a_rule_sees_the_store_that_a_task_imports_to() -> None:
    bench = Bench(lambda query: query.context.get("store") != "gold")
    assert bench.ask("POST", "/v2/tasks", make({}, backend="gold")).status_int == 403
    assert bench.ask("POST", "/v2/tasks", make({}, backend="bronze")).status_int == 200


# --- Seeing one ---


@pytest.mark.parametrize("path", [TASK, "/v2/tasks", f"{V2}/tasks"])
def test_a_task_does_not_show_what_may_not_be_read_of_its_image(path: str) -> None:
    def shown(rule: Rule, properties: dict[str, Any]) -> bytes:
        return bytes(Bench(rule, app=Tasks(stored(input={"image_properties": properties}))).ask("GET", path).body)

    hidden = shown(no_secrets, {"p": "v", "secret": "s3cr3t"})
    assert hidden == shown(no_secrets, {"p": "v"})
    assert b'"p":"v"' in hidden
    assert b"s3cr3t" in shown(anyone, {"p": "v", "secret": "s3cr3t"})


@pytest.mark.parametrize(
    ("method", "allowed"), [pytest.param("GET", 200, id="show"), pytest.param("DELETE", 200, id="delete")]
)
@pytest.mark.parametrize(
    ("fact", "value"),
    [
        pytest.param("owner", "t2", id="the-owner"),
        pytest.param("type", "export", id="the-type"),
        pytest.param("status", "failure", id="the-status"),
    ],
)
def test_a_task_is_decided_on_as_it_is_stored(method: str, allowed: int, fact: str, value: str) -> None:
    def rule(query: Query) -> bool:
        return getattr(query.resource, fact) != value

    assert Bench(rule, app=Tasks(stored(**{fact: value}))).ask(method, TASK).status_int == 403
    assert Bench(rule, app=Tasks(stored())).ask(method, TASK).status_int == allowed


def test_a_list_leaves_out_the_tasks_that_may_not_be_seen() -> None:
    def rule(query: Query) -> bool:
        return not isinstance(query.resource, Task) or query.resource.owner != "t2"

    assert Bench(rule, app=Tasks(stored(owner="t2"))).ask("GET", "/v2/tasks").json["tasks"] == []
    assert len(Bench(rule, app=Tasks(stored())).ask("GET", "/v2/tasks").json["tasks"]) == 1


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        pytest.param(10, [[0, 2, 5]], id="all-on-one-page"),
        pytest.param(2, [[0], [2], [5]], id="the-last-of-a-page"),
        pytest.param(1, [[0], [2], [5], []], id="a-whole-page"),
    ],
)
def test_no_link_names_a_task_that_may_not_be_seen(limit: int, pages: list[list[int]]) -> None:
    app = Pages("import", "secret", "import", "secret", "secret", "import")
    bench = Bench(lambda query: query.resource.type != "secret", app=app)
    path, found = f"/v2/tasks?limit={limit}", list[list[int]]()
    while path:
        response = bench.ask("GET", path)
        found.append([int(row["id"][-1]) for row in response.json["tasks"]])
        assert not any(ID.format(number) in response.text for number in (1, 3, 4))
        path = response.json.get("next", "")
    assert found == pages


@pytest.mark.parametrize(
    ("rule", "task", "shown"),
    [
        pytest.param('t.get("import_from_format") = "raw"', {}, False, id="of-what-a-list-does-not-tell"),
        pytest.param('t.get("import_from_format") = "raw"', {"input": None}, True, id="of-what-is-not-there"),
        pytest.param('t.get("import_from_format") = "raw"', {"input": ["raw"]}, False, id="of-what-is-no-object"),
        pytest.param(
            't.get("import_from_format") = "raw"',
            {"input": {"import_from_format": "raw"}},
            False,
            id="of-what-it-forbids",
        ),
        pytest.param(
            't.get("import_from_format") = "raw"',
            {"input": {"import_from_format": "iso"}},
            True,
            id="of-something-else",
        ),
        pytest.param('t.type = "export"', {}, True, id="of-what-a-list-tells"),
    ],
)
def test_a_list_leaves_out_a_task_where_a_rule_asks(rule: str, task: dict[str, Any], shown: bool) -> None:
    doors = ruled(f'forbid(_s: Subject, "tasks_api_access", t: Task) if {rule};', Tasks(stored() | task))
    response = doors.ask("GET", "/v2/tasks")
    assert (response.status_int, len(response.json["tasks"])) == (200, int(shown))


def test_the_id_of_a_task_has_one_spelling() -> None:
    assert Bench(anyone).ask("DELETE", "/v2/tasks/abc").status_int == 200
    assert Bench(anyone).ask("DELETE", "/v2/tasks/ABC").status_int == 404


def test_the_document_of_another_task_is_not_shown() -> None:
    assert Bench(anyone, app=Tasks(stored(id=ID.format(6)))).ask("GET", TASK).status_int == 502


# --- Where the data are ---

URL = "https://user:pw@store/data"
NO_LOCATIONS = 'forbid(_s: Subject, "get_image_location", image: Image) if image.owner = "t2";'


def shown(rules: str, path: str, task: dict[str, Any], owner: str) -> str:
    task = stored(image_id=ID.format(1)) | task
    response = ruled(rules, Tasks(task, image(1, owner=owner))).ask("GET", path)
    assert response.status_int == 200
    return str(response.text)


@pytest.mark.parametrize("path", [TASK, "/v2/tasks", f"{V2}/tasks"])
@pytest.mark.parametrize(
    "task",
    [
        pytest.param({"input": {"import_from": URL}}, id="import-from"),
        pytest.param({"input": {"loc_url": URL}}, id="loc-url"),
        pytest.param({"input": {"import_req": {"method": {"name": "web-download", "uri": URL}}}}, id="the-uri"),
        pytest.param({"input": {"loc_url": "http://host/p?secret=user:pw"}}, id="a-query"),
        pytest.param({"input": {"loc_url": "http://host/pw"}}, id="a-web-address"),
        pytest.param({"input": {"loc_url": 'http://host/a "pw'}}, id="a-space-and-a-quote"),
        pytest.param({"input": {"loc_url": "file%3A%2F%2F/pw"}}, id="percent-encoded"),
        pytest.param({"input": {"hosts": [[URL]]}}, id="in-arrays"),
        pytest.param({"input": {URL: 1}}, id="as-a-name"),
        pytest.param({"result": {"url": URL}}, id="the-result"),
        pytest.param({"message": f"could not read {URL}"}, id="the-message"),
        pytest.param({"image_id": None, "input": {"image_id": ID.format(1), "uri": URL}}, id="named-in-the-input"),
        pytest.param({"image_id": None, "result": {"image_id": ID.format(1), "u": URL}}, id="named-in-the-result"),
    ],
)
def test_a_task_tells_an_address_to_those_who_may_know_where_the_data_are(path: str, task: dict[str, Any]) -> None:
    assert "pw" not in shown(NO_LOCATIONS, path, task, "t2")
    assert "pw" in shown(NO_LOCATIONS, path, task, "t1")
    assert "pw" in shown("", path, task, "t2")


@pytest.mark.parametrize("name", ["locations", "direct_url"])
def test_whoever_may_not_read_the_attribute_reads_it_in_no_task(name: str) -> None:
    rule = f'forbid(_s: Subject, "read", p: Property) if p.name = "{name}" and p.image.owner = "t2";'
    assert "pw" not in shown(rule, TASK, {"input": {"uri": URL}}, "t2")
    assert "pw" in shown(rule, TASK, {"input": {"uri": URL}}, "t1")


@pytest.mark.parametrize(
    ("task", "told"),
    [
        pytest.param({"image_id": ID.format(1)}, True, id="of-an-image"),
        pytest.param({"image_id": ID.format(2)}, False, id="of-an-image-that-is-gone"),
        pytest.param({"image_id": "../images"}, False, id="of-no-image"),
        pytest.param({"image_id": ID.format(1), "result": {"image_id": ID.format(2)}}, False, id="of-two"),
        pytest.param({"image_id": None}, True, id="of-one-that-is-yet-to-be"),
        pytest.param({"image_id": None, "owner": "t2"}, False, id="of-one-that-another-is-yet-to-have"),
    ],
)
def test_all_images_that_a_task_names_are_asked_for(task: dict[str, Any], told: bool) -> None:
    assert ("pw" in shown(NO_LOCATIONS, TASK, {"input": {"uri": URL}} | task, "t1")) == told


def test_the_rest_of_a_task_stays() -> None:
    given = {"import_from": URL, "import_from_format": "raw", "image_properties": {"home": "http://host/x"}}
    task = {"input": given, "message": "copied 7 MiB", "result": {"image_id": ID.format(1)}}
    seen = ruled(NO_LOCATIONS, Tasks(stored() | task, image(1, owner="t2"))).ask("GET", TASK).json
    assert seen == stored() | task | {"input": given | {"import_from": "https://[removed]"}}
