"""What a refusal says, and what the API tells a tenant of its own membership when it refuses the list."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from webob import Request, Response

from protect import Policy
from protect.enforcement import Protect
from protect.identity.keystone import identify
from tests.doors import ADMIN, ONE, V2, Doors
from tests.image_api import image

MEMBERS = f"{V2}/members"


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return Policy.load()


def fronted(doors: Doors, point: Policy, changed: Callable[[Request], Response | None]) -> Doors:
    """Put something between the filter and the API: what ``changed`` returns is answered instead."""

    def app(environ: Any, start_response: Any) -> Any:
        response = changed(Request(environ))
        return doors.api(environ, start_response) if response is None else response(environ, start_response)

    doors.filter = Protect(app, policy=lambda: point, identify=identify, log=doors.log.append)
    return doors


# --- Membership ---


def row(tenant: str, status: str) -> Response:
    body = json.dumps({"member_id": tenant, "image_id": ONE, "status": status}).encode()
    return Response(body, content_type="application/json", charset="UTF-8")


def sharing(point: Policy, own: Response, *, members: int = 403) -> Doors:
    """Return doors to an image of another tenant, whose API refuses the list of its members."""
    doors = Doors(point, image(1, owner="t2", visibility="shared"))

    def changed(request: Request) -> Response | None:
        if request.path_info == MEMBERS:
            return Response(status=members)
        return own if request.path_info == f"{MEMBERS}/t1" else None

    return fronted(doors, point, changed)


@pytest.mark.parametrize(
    ("own", "status"),
    [
        pytest.param(row("t1", "accepted"), 200, id="a-member"),
        pytest.param(row("t1", "pending"), 200, id="one-that-has-not-answered"),
        pytest.param(Response(status=404), 404, id="none"),
        pytest.param(Response(status=403), 403, id="none-that-may-be-told"),
        pytest.param(row("t3", "accepted"), 502, id="another-s"),
        pytest.param(Response(b"{}", content_type="application/json", charset="UTF-8"), 502, id="nonsense"),
    ],
)
def test_a_tenant_s_own_membership_counts_where_the_list_is_refused(
    shipped: Policy, own: Response, status: int
) -> None:
    for refused in (403, 404):
        assert sharing(shipped, own, members=refused).ask("GET", V2).status_int == status


@pytest.mark.parametrize(("answer", "status"), [("accepted", 200), ("pending", 404), ("rejected", 404)])
def test_a_membership_is_never_more_than_the_api_says(answer: str, status: int) -> None:
    rules = 'forbid(s: Subject, "get_image", i: Image) if not i.shared_with(s, "accepted");'
    point = Doors(rules).filter._policy()
    assert sharing(point, row("t1", answer)).ask("GET", V2).status_int == status  # type: ignore[arg-type]


def test_of_others_nothing_is_known_then() -> None:
    rules = 'forbid(_s: Subject, "delete_member", m: Member) if m.status = "accepted";'
    for listed, status in ((200, 204), (403, 403)):
        doors = Doors(rules, image(1, visibility="shared"))
        doors.api.members[ONE] = {"t1": "accepted", "t3": "pending"}
        point = doors.filter._policy()

        def changed(request: Request, listed: int = listed) -> Response | None:
            return Response(status=403) if request.path_info == MEMBERS and listed == 403 else None

        assert fronted(doors, point, changed).ask("DELETE", f"{MEMBERS}/t3").status_int == status  # type: ignore[arg-type]


@pytest.mark.parametrize("tenant", ["../x", "t1/x", "T1", "t 1"])
def test_a_tenant_that_is_no_part_of_a_path_is_not_asked_about(shipped: Policy, tenant: str) -> None:
    doors = sharing(shipped, row("t1", "accepted"))
    assert doors.ask("GET", V2, headers={"X-Project-Id": tenant}).status_int != 200
    assert all(call in (f"GET {V2}", f"GET {MEMBERS}") for call in doors.api.calls)


# --- What a refusal says ---


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        pytest.param("t2", "You are not permitted to create images owned by 't2'", id="another-s"),
        pytest.param("t1", "You are not authorized to complete add_image action.", id="one-s-own"),
    ],
)
def test_a_refusal_to_create_for_another_says_so(owner: str, words: str) -> None:
    doors = Doors('forbid(_: Subject, "add_image", _: Image);')
    response = doors.ask("POST", "/v2/images", {"owner": owner})
    assert (response.status_int, doors.changed) == (403, [])
    assert words in response.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(f"/v2/cache/nodes/{ONE}", 403, id="the-api-refuses-before-it-looks"),
        pytest.param(f"/v2/cache/nodes/{ONE[:-1]}9", 403, id="one-that-does-not-exist"),
    ],
)
def test_a_refusal_that_asked_nothing_of_the_image_tells_nothing_of_it(shipped: Policy, path: str, status: int) -> None:
    doors = Doors(shipped, image(1, owner="t2"))
    assert (doors.ask("GET", path).status_int, doors.api.calls) == (status, [])
    assert doors.ask("GET", path, headers=ADMIN).status_int == 200


def test_other_refusals_about_an_unseen_image_are_that_there_is_none(shipped: Policy) -> None:
    doors = Doors(shipped, image(1, owner="t2"))
    assert doors.ask("PUT", f"/v2/cache/{ONE}").status_int == 404


def test_a_refusal_that_asked_is_no_tell_tale() -> None:
    """Whether an image exists that may not be seen, a rule about its owner must not say."""
    rules = """
        forbid(_: Subject, "list_cached_nodes", i: Image) if i.owner = "t2";
        forbid(_: Subject, "get_image", i: Image) if i.owner = "t2";
    """
    doors = Doors(rules, image(1, owner="t2"))
    assert doors.ask("GET", f"/v2/cache/nodes/{ONE}").status_int == 404
    assert doors.ask("GET", f"/v2/cache/nodes/{ONE[:-1]}9").status_int == 404


# --- Lists ---


def test_a_reader_without_a_tenant_lists_what_everyone_sees(shipped: Policy) -> None:
    doors = Doors(shipped, image(1, visibility="public"), image(2, owner=None), image(3, owner="t2"))
    headers = {"X-Project-Id": "", "X-Roles": "reader"}
    listed = doors.ask("GET", "/v2/images", headers=headers)
    assert [each["id"][-1] for each in listed.json["images"]] == ["1"]
    assert doors.ask("GET", "/v2/images", headers=headers | {"X-Roles": ""}).status_int == 403
