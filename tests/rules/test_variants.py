"""Each variant loads together with the default rules and changes what its first line says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from protect.policy import Policy
from protect.values import AnyResource, Image, Member, Property, Query, Store, Subject, Task

RULES = Path(__file__).parents[2] / "rules"
VARIANTS = sorted((RULES / "variants").glob("*.polar"))

OWNER = Subject("o", "t", roles=frozenset({"member", "reader"}))
STRANGER = Subject("s", "other", roles=frozenset({"member", "reader"}))
ADMIN = Subject("a", "ops", roles=frozenset({"admin"}))
SERVICE = Subject("o", "t", roles=frozenset({"member", "reader"}), service_roles=frozenset({"service"}))
DOWNLOADER = Subject("o", "t", roles=frozenset({"member", "reader", "Image_Downloader"}))
PUBLISHER = Subject("p", "publisher", roles=frozenset({"member", "reader"}))
PUBLISHER_READER = Subject("q", "publisher", roles=frozenset({"reader"}))
OPERATOR = Subject("p", "image-operators", roles=frozenset({"member", "reader"}))
OPERATOR_READER = Subject("q", "image-operators", roles=frozenset({"reader"}))

PRIVATE = Image("i", "t", "private")
HIDDEN = Property("cost_centre", PRIVATE, "42")
FOREIGN = Image("j", "u", "private")
PLAIN = Property("os_type", PRIVATE, "linux")
KERNEL = Property("kernel_id", PRIVATE, "k")
SHARE = Member("other", PRIVATE, "pending")


@cache
def spelt(name: str) -> Property:
    """Return a property of the owner's image under another name."""
    return Property(name, PRIVATE, "x")


def with_variant(name: str) -> Policy:
    return Policy.load([str(RULES), str(RULES / "variants" / name)])


def allowed(policy: Policy, subject: Subject, action: str, resource: AnyResource) -> bool:
    decision = policy.decide(Query(subject, action, resource))
    assert not decision.error, decision.reason
    return decision.allowed


def test_variants_are_no_part_of_the_defaults() -> None:
    assert allowed(Policy.load(), OWNER, "read", HIDDEN)
    assert allowed(Policy.load([str(RULES)]), OWNER, "download_image", PRIVATE)
    assert len(VARIANTS) == 5


def test_all_variants_load_together() -> None:
    policy = Policy.load([str(RULES), *map(str, VARIANTS)])

    assert not allowed(policy, OWNER, "read", HIDDEN)
    assert not allowed(policy, OWNER, "download_image", PRIVATE)
    assert allowed(policy, OPERATOR, "download_image", PRIVATE)


@pytest.mark.parametrize(
    ("subject", "action", "resource", "expected"),
    [
        pytest.param(OWNER, "read", HIDDEN, False, id="the owner does not read a hidden property"),
        pytest.param(OWNER, "read", PLAIN, True, id="the owner reads another one"),
        pytest.param(OWNER, "create", HIDDEN, False, id="the owner does not create it"),
        pytest.param(OWNER, "update", HIDDEN, False, id="the owner does not update it"),
        pytest.param(OWNER, "delete", HIDDEN, False, id="the owner does not delete it"),
        pytest.param(OWNER, "update", PLAIN, True, id="the owner updates another one"),
        pytest.param(OWNER, "create", spelt("COST_CENTRE"), False, id="the owner does not create it in capitals"),
        pytest.param(OWNER, "create", spelt("Support_Contract"), False, id="nor the other one"),
        pytest.param(OWNER, "create", spelt("cost_centre "), False, id="nor with a space behind it"),
        pytest.param(OWNER, "read", spelt("Cost_Centre"), False, id="the owner does not read it so either"),
        pytest.param(OWNER, "create", spelt("cost_centres"), True, id="the owner creates one that is longer"),
        pytest.param(ADMIN, "create", spelt("COST_CENTRE"), True, id="an admin creates it"),
        pytest.param(ADMIN, "read", HIDDEN, True, id="an admin reads it"),
        pytest.param(SERVICE, "read", HIDDEN, True, id="a trusted service reads it on the owner's image"),
        pytest.param(STRANGER, "read", HIDDEN, False, id="another tenant does not"),
        pytest.param(OWNER, "get_image", PRIVATE, True, id="the owner reads the image"),
    ],
)
def test_hidden_property(subject: Subject, action: str, resource: AnyResource, expected: bool) -> None:
    assert allowed(with_variant("hidden_property.polar"), subject, action, resource) is expected


@pytest.mark.parametrize(
    ("subject", "action", "resource", "expected"),
    [
        pytest.param(OWNER, "download_image", PRIVATE, False, id="the owner does not, without the role"),
        pytest.param(DOWNLOADER, "download_image", PRIVATE, True, id="the owner does with the role"),
        pytest.param(OWNER, "download_from_store", PRIVATE, False, id="nor from a store without the role"),
        pytest.param(DOWNLOADER, "download_from_store", PRIVATE, True, id="from a store with the role"),
        pytest.param(DOWNLOADER, "download_image", FOREIGN, False, id="the role is no right to others'"),
        pytest.param(SERVICE, "download_image", PRIVATE, True, id="the compute service does for the owner"),
        pytest.param(ADMIN, "download_image", PRIVATE, True, id="an admin downloads"),
        pytest.param(OWNER, "modify_image", PRIVATE, True, id="the owner still modifies"),
    ],
)
def test_download_role(subject: Subject, action: str, resource: AnyResource, expected: bool) -> None:
    assert allowed(with_variant("download_role.polar"), subject, action, resource) is expected


@pytest.mark.parametrize(
    ("subject", "action", "resource", "expected"),
    [
        pytest.param(PUBLISHER, "add_member", SHARE, True, id="the tenant shares another's image"),
        pytest.param(STRANGER, "add_member", SHARE, False, id="another tenant does not"),
        pytest.param(PUBLISHER_READER, "add_member", SHARE, False, id="nor does its mere reader"),
        pytest.param(PUBLISHER, "delete_member", SHARE, True, id="it stops sharing"),
        pytest.param(PUBLISHER, "modify_member", SHARE, False, id="it does not accept for another tenant"),
        pytest.param(PUBLISHER, "get_members", PRIVATE, True, id="it sees who it is shared with"),
        pytest.param(PUBLISHER, "get_image", PRIVATE, True, id="it sees the image"),
        pytest.param(PUBLISHER, "modify_image", PRIVATE, False, id="it does not modify it"),
        pytest.param(PUBLISHER, "download_image", PRIVATE, False, id="it does not download it"),
        pytest.param(PUBLISHER, "update", PLAIN, False, id="it does not update its properties"),
    ],
)
def test_sharing_tenant(subject: Subject, action: str, resource: AnyResource, expected: bool) -> None:
    assert allowed(with_variant("sharing_tenant.polar"), subject, action, resource) is expected


@pytest.mark.parametrize(
    ("subject", "action", "resource", "expected"),
    [
        pytest.param(OPERATOR, "delete_image", PRIVATE, True, id="the tenant deletes another's image"),
        pytest.param(STRANGER, "delete_image", PRIVATE, False, id="another tenant does not"),
        pytest.param(OPERATOR_READER, "delete_image", PRIVATE, False, id="nor does its mere reader"),
        pytest.param(OPERATOR, "publicize_image", PRIVATE, True, id="it publishes"),
        pytest.param(OPERATOR, "update", KERNEL, True, id="it sets magic properties"),
        pytest.param(OPERATOR_READER, "update", KERNEL, False, id="a mere reader does not"),
        pytest.param(OPERATOR, "add_member", SHARE, True, id="it shares"),
        pytest.param(OPERATOR, "tasks_api_access", Task(), False, id="it has no right to tasks"),
        pytest.param(OPERATOR, "cache_delete", Store(), False, id="it has no right to the cache"),
        pytest.param(ADMIN, "cache_delete", Store(), True, id="an admin has"),
    ],
)
def test_tenant_admin(subject: Subject, action: str, resource: AnyResource, expected: bool) -> None:
    assert allowed(with_variant("tenant_admin.polar"), subject, action, resource) is expected
