"""The gateways' endpoints: what Envoy, nginx and Traefik ask, and what lets a request pass."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from webob import Request, Response

from protect import Policy
from protect.connections import Connections, parse_address
from protect.errors import ConfigError
from protect.glance.patches import V20, V21
from protect.identity.guards import Unauthenticated, read_tokens
from protect.identity.keystone import VERIFIED, identify
from protect.proxy.forwarder import Forwarder
from protect.service import gateways
from protect.service.app import Service
from protect.service.calls import Call, Limits
from protect.service.gateways import Gateway
from protect.values import Decision, Query
from tests.doors import ONE, V2, Doors, policy, replace
from tests.image_api import ID, Document, ImageApi, image
from tests.scripted import Received, scripted

SHIPPED = Policy.load()
TOKEN = "the-gateway's-own"
HIDDEN = 'forbid(s: Subject, "read", p: Property) if p.name = "secret" and not s.has_role("admin");\n'
SECRET = {"secret": "s3"}
ADMIN = {"X-Roles": "admin,member,reader"}
STRANGER = {"X-Project-Id": "t2"}
UNKNOWN = {"X-Identity-Status": "Invalid"}
NEW = "/v2/images"
CREATE = {"os": "x"}


class Gateways:
    """The endpoints with an API to ask, unless ``known`` are the images that are known without one."""

    def __init__(
        self,
        *images: Document,
        rules: str | Policy = SHIPPED,
        mode: Gateway = Gateway.STRICT,
        known: Mapping[str, Document] | None = None,
        raw: bool = True,
        upstream: Callable[..., Iterable[bytes]] | None = None,
    ) -> None:
        self.api = ImageApi(*images)
        self.told: list[tuple[Query, Decision]] = []
        self.raw = raw
        self.verified = True  # by keystonemiddleware, before the service
        point = policy(rules) if isinstance(rules, str) else rules

        def record(query: Query, decision: Decision, call: Call) -> None:
            self.told.append((query, decision))

        routes = gateways.routes(
            policy=lambda: point,
            record=record,
            identify=identify,
            gateway=mode,
            upstream=(upstream or self.api) if known is None else None,
            find=None if known is None else known.get,
        )
        self.service = Service(routes, guard=guard, limits=Limits())

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request to the service itself, as a server passes it on."""
        target, _, query = path.partition("?")
        given = {
            "X-Protect-Token": TOKEN,
            "X-Identity-Status": "Confirmed",
            "X-User-Id": "u1",
            "X-Project-Id": "t1",
            "X-Roles": "member,reader",
            "Accept": "text/plain",
            **(headers or {}),
        }
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": decoded(target),
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "protect",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body or b""),
            "CONTENT_LENGTH": str(len(body or b"")),
            "CONTENT_TYPE": given.pop("Content-Type", ""),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in given.items()},
        }
        if self.raw:
            environ["RAW_URI"] = path
        if self.verified:
            environ[VERIFIED] = object()
        seen: list[Any] = []
        answer = b"".join(self.service(environ, lambda status, headers: seen.extend((status, dict(headers)))))
        return int(seen[0][:3]), seen[1], answer

    def envoy(self, path: str, method: str = "GET", body: Any = None, headers: Any = None) -> int:
        return self.ask(f"/gateway/envoy{path}", method, written(body), typed(method, headers))[0]

    def nginx(self, path: str, method: str = "GET", headers: Any = None) -> int:
        told = {"X-Original-Method": method, "X-Original-URI": path, **(headers or {})}
        return self.ask("/gateway/nginx", headers=told)[0]

    def traefik(self, path: str, method: str = "GET", body: Any = None, headers: Any = None) -> int:
        told = {"X-Forwarded-Method": method, "X-Forwarded-Uri": path, **typed(method, headers)}
        return self.ask("/gateway/traefik", body=written(body), headers=told)[0]


def guard(environ: Mapping[str, Any], header: str) -> str:
    if environ.get(f"HTTP_{header}") != TOKEN:
        raise Unauthenticated("not the gateway")
    return "gateway"


def decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1")


def written(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def typed(method: str, headers: Any) -> dict[str, str]:
    return {"Content-Type": V21 if method == "PATCH" else "application/json", **(headers or {})}


# --- the same answers as the filter ---

REQUESTS = [
    pytest.param("GET", V2, None, {}, id="an owner reads its image"),
    pytest.param("GET", V2, None, STRANGER, id="another tenant may not know of it"),
    pytest.param("GET", V2, None, UNKNOWN, id="nobody knows who it is"),
    pytest.param("GET", f"/v2/images/{ID.format(7)}", None, {}, id="there is no such image"),
    pytest.param("GET", f"{V2}/file", None, {}, id="an owner downloads"),
    pytest.param("GET", f"{V2}/file", None, STRANGER, id="another tenant does not download"),
    pytest.param("GET", f"{V2}/file", None, {"X-Roles": "reader"}, id="a reader does not download"),
    pytest.param("PUT", f"{V2}/file", b"data", {}, id="an owner uploads"),
    pytest.param("DELETE", V2, None, {}, id="an owner deletes"),
    pytest.param("DELETE", V2, None, {"X-Roles": "reader"}, id="a reader does not delete"),
    pytest.param("POST", f"{V2}/actions/deactivate", None, STRANGER, id="another tenant deactivates"),
    pytest.param("GET", NEW, None, {}, id="a list"),
    pytest.param("GET", NEW, None, UNKNOWN, id="a list for nobody"),
    pytest.param("POST", NEW, CREATE, {}, id="a create"),
    pytest.param("POST", NEW, {"kernel_id": "k"}, {}, id="a create with a magic property"),
    pytest.param("POST", NEW, {"visibility": "public"}, {}, id="a public create"),
    pytest.param("POST", NEW, {"visibility": "public"}, ADMIN, id="a public create by an admin"),
    pytest.param("POST", NEW, b'{"os": 1, "os": 2}', {}, id="a create that can be read in two ways"),
    pytest.param("PATCH", V2, [replace("name", "x")], {}, id="a patch"),
    pytest.param("PATCH", V2, [replace("owner", "x")], {}, id="a patch of the owner"),
    pytest.param("PATCH", V2, [replace("missing", "x")], {}, id="a patch of what is not there"),
    pytest.param("PATCH", V2, [replace("name", "x")], {"Content-Type": "text/plain"}, id="a patch of no known type"),
    pytest.param("POST", f"{V2}/members", {"member": "t2"}, {}, id="a new member"),
    pytest.param("POST", f"{V2}/members", {"member": "t2"}, STRANGER, id="a new member by another tenant"),
    pytest.param("GET", f"{V2}/members/t2", None, {}, id="a member"),
    pytest.param("PUT", f"{V2}/tags/x", None, {}, id="a tag"),
    pytest.param("GET", "/v2/schemas/image", None, {}, id="a schema"),
    pytest.param("GET", "/v2/tasks", None, {}, id="tasks"),
    pytest.param("GET", "/v2/nothing", None, {}, id="an unknown path"),
    pytest.param("HEAD", V2, None, {}, id="an unknown method"),
    pytest.param("GET", "/v1/images", None, {}, id="another version"),
    pytest.param("GET", f"/v2//images/{ONE}", None, {}, id="two slashes"),
    pytest.param("GET", f"/v2/images/../images/{ONE}", None, {}, id="a way up"),
    pytest.param("GET", f"/v2/images/{ONE.upper()}x", None, {}, id="an id in capitals"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers"), REQUESTS)
def test_a_gateway_answers_as_the_filter_does(method: str, path: str, body: Any, headers: dict[str, str]) -> None:
    stored = image(visibility="shared")
    doors, asked = Doors(SHIPPED, stored), Gateways(stored)
    doors.api.members[ONE] = asked.api.members[ONE] = {"t2": "pending"} if "members" in path else {}
    filtered = doors.ask(method, path, None, typed(method, headers) | {"Accept": "text/plain"})
    if body is not None:
        raw = written(body)
        assert raw is not None
        filtered = with_body(doors, method, path, raw, typed(method, headers))
    status = filtered.status_int
    expected = 200 if status < 400 else status
    assert asked.envoy(path, method, body, headers) == expected
    assert asked.traefik(path, method, body, headers) == expected
    if body is None:
        closed = {200: 204, 401: 401}.get(expected, 403)
        assert asked.nginx(path, method, headers) == closed
    assert [call for call in asked.api.calls if not call.startswith("GET")] == []


def with_body(doors: Doors, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
    identity = {
        "X-Identity-Status": "Confirmed",
        "X-User-Id": "u1",
        "X-Project-Id": "t1",
        "X-Roles": "member,reader",
        "Accept": "text/plain",
    }
    request = Request.blank(path, {VERIFIED: object()}, method=method, headers=identity | headers)
    request.body = body
    return request.get_response(doors.filter)


def test_the_revision_comes_with_every_decision() -> None:
    asked = Gateways(image())
    for path, headers in (("/gateway/envoy" + V2, {}), ("/gateway/envoy" + V2, STRANGER)):
        assert asked.ask(path, headers=headers)[1]["X-Policy-Revision"] == SHIPPED.revision


def test_a_client_whom_nobody_has_verified_is_nobody_whatever_a_gateway_passes_on() -> None:
    asked = Gateways(image())
    asking = (asked.envoy, asked.nginx, asked.traefik)
    assert [ask(V2, headers=ADMIN) for ask in asking] == [200, 204, 200]
    asked.verified = False
    assert [ask(V2, headers=ADMIN) for ask in asking] == [401, 401, 401]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/file"), ("PUT", "/tags/x")])
def test_what_is_not_there_is_refused_as_what_may_not_be_seen(method: str, path: str) -> None:
    def told(number: int) -> tuple[int, list[tuple[str, str]], bytes]:
        there = Gateways(image(1), image(2, owner="t2"))
        place = f"/gateway/envoy/v2/images/{ID.format(number)}{path}"
        status, headers, body = there.ask(place, method)
        return status, sorted(headers.items()), body.replace(ID.format(number).encode(), b"ID")

    assert told(2)[0] == 404
    assert told(2) == told(3)
    assert told(1)[0] == 200


@pytest.mark.parametrize(
    ("number", "mode", "status"),
    [
        pytest.param(1, Gateway.STRICT, 200, id="behind what is seen"),
        pytest.param(2, Gateway.STRICT, 400, id="behind what may not be seen"),
        pytest.param(3, Gateway.STRICT, 400, id="behind what is not there"),
        pytest.param(2, Gateway.ACTION, 200, id="where only actions count"),
    ],
)
def test_a_list_starts_behind_what_may_be_seen(number: int, mode: Gateway, status: int) -> None:
    asked = Gateways(image(2, owner="t2"), image(1), mode=mode)
    assert asked.envoy(f"{NEW}?marker={ID.format(number)}") == status


def test_nginx_is_told_what_the_filter_would_answer() -> None:
    told = {"X-Original-Method": "GET", "X-Original-URI": V2, **STRANGER}
    status, headers, _ = Gateways(image()).ask("/gateway/nginx", headers=told)
    assert (status, headers["X-Protect-Status"]) == (403, "404")


def test_who_is_not_known_is_told_how_to_say_who_it_is() -> None:
    status, headers, _ = Gateways(image()).ask("/gateway/envoy" + V2, headers=UNKNOWN)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", [f"/gateway/envoy{V2}", "/gateway/nginx", "/gateway/traefik"])
@pytest.mark.parametrize("token", ["", "another"])
def test_only_the_gateway_may_ask(path: str, token: str) -> None:
    told = {"X-Original-Method": "GET", "X-Original-URI": V2, "X-Forwarded-Method": "GET", "X-Forwarded-Uri": V2}
    asked = Gateways(image())
    assert asked.ask(path, headers=told)[0] in (200, 204)
    before = len(asked.told), len(asked.api.calls)
    assert asked.ask(path, headers=told | {"X-Protect-Token": token})[0] == 403
    assert (len(asked.told), len(asked.api.calls)) == before


@pytest.mark.parametrize("path", [f"/gateway/envoy{V2}", "/gateway/nginx", "/gateway/traefik"])
def test_a_client_is_not_told_that_it_is_unknown_where_the_gateway_is(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = {"X-Original-Method": "GET", "X-Original-URI": V2, "X-Forwarded-Method": "GET", "X-Forwarded-Uri": V2}
    asked = Gateways(image())
    status, headers, _ = asked.ask(path, headers=told | UNKNOWN)
    assert (status, "WWW-Authenticate" in headers) == (401, True)
    assert [record.levelname for record in caplog.records] == []
    status, headers, body = asked.ask(path, headers=told | {"X-Protect-Token": "another"})
    assert (status, "WWW-Authenticate" in headers) == (403, False)
    assert b"known" not in body and b"token" not in body
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "not the gateway" in caplog.text


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/gateway/nginx", {"X-Original-Method": "GET"}),
        ("/gateway/nginx", {"X-Original-URI": V2}),
        ("/gateway/nginx", {"X-Original-Method": "", "X-Original-URI": V2}),
        ("/gateway/nginx", {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": V2}),
        ("/gateway/traefik", {"X-Forwarded-Method": "GET"}),
        ("/gateway/traefik", {"X-Forwarded-Uri": V2}),
        ("/gateway/traefik/x", {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": V2}),
        ("/gateway/envoy", {}),
        ("/gateway/envoy*", {}),
        ("/gateway/envoyx", {}),
        ("/gateway/envoyer" + V2, {}),
        ("/gateway/traefikx", {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": V2}),
    ],
)
@pytest.mark.parametrize("raw", [True, False], ids=["with a raw path", "without"])
def test_a_gateway_that_does_not_say_what_it_asks_about_is_refused(path: str, told: dict[str, str], raw: bool) -> None:
    # As an administrator's question all of them would pass.
    assert Gateways(image(), raw=raw).ask(path, headers=told | ADMIN)[0] in (400, 403, 404)


@pytest.mark.parametrize("name", ["envoy", "traefik"])
@pytest.mark.parametrize(("rest", "reached"), [("", True), ("/", True), ("x", False), ("x/", False), ("*", False)])
def test_a_path_that_only_begins_like_a_gateways_is_another(name: str, rest: str, reached: bool) -> None:
    body = Gateways(image()).ask(f"/gateway/{name}{rest}")[2]
    assert (body != b"there is nothing at this path") is reached


@pytest.mark.parametrize("raw", [True, False], ids=["with a raw path", "without"])
def test_a_gateway_that_says_what_it_asks_about_is_answered(raw: bool) -> None:
    asked = Gateways(image(), raw=raw)
    assert (asked.envoy("/"), asked.envoy(V2), asked.traefik(V2)) == (200, 200, 200)


def test_decisions_are_told_of() -> None:
    asked = Gateways(image())
    asked.envoy(f"{V2}/file", headers=STRANGER)
    assert [(q.action, q.subject.tenant, d.allowed) for q, d in asked.told] == [("download_image", "t2", False)]


def test_what_is_said_to_us_does_not_reach_the_api() -> None:
    asked = Gateways(image())
    assert asked.traefik(f"{V2}/file", headers={"X-Auth-Token": "the user's"}) == 200
    assert asked.nginx(f"{V2}/file") == 204
    assert asked.envoy(f"{V2}/file", headers={"X-Forwarded-For": "192.0.2.5"}) == 200
    sent = {name for request in asked.api.seen for name in request.headers}
    assert "X-Auth-Token" in sent
    assert not {name for name in sent if name.startswith(("X-Protect", "X-Original", "X-Forwarded"))}


# --- paths ---


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        pytest.param(f"{V2}%2Ffile", f"{V2}/file", id="an escaped slash"),
        pytest.param(f"{V2}%2ffile", f"{V2}/file", id="in lower case"),
        pytest.param(f"{V2}%252Ffile", f"{V2}/file", id="escaped twice"),
        pytest.param(f"/v2/schemas/..%2Fimages/{ONE}", V2, id="a way up with an escaped slash"),
        pytest.param(f"/v2/schemas/%2e%2e/images/{ONE}", V2, id="an escaped way up"),
        pytest.param(f"/v2/schemas/../images/{ONE}", V2, id="a way up"),
        pytest.param(f"/v2/./images/{ONE}", V2, id="a dot"),
        pytest.param(f"/v2//images/{ONE}", V2, id="two slashes"),
        pytest.param(f"/{V2}", V2, id="two slashes at the beginning"),
        pytest.param(f"{V2}/", V2, id="a slash at the end"),
        pytest.param(f"{V2}%00", V2, id="NUL"),
        pytest.param(f"{V2}%0d%0aX-Roles:admin", V2, id="the end of a line"),
        pytest.param(f"{V2}%5c..%5cfile", V2, id="escaped backslashes"),
        pytest.param(f"{V2}\\file", V2, id="a backslash"),
        pytest.param(f"/v2/%69mages/{ONE}", V2, id="an escaped letter"),
        pytest.param(f"{V2}%", V2, id="an escape that is none"),
        pytest.param(f"{V2}%ff", V2, id="no UTF-8"),
        pytest.param(f"{V2}#/file", V2, id="a fragment"),
        pytest.param(f"{V2};x=/file", V2, id="a parameter of the path"),
        pytest.param(f"{V2} /file", V2, id="a space"),
        pytest.param(f"http://elsewhere{V2}", V2, id="an absolute address"),
        pytest.param(f"{V2}/fil\xe9", V2, id="an unescaped letter that is not ASCII"),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str, plain: str) -> None:
    asked = Gateways(image())
    assert (asked.traefik(plain), asked.traefik(path) >= 400) == (200, True)
    assert (asked.nginx(plain), asked.nginx(path)) == (204, 403)
    assert (asked.envoy(plain), asked.envoy(path) >= 400) == (200, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(f"{V2}%2Ffile", 200, id="an escaped slash is one slash to a server that has decoded it"),
        pytest.param(f"{V2}%252Ffile", 400, id="one that is escaped twice is still seen"),
        pytest.param(f"/v2/schemas/%2e%2e/images/{ONE}", 400, id="and so is a way up"),
        pytest.param(f"{V2}%00", 400, id="and NUL"),
    ],
)
def test_a_server_that_shows_no_raw_path_still_shows_what_the_api_will_read(path: str, status: int) -> None:
    # The decision is on what the path means once it is decoded: here on the download.
    asked = Gateways(image(), raw=False)
    assert asked.envoy(path) == status
    assert asked.envoy(path, headers=STRANGER) == (404 if status == 200 else 400)


def test_what_needs_an_escape_may_have_one() -> None:
    asked = Gateways(image())
    assert asked.traefik(f"{V2}/tags/a%20b%C3%A9", "PUT") == 200
    assert asked.envoy(f"{V2}/tags/a%20b%C3%A9", "PUT") == 200


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_a_request_that_asks_for_another_method_is_refused(header: str) -> None:
    asked = Gateways(image())
    assert asked.traefik(V2, headers={header: "DELETE"}) == 400
    assert asked.nginx(V2, headers={header: "DELETE"}) == 403


# --- bodies ---


@pytest.mark.parametrize("mode", list(Gateway))
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", NEW), ("PATCH", V2), ("POST", f"{V2}/members"), ("POST", f"{V2}/import")],
)
def test_a_body_that_is_not_shown_is_refused_where_it_must_be_decided_on(mode: Gateway, method: str, path: str) -> None:
    asked = Gateways(image(), mode=mode)
    assert asked.nginx(path, method) == (204 if mode is Gateway.ACTION else 403)
    assert asked.envoy(path, method) == (200 if mode is Gateway.ACTION else 403)
    # The actions are decided on all the same.
    assert asked.envoy(path, method, headers={"X-Roles": "reader"}) == 403
    assert asked.envoy(path, method, headers=UNKNOWN) == 401
    assert asked.envoy(f"{V2}/import", "POST", headers=STRANGER) == 404


@pytest.mark.parametrize("mode", list(Gateway))
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", {"namespace": "n"}),
        ("POST", "/properties", {"name": "p"}),
        ("PUT", "/tags/t", {"name": "u"}),
        ("POST", "/tags", {"tags": [{"name": "t"}]}),
    ],
)
def test_so_is_that_of_a_metadata_definition(mode: Gateway, method: str, path: str, body: Any) -> None:
    asked, path = Gateways(mode=mode), f"/v2/metadefs/namespaces/n{path}"
    json_body = {"X-Roles": "admin", "Content-Type": "application/json"}
    assert asked.envoy(path, method, body, json_body) == 200
    assert asked.envoy(path, method, headers={"X-Roles": "admin"}) == (200 if mode is Gateway.ACTION else 403)
    # Who is no admin sees the namespace by its owner, and nobody tells that here.
    assert asked.envoy(path, method, body, json_body | {"X-Roles": "reader"}) >= 400
    assert asked.envoy(path, method, headers={"X-Roles": "reader"}) >= 400


def test_a_body_that_envoy_has_cut_short_counts_as_none() -> None:
    asked = Gateways(image())
    assert asked.envoy(NEW, "POST", CREATE) == 200
    assert asked.envoy(NEW, "POST", CREATE, {"X-Envoy-Auth-Partial-Body": "true"}) == 403


def test_the_body_of_nginxs_own_question_is_nobodys() -> None:
    told = {"X-Original-Method": "POST", "X-Original-URI": NEW, "Content-Type": "application/json"}
    assert Gateways().ask("/gateway/nginx", body=b"{}", headers=told)[0] == 403


@pytest.mark.parametrize("mode", list(Gateway))
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param([replace("name", "x")], {}, 200, id="a body as the filter would write it"),
        pytest.param(b'[ {"value":"x",\n"path":"/name","op":"replace"} ]', {}, 200, id="in another order"),
        pytest.param([replace("name", "x")], {"Content-Type": f"{V21}; charset=utf-8"}, 200, id="with its charset"),
        pytest.param([replace("name", "x")], {"Content-Type": f"{V21}; charset=utf-7"}, 403, id="with another one"),
        pytest.param([{**replace("name", "x"), "from": "/owner"}], {}, 403, id="with more than is decided on"),
        pytest.param([{**replace("name", "x"), "path": "//name"}], {}, 403, id="with a path of two readings"),
        pytest.param([{**replace("name", "x"), "path": "/name "}], {}, 403, id="with a path in another spelling"),
        pytest.param([{"replace": "/name", "value": "x"}], {"Content-Type": V20}, 200, id="in the older type"),
    ],
)
def test_what_passes_is_what_was_decided_on(mode: Gateway, body: Any, headers: dict[str, str], status: int) -> None:
    assert Gateways(image(), mode=mode).envoy(V2, "PATCH", body, headers) == status


DROPS = (
    'forbid(_s: Subject, _action, p: Property) if p.name = "drop";'
    'discard(_s: Subject, _action, p: Property) if p.name = "drop";'
)


@pytest.mark.parametrize("mode", list(Gateway))
def test_what_would_have_to_be_dropped_is_refused(mode: Gateway) -> None:
    asked = Gateways(image(), rules=DROPS, mode=mode)
    assert asked.envoy(NEW, "POST", {"keep": "1"}) == 200
    assert asked.envoy(NEW, "POST", {"drop": "1", "keep": "1"}) == 403
    assert asked.envoy(V2, "PATCH", [{"op": "add", "path": "/drop", "value": "1"}]) == 403


# --- answers that would have to be edited ---


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", V2, None, id="one image"),
        pytest.param("GET", NEW, None, id="a list"),
        pytest.param("PATCH", V2, [replace("name", "x")], id="a patch, which answers with the image"),
    ],
)
def test_an_answer_that_would_show_what_is_hidden_is_refused(method: str, path: str, body: Any) -> None:
    hiding, plain = Gateways(image(**SECRET), rules=HIDDEN), Gateways(image(), rules=HIDDEN)
    assert (hiding.envoy(path, method, body), plain.envoy(path, method, body)) == (403, 200)
    assert hiding.envoy(path, method, body, ADMIN) == 200
    by_action = Gateways(image(**SECRET), rules=HIDDEN, mode=Gateway.ACTION)
    assert by_action.envoy(path, method, body) == 200


def test_a_create_that_would_show_what_is_hidden_is_refused() -> None:
    asked = Gateways(rules=HIDDEN)
    assert asked.envoy(NEW, "POST", {"secret": "1"}) == 403
    assert asked.envoy(NEW, "POST", {"public": "1"}) == 200
    assert Gateways(rules=HIDDEN, mode=Gateway.ACTION).envoy(NEW, "POST", {"secret": "1"}) == 200


def test_a_patch_of_locations_that_its_answer_would_show_is_refused() -> None:
    rules = 'forbid(_s: Subject, "get_image_location", i: Image) if i.name = "dark";'
    first, second = ({"url": f"http://h/{number}", "metadata": {}} for number in (1, 2))
    add = [{"op": "add", "path": "/locations/-", "value": second}]
    remove = [{"op": "remove", "path": "/locations/0"}]
    for name, status in (("dark", 403), ("light", 200)):
        asked = Gateways(image(name=name, locations=[first]), rules=rules)
        assert asked.envoy(V2, "PATCH", add) == status
        assert asked.envoy(V2, "PATCH", remove) == status
        assert Gateways(image(name=name), rules=rules).envoy(V2, "PATCH", add) == status
        assert Gateways(image(name=name), rules=rules).envoy(V2, "PATCH", [replace("min_ram", 1)]) == 200


def test_a_list_with_an_image_that_may_not_be_seen_is_refused() -> None:
    images = [image(1), image(2, owner="t2")]
    # Here the API shows everything to everyone. One that shows the subject's own is passed on.
    assert Gateways(*images).envoy(NEW) == 403
    assert Gateways(*images[:1]).envoy(NEW) == 200
    assert Gateways(*images, mode=Gateway.ACTION).envoy(NEW) == 200


@pytest.mark.parametrize("value", ["s3", "guess"])
def test_a_list_does_not_tell_whether_a_guess_is_right(value: str) -> None:
    asked = Gateways(image(**SECRET), rules=HIDDEN)
    assert asked.envoy(f"{NEW}?secret={value}") == 403
    assert asked.envoy(f"{NEW}?os={value}") == 200
    # Nobody but admins may read it on any image: such a question never reaches the API, in no mode.
    assert Gateways(image(**SECRET), rules=HIDDEN, mode=Gateway.ACTION).envoy(f"{NEW}?secret={value}") == 403


def test_rows_of_a_list_of_members_that_may_not_be_seen_are_refused() -> None:
    asked = Gateways(image(visibility="shared"))
    asked.api.members[ONE] = {"t2": "accepted", "t3": "accepted"}
    assert asked.envoy(f"{V2}/members") == 200
    assert asked.envoy(f"{V2}/members", headers=STRANGER) == 403
    asked.api.members[ONE] = {"t2": "accepted"}
    assert asked.envoy(f"{V2}/members", headers=STRANGER) == 200


def test_why_a_gateway_refused_stands_in_the_log_and_not_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "protect.service"):
        status, _, body = Gateways(image(**SECRET), rules=HIDDEN).ask("/gateway/envoy" + V2)
    assert status == 403
    assert "GET /images/{image}: something in the answer may not be shown" in caplog.text
    assert b"shown" not in body
    assert "s3" not in caplog.text and b"secret" not in body


# --- the question that is put to the API first ---

MEMBERS, TASKS = f"{V2}/members", "/v2/tasks"


def answering(api: ImageApi, path: str, status: str) -> Callable[..., Iterable[bytes]]:
    """Return the API, which answers with ``status`` at ``path``, and with what it would have said."""

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != path:
            return api(environ, start_response)
        return api(environ, lambda _, headers, *more: start_response(status, headers, *more))

    return run


@pytest.mark.parametrize("path", [NEW, MEMBERS, TASKS])
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param("200 OK", 200, id="it is answered"),
        pytest.param("201 Created", 502, id="in a strange way"),
        pytest.param("204 No Content", 502, id="with nothing"),
        pytest.param("206 Partial Content", 502, id="in part"),
        pytest.param("302 Found", 502, id="elsewhere"),
        pytest.param("304 Not Modified", 502, id="as known"),
        pytest.param("400 Bad Request", 400, id="not understood"),
        pytest.param("401 Unauthorized", 401, id="by one who does not know the client"),
        pytest.param("403 Forbidden", 403, id="with a no"),
        pytest.param("404 Not Found", 404, id="as if there were nothing"),
        pytest.param("418 Teapot", 403, id="with what no gateway passes on"),
        pytest.param("429 Too Many Requests", 429, id="too often"),
        pytest.param("500 Internal Server Error", 502, id="by one that fails"),
        pytest.param("503 Service Unavailable", 503, id="by one that is busy"),
        pytest.param("504 Gateway Timeout", 502, id="too late"),
    ],
)
def test_a_question_that_the_api_does_not_answer_is_a_refusal(path: str, answer: str, status: int) -> None:
    stored = image()
    asked = Gateways(rules=HIDDEN, upstream=answering(ImageApi(stored), path, answer))
    assert asked.envoy(path) == status
    assert asked.traefik(path) == status
    assert asked.nginx(path) == {200: 204, 401: 401}.get(status, 403)
    # For one from whom nothing is hidden as well: what was not looked at may be anything.
    assert asked.envoy(path, headers=ADMIN) == status


@pytest.mark.parametrize(
    ("mode", "status"), [pytest.param(Gateway.STRICT, 503, id="strict"), pytest.param(Gateway.ACTION, 200, id="action")]
)
def test_where_only_actions_count_there_is_no_question(mode: Gateway, status: int) -> None:
    upstream = answering(ImageApi(), NEW, "503 Service Unavailable")
    assert Gateways(rules=HIDDEN, mode=mode, upstream=upstream).envoy(NEW) == status


def forwarding(address: str) -> Forwarder:
    return Forwarder(Connections(parse_address("upstream", address), timeout=10))


def page(document: Document) -> bytes:
    body = json.dumps({"images": [document], "first": NEW, "schema": "/v2/schemas/images"}).encode()
    # No connection is kept: it would outlive the test.
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


@pytest.mark.parametrize("host", ["cloud.example", "a!b", "a b", "", "[::1"])
@pytest.mark.parametrize(
    ("document", "status"),
    [pytest.param(image(), 200, id="nothing hidden"), pytest.param(image(**SECRET), 403, id="something hidden")],
)
def test_the_host_that_a_client_names_decides_nothing(host: str, document: Document, status: int) -> None:
    with scripted(lambda _: page(document)) as (server, url):
        asked = Gateways(rules=HIDDEN, upstream=forwarding(url))
        assert asked.envoy(NEW, headers={"Host": host}) == status
        assert asked.nginx(NEW, headers={"Host": host}) == (204 if status == 200 else 403)
        hosts = [value for each in server.received for name, value in each.headers if "Host" in name]
        # Ours and the API's: never the client's.
        assert hosts == [url.removeprefix("http://")] * 2


def test_an_api_that_is_down_is_a_refusal() -> None:
    with scripted(lambda _: page(image())) as (_, url):
        asked = Gateways(rules=HIDDEN, upstream=forwarding(url))
        assert (asked.envoy(NEW), asked.nginx(NEW)) == (200, 204)
    assert (asked.envoy(NEW), asked.nginx(NEW), asked.envoy(NEW, headers=ADMIN)) == (502, 403, 502)
    assert asked.envoy(f"{V2}/file") == 200  # no fact is asked for: everything is allowed


def test_an_api_that_hangs_up_is_a_refusal() -> None:
    def nothing(_request: Received) -> None:
        return None

    with scripted(nothing) as (_, url):
        asked = Gateways(rules=HIDDEN, upstream=forwarding(url))
        assert (asked.envoy(NEW), asked.nginx(NEW)) == (502, 403)


CHEAP = 'forbid(_s: Subject, "upload_image", _i: Image) if not context.get("store") = "cheap";'


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"X-Image-Meta-Store": "cheap"}, 200, id="the store that is allowed"),
        pytest.param({"X-Image-Meta-Store": "dear"}, 403, id="another one"),
        pytest.param({"X-Image-Meta-Store": "cheap", "Connection": "close"}, 200, id="over a connection that closes"),
        pytest.param({"X-Image-Meta-Store": "cheap", "Connection": "X-Image-Meta-Store"}, 400, id="as one hop's own"),
        pytest.param({"X-Image-Meta-Store": "cheap", "X.Image.Meta.Store": "dear"}, 400, id="and by another name"),
    ],
)
def test_a_store_that_is_decided_on_is_the_one_that_the_api_sees(headers: dict[str, str], status: int) -> None:
    asked = Gateways(image(), rules=CHEAP)
    assert asked.envoy(f"{V2}/file", "PUT", b"x", {"Content-Type": "application/octet-stream", **headers}) == status
    assert asked.nginx(f"{V2}/file", "PUT", headers) == (204 if status == 200 else 403)


@pytest.mark.parametrize("name", ["envoy.yaml", "nginx.conf", "traefik.yaml"])
def test_the_token_in_an_example_opens_nothing(name: str, tmp_path: Path) -> None:
    example = Path(__file__).parent.parent / "examples" / "gateways" / name
    assert example.read_text().count("change-me") == 1
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("gateway:change-me\n")
    with pytest.raises(ConfigError, match="has 9 characters"):
        read_tokens(str(tokens))
    tokens.write_text(f"gateway:{'0123456789abcdef' * 4}\n")
    assert len(read_tokens(str(tokens))) == 1


# --- without an API to ask ---


def test_a_file_of_entities_tells_of_images_where_no_api_is_asked() -> None:
    document = image(visibility="shared", members={"t2": "accepted"})
    # One that stands under its id need not repeat it.
    known = {ONE: {name: document[name] for name in document if name != "id"}, ID.format(2): image(1)}
    asked = Gateways(known=known)
    assert asked.envoy(f"{V2}/file") == 200
    assert asked.envoy(f"{V2}/file", headers=STRANGER) == 200
    assert asked.envoy(f"{V2}/file", headers={"X-Project-Id": "t3"}) == 404
    assert asked.envoy(V2) == 200
    assert asked.envoy(f"{V2}/members/t2", headers=STRANGER) == 200
    # A member that may not be seen is answered as one that is not there, as in the filter.
    assert [asked.envoy(f"{V2}/members/{member}", headers=STRANGER) for member in ("t3", "t4")] == [404, 404]
    # An image that nobody knows, and one under another's name, are an error: refused to all that need a fact.
    for number in (2, 3):
        assert asked.envoy(f"/v2/images/{ID.format(number)}/file") in (403, 404)
        assert asked.envoy(f"/v2/images/{ID.format(number)}/file", headers=ADMIN) == 200


def test_without_an_api_a_list_is_refused_unless_only_actions_count() -> None:
    assert Gateways(known={}).envoy(NEW) == 403
    assert Gateways(known={}, mode=Gateway.ACTION).envoy(NEW) == 200
    assert Gateways(known={}, mode=Gateway.ACTION).envoy(NEW, headers=UNKNOWN) == 401


# --- the client's address ---

ELSEWHERE = 'forbid(_s: Subject, _action, _i: Image) if context.get("remote_address") = "192.0.2.6";'


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"X-Forwarded-For": "192.0.2.5"}, 200, id="an address that is allowed"),
        pytest.param({"X-Forwarded-For": "192.0.2.6"}, 404, id="one that is not"),
        pytest.param({"X-Forwarded-For": "192.0.2.6, 192.0.2.5"}, 200, id="the gateway's own addition counts"),
        pytest.param({"X-Forwarded-For": "192.0.2.5, 192.0.2.6"}, 404, id="and nothing that the client has written"),
        pytest.param({}, 404, id="one that nobody tells is an error"),
    ],
)
def test_the_clients_address_is_what_the_gateway_says(headers: dict[str, str], status: int) -> None:
    assert Gateways(image(), rules=ELSEWHERE).envoy(f"{V2}/file", headers=headers) == status
