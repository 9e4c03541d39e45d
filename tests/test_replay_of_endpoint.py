"""A decision log of the endpoint with facts, replayed: every decision can be made again, and a changed policy shows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from protect.cli import main
from protect.factories import decision_factory
from tests.served import EVALUATION, serving

SECRET = "hunter2"
FIRST, SECOND, THIRD = (f"{number * 8}-{number * 4}-4111-8111-{number * 12}" for number in "123")
NARROWER = """\
allow(subject: Subject, _action, image: Image) if
    subject.has_role("member") and image.owner = subject.tenant and image.visibility = "private";
allow(subject: Subject, _action, property: Property) if subject.has_role("member") and property.name != "kernel_id";
"""


def who(*roles: str) -> dict[str, Any]:
    told = {"tenant": "t1", "roles": list(roles), "password": SECRET}
    return {"type": "user", "id": "u1", "properties": told}


def document(image_id: str, owner: str, visibility: str, **more: Any) -> dict[str, Any]:
    return {"id": image_id, "owner": owner, "visibility": visibility, "tags": [SECRET], "secret": SECRET, **more}


OWN = document(FIRST, "t1", "private")
PUBLIC = document(SECOND, "t2", "public")
SHARED = document(THIRD, "t2", "shared", members={"t1": "accepted", "t3": "pending"})
MEMBER = who("member", "reader")
CONTEXT = {"store": "fast", "import_uri": f"https://{SECRET}@h/", "password": SECRET}


def image(given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "image", "id": given["id"], "properties": given}


def named(name: str, of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "property", "id": name, "properties": {"image": of, "value": SECRET}}


def question(action: str, resource: dict[str, Any], subject: dict[str, Any] = MEMBER) -> dict[str, Any]:
    return {"subject": subject, "action": {"name": action}, "resource": resource, "context": CONTEXT}


ADDRESS = {"type": "location", "id": "x", "properties": {"url": f"swift://u:{SECRET}@h/", "image": OWN}}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (EVALUATION, question("get_image", image(OWN))),
    (EVALUATION, question("get_image", image(PUBLIC))),
    (EVALUATION, question("get_image", image(SHARED))),
    (EVALUATION, question("set_image_location", ADDRESS)),
    (
        "/access/v1/evaluations",
        {
            **question("update", named("kernel_id", OWN)),
            "evaluations": [{}, {"resource": named("os_distro", OWN)}, {"resource": named("owner", OWN)}],
        },
    ),
    ("/v1/explain", question("delete_image", image(PUBLIC))),
    ("/v1/images/filter", {"subject": who("member"), "images": [OWN, PUBLIC, SHARED], "context": CONTEXT}),
    ("/v1/images/check", {"subject": MEMBER, "create": {"name": SECRET, "kernel_id": SECRET}}),
    (
        "/oslo/download_image",
        {
            "rule": "download_image",
            "target": {"id": FIRST, "owner": "t1", "visibility": "private"},
            "credentials": {"user_id": "u1", "project_id": "t1", "roles": ["member"]},
        },
    ),
]


def replayed(log: Path, policy: str | Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    main(["replay", "--format", "json", "--fail-on", "none", str(log), str(policy)])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_a_running_endpoint_has_logged_is_decided_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, other = tmp_path / "log", tmp_path / "other.polar"
    other.write_text(NARROWER)
    options = ("--decision-log", "all", "--decision-log-facts", "yes", "--decision-log-file", str(log))
    with serving(tmp_path, "--authentication", "off", *options) as served:
        for path, body in REQUESTS:
            status, said = served.ask("POST", path, json.dumps(body).encode())
            assert status == 200, said
        assert served.end() == 0
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]

    assert all("facts" in line for line in lines)
    assert SECRET not in text
    report = replayed(log, "rules", capsys)
    assert (report["same"], report["otherwise"]) == (len(lines), 0)
    report = replayed(log, other, capsys)
    assert report["cannot_say"] == 0
    assert {
        (each["direction"], each["action"], *each["properties"], each["first"]["resource_id"])
        for each in report["changes"]
    } == {
        ("wider", "get_image", FIRST),  # a list refused it for want of a role
        ("wider", "update", "owner", FIRST),
        ("narrower", "get_image", SECOND),
        ("narrower", "set_image_location", FIRST),
        ("narrower", "add_image", None),
    }


def test_what_a_gateway_asked_is_decided_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, other, entities = tmp_path / "log", tmp_path / "other.polar", tmp_path / "entities.json"
    other.write_text(NARROWER)
    known = [{"type": "image", "id": each["id"], "properties": each} for each in (OWN, PUBLIC, SHARED)]
    entities.write_text(json.dumps({"resources": known}))
    app: Any = decision_factory(
        {},
        authentication="off",
        entities=str(entities),
        reload="0",
        decision_log="all",
        decision_log_facts="yes",
        decision_log_file=str(log),
    )
    for image_id in (FIRST, SECOND, THIRD):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/gateway/nginx",
            "QUERY_STRING": "",
            "wsgi.input": io.BytesIO(),
            "HTTP_X_ORIGINAL_METHOD": "DELETE",
            "HTTP_X_ORIGINAL_URI": f"/v2/images/{image_id}",
            "keystone.token_auth": object(),
            "HTTP_X_IDENTITY_STATUS": "Confirmed",
            "HTTP_X_USER_ID": "u1",
            "HTTP_X_PROJECT_ID": "t1",
            "HTTP_X_ROLES": "member",
        }
        list(app(environ, lambda status, headers: None))
    app.recorder.close()
    for line in map(json.loads, log.read_text().splitlines()):
        # No gateway has told it, and a rule that asks for it would be an error.
        assert "remote_address" not in line["facts"]["context"]

    assert replayed(log, "rules", capsys)["same"] == 3
    report = replayed(log, other, capsys)
    assert (report["same"], report["changes"]) == (3, [])
    other.write_text('allow(_: Subject, "delete_image", image: Image) if image.visibility = "public";')
    report = replayed(log, other, capsys)
    assert {(each["direction"], each["first"]["resource_id"]) for each in report["changes"]} == {
        ("wider", SECOND),
        ("narrower", FIRST),
    }
    other.write_text('allow(_: Subject, _action, _: Image) if context.get("remote_address") = "192.0.2.1";')
    assert replayed(log, other, capsys)["cannot_say"] == 3
