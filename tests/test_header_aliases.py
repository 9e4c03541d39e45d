"""Headers that are spelled like an identity: what real servers make of them, and what the filter then believes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import SERVERS, Server

ALIASES = ["X-Roles: reader", "X_Roles: admin", "X.Roles: root"]
CONFIRMED = ["X-Identity-Status: Confirmed", "X-Roles: admin"]
CONFIRMED_ALIAS = ["X_Identity_Status: Confirmed", "X_Roles: admin"]

# Which spelling of the client's ends up as HTTP_X_ROLES: `X_Roles` takes the place of `X-Roles` on granian.
ROLES = {"granian": "admin", "gunicorn": "reader", "waitress": "reader"}
TWICE = {"granian": "a,b", "gunicorn": "a,b", "waitress": "a, b"}


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bare(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(name, "raw", tmp_path_factory.mktemp(name)) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(name, "behind_keystone", tmp_path_factory.mktemp(name)) as server:
        yield server


@pytest.fixture(scope="module")
def trusting(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(name, "behind_a_mark", tmp_path_factory.mktemp(name)) as server:
        yield server


def nobody(seen: dict[str, Any]) -> bool:
    return (seen["authenticated"], seen["roles"]) == (False, [])


def test_what_the_servers_make_of_an_alias(name: str, bare: Server) -> None:
    headers = bare.get(ALIASES)["headers"]
    assert headers["HTTP_X_ROLES"] == ROLES[name]
    assert headers["HTTP_X.ROLES"] == "root"


def test_what_the_servers_make_of_a_header_that_comes_twice(name: str, bare: Server) -> None:
    headers = bare.get(["X-Roles: a", "X-Roles: b", "Authorization: a", "authorization: b"])["headers"]
    assert (headers["HTTP_X_ROLES"], headers["HTTP_AUTHORIZATION"]) == (TWICE[name], TWICE[name])


def test_an_alias_is_harmless_behind_keystonemiddleware(guarded: Server) -> None:
    member = guarded.get(["X-Auth-Token: t", *ALIASES, *CONFIRMED_ALIAS])
    assert (member["authenticated"], member["roles"]) == (True, ["member"])
    assert nobody(guarded.get([*ALIASES, *CONFIRMED_ALIAS]))
    assert nobody(guarded.get([*CONFIRMED, "X.Identity.Status: Confirmed"]))


def test_without_a_status_nobody_is_believed(trusting: Server) -> None:
    assert nobody(trusting.get(ALIASES))
    assert nobody(trusting.get(["X.Identity.Status: Confirmed", "X.Roles: admin"]))
    assert nobody(trusting.get(["X-Identity-Status: Confirmed", "X-Identity-Status: Confirmed", "X-Roles: admin"]))


def test_where_nothing_stands_before_the_filter_everyone_is_nobody(bare: Server, trusting: Server) -> None:
    assert nobody(bare.get(CONFIRMED))
    for mark in ("keystone.token_auth", "keystone_token_auth", "Keystone-Token-Auth", "external.token_info"):
        assert nobody(bare.get([*CONFIRMED, f"{mark}: x"]))
    # The same lines behind what leaves the mark and does half of the work: the headers were worth forging.
    seen = trusting.get(CONFIRMED)
    assert (seen["authenticated"], seen["roles"]) == (True, ["admin"])


def test_a_proxy_that_strips_the_headers_is_no_defence_on_granian(name: str, bare: Server, trusting: Server) -> None:
    # A proxy that takes out `X-Identity-Status` and `X-Roles` lets `X_Identity_Status` and `X_Roles` through: harmless
    # where nothing has run in this process, and not behind a middleware that leaves such a taking-out to a proxy.
    assert nobody(bare.get(CONFIRMED_ALIAS))
    seen = trusting.get(CONFIRMED_ALIAS)
    assert seen["authenticated"] is (name == "granian")
    assert seen["roles"] == (["admin"] if name == "granian" else [])
