"""The pipeline that Glance ships, with keystonemiddleware in it: who asks is whom Keystone says, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.keystone import running_keystone
from tests.glance.server import Glance

ADMIN = "ada:ops:admin,member,reader"
OWNER = "olivia:t1:member,reader"
STRANGER = "stan:t2:member,reader"


@pytest.fixture(scope="module")
def glance(start_glance: StartGlance) -> Iterator[Glance]:
    with running_keystone() as address:
        yield start_glance(protect={}, keystone=address)


@pytest.fixture(scope="module")
def image(glance: Glance) -> str:
    return glance.create(ADMIN, owner="t1", name="disk", kernel_id="k", colour="red")


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(ADMIN, 200, id="an admin"),
        pytest.param(OWNER, 200, id="the owner"),
        pytest.param(STRANGER, 404, id="a stranger"),
        pytest.param(None, 401, id="nobody"),
    ],
)
def test_a_token_says_who_asks(glance: Glance, image: str, token: str | None, status: int) -> None:
    assert glance.call("GET", f"/v2/images/{image}", token).status == status


def test_what_keystone_says_of_roles_decides_on_a_property(glance: Glance, image: str) -> None:
    for token, name, status in ((OWNER, "kernel_id", 403), (OWNER, "colour", 200), (ADMIN, "kernel_id", 200)):
        reply = glance.patch(token, image, {"op": "replace", "path": f"/{name}", "value": "new"})
        assert reply.status == status, (token, name, str(reply))


@pytest.mark.parametrize("token", [STRANGER, None])
def test_headers_of_the_client_say_nothing(glance: Glance, image: str, token: str | None) -> None:
    forged = {
        "X-Identity-Status": "Confirmed",
        "X-User-Id": "ada",
        "X-Project-Id": "ops",
        "X-Roles": "admin",
        "X-Service-Identity-Status": "Confirmed",
        "X-Service-Roles": "service",
        "X-Is-Admin-Project": "True",
    }
    plain = glance.call("GET", f"/v2/images/{image}", token)
    assert glance.call("GET", f"/v2/images/{image}", token, headers=forged).status == plain.status in (401, 404)
