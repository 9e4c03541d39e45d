"""Metadata definitions through the filter: who may not see a namespace sees nothing in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from webob import Request, Response
from webob.exc import HTTPNotFound

from protect.enforcement import Protect
from protect.identity.keystone import identify
from protect.values import Query
from tests.doors import Doors, policy
from tests.image_api import ImageApi
from tests.test_enforcement import Bench, Rule, anyone, refuse

ALL = "/v2/metadefs/namespaces"
ROWS = [{"namespace": name, "owner": "t1", "visibility": "public"} for name in ("a", "secret", "b", "c")]


class Metadefs(ImageApi):
    """An image API with a few namespaces, two on a page. It compares names without case, as some databases do."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        super().__init__()
        self.rows = rows or ROWS

    def _respond(self, request: Request) -> Response:
        if request.path_info == ALL and request.method == "POST":
            return Response(json_body={})
        if request.path_info != ALL:
            return self._one_namespace(request)
        names = [row["namespace"] for row in self.rows]
        start = names.index(request.GET["marker"]) + 1 if request.GET.get("marker") else 0
        limit = int(request.GET.get("limit", 10))
        page: dict[str, Any] = {"namespaces": self.rows[start : start + limit], "first": ALL}
        if len(page["namespaces"]) == limit:
            page["next"] = f"{ALL}?limit={limit}&marker={page['namespaces'][-1]['namespace']}"
        return Response(json_body=page)

    def _one_namespace(self, request: Request) -> Response:
        name = request.path_info.split("/")[4]
        found = next((row for row in self.rows if row["namespace"] == name.lower()), None)
        if found is None:
            raise HTTPNotFound(f"Metadata definition namespace={name} was not found.")
        return Response(json_body=found if request.method == "GET" else {})


class Ruled(Doors):
    """A filter with rules as text in front of such an API."""

    def __init__(self, rules: str, app: Metadefs) -> None:
        super().__init__(rules)
        self.api = app
        self.filter = Protect(app, policy=lambda: policy(rules), identify=identify, log=self.log.append)


def not_secret(query: Query) -> bool:
    return query.action != "get_metadef_namespace" or query.resource.id != "secret"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "", None, id="itself"),
        pytest.param("GET", "/properties", None, id="properties"),
        pytest.param("GET", "/properties/p", None, id="a-property"),
        pytest.param("GET", "/objects", None, id="objects"),
        pytest.param("GET", "/objects/o", None, id="an-object"),
        pytest.param("GET", "/tags", None, id="tags"),
        pytest.param("GET", "/tags/t", None, id="a-tag"),
        pytest.param("GET", "/resource_types", None, id="resource-types"),
        pytest.param("PUT", "", {"namespace": "n"}, id="itself-under-another-name"),
        pytest.param("DELETE", "", None, id="itself-that-goes"),
        pytest.param("POST", "/objects", {"name": "o"}, id="a-new-object"),
        pytest.param("PUT", "/objects/o", {"name": "p"}, id="an-object-under-another-name"),
        pytest.param("POST", "/tags", {"tags": [{"name": "t"}]}, id="new-tags"),
        pytest.param("DELETE", "/tags/t", None, id="a-tag-that-goes"),
    ],
)
def test_nothing_inside_a_namespace_that_may_not_be_seen(method: str, path: str, body: Any) -> None:
    for name, status in (("secret", 404), ("a", 200)):
        bench = Bench(not_secret, app=Metadefs())
        assert bench.ask(method, f"{ALL}/{name}{path}", body).status_int == status


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        pytest.param(10, [["a", "b", "c"]], id="all-on-one-page"),
        pytest.param(2, [["a"], ["b"], ["c"]], id="the-last-of-a-page"),
        pytest.param(1, [["a"], ["b"], ["c"], []], id="a-whole-page"),
    ],
)
def test_the_list_leaves_it_out_and_no_link_names_it(limit: int, pages: list[list[str]]) -> None:
    bench, path, found = Bench(not_secret, app=Metadefs()), f"{ALL}?limit={limit}", list[list[str]]()
    while path:
        response = bench.ask("GET", path)
        found.append([row["namespace"] for row in response.json["namespaces"]])
        assert "secret" not in response.text
        path = response.json.get("next", "")
    assert found == pages


@pytest.mark.parametrize(
    "action",
    ["list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties", "get_metadef_tags"],
)
def test_a_namespace_is_shown_with_all_that_is_in_it_or_not_at_all(action: str) -> None:
    assert Bench(refuse(action), app=Metadefs()).ask("GET", f"{ALL}/a").status_int == 403
    assert Bench(anyone, app=Metadefs()).ask("GET", f"{ALL}/a").status_int == 200


@pytest.mark.parametrize(
    ("more", "action"),
    [
        pytest.param({}, "add_metadef_namespace", id="nothing"),
        pytest.param({"properties": {"p": {}}}, "add_metadef_property", id="a-property"),
        pytest.param({"objects": [{"name": "o"}]}, "add_metadef_object", id="an-object"),
        pytest.param({"tags": [{"name": "t"}]}, "add_metadef_tag", id="a-tag"),
        pytest.param(
            {"resource_type_associations": [{"name": "r"}]},
            "add_metadef_resource_type_association",
            id="a-resource-type",
        ),
    ],
)
def test_what_a_namespace_is_created_with_needs_rights_of_its_own(more: dict[str, Any], action: str) -> None:
    refused, allowed = Bench(refuse(action)), Bench(anyone)
    assert (refused.ask("POST", ALL, {"namespace": "n"} | more).status_int, refused.api.calls) == (403, [])
    assert allowed.ask("POST", ALL, {"namespace": "n"} | more).status_int == 200
    if more:
        assert refused.ask("POST", ALL, {"namespace": "n"}).status_int == 200


def test_a_namespace_is_created_as_it_is_proposed() -> None:
    bench = Bench(lambda query: query.resource.visibility == "private" and query.resource.owner == "t1")
    assert bench.ask("POST", ALL, {"namespace": "n"}).status_int == 200
    assert bench.ask("POST", ALL, {"namespace": "n", "visibility": "public"}).status_int == 403
    assert bench.ask("POST", ALL, {"namespace": "n", "owner": "t2"}).status_int == 403


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"namespace": None}, id="no-name"),
        pytest.param({"owner": 5}, id="an-owner-that-is-a-number"),
        pytest.param({"properties": [{"name": "p"}]}, id="properties-in-an-array"),
        pytest.param({"objects": {"o": {}}}, id="objects-in-an-object"),
        pytest.param({"tags": ["t"]}, id="tags-as-text"),
    ],
)
def test_a_namespace_that_cannot_be_understood_is_refused(more: dict[str, Any]) -> None:
    bench = Bench(anyone)
    assert (bench.ask("POST", ALL, {"namespace": "n"} | more).status_int, bench.api.calls) == (400, [])


# --- One that is not there ---


#: The owner decides, so that whoever asks has to look for the namespace first.
OWN = 'forbid(s: Subject, "get_metadef_namespace", m: Metadef) if not m.owner = s.tenant;'
OTHERS = [row | {"owner": "t2" if row["namespace"] == "secret" else "t1"} for row in ROWS]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "/{}", None, id="shown"),
        pytest.param("GET", "/{}/tags/t", None, id="something-in-it"),
        pytest.param("DELETE", "/{}", None, id="deleted"),
        pytest.param("PUT", "/{}", {"namespace": "n"}, id="renamed"),
        pytest.param("POST", "/{}/properties", {"name": "p"}, id="given-a-property"),
        pytest.param("GET", "?marker={}", None, id="as-a-marker"),
        pytest.param("GET", "?limit=2&marker={}", None, id="as-a-marker-of-a-short-page"),
    ],
)
def test_one_that_may_not_be_seen_is_answered_as_one_that_is_not_there(method: str, path: str, body: Any) -> None:
    def told(name: str) -> tuple[int, str, set[str]]:
        response = Ruled(OWN, Metadefs(*OTHERS)).ask(method, ALL + path.format(name), body)
        return response.status_int, response.text.replace(name, "NAME"), set(response.headers)

    absent = told("absent")
    assert absent[0] == 404
    assert told("secret") == absent
    assert told("SECRET") == absent
    assert told("a")[0] == 200
    # Found by another spelling than its own, which a rule would not know.
    assert told("A") == absent


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("marker=a", 200, id="one-that-may-be-seen"),
        pytest.param("marker=", 200, id="an-empty-one"),
        pytest.param("marker=secret", 404, id="one-that-may-not"),
        pytest.param("marker=a%2Ftags%2Ft", 404, id="the-path-of-something-else"),
        pytest.param("marker=a&marker=secret", 400, id="two"),
    ],
)
def test_a_list_starts_behind_what_may_be_seen(query: str, status: int) -> None:
    assert Ruled(OWN, Metadefs(*OTHERS)).ask("GET", f"{ALL}?{query}").status_int == status


# --- One write, many doors ---


def never(name: str, type_: str) -> Rule:
    """Allow all but to write a definition of this name."""

    def rule(query: Query) -> bool:
        writes = query.action.startswith(("add_", "modify_"))
        return not (writes and (query.resource.id, query.resource.type) == (name, type_))

    return rule


@pytest.mark.parametrize(
    ("type_", "method", "path", "body"),
    [
        pytest.param("property", "POST", "", {"namespace": "n", "properties": {"NAME": {}}}, id="a-property-inside"),
        pytest.param("property", "POST", "/a/properties", {"name": "NAME"}, id="a-property-alone"),
        pytest.param("property", "PUT", "/a/properties/p", {"name": "NAME"}, id="a-property-by-a-new-name"),
        pytest.param("object", "POST", "", {"namespace": "n", "objects": [{"name": "NAME"}]}, id="an-object-inside"),
        pytest.param("object", "POST", "/a/objects", {"name": "NAME"}, id="an-object-alone"),
        pytest.param("object", "PUT", "/a/objects/o", {"name": "NAME"}, id="an-object-by-a-new-name"),
        pytest.param("tag", "POST", "", {"namespace": "n", "tags": [{"name": "NAME"}]}, id="a-tag-inside"),
        pytest.param("tag", "POST", "/a/tags/NAME", None, id="a-tag-alone"),
        pytest.param("tag", "POST", "/a/tags", {"tags": [{"name": "t"}, {"name": "NAME"}]}, id="a-tag-among-others"),
        pytest.param("tag", "PUT", "/a/tags/t", {"name": "NAME"}, id="a-tag-by-a-new-name"),
        pytest.param(
            "resource_type",
            "POST",
            "",
            {"namespace": "n", "resource_type_associations": [{"name": "NAME"}]},
            id="a-resource-type-inside",
        ),
        pytest.param("resource_type", "POST", "/a/resource_types", {"name": "NAME"}, id="a-resource-type-alone"),
        pytest.param("namespace", "POST", "", {"namespace": "NAME"}, id="a-namespace"),
        pytest.param("namespace", "PUT", "/a", {"namespace": "NAME"}, id="a-namespace-by-a-new-name"),
    ],
)
def test_a_name_that_may_not_be_written_is_refused_by_every_door(type_: str, method: str, path: str, body: Any) -> None:
    def status(name: str) -> tuple[int, int]:
        filled = json.loads(json.dumps(body).replace("NAME", name))
        app = Metadefs()
        response = Bench(never("official", type_), app=app).ask(method, ALL + path.replace("NAME", name), filled)
        return response.status_int, sum(not call.startswith("GET") for call in app.calls)

    assert status("official") == (403, 0)
    assert status("another") == (200, 1)


@pytest.mark.parametrize("action", ["add", "modify"])
@pytest.mark.parametrize("door", ["add", "modify"])
def test_a_new_name_needs_the_action_that_adds_it_and_the_one_that_modifies(door: str, action: str) -> None:
    def rule(query: Query) -> bool:
        return query.action != f"{action}_metadef_property" or query.resource.id != "kernel_id"

    refused = Bench(rule, app=Metadefs())
    if door == "add":
        expected = 403 if action == "add" else 200
        assert refused.ask("POST", f"{ALL}/a/properties", {"name": "kernel_id"}).status_int == expected
    else:
        assert refused.ask("PUT", f"{ALL}/a/properties/p", {"name": "kernel_id"}).status_int == 403
        assert refused.ask("PUT", f"{ALL}/a/properties/p", {"name": "p"}).status_int == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", "", {"namespace": "n", "objects": [{"name": "o", "properties": {"P": {}}}]}, id="inside"),
        pytest.param("POST", "/a/objects", {"name": "o", "properties": {"P": {}}}, id="alone"),
        pytest.param("PUT", "/a/objects/o", {"name": "o", "properties": {"P": {}}}, id="changed"),
    ],
)
def test_a_property_in_an_object_is_one_that_a_rule_can_forbid(method: str, path: str, body: Any) -> None:
    def status(rules: str, name: str) -> int:
        filled = json.loads(json.dumps(body).replace("P", name))
        return Ruled(rules, Metadefs()).ask(method, ALL + path, filled).status_int

    rule = 'forbid(_s: Subject, "add_metadef_property", m: Metadef) if m.id = "kernel_id";'
    assert status(rule, "kernel_id") == 403
    assert status(rule, "os_type") == 200
    assert status("", "kernel_id") == 200


@pytest.mark.parametrize("action", ["add_metadef_namespace", "modify_metadef_namespace"])
@pytest.mark.parametrize(
    ("condition", "body", "status"),
    [
        pytest.param('m.visibility = "public"', {"visibility": "public"}, 403, id="public"),
        pytest.param('m.visibility = "public"', {"visibility": "private"}, 200, id="private"),
        pytest.param('m.visibility = "public"', {}, 200, id="private-by-default"),
        pytest.param('m.owner = "t2"', {"owner": "t2"}, 403, id="another-owner"),
        pytest.param('m.owner = "t2"', {"owner": "t1"}, 200, id="the-same-owner"),
        pytest.param('m.id = "golden"', {"namespace": "golden"}, 403, id="another-name"),
        pytest.param('m.namespace = "golden"', {"namespace": "golden"}, 403, id="another-name-of-the-namespace"),
        pytest.param('m.id = "golden"', {"namespace": "silver"}, 200, id="a-free-name"),
    ],
)
def test_a_namespace_is_changed_to_nothing_that_could_not_be_made(
    condition: str, body: dict[str, Any], status: int, action: str
) -> None:
    rule = f'forbid(_s: Subject, "{action}", m: Metadef) if {condition};'
    asked = Ruled(rule, Metadefs({"namespace": "mine", "owner": "t1", "visibility": "private"}))
    assert asked.ask("PUT", f"{ALL}/mine", {"namespace": "mine"} | body).status_int == status
    assert bool(asked.changed) == (status == 200)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"owner": "t1", "visibility": "public", "description": "d"}, 200, id="what-it-says"),
        pytest.param({"owner": "t1", "description": "d"}, 403, id="whom-it-is-shown-to"),
        pytest.param({"owner": "t2", "visibility": "public"}, 403, id="whose-it-is"),
        pytest.param({"namespace": "b", "owner": "t1", "visibility": "public"}, 403, id="what-it-is-called"),
    ],
)
def test_who_may_modify_a_namespace_and_add_none_changes_nothing_that_makes_another(
    body: dict[str, Any], status: int
) -> None:
    bench = Bench(refuse("add_metadef_namespace"), app=Metadefs())
    assert bench.ask("PUT", f"{ALL}/a", {"namespace": "a"} | body).status_int == status


def test_a_namespace_that_may_not_be_changed_is_not_changed_to_one_that_may() -> None:
    rule = 'forbid(_s: Subject, "modify_metadef_namespace", m: Metadef) if m.visibility = "public";'
    for visibility, status in (("public", 403), ("private", 200)):
        asked = Ruled(rule, Metadefs({"namespace": "n", "owner": "t1", "visibility": visibility}))
        assert asked.ask("PUT", f"{ALL}/n", {"namespace": "n", "visibility": "private"}).status_int == status


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param(None, 403, id="nothing-said"),
        pytest.param("false", 403, id="no"),
        pytest.param("true, true", 403, id="said-twice"),
        pytest.param("True", 200, id="yes"),
    ],
)
def test_tags_that_take_the_place_of_others_delete_them(header: str | None, status: int) -> None:
    bench = Bench(refuse("delete_metadef_tags"), app=Metadefs())
    headers = {"X-Openstack-Append": header}
    assert bench.ask("POST", f"{ALL}/a/tags", {"tags": [{"name": "t"}]}, headers=headers).status_int == status


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PUT", "/a", {}, id="a-namespace-without-a-name"),
        pytest.param("PUT", "/a", {"namespace": "a", "visibility": ["public"]}, id="a-visibility-that-is-an-array"),
        pytest.param("PUT", "/a", b'{"namespace":"a","owner":"t1","owner":"t2"}', id="two-owners"),
        pytest.param("POST", "/a/properties", {}, id="a-property-without-a-name"),
        pytest.param("POST", "/a/properties", {"name": ["p"]}, id="a-name-that-is-an-array"),
        pytest.param("POST", "/a/properties", b'{"name":"p","name":"kernel_id"}', id="two-names"),
        pytest.param("PUT", "/a/properties/p", {}, id="a-changed-property-without-a-name"),
        pytest.param("POST", "/a/objects", {"name": "o", "properties": []}, id="properties-in-an-array"),
        pytest.param("POST", "/a/tags", {}, id="no-tags"),
        pytest.param("POST", "/a/tags", {"tags": {"name": "t"}}, id="tags-in-an-object"),
        pytest.param("POST", "/a/tags", {"tags": ["t"]}, id="tags-as-text"),
        pytest.param("POST", "/a/resource_types", b"name=r", id="a-form"),
    ],
)
def test_a_definition_that_cannot_be_understood_is_refused(method: str, path: str, body: Any) -> None:
    app = Metadefs()
    assert Bench(anyone, app=app).ask(method, ALL + path, body).status_int == 400
    assert app.calls == []


PROTECTED = {"namespace": "n1", "owner": "t1", "visibility": "public", "protected": True}
OPEN = {"namespace": "n2", "owner": "t1", "visibility": "public", "protected": False}


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "refused"),
    [
        pytest.param("GET", "/{}", None, "get_metadef_namespace", 404, id="show"),
        pytest.param("PUT", "/{}", {}, "modify_metadef_namespace", 403, id="change"),
        pytest.param("DELETE", "/{}", None, "delete_metadef_namespace", 403, id="delete"),
        pytest.param("POST", "", {}, "add_metadef_namespace", 403, id="create"),
    ],
)
def test_a_rule_knows_all_that_a_namespace_says(
    method: str, path: str, body: dict[str, Any] | None, action: str, refused: int
) -> None:
    rules = f'forbid(_s: Subject, "{action}", m: Metadef) if m.get("protected") = true;'

    def status(row: dict[str, Any]) -> int:
        asked = None if body is None else body | row
        doors = Ruled(rules, Metadefs(PROTECTED, OPEN))
        return doors.ask(method, ALL + path.format(row["namespace"]), asked).status_int

    assert (status(PROTECTED), status(OPEN)) == (refused, 200)


def test_a_list_leaves_out_namespaces_by_all_that_they_say() -> None:
    rules = 'forbid(_s: Subject, "get_metadef_namespace", m: Metadef) if m.get("protected") = true;'
    rows = Ruled(rules, Metadefs(PROTECTED, OPEN)).ask("GET", ALL).json["namespaces"]
    assert [row["namespace"] for row in rows] == ["n2"]


def test_of_what_is_in_a_namespace_more_than_its_name_is_not_known() -> None:
    """So whoever asks for it is denied: taken as absent, it could silence a `forbid`."""
    rules = 'forbid(_s: Subject, "remove_metadef_property", m: Metadef) if m.get("x") = "y";'
    doors = Ruled(rules, Metadefs(OPEN))
    assert doors.ask("DELETE", f"{ALL}/n2/properties/p").status_int == 403
    assert doors.ask("DELETE", f"{ALL}/n2/objects/p").status_int == 200


@pytest.mark.parametrize(("count", "status"), [(512, 200), (513, 413)])
def test_one_request_makes_no_more_definitions_than_it_may(count: int, status: int) -> None:
    tags = [{"name": f"t{number}"} for number in range(count)]
    assert Ruled("", Metadefs(OPEN)).ask("POST", f"{ALL}/n2/tags", {"tags": tags}).status_int == status
    inside = {"namespace": "n3", "objects": [{"name": "o", "properties": {f"p{n}": {} for n in range(count - 1)}}]}
    assert Ruled("", Metadefs(OPEN)).ask("POST", ALL, inside).status_int == status
