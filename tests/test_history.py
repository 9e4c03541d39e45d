"""Holes that image services have had, each as a request that must not do again what it once did.

The filter stands alone here: the API behind it refuses nothing. Each docstring names the public report. Holes that were
those of property protection or of a store, seen on a real Glance, are in tests/glance/test_better_than_native.py.

Not here, because no filter in front of the API can see them:

    CVE-2015-5162, CVE-2015-5163, CVE-2022-47951, CVE-2024-32498   what is inside the data of an image: the data stream
                          through unread. A rule can keep a format from whoever is not trusted with it; that is tested.
    OSSN-0057             how many images a tenant queues: nothing here counts.
    CVE-2013-4354, OSSN-0005, LP#1259241, CVE-2015-5251            v1, which Glance has not had since 17; tested is that
                          no request for v1 gets through.
    OSSN-0078, OSSN-0105, CVE-2026-34881   where a redirect leads, and what address a name resolves to: only the API's
                          host knows. A rule sees the address that the request names; that is tested.
    CVE-2013-0212, CVE-2014-1948   credentials in what the API itself writes: its log, the body of its own error.
    LP#1332103            an API that fails on an empty value; tested is that the filter does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from webob import Request, Response

from protect.errors import PolicyError
from protect.factories import filter_factory
from protect.glance.patches import V20, V21
from protect.identity.keystone import VERIFIED
from tests.image_api import ID, ImageApi, image

ROOT = Path(__file__).parent.parent
ONE = ID.format(1)
PATH = f"/v2/images/{ONE}"

OWNER = {"X-User-Id": "olivia", "X-Project-Id": "t1", "X-Roles": "member,reader"}
STRANGER = {"X-User-Id": "sam", "X-Project-Id": "t2", "X-Roles": "member,reader"}
ADMIN = {"X-User-Id": "ada", "X-Project-Id": "ops", "X-Roles": "admin,member,reader"}
CONFIRMED = {"X-Identity-Status": "Confirmed"}

ANYTHING = "allow(_subject: Subject, _action, _resource);\n"


@cache
def loaded(directory: Path | None, texts: tuple[tuple[str, str], ...], settings: tuple[tuple[str, str], ...]) -> Any:
    """Return what puts the filter in front of an API. Each policy is loaded once: that is most of a test's time."""
    options = dict(settings)
    if directory is not None:
        for kind, text in texts:
            (directory / f"policy.{kind}").write_text(textwrap.dedent(text))
        options["policy"] = " ".join(str(directory / f"policy.{kind}") for kind, _ in texts)
    return filter_factory({}, reload="0", decision_log="none", **options)


class Front:
    """The filter with a policy, and the API behind it. ``policy``: {file name: text}, none for the shipped rules."""

    def __init__(self, directory: Path, *images: dict[str, Any], app: Any = None, **options: str) -> None:
        texts = tuple((kind, text) for kind, text in options.items() if kind in ("conf", "polar"))
        settings = tuple((name, value) for name, value in options.items() if name not in ("conf", "polar"))
        self.api = ImageApi(*(images or (image(1),)))
        self.verified = True  # by keystonemiddleware, before us
        self.app = loaded(directory if texts else None, texts, settings)(app or self.api)

    def ask(
        self,
        method: str,
        path: str,
        subject: dict[str, str] = OWNER,
        body: Any = None,
        **headers: str,
    ) -> Response:
        sent = CONFIRMED | subject | {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request.blank("/", {VERIFIED: object()} if self.verified else {}, method=method, headers=sent)
        request.environ["PATH_INFO"], _, request.environ["QUERY_STRING"] = path.partition("?")
        if body is not None:
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.content_type = headers.get("Content_Type", V21 if method == "PATCH" else "application/json")
        return request.get_response(self.app)

    def patch(self, subject: dict[str, str], op: str, name: str, value: Any = "new") -> int:
        change = {"op": op, "path": f"/{name}"} | ({} if op == "remove" else {"value": value})
        return self.ask("PATCH", PATH, subject, [change]).status_int

    @property
    def writes(self) -> list[str]:
        """What reached the API and was no GET."""
        return [call for call in self.api.calls if not call.startswith("GET")]


# Property protection: rules that did not mean what they said


def test_the_first_rule_that_fits_decides_though_a_later_one_is_wider(tmp_path: Path) -> None:
    """LP#1224449, OSSN-0013, LP#1271426: sections were read in any order, and a wide one undid a narrow one."""
    front = Front(
        tmp_path,
        image(1, provider_id="p", os_distro="d"),
        conf="""\
            [^provider_.*$]
            create = admin
            read = admin,member
            update = admin
            delete = admin
            [.*]
            create = member
            read = member
            update = member
            delete = member
        """,
    )

    assert front.patch(OWNER, "replace", "provider_id") == 403
    assert front.writes == []
    assert front.patch(OWNER, "replace", "os_distro") == 200
    assert front.patch(ADMIN, "replace", "provider_id") == 200


@pytest.mark.parametrize("mixed", ["@,!", "!,@", "@, member", "!, admin"])
def test_everyone_and_nobody_do_not_mix(mixed: str, tmp_path: Path) -> None:
    """LP#1260333: a rule that said both meant whichever was tried first."""
    text = f"[.*]\ncreate = member\nread = {mixed}\nupdate = member\ndelete = member\n"
    if "@" in mixed and "!" in mixed:
        with pytest.raises(PolicyError, match=r"policy\.conf:3:"):
            Front(tmp_path, conf=text)
    else:
        Front(tmp_path, conf=text)


@pytest.mark.parametrize(("rule", "role"), [("Member", "member"), ("member", "Member"), ("MEMBER", "mEMBER")])
@pytest.mark.parametrize("kind", ["conf", "polar"])
def test_the_case_of_a_role_makes_no_difference(kind: str, rule: str, role: str, tmp_path: Path) -> None:
    """LP#1430804: rules compared roles with case, tokens without."""
    policy = {
        "conf": f"[.*]\ncreate = {rule}\nread = {rule}\nupdate = {rule}\ndelete = {rule}\n",
        "polar": f'allow(subject: Subject, _action, _resource) if subject.has_role("{rule}");\n',
    }[kind]
    front = Front(tmp_path, image(1, os_distro="d"), **{kind: policy})

    assert front.patch(OWNER | {"X-Roles": role}, "replace", "os_distro") == 200
    assert front.patch(OWNER | {"X-Roles": f"{role}s"}, "replace", "os_distro") in (403, 404, 409)


@pytest.mark.parametrize(("roles", "status"), [("ADMIN", 200), ("Admin", 200), ("admins", 403)])
def test_the_case_of_the_admin_role_makes_no_difference(roles: str, status: int, tmp_path: Path) -> None:
    """LP#1010519"""
    front = Front(tmp_path, image(1, visibility="public"))

    assert front.patch(STRANGER | {"X-Roles": f"{roles},member,reader"}, "replace", "name") == status


@pytest.mark.parametrize(
    ("op", "status"), [pytest.param("replace", 200, id="replaced"), pytest.param("remove", 200, id="removed")]
)
def test_a_property_with_an_empty_value_is_there(op: str, status: int, tmp_path: Path) -> None:
    """LP#1332103"""
    front = Front(tmp_path, image(1, os_distro=""))

    assert front.patch(OWNER, op, "os_distro") == status
    assert front.patch(OWNER, op, "absent") == 409


NO_SECRETS = ANYTHING + (
    'forbid(subject: Subject, "download_image", image: Image) if\n'
    '    image.get("restricted") = "yes" and not subject.has_role("admin");\n'
    'forbid(subject: Subject, "read", property: Property) if\n'
    '    property.name = "restricted" and not subject.has_role("admin");\n'
)


@pytest.mark.parametrize(
    ("properties", "status"),
    [
        pytest.param({"restricted": "yes"}, 403, id="the property forbids it, unseen"),
        pytest.param({"restricted": "no"}, 200, id="another value"),
        pytest.param({"restricted": None}, 200, id="no value"),
        pytest.param({}, 200, id="absent"),
    ],
)
def test_a_download_rule_sees_the_whole_image(properties: dict[str, Any], status: int, tmp_path: Path) -> None:
    """LP#1387973, LP#1720354: without the property the rule failed, or the API did."""
    front = Front(tmp_path, image(1, **properties), polar=NO_SECRETS)

    assert front.ask("GET", f"{PATH}/file").status_int == status
    assert "restricted" not in front.ask("GET", PATH).json


def test_a_file_that_is_not_there_does_not_fail_requests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """LP#1905672: a missing protection file made every request a 500, and nothing said so before."""
    there = tmp_path / "there.polar"
    there.write_text(ANYTHING)

    with pytest.raises(PolicyError, match="does not exist, though others of this policy do"):
        Front(tmp_path, policy=f"{there} {tmp_path}/none.polar")

    front = Front(tmp_path, policy=f"{tmp_path}/none.conf")
    assert "does not exist: the shipped rules decide" in caplog.text
    assert front.ask("GET", PATH).status_int == 200
    assert front.patch(OWNER, "add", "kernel_id") == 403


NOTHING_CUSTOM = "[.*]\ncreate = !\nread = !\nupdate = !\ndelete = !\n"


def test_an_import_works_where_no_property_may_be_written(tmp_path: Path) -> None:
    """LP#2085321: the API writes its own notes as properties, and a rule for `.*` stopped it from doing so."""
    front = Front(tmp_path, conf=NOTHING_CUSTOM)

    assert front.ask("POST", f"{PATH}/import", body={"method": {"name": "glance-direct"}}).status_int == 204
    assert front.writes == [f"POST {PATH}/import"]


@pytest.mark.parametrize("name", ["my_os_glance_note", "x-os_glance", "OS_GLANCE_x"])
def test_a_name_that_only_contains_the_reserved_prefix_is_protected(name: str, tmp_path: Path) -> None:
    """LP#2085321: the exception for the API's own notes was a search, not a prefix."""
    front = Front(tmp_path, image(1, **{name: "value"}), conf=NOTHING_CUSTOM)

    assert name not in front.ask("GET", PATH).json
    assert front.patch(OWNER, "add", name) == 403
    assert front.writes == []


def test_the_files_are_not_read_while_requests_wait(tmp_path: Path) -> None:
    """LP#2132333: the protection file was read and parsed anew by every request."""
    front = Front(tmp_path, image(1, os_distro="d"), conf=NOTHING_CUSTOM)
    (tmp_path / "policy.conf").unlink()

    assert "os_distro" not in front.ask("GET", PATH).json
    assert front.patch(OWNER, "add", "other") == 403


def test_nobody_says_in_which_stores_an_image_is(tmp_path: Path) -> None:
    """LP#1889676: whoever could write any property could write this one."""
    front = Front(tmp_path, polar=ANYTHING)

    assert front.ask("POST", "/v2/images", body={"name": "x", "stores": "fast"}).status_int == 403
    assert front.patch(OWNER, "add", "stores") == 403
    assert front.patch(ADMIN, "replace", "stores") == 403
    assert front.writes == []
    assert front.patch(OWNER, "add", "storage") == 200


# Data


class Cache:
    """Answers what it has answered before, to anybody: as a cache in front of the API does."""

    def __init__(self, app: ImageApi) -> None:
        self.app = app
        self.kept: dict[str, bytes] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in self.kept or not path.endswith("/file"):
            answer = Request(environ).get_response(self.app)
            self.kept[path] = answer.body
            return answer(environ, start_response)
        return Response(self.kept[path], content_type="application/octet-stream")(environ, start_response)


def test_what_is_in_a_cache_is_refused_as_well(tmp_path: Path) -> None:
    """CVE-2013-4428, OSSA-2013-027: the second download came out of the cache, without a question."""
    policy = ANYTHING + (
        'forbid(subject: Subject, "download_image", _image: Image) if not subject.has_role("downloader");\n'
    )
    front = Front(tmp_path, app=Cache(ImageApi(image(1))), polar=policy)
    downloader = OWNER | {"X-Roles": "downloader"}

    assert front.ask("GET", f"{PATH}/file", downloader).body == b"data of the image"
    assert front.ask("GET", f"{PATH}/file", downloader).body == b"data of the image"
    for _ in range(2):
        refused = front.ask("GET", f"{PATH}/file", OWNER)
        assert refused.status_int == 403
        assert b"data" not in refused.body


def test_a_refused_download_is_not_a_success_without_data(tmp_path: Path) -> None:
    """LP#1326781: the status had gone out before the policy was asked."""
    front = Front(tmp_path, image(1, visibility="public"))
    front.api.images[ONE]["visibility"] = "private"

    answers = [front.ask("GET", f"{PATH}/file", subject) for subject in (STRANGER, OWNER)]

    assert [answer.status_int for answer in answers] == [404, 200]
    assert f"GET {PATH}/file" not in front.api.calls[:1]


@pytest.mark.parametrize("door", ["file", "stage"])
def test_an_upload_needs_a_right(door: str, tmp_path: Path) -> None:
    """LP#1250918: no policy stood before an upload by v2."""
    front = Front(tmp_path)
    reader = OWNER | {"X-Roles": "reader"}

    assert front.ask("PUT", f"{PATH}/{door}", reader, b"data").status_int == 403
    assert front.api.uploads == {}
    assert front.writes == []
    assert front.ask("PUT", f"{PATH}/{door}", OWNER, b"data").status_int == 204


@pytest.mark.parametrize(
    ("size", "status"), [pytest.param(10, 204, id="as large as allowed"), pytest.param(11, 413, id="one byte more")]
)
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_no_way_around_the_cap_on_a_size(size: int, status: int, chunked: bool, tmp_path: Path) -> None:
    """CVE-2014-5356, CVE-2014-9623, CVE-2015-5286: a data stream that did not say its size had none."""
    front = Front(tmp_path, image_size_cap="10")
    request = Request.blank(f"{PATH}/file", {VERIFIED: object()}, method="PUT", headers=CONFIRMED | OWNER)
    request.environ["wsgi.input"] = BytesIO(b"x" * size)
    if chunked:
        request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        request.environ["wsgi.input_terminated"] = True
    else:
        request.environ["CONTENT_LENGTH"] = str(size)

    assert request.get_response(front.app).status_int == status
    assert (len(front.api.uploads.get(ONE, b"")) == size) is (status == 204)


@pytest.mark.parametrize("disk_format", ["vmdk", "qcow2", "iso"])
def test_a_format_can_be_kept_for_those_who_are_trusted_with_it(disk_format: str, tmp_path: Path) -> None:
    """CVE-2015-5163, CVE-2022-47951, CVE-2024-32498: files whose content names other files of the host."""
    policy = ANYTHING + (
        'forbid(subject: Subject, "add_image", image: Image) if\n'
        '    image.disk_format in ["vmdk", "qcow2"] and not subject.has_role("admin");\n'
        "forbid(subject: Subject, action, property: Property) if\n"
        '    action in ["create", "update"] and property.name = "disk_format" and\n'
        '    property.value in ["vmdk", "qcow2"] and not subject.has_role("admin");\n'
    )
    front = Front(tmp_path, image(1, disk_format=None, status="queued"), polar=policy)
    refused = disk_format != "iso"
    body = {"name": "x", "disk_format": disk_format}

    assert front.ask("POST", "/v2/images", OWNER, body).status_int == (403 if refused else 201)
    assert front.patch(OWNER, "add", "disk_format", disk_format) == (403 if refused else 200)
    assert front.patch(OWNER, "replace", "disk_format", disk_format) == (403 if refused else 200)
    assert front.ask("POST", "/v2/images", ADMIN, body).status_int == 201


# Images


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("DELETE", PATH, 404, id="an image"),
        pytest.param("DELETE", f"{PATH}/tags/gold", 404, id="a tag"),
        pytest.param("DELETE", f"{PATH}/members/t3", 404, id="a member"),
        pytest.param("DELETE", f"/v2/stores/fast/{ONE}", 404, id="a copy in a store"),
    ],
)
def test_nobody_deletes_what_is_another_tenant_s(method: str, path: str, status: int, tmp_path: Path) -> None:
    """CVE-2012-4573, CVE-2012-5482, OSSA-2012-017"""
    front = Front(tmp_path, image(1, visibility="private"))
    front.api.members[ONE] = {"t3": "accepted"}

    assert front.ask(method, path, STRANGER).status_int == status
    assert front.writes == []
    assert ONE in front.api.images
    assert front.ask(method, path, ADMIN).status_int in (200, 204)


@pytest.mark.parametrize("visibility", ["public", "community"])
@pytest.mark.parametrize("media", [pytest.param(V21, id="the newer patch"), pytest.param(V20, id="the older patch")])
@pytest.mark.parametrize("op", ["add", "replace"])
def test_publishing_by_every_spelling_of_a_patch(op: str, media: str, visibility: str, tmp_path: Path) -> None:
    """OSSN-0015, LP#1313746: any user could publish an image, and with it a backdoor."""
    front = Front(tmp_path)
    change = {op: "/visibility"} if media == V20 else {"op": op, "path": "/visibility"}
    body = [change | {"value": visibility}]

    status = front.ask("PATCH", PATH, OWNER, body, Content_Type=media).status_int

    # Communitizing one's own image is everyone's right by default; publishing is the operator's.
    assert status == (403 if visibility == "public" else 200)
    assert front.ask("PATCH", PATH, ADMIN, body, Content_Type=media).status_int == 200


def test_publishing_while_creating(tmp_path: Path) -> None:
    """OSSN-0015"""
    front = Front(tmp_path)

    assert front.ask("POST", "/v2/images", OWNER, {"visibility": "public"}).status_int == 403
    assert front.writes == []
    assert front.ask("POST", "/v2/images", OWNER, {"visibility": "private"}).status_int == 201


def test_nobody_sets_a_status(tmp_path: Path) -> None:
    """CVE-2015-5251, OSSA-2015-019: a deactivated image came back to life by a header or an attribute."""
    front = Front(tmp_path, image(1, status="deactivated"))

    for subject in (OWNER, ADMIN):
        assert front.patch(subject, "replace", "status", "active") == 403
        assert front.patch(subject, "add", "status", "active") == 403
    assert front.ask("PUT", f"/v1/images/{ONE}", ADMIN, X_Image_Meta_Status="active").status_int == 404
    assert front.writes == []
    assert front.ask("POST", f"{PATH}/actions/reactivate", OWNER).status_int == 204


# Locations


LOCATED = {"locations": [{"url": "file:///images/1", "metadata": {}}], "direct_url": "file:///images/1"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"op": "remove", "path": "/locations/0"}, id="remove the last one"),
        pytest.param({"op": "replace", "path": "/locations", "value": []}, id="replace all by none"),
    ],
)
def test_an_owner_does_not_take_away_the_data_of_an_image(change: dict[str, Any], tmp_path: Path) -> None:
    """CVE-2016-0757, OSSA-2016-006, OSSN-0065, OSSN-0090: without a location the image waited for new data."""
    front = Front(tmp_path, image(1, **LOCATED))

    assert front.ask("PATCH", PATH, OWNER, [change]).status_int == 403
    assert front.writes == []


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        pytest.param("file:///etc/glance/glance-api.conf", False, id="a file of the host"),
        pytest.param("FILE:///etc/passwd", False, id="in another case"),
        pytest.param("filesystem:///etc/passwd", False, id="by its other name"),
        pytest.param("swift+config://ref1/c/o", False, id="a store's credentials"),
        pytest.param("cinder://volume", False, id="a volume"),
        pytest.param("sheepdog://;touch /tmp/x", False, id="a command"),
        pytest.param("://x", False, id="no scheme"),
        pytest.param("/etc/passwd", False, id="a path"),
        pytest.param("", False, id="nothing"),
        pytest.param(" file:///etc/passwd", False, id="a space in front"),
        pytest.param("http://images.example/1", True, id="http"),
        pytest.param("HTTPS://images.example/1", True, id="https in another case"),
    ],
)
def test_only_the_kinds_of_addresses_that_a_rule_names(url: str, accepted: bool, tmp_path: Path) -> None:
    """CVE-2014-0162, CVE-2014-9493, CVE-2015-1195: an address made the API read the host's files, or run a command."""
    front = Front(
        tmp_path,
        image(1, locations=[], status="queued"),
        policy=f"{ROOT / 'rules'} {ROOT / 'rules' / 'variants' / 'location_schemes.polar'}",
    )
    value = {"url": url, "metadata": {}}

    answers = [
        front.ask("PATCH", PATH, ADMIN, [{"op": "add", "path": "/locations/-", "value": value}]),
        front.ask("PATCH", PATH, ADMIN, [{"op": "replace", "path": "/locations", "value": [value]}]),
        front.ask("POST", f"{PATH}/locations", ADMIN, {"url": url}),
    ]

    refused = {400, 403}
    assert [answer.status_int in refused for answer in answers] == [not accepted] * 3
    assert bool(front.writes) is accepted


def test_where_the_data_are_is_not_shown(tmp_path: Path) -> None:
    """CVE-2013-1840, OSSA-2013-007: the address of the data, with the store's credentials, stood in a header."""
    secret = "swift+https://user:password@store/c/o"

    def api(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        document = image(1, visibility="public", direct_url=secret, locations=[{"url": secret, "metadata": {}}])
        response = Response(json_body=document)
        response.headers.update({"X-Image-Meta-Location": secret, "x-image-meta-property-location": secret})
        return response(environ, start_response)

    front = Front(tmp_path, app=api)

    for path in (PATH, f"{PATH}/file"):
        answer = front.ask("GET", path, STRANGER)
        assert answer.status_int == 200
        assert secret not in str(answer.headers)
    assert secret.encode() not in front.ask("GET", PATH, STRANGER).body
    assert secret.encode() in front.ask("GET", PATH, OWNER).body


def test_who_may_not_see_locations_still_sees_the_image(tmp_path: Path) -> None:
    """LP#1231255, LP#1501672: a denied `get_image_location` made showing and downloading fail."""
    front = Front(tmp_path, image(1, visibility="public", **LOCATED))

    seen = front.ask("GET", PATH, STRANGER)

    assert seen.status_int == 200
    assert not LOCATED.keys() & seen.json.keys()
    assert front.ask("GET", f"{PATH}/file", STRANGER).status_int == 200
    assert front.ask("GET", PATH, OWNER).json.keys() >= LOCATED.keys()


def test_one_forbidden_attribute_does_not_take_a_list_away(tmp_path: Path) -> None:
    """LP#1502136: one image whose location might not be seen made the whole list a 403."""
    front = Front(tmp_path, image(1, visibility="public", **LOCATED), image(2, owner="t2", **LOCATED))

    answer = front.ask("GET", "/v2/images", STRANGER)

    assert answer.status_int == 200
    assert ["locations" in each for each in answer.json["images"]] == [False, True]


# Tasks and imports: requests that make the API fetch something


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        pytest.param("http://169.254.169.254/latest/meta-data", 403, id="an address of the host's own network"),
        pytest.param("https://images.example/1.raw", 204, id="the address that a rule names"),
    ],
)
def test_a_rule_sees_where_an_import_fetches_from(uri: str, status: int, tmp_path: Path) -> None:
    """OSSN-0105, CVE-2026-34881, OSSA-2026-004: an import fetched whatever address it was given."""
    policy = ANYTHING + (
        'forbid(_subject: Subject, "modify_image", _image: Image) if\n'
        '    context.get("import_method") = "web-download" and\n'
        '    not context.get("import_uri") = "https://images.example/1.raw";\n'
    )
    front = Front(tmp_path, polar=policy)
    body = {"method": {"name": "web-download", "uri": uri}}

    assert front.ask("POST", f"{PATH}/import", OWNER, body).status_int == status
    assert front.ask("POST", f"{PATH}/import", OWNER, {"method": {"name": "glance-direct"}}).status_int == 204


@pytest.mark.parametrize(
    ("source", "status"),
    [
        pytest.param("file:///etc/passwd", 403, id="a file of the host"),
        pytest.param("https://images.example/1.raw", 200, id="the address that a rule names"),
    ],
)
def test_a_rule_sees_where_a_task_fetches_from(source: str, status: int, tmp_path: Path) -> None:
    """OSSN-0078: a task imported from whatever address it was given."""
    policy = ANYTHING + (
        'forbid(_subject: Subject, "tasks_api_access", task: Task) if\n'
        '    task.type = "import" and not task.get("import_from") = "https://images.example/1.raw";\n'
    )
    front = Front(tmp_path, polar=policy)
    given = {"import_from": source, "import_from_format": "raw", "image_properties": {}}

    assert front.ask("POST", "/v2/tasks", OWNER, {"type": "import", "input": given}).status_int == status


def test_tasks_are_the_operator_s(tmp_path: Path) -> None:
    """OSSN-0078"""
    front = Front(tmp_path)
    body = {"type": "import", "input": {"import_from": "http://x", "image_properties": {}}}

    assert front.ask("POST", "/v2/tasks", OWNER, body).status_int == 403
    assert front.ask("GET", "/v2/tasks", OWNER).status_int == 403
    assert front.writes == []
    assert front.ask("POST", "/v2/tasks", ADMIN, body).status_int == 200


METADEFS = "/v2/metadefs/namespaces"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", METADEFS),
        ("PUT", f"{METADEFS}/ns"),
        ("DELETE", f"{METADEFS}/ns"),
        *(
            (method, f"{METADEFS}/ns/{kind}")
            for kind in ("objects", "properties", "tags")
            for method in ("POST", "DELETE")
        ),
        *(
            (method, f"{METADEFS}/ns/{kind}/x")
            for kind in ("objects", "properties", "tags")
            for method in ("PUT", "DELETE")
        ),
        ("POST", f"{METADEFS}/ns/tags/x"),
        ("POST", f"{METADEFS}/ns/resource_types"),
        ("DELETE", f"{METADEFS}/ns/resource_types/x"),
    ],
)
def test_metadata_definitions_are_written_by_the_operator_alone(method: str, path: str, tmp_path: Path) -> None:
    """LP#1916926: every user could write them, for everybody to see."""
    front = Front(tmp_path)
    body = None if method == "DELETE" else {"namespace": "ns", "name": "x", "tags": [{"name": "x"}]}

    assert front.ask(method, path, OWNER, body).status_int in (403, 404)
    assert front.writes == []
    assert front.ask(method, path, ADMIN, body).status_int == 200


# Who asks


def test_a_service_s_token_alone_grants_nothing(tmp_path: Path) -> None:
    """LP#2120737: a valid service token was enough, whoever the user was."""
    front = Front(tmp_path, image(1, **LOCATED))
    service = {"X-Service-Identity-Status": "Confirmed", "X-Service-Roles": "service"}

    alone = service | {"X-Identity-Status": "Invalid"}
    with_user = service | OWNER

    assert front.ask("GET", PATH, alone).status_int == 401
    assert front.ask("GET", f"{PATH}/locations", alone).status_int == 401
    assert front.patch(alone, "add", "kernel_id") == 401
    assert front.writes == []
    assert front.patch(with_user, "add", "kernel_id") == 200
    assert front.patch(OWNER | {"X-Roles": "member,reader,service"}, "replace", "kernel_id") == 403


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"X-Identity-Status": "Invalid"}, id="not confirmed"),
        pytest.param({"X-Identity-Status": ""}, id="empty"),
        pytest.param({"X-Identity-Status": "confirmed"}, id="in another case"),
        pytest.param({"X-Identity-Status": "Confirmed, Invalid"}, id="twice"),
        pytest.param({"X-Identity-Status": "Invalid", "X-Is-Admin-Project": "True"}, id="of the admin project"),
        pytest.param({"X-Identity-Status": "Invalid", "OpenStack-System-Scope": "all"}, id="of the whole system"),
        pytest.param({"X-Identity-Status": "Invalid", "X-Role": "admin", "X-Tenant-Id": "t1"}, id="by older names"),
    ],
)
def test_headers_are_believed_only_when_somebody_has_confirmed_them(forged: dict[str, str], tmp_path: Path) -> None:
    """CVE-2026-22797, OSSA-2026-001: a client's own identity headers went through as they came."""
    front = Front(tmp_path)

    assert front.ask("GET", PATH, ADMIN | forged).status_int == 401
    assert front.patch(ADMIN | forged, "replace", "name") == 401
    assert front.writes == []
    assert front.patch(ADMIN, "replace", "name") == 200


def test_headers_are_believed_only_where_somebody_has_looked_at_them(tmp_path: Path) -> None:
    """The same, with nothing before us that takes them out: a pipeline that has lost its `authtoken`."""
    front = Front(tmp_path)
    front.verified = False
    named = {"keystone.token_auth": "x", "Keystone-Token-Auth": "x", "keystone_token_auth": "x"}

    for forged in (ADMIN, ADMIN | named):
        assert front.ask("GET", PATH, forged).status_int == 401
        assert front.patch(forged, "replace", "name") == 401
    assert front.writes == []
    front.verified = True
    assert front.patch(ADMIN, "replace", "name") == 200


@pytest.mark.parametrize("header", ["OpenStack-System-Scope", "X-Tenant-Id", "X-Role", "X-Tenant", "X-User"])
def test_a_header_that_may_be_left_over_from_the_client_says_nothing(header: str, tmp_path: Path) -> None:
    """What keystonemiddleware does not always remove: `OpenStack-System-Scope`, and the older names of what it sets."""
    front = Front(tmp_path, image(1, visibility="private"))

    for value in ("all", "admin", "t1"):
        assert front.ask("GET", PATH, STRANGER | {header: value}).status_int == 404


def test_a_long_request_id_is_the_client_s_mistake(tmp_path: Path) -> None:
    """LP#1482301"""
    front = Front(tmp_path)

    assert front.ask("GET", PATH, X_OpenStack_Request_ID="r" * 65).status_int == 431
    assert front.ask("GET", PATH, X_OpenStack_Request_ID="r" * 64).status_int == 200


# One thing, one decision: by every spelling


SECRET = ANYTHING + (
    'forbid(subject: Subject, _action, property: Property) if property.name = "p" and not subject.has_role("admin");\n'
    "forbid(subject: Subject, action, _image: Image) if\n"
    '    action in ["download_image", "get_images"] and not subject.has_role("admin");\n'
)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/images",
        *(f"/v2.{minor}/images" for minor in (0, 1, 9, 17)),
        "//v2/images",
        "/v2//images",
        "/v2/images/",
        "/v2/./images",
        "/v2/x/../images",
        "/v2/images;x",
        "/V2/images",
        "/images",
        "/v1/images",
        "/v2/images\x00",
        *(f"/v2/images{slashes}{ONE}{slashes}file" for slashes in ("/", "//", "/./")),
        f"/v2/images/{ONE}/file/",
        f"/v2/images/{ONE}//file",
        f"/v2/images/{ONE.upper()}/FILE",
    ],
)
def test_no_other_spelling_of_a_path_gets_past_a_rule(path: str, tmp_path: Path) -> None:
    """Paths that Glance's own routing takes for the same: a refusal of one must be a refusal of all."""
    front = Front(tmp_path, polar=SECRET)

    answer = front.ask("GET", path)

    assert answer.status_int in (400, 403, 404)
    # Facts may be asked for; the request itself did not pass.
    assert all(call == f"GET {PATH}" for call in front.api.calls)
    assert b"data of the image" not in answer.body


@pytest.mark.parametrize("method", ["DELETE", "HEAD", "POST", "PATCH", "OPTIONS", "TRACE", "get", "GET ", "PUT\n", ""])
def test_a_method_that_nobody_has_thought_of_is_refused(method: str, tmp_path: Path) -> None:
    """OSSN-0048, LP#1414532: a check by `assert` was gone under `python -O`."""
    front = Front(tmp_path)
    environ = Request.blank(f"{PATH}/file", {VERIFIED: object()}, headers=CONFIRMED | ADMIN).environ
    environ["REQUEST_METHOD"] = method

    assert Request(environ).get_response(front.app).status_int == 405
    assert front.api.calls == []


def test_nothing_depends_on_assertions() -> None:
    """OSSN-0048, LP#1414532"""
    code = """
        import tempfile, pathlib
        from tests.test_history import Front, OWNER, ADMIN, PATH, STRANGER
        if __debug__:
            raise SystemExit("not optimized")
        front = Front(pathlib.Path(tempfile.mkdtemp()))
        asked = [
            front.ask("DELETE", f"{PATH}/file", ADMIN).status_int,
            front.ask("GET", PATH, STRANGER).status_int,
            front.patch(OWNER, "add", "kernel_id"),
            front.patch(OWNER, "replace", "status", "active"),
            front.ask("POST", "/v2/images", OWNER, b'{"a": "1", "a": "2"}').status_int,
            front.patch(OWNER, "add", "os_distro"),
        ]
        print(asked)
    """
    run = subprocess.run(
        [sys.executable, "-O", "-W", "ignore", "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert run.stdout.strip() == "[405, 404, 403, 403, 400, 200]", run.stderr


@pytest.mark.parametrize("pointer", ["/p", "//p", "/ p", "/p ", "/\u00a0p", "/p\u2003", "///p", "/\tp", "/~0", "/p~"])
@pytest.mark.parametrize("op", ["add", "replace", "remove"])
def test_no_other_spelling_of_a_pointer_gets_past_a_rule(op: str, pointer: str, tmp_path: Path) -> None:
    """Glance strips spaces and slashes from a pointer, so all of these were the same property to it."""
    front = Front(tmp_path, image(1, p="secret"), polar=SECRET)
    before = dict(front.api.images[ONE])
    change = {"op": op, "path": pointer, "value": "new"}

    answer = front.ask("PATCH", PATH, OWNER, [change])

    if pointer == "/~0":
        # This one is the name `~`, and nobody protects that.
        assert answer.status_int == (200 if op == "add" else 409)
    else:
        assert answer.status_int in (400, 403, 409)
        assert front.api.images[ONE] == before
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param('{"p": "new"}', "application/json", id="as it should be"),
        pytest.param('{"p": "new"}', "text/plain", id="as text"),
        pytest.param('{"p": "new"}', "application/xml", id="as xml"),
        pytest.param('{"p": "new"}', "application/x-www-form-urlencoded", id="as a form"),
        pytest.param('{"\\u0070": "new"}', "application/json", id="escaped"),
        pytest.param('{"q": "1", "p": "new"}', "application/json", id="behind another"),
        pytest.param('{"p": "new", "p": "new"}', "application/json", id="twice"),
        pytest.param('{"q": "1", "\\u0071": "2"}', "application/json", id="twice, once escaped"),
        pytest.param('\ufeff{"p": "new"}', "application/json", id="behind a byte order mark"),
    ],
)
def test_no_other_spelling_of_a_body_gets_past_a_rule(body: str, content_type: str, tmp_path: Path) -> None:
    """Glance reads a body whatever type it claims to be, and takes the last of two equal keys."""
    front = Front(tmp_path, polar=SECRET)

    assert front.ask("POST", "/v2/images", OWNER, body.encode(), Content_Type=content_type).status_int in (400, 403)
    assert front.writes == []
    assert front.ask("POST", "/v2/images", OWNER, {"q": "new"}).status_int == 201


@pytest.mark.parametrize("name", ["Kernel_ID", "kernel_id ", "KERNEL_ID", " kernel_id"])
def test_a_magic_property_is_magic_in_every_case(name: str, tmp_path: Path) -> None:
    """Some databases compare names without case and trailing space, so another spelling may be the same row."""
    front = Front(tmp_path)

    assert front.ask("POST", "/v2/images", OWNER, {name: "evil"}).status_int == 403
    assert front.ask("POST", "/v2/images", OWNER, {name.strip() + "s": "fine"}).status_int == 201


def test_a_name_cannot_make_a_pattern_take_for_ever(tmp_path: Path) -> None:
    """An operator's pattern meets a user's name of 255 characters: in a backtracking matcher this one never ends."""
    policy = ANYTHING + (
        'forbid(_subject: Subject, "create", property: Property) if property.matches("^(a+)+$") or\n'
        '    property.matches("^(a|aa)*b$");\n'
    )
    front = Front(tmp_path, polar=policy)
    start = time.process_time()

    assert front.ask("POST", "/v2/images", OWNER, {"a" * 254 + "!": "x"}).status_int == 201
    assert front.ask("POST", "/v2/images", OWNER, {"a" * 255: "x"}).status_int == 403

    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("GET", "/v1/images", {}, id="list"),
        pytest.param("GET", "/v1/images/detail", {}, id="list with details"),
        pytest.param("PUT", f"/v1/images/{ONE}", {"x_glance_api_copy_from": "http://x"}, id="copy from, LP#1259241"),
        pytest.param("PUT", f"/v1/images/{ONE}", {"x_image_meta_is_public": "true"}, id="publish, OSSN-0015"),
        pytest.param("PUT", f"/v1/images/{ONE}", {"x_image_meta_location": "file:///x"}, id="location, CVE-2015-1195"),
        pytest.param("PUT", f"/v1/images/{ONE}/members/t2", {}, id="share, CVE-2013-4354"),
        pytest.param("DELETE", f"/v1/images/{ONE}", {}, id="delete, CVE-2012-4573"),
    ],
)
def test_nothing_of_v1_gets_through(method: str, path: str, headers: dict[str, str], tmp_path: Path) -> None:
    """LP#1259241, CVE-2013-4354, OSSN-0005, CVE-2015-5251: v1 wrote by headers. No rule covers them, so none passes."""
    front = Front(tmp_path, polar=ANYTHING)

    assert front.ask(method, path, ADMIN, **headers).status_int == 404
    assert front.api.calls == []
