"""Metadata definitions through the filter: who may not see a namespace sees nothing in it."""

from __future__ import annotations

from typing import Any

import pytest
from webob import Request, Response

from protect.values import Query
from tests.image_api import ImageApi
from tests.test_enforcement import Bench, anyone, refuse

ALL = "/v2/metadefs/namespaces"
ROWS = [{"namespace": name, "owner": "t1", "visibility": "public"} for name in ("a", "secret", "b", "c")]


class Metadefs(ImageApi):
    """An image API with a few namespaces, two on a page."""

    def _respond(self, request: Request) -> Response:
        if request.method != "GET" or request.path_info != ALL:
            return Response(json_body={"namespace": request.path_info.split("/")[4]} if request.method == "GET" else {})
        names = [row["namespace"] for row in ROWS]
        start = names.index(request.GET["marker"]) + 1 if "marker" in request.GET else 0
        limit = int(request.GET.get("limit", 10))
        page: dict[str, Any] = {"namespaces": ROWS[start : start + limit], "first": ALL}
        if len(page["namespaces"]) == limit:
            page["next"] = f"{ALL}?limit={limit}&marker={page['namespaces'][-1]['namespace']}"
        return Response(json_body=page)


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
        pytest.param("POST", "/objects", {}, id="a-new-object"),
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
