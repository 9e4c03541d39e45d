"""The route table and the paths that lead to it: every alias gets the same decision, the unknown gets none."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protect.enforcement.doors import DOORS
from protect.errors import MalformedRequest
from protect.glance.paths import ApiPath, api_path
from protect.glance.routes import ROUTES, Body, Door, Match, MethodNotAllowed, On, Route, find

ID = "00000000-0000-4000-8000-000000000001"


def match(method: str, path: str, script_name: str = "") -> Match:
    return find(method, api_path(script_name, path))


@pytest.mark.parametrize(
    ("method", "path", "door", "actions"),
    [
        pytest.param("GET", "/v2/images", Door.LIST, ("get_images",), id="list"),
        pytest.param("POST", "/v2/images", Door.CREATE, ("add_image",), id="create"),
        pytest.param("GET", f"/v2/images/{ID}", Door.SHOW, ("get_image",), id="show"),
        pytest.param("PATCH", f"/v2/images/{ID}", Door.PATCH, ("get_image", "modify_image"), id="patch"),
        pytest.param("DELETE", f"/v2/images/{ID}", Door.ACT, ("delete_image",), id="delete"),
        pytest.param("GET", f"/v2/images/{ID}/file", Door.DOWNLOAD, ("download_image",), id="download"),
        pytest.param("PUT", f"/v2/images/{ID}/file", Door.UPLOAD, ("upload_image",), id="upload"),
        pytest.param("PUT", f"/v2/images/{ID}/stage", Door.STAGE, ("modify_image",), id="stage"),
        pytest.param("PUT", f"/v2/images/{ID}/tags/a b", Door.TAG, ("modify_image",), id="tag"),
        pytest.param("POST", f"/v2/images/{ID}/actions/deactivate", Door.ACT, ("deactivate",), id="deactivate"),
        pytest.param("DELETE", "/v2/cache", Door.ACT, ("cache_delete",), id="clear-the-cache"),
        pytest.param("DELETE", f"/v2/cache/{ID}", Door.ACT, ("cache_delete",), id="delete-from-the-cache"),
        pytest.param("POST", "/v2/cache/clean", Door.ACT, ("cache_clean",), id="clean-the-cache"),
        pytest.param("GET", f"/v2/cache/nodes/{ID}", Door.ACT, ("list_cached_nodes",), id="cache-nodes"),
        pytest.param("GET", "/v2/info/stores", Door.OPEN, (), id="stores"),
        pytest.param("GET", "/v2/info/stores/detail", Door.ACT, ("stores_info_detail",), id="stores-in-detail"),
        pytest.param("GET", "/v2/schemas/image", Door.SCHEMA, (), id="schema"),
        pytest.param("GET", "/v2/schemas/member", Door.OPEN, (), id="another-schema"),
        pytest.param(
            "DELETE",
            "/v2/metadefs/namespaces/n/tags",
            Door.DEFINITION,
            ("delete_metadef_namespace", "delete_metadef_tags"),
            id="tags-of-a-namespace",
        ),
        pytest.param("GET", "/", Door.OPEN, (), id="versions"),
        pytest.param("GET", "/healthcheck", Door.OPEN, (), id="health"),
        pytest.param("HEAD", "/healthcheck", Door.OPEN, (), id="health-without-a-body"),
        pytest.param("GET", "/v2/", Door.OPEN, (), id="one-version"),
    ],
)
def test_a_request_finds_its_row(method: str, path: str, door: Door, actions: tuple[str, ...]) -> None:
    found = match(method, path)
    assert (found.route.door, found.route.actions) == (door, actions)


@pytest.mark.parametrize(
    ("script_name", "path"),
    [
        pytest.param("", f"/v2/images/{ID}/file", id="plain"),
        pytest.param("", f"/v2.0/images/{ID}/file", id="v2.0"),
        pytest.param("", f"/v2.17/images/{ID}/file", id="v2.17"),
        pytest.param("/v2", f"/images/{ID}/file", id="version-in-script-name"),
        pytest.param("/image/v2.9", f"/images/{ID}/file", id="mounted-below-a-prefix"),
        pytest.param("/image", f"/v2/images/{ID}/file", id="mounted-with-the-version-in-the-path"),
    ],
)
def test_every_alias_of_a_path_finds_the_same_row(script_name: str, path: str) -> None:
    found = match("GET", path, script_name)
    assert (found.route.door, found.names) == (Door.DOWNLOAD, {"image": ID})


def test_the_paths_we_ask_ourselves_go_the_way_the_request_went() -> None:
    assert api_path("", "/v2.9/images").inside("images", ID) == f"/v2.9/images/{ID}"
    assert api_path("/v2", "/images").inside("images", ID) == f"/images/{ID}"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        pytest.param("//v2/images", 400, "the path has two slashes in a row", id="two-slashes-first"),
        pytest.param("/v2//images", 400, "the path has two slashes in a row", id="two-slashes"),
        pytest.param(f"/v2/images//{ID}//file", 400, "the path has two slashes in a row", id="two-slashes-inside"),
        pytest.param(f"/v2/images/{ID}//", 400, "the path has two slashes in a row", id="two-slashes-at-the-end"),
        pytest.param("/v2/./images", 400, "the path has a `.` or `..` segment", id="a-dot"),
        pytest.param(f"/v2/schemas/../images/{ID}", 400, "the path has a `.` or `..` segment", id="dots"),
        pytest.param("/v2/images/\x00", 400, "the path has a control character or an invisible one", id="nul"),
        pytest.param("/v2/images\n", 400, "the path has a control character or an invisible one", id="newline"),
        pytest.param("/v2/images/\xe2\x80\x8b", 400, "the path has a control character or an invisible one", id="zwsp"),
        pytest.param("/v2/images\\x", 400, "the path has a backslash", id="a-backslash"),
        pytest.param("/v2/images/\xff", 400, "the path is not UTF-8", id="not-utf-8"),
        pytest.param("/v2/images/\u0142", 400, "the path is not UTF-8", id="not-bytes"),
        pytest.param(
            f"/v2/images/{ID}%2Ffile", 400, "the path is percent-encoded twice, or has an encoded slash", id="%2F"
        ),
        pytest.param(
            f"/v2/images/{ID}%2ffile", 400, "the path is percent-encoded twice, or has an encoded slash", id="%2f"
        ),
        pytest.param("/v2/%69mages", 400, "the path is percent-encoded twice, or has an encoded slash", id="%69"),
        pytest.param("/v2/images/x /file", 400, "the path has a segment that starts or ends with a space", id="space"),
        pytest.param("v2/images", 400, "the path does not start with a slash", id="no-slash"),
        pytest.param(
            "/v2/images/",
            404,
            "the resource could not be found; leave out the slash at the end",
            id="a-slash-at-the-end",
        ),
        pytest.param(
            "/images", 404, "the resource could not be found; paths of the image API start with `/v2`", id="no-version"
        ),
        pytest.param(
            "/v1/images", 404, "the resource could not be found; paths of the image API start with `/v2`", id="v1"
        ),
        pytest.param(
            "/v2.100/images",
            404,
            "the resource could not be found; paths of the image API start with `/v2`",
            id="v2.100",
        ),
        pytest.param(
            "/V2/images", 404, "the resource could not be found; paths of the image API start with `/v2`", id="V2"
        ),
        pytest.param("/v2/Images", 404, "the resource could not be found", id="another-case"),
        pytest.param("/v2/healthcheck", 404, "the resource could not be found", id="health-below-a-version"),
        pytest.param(
            "/healthcheck/x",
            404,
            "the resource could not be found; paths of the image API start with `/v2`",
            id="more-than-health",
        ),
        pytest.param("/v2/v2/images", 404, "the resource could not be found", id="the-version-twice"),
        pytest.param("/v2/images/x/y/z/a", 404, "the resource could not be found", id="longer-than-any"),
        pytest.param(
            f"/v2/images/{ID.upper()}A", 404, "No image found with that ID; ids are lower case here", id="upper-case-id"
        ),
    ],
)
def test_another_spelling_is_refused(path: str, status: int, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        match("GET", path)
    assert (caught.value.status, str(caught.value)) == (status, message)


def test_a_version_in_both_places_is_not_taken_off_twice() -> None:
    with pytest.raises(MalformedRequest):
        match("GET", "/v2/images", "/v2")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("HEAD", f"/v2/images/{ID}", "GET, PATCH, DELETE", id="head-of-an-image"),
        pytest.param("HEAD", f"/v2/images/{ID}/file", "GET, PUT", id="head-of-data"),
        pytest.param("POST", "/healthcheck", "GET, HEAD", id="post-of-health"),
        pytest.param("DELETE", f"/v2/images/{ID}/file", "GET, PUT", id="delete-of-data"),
        pytest.param("get", "/v2/images", "GET, POST", id="lower-case"),
        pytest.param("GET", "/v2/cache/clean", "POST", id="a-word-is-no-id"),
        pytest.param("DELETE", "/v2/cache/clean", "POST", id="a-word-is-no-id-to-delete"),
        pytest.param("OPTIONS", f"/v2/images/{ID}/locations", "GET, POST", id="options"),
    ],
)
def test_another_method_is_refused_with_those_allowed(method: str, path: str, allowed: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        match(method, path)
    assert (caught.value.status, caught.value.allowed) == (405, allowed)


def test_every_row_has_a_door_and_every_door_is_used() -> None:
    assert {route.door for route in ROUTES} == set(Door) == set(DOORS)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_row_finds_itself(route: Route) -> None:
    path = "/v2" + re.sub(r"\{\w+\}", "x1", route.path) if route.path != "/" else "/"
    assert match(route.method, path).route is route


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_only_what_says_nothing_of_anyone_needs_no_decision(route: Route) -> None:
    open_to_all = route.door in (Door.OPEN, Door.SCHEMA)
    assert (not route.actions) == open_to_all == (route.on is On.NOTHING)
    if open_to_all:
        assert route.path.startswith(("/schemas/", "/info/")) or route.path == "/"
        assert route.method == "GET" or (route.method, route.path) == ("HEAD", "/")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_body_is_let_through_on_get_and_delete(route: Route) -> None:
    assert route.method not in ("GET", "DELETE") or route.body is Body.NONE


def test_no_row_is_there_twice() -> None:
    rows = [(route.method, route.path) for route in ROUTES]
    assert len(rows) == len(set(rows))


def test_the_root_has_no_segments() -> None:
    assert api_path("", "") == api_path("", "/") == api_path("/v2", "") == ApiPath("", ())


@given(st.text(alphabet="v20/.-_aZ~%\\ \n\u00e9\u00c3\u00a9", max_size=12).map(lambda end: f"/v2{end}"))
@example("/v2/images/")
@example("/v2//images")
@example("/v2/images\n")
@example("/v2/v2/images")
@settings(max_examples=500, deadline=None)
def test_an_ordinary_path_is_read_as_any_other(path: str) -> None:
    def read(script_name: str) -> ApiPath | str:
        try:
            return api_path(script_name, path)
        except MalformedRequest as error:
            return str(error)

    # Where the API is mounted, every path goes the long way.
    assert read("") == read("/image")


def test_every_row_spells_its_first_segment_out() -> None:
    assert not any(route.path.startswith("/{") for route in ROUTES)
