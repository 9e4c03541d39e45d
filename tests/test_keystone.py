"""Who asks: facts from keystonemiddleware, and only when it vouches for them."""

from __future__ import annotations

from typing import Any

import pytest

from protect.identity.keystone import identify
from protect.values import Subject

CONFIRMED = {
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_USER_ID": "u1",
    "HTTP_X_PROJECT_ID": "t1",
    "HTTP_X_USER_DOMAIN_ID": "d1",
    "HTTP_X_PROJECT_DOMAIN_ID": "d2",
    "HTTP_X_ROLES": "Member, reader,,",
    "HTTP_X_IS_ADMIN_PROJECT": "True",
    "HTTP_X_SERVICE_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_SERVICE_ROLES": "Service",
}
SUBJECT = Subject(
    id="u1",
    tenant="t1",
    domain="d1",
    roles=frozenset({"member", "reader"}),
    service_roles=frozenset({"service"}),
    admin_project=True,
)
NOBODY = Subject(authenticated=False)


def test_all_facts_are_read_from_a_confirmed_request() -> None:
    assert identify(CONFIRMED) == SUBJECT


@pytest.mark.parametrize(
    "status",
    [
        pytest.param("Invalid", id="invalid"),
        pytest.param("confirmed", id="confirmed-in-lower-case"),
        pytest.param(" Confirmed", id="confirmed-after-a-space"),
        pytest.param("Confirmed,Confirmed", id="confirmed-twice"),
        pytest.param("", id="empty"),
        pytest.param(None, id="none"),
    ],
)
def test_nothing_is_believed_unless_confirmed(status: Any) -> None:
    assert identify(CONFIRMED | {"HTTP_X_IDENTITY_STATUS": status}) == NOBODY


def test_nothing_is_believed_without_a_status() -> None:
    assert identify({k: v for k, v in CONFIRMED.items() if k != "HTTP_X_IDENTITY_STATUS"}) == NOBODY


@pytest.mark.parametrize("status", ["Invalid", "confirmed", None])
def test_service_roles_need_a_confirmed_service(status: Any) -> None:
    subject = identify(CONFIRMED | {"HTTP_X_SERVICE_IDENTITY_STATUS": status})
    assert subject.service_roles == frozenset()
    assert subject.roles == SUBJECT.roles


def test_a_confirmed_service_alone_is_nobody() -> None:
    assert identify(CONFIRMED | {"HTTP_X_IDENTITY_STATUS": "Invalid"}).service_roles == frozenset()


def test_service_roles_are_not_the_users_roles() -> None:
    assert "service" not in identify(CONFIRMED).roles


@pytest.mark.parametrize("unset", [None, ""])
def test_an_unset_fact_is_none(unset: Any) -> None:
    subject = identify(CONFIRMED | {"HTTP_X_PROJECT_ID": unset, "HTTP_X_USER_ID": unset, "HTTP_X_ROLES": unset})
    assert (subject.tenant, subject.id, subject.roles) == (None, None, frozenset())


@pytest.mark.parametrize("value", ["true", "1", "False", None])
def test_only_true_is_the_admin_project(value: Any) -> None:
    assert not identify(CONFIRMED | {"HTTP_X_IS_ADMIN_PROJECT": value}).admin_project


def test_the_older_copies_of_headers_are_not_read() -> None:
    older = {
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_TENANT_ID": "t9",
        "HTTP_X_USER": "u9",
        "HTTP_X_ROLE": "admin",
    }
    assert identify(older) == Subject()


def test_the_domain_is_the_users_and_never_the_projects() -> None:
    assert identify(CONFIRMED | {"HTTP_X_USER_DOMAIN_ID": None}).domain is None
    assert identify(CONFIRMED | {"HTTP_X_PROJECT_DOMAIN_ID": None}).domain == "d1"
