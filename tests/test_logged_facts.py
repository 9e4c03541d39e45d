"""What a decision log with facts says, and that a decision can be made again from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from protect.cli import main
from protect.factories import filter_factory
from protect.glance.patches import V21
from protect.identity.keystone import VERIFIED
from tests.image_api import ImageApi, image

IDENTITY = {
    "X-Identity-Status": "Confirmed",
    "X-User-Id": "u1",
    "X-Project-Id": "t1",
    "X-Roles": "member,reader",
    "Accept": "application/json",
}
SECRET = "hunter2"
NARROWER = """\
allow(subject: Subject, _action, image: Image) if
    subject.has_role("member") and image.owner = subject.tenant and image.visibility = "private";
allow(_subject: Subject, _action, _property: Property);
"""


@pytest.fixture
def lines() -> Iterator[list[str]]:
    logger, found = logging.getLogger("protect.decisions"), list[str]()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler, level = Keep(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def asked(**options: str) -> None:
    """Show, change and download images through a filter with these options."""
    api = ImageApi(
        image(1, owner="t1", visibility="private", kernel_id=SECRET),
        image(2, owner="t2", visibility="public", tags=[SECRET]),
    )
    app: Any = filter_factory({}, decision_log="all", reload="0", **options)(api)
    first, second = api.images
    for method, path, body in (
        ("GET", f"/v2/images/{first}", None),
        ("GET", f"/v2/images/{second}", None),
        ("GET", f"/v2/images/{second}/file", None),
        ("PATCH", f"/v2/images/{first}", [{"op": "replace", "path": "/kernel_id", "value": SECRET}]),
        ("POST", "/v2/images", {"name": SECRET, "password": SECRET}),
    ):
        request = Request.blank(path, {VERIFIED: object()}, method=method, headers=IDENTITY)
        if body is not None:
            request.body = json.dumps(body).encode()
            request.content_type = V21 if method == "PATCH" else "application/json"
        request.get_response(app)


def test_a_decision_is_made_again_from_its_line(
    lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(decision_log_facts="yes")
    log, same, other = tmp_path / "log", Path("rules"), tmp_path / "other.polar"
    log.write_text("\n".join(lines))
    other.write_text(NARROWER)

    assert main(["replay", str(log), str(same)]) == 0
    capsys.readouterr()
    assert main(["replay", "--format", "json", str(log), str(other)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["same"], report["otherwise"], report["cannot_say"]) == (5, 4, 0)
    assert {(change["direction"], change["action"]) for change in report["changes"]} == {
        ("wider", "update"),
        ("narrower", "get_image"),
        ("narrower", "download_image"),
        ("narrower", "add_image"),
    }


def test_without_the_option_a_line_has_no_facts(lines: list[str]) -> None:
    asked()
    assert lines
    assert all("facts" not in json.loads(line) for line in lines)


def test_facts_hold_no_secret(lines: list[str]) -> None:
    asked(decision_log_facts="yes")
    assert all("facts" in json.loads(line) for line in lines)
    assert SECRET not in "".join(lines)
