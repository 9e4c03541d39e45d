"""The examples run, and do what they say."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from paste.deploy import loadapp
from webob import Request, Response

from examples.demo_identity import CONSENT, DemoIdentity, filter_factory
from examples.image_api import PATCH_TYPES, ImageAPI
from protect.identity.keystone import VERIFIED, identify
from protect.values import Subject

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATCH, OLD_PATCH = PATCH_TYPES
DATA = "application/octet-stream"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ImageAPI]:
    api = ImageAPI(data=tmp_path / "data", now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    yield api
    api.close()


def send(
    app: WSGIApplication, method: str, path: str, body: object = None, media_type: str = "application/json"
) -> Response:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = Request.blank(path, method=method, headers={"X-Project-Id": "red", "Accept": "application/json"})
    if data is not None:
        request.body, request.content_type = data, media_type
    response = request.get_response(app)
    response.body  # noqa: B018  reads it to its end, and closes what it came from
    return response


def created(api: ImageAPI, **body: object) -> str:
    response = send(api, "POST", "/v2/images", {"id": "i", **body})
    assert response.status_code == 201, response.text
    return str(response.location).removeprefix("http://localhost")


# --- the image API ---


def test_a_new_image_is_a_flat_document_that_belongs_to_the_tenant_of_the_request(api: ImageAPI) -> None:
    image = created(api, name="web", kernel_id="k")
    assert image == "/v2/images/i"
    assert send(api, "GET", image).json == {
        "id": "i",
        "name": "web",
        "owner": "red",
        "visibility": "shared",
        "status": "queued",
        "protected": False,
        "os_hidden": False,
        "disk_format": None,
        "container_format": None,
        "min_disk": 0,
        "min_ram": 0,
        "tags": [],
        "size": None,
        "virtual_size": None,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
        "kernel_id": "k",
        "self": "/v2/images/i",
        "file": "/v2/images/i/file",
        "schema": "/v2/schemas/image",
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "media_type", "status"),
    [
        pytest.param("GET", "/v2/images/i", None, "", 200, id="an image that exists"),
        pytest.param("GET", "/v2/images/j", None, "", 404, id="an image that does not"),
        pytest.param("GET", "/v3/images", None, "", 404, id="a path that is not ours"),
        pytest.param("GET", "/v2/images/%ff", None, "", 400, id="a path that is not UTF-8"),
        pytest.param("PUT", "/v2/images/i", {}, "", 405, id="a method that is not ours"),
        pytest.param("POST", "/v2/images", {}, "", 201, id="an image without a word"),
        pytest.param("POST", "/v2/images", {"id": "i"}, "", 409, id="an id that is taken"),
        pytest.param("POST", "/v2/images", {"id": "../x"}, "", 400, id="an id that is a path"),
        pytest.param("POST", "/v2/images", b"{", "", 400, id="a body that is not JSON"),
        pytest.param("POST", "/v2/images", [], "", 400, id="a body that is no object"),
        pytest.param("POST", "/v2/images", {"x": "1"}, "", 201, id="a property that is text"),
        pytest.param("POST", "/v2/images", {"x": 1}, "", 400, id="a property that is a number"),
        pytest.param("POST", "/v2/images", {"min_disk": 1}, "", 201, id="an attribute that is a number"),
        pytest.param("POST", "/v2/images", {"min_disk": True}, "", 400, id="an attribute that is no number"),
        pytest.param("POST", "/v2/images", {"status": "active"}, "", 400, id="an attribute that cannot be set"),
        pytest.param("GET", "/v2/images?limit=1", None, "", 200, id="a limit"),
        pytest.param("GET", "/v2/images?limit=x", None, "", 400, id="a limit that is no number"),
        pytest.param("GET", "/v2/images?marker=j", None, "", 400, id="a marker that is no image"),
        pytest.param("PATCH", "/v2/images/i", [], PATCH, 200, id="a patch"),
        pytest.param("PATCH", "/v2/images/i", [], "application/json", 415, id="a patch of another type"),
        pytest.param("PATCH", "/v2/images/i", {}, PATCH, 400, id="a patch that is no array"),
        pytest.param("PUT", "/v2/images/i/file", b"x", DATA, 204, id="data"),
        pytest.param("PUT", "/v2/images/i/file", b"x", "text/plain", 415, id="data of another type"),
        pytest.param("PUT", "/v2/images/j/file", b"x", DATA, 404, id="data for an image that is not there"),
        pytest.param("GET", "/v2/images/i/file", None, "", 204, id="no data yet"),
        pytest.param("POST", "/v2/images/i/actions/deactivate", None, "", 409, id="too early to deactivate"),
        pytest.param("POST", "/v2/images/i/members", {"member": "blue"}, "", 200, id="a member"),
        pytest.param("POST", "/v2/images/i/members", {"member": 1}, "", 400, id="a member that is no text"),
        pytest.param("POST", "/v2/images/i/members", {"member": "\ud800"}, "", 400, id="a lone surrogate"),
        pytest.param("GET", "/v2/images/i/members/blue", None, "", 404, id="a member that is not there"),
        pytest.param("PUT", "/v2/images/i/tags/blue", None, "", 204, id="a tag"),
        pytest.param("DELETE", "/v2/images/i/tags/blue", None, "", 404, id="a tag that is not there"),
        pytest.param("GET", "/v2/schemas/images", None, "", 200, id="a schema"),
        pytest.param("GET", "/versions", None, "", 200, id="the versions"),
    ],
)
def test_the_image_api_refuses_nonsense_only(
    api: ImageAPI, method: str, path: str, body: object, media_type: str, status: int
) -> None:
    created(api)
    assert send(api, method, path, body, media_type or "application/json").status_code == status


@pytest.mark.parametrize(
    ("media_type", "patch", "status", "expected"),
    [
        pytest.param(
            PATCH, [{"op": "add", "path": "/a", "value": "2"}], 200, {"a": "2", "b": "1"}, id="add overwrites"
        ),
        pytest.param(OLD_PATCH, [{"add": "/a", "value": "2"}], 409, {"a": "1", "b": "1"}, id="the old add does not"),
        pytest.param(OLD_PATCH, [{"replace": "/a", "value": "2"}], 200, {"a": "2", "b": "1"}, id="the old replace"),
        pytest.param(OLD_PATCH, [{"add": "/c", "replace": "/a", "value": "2"}], 400, {"c": None}, id="two at once"),
        pytest.param(PATCH, [{"op": "replace", "path": "/c", "value": "2"}], 409, {"c": None}, id="replace nothing"),
        pytest.param(PATCH, [{"op": "remove", "path": "/a"}], 200, {"a": None, "b": "1"}, id="remove"),
        pytest.param(PATCH, [{"op": "remove", "path": "/c"}], 409, {"a": "1"}, id="remove nothing"),
        pytest.param(PATCH, [{"op": "remove", "path": "/name"}], 400, {"a": "1"}, id="remove what belongs"),
        pytest.param(PATCH, [{"op": "add", "path": "/x~1y~0", "value": "1"}], 200, {"x/y~": "1"}, id="escapes"),
        pytest.param(PATCH, [{"op": "add", "path": "/x/y", "value": "1"}], 400, {"x": None}, id="a deep path"),
        pytest.param(PATCH, [{"op": "add", "path": "/x~2", "value": "1"}], 400, {"x~2": None}, id="bad escape"),
        pytest.param(PATCH, [{"op": "move", "path": "/a", "from": "/b"}], 400, {"a": "1"}, id="another operation"),
        pytest.param(PATCH, [{"op": "add", "path": "/c"}], 400, {"c": None}, id="no value"),
        pytest.param(
            PATCH,
            [{"op": "add", "path": "/a", "value": "2"}, {"op": "remove", "path": "/c"}],
            409,
            {"a": "1"},
            id="all of it or nothing",
        ),
    ],
)
def test_a_patch_of_the_image_api(
    api: ImageAPI, media_type: str, patch: object, status: int, expected: dict[str, str | None]
) -> None:
    image = created(api, a="1", b="1")
    assert send(api, "PATCH", image, patch, media_type).status_code == status
    document = send(api, "GET", image).json
    assert {name: document.get(name) for name in expected} == expected


def test_data_come_back_as_they_were_sent(api: ImageAPI) -> None:
    image, data = created(api), bytes(range(256)) * 1000
    assert send(api, "PUT", f"{image}/file", data, DATA).status_code == 204
    document = send(api, "GET", image).json
    assert (document["status"], document["size"]) == ("active", len(data))
    assert document["os_hash_value"] == hashlib.sha512(data).hexdigest()
    response = send(api, "GET", f"{image}/file")
    assert (response.status_code, response.body, response.content_length) == (200, data, len(data))
    assert send(api, "PUT", f"{image}/file", b"again", DATA).status_code == 409
    assert send(api, "GET", f"{image}/file").body == data


def test_an_upload_that_breaks_off_leaves_a_queued_image(api: ImageAPI, tmp_path: Path) -> None:
    image = created(api)
    request = Request.blank(f"{image}/file", method="PUT", content_type=DATA)
    request.body, request.content_length = b"short", 10
    assert request.get_response(api).status_code == 400
    assert send(api, "GET", image).json["status"] == "queued"
    assert list((tmp_path / "data").iterdir()) == []


def test_deactivating_and_deleting(api: ImageAPI, tmp_path: Path) -> None:
    image = created(api)
    send(api, "PUT", f"{image}/file", b"x", DATA)
    for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        assert send(api, "POST", f"{image}/actions/{action}").status_code == 204
        assert send(api, "GET", image).json["status"] == status
    assert send(api, "DELETE", image).status_code == 204
    assert send(api, "GET", image).status_code == 404
    assert list((tmp_path / "data").iterdir()) == []


def test_members_come_answer_and_go(api: ImageAPI) -> None:
    members = created(api) + "/members"
    assert send(api, "POST", members, {"member": "blue"}).json["status"] == "pending"
    assert send(api, "POST", members, {"member": "blue"}).status_code == 409
    assert send(api, "PUT", f"{members}/blue", {"status": "accepted"}).json["status"] == "accepted"
    assert send(api, "PUT", f"{members}/blue", {"status": "maybe"}).status_code == 400
    listed = send(api, "GET", members).json["members"]
    assert [(member["member_id"], member["status"]) for member in listed] == [("blue", "accepted")]
    assert send(api, "DELETE", f"{members}/blue").status_code == 204
    assert send(api, "GET", members).json["members"] == []


def test_a_private_image_takes_no_members(api: ImageAPI) -> None:
    members = created(api, visibility="private") + "/members"
    assert send(api, "POST", members, {"member": "blue"}).status_code == 409


def test_lists_are_filtered_and_paged_newest_first(api: ImageAPI) -> None:
    for number in "12345":
        created(api, id=number, os_distro="debian" if number < "5" else "arch")
    seen, path = [], "/v2/images?os_distro=debian&limit=3"
    while path:
        page = send(api, "GET", path).json
        seen.append([image["id"] for image in page["images"]])
        path = page.get("next")
    assert seen == [["4", "3", "2"], ["1"]]


def test_images_outlive_the_process_when_they_have_files(tmp_path: Path) -> None:
    for expected in (404, 200):
        api = ImageAPI(str(tmp_path / "images.sqlite"), tmp_path / "data")
        assert send(api, "GET", "/v2/images/i").status_code == expected
        if expected == 404:
            created(api)
        api.close()


def test_paste_loads_the_image_api(root: Path) -> None:
    api = loadapp(f"config:{root / 'paste' / 'demo.ini'}", name="image_api")
    assert send(api, "GET", "/v2/images").json["images"] == []
    api.close()


# --- the demonstration's identity ---


def identity_seen(token: str | None, address: str = "127.0.0.1", **environ: str) -> dict[str, str] | int:
    """What an application behind the filter sees of an identity, or the status of a refusal."""
    seen: dict[str, str] = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        identity = re.compile(r"HTTP_.*(IDENTITY|USER|PROJECT_ID|TENANT|ROLE).*")
        seen.update({key: value for key, value in environ.items() if identity.fullmatch(key)})
        return Response()(environ, start_response)

    request = Request.blank("/")
    request.environ.update({"REMOTE_ADDR": address, **environ})
    if token is not None:
        request.headers["X-Auth-Token"] = token
    response = request.get_response(DemoIdentity(app))
    return seen if response.status_code == 200 else response.status_code


USER = {
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_USER_ID": "u",
    "HTTP_X_USER_DOMAIN_ID": "default",
    "HTTP_X_PROJECT_ID": "t",
    "HTTP_X_ROLES": "member,reader",
}
SERVICE = {"HTTP_X_SERVICE_IDENTITY_STATUS": "Confirmed", "HTTP_X_SERVICE_ROLES": "service"}
NOBODY = {"HTTP_X_IDENTITY_STATUS": "Invalid"}


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        pytest.param("u:t:member,reader", USER, id="a user"),
        pytest.param("u:t:member,reader:service", {**USER, **SERVICE}, id="a service on behalf of a user"),
        pytest.param("u:t:", {**USER, "HTTP_X_ROLES": ""}, id="a user without a role"),
        pytest.param("u:t", NOBODY, id="a part too few"),
        pytest.param("u:t:member:service:more", NOBODY, id="a part too many"),
        pytest.param(":t:member", NOBODY, id="a user without a name"),
        pytest.param("", NOBODY, id="an empty token"),
        pytest.param(None, NOBODY, id="no token"),
    ],
)
def test_a_demo_token(token: str | None, seen: dict[str, str]) -> None:
    assert identity_seen(token) == seen


@pytest.mark.parametrize(
    "header",
    [
        "HTTP_X_IDENTITY_STATUS",
        "HTTP_X_ROLES",
        "HTTP_X_ROLE",
        "HTTP_X_TENANT_ID",
        "HTTP_X_TENANT",
        "HTTP_X_USER",
        "HTTP_X_SERVICE_ROLES",
        "HTTP_X_SERVICE_IDENTITY_STATUS",
        "HTTP_X.ROLES",
        "HTTP_X-ROLES",
    ],
)
def test_a_client_says_who_it_is_by_its_token_only(header: str) -> None:
    assert identity_seen("u:t:member,reader", **{header: "admin"}) == USER
    assert identity_seen(None, **{header: "Confirmed"}) == NOBODY


@pytest.mark.parametrize(
    ("token", "subject"),
    [
        pytest.param(
            "u:t:reader", Subject(id="u", tenant="t", domain="default", roles=frozenset({"reader"})), id="a user"
        ),
        pytest.param("nonsense", Subject(authenticated=False), id="a token of another shape"),
        pytest.param(None, Subject(authenticated=False), id="no token"),
    ],
)
def test_the_filter_believes_the_demonstrations_identity(token: str | None, subject: Subject) -> None:
    seen: dict[str, Any] = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        return Response()(environ, start_response)

    headers = {"X-Auth-Token": token} if token else {}
    Request.blank("/", {"REMOTE_ADDR": "127.0.0.1"}, headers=headers).get_response(DemoIdentity(app))
    assert identify(seen) == subject
    # Not the headers alone: the mark beside them.
    del seen[VERIFIED]
    assert identify(seen) == Subject(authenticated=False)


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        pytest.param("127.0.0.1", USER, id="this machine"),
        pytest.param("::1", USER, id="this machine by IPv6"),
        pytest.param("192.0.2.1", 403, id="another machine"),
        pytest.param("", 403, id="nobody knows where"),
    ],
)
def test_the_demo_answers_this_machine_only(address: str, seen: object) -> None:
    assert identity_seen("u:t:member,reader", address) == seen


@pytest.mark.parametrize("options", [{}, {CONSENT: "no"}, {CONSENT: "yes", "more": "x"}], ids=str)
def test_the_demo_identity_starts_only_where_its_section_admits_what_it_is(options: dict[str, str]) -> None:
    assert filter_factory({}, **{CONSENT: "yes"}) is DemoIdentity
    with pytest.raises(ValueError, match="lets anyone be anyone"):
        filter_factory({CONSENT: "yes"}, **options)


# --- the story ---


@pytest.fixture(scope="module")
def story(root: Path) -> subprocess.CompletedProcess[str]:
    # webob imports cgi, which 3.11 deprecates.
    warnings = ["-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning"]
    command = [sys.executable, *warnings, "-m", "examples.demo", "--once"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)


def test_the_story_goes_as_told(story: subprocess.CompletedProcess[str]) -> None:
    assert (story.returncode, story.stderr) == (0, "")
    assert story.stdout.endswith("The story went as told.\n")
    # Not on a terminal: no colours.
    assert "\033" not in story.stdout


def test_the_readme_quotes_the_story(root: Path, story: subprocess.CompletedProcess[str]) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^ {4}(An image, and .*| *\d+\. .*| {7}.*)$", readme, re.MULTILINE)
    assert len(quoted) > 10
    # Each step with the reason below it, line numbers and all: a reader may look them up.
    told = list(pairwise(line.strip() for line in story.stdout.splitlines()))
    steps = [pair for pair in pairwise(line.strip() for line in quoted) if pair[0][0].isdigit()]
    assert [pair for pair in steps if pair not in told] == []
