"""The harness itself: a Glance starts, knows who asks, refuses what Glance refuses, and stops."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import Glance, running_glance

OWNER = "olivia:t1:member,reader"
READER = "rita:t1:reader"
STRANGER = "sam:t2:member,reader"
ADMIN = "ada:ops:admin,member,reader"


@pytest.fixture(scope="module", params=[None, {}], ids=["alone", "behind the shipped rules"])
def glance(start_glance: StartGlance, request: pytest.FixtureRequest) -> Glance:
    return start_glance(protect=request.param)


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(OWNER, 200, id="the owner sees a private image"),
        pytest.param(READER, 200, id="a reader of the tenant does"),
        pytest.param(STRANGER, 404, id="another tenant does not"),
        pytest.param(ADMIN, 200, id="an admin does"),
        pytest.param("nonsense", 401, id="a bad token does not"),
        pytest.param(None, 401, id="no token does not"),
    ],
)
def test_identity(glance: Glance, token: str | None, status: int) -> None:
    image = glance.create(OWNER, visibility="private")

    assert glance.call("GET", f"/v2/images/{image}", token).status == status


def test_a_client_cannot_speak_for_itself(glance: Glance) -> None:
    image = glance.create(OWNER, visibility="private")
    forged = {
        "X-Roles": "admin",
        "X-Identity-Status": "Confirmed",
        "X-Project-Id": "t1",
        "X-User-Id": "olivia",
    }

    assert glance.call("GET", f"/v2/images/{image}", "nonsense", headers=forged).status == 401
    assert glance.call("GET", f"/v2/images/{image}", STRANGER, headers=forged).status == 404


def test_data_go_in_and_come_out(glance: Glance) -> None:
    image = glance.create(OWNER, disk_format="raw", container_format="bare")
    glance.upload(OWNER, image, b"data" * 1000)

    assert glance.call("GET", f"/v2/images/{image}/file", OWNER).body == b"data" * 1000
    assert glance.call("GET", f"/v2/images/{image}/file", STRANGER).status == 404


def test_nothing_is_left_when_it_has_stopped(glance_database: Path, tmp_path: Path) -> None:
    with running_glance(tmp_path, glance_database) as glance:
        pids = [glance.pid, *glance.worker_pids()]
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)

    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_one_that_cannot_start_says_why(glance_database: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="Store for identifier store1 not found"),
        running_glance(tmp_path, glance_database, options="enabled_backends = nothing_such:nothing_such"),
    ):
        pass
