"""Who may do what to which property under the shipped rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protect.policy import Policy
from protect.values import Image, Property, Query, Subject

RULES = Path(__file__).parents[2] / "rules"

OWNER = Subject("o", "t", roles=frozenset({"member", "reader"}))
READER = Subject("r", "t", roles=frozenset({"reader"}))
STRANGER = Subject("s", "other", roles=frozenset({"member", "reader"}))
ADMIN = Subject("a", "ops", roles=frozenset({"admin"}))
SERVICE = Subject("o", "t", roles=frozenset({"member", "reader"}), service_roles=frozenset({"service"}))
OTHER_SERVICE = Subject("o", "t", roles=frozenset({"member", "reader"}), service_roles=frozenset({"reader"}))
CALLED_SERVICE = Subject("o", "t", roles=frozenset({"member", "reader", "service"}))

PRIVATE = Image("i", "t", "private")
PUBLIC = Image("i", "t", "public")
SHARED = Image("i", "t", "shared", members={"other": "accepted"})
OWNERLESS = Image("i", None, "public")

WRITES = ("create", "update", "delete")


def magic_names() -> list[str]:
    return re.findall(r'^magic\("(.+)"\);$', (RULES / "properties.polar").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load()


def allowed(policy: Policy, subject: Subject, action: str, name: str, image: Image = PRIVATE) -> bool:
    decision = policy.decide(Query(subject, action, Property(name, image, "x")))
    assert not decision.error, decision.reason
    return decision.allowed


def test_the_properties_that_the_compute_service_boots_by_are_magic() -> None:
    boots_by = {"kernel_id", "ramdisk_id", "block_device_mapping", "instance_uuid", "image_type"}

    assert boots_by <= set(magic_names())


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(ADMIN, True, id="an admin writes it"),
        pytest.param(SERVICE, True, id="a trusted service writes it on its user's image"),
        pytest.param(OWNER, False, id="the owner does not"),
        pytest.param(OTHER_SERVICE, False, id="a service with another role does not"),
        pytest.param(CALLED_SERVICE, False, id="a user with a role called service does not"),
        pytest.param(STRANGER, False, id="another tenant does not"),
    ],
)
@pytest.mark.parametrize("name", magic_names())
def test_magic_properties_are_written_by_admins_and_services(
    policy: Policy, name: str, subject: Subject, expected: bool
) -> None:
    assert [allowed(policy, subject, action, name) for action in WRITES] == [expected] * 3


@pytest.mark.parametrize("name", magic_names())
def test_another_spelling_of_a_magic_name_is_as_magic(policy: Policy, name: str) -> None:
    for spelling in (name.upper(), name.title(), f"{name} ", f" {name}"):
        assert not allowed(policy, OWNER, "create", spelling)
        assert allowed(policy, ADMIN, "create", spelling)


@pytest.mark.parametrize(
    "name",
    [
        "hw_disk_bus",
        "os_type",
        "trait:HW_CPU_X86_VMX",
        "img_signature",
        "owner_specified.openstack.md5",
        "architecture",
        "kernel_id2",
        "my_kernel_id",
        "kernel id",
        "",
        "x_os_glance",
        "é",
    ],
)
@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(OWNER, True, id="the owner"),
        pytest.param(ADMIN, True, id="an admin"),
        pytest.param(SERVICE, True, id="a service for the owner"),
        pytest.param(READER, False, id="not a reader of the owner's tenant"),
        pytest.param(STRANGER, False, id="not another tenant"),
    ],
)
def test_other_properties_are_written_by_whoever_may_modify_the_image(
    policy: Policy, name: str, subject: Subject, expected: bool
) -> None:
    assert [allowed(policy, subject, action, name) for action in WRITES] == [expected] * 3


@pytest.mark.parametrize("name", ["kernel_id", "os_type", "os_glance_importing_to_stores"])
@pytest.mark.parametrize(
    ("subject", "image", "expected"),
    [
        pytest.param(READER, PRIVATE, True, id="a reader of the owner's tenant"),
        pytest.param(STRANGER, PRIVATE, False, id="not another tenant"),
        pytest.param(STRANGER, PUBLIC, True, id="everyone of a public image"),
        pytest.param(STRANGER, SHARED, True, id="a member of a shared image"),
        pytest.param(ADMIN, PRIVATE, True, id="an admin"),
        pytest.param(Subject(), PUBLIC, False, id="not a subject without roles"),
    ],
)
def test_properties_are_read_by_whoever_may_read_the_image(
    policy: Policy, name: str, subject: Subject, image: Image, expected: bool
) -> None:
    assert allowed(policy, subject, "read", name, image) is expected


@pytest.mark.parametrize("subject", [OWNER, SERVICE, ADMIN], ids=["owner", "service", "admin"])
@pytest.mark.parametrize("action", WRITES)
def test_the_api_s_own_prefix_is_written_by_nobody(policy: Policy, subject: Subject, action: str) -> None:
    assert not allowed(policy, subject, action, "os_glance_stage_host")
    assert not allowed(policy, subject, action, "os_glance")
    assert allowed(policy, subject, action, "os_glancing")
    assert allowed(policy, subject, action, "my_os_glance")


def test_nobody_owns_an_image_without_an_owner(policy: Policy) -> None:
    unscoped = Subject("u", None, roles=frozenset({"member", "reader"}))

    assert allowed(policy, unscoped, "update", "os_type", OWNERLESS) is False
    assert allowed(policy, ADMIN, "update", "os_type", OWNERLESS)


def test_an_unknown_action_on_a_property_is_refused(policy: Policy) -> None:
    assert not allowed(policy, ADMIN, "rename", "os_type")
    assert allowed(policy, ADMIN, "update", "os_type")


def test_the_example_of_discard_works_once_it_is_uncommented(tmp_path: Path) -> None:
    (example,) = re.findall(r"^# (discard\(.+;)$", (RULES / "properties.polar").read_text(), re.MULTILINE)
    (tmp_path / "discard.polar").write_text(example)
    policy = Policy.load([str(RULES), str(tmp_path / "discard.polar")])

    def dropped(name: str, subject: Subject) -> bool:
        return policy.decide(Query(subject, "create", Property(name, PRIVATE, "x"))).discard

    assert dropped("kernel_id", OWNER)
    assert not dropped("kernel_id", ADMIN)
    assert not dropped("os_glance_x", OWNER)
