"""A real Glance behind the filter: nothing tells an image that may not be seen from one that is not there."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import DATA_TYPE, ROOT, Glance, Reply
from tests.glance.test_proxy import INI
from tests.pipeline_servers import served

OWNER = "olivia:t1:member,reader"
ADMIN = "ada:ops:admin,member,reader"

POLICY = """\
unseen(subject, image) if image.get("quarantine") = "yes" and not image_admin(subject);

forbid(subject: Subject, _action, image: Image) if unseen(subject, image);
forbid(subject: Subject, _action, member: Member) if unseen(subject, member.image);
forbid(subject: Subject, _action, location: Location) if unseen(subject, location.image);

forbid(subject: Subject, "read", property: Property) if
    property.name in ["name", "size"] and
    property.image.get("verdict") = "guilty" and
    not image_admin(subject);

forbid(subject: Subject, "get_metadef_namespace", namespace: Metadef) if
    namespace.id = "HIDDEN" and not image_admin(subject);

forbid(_subject: Subject, "get_member", member: Member) if member.tenant = "secret";
"""

IMPORT = {"method": {"name": "web-download", "uri": "http://127.0.0.1:1/x"}}
REQUESTS = [
    pytest.param(*values, id="-".join((values[0], *values[1].strip("/").split("/"), str(number))))
    for number, values in enumerate(
        [
            ("GET", "", None),
            ("PATCH", "", [{"op": "add", "path": "/a", "value": "b"}]),
            ("PATCH", "", [{"op": "replace", "path": "/visibility", "value": "public"}]),
            ("DELETE", "", None),
            ("GET", "/file", None),
            ("PUT", "/file", b"data"),
            ("PUT", "/stage", b"data"),
            ("POST", "/import", IMPORT),
            ("POST", "/import", {"method": {"name": "copy-image"}, "all_stores": True}),
            ("POST", "/actions/deactivate", None),
            ("POST", "/actions/reactivate", None),
            ("PUT", "/tags/x", None),
            ("DELETE", "/tags/x", None),
            ("GET", "/tasks", None),
            ("GET", "/locations", None),
            ("POST", "/locations", {"url": "http://127.0.0.1:1/x"}),
            ("GET", "/members", None),
            ("POST", "/members", {"member": "z"}),
            ("GET", "/members/z", None),
            ("PUT", "/members/z", {"status": "accepted"}),
            ("DELETE", "/members/z", None),
        ]
    )
]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("policy") / "hide.polar"
    path.write_text(POLICY)
    return f"{ROOT / 'rules'} {path}"


@pytest.fixture(scope="module")
def filtered(start_glance: StartGlance, policy: str) -> Glance:
    return start_glance(protect={"policy": policy})


@pytest.fixture(scope="module")
def alone(start_glance: StartGlance) -> Glance:
    return start_glance()


@pytest.fixture(scope="module")
def proxied(alone: Glance, policy: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    ini = tmp_path_factory.mktemp("proxy") / "proxy.ini"
    ini.write_text(INI.format(upstream=alone.url, policy=policy))
    with served(ini, "gunicorn") as proxy:
        yield dataclasses.replace(alone, port=proxy.port)


@pytest.fixture(scope="module", params=["filtered", "proxied"])
def glance(request: pytest.FixtureRequest) -> Glance:
    found: Glance = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def hidden(glance: Glance) -> str:
    return new_image(glance, ADMIN, visibility="public", quarantine="yes")


def new_image(glance: Glance, token: str = OWNER, **attributes: Any) -> str:
    image = glance.create(token, disk_format="raw", container_format="bare", **attributes)
    glance.upload(token, image, b"data")
    return image


def told(reply: Reply, name: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that an answer says, but for the moment and the name that was asked for."""
    headers = [(key.lower(), value) for key, value in reply.headers.items() if key.lower() != "date"]
    return reply.status, reply.body.replace(name.encode(), b"NAME"), sorted(headers)


@pytest.mark.parametrize("accepted", ["application/json", "text/html;q=0.9, */*;q=0.1", ""])
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_an_image(glance: Glance, hidden: str, method: str, path: str, body: Any, accepted: str) -> None:
    headers = {"Accept": accepted, "Accept-Encoding": "gzip"} if accepted else {}
    if isinstance(body, bytes):
        headers |= {"Content-Type": DATA_TYPE}

    def ask(image: str) -> tuple[int, bytes, list[tuple[str, str]]]:
        return told(glance.call(method, f"/v2/images/{image}{path}", OWNER, body, headers), image)

    answer = ask(hidden)
    assert answer[0] == 404
    deleted = (method, path) == ("DELETE", "")
    assert (b"Failed to find image NAME to delete" if deleted else b"No image found with ID NAME") in answer[1]
    assert ask(str(uuid.uuid4())) == answer


def test_the_words_are_glance_s(glance: Glance, alone: Glance) -> None:
    absent = f"/v2/images/{uuid.uuid4()}"
    asked = [("GET", absent), ("DELETE", absent), ("GET", f"/v2/images?marker={uuid.uuid4()}")]
    for method, path in (*asked, ("GET", "/v2/metadefs/namespaces/absent")):
        ours, native = glance.call(method, path, OWNER), alone.call(method, path, OWNER)
        assert (ours.status, ours.body) == (native.status, native.body)


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/tags/none"), ("DELETE", "/members/none")], ids=["a tag", "a member"]
)
def test_what_an_image_that_is_seen_does_not_have_glance_says_itself(glance: Glance, method: str, path: str) -> None:
    image = new_image(glance)

    reply = glance.call(method, f"/v2/images/{image}{path}", OWNER)

    assert reply.status == 404
    assert b"No image found" not in reply.body
    assert "x-openstack-request-id" in {name.lower() for name in reply.headers}


def test_a_member(glance: Glance) -> None:
    image = new_image(glance, visibility="shared")
    for member in ("secret", "other"):
        assert glance.call("POST", f"/v2/images/{image}/members", ADMIN, {"member": member}).status in (200, 403)
    members = f"/v2/images/{image}/members/"

    absent = told(glance.call("GET", f"{members}absent", OWNER), "absent")
    assert absent[0] == 404
    assert told(glance.call("GET", f"{members}secret", OWNER), "secret") == absent
    assert glance.call("GET", f"{members}other", OWNER).status == 200


@pytest.mark.parametrize("path", ["", "/objects", "/tags/t", "/properties/p", "/resource_types"])
def test_a_namespace(glance: Glance, path: str) -> None:
    for name in ("HIDDEN", "SHOWN"):
        made = {"namespace": name, "visibility": "public"}
        assert glance.call("POST", "/v2/metadefs/namespaces", ADMIN, made).status in (201, 409)

    absent = told(glance.call("GET", f"/v2/metadefs/namespaces/ABSENT{path}", OWNER), "ABSENT")
    assert absent[0] == 404
    assert told(glance.call("GET", f"/v2/metadefs/namespaces/HIDDEN{path}", OWNER), "HIDDEN") == absent
    assert told(glance.call("GET", f"/v2/metadefs/namespaces/SHOWN{path}", OWNER), "SHOWN") != absent


# --- Lists that start behind an image ---


@pytest.mark.parametrize("query", ["", "limit=1&", "sort=name:asc&", "sort_key=size&sort_dir=desc&", "a=b&"])
def test_a_marker(glance: Glance, hidden: str, query: str) -> None:
    seen = new_image(glance, ADMIN, visibility="public", name="seen")

    def ask(image: str, token: str = OWNER) -> tuple[int, bytes, list[tuple[str, str]]]:
        return told(glance.call("GET", f"/v2/images?{query}marker={image}", token), image)

    absent = ask(str(uuid.uuid4()))
    assert absent[0] == 400
    assert ask(hidden) == absent
    assert ask(seen)[0] == 200
    assert ask(hidden, ADMIN)[0] == 200
    private = new_image(glance, ADMIN, visibility="private")
    assert ask(private) == absent


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("sort=name:asc", 400, id="sorted by what is hidden"),
        pytest.param("sort=status,size:asc", 400, id="in the second place"),
        pytest.param("sort=status", 200, id="sorted by what is shown"),
        pytest.param("limit=5", 200, id="not sorted"),
    ],
)
def test_a_marker_of_which_something_is_hidden(glance: Glance, query: str, status: int) -> None:
    guilty = new_image(glance, ADMIN, visibility="public", name="kkk", verdict="guilty")
    shown = glance.show(OWNER, guilty)
    assert "name" not in shown and "size" not in shown

    assert glance.call("GET", f"/v2/images?{query}&marker={guilty}", OWNER).status == status
    assert glance.call("GET", f"/v2/images?{query}&marker={guilty}", ADMIN).status == 200


@pytest.mark.parametrize("query", ["", "sort=name:asc&", "sort=size:asc,name:asc&"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_links_lead_through_all_that_is_seen(glance: Glance, query: str, limit: int) -> None:
    tag = str(uuid.uuid4())
    seen = []
    for number in range(3):
        seen.append(new_image(glance, ADMIN, visibility="public", name=f"n{number}", tags=[tag]))
        new_image(glance, ADMIN, visibility="public", name=f"n{number}-", tags=[tag], quarantine="yes")
        if query:
            new_image(glance, ADMIN, visibility="public", name=f"n{number}+", tags=[tag], verdict="guilty")

    path, found = f"/v2/images?{query}tag={tag}&limit={limit}", list[list[str]]()
    while path:
        page = glance.call("GET", path, OWNER)
        assert page.status == 200, str(page)
        found.append([image["id"] for image in page.json["images"]])
        path = page.json.get("next", "")

    assert sorted(image for images in found for image in images) == sorted(seen)
    # Pages as full as they would be if there were nothing else.
    expected = [limit] * (3 // limit) + [3 % limit]
    assert [len(images) for images in found] == expected
