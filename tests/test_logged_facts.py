"""What a decision log with facts says, and that a decision can be made again from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from protect.cli import main
from protect.enforcement.logged_facts import logged_facts
from protect.factories import filter_factory
from protect.glance.documents import Document
from protect.glance.patches import V21
from protect.identity.keystone import VERIFIED
from protect.values import Image, Property, Subject
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


REQUESTS: tuple[tuple[str, str, object], ...] = (
    ("GET", "/v2/images/{0}", None),
    ("GET", "/v2/images/{1}", None),
    ("GET", "/v2/images/{1}/file", None),
    ("PATCH", "/v2/images/{0}", [{"op": "replace", "path": "/kernel_id", "value": SECRET}]),
    ("POST", "/v2/images", {"name": SECRET, "password": SECRET}),
)


def asked(requests: Sequence[tuple[str, str, object]] = REQUESTS, *more: Document, **options: str) -> ImageApi:
    """Show, change and download images through a filter with these options."""
    api = ImageApi(
        image(1, owner="t1", visibility="private", kernel_id=SECRET),
        image(2, owner="t2", visibility="public", tags=[SECRET]),
        *more,
    )
    app: Any = filter_factory({}, decision_log="all", reload="0", **options)(api)
    api.members = {image_id: {"t2": "pending"} for image_id in api.images}
    for method, path, body in requests:
        request = Request.blank(path.format(*api.images), {VERIFIED: object()}, method=method, headers=IDENTITY)
        if body is not None:
            request.body = json.dumps(body).encode()
            request.content_type = V21 if method == "PATCH" else "application/json"
        request.get_response(app)
    return api


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
    assert (report["same"], report["otherwise"], report["cannot_say"]) == (6, 4, 0)
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


SHARED = image(3, owner="t2", visibility="shared")
LOOKING: tuple[tuple[str, str, object], ...] = (
    ("DELETE", "/v2/images/{2}/members/t2", None),
    ("GET", "/v2/images/{2}", None),
    ("GET", "/v2/images/{0}/members", None),
    ("GET", "/v2/tasks/11111111-1111-4111-8111-111111111111", None),
    ("DELETE", "/v2/metadefs/namespaces/n", None),
    ("DELETE", "/v2/metadefs/namespaces/n/tags/x", None),
)


@pytest.mark.parametrize("request_", LOOKING, ids=[f"{method} {path}" for method, path, _ in LOOKING])
def test_nothing_is_asked_for_the_sake_of_the_log(
    request_: tuple[str, str, object], lines: list[str], tmp_path: Path
) -> None:
    policy = tmp_path / "all.polar"
    policy.write_text("allow(_subject: Subject, _action, _resource);")
    without = asked([request_], SHARED, policy=str(policy)).calls
    assert asked([request_], SHARED, policy=str(policy), decision_log_facts="yes").calls == without
    assert json.loads(lines[-1])["facts"]


def test_a_membership_that_a_rule_has_asked_for_is_known(lines: list[str]) -> None:
    asked([("GET", "/v2/images/{2}", None)], SHARED, decision_log_facts="yes")
    [line] = map(json.loads, lines)
    assert (line["outcome"], line["facts"]["membership"]) == ("denied", None)


@pytest.mark.parametrize(
    ("subject", "resource", "told", "left_out"),
    [
        pytest.param(Subject(roles=frozenset({"r"})), Image(owner="t"), ("r", "t"), (), id="short ones are told"),
        pytest.param(
            Subject(roles=frozenset({"r" * 300}), service_roles=frozenset({"s"})),
            Image(owner="t"),
            ("s", "t"),
            ("roles",),
            id="a long role leaves out the roles",
        ),
        pytest.param(
            Subject(roles=frozenset(map(str, range(100_000)))),
            Image(owner="t"),
            ("t",),
            ("roles",),
            id="too many roles",
        ),
        pytest.param(
            Subject(),
            Property("x", Image(owner="o" * 300, visibility="private")),
            ("private",),
            ("owner",),
            id="a long owner is left out",
        ),
        pytest.param(Subject(domain="\ud800"), Image(owner="t"), ("t",), ("domain",), id="half a character"),
        pytest.param(Subject(), Image(owner="t", size=2**70), ("t",), ("size",), id="an endless number"),
    ],
)
def test_what_is_too_long_is_left_out_and_never_cut(
    subject: Subject, resource: Image | Property, told: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    found = logged_facts(subject, resource, {})
    text = json.dumps(found)
    assert all(f'"{one}"' in text for one in told)
    assert not any(f'"{name}"' in text for name in left_out)
    assert len(text) < 2000
