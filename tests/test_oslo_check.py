"""oslo.policy asks us: the check `protect:` with its failures, and the endpoint for plain `http:` checks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from oslo_config import cfg
from oslo_policy import policy as oslo
from webob import Request

from protect import Policy
from protect.authzen.entities import NO_ENTITIES
from protect.errors import MalformedRequest
from protect.oslo_policy import ProtectCheck
from protect.oslo_policy import check as check_module
from protect.oslo_policy.targets import MAX_DEPTH, Unsendable, data, plain
from protect.service.app import Service
from protect.service.calls import Limits
from protect.service.oslo import question, routes
from tests.scripted import scripted

CREDENTIALS = {
    "user_id": "u",
    "project_id": "t1",
    "user_domain_id": "d",
    "roles": ["member", "reader"],
    "service_roles": [],
    "is_admin_project": True,
}
LIST = {"project_id": "t1", "owner": "t1", "visibility": "private"}


def answer(document: object, status: str = "200 OK") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


YES = answer({"decision": True, "context": {"revision": "r"}})
NO = answer({"decision": False})


def ask(url: str, rule: str | None = "get_images", target: Any = LIST, credentials: Any = CREDENTIALS) -> bool:
    return ProtectCheck("protect", url)(target, credentials, None, rule)


class ExtraProperties(dict[str, object]):
    """What the API keeps custom properties in: whoever iterates over it finds nothing."""

    def __iter__(self) -> Any:
        return iter(())


class StoredImage:
    """An image as the API hands it to oslo.policy."""

    def __init__(self, **facts: object) -> None:
        self.image_id = "i"
        self.name, self.owner, self.visibility, self.status = "n", "t1", "shared", "active"
        self.tags: object = {"b", "a"}
        self.protected = self.os_hidden = False
        self.disk_format, self.container_format = "raw", "bare"
        self.min_disk, self.min_ram, self.size, self.virtual_size = 1, 2, 3, None
        self.checksum = self.os_hash_algo = self.os_hash_value = None
        self.created_at = self.updated_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.member: str | None = None
        self.extra_properties = ExtraProperties(os_distro="debian", kernel_id="k")
        vars(self).update(facts)


class ImageTarget(Mapping[str, object]):
    def __init__(self, image: StoredImage) -> None:
        self.target = image

    def __getitem__(self, key: str) -> object:
        return getattr(self.target, key)

    def __iter__(self) -> Any:
        return iter(("name", "image_id", "disk_format", "visibility"))

    def __len__(self) -> int:
        return 4


# --- What is asked ---


def test_one_evaluation_is_sent_for_one_check() -> None:
    with scripted(lambda _: YES) as (server, url):
        assert ask(f"{url}/pdp", "get_image", ImageTarget(StoredImage(member="t2"))) is True
        request = server.request()

    assert len(server.received) == 1
    assert request.line == "POST /pdp/access/v1/evaluation HTTP/1.1"
    assert json.loads(request.body) == {
        "subject": {
            "type": "user",
            "id": "u",
            "properties": {
                "tenant": "t1",
                "domain": "d",
                "roles": ["member", "reader"],
                "service_roles": [],
                "admin_project": True,
            },
        },
        "action": {"name": "get_image"},
        "resource": {
            "type": "image",
            "id": "i",
            "properties": {
                "id": "i",
                "name": "n",
                "owner": "t1",
                "visibility": "shared",
                "status": "active",
                "tags": ["a", "b"],
                "protected": False,
                "os_hidden": False,
                "disk_format": "raw",
                "container_format": "bare",
                "min_disk": 1,
                "min_ram": 2,
                "size": 3,
                "virtual_size": None,
                "checksum": None,
                "os_hash_algo": None,
                "os_hash_value": None,
                "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:05Z",
                "os_distro": "debian",
                "kernel_id": "k",
                "members": {"t2": "pending"},
            },
        },
    }


@pytest.mark.parametrize(
    ("rule", "target", "type_", "id_", "properties"),
    [
        pytest.param(
            "add_image",
            LIST,
            "image",
            "-",
            {"owner": "t1", "visibility": "private", "members": {}},
            id="an image that is not there yet",
        ),
        pytest.param(
            "get_images", {"project_id": "t1"}, "image", "-", {"owner": "t1", "members": {}}, id="a list of images"
        ),
        pytest.param("tasks_api_access", {}, "task", "-", {}, id="tasks"),
        pytest.param("stores_info_detail", {}, "store", "-", {}, id="stores"),
        pytest.param("cache_list", {}, "store", "-", {}, id="the cache"),
        pytest.param(
            "get_metadef_properties",
            {"project_id": "t1", "visibility": "public"},
            "metadef",
            "-",
            {"type": "property", "owner": "t1", "visibility": "public"},
            id="metadata definitions",
        ),
        pytest.param(
            "os_compute_api:servers:show",
            {"project_id": "t1", "id": "s", "tags": ("x",)},
            "openstack",
            "s",
            {"project_id": "t1", "id": "s", "tags": ["x"]},
            id="another service",
        ),
    ],
)
def test_what_a_target_is(
    rule: str, target: dict[str, object], type_: str, id_: str, properties: dict[str, object]
) -> None:
    asked: Any = check_module.question(rule, target, CREDENTIALS)

    assert asked["resource"] == {"type": type_, "id": id_, "properties": properties}


@pytest.mark.parametrize(
    ("member", "id_", "told"),
    [
        pytest.param("t2", "t2", {}, id="the subject's own membership"),
        pytest.param(None, "-", {"tenant": None}, id="another one, of which nothing is told"),
    ],
)
def test_a_rule_about_members_asks_about_one(member: str | None, id_: str, told: dict[str, object]) -> None:
    asked: Any = check_module.question("modify_member", ImageTarget(StoredImage(member=member)), CREDENTIALS)

    assert (asked["resource"]["type"], asked["resource"]["id"]) == ("member", id_)
    assert asked["resource"]["properties"].pop("image")["id"] == "i"
    assert asked["resource"]["properties"] == told


def test_a_custom_property_is_never_taken_for_an_attribute() -> None:
    forged = ExtraProperties(owner="t9", visibility="public", members="t9", image_id="x", member="t9", id="y")
    asked: Any = check_module.question("get_image", ImageTarget(StoredImage(extra_properties=forged)), CREDENTIALS)

    document = asked["resource"]["properties"]
    assert (document["owner"], document["visibility"], document["id"]) == ("t1", "shared", "i")
    assert document["members"] == {}
    assert "image_id" not in document


@pytest.mark.parametrize("user", [None, "", 7])
def test_without_a_user_nobody_has_been_authenticated(user: object) -> None:
    asked: Any = check_module.question("get_images", LIST, {**CREDENTIALS, "user_id": user, "roles": ["admin"]})

    assert asked["subject"] == {"type": "user", "id": "-", "properties": {"authenticated": False}}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="an object"),
        pytest.param(b"x", id="bytes"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param({"a": [object()]}, id="an object inside"),
    ],
)
def test_what_is_no_data_is_not_left_out_in_silence(value: object) -> None:
    with pytest.raises(Unsendable):
        plain({"fact": value})


def test_what_is_nested_too_deep_is_refused() -> None:
    value: object = {}
    for _ in range(MAX_DEPTH):
        value = [value]
    with pytest.raises(Unsendable):
        data("fact", value)


# --- The answer ---


@pytest.mark.parametrize(
    ("reply", "allowed", "reason"),
    [
        pytest.param(YES, True, None, id="yes"),
        pytest.param(NO, False, None, id="no"),
        pytest.param(answer({"decision": "true"}), False, "has no decision", id="text"),
        pytest.param(answer({"decision": 1}), False, "has no decision", id="a number"),
        pytest.param(answer({"allowed": True}), False, "has no decision", id="another word"),
        pytest.param(answer([True]), False, "has no decision", id="an array"),
        pytest.param(answer(b"True"), False, "JSONDecodeError", id="what plain checks want"),
        pytest.param(answer(b""), False, "JSONDecodeError", id="nothing"),
        pytest.param(answer(b'{"decision": false, "decision": true}'), False, "says something twice", id="both"),
        pytest.param(answer({"decision": True}, "500 Oh"), False, "answered 500", id="yes with an error's status"),
        pytest.param(answer({"decision": True}, "401 No"), False, "answered 401", id="yes, unauthorized"),
        pytest.param(answer({"decision": True}, "302 Found"), False, "answered 302", id="yes, elsewhere"),
        pytest.param(answer({"decision": True}, "201 Created"), False, "answered 201", id="yes, created"),
        pytest.param(answer(b" " * (1 << 20) + b'{"decision": true}'), False, "too long", id="too long"),
        pytest.param(
            b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"decision": true}', False, "breaks off", id="cut short"
        ),
        pytest.param(b"garbage\r\n\r\n", False, "BadStatusLine", id="not HTTP"),
        pytest.param(None, False, "no connection", id="silence"),
    ],
)
def test_nothing_but_a_yes_is_one(
    reply: bytes | None, allowed: bool, reason: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted(lambda _: reply, then_close=True) as (_, url):
        assert ask(url) is allowed

    assert (reason or "") in caplog.text
    assert bool(caplog.records) is (reason is not None)


def test_a_decision_point_that_is_down_denies(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert ask(f"http://127.0.0.1:{port}") is False
    assert "denied `get_images` without a decision: ConnectionRefusedError: Connection refused" in caplog.text


def test_a_decision_point_that_is_slow_denies(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROTECT_TIMEOUT", "0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert ask(f"http://127.0.0.1:{listener.getsockname()[1]}") is False
    assert "did not answer in time" in caplog.text


@pytest.mark.parametrize(
    ("match", "environment", "reason"),
    [
        pytest.param("", {}, "PROTECT_URL is not set", id="no address"),
        pytest.param("ftp://h", {}, "is not accepted", id="another scheme"),
        pytest.param("//h", {}, "is not accepted", id="no scheme"),
        pytest.param("http://u:secret@h", {}, "leave out the name and the password", id="a password"),
        pytest.param("http://h", {"PROTECT_TIMEOUT": "soon"}, "PROTECT_TIMEOUT", id="no number of seconds"),
        pytest.param("http://h", {"PROTECT_TOKEN_FILE": "/none"}, "No such file", id="no token"),
        pytest.param("https://h", {"PROTECT_CA_FILE": "/none"}, "No such file", id="no certificates"),
    ],
)
def test_an_option_that_cannot_be_used_denies(
    match: str,
    environment: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert ask(match) is False
    assert reason in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("rule", "target", "credentials"),
    [
        pytest.param(None, LIST, CREDENTIALS, id="a rule without a name"),
        pytest.param("get_images", object(), CREDENTIALS, id="a target that is none"),
        pytest.param("get_images", {"x": object()}, CREDENTIALS, id="a fact that is no data"),
        pytest.param("get_images", LIST, None, id="no credentials"),
    ],
)
def test_a_question_that_cannot_be_asked_denies(rule: str | None, target: Any, credentials: Any) -> None:
    with scripted(lambda _: YES) as (server, url):
        assert ask(url, rule, target, credentials) is False
        assert server.received == []


def test_the_token_is_sent_and_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    monkeypatch.setenv("PROTECT_TOKEN_FILE", str(token))
    with scripted(lambda _: YES) as (server, url):
        for written in ("first", "second"):
            token.write_text(f"{written}\n")
            assert ask(url)
            assert server.request().header("Authorization") == f"Bearer {written}"


def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda _: YES) as (server, url):
        monkeypatch.setenv("PROTECT_URL", url)
        assert ask("")
        assert len(server.received) == 1


# --- Connections ---


def test_the_checks_of_a_service_share_a_connection() -> None:
    with scripted(lambda _: YES) as (server, url):
        assert [ask(url) for _ in range(5)] == [True] * 5
        assert [request.connection for request in server.received] == [1] * 5


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    with scripted(lambda _: YES, then_close=True) as (server, url):
        assert [ask(url) for _ in range(3)] == [True] * 3
        assert [request.connection for request in server.received] == [1, 2, 3]


def test_a_forked_process_does_not_talk_over_its_parents_connection() -> None:
    # In a process of its own, because this one has threads.
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from tests.scripted import scripted
from tests.test_oslo_check import YES, ask
with scripted(lambda request: YES) as (server, url):
    assert ask(url)
    child = os.fork()
    if not child:
        os._exit(0 if ask(url) and ask(url) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(url)
    assert [request.connection for request in server.received] == [1, 2, 2, 1], server.received
"""
    made = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr


# --- Inside oslo.policy ---


@pytest.fixture
def enforcer(monkeypatch: pytest.MonkeyPatch) -> oslo.Enforcer:
    # In place of the entry point, which only an installed package has.
    monkeypatch.setattr("oslo_policy._checks.extension_checks", {"protect": ProtectCheck})
    made = oslo.Enforcer(cfg.ConfigOpts(), use_conf=False)
    made.suppress_default_change_warnings = True
    return made


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        pytest.param("protect:{url}", True, id="alone"),
        pytest.param("role:nobody or protect:{url}", True, id="after an or"),
        pytest.param("role:nobody and protect:{url}", False, id="after an and"),
        pytest.param("(role:nobody or protect:{url})", True, id="in parentheses"),
        pytest.param("not protect:{url}", False, id="turned around"),
    ],
)
def test_a_rule_that_oslo_policy_reads(enforcer: oslo.Enforcer, rule: str, allowed: bool) -> None:
    with scripted(lambda _: YES) as (server, url):
        enforcer.set_rules(oslo.Rules.from_dict({"get_images": rule.format(url=url)}), use_conf=False)

        assert bool(enforcer.enforce("get_images", LIST, dict(CREDENTIALS))) is allowed
        asked = [json.loads(request.body)["action"]["name"] for request in server.received]
    assert asked == ([] if " and " in rule else ["get_images"])


def test_a_rule_that_names_another_asks_under_its_own_name(enforcer: oslo.Enforcer) -> None:
    with scripted(lambda _: YES) as (server, url):
        rules = {"ours": f"protect:{url}", "get_images": "rule:ours"}
        enforcer.set_rules(oslo.Rules.from_dict(rules), use_conf=False)

        assert enforcer.enforce("get_images", LIST, dict(CREDENTIALS))
        assert json.loads(server.request().body)["action"]["name"] == "get_images"


def test_nothing_heavy_is_loaded_into_the_service() -> None:
    program = "import sys; import protect.oslo_policy; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert {"protect", "oslo_policy"} <= set(made.stdout.split())
    assert not {"oso", "polar", "webob", "orjson", "jwt", "cryptography"} & set(made.stdout.split())


# --- Plain `http:` checks ---

IMAGE = {
    "image_id": "i",
    "name": "n",
    "owner": "t1",
    "project_id": "t1",
    "visibility": "private",
    "status": "active",
    "tags": [],
    "protected": False,
    "os_hidden": False,
    "disk_format": "raw",
    "container_format": "bare",
    "min_disk": 0,
    "min_ram": 0,
    "size": 1,
    "member": None,
    "extra_properties": {},
}


@pytest.fixture(scope="module")
def service() -> Service:
    policy = Policy.load()
    routed = routes(policy=lambda: policy, record=lambda *_: None)
    return Service(routed, guard=lambda *_: "glance", limits=Limits())


def form(**parts: object) -> tuple[str, bytes]:
    encoded = urlencode({name: json.dumps(value) for name, value in parts.items()})
    return "application/x-www-form-urlencoded", encoded.encode()


def as_json(**parts: object) -> tuple[str, bytes]:
    return "application/json", json.dumps(parts).encode()


def post(service: Service, rule: str, content_type: str, body: bytes) -> tuple[int, bytes]:
    request = Request.blank("/", method="POST", body=body, content_type=content_type)
    request.environ["PATH_INFO"] = f"/oslo/{rule}"
    reply = request.get_response(service)
    return reply.status_code, reply.body


@pytest.mark.parametrize("encode", [pytest.param(form, id="a form"), pytest.param(as_json, id="JSON")])
@pytest.mark.parametrize(
    ("rule", "target", "credentials", "allowed"),
    [
        pytest.param("get_image", IMAGE, CREDENTIALS, True, id="the owner reads"),
        pytest.param("get_image", IMAGE, {**CREDENTIALS, "project_id": "t2"}, False, id="a stranger reads"),
        pytest.param("get_image", IMAGE, {**CREDENTIALS, "user_id": None}, False, id="nobody reads"),
        pytest.param(
            "get_image",
            {**IMAGE, "visibility": "shared", "member": "t2"},
            {**CREDENTIALS, "project_id": "t2"},
            True,
            id="a member reads",
        ),
        pytest.param(
            "get_image",
            {**IMAGE, "visibility": "shared", "member": None},
            {**CREDENTIALS, "project_id": "t2"},
            False,
            id="no member reads",
        ),
        pytest.param("add_image", LIST, CREDENTIALS, True, id="a member creates its own"),
        pytest.param("add_image", {**LIST, "owner": "t2"}, CREDENTIALS, False, id="a member creates another's"),
        pytest.param("add_member", {**IMAGE, "visibility": "shared"}, CREDENTIALS, True, id="the owner shares"),
        pytest.param(
            "add_member",
            {**IMAGE, "visibility": "shared"},
            {**CREDENTIALS, "project_id": "t2"},
            False,
            id="a stranger shares",
        ),
        pytest.param(
            "modify_member",
            {**IMAGE, "visibility": "shared", "member": "t2"},
            {**CREDENTIALS, "project_id": "t2"},
            True,
            id="a member accepts",
        ),
        pytest.param("modify_member", {**IMAGE, "visibility": "shared"}, CREDENTIALS, False, id="the owner accepts"),
        pytest.param("tasks_api_access", {}, {**CREDENTIALS, "roles": ["admin"]}, True, id="an admin's tasks"),
        pytest.param("tasks_api_access", {}, CREDENTIALS, False, id="a member's tasks"),
        pytest.param("no_such_rule", {}, {**CREDENTIALS, "roles": ["admin"]}, False, id="an unknown rule"),
    ],
)
def test_a_plain_check_is_answered(
    service: Service, encode: Any, rule: str, target: object, credentials: object, allowed: bool
) -> None:
    body = encode(rule=rule, target=target, credentials=credentials)

    assert post(service, rule, *body) == (200, b"True" if allowed else b"False")


GOOD = {"rule": "get_image", "target": IMAGE, "credentials": CREDENTIALS}


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        pytest.param("get_images", form(**GOOD), id="another rule in the path"),
        pytest.param("", form(**GOOD), id="no rule in the path"),
        pytest.param("get_image/x", form(**GOOD), id="more in the path"),
        pytest.param("get_image", form(rule="get_image", target=IMAGE), id="no credentials"),
        pytest.param("get_image", form(rule="get_image", credentials=CREDENTIALS), id="no target"),
        pytest.param("get_image", form(**{**GOOD, "target": "x"}), id="a target that is text"),
        pytest.param("get_image", form(**{**GOOD, "rule": True}), id="a rule that is no text"),
        pytest.param("get_image", as_json(**{**GOOD, "credentials": []}), id="credentials that are a list"),
        pytest.param(
            "get_image", as_json(**{**GOOD, "credentials": {**CREDENTIALS, "roles": "admin"}}), id="roles in one text"
        ),
        pytest.param("get_image", ("application/json", b"True"), id="no JSON"),
        pytest.param("get_image", ("application/json", b'"True"'), id="no object"),
        pytest.param("get_image", ("text/plain", b"True"), id="another type"),
        pytest.param("get_image", (form()[0], form(**GOOD)[1] + b"&target=%7B%7D"), id="two targets"),
        pytest.param("get_image", (form()[0], b"True"), id="no form"),
        pytest.param("get_image", (form()[0], b""), id="nothing"),
        pytest.param("get_image", (form()[0], b"rule=\xff&target=1&credentials=1"), id="raw bytes"),
        pytest.param(
            "get_image", as_json(**{**GOOD, "target": {**IMAGE, "protected": "no"}}), id="a flag that is none"
        ),
    ],
)
def test_what_cannot_be_understood_is_never_a_yes(service: Service, rule: str, body: tuple[str, bytes]) -> None:
    status, text = post(service, rule, *body)

    assert 400 <= status < 500
    assert b"True" not in text.replace(b"`True`", b"")


def test_an_error_is_never_a_yes() -> None:
    def broken() -> Policy:
        raise RuntimeError("True")

    service = Service(routes(policy=broken, record=lambda *_: None), guard=lambda *_: "glance", limits=Limits())
    status, text = post(service, "get_image", *form(**GOOD))

    assert (status, b"True" in text) == (500, False)


def test_a_rule_about_a_member_that_is_not_told_cannot_be_passed_by(tmp_path: Path) -> None:
    rules = tmp_path / "barred.polar"
    rules.write_text(
        'allow(_subject: Subject, "add_member", _member: Member);\n'
        'forbid(_subject: Subject, "add_member", member: Member) if member.tenant = "barred";\n'
    )
    policy = Policy.load([str(rules)])
    asked = question("add_member", *form(rule="add_member", target=IMAGE, credentials=CREDENTIALS), NO_ENTITIES)

    decision = policy.decide(asked)

    assert (decision.allowed, decision.error) == (False, True)


def test_a_rule_of_another_name_is_told_so() -> None:
    with pytest.raises(MalformedRequest, match="the rule in the path is not the one in the body"):
        question("a", *form(**{**GOOD, "rule": "b"}), NO_ENTITIES)


def test_what_lives_in_other_services_is_light() -> None:
    code = "import sys, protect.oslo_policy; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "protect.oslo_policy" in loaded
    assert not {"oso", "polar", "re2", "webob", "orjson", "protect.policy"} & set(loaded)
