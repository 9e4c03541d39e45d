"""Each request of the Images API asks for the actions that it means, all before anything is done or shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from webob import Request

from protect import Policy
from protect.identity.keystone import VERIFIED
from tests.doors import ADMIN, ONE, V2, Doors, replace
from tests.image_api import image

NS = "/v2/metadefs/namespaces"
NEW = {"namespace": "n"}
IMPORT = {"method": {"name": "web-download", "uri": "http://h"}}
COPY = {"method": {"name": "copy-image"}, "stores": ["s1"]}
TASK = {"type": "import", "input": {"image_properties": {}}}
AT = {"url": "http://h/x", "metadata": {}}

#: method, path, body, and the actions asked in their order, without repetitions.
TABLE: list[tuple[str, str, Any, str]] = [
    ("GET", "/v2/images", None, "get_images"),
    ("POST", "/v2/images", {}, "add_image"),
    ("POST", "/v2/images", {"os": "x", "name": "n"}, "create add_image"),
    ("POST", "/v2/images", {"visibility": "public"}, "create add_image publicize_image"),
    ("POST", "/v2/images", {"visibility": "community"}, "create add_image communitize_image"),
    ("POST", "/v2/images", {"visibility": "private"}, "create add_image"),
    ("POST", "/v2/images", {"locations": [AT]}, "create add_image set_image_location"),
    ("GET", V2, None, "get_image"),
    ("PATCH", V2, [replace("name", "n")], "get_image modify_image update"),
    ("PATCH", V2, [replace("visibility", "public")], "get_image modify_image update publicize_image"),
    ("PATCH", V2, [replace("visibility", "community")], "get_image modify_image update communitize_image"),
    ("PATCH", V2, [replace("os", "y")], "get_image modify_image read update"),
    ("PATCH", V2, [{"op": "remove", "path": "/os"}], "get_image modify_image read delete"),
    ("PATCH", V2, [{"op": "add", "path": "/new", "value": "x"}], "get_image modify_image create"),
    (
        "PATCH",
        V2,
        [{"op": "add", "path": "/locations/-", "value": AT}],
        "get_image modify_image update set_image_location",
    ),
    ("PATCH", V2, [replace("locations", [AT])], "get_image modify_image update set_image_location"),
    (
        "PATCH",
        V2,
        [{"op": "remove", "path": "/locations/0"}],
        "get_image modify_image update delete delete_image_location",
    ),
    ("DELETE", V2, None, "delete_image"),
    ("GET", f"{V2}/tasks", None, "get_image tasks_api_access"),
    ("POST", f"{V2}/import", IMPORT, "modify_image"),
    ("POST", f"{V2}/import", {"method": {"name": "glance-direct"}}, "modify_image"),
    ("POST", f"{V2}/import", COPY, "copy_image"),
    ("POST", f"{V2}/actions/deactivate", None, "deactivate"),
    ("POST", f"{V2}/actions/reactivate", None, "reactivate"),
    ("GET", f"{V2}/file", None, "download_image"),
    ("GET", f"{V2}/file?prefer=s1", None, "download_image download_from_store"),
    ("PUT", f"{V2}/file", b"x", "upload_image"),
    ("PUT", f"{V2}/stage", b"x", "modify_image"),
    ("POST", f"{V2}/locations", {"url": "http://h"}, "add_image_location update"),
    ("GET", f"{V2}/locations", None, "fetch_image_location read"),
    ("PUT", f"{V2}/tags/t", None, "modify_image update"),
    ("DELETE", f"{V2}/tags/t", None, "modify_image update"),
    ("GET", f"{V2}/members", None, "get_image get_members get_member"),
    ("POST", f"{V2}/members", {"member": "t3"}, "add_member"),
    ("GET", f"{V2}/members/t2", None, "get_image get_member"),
    ("PUT", f"{V2}/members/t2", {"status": "accepted"}, "get_member modify_member"),
    ("DELETE", f"{V2}/members/t2", None, "get_member delete_member"),
    ("DELETE", f"/v2/stores/s1/{ONE}", None, "get_image_location delete_image_location update delete"),
    ("POST", "/v2/tasks", TASK, "tasks_api_access add_image"),
    ("GET", "/v2/tasks", None, "tasks_api_access"),
    ("GET", "/v2/tasks/t1", None, "tasks_api_access"),
    ("DELETE", "/v2/tasks/t1", None, "tasks_api_access"),
    ("GET", "/v2/info/import", None, ""),
    ("GET", "/v2/info/stores", None, ""),
    ("GET", "/v2/info/usage", None, ""),
    ("GET", "/v2/info/stores/detail", None, "stores_info_detail"),
    ("GET", "/v2/schemas/image", None, ""),
    ("GET", "/v2/schemas/members", None, ""),
    ("GET", "/v2/schemas/metadefs/tag", None, ""),
    ("GET", "/v2/cache", None, "cache_list"),
    ("DELETE", "/v2/cache", None, "cache_delete"),
    ("PUT", f"/v2/cache/{ONE}", None, "cache_image"),
    ("DELETE", f"/v2/cache/{ONE}", None, "cache_delete"),
    ("GET", f"/v2/cache/nodes/{ONE}", None, "list_cached_nodes"),
    ("POST", "/v2/cache/clean", None, "cache_clean"),
    ("POST", "/v2/cache/prune", None, "cache_prune"),
    ("GET", "/v2/cached_images", None, "manage_image_cache"),
    ("DELETE", "/v2/cached_images", None, "manage_image_cache"),
    ("DELETE", f"/v2/cached_images/{ONE}", None, "manage_image_cache"),
    ("GET", "/v2/queued_images", None, "manage_image_cache"),
    ("DELETE", "/v2/queued_images", None, "manage_image_cache"),
    ("PUT", f"/v2/queued_images/{ONE}", None, "manage_image_cache"),
    ("DELETE", f"/v2/queued_images/{ONE}", None, "manage_image_cache"),
    ("GET", "/v2/metadefs/resource_types", None, "list_metadef_resource_types"),
    ("GET", NS, None, "get_metadef_namespaces list_metadef_resource_types get_metadef_namespace"),
    ("POST", NS, NEW, "add_metadef_namespace"),
    ("POST", NS, NEW | {"objects": [{"name": "o"}]}, "add_metadef_namespace add_metadef_object"),
    ("POST", NS, NEW | {"properties": {"p": {}}}, "add_metadef_namespace add_metadef_property"),
    ("POST", NS, NEW | {"tags": [{"name": "t"}]}, "add_metadef_namespace add_metadef_tag"),
    (
        "POST",
        NS,
        NEW | {"resource_type_associations": [{"name": "t"}]},
        "add_metadef_namespace add_metadef_resource_type_association",
    ),
    (
        "GET",
        f"{NS}/n",
        None,
        "get_metadef_namespace list_metadef_resource_types get_metadef_objects get_metadef_properties get_metadef_tags",
    ),
    ("PUT", f"{NS}/n", NEW, "modify_metadef_namespace"),
    ("DELETE", f"{NS}/n", None, "delete_metadef_namespace"),
    ("GET", f"{NS}/n/resource_types", None, "list_metadef_resource_types get_metadef_resource_type"),
    ("POST", f"{NS}/n/resource_types", {"name": "r"}, "add_metadef_resource_type_association"),
    ("DELETE", f"{NS}/n/resource_types/r", None, "remove_metadef_resource_type_association"),
    ("GET", f"{NS}/n/properties", None, "get_metadef_properties"),
    ("POST", f"{NS}/n/properties", {"name": "p"}, "add_metadef_property"),
    ("DELETE", f"{NS}/n/properties", None, "delete_metadef_namespace"),
    ("GET", f"{NS}/n/properties/p", None, "get_metadef_property"),
    ("PUT", f"{NS}/n/properties/p", {"name": "p"}, "modify_metadef_property"),
    ("PUT", f"{NS}/n/properties/p", {"name": "q"}, "modify_metadef_property add_metadef_property"),
    ("DELETE", f"{NS}/n/properties/p", None, "remove_metadef_property"),
    ("GET", f"{NS}/n/objects", None, "get_metadef_objects"),
    ("POST", f"{NS}/n/objects", {"name": "o"}, "add_metadef_object"),
    ("DELETE", f"{NS}/n/objects", None, "delete_metadef_namespace"),
    ("GET", f"{NS}/n/objects/o", None, "get_metadef_object"),
    ("PUT", f"{NS}/n/objects/o", {"name": "o"}, "modify_metadef_object"),
    ("PUT", f"{NS}/n/objects/o", {"name": "p"}, "modify_metadef_object add_metadef_object"),
    ("DELETE", f"{NS}/n/objects/o", None, "delete_metadef_object"),
    ("GET", f"{NS}/n/tags", None, "get_metadef_tags"),
    ("POST", f"{NS}/n/tags", {"tags": [{"name": "t"}]}, "add_metadef_tags delete_metadef_tags add_metadef_tag"),
    ("DELETE", f"{NS}/n/tags", None, "delete_metadef_namespace delete_metadef_tags"),
    ("GET", f"{NS}/n/tags/t", None, "get_metadef_tag"),
    ("POST", f"{NS}/n/tags/t", None, "add_metadef_tag"),
    ("PUT", f"{NS}/n/tags/t", {"name": "t"}, "modify_metadef_tag"),
    ("PUT", f"{NS}/n/tags/t", {"name": "u"}, "modify_metadef_tag add_metadef_tag"),
    ("DELETE", f"{NS}/n/tags/t", None, "delete_metadef_tag"),
]


def doors(rules: str | Policy) -> Doors:
    made = Doors(rules, image(1, os="x", visibility="shared", locations=[AT]))
    made.api.members[ONE] = {"t2": "pending"}
    made.api._patch = lambda request, document: None  # type: ignore[method-assign]
    return made


def send(to: Doors, method: str, path: str, body: Any) -> Any:
    if not isinstance(body, bytes):
        return to.ask(method, path, body)
    headers = {"X-Identity-Status": "Confirmed", "X-Project-Id": "t1", "X-Roles": "member"}
    environ = {VERIFIED: object()}
    return Request.blank(path, environ, method=method, headers=headers, body=body).get_response(to.filter)


@pytest.mark.parametrize(("method", "path", "body", "actions"), TABLE, ids=lambda value: str(value)[:60])
def test_a_request_asks_for_its_actions(method: str, path: str, body: Any, actions: str) -> None:
    made = doors("")
    response = send(made, method, path, body)
    assert response.status_int < 300, response.text
    asked = list(dict.fromkeys(entry.action for entry in made.log))
    assert [action for action in asked if action in actions.split()] == actions.split()
    assert set(asked) <= {*actions.split(), "get_image", "get_image_location", "get_metadef_namespace"}
    assert made.api.calls[-1] == f"{method} {path.partition('?')[0]}"


ASKED = [(method, path, body, action) for method, path, body, actions in TABLE for action in actions.split()]
#: What is decided on the answer (a row, a document, what a task repeats), and what is then not shown.
AFTERWARDS = {
    ("GET", V2, "get_image"): "t1",
    ("GET", f"{V2}/tasks", "tasks_api_access"): "s3",
    ("GET", f"{V2}/members", "get_member"): "t2",
    ("GET", f"{V2}/members/t2", "get_member"): "pending",
    ("GET", NS, "get_metadef_namespace"): "secret",
}


@pytest.mark.parametrize(("method", "path", "body", "action"), ASKED, ids=lambda value: str(value)[:60])
def test_each_of_them_is_needed(method: str, path: str, body: Any, action: str) -> None:
    made = doors(f'forbid(_s: Subject, "{action}", _r);')
    response = send(made, method, path, body)
    if (method, path, action) in AFTERWARDS:
        assert AFTERWARDS[method, path, action] not in response.text
        assert AFTERWARDS[method, path, action] in send(doors(""), method, path, body).text
    elif (method, action) == ("PATCH", "read"):
        assert (response.status_int, made.changed) == (409, [])
    else:
        assert (response.status_int in (403, 404), made.changed) == (True, [])
        assert f"{method} {path.partition('?')[0]}" not in made.api.calls


# --- Data ---


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-1"}, {"Content-Range": "bytes 0-1/4"}])
def test_a_download_is_decided_on_before_its_first_byte(headers: dict[str, str]) -> None:
    refused = doors('forbid(_s: Subject, "download_image", _i: Image);')
    assert refused.ask("GET", f"{V2}/file", headers=headers).status_int == 403
    assert refused.api.calls == []
    allowed = doors("")
    assert allowed.ask("GET", f"{V2}/file", headers=headers).body == b"data of the image"
    assert {name: allowed.api.seen[-1].headers.get(name) for name in headers} == headers


@pytest.mark.parametrize("path", ["/v2/images", V2, f"{V2}/file", f"{V2}/tags/t", f"{V2}/members", "/v2/cache"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "LINK"])
def test_other_methods_reach_nothing(method: str, path: str) -> None:
    made = doors("")
    response = made.ask(method, path)
    assert (response.status_int, made.api.calls) == (405, [])
    assert "GET" in response.headers["Allow"] or "PUT" in response.headers["Allow"]


# --- Sharing ---


@pytest.mark.parametrize(
    ("tenant", "status"),
    [pytest.param("x", 403, id="the-one-that-is-barred"), pytest.param("y", 200, id="another")],
)
def test_a_rule_says_whom_an_image_is_shared_with(tenant: str, status: int) -> None:
    made = doors('forbid(_s: Subject, "add_member", m: Member) if m.tenant = "x";')
    assert made.ask("POST", f"{V2}/members", {"member": tenant}).status_int == status
    assert (made.changed == []) is (status == 403)


def test_an_admin_shares_an_image_whatever_its_owner() -> None:
    for owner in ("t1", "t2", None):
        shipped = Doors(Policy.load(), image(1, owner=owner, visibility="shared"))
        assert shipped.ask("POST", f"{V2}/members", {"member": "t9"}, ADMIN).status_int == 200
    foreign = Doors(Policy.load(), image(1, owner="t2", visibility="shared"))
    assert foreign.ask("POST", f"{V2}/members", {"member": "t9"}).status_int == 404
    assert foreign.changed == []
    own = Doors(Policy.load(), image(1, visibility="shared"))
    assert own.ask("POST", f"{V2}/members", {"member": "t9"}).status_int == 200


# --- Tasks ---


def task(**properties: Any) -> dict[str, Any]:
    return {"type": "import", "input": {"import_from": "http://h/x", "image_properties": properties}}


@pytest.mark.parametrize(
    ("rules", "properties", "status"),
    [
        pytest.param('"create", p: Property) if p.name = "os"', {"os": "x"}, 403, id="a-property"),
        pytest.param('"create", p: Property) if p.name = "os"', {"name": "x"}, 200, id="another-name"),
        pytest.param('"create", p: Property) if p.name = "min_ram"', {"min_ram": 5}, 403, id="an-attribute"),
        pytest.param('"publicize_image", _i: Image)', {"visibility": "public"}, 403, id="publishing"),
        pytest.param('"publicize_image", _i: Image)', {"visibility": "private"}, 200, id="not-publishing"),
        pytest.param('"add_image", i: Image) if i.owner = "t2"', {"owner": "t2"}, 403, id="of-somebody-else"),
        pytest.param('"add_image", _i: Image)', {}, 403, id="any-image"),
    ],
)
def test_an_import_task_makes_no_image_that_its_maker_may_not(rules: str, properties: Any, status: int) -> None:
    made = Doors(f"forbid(_s: Subject, {rules};")
    assert made.ask("POST", "/v2/tasks", task(**properties)).status_int == status
    assert (made.changed == []) is (status == 403)


def test_what_is_dropped_from_an_import_task_is_named_and_logged() -> None:
    made = Doors(
        'forbid(_s: Subject, "create", p: Property) if p.name in ["os", "min_ram"];'
        'discard(_s: Subject, "create", p: Property) if p.name in ["os", "min_ram"];'
    )
    response = made.ask("POST", "/v2/tasks", task(os="x", min_ram=5, name="n"))
    assert response.headers["X-Protect-Discarded"] == "os, min_ram"
    assert json.loads(made.api.seen[-1].body) == task(name="n")
    assert {("discarded", "create", "os"), ("discarded", "create", "min_ram")} <= set(made.lines)


# --- Metadata definitions ---


def test_namespaces_are_listed_one_by_one() -> None:
    made = doors('forbid(_s: Subject, "get_metadef_namespace", m: Metadef) if m.id = "secret";')
    names = [each["namespace"] for each in made.ask("GET", NS).json["namespaces"]]
    assert names == ["open"]


@pytest.mark.parametrize("name", [5, ["n"], {}])
def test_a_namespace_has_a_name_of_text(name: Any) -> None:
    made = doors("")
    assert (made.ask("POST", NS, {"namespace": name}).status_int, made.changed) == (400, [])
