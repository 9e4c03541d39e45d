"""A real Glance without our filter, whose policy file asks the decision endpoint: `protect:` and `http:` checks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.glance.server import ROOT, Glance, running_glance
from tests.pipeline_servers import Served, served

OWNER = "olivia:t1:member,reader"
MEMBER = "mike:t2:member,reader"
STRANGER = "sam:t3:member,reader"
ADMIN = "ada:ops:admin,member,reader"
NOBODY = "nina:t1:guest"

TOKEN = "a-token-for-the-tests-0123456789-abcdef"

SIDECAR = """\
[app:main]
paste.app_factory = protect.factories:decision_factory
policy = {policy}
{options}
"""

POLICY = """\
forbid(subject: Subject, "download_image", image: Image) if image.get("embargo") = "yes" and not image_admin(subject);
forbid(subject: Subject, "modify_image", image: Image) if image.has_tag("golden") and not image_admin(subject);
"""

RULES = (
    *("get_image", "get_images", "add_image", "modify_image", "delete_image", "upload_image", "download_image"),
    *("publicize_image", "communitize_image", "deactivate", "reactivate", "get_image_location"),
    *("get_member", "get_members", "add_member", "modify_member", "delete_member", "tasks_api_access"),
    *("get_metadef_namespace", "get_metadef_namespaces", "add_metadef_namespace", "delete_metadef_namespace"),
)


@dataclass(frozen=True)
class Asking:
    """A Glance, and the decision endpoint that it asks."""

    glance: Glance
    sidecar: Served

    def use(self, rules: Mapping[str, str]) -> None:
        """Give Glance other rules, `@` where none is given: it looks at the file's time before each question.

        A rule that is not in the file any more would stay as it was.
        """
        path = self.glance.directory / "none.yaml"
        before = path.stat().st_mtime
        path.write_text("\n".join(f'"{rule}": "{rules.get(rule, "@")}"' for rule in RULES))
        while path.stat().st_mtime == before:
            time.sleep(0.01)
            path.touch()


@pytest.fixture(scope="module")
def asking(glance_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    directory = tmp_path_factory.mktemp("glance")
    tokens, token = directory / "tokens", directory / "token"
    for path, text in ((tokens, f"glance:{TOKEN}\n"), (token, TOKEN)):
        path.touch(mode=0o600)
        path.write_text(text)
    ini = directory / "sidecar.ini"
    extra = directory / "extra.polar"
    extra.write_text(POLICY)
    options = f"authentication = tokens\ntokens = {tokens}"
    ini.write_text(SIDECAR.format(policy=f"{ROOT / 'rules'} {extra}", options=options))
    # What an installed package has beside it: Glance starts in this directory, and finds the check here.
    installed = directory / "protect_check-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: protect-check\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(
        "[oslo.policy.rule_checks]\nprotect = protect.oslo_policy:ProtectCheck\n"
    )
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROTECT_TOKEN_FILE", str(token))
        sidecar = stack.enter_context(served(ini, "gunicorn"))
        glance = stack.enter_context(running_glance(directory, glance_database))
        yield Asking(glance, sidecar)


@pytest.fixture(scope="module")
def open_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A decision endpoint for plain checks, which have no token to show."""
    directory = tmp_path_factory.mktemp("sidecar")
    extra = directory / "extra.polar"
    extra.write_text(POLICY)
    ini = directory / "sidecar.ini"
    ini.write_text(SIDECAR.format(policy=f"{ROOT / 'rules'} {extra}", options="authentication = off"))
    with served(ini, "gunicorn") as sidecar:
        yield sidecar


@pytest.fixture
def glance(asking: Asking) -> Glance:
    """A Glance that asks for every rule with the check `protect:`."""
    asking.use(dict.fromkeys(RULES, f"protect:{asking.sidecar.url}"))
    return asking.glance


@pytest.fixture
def plain_glance(asking: Asking, open_sidecar: Served) -> Glance:
    """A Glance that asks with plain `http:` checks where it can.

    To ask about an image that is there, oslo.policy copies Glance's own object first, and fails over it: a 500.
    """
    plain = (*(rule for rule in RULES if "_metadef" in rule), "tasks_api_access", "get_images", "add_image")
    ours = dict.fromkeys(RULES, f"protect:{asking.sidecar.url}")
    asking.use(ours | {rule: f"{open_sidecar.url}/oslo/{rule}" for rule in plain})
    return asking.glance


def new_image(glance: Glance, token: str = OWNER, **attributes: Any) -> str:
    image = glance.create(token, disk_format="raw", container_format="bare", **attributes)
    glance.upload(token, image, b"data")
    return image


def status(glance: Glance, token: str, method: str, path: str, body: Any = None) -> int:
    return glance.call(method, path, token, body).status


def test_who_may_see_and_change_an_image(glance: Glance) -> None:
    image = new_image(glance, visibility="private")
    rename = {"op": "replace", "path": "/name", "value": "n"}

    assert {who: status(glance, who, "GET", f"/v2/images/{image}") for who in (OWNER, STRANGER, ADMIN)} == {
        OWNER: 200,
        STRANGER: 404,
        ADMIN: 200,
    }
    assert glance.patch(OWNER, image, rename).status == 200
    assert glance.patch(STRANGER, image, rename).status == 404
    publish = {"op": "replace", "path": "/visibility", "value": "public"}
    assert glance.patch(OWNER, image, publish).status == 403
    assert glance.patch(ADMIN, image, publish).status == 200
    assert status(glance, STRANGER, "GET", f"/v2/images/{image}") == 200
    assert glance.patch(STRANGER, image, rename).status == 403
    assert status(glance, STRANGER, "DELETE", f"/v2/images/{image}") == 403
    assert status(glance, OWNER, "DELETE", f"/v2/images/{image}") == 204


def test_a_list_shows_what_may_be_seen(glance: Glance) -> None:
    image = new_image(glance, visibility="private")

    seen = {who: glance.call("GET", "/v2/images?limit=100", who).json["images"] for who in (OWNER, STRANGER)}

    assert {who: image in [row["id"] for row in rows] for who, rows in seen.items()} == {OWNER: True, STRANGER: False}


def test_an_image_is_shared_with_its_members(glance: Glance) -> None:
    image = new_image(glance, visibility="shared")
    members = f"/v2/images/{image}/members"

    assert status(glance, MEMBER, "GET", f"/v2/images/{image}") == 404
    assert status(glance, OWNER, "POST", members, {"member": "t2"}) == 200
    assert status(glance, MEMBER, "GET", f"/v2/images/{image}/file") == 200
    assert status(glance, MEMBER, "PUT", f"{members}/t2", {"status": "accepted"}) == 200
    assert status(glance, OWNER, "PUT", f"{members}/t2", {"status": "rejected"}) == 403
    assert status(glance, MEMBER, "POST", members, {"member": "t3"}) == 403
    assert status(glance, STRANGER, "GET", f"/v2/images/{image}") == 404
    assert status(glance, OWNER, "DELETE", f"{members}/t2") == 204


def test_tags_are_told(glance: Glance) -> None:
    golden, plain = (new_image(glance, visibility="private", tags=tags) for tags in (["golden"], ["other"]))
    rename = {"op": "replace", "path": "/name", "value": "n"}

    assert [glance.patch(OWNER, image, rename).status for image in (golden, plain)] == [403, 200]
    assert glance.patch(ADMIN, golden, rename).status == 200


def test_what_else_glance_asks_about(glance: Glance) -> None:
    asked_about_tasks_and_definitions(glance)


def asked_about_tasks_and_definitions(glance: Glance) -> None:
    assert [status(glance, who, "GET", "/v2/tasks") for who in (ADMIN, OWNER)] == [200, 403]
    assert [status(glance, who, "GET", "/v2/metadefs/namespaces") for who in (ADMIN, OWNER)] == [200, 200]
    namespace = {"namespace": "ns", "visibility": "private"}
    assert status(glance, OWNER, "POST", "/v2/metadefs/namespaces", namespace) == 403
    assert status(glance, ADMIN, "POST", "/v2/metadefs/namespaces", namespace) == 201
    assert [status(glance, who, "GET", "/v2/metadefs/namespaces/ns") for who in (ADMIN, OWNER)] == [200, 404]
    assert status(glance, ADMIN, "DELETE", "/v2/metadefs/namespaces/ns") == 204


def test_plain_checks_are_answered(plain_glance: Glance) -> None:
    asked_about_tasks_and_definitions(plain_glance)
    created = {who: status(plain_glance, who, "POST", "/v2/images", {"owner": "t1"}) for who in (OWNER, STRANGER)}

    assert created == {OWNER: 201, STRANGER: 403}
    assert [status(plain_glance, who, "GET", "/v2/images") for who in (OWNER, NOBODY)] == [200, 403]


def test_custom_properties_are_told(glance: Glance) -> None:
    held, free = (new_image(glance, visibility="private", embargo=value) for value in ("yes", "no"))

    assert [status(glance, OWNER, "GET", f"/v2/images/{image}/file") for image in (held, free)] == [403, 200]
    assert status(glance, ADMIN, "GET", f"/v2/images/{held}/file") == 200


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("protect:http://127.0.0.1:1", id="nobody listens"),
        pytest.param("protect:unix:/nowhere.sock", id="no such socket"),
        pytest.param("protect:nonsense", id="no address"),
        pytest.param("protect:{sidecar}/elsewhere", id="an answer that is none"),
    ],
)
def test_without_a_decision_everything_is_denied_and_nothing_fails(asking: Asking, rule: str) -> None:
    asking.use({})
    image = new_image(asking.glance, visibility="private")

    asking.use({"get_image": rule.format(sidecar=asking.sidecar.url)})

    assert [status(asking.glance, who, "GET", f"/v2/images/{image}") for who in (OWNER, ADMIN)] == [404, 404]
    assert "denied `get_image` without a decision" in asking.glance.log()


def test_a_wrong_token_is_a_denial(asking: Asking) -> None:
    asking.use({})
    image = new_image(asking.glance, visibility="private")
    token = asking.glance.directory / "token"
    asking.use({"get_image": f"protect:{asking.sidecar.url}"})
    assert status(asking.glance, OWNER, "GET", f"/v2/images/{image}") == 200

    token.write_text("another-token-0123456789-0123456789")
    try:
        assert status(asking.glance, OWNER, "GET", f"/v2/images/{image}") == 404
    finally:
        token.write_text(TOKEN)
    assert status(asking.glance, OWNER, "GET", f"/v2/images/{image}") == 200
    assert TOKEN not in asking.glance.log(1 << 20)
