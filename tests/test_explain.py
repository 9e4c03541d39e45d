"""`protect explain` and `protect decide`: a query typed by a person, or an AuthZEN document."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from protect.cli import main
from protect.cli.questions import document

WHO = ["--subject", "id=u,tenant=red,roles=member,reader"]
OWN = ["--resource", "image:1", "owner=red", "visibility=private"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param([*WHO, "--action", "download_image", *OWN], 0, "allowed by", id="an own image"),
        pytest.param(
            [*WHO, "--action", "download_image", "--resource", "image:1", "owner=blue,visibility=private"],
            1,
            "image.owner equals subject.tenant: no",
            id="a stranger's image",
        ),
        pytest.param(
            ["--subject", "id=u", "roles=member", "tenant=red", "--action", "publicize_image", *OWN],
            1,
            'subject has role "admin": yes',
            id="what would have to be otherwise",
        ),
        pytest.param(
            [*WHO, "--action", "update", "--resource", "property:kernel_id", "value=x", "image.owner=red"],
            1,
            "no rule allows `update`",
            id="a property that is protected",
        ),
        pytest.param(
            [*WHO, "--action", "update", "--resource", "property:os", "value=x", "image.owner=red"],
            0,
            "allowed by",
            id="a property that is not",
        ),
        pytest.param(
            [
                *WHO,
                "--action",
                "get_image",
                "--resource",
                "image:1",
                "owner=x",
                "visibility=shared",
                "members=red:pending",
            ],
            0,
            "shared with subject.tenant (pending): yes",
            id="an image that is shared with it",
        ),
        pytest.param(
            [*WHO, "--action", "get_image", "--resource", "image:1", "owner=x", "visibility=shared"],
            1,
            "shared with subject.tenant (pending): no",
            id="an image that is shared with nobody",
        ),
        pytest.param(
            [*WHO, "--action", "get_image", "--resource", "image:1"], 1, "were not given", id="an image without facts"
        ),
    ],
)
def test_explain_says_why(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str) -> None:
    assert main(["explain", "rules", *arguments]) == status
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([*WHO, "--action", "x"], "--resource", id="no resource"),
        pytest.param([*WHO, *OWN], "--action", id="no action"),
        pytest.param(["--subject", "member", "--action", "x", *OWN], "write key=value", id="a word without a key"),
        pytest.param([*WHO, "--action", "x", "--resource", "owner=red"], "type and id", id="no type first"),
        pytest.param([*WHO, "--action", "x", *OWN, "size=big"], "a number", id="a size that is none"),
        pytest.param([*WHO, "--action", "x", *OWN, "protected=maybe"], "true or false", id="neither true nor false"),
        pytest.param(["--subject", "id=a,id=b", "--action", "x", *OWN], "twice", id="a key that is there twice"),
        pytest.param(["nowhere", *WHO, "--action", "x", *OWN], "does not exist", id="a policy that is not there"),
        pytest.param(["-", *WHO], "standard input", id="both ways at once"),
        pytest.param(["--subject", "=", "--action", "x", *OWN], "write key=value", id="an empty key"),
        pytest.param([*WHO, "--action", "x", *OWN, "x:=NaN"], "a number, or JSON", id="a number that is none"),
        pytest.param([*WHO, "--action", "x", *OWN, 'x:={"a":1,"a":2}'], "or JSON", id="a key twice in JSON"),
    ],
)
def test_wrong_usage_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["explain", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_json_is_what_the_endpoint_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "rules", *WHO, "--action", "download_image", *OWN, "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["decision"] is True
    assert said["rule"]["file"].endswith("images.polar")
    assert {"question": "image.owner equals subject.tenant", "answer": True} in said["steps"]


def evaluation(**changed: Any) -> dict[str, Any]:
    asked = {
        "subject": {"type": "user", "id": "u", "properties": {"tenant": "red", "roles": ["member"]}},
        "action": {"name": "download_image"},
        "resource": {"type": "image", "id": "1", "properties": {"owner": "red", "visibility": "private"}},
    }
    return asked | changed


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(json.dumps(evaluation()), 0, id="allowed"),
        pytest.param(json.dumps(evaluation(action={"name": "publicize_image"})), 1, id="denied"),
        pytest.param(json.dumps(evaluation(action={})), 2, id="an action without a name"),
        pytest.param("{", 2, id="no JSON"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "decide"])
def test_an_authzen_document_comes_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, body: str, status: int
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body.encode())))
    assert main([command, "rules", "-"]) == status


@pytest.mark.parametrize(
    ("action", "status"), [pytest.param("download_image", 0, id="yes"), pytest.param("publicize_image", 1, id="no")]
)
def test_decide_is_one_line_of_json(capsys: pytest.CaptureFixture[str], action: str, status: int) -> None:
    assert main(["decide", "rules", *WHO, "--action", action, *OWN]) == status
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["decision"] is (status == 0)


def test_flags_become_an_evaluation() -> None:
    asked = document(
        ["id=u,tenant=t,roles=a,b", "admin_project=true"],
        "update",
        ["property:hw", "value:=5", "image.owner=t", "image.hidden=true", "image.tags=x,y"],
        ["store=fast"],
    )
    assert asked == {
        "subject": {
            "type": "user",
            "id": "u",
            "properties": {"tenant": "t", "roles": ["a", "b"], "admin_project": True},
        },
        "action": {"name": "update"},
        "resource": {
            "type": "property",
            "id": "hw",
            "properties": {"value": 5, "image": {"owner": "t", "os_hidden": True, "tags": ["x", "y"]}},
        },
        "context": {"store": "fast"},
    }


def asked(*resource: str, subject: str = "id=u,tenant=red,roles=member", action: str = "get_image") -> list[str]:
    return ["rules", "--subject", subject, "--action", action, "--resource", *resource]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            asked("property:x", "owner=red", action="update"), "did you mean `image.owner`?", id="the image's"
        ),
        pytest.param(asked("property:x", "valu=1", action="update"), "did you mean `value`?", id="a misspelt value"),
        pytest.param(
            asked("member:blue", "statu=accepted", action="add_member"), "did you mean `status`?", id="member"
        ),
        pytest.param(asked("member:blue", "tenant=red", action="add_member"), "a member has no `tenant`", id="its id"),
        pytest.param(
            asked("location:file:///x", "scheme=file", action="get_image_location"), "no `scheme`", id="where"
        ),
        pytest.param(asked("image", "owner=red"), "such as image:ID", id="no id"),
        pytest.param(asked("image:1", subject="id=,tenant=red"), "leave it out", id="an empty id"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "decide"])
def test_what_a_resource_cannot_have_is_refused(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], said: str
) -> None:
    assert main([command, *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(asked("image:1", "ownr=red"), "did you mean `owner`?", id="a fact"),
        pytest.param(asked("property:x", "image.ownr=red", action="update"), "did you mean `owner`?", id="its image's"),
        pytest.param(asked("image:1", "owner=red", subject="role=member"), "did you mean `roles`?", id="the subject's"),
        pytest.param(asked("image:1", "owner=red", action="get_imag"), "did you mean `get_image`?", id="an action"),
        pytest.param(asked("property:x", action="modify"), "create, read, update, delete", id="what is no operation"),
        pytest.param(asked("server:1"), "`server` is no type", id="a type"),
        pytest.param(asked("imag:1"), "did you mean `image`?", id="a misspelt type"),
        pytest.param(asked("image:1", "owner=red", "os_type=linux", "team=x"), "", id="properties"),
        pytest.param(asked("image:1", "owner=red", subject="tenant=red,team=x"), "", id="a claim"),
        pytest.param(asked("property:x", "image.owner=red", "value=1", action="read"), "", id="an operation"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "decide"])
def test_what_is_probably_misspelt_is_said_beside_the_answer(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], said: str
) -> None:
    assert main([command, *arguments]) in (0, 1)
    err = capsys.readouterr().err
    assert said in err
    assert bool(err) is bool(said)


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [pytest.param("tenant=t", True, id="without an id"), pytest.param("id=nobody,tenant=t", False, id="with one")],
)
def test_a_subject_without_an_id_has_none(tmp_path: Path, subject: str, allowed: bool) -> None:
    path = tmp_path / "p.polar"
    path.write_text('allow(s: Subject, "get_image", _i: Image) if not s.id = "nobody" and not s.id = "";\n')
    status = main(["decide", str(path), *asked("image:1", "owner=t", subject=subject)[1:]])
    assert status == (0 if allowed else 1)


def test_what_is_wrong_on_standard_input_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"subject": 1, "subject": 2}')))
    assert main(["decide", "-"]) == 2
    assert "standard input has the key `subject` twice" in capsys.readouterr().err
