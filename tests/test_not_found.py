"""An image that may not be seen and one that is not there get one answer, to the byte and to the last header."""

from __future__ import annotations

import re
from typing import Any

import pytest
from webob import Response

from protect.glance.routes import IMAGES
from tests.doors import Doors
from tests.image_api import ID, image
from tests.test_doors_facts import fronted

HIDDEN, ABSENT = ID.format(1), ID.format(7)

#: Whoever asks has to be told the image's owner first.
FOREIGN = """
forbid(s: Subject, _action, i: Image) if not i.owner = s.tenant;
forbid(s: Subject, _action, m: Member) if not m.image.owner = s.tenant;
forbid(s: Subject, _action, l: Location) if not l.image.owner = s.tenant;
"""
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/images/{image}"): [{"op": "replace", "path": "/name", "value": "n"}],
    ("POST", "/images/{image}/import"): {"method": {"name": "web-download", "uri": "http://h/x"}},
    ("POST", "/images/{image}/locations"): {"url": "http://h/x"},
    ("POST", "/images/{image}/members"): {"member": "t3"},
    ("PUT", "/images/{image}/members/{member}"): {"status": "accepted"},
}
ROUTES = [
    pytest.param(route.method, route.path, id=f"{route.method}{route.path}".replace("/", "-"))
    for route in IMAGES
    if "{image}" in route.path
]


def told(doors: Doors, method: str, path: str, image_id: str, **headers: str) -> tuple[int, bytes, list[Any]]:
    place = "/v2" + re.sub(r"\{(\w+)\}", lambda name: image_id if name[1] == "image" else "z", path)
    response = doors.ask(method, place, BODIES.get((method, path)), headers)
    return response.status_int, response.body.replace(image_id.encode(), b"ID"), sorted(response.headers.items())


@pytest.mark.parametrize("accepted", ["application/json", "text/html", "text/plain"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_may_not_be_seen_is_answered_as_what_is_not_there(method: str, path: str, accepted: str) -> None:
    asking = {"Accept": accepted, "Accept-Encoding": "gzip"}
    hidden = told(Doors(FOREIGN, image(1, owner="t2")), method, path, HIDDEN, **asking)
    assert hidden[0] == 404
    deleted = (method, path) == ("DELETE", "/images/{image}")
    assert (b"Failed to find image ID to delete" if deleted else b"No image found with ID ID") in hidden[1]
    assert told(Doors(FOREIGN), method, path, ABSENT, **asking) == hidden
    # Whoever may do everything with every image is told the same, although nothing had to be looked at first.
    assert told(failing(Doors("")), method, path, ABSENT, **asking) == hidden


def failing(doors: Doors) -> Doors:
    """Let the API say of everything that it is not there, in its own words, and with a header of its own."""
    point = doors.filter._policy()
    headers = [("X-Openstack-Request-Id", "req-1"), ("Content-Encoding", "identity")]
    return fronted(doors, point, lambda _: Response(b"gone, at file:///x", 404, headers))  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_one_that_may_be_seen_is_not_answered_so(method: str, path: str) -> None:
    doors = Doors(FOREIGN, image(1, visibility="shared"))
    doors.api.members[HIDDEN] = {"z": "pending"}
    said = told(doors, method, path, HIDDEN)[1]
    assert b"No image found" not in said and b"Failed to find" not in said


def failing_below(document: dict[str, Any]) -> Doors:
    """The image is there, and what is asked for besides is not."""
    doors = Doors("", document)

    def changed(request: Any) -> Response | None:
        itself = request.method == "GET" and request.path_info == f"/v2/images/{document['id']}"
        return None if itself else Response(b"no such thing", 404, [("X-Openstack-Request-Id", "req-1")])  # type: ignore[arg-type]

    return fronted(doors, doors.filter._policy(), changed)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("DELETE", "/images/{image}/tags/{tag}", id="a-tag"),
        pytest.param("DELETE", "/images/{image}/members/{member}", id="a-member"),
        pytest.param("GET", "/images/{image}/tasks", id="the-tasks"),
        pytest.param("GET", "/images/{image}/file", id="the-data"),
    ],
)
def test_what_an_image_that_is_seen_does_not_have_the_api_says_itself(method: str, path: str) -> None:
    status, body, headers = told(failing_below(image(1, visibility="shared")), method, path, HIDDEN)
    assert (status, body) == (404, b"no such thing")
    assert ("X-Openstack-Request-Id", "req-1") in headers
    # Neither of an image whose look is denied.
    unseen = failing_below(image(1, visibility="shared", owner="t2"))
    unseen.filter._policy = Doors('forbid(s: Subject, "get_image", i: Image) if not i.owner = s.tenant;').filter._policy
    assert b"No image found" in told(unseen, method, path, HIDDEN)[1]


def test_a_member_that_may_not_be_seen_is_answered_as_one_that_is_not_there() -> None:
    path = f"/v2/images/{HIDDEN}/members/"

    def shown(member: str, rules: str) -> tuple[int, bytes, list[Any]]:
        doors = Doors(rules, image(1, visibility="shared"))
        doors.api.members[HIDDEN] = {"t3": "pending", "t4": "accepted"}
        response = doors.ask("GET", path + member)
        return response.status_int, response.body.replace(member.encode(), b"M"), sorted(response.headers.items())

    pending = 'forbid(_s: Subject, "get_member", m: Member) if m.status = "pending";'
    assert shown("t5", pending)[0] == 404
    assert shown("t3", pending) == shown("t5", pending)
    assert shown("t4", pending)[0] == shown("t3", "")[0] == 200


@pytest.mark.parametrize("path", ["", "/file"])
def test_those_unknown_are_told_one_thing_as_well(path: str) -> None:
    unknown = {"X-Identity-Status": "Invalid"}
    named_x = 'forbid(_s: Subject, action, i: Image) if action in ["get_image", "download_image"] and i.name = "x";'
    answers = [
        told(Doors(named_x, image(1, name=name)), "GET", f"/images/{{image}}{path}", image_id, **unknown)
        for name, image_id in (("x", HIDDEN), ("y", ABSENT), ("y", HIDDEN))
    ]
    assert answers[0] == answers[1]
    assert [status for status, _, _ in answers] == [401, 401, 200]


def test_a_namespace_that_is_not_there_is_answered_in_our_words_to_everybody() -> None:
    """A rule may hide one by its name alone; then nothing is looked at first, and the API says what is not there."""
    rules = 'forbid(_s: Subject, "get_metadef_namespace", m: Metadef) if m.id = "hidden";'
    hidden = failing(Doors(rules)).ask("DELETE", "/v2/metadefs/namespaces/hidden/tags/t")
    absent = failing(Doors(rules)).ask("DELETE", "/v2/metadefs/namespaces/absent/tags/t")
    assert hidden.status_int == 404
    assert absent.body == hidden.body.replace(b"hidden", b"absent")
    assert sorted(absent.headers) == sorted(hidden.headers)
