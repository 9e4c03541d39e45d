"""A real Glance behind the filter: lists show what is shared with those who ask, also with those it calls admins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import ROOT, Glance
from tests.glance.test_proxy import INI
from tests.pipeline_servers import served

OWNER = "olivia:t1:member,reader"
#: Of the operator's auditors Glance thinks as of admins; our rules do not.
MEMBER, AUDITOR, STRANGER = "mia:t2:member,reader", "aud:t2:auditor,reader", "sam:t3:member,reader"
ADMIN = "ada:ops:admin,member,reader"
STATUSES = ("accepted", "pending", "rejected")
EACH = 12

RULES = str(ROOT / "rules")
#: Only those who have accepted see what is shared with them.
ACCEPTED = """\
allow(subject: Subject, "get_images", _image: Image) if subject.has_role("reader");
allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;
allow(subject: Subject, "get_image", image: Image) if image.shared_with(subject);
allow(_subject: Subject, "read", _property: Property);
allow(_subject: Subject, action, _resource) if action in ["add_image", "add_member", "get_member", "modify_member"];
"""


@pytest.fixture(scope="module")
def images(start_glance: StartGlance) -> tuple[Glance, dict[str, str]]:
    """Return a Glance without a filter, and of each image that is shared with `t2` the status of its membership."""
    glance = start_glance()
    (glance.directory / "none.yaml").write_text('"context_is_admin": "role:admin or role:auditor"\n')
    found: dict[str, str] = {}
    for number in range(3 * EACH):
        image = glance.create(OWNER, name=f"shared {number}", visibility="shared", os_distro="x")
        assert glance.call("POST", f"/v2/images/{image}/members", OWNER, {"member": "t2"}).status == 200
        found[image] = STATUSES[number % 3]
        if found[image] != "pending":
            status = {"status": found[image]}
            assert glance.call("PUT", f"/v2/images/{image}/members/t2", MEMBER, status).status == 200
        # What nobody has shared with them, and what is theirs.
        other = glance.create(OWNER, name=f"other {number}", visibility="shared", os_distro="x")
        assert glance.call("POST", f"/v2/images/{other}/members", OWNER, {"member": "t4"}).status == 200
    for number in range(3):
        glance.create(MEMBER, name=f"own {number}", visibility="shared", os_distro="x")
    return glance, found


@pytest.fixture(scope="module", params=["shipped", "accepted"])
def proxied(
    request: pytest.FixtureRequest,
    images: tuple[Glance, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Glance, str]]:
    directory = tmp_path_factory.mktemp("proxy")
    policy = RULES
    if request.param == "accepted":
        policy = str(directory / "accepted.polar")
        (directory / "accepted.polar").write_text(ACCEPTED)
    (directory / "proxy.ini").write_text(INI.format(upstream=images[0].url, policy=policy))
    with served(directory / "proxy.ini", "gunicorn") as proxy:
        yield dataclasses.replace(images[0], port=proxy.port), request.param


def shown(glance: Glance, token: str, query: str) -> set[str]:
    reply = glance.call("GET", f"/v2/images?limit=1000&{query}", token)
    assert reply.status == 200, str(reply)
    return {image["id"] for image in reply.json["images"] if image["owner"] == "t1"}


@pytest.mark.parametrize("asked", [*STATUSES, "all"])
@pytest.mark.parametrize("query", ["", "os_distro=x&"])
@pytest.mark.parametrize("token", [MEMBER, AUDITOR], ids=["a member", "an admin of Glance"])
def test_a_list_shows_what_is_shared(
    proxied: tuple[Glance, str], images: tuple[Glance, dict[str, str]], token: str, query: str, asked: str
) -> None:
    glance, rules = proxied
    seen = {"shipped": set(STATUSES), "accepted": {"accepted"}}[rules]
    # For its admins Glance ignores the status that a list is asked for.
    wanted = set(STATUSES) if token == AUDITOR or asked == "all" else {asked}

    found = shown(glance, token, f"{query}member_status={asked}")

    assert found == {image for image, status in images[1].items() if status in seen & wanted}


def test_nobody_else_is_shown_them(proxied: tuple[Glance, str]) -> None:
    for token in (STRANGER, "aud:t3:auditor,reader"):
        assert shown(proxied[0], token, "member_status=all") == set()


def test_what_glance_calls_an_admin_sees_everything_in_both_lists(images: tuple[Glance, dict[str, str]]) -> None:
    """What the filter relies on: for others a status is in one list, for admins every list shows all."""
    glance, statuses = images
    ids = f"visibility=shared&id=in:{','.join(list(statuses)[:9])}"
    lists = {
        token: [shown(glance, token, f"{ids}&member_status={status}") for status in STATUSES]
        for token in (MEMBER, AUDITOR, STRANGER, ADMIN)
    }
    assert lists[AUDITOR] == lists[ADMIN] == [set(list(statuses)[:9])] * 3
    assert lists[STRANGER] == [set()] * 3
    assert lists[MEMBER] == [{image for image in list(statuses)[:9] if statuses[image] == each} for each in STATUSES]


def test_a_status_that_changes_counts_at_once(
    proxied: tuple[Glance, str], images: tuple[Glance, dict[str, str]]
) -> None:
    glance, _ = proxied
    image = next(image for image, status in images[1].items() if status == "accepted")
    path = f"/v2/images/{image}/members/t2"
    assert image in shown(glance, MEMBER, "member_status=all")
    try:
        assert images[0].call("DELETE", path, OWNER).status == 204
        assert image not in shown(glance, MEMBER, "member_status=all")
        assert image not in shown(glance, AUDITOR, "member_status=all")
    finally:
        members = path.removesuffix("/t2")
        assert images[0].call("POST", members, OWNER, {"member": "t2"}).status == 200
        assert images[0].call("PUT", path, MEMBER, {"status": "accepted"}).status == 200
