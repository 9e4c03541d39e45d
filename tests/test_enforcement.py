"""The filter in front of a real WSGI application: what passes, what is refused, what is hidden, what is logged."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from io import BytesIO
from typing import Any

import pytest
from webob import Request, Response

from protect.decisions import Foresight
from protect.enforcement import Entry, Mode, Outcome, Protect
from protect.glance.patches import V20, V21
from protect.identity.keystone import VERIFIED, identify
from protect.values import Decision, Image, Property, Query, Subject
from tests.image_api import ID, ImageApi, image

ONE = ID.format(1)
V2 = f"/v2/images/{ONE}"
HEADERS = {
    "X-Identity-Status": "Confirmed",
    "X-User-Id": "u1",
    "X-Project-Id": "t1",
    "X-Roles": "member",
    "Accept": "application/json",
}

Rule = Callable[[Query], bool]


class Point:
    """A decision point made of one function; an exception in it is an error, as in a real one."""

    revision = "r1"

    def __init__(self, rule: Rule, discard: Rule = lambda _: False, forbid: Rule = lambda _: False) -> None:
        self.rule = rule
        self.discard = discard
        self.forbid = forbid
        self.asked: list[Query] = []

    def decide(self, query: Query) -> Decision:
        self.asked.append(query)
        try:
            if self.rule(query):
                return Decision(True, "a rule allows it", self.revision)
            return Decision(False, "no rule allows it", self.revision, discard=self.discard(query))
        except Exception:
            return Decision(False, "the policy could not be evaluated", self.revision, error=True)

    def deciding(self) -> Callable[[Query], Decision]:
        return self.decide

    def forbidden(self, query: Query) -> Decision:
        if self.forbid(query):
            return Decision(False, "a rule forbids it", self.revision, discard=self.discard(query))
        return Decision(True, "no rule forbids it", self.revision)

    def foresee(
        self, subject: Subject, context: Mapping[str, object], names: AbstractSet[str], *, core: bool = False
    ) -> Foresight:
        return Foresight(frozenset(), frozenset(names))

    def mentioned(self) -> AbstractSet[str]:
        return frozenset()

    def hidden(
        self, subject: Subject, context: Mapping[str, object]
    ) -> Callable[[Image, AbstractSet[str]], AbstractSet[str]]:
        def hide(image: Image, names: AbstractSet[str]) -> AbstractSet[str]:
            return {
                name
                for name in names
                if not self.rule(Query(subject, "read", Property(name, image, image.properties[name]), context))
            }

        return hide


def anyone(_: Query) -> bool:
    return True


def refuse(*actions: str) -> Rule:
    return lambda query: query.action not in actions


def rights(query: Query) -> bool:
    """Allow everything, but on a property what its name says: `c`, `r`, `u` and `d` before an underscore."""
    if not isinstance(query.resource, Property):
        return True
    return query.action[0] in query.resource.name.partition("_")[0]


def blank(path: str, **options: Any) -> Request:
    """Return a request that keystonemiddleware has looked at: its headers say with what result."""
    return Request.blank(path, {VERIFIED: object()}, **options)


class Bench:
    """A filter, the API behind it, and what was logged."""

    def __init__(self, rule: Rule | Point, *images: dict[str, Any], **options: Any) -> None:
        self.api = ImageApi(*images)
        self.log: list[Entry] = []
        self.point = rule if isinstance(rule, Point) else Point(rule)
        app = options.pop("app", self.api)
        self.filter = Protect(app, policy=lambda: self.point, identify=identify, log=self.log.append, **options)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Response:
        headers = HEADERS | options.pop("headers", {})
        request = blank(path, method=method, headers={k: v for k, v in headers.items() if v is not None})
        if body is not None:
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if method == "PATCH" and "Content-Type" not in headers:
            request.content_type = V21
        request.environ.update(options.pop("environ", {}))
        return request.get_response(self.filter)

    @property
    def lines(self) -> list[tuple[str, str, str | None]]:
        return [(entry.outcome.value, entry.action, entry.property) for entry in self.log]

    @property
    def changed(self) -> list[str]:
        return [call for call in self.api.calls if not call.startswith("GET")]


def patch(op: str, name: str, value: Any = "new") -> dict[str, Any]:
    return {"op": op, "path": f"/{name}"} | ({} if op == "remove" else {"value": value})


# --- Show and list ---


def test_show_hides_what_may_not_be_read() -> None:
    bench = Bench(rights, image(1, r_a="1", cud_b="2"))
    response = bench.ask("GET", V2)
    assert response.json == image(1, r_a="1")
    assert response.content_length == len(response.body)
    assert response.headers["X-Policy-Revision"] == "r1"
    assert "ETag" not in response.headers
    assert bench.lines == [("allowed", "get_image", None), ("denied", "read", "cud_b")]
    assert all(value != "2" for entry in bench.log for value in (entry.reason, entry.property))


def test_show_of_an_image_that_may_not_be_seen_says_there_is_none() -> None:
    response = Bench(refuse("get_image"), image(1)).ask("GET", V2)
    assert (response.status_int, response.json["code"]) == (404, "404 Not Found")
    assert f"No image found with ID {ONE}" in response.json["message"]
    assert "t1" not in response.text


def test_show_of_an_image_that_does_not_exist_says_the_same() -> None:
    bench, other = Bench(refuse("get_image"), image(1)), Bench(anyone)
    assert bench.ask("GET", V2).json["message"].split() == other.ask("GET", V2).json["message"].split()


@pytest.mark.parametrize(
    ("allowed", "shown"), [pytest.param(True, True, id="may-see-locations"), pytest.param(False, False, id="may-not")]
)
def test_locations_are_shown_where_a_rule_allows_it(allowed: bool, shown: bool) -> None:
    stored = image(1, direct_url="rbd://secret", locations=[{"url": "rbd://secret", "metadata": {}}])
    bench = Bench(anyone if allowed else refuse("get_image_location"), stored)
    for path in (V2, "/v2/images"):
        assert ("rbd://secret" in bench.ask("GET", path).text) is shown


def test_a_list_leaves_out_images_and_properties() -> None:
    def rule(query: Query) -> bool:
        return rights(query) and not (query.action == "get_image" and query.resource.owner == "t2")  # type: ignore[union-attr]

    bench = Bench(rule, image(1, r_a="1", c_b="2"), image(2, owner="t2"), image(3))
    response = bench.ask("GET", "/v2/images?limit=3")
    assert response.json["images"] == [image(1, r_a="1"), image(3)]
    assert response.json["first"] == "/v2/images?limit=3"
    # Without the unseen image the page would not be full.
    assert "next" not in response.json
    assert bench.lines == [("allowed", "get_images", None), ("denied", "get_image", None), ("denied", "read", "c_b")]


def test_a_list_is_refused_before_it_reaches_the_api() -> None:
    bench = Bench(refuse("get_images"), image(1))
    assert bench.ask("GET", "/v2/images").status_int == 403
    assert bench.api.calls == []


def test_a_list_is_decided_on_the_subjects_own_tenant() -> None:
    bench = Bench(anyone)
    bench.ask("GET", "/v2/images")
    assert bench.point.asked[0].resource == Image(owner="t1")


# --- A filter by a property is no oracle ---

HIDDEN = {"cud_x": "value"}
SHOWN = {"r_x": "value"}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        pytest.param("cud_x=value", [], id="the-right-guess"),
        pytest.param("cud_x=wrong", [], id="a-wrong-guess"),
        pytest.param("%63ud_x=value", [], id="an-encoded-name"),
        pytest.param("cud_x=value&limit=1", [], id="the-right-guess-and-a-small-page"),
        pytest.param("name=image 1&cud_x=value", [], id="beside-another-filter"),
        pytest.param("r_x=value", [ONE], id="a-property-that-may-be-read"),
        pytest.param("r_x=wrong", [], id="a-wrong-value-of-one-that-may-be-read"),
        pytest.param("name=image 1", [ONE], id="an-attribute"),
    ],
)
def test_a_filter_by_a_hidden_property_matches_nothing(query: str, ids: list[str]) -> None:
    response = Bench(rights, image(1, **HIDDEN, **SHOWN)).ask("GET", f"/v2/images?{query}")
    assert [document["id"] for document in response.json["images"]] == ids


def others_are_hidden(query: Query) -> bool:
    return not isinstance(query.resource, Property) or query.resource.image.owner == query.subject.tenant


@pytest.mark.parametrize("limit", [1, 2, 3, 25])
@pytest.mark.parametrize("secret", ["guess", "else"])
def test_pages_of_a_filtered_list_do_not_tell_of_hidden_matches(limit: int, secret: str) -> None:
    """Another tenant's images match or do not: whoever may not read that sees the same pages, and the same links."""
    mine = [image(2, p="guess"), image(4, p="guess"), image(6, p="guess")]
    theirs = [image(n, p=secret, owner="t2") for n in (1, 3, 5, 7)]
    bench = Bench(others_are_hidden, *sorted(mine + theirs, key=lambda document: document["id"]))
    path, found = f"/v2/images?p=guess&limit={limit}", list[list[str]]()
    while path:
        page = bench.ask("GET", path).json
        found.append([document["id"] for document in page["images"]])
        path = page.get("next", "")
    ids = [document["id"] for document in mine]
    # A full page has a link, also where nothing follows.
    assert found == [ids[start : start + limit] for start in range(0, 3 + (3 % limit == 0), limit)]


def test_a_filter_that_another_parser_could_read_otherwise_is_refused() -> None:
    bench = Bench(rights, image(1, **HIDDEN))
    assert bench.ask("GET", "/v2/images?name=x;cud_x=value").status_int == 400
    assert bench.ask("GET", "/v2/images?%ff=x").status_int == 400
    assert bench.api.calls == []


# --- Create ---


def test_create_with_every_right() -> None:
    bench = Bench(anyone)
    response = bench.ask("POST", "/v2/images", {"name": "n", "p": "v"})
    assert (response.status_int, response.json["p"]) == (201, "v")
    assert [query.action for query in bench.point.asked] == ["add_image", "create"]
    first = bench.point.asked[0].resource
    assert first.owner == "t1" and first.properties == {"p": "v"}  # type: ignore[union-attr]


def test_create_is_refused_for_a_property_that_may_not_be_created() -> None:
    bench = Bench(rights)
    response = bench.ask("POST", "/v2/images", {"c_fine": "v", "rud_x": "secret"})
    assert (response.status_int, bench.api.calls) == (403, [])
    assert "Attribute 'rud_x' is reserved." in response.text.replace("&#x27;", "'")
    assert "secret" not in response.text
    assert bench.lines[-1] == ("denied", "create", "rud_x")


def test_what_may_be_created_and_not_read_is_not_echoed() -> None:
    bench = Bench(rights)
    response = bench.ask("POST", "/v2/images", {"c_x": "secret", "cr_y": "v"})
    assert response.status_int == 201
    assert "c_x" not in response.json and response.json["cr_y"] == "v"
    assert bench.api.images[ID.format(9)]["c_x"] == "secret"


@pytest.mark.parametrize(
    ("visibility", "action"),
    [
        pytest.param("public", "publicize_image", id="public"),
        pytest.param("community", "communitize_image", id="community"),
    ],
)
def test_publishing_needs_a_right_of_its_own(visibility: str, action: str) -> None:
    for method, path, body in (
        ("POST", "/v2/images", {"visibility": visibility}),
        ("PATCH", V2, [patch("replace", "visibility", visibility)]),
        ("PATCH", V2, [patch("add", "visibility", visibility)]),
        ("PATCH", V2, [patch("add", " visibility ", visibility)]),
    ):
        refused, allowed = Bench(refuse(action), image(1)), Bench(anyone, image(1))
        assert (refused.ask(method, path, body).status_int, refused.changed) == (403, [])
        assert allowed.ask(method, path, body).status_int in (200, 201)
    older = [{"replace": "/visibility", "value": visibility}]
    assert Bench(refuse(action), image(1)).ask("PATCH", V2, older, headers={"Content-Type": V20}).status_int == 403


def test_what_is_discarded_is_left_out_and_named() -> None:
    bench = Bench(Point(rights, discard=lambda query: query.resource.name.startswith("d_")))  # type: ignore[union-attr]
    response = bench.ask("POST", "/v2/images", {"cr_a": "1", "d_é, x": "2"})
    assert response.status_int == 201
    assert response.headers["X-Protect-Discarded"] == "d_%C3%A9%2C%20x"
    assert "d_é, x" not in bench.api.images[ID.format(9)]
    assert ("discarded", "create", "d_é, x") in bench.lines


@pytest.mark.parametrize(
    ("names", "header"),
    [
        pytest.param(["d_a", "d_b"], "d_a, d_b", id="a-few"),
        pytest.param([f"d_{n:03d}" for n in range(500)], None, id="many"),
        pytest.param(["d_" + "é" * 240] * 1 + ["d_" + "ü" * 240, "d_x"], None, id="long-ones"),
    ],
)
def test_the_header_that_names_what_was_discarded_has_a_bound(names: list[str], header: str | None) -> None:
    bench = Bench(Point(rights, discard=anyone))
    found = bench.ask("POST", "/v2/images", dict.fromkeys(names, "v")).headers["X-Protect-Discarded"]
    assert len(found) < 2100
    if header is not None:
        assert found == header
    else:
        *listed, rest = found.split(", ")
        assert rest == f"and {len(names) - len(listed)} more"


@pytest.mark.parametrize(
    ("status", "words", "passes"),
    [
        pytest.param("413 Request Entity Too Large", "Attempted: 6, Maximum: 5", False, id="a-count-of-properties"),
        pytest.param("400 Bad Request", "Invalid disk format", True, id="another-failure"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_failure_does_not_count_what_is_hidden(status: str, words: str, passes: bool, method: str) -> None:
    def api(environ: Any, start_response: Any) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            return ImageApi(image(1))(environ, start_response)  # type: ignore[return-value]
        length = ("Content-Length", str(len(words)))
        start_response(status, [("Content-Type", "text/html"), ("X-Openstack-Request-Id", "req-1"), length])
        return [words.encode()]

    path, body = ("/v2/images", {"p": "v"}) if method == "POST" else (V2, [patch("add", "p", "v")])
    response = Bench(anyone, app=api).ask(method, path, body)
    assert (response.status, words in response.text) == (status, passes)
    assert response.content_length == len(response.body)
    assert response.headers["X-Openstack-Request-Id"] == "req-1"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="no-body"),
        pytest.param(b"{", 400, id="no-json"),
        pytest.param(b'{"a": "1", "a": "2"}', 400, id="the-same-key-twice"),
        pytest.param(b'{"rud_a": "1", "\\u0072ud_a": "2"}', 400, id="the-same-key-escaped"),
        pytest.param(b'["a"]', 400, id="an-array"),
        pytest.param(b'{"a": []}', 400, id="a-property-that-is-an-array"),
        pytest.param(b'{"stores": "s"}', 403, id="a-read-only-attribute"),
        pytest.param(b" " * (1024 * 1024 + 1), 413, id="too-large"),
    ],
)
def test_a_body_that_cannot_be_understood_stops_before_any_decision(body: bytes, status: int) -> None:
    bench = Bench(anyone)
    response = bench.ask("POST", "/v2/images", body)
    assert (response.status_int, bench.api.calls, bench.point.asked) == (status, [], [])
    assert response.json["title"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "application/x-www-form-urlencoded"])
def test_the_content_type_of_a_create_hides_nothing(content_type: str) -> None:
    bench = Bench(rights)
    assert bench.ask("POST", "/v2/images", {"rud_x": "v"}, headers={"Content-Type": content_type}).status_int == 403
    assert bench.api.calls == []


# --- Patch: the table of rights ---

SITUATIONS = [
    # name, add, replace, remove; the name says the rights, `image` has those that end in `_x`
    pytest.param("_x", 403, 409, 409, id="nothing"),
    pytest.param("c_x", 403, 409, 409, id="create-only"),
    pytest.param("r_x", 403, 403, 403, id="read-only"),
    pytest.param("u_x", 403, 409, 409, id="update-without-read"),
    pytest.param("cud_x", 403, 409, 409, id="everything-but-read"),
    pytest.param("ru_x", 200, 200, 403, id="read-and-update"),
    pytest.param("rd_x", 403, 403, 200, id="read-and-delete"),
    pytest.param("crud_x", 200, 200, 200, id="everything"),
    pytest.param("_new", 403, 409, 409, id="absent-and-nothing"),
    pytest.param("rud_new", 403, 409, 409, id="absent-and-everything-but-create"),
    pytest.param("c_new", 200, 409, 409, id="absent-and-create-only"),
    pytest.param("crud_new", 200, 409, 409, id="absent-and-everything"),
]
STORED = dict.fromkeys(("_x", "c_x", "r_x", "u_x", "cud_x", "ru_x", "rd_x", "crud_x"), "old")


@pytest.mark.parametrize("media", [V20, V21])
@pytest.mark.parametrize(("name", "add", "replace", "remove"), SITUATIONS)
def test_patch_answers_by_the_rights(media: str, name: str, add: int, replace: int, remove: int) -> None:
    for op, status in (("add", add), ("replace", replace), ("remove", remove)):
        bench = Bench(rights, image(1, **STORED))
        change = patch(op, name)
        if media == V20:
            change = {op: change["path"]} | ({"value": "new"} if op != "remove" else {})
            status = 409 if op == "add" and name in STORED and "r" in name.partition("_")[0] else status
        response = bench.ask("PATCH", V2, [change], headers={"Content-Type": media})
        stored = bench.api.images[ONE]
        assert response.status_int == status, op
        if status != 200:
            assert bench.changed == [] and stored == image(1, **STORED), op
            assert "old" not in response.text
        else:
            assert stored.get(name) == (None if op == "remove" else "new"), op
            assert {k for k in response.json if k.endswith(("_x", "_new"))} == {
                k for k in stored if k.endswith(("_x", "_new")) and "r" in k.partition("_")[0]
            }


def test_hidden_and_absent_cannot_be_told_apart() -> None:
    for op in ("replace", "remove"):
        hidden = Bench(rights, image(1, cud_x="s")).ask("PATCH", V2, [patch(op, "cud_x")])
        absent = Bench(rights, image(1)).ask("PATCH", V2, [patch(op, "cud_x")])
        assert (hidden.status, hidden.body) == (absent.status, absent.body)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param([patch("add", "cr_a"), patch("replace", "cr_a")], 403, id="added-then-replaced-needs-update"),
        pytest.param([patch("add", "cru_a"), patch("replace", "cru_a")], 200, id="added-then-replaced"),
        pytest.param([patch("remove", "rd_x"), patch("add", "rd_x")], 403, id="removed-then-added-needs-create"),
        pytest.param([patch("remove", "crud_x"), patch("add", "crud_x")], 200, id="removed-then-added"),
        pytest.param([patch("remove", "crud_x"), patch("replace", "crud_x")], 409, id="removed-then-replaced"),
        pytest.param([patch("replace", "name"), patch("add", "_a")], 403, id="a-later-refusal-stops-the-earlier"),
        pytest.param([patch("add", "c_a"), patch("add", "c_a", "again")], 403, id="written-unseen-then-overwritten"),
    ],
)
def test_operations_are_decided_in_their_order(changes: list[dict[str, Any]], status: int) -> None:
    bench = Bench(rights, image(1, **STORED))
    assert bench.ask("PATCH", V2, changes).status_int == status
    assert (bench.changed == []) == (status != 200)


@pytest.mark.parametrize("path", ["/_x", "//_x", "/ _x", "/_x ", "/\u00a0_x"])
def test_every_spelling_of_a_pointer_gets_the_same_decision(path: str) -> None:
    bench = Bench(rights, image(1, _x="s"))
    assert bench.ask("PATCH", V2, [{"op": "replace", "path": path, "value": "new"}]).status_int == 409
    assert bench.changed == []


def test_the_api_gets_the_spelling_that_was_decided_on() -> None:
    bench = Bench(rights, image(1))
    bench.ask("PATCH", V2, b'[{"op":"add","path":"// crud_\\u0061 ","value":"v","extra":1}]')
    assert json.loads(bench.api.seen[-1].body) == [{"op": "add", "path": "/crud_a", "value": "v"}]
    assert bench.api.seen[-1].content_type == V21


def test_properties_are_decided_with_the_new_value_to_write_and_the_old_to_read() -> None:
    bench = Bench(anyone, image(1, a="old", b="old"))
    for change in (patch("replace", "a"), patch("remove", "b"), patch("add", "c")):
        bench.ask("PATCH", V2, [change])
    asked = [
        (query.action, query.resource.name, query.resource.value)
        for query in bench.point.asked
        if isinstance(query.resource, Property)
    ]
    assert asked == [
        ("read", "a", "old"),
        ("update", "a", "new"),
        ("read", "b", "old"),
        ("delete", "b", "old"),
        ("create", "c", "new"),
    ]


def test_a_hidden_property_survives_a_patch() -> None:
    bench = Bench(rights, image(1, cud_x="s", crud_y="1"))
    assert bench.ask("PATCH", V2, [patch("replace", "crud_y")]).json == image(1, crud_y="new")
    assert bench.api.images[ONE]["cud_x"] == "s"


def discards(*images: dict[str, Any]) -> Bench:
    return Bench(Point(rights, discard=lambda query: isinstance(query.resource, Property)), *images)


def test_discarded_operations_are_dropped_and_the_rest_is_done() -> None:
    bench = discards(image(1, r_a="1", _h="s"))
    changes = [patch("replace", "r_a"), patch("add", "_h"), patch("add", "_n"), patch("replace", "name", "n")]
    response = bench.ask("PATCH", V2, changes)
    assert response.json == image(1, r_a="1", name="n")
    assert response.headers["X-Protect-Discarded"] == "r_a, _h, _n"
    assert json.loads(bench.api.seen[-1].body) == [{"op": "replace", "path": "/name", "value": "n"}]
    assert bench.api.images[ONE]["_h"] == "s"


def test_a_patch_of_which_nothing_is_left_answers_with_the_image() -> None:
    bench = discards(image(1, r_a="1", _h="s"))
    response = bench.ask("PATCH", V2, [patch("replace", "r_a")])
    assert (response.status_int, response.json, bench.changed) == (200, image(1, r_a="1"), [])
    assert response.headers["X-Policy-Revision"] == "r1"


def test_the_stored_image_is_fetched_at_most_once() -> None:
    bench = Bench(rights, image(1, **STORED))
    bench.ask("PATCH", V2, [patch("replace", "crud_x"), patch("add", "crud_new"), patch("remove", "rd_x")])
    assert bench.api.calls == [f"GET {V2}", f"PATCH {V2}"]


def test_a_patch_of_attributes_alone_asks_for_nothing() -> None:
    bench = Bench(anyone, image(1))
    bench.ask("PATCH", V2, [patch("replace", "name")])
    assert bench.api.calls == [f"PATCH {V2}"]


@pytest.mark.parametrize(
    ("op", "path", "action"),
    [
        pytest.param("add", "/locations/-", "set_image_location", id="add"),
        pytest.param("replace", "/locations", "set_image_location", id="replace"),
        pytest.param("remove", "/locations/0", "delete_image_location", id="remove"),
    ],
)
def test_locations_need_a_right_of_their_own(op: str, path: str, action: str) -> None:
    value = {"url": "file:///etc/shadow", "metadata": {}}
    change = {"op": op, "path": path, "value": [value] if op == "replace" else value}
    bench = Bench(refuse(action), image(1))
    assert (bench.ask("PATCH", V2, [change]).status_int, bench.changed) == (403, [])


def test_an_unknown_media_type_is_told_the_known_ones() -> None:
    response = Bench(anyone, image(1)).ask("PATCH", V2, [], headers={"Content-Type": "application/json"})
    assert (response.status_int, response.headers["Accept-Patch"]) == (415, f"{V20}, {V21}")


# --- Actions, and what is said of a denial ---

ACTIONS = [
    pytest.param("DELETE", V2, None, "delete_image", id="delete"),
    pytest.param("GET", f"{V2}/file", None, "download_image", id="download"),
    pytest.param("PUT", f"{V2}/file", b"data", "upload_image", id="upload"),
    pytest.param("PUT", f"{V2}/stage", b"data", "modify_image", id="stage"),
    pytest.param("POST", f"{V2}/actions/deactivate", None, "deactivate", id="deactivate"),
    pytest.param("POST", f"{V2}/actions/reactivate", None, "reactivate", id="reactivate"),
    pytest.param("PUT", f"{V2}/tags/x", None, "modify_image", id="tag"),
    pytest.param("DELETE", f"{V2}/tags/x", None, "modify_image", id="untag"),
    pytest.param("PATCH", V2, [patch("replace", "name")], "modify_image", id="patch"),
    pytest.param("POST", f"{V2}/import", {"method": {"name": "web-download"}}, "modify_image", id="import"),
    pytest.param("POST", f"{V2}/import", {"method": {"name": "copy-image"}}, "copy_image", id="copy"),
    pytest.param("POST", f"{V2}/locations", {"url": "x"}, "add_image_location", id="add-location"),
    pytest.param("GET", f"{V2}/locations", None, "fetch_image_location", id="locations"),
    pytest.param("GET", f"{V2}/file?prefer=s", None, "download_from_store", id="prefer"),
    pytest.param("GET", f"{V2}/file?x=1&prefer=", None, "download_from_store", id="prefer-nothing"),
    pytest.param("GET", f"{V2}/members", None, "get_members", id="members"),
    pytest.param("POST", f"{V2}/members", {"member": "t2"}, "add_member", id="add-member"),
    pytest.param("PUT", f"{V2}/members/t2", {"status": "accepted"}, "modify_member", id="accept"),
    pytest.param("DELETE", f"{V2}/members/t2", None, "delete_member", id="delete-member"),
    pytest.param("PUT", f"/v2/cache/{ONE}", None, "cache_image", id="cache"),
    pytest.param("DELETE", f"/v2/stores/s/{ONE}", None, "delete_image_location", id="delete-from-store"),
]


@pytest.mark.parametrize(("method", "path", "body", "action"), ACTIONS)
def test_an_action_is_refused_before_it_reaches_the_api(method: str, path: str, body: Any, action: str) -> None:
    bench = Bench(refuse(action), image(1))
    response = bench.ask(method, path, body)
    assert (response.status_int, bench.api.calls) == (403, [])
    assert f"You are not authorized to complete {action} action." in response.json["message"]
    assert bench.lines[-1] == ("denied", action, None)
    assert response.headers["X-Policy-Revision"] == "r1"


@pytest.mark.parametrize(("method", "path", "body", "action"), ACTIONS)
def test_an_action_that_is_allowed_reaches_the_api(method: str, path: str, body: Any, action: str) -> None:
    bench = Bench(anyone, image(1, visibility="shared"))
    bench.api.members[ONE] = {"t2": "pending"}
    response = bench.ask(method, path, body)
    assert response.status_int in (200, 204)
    assert bench.api.calls[-1] == f"{method} {path.partition('?')[0]}"
    assert response.headers["X-Policy-Revision"] == "r1"


@pytest.mark.parametrize(("method", "path", "body", "action"), ACTIONS)
def test_a_denial_about_an_image_that_may_not_be_seen_says_there_is_none(
    method: str, path: str, body: Any, action: str
) -> None:
    bench = Bench(refuse(action, "get_image"), image(1))
    response = bench.ask(method, path, body)
    assert (response.status_int, bench.api.calls) == (404, [])
    absent = f"Failed to find image {ONE} to delete" if action == "delete_image" else f"No image found with ID {ONE}"
    assert absent in response.json["message"]


@pytest.mark.parametrize(("method", "path", "body", "action"), ACTIONS)
def test_those_unknown_are_told_to_say_who_they_are(method: str, path: str, body: Any, action: str) -> None:
    bench = Bench(refuse(action, "get_image"), image(1))
    response = bench.ask(method, path, body, headers={"X-Identity-Status": "Invalid"})
    assert (response.status_int, bench.api.calls) == (401, [])


def test_a_decision_sees_the_image_as_it_is_stored() -> None:
    stored = image(1, cud_x="s", owner="t2")
    bench = Bench(lambda query: query.action == "download_image" and query.resource.properties["cud_x"] == "s", stored)  # type: ignore[union-attr]
    assert bench.ask("GET", f"{V2}/file").body == b"data of the image"
    bench.api.images[ONE]["cud_x"] = "else"
    assert bench.ask("GET", f"{V2}/file").status_int == 404


def by_owner(query: Query) -> bool:
    return query.resource.owner == query.subject.tenant  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param("404 Not Found", b"none here", (404, None), id="404-is-said-in-our-words"),
        pytest.param("401 Unauthorized", b"who?", (401, b"who?"), id="401-is-passed-on"),
        pytest.param("410 Gone", b"gone", (410, b"gone"), id="410-is-passed-on"),
        pytest.param("500 Internal Server Error", b"a traceback", (502, None), id="500-is-a-bad-gateway"),
        pytest.param("503 Service Unavailable", b"secret", (503, None), id="503-stays-503"),
        pytest.param("302 Found", b"elsewhere", (502, None), id="a-redirect-is-a-bad-gateway"),
        pytest.param("200 OK", b"<html>", (502, None), id="html-is-a-bad-gateway"),
        pytest.param("200 OK", b'{"id": "another"}', (502, None), id="another-image-is-a-bad-gateway"),
    ],
)
def test_the_apis_own_answer_is_given_where_facts_cannot_be_had(
    status: str, body: bytes, expected: tuple[int, bytes | None]
) -> None:
    calls = []

    def api(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(environ["REQUEST_METHOD"])
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("WWW-Authenticate", "Keystone")]
        start_response(status, headers)
        return [body]

    response = Bench(by_owner, app=api).ask("DELETE", V2)
    assert (response.status_int, calls) == (expected[0], ["GET"])
    assert response.headers.get("WWW-Authenticate") == ("Keystone" if expected[1] else None)
    if expected[1] is not None:
        assert response.body == expected[1]
    else:
        assert body not in response.body


def test_what_we_ask_carries_the_callers_identity_and_nothing_of_its_body() -> None:
    bench = Bench(by_owner, image(1))
    headers = {"Range": "bytes=0-1", "If-None-Match": "x", "Content-Type": "application/octet-stream"}
    assert bench.ask("PUT", f"{V2}/file?x=1", b"data", headers=headers).status_int == 204
    asked, sent = bench.api.seen
    assert (asked.method, asked.path_info, asked.query_string) == ("GET", V2, "")
    assert asked.headers["X-User-Id"] == "u1"
    assert not {"Range", "If-None-Match", "Content-Type", "Content-Length"} & set(asked.headers)
    assert sent.headers["Range"] == "bytes=0-1"
    assert bench.api.uploads[ONE] == b"data"


# --- Members ---


def test_members_are_decided_one_by_one() -> None:
    bench = Bench(lambda query: query.action != "get_member" or query.resource.tenant == "t2", image(1))  # type: ignore[union-attr]
    bench.api.members[ONE] = {"t2": "pending", "t3": "accepted"}
    assert [row["member_id"] for row in bench.ask("GET", f"{V2}/members").json["members"]] == ["t2"]
    assert bench.ask("GET", f"{V2}/members/t2").status_int == 200
    assert bench.ask("GET", f"{V2}/members/t3").status_int == 404


def test_members_of_shared_images_are_a_fact() -> None:
    def rule(query: Query) -> bool:
        return query.resource.members.get(query.subject.tenant) == "accepted"  # type: ignore[union-attr, arg-type]

    for status, expected in (("accepted", 200), ("pending", 404)):
        bench = Bench(rule, image(1, owner="t2", visibility="shared"))
        bench.api.members[ONE] = {"t1": status}
        assert bench.ask("GET", f"{V2}/file").status_int == expected
    private = Bench(rule, image(1, owner="t2"))
    private.api.members[ONE] = {"t1": "accepted"}
    assert private.ask("GET", f"{V2}/file").status_int == 404


@pytest.mark.parametrize("body", [{}, {"member": ""}, {"member": 5}, {"member": ["t2"]}, []])
def test_a_member_must_be_text(body: Any) -> None:
    bench = Bench(anyone, image(1))
    assert (bench.ask("POST", f"{V2}/members", body).status_int, bench.api.calls) == (400, [])


# --- Other doors ---


def test_tasks_of_an_image_do_not_repeat_what_is_hidden() -> None:
    assert "s3" in Bench(anyone, image(1)).ask("GET", f"{V2}/tasks").text
    assert "s3" not in Bench(refuse("tasks_api_access"), image(1)).ask("GET", f"{V2}/tasks").text


def test_a_task_cannot_write_what_its_maker_may_not() -> None:
    body = {"type": "import", "input": {"image_properties": {"name": "n", "rud_x": "v"}}}
    bench = Bench(rights)
    assert (bench.ask("POST", "/v2/tasks", body).status_int, bench.api.calls) == (403, [])
    body["input"]["image_properties"]["crud_x"] = body["input"]["image_properties"].pop("rud_x")  # type: ignore[index]
    assert bench.ask("POST", "/v2/tasks", body).status_int == 200


@pytest.mark.parametrize("body", [{}, {"method": "copy-image"}, {"method": {"name": ["copy-image"]}}, {"method": {}}])
def test_an_import_must_name_its_method(body: Any) -> None:
    bench = Bench(anyone, image(1))
    assert (bench.ask("POST", f"{V2}/import", body).status_int, bench.api.calls) == (400, [])


def test_rules_see_how_an_image_is_imported() -> None:
    bench = Bench(lambda query: query.context.get("import_uri") != "http://inside", image(1))
    body = {"method": {"name": "web-download", "uri": "http://inside"}}
    assert bench.ask("POST", f"{V2}/import", body).status_int == 404
    body["method"]["uri"] = "http://outside"
    assert bench.ask("POST", f"{V2}/import", body).status_int == 204


def test_what_needs_no_decision_passes_without_one() -> None:
    bench = Bench(lambda _: False)
    response = bench.ask("GET", "/v2/schemas/member")
    assert (response.status_int, bench.point.asked) == (200, [])
    assert "X-Policy-Revision" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/v2/unknown", 404, id="an-unknown-path"),
        pytest.param("GET", "/v2//images", 400, id="two-slashes"),
        pytest.param("GET", "/v2/images/", 404, id="a-slash-at-the-end"),
        pytest.param("HEAD", V2, 405, id="head"),
        pytest.param("PROPFIND", V2, 405, id="an-unknown-method"),
        pytest.param("GET", "/images", 404, id="no-version"),
    ],
)
def test_what_the_table_does_not_know_is_never_forwarded(method: str, path: str, status: int) -> None:
    bench = Bench(anyone, image(1))
    response = bench.ask(method, path)
    assert (response.status_int, bench.api.calls) == (status, [])
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_nobody_behind_us_sees_another_method(name: str) -> None:
    bench = Bench(refuse("delete_image"), image(1))
    assert bench.ask("GET", f"{V2}/file", headers={name: "DELETE"}).status_int == 200
    assert all(name not in request.headers for request in bench.api.seen)


@pytest.mark.parametrize(
    ("environ", "body", "status"),
    [
        pytest.param({"CONTENT_LENGTH": "100"}, b"{}", 400, id="a-length-that-is-too-long"),
        pytest.param({"CONTENT_LENGTH": "-1"}, b"{}", 400, id="a-negative-length"),
        pytest.param({"CONTENT_LENGTH": "2, 2"}, b"{}", 400, id="two-lengths"),
        pytest.param({"CONTENT_LENGTH": "٢"}, b"{}", 400, id="digits-of-another-script"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked"}, b"{}", 400, id="a-length-and-chunks"),
        pytest.param({"HTTP_CONTENT_ENCODING": "gzip"}, b"{}", 415, id="compressed"),
        pytest.param({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, b"{}", 201, id="chunks"),
        pytest.param({"CONTENT_LENGTH": str(2**30)}, b"{}", 413, id="a-length-that-is-too-large"),
        pytest.param(
            {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, b" " * 2**20 + b"{}", 413, id="too-many-chunks"
        ),
    ],
)
def test_the_length_of_a_body_must_be_true(environ: dict[str, str], body: bytes, status: int) -> None:
    bench = Bench(anyone)
    assert bench.ask("POST", "/v2/images", body, environ=environ).status_int == status
    assert len(bench.api.calls) == (status == 201)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", V2), ("GET", "/v2/images"), ("DELETE", V2), ("PUT", f"{V2}/tags/x")]
)
def test_a_body_where_none_belongs_is_refused(method: str, path: str) -> None:
    bench = Bench(anyone, image(1))
    assert (bench.ask(method, path, b"{}").status_int, bench.api.calls) == (400, [])


def test_a_long_request_id_is_refused_where_the_api_would_fail() -> None:
    bench = Bench(anyone, image(1))
    assert bench.ask("GET", V2, headers={"X-OpenStack-Request-ID": "r" * 64}).status_int == 200
    assert bench.log[0].request_id == "r" * 64
    assert bench.ask("GET", V2, headers={"X-OpenStack-Request-ID": "r" * 65}).status_int == 431


# --- Answers that cannot be edited ---


def api_that_says(status: str, headers: list[tuple[str, str]], body: bytes) -> Any:
    def api(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [body]

    return api


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        pytest.param("200 OK", [], b"<html>secret</html>", id="html"),
        pytest.param("200 OK", [], b'["secret"]', id="an-array"),
        pytest.param("200 OK", [], b'{"secret": 1}', id="no-image"),
        pytest.param(
            "200 OK", [("Content-Encoding", "gzip")], json.dumps(image(1, s="secret")).encode(), id="compressed"
        ),
        pytest.param("206 Partial Content", [], json.dumps(image(1, s="secret")).encode(), id="a-part"),
        pytest.param("200 OK", [], json.dumps(image(2, s="secret")).encode(), id="another-image"),
        pytest.param("200 OK", [], json.dumps({"images": [5, "secret"]}).encode(), id="no-list-of-images"),
    ],
)
def test_a_success_that_cannot_be_read_is_not_shown(status: str, headers: Any, body: bytes) -> None:
    bench = Bench(anyone, app=api_that_says(status, headers, body))
    for method, path, sent in (("GET", V2, None), ("PATCH", V2, [patch("replace", "name")])):
        response = bench.ask(method, path, sent)
        assert response.status_int == 502
        assert b"secret" not in response.body
    if b"images" in body:
        assert bench.ask("GET", "/v2/images").status_int == 502


def test_a_failure_of_the_api_passes() -> None:
    bench = Bench(anyone, app=api_that_says("409 Conflict", [("Content-Type", "text/plain")], b"in use"))
    response = bench.ask("PATCH", V2, [patch("replace", "name")])
    assert (response.status_int, response.body) == (409, b"in use")


def test_metadata_in_headers_does_not_pass() -> None:
    headers = [("X-Image-Meta-Property-Secret", "s3"), ("X-Policy-Revision", "forged"), ("X-Other", "x")]
    bench = Bench(anyone, app=api_that_says("200 OK", headers, json.dumps(image(1)).encode()))
    for path in (V2, f"{V2}/file"):
        response = bench.ask("GET", path)
        assert "s3" not in str(response.headers)
        assert response.headers.getall("X-Policy-Revision") == ["r1"]
        assert response.headers["X-Other"] == "x"


def test_answers_that_are_edited_are_asked_for_plain_and_whole() -> None:
    bench = Bench(anyone, image(1))
    headers = {"Accept-Encoding": "br", "If-None-Match": '"x"', "Range": "bytes=0-9", "If-Modified-Since": "x"}
    assert bench.ask("GET", V2, headers=headers).json == image(1)
    assert not set(headers) & set(bench.api.seen[-1].headers)


# --- Errors of our own ---


def broken(_: Query) -> bool:
    raise ValueError("s3cret")


def test_an_error_in_a_policy_is_a_denial_and_logged_as_an_error() -> None:
    bench = Bench(broken, image(1))
    assert (bench.ask("DELETE", V2).status_int, bench.api.calls) == (404, [])
    assert bench.log[0].outcome is Outcome.ERROR


@pytest.mark.parametrize("part", ["policy", "identify", "log", "hide"])
def test_an_error_of_our_own_tells_the_client_nothing(part: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("s3cret")

    bench = Bench(lambda query: query.action != "read" or fail(), image(1, a="1"))
    options: dict[str, Any] = {"policy": lambda: bench.point, "identify": identify, "log": bench.log.append}
    if part != "hide":
        options[part] = fail
    caplog.set_level(logging.ERROR)
    response = blank(V2, headers=HEADERS).get_response(Protect(bench.api, **options))
    assert response.status_int == 500
    assert "s3cret" not in response.text and "Traceback" not in response.text
    assert "s3cret" in caplog.text


def test_one_strange_image_does_not_take_the_list_away() -> None:
    bench = Bench(lambda query: query.action != "get_image" or by_owner(query), image(1), image(2, owner=["t1"]))
    assert [document["id"] for document in bench.ask("GET", "/v2/images").json["images"]] == [ONE]


# --- Streams ---


def test_data_streams_through_untouched() -> None:
    chunks = iter([b"a", b"b"])

    def api(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-MD5", "x")])
        return chunks

    environ = blank(f"{V2}/file", headers=HEADERS).environ
    started: list[Any] = []
    answer = Bench(anyone, app=api).filter(environ, lambda *args: started.append(args))
    assert answer is chunks
    assert started[0][:2] == ("200 OK", [("Content-MD5", "x"), ("X-Policy-Revision", "r1")])


class Unread:
    """A body that nobody may read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


def test_an_upload_that_is_refused_is_never_read() -> None:
    bench = Bench(refuse("upload_image"), image(1))
    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": "5"}
    assert bench.ask("PUT", f"{V2}/file", environ=environ).status_int == 403


@pytest.mark.parametrize(
    ("size", "chunked", "status"),
    [
        pytest.param(10, False, 204, id="as-large-as-allowed"),
        pytest.param(11, False, 413, id="one-byte-more"),
        pytest.param(10, True, 204, id="chunks-as-large-as-allowed"),
        pytest.param(11, True, 413, id="chunks-one-byte-more"),
        pytest.param(1000, True, 413, id="chunks-much-more"),
    ],
)
def test_an_upload_has_a_cap(size: int, chunked: bool, status: int) -> None:
    bench = Bench(anyone, image(1), image_size_cap=10)
    environ: dict[str, Any] = {"wsgi.input": BytesIO(b"x" * size), "CONTENT_LENGTH": str(size)}
    if chunked:
        environ |= {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert bench.ask("PUT", f"{V2}/file", environ=environ).status_int == status
    assert (ONE in bench.api.uploads) == (status == 204)


def test_a_cap_cannot_be_avoided_where_the_api_reads_past_us() -> None:
    bench = Bench(anyone, image(1), image_size_cap=10)
    environ = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "uwsgi.version": b"2.0"}
    assert (bench.ask("PUT", f"{V2}/file", environ=environ).status_int, bench.api.calls) == (411, [])


# --- An API that fails ---


def fails_aloud(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer as an error middleware does: it tells the server what went wrong, and sends a page."""
    try:
        raise ValueError("boom")
    except ValueError:
        start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"a page"]


def fails_for_good(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise ValueError("boom")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        pytest.param("GET", "/v2/images", {}, id="edited"),
        pytest.param("DELETE", "/v2/cache", {}, id="streamed"),
        pytest.param("PUT", f"{V2}/file", {"image_size_cap": 10}, id="capped"),
    ],
)
def test_the_page_of_a_failing_api_passes(mode: Mode, method: str, path: str, options: dict[str, Any]) -> None:
    point = Point(anyone)
    request = blank(path, method=method, headers=HEADERS)
    for app, fails in ((fails_aloud, False), (fails_for_good, True)):
        protect = Protect(app, policy=lambda: point, identify=identify, log=lambda _: None, mode=mode, **options)
        try:
            status, _, chunks, _ = request.copy().call_application(protect, catch_exc_info=True)
        except ValueError:
            assert fails
        else:
            assert (status, b"".join(chunks)) == ("500 Oops", b"a page") or (fails and status.startswith("500"))


# --- The log, and the policy of the moment ---


def test_an_entry_says_who_what_and_why() -> None:
    bench = Bench(refuse("delete_image"), image(1))
    bench.ask("DELETE", V2, headers={"X-OpenStack-Request-ID": "req-1"})
    assert bench.log == [
        Entry(
            outcome=Outcome.DENIED,
            action="delete_image",
            resource="Image",
            resource_id=ONE,
            property=None,
            subject="u1",
            tenant="t1",
            reason="no rule allows it",
            revision="r1",
            mode=Mode.ENFORCE,
            request_id="req-1",
        )
    ]


def unreadable(query: Query) -> bool:
    """Allow everything but to read `bad`; on `p` it depends on a fact that is not there."""
    if query.action != "read":
        return True
    return query.resource.name == "good" or (query.resource.name == "p" and query.resource.image.owner != "")  # type: ignore[union-attr]


@pytest.mark.parametrize("path", [V2, "/v2/images"])
@pytest.mark.parametrize(
    ("owner", "lines"),
    [
        pytest.param("t1", [("denied", "bad", "no rule allows it")], id="every-fact-is-there"),
        pytest.param(
            5,
            [("denied", "bad", "no rule allows it"), ("error", "p", "the policy could not be evaluated")],
            id="a-fact-that-cannot-be-read",
        ),
    ],
)
def test_what_is_hidden_for_an_error_is_logged_as_an_error(path: str, owner: Any, lines: list[Any]) -> None:
    bench = Bench(CautiousPoint(unreadable), image(1, owner=owner, good="1", bad="2", p="3"))
    shown = bench.ask("GET", path).json
    shown = shown if path == V2 else shown["images"][0]
    assert [name for name in ("good", "bad", "p") if name in shown] == ["good", "p"][: 2 if owner == "t1" else 1]
    assert [(e.outcome.value, e.property, e.reason) for e in bench.log if e.property] == lines


class CautiousPoint(Point):
    """Hides, as a real one does, what it cannot decide on."""

    def hidden(
        self, subject: Subject, context: Mapping[str, object]
    ) -> Callable[[Image, AbstractSet[str]], AbstractSet[str]]:
        def readable(image: Image, name: str) -> bool:
            return self.decide(Query(subject, "read", Property(name, image), context)).allowed

        return lambda image, names: {name for name in names if not readable(image, name)}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        pytest.param("u_x", [("denied", "create")], id="update-without-read"),
        pytest.param("_x", [("denied", "create")], id="neither"),
        pytest.param("c_x", [("denied", "read"), ("denied", "update")], id="create-without-read"),
        pytest.param("ru_x", [("allowed", "read"), ("allowed", "update")], id="both"),
    ],
)
def test_the_log_says_what_became_of_a_write(name: str, lines: list[tuple[str, str]]) -> None:
    bench = Bench(rights, image(1, **{name: "old"}))
    status = bench.ask("PATCH", V2, [patch("add", name)]).status_int
    assert [line[:2] for line in bench.lines if line[2] == name][:2] == lines
    assert (status == 200) is all(outcome == "allowed" for outcome, _ in lines)


def test_no_value_reaches_the_log() -> None:
    bench = Bench(rights, image(1, cud_x="s3cret", r_y="s3cret"))
    bench.ask("GET", V2)
    bench.ask("PATCH", V2, [patch("replace", "r_y", "n3w")])
    bench.ask("POST", "/v2/images", {"rud_x": "n3w"})
    assert bench.log
    assert not any("s3cret" in str(entry) or "n3w" in str(entry) for entry in bench.log)


def test_the_policy_is_asked_for_once_in_a_request() -> None:
    points = [Point(anyone), Point(lambda _: False)]
    taken = iter(points)
    api = ImageApi(image(1, a="1"))
    app = Protect(api, policy=lambda: next(taken), identify=identify, log=lambda _: None)
    assert blank(V2, headers=HEADERS).get_response(app).status_int == 200
    assert blank(V2, headers=HEADERS).get_response(app).status_int == 404


# --- Shadow mode ---

SHADOW = [
    pytest.param("GET", V2, None, id="show"),
    pytest.param("GET", "/v2/images?cud_x=s", None, id="list"),
    pytest.param("POST", "/v2/images", b'{"rud_a": "1"}', id="create"),
    pytest.param("POST", "/v2/images", b'{"a": "1", "a": "2"}', id="a-body-that-would-be-refused"),
    pytest.param("PATCH", V2, [patch("replace", "cud_x")], id="patch"),
    pytest.param("DELETE", V2, None, id="delete"),
    pytest.param("PUT", f"{V2}/file", b"data", id="upload"),
    pytest.param("GET", f"{V2}/file", None, id="download"),
    pytest.param("GET", "/v2/images/", None, id="a-path-that-would-be-refused"),
]


@pytest.mark.parametrize("rule", [rights, lambda _: False, broken], ids=["by-name", "nobody", "broken"])
@pytest.mark.parametrize(("method", "path", "body"), SHADOW)
def test_shadow_mode_changes_nothing(rule: Rule, method: str, path: str, body: Any) -> None:
    stored = image(1, cud_x="s", direct_url="u")
    bench, bare = Bench(rule, stored, mode=Mode.SHADOW), Bench(anyone, stored)
    bare.filter = bare.api  # type: ignore[assignment]
    response, expected = bench.ask(method, path, body), bare.ask(method, path, body)
    assert (response.status, response.body, response.headerlist) == (
        expected.status,
        expected.body,
        expected.headerlist,
    )
    assert (bench.api.images, bench.api.uploads) == (bare.api.images, bare.api.uploads)
    assert bench.api.calls[-1] == bare.api.calls[-1]


def test_shadow_mode_logs_what_it_would_have_done() -> None:
    bench = Bench(rights, image(1, cud_x="s"), mode=Mode.SHADOW)
    bench.ask("GET", V2)
    assert ("denied", "read", "cud_x") in bench.lines
    bench.ask("POST", "/v2/images", {"rud_a": "1"})
    assert bench.lines[-1] == ("denied", "create", "rud_a")
    assert {entry.mode for entry in bench.log} == {Mode.SHADOW}


def test_shadow_mode_survives_an_error_of_our_own() -> None:
    def fail() -> Any:
        raise RuntimeError

    api = ImageApi(image(1))
    app = Protect(api, policy=fail, identify=identify, log=lambda _: None, mode=Mode.SHADOW)
    assert blank(V2, headers=HEADERS).get_response(app).json == image(1)
