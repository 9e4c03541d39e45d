"""The story, told by the real command line clients against a real Glance behind the filter with the shipped rules."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import GLANCE_ENV, ROOT, Glance

OWNER = "olivia:t1:member,reader"
MEMBER = "mike:t2:member,reader"
STRANGER = "sam:t3:member,reader"
ADMIN = "ada:ops:admin,member,reader"
SERVICE = "olivia:t1:member,reader:service"
CALLED_SERVICE = "olivia:t1:member,reader,service"

# What the clients say of a status.
FORBIDDEN = "403"
NOT_FOUND = "404|No Image found"

DATA = b"an image " * 1000


@dataclass(frozen=True)
class Client:
    """The command line clients of one Glance, each caller with a home of its own: they keep schemas there."""

    glance: Glance
    home: Path

    def run(self, program: str, *arguments: str, token: str) -> subprocess.CompletedProcess[str]:
        home = self.home / token.replace(":", "_").replace(",", "_")
        home.mkdir(exist_ok=True)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        return subprocess.run(
            [GLANCE_ENV / "bin" / program, *arguments],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def glanceclient(self, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ("--os-image-url", self.glance.url, "--os-auth-token", token)
        return self.run("glance", *where, *arguments, token=token)

    def openstack(self, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        endpoint = f"{self.glance.url}/v2"
        where = ("--os-auth-type", "admin_token", "--os-endpoint", endpoint, "--os-token", token)
        return self.run("openstack", *where, "image", *arguments, token=token)


def worked(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, f"{run.args}\n{run.stdout}{run.stderr}"
    return run.stdout


def refused(run: subprocess.CompletedProcess[str], how: str) -> str:
    assert run.returncode != 0, run.stdout
    assert re.search(how, run.stderr), run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def glance(start_glance: StartGlance) -> Glance:
    hidden = ROOT / "rules" / "variants" / "hidden_property.polar"
    return start_glance(protect={"policy": f"{ROOT / 'rules'} {hidden}"})


@pytest.fixture(scope="module")
def client(glance: Glance, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(glance, tmp_path_factory.mktemp("home"))


def new_image(glance: Glance, **attributes: Any) -> str:
    image = glance.create(OWNER, name="mine", disk_format="raw", container_format="bare", **attributes)
    glance.upload(OWNER, image, DATA)
    return image


def without_date(image: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in image.items() if name != "updated_at"}


def test_glanceclient_an_owner_cannot_change_what_the_admin_set(glance: Glance, client: Client) -> None:
    image = new_image(glance)
    worked(client.glanceclient(ADMIN, "image-update", "--property", "kernel_id=k1", image))
    before = glance.show(ADMIN, image)
    assert before["kernel_id"] == "k1"

    assert "k1" in worked(client.glanceclient(OWNER, "image-show", image))
    refused(client.glanceclient(OWNER, "image-update", "--property", "kernel_id=evil", image), FORBIDDEN)
    refused(client.glanceclient(OWNER, "image-update", "--remove-property", "kernel_id", image), FORBIDDEN)
    both = ("--property", "os_type=linux", "--property", "kernel_id=evil")
    refused(client.glanceclient(OWNER, "image-update", *both, image), FORBIDDEN)
    assert glance.show(ADMIN, image) == before

    worked(client.glanceclient(OWNER, "image-update", "--property", "os_type=linux", image))
    assert without_date(glance.show(ADMIN, image)) == without_date(before) | {"os_type": "linux"}


def test_openstack_an_owner_cannot_change_what_the_admin_set(glance: Glance, client: Client) -> None:
    image = new_image(glance)
    worked(client.openstack(ADMIN, "set", "--property", "kernel_id=k1", image))
    before = glance.show(ADMIN, image)
    assert before["kernel_id"] == "k1"

    refused(client.openstack(OWNER, "set", "--property", "kernel_id=evil", image), FORBIDDEN)
    refused(client.openstack(OWNER, "unset", "--property", "kernel_id", image), FORBIDDEN)
    assert glance.show(ADMIN, image) == before

    worked(client.openstack(OWNER, "set", "--property", "os_type=linux", image))
    assert without_date(glance.show(ADMIN, image)) == without_date(before) | {"os_type": "linux"}


def test_an_owner_cannot_create_an_image_with_a_magic_property(glance: Glance, client: Client) -> None:
    kind = ("--disk-format", "raw", "--container-format", "bare")

    refused(client.openstack(OWNER, "create", *kind, "--property", "kernel_id=evil", "made"), FORBIDDEN)
    assert glance.call("GET", "/v2/images?name=made", ADMIN).json["images"] == []

    worked(client.openstack(OWNER, "create", *kind, "--property", "os_type=linux", "made"))
    (made,) = glance.call("GET", "/v2/images?name=made", ADMIN).json["images"]
    assert made["os_type"] == "linux"


@pytest.mark.parametrize("program", ["glanceclient", "openstack"])
def test_a_member_downloads_what_is_shared_with_it(glance: Glance, client: Client, program: str) -> None:
    image = new_image(glance, visibility="shared")
    saved = client.home / f"saved-{program}"

    def download(token: str) -> subprocess.CompletedProcess[str]:
        if program == "openstack":
            return client.openstack(token, "save", "--file", str(saved), image)
        return client.glanceclient(token, "image-download", "--file", str(saved), image)

    # Sharing is glanceclient's in both: `openstack` looks the tenant up in Keystone first.
    def share(token: str) -> subprocess.CompletedProcess[str]:
        return client.glanceclient(token, "member-create", image, "t2")

    def accept(token: str) -> subprocess.CompletedProcess[str]:
        return client.glanceclient(token, "member-update", image, "t2", "accepted")

    assert DATA[:20].decode() not in refused(download(MEMBER), NOT_FOUND)
    assert not saved.exists() or saved.read_bytes() == b""
    refused(share(STRANGER), NOT_FOUND)
    worked(share(ADMIN))
    members = f"/v2/images/{image}/members"
    assert [each["status"] for each in glance.call("GET", members, OWNER).json["members"]] == ["pending"]
    refused(accept(OWNER), FORBIDDEN)
    worked(accept(MEMBER))
    assert [each["status"] for each in glance.call("GET", members, OWNER).json["members"]] == ["accepted"]

    worked(download(MEMBER))
    assert saved.read_bytes() == DATA
    saved.unlink()
    refused(download(STRANGER), NOT_FOUND)


def test_a_hidden_property_survives_its_owner_s_own_edits(glance: Glance, client: Client) -> None:
    image = new_image(glance)
    worked(client.glanceclient(ADMIN, "image-update", "--property", "cost_centre=4711", image))

    seen = [
        worked(client.glanceclient(OWNER, "image-show", image)),
        worked(client.openstack(OWNER, "show", image)),
        worked(client.openstack(OWNER, "list", "--long", "--property", "cost_centre=4711")),
        worked(client.glanceclient(OWNER, "image-update", "--name", "renamed", image)),
        worked(client.openstack(OWNER, "set", "--property", "os_type=linux", image)),
        worked(client.glanceclient(OWNER, "image-tag-update", image, "gold")),
        worked(client.openstack(OWNER, "set", "--tag", "silver", image)),
        worked(client.glanceclient(OWNER, "image-deactivate", image)),
        worked(client.glanceclient(OWNER, "image-reactivate", image)),
        refused(client.glanceclient(OWNER, "image-update", "--property", "cost_centre=0", image), FORBIDDEN),
        refused(client.openstack(OWNER, "set", "--property", "cost_centre=0", image), FORBIDDEN),
    ]

    assert not [output for output in seen if "4711" in output]
    assert image not in seen[2]
    truth = glance.show(ADMIN, image)
    assert truth["cost_centre"] == "4711"
    assert (truth["name"], truth["os_type"], set(truth["tags"])) == ("renamed", "linux", {"gold", "silver"})
    assert "4711" in worked(client.openstack(ADMIN, "show", image))


def test_a_hidden_property_survives_an_upload(glance: Glance, client: Client) -> None:
    image = glance.create(ADMIN, owner="t1", disk_format="raw", container_format="bare", cost_centre="4711")
    data = client.home / "data"
    data.write_bytes(DATA)

    worked(client.glanceclient(OWNER, "image-upload", "--file", str(data), image))

    truth = glance.show(ADMIN, image)
    assert (truth["status"], truth["size"], truth["cost_centre"]) == ("active", len(DATA), "4711")
    assert "cost_centre" not in glance.show(OWNER, image)


def test_a_service_sets_magic_properties_for_its_user(glance: Glance, client: Client) -> None:
    image = new_image(glance)

    refused(client.glanceclient(CALLED_SERVICE, "image-update", "--property", "kernel_id=k2", image), FORBIDDEN)
    worked(client.glanceclient(SERVICE, "image-update", "--property", "kernel_id=k2", image))

    assert glance.show(OWNER, image)["kernel_id"] == "k2"
    worked(client.openstack(SERVICE, "set", "--property", "ramdisk_id=r2", image))
    assert glance.show(OWNER, image)["ramdisk_id"] == "r2"
