"""Tasks through the filter: an import is decided on as if the image were posted, and shows no more than it."""

from __future__ import annotations

from typing import Any

import pytest
from webob import Request, Response

from protect.values import Image, Property, Query, Task
from tests.image_api import ID, ImageApi, image
from tests.test_enforcement import V2, Bench, Rule, anyone, refuse

TASK = f"/v2/tasks/{ID.format(5)}"


def stored(**facts: Any) -> dict[str, Any]:
    return {"id": ID.format(5), "type": "import", "owner": "t1", "status": "success", "result": None} | facts


class Tasks(ImageApi):
    """An image API with one task."""

    def __init__(self, task: dict[str, Any]) -> None:
        super().__init__(image(1))
        self.task = task

    def _respond(self, request: Request) -> Response:
        if request.method != "GET" or "tasks" not in request.path_info:
            return super()._respond(request)
        return Response(json_body=self.task if request.path_info == TASK else {"tasks": [self.task]})


def make(properties: Any, **more: Any) -> dict[str, Any]:
    given = {"import_from": "http://x", "import_from_format": "raw", "image_properties": properties}
    return {"type": "import", "input": given | more}


def no_secrets(query: Query) -> bool:
    return not (isinstance(query.resource, Property) and query.resource.name == "secret" and query.action == "read")


def own_images(query: Query) -> bool:
    return not isinstance(query.resource, Image) or query.resource.owner == query.subject.tenant


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


def test_the_id_of_a_task_has_one_spelling() -> None:
    assert Bench(anyone).ask("DELETE", "/v2/tasks/abc").status_int == 200
    assert Bench(anyone).ask("DELETE", "/v2/tasks/ABC").status_int == 404


def test_the_document_of_another_task_is_not_shown() -> None:
    assert Bench(anyone, app=Tasks(stored(id=ID.format(6)))).ask("GET", TASK).status_int == 502
