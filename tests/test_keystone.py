"""Who asks: facts from keystonemiddleware, and only when it vouches for them."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protect.identity.keystone import VERIFIED, Complaint, identify
from protect.values import Subject
from tests.glance.server import PYTHON

#: What a client can write.
HEADERS = {
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
CONFIRMED: dict[str, Any] = {**HEADERS, VERIFIED: object()}


@pytest.mark.parametrize(
    ("marks", "subject"),
    [
        pytest.param({VERIFIED: object()}, SUBJECT, id="the mark"),
        pytest.param({"external.token_info": {"user_id": "u1"}}, SUBJECT, id="the mark of external_oauth2_token"),
        pytest.param({}, NOBODY, id="no mark"),
        pytest.param({VERIFIED: None}, NOBODY, id="none"),
        pytest.param({VERIFIED: False}, NOBODY, id="false"),
        pytest.param({VERIFIED: ""}, NOBODY, id="an empty text"),
        pytest.param({VERIFIED: "x"}, NOBODY, id="a text"),
        pytest.param({"external.token_info": None}, NOBODY, id="none from external_oauth2_token"),
        pytest.param({"external.token_info": "x"}, NOBODY, id="a text from external_oauth2_token"),
        pytest.param({f"HTTP_{VERIFIED.upper()}": "x"}, NOBODY, id="a header of that name"),
        pytest.param({f"HTTP_{VERIFIED}": object()}, NOBODY, id="a header of that name in lower case"),
        pytest.param({"HTTP_KEYSTONE_TOKEN_AUTH": "x"}, NOBODY, id="a header of nearly that name"),
        pytest.param({"keystone.token_info": {"token": {}}}, NOBODY, id="the token without the mark"),
        pytest.param({VERIFIED: object(), "HTTP_X_IDENTITY_STATUS": "Invalid"}, NOBODY, id="the mark, but invalid"),
        pytest.param({VERIFIED: object(), "HTTP_X_IDENTITY_STATUS": None}, NOBODY, id="the mark alone"),
    ],
)
def test_headers_are_believed_only_beside_the_mark_of_keystonemiddleware(
    marks: Mapping[str, Any], subject: Subject
) -> None:
    assert identify({**HEADERS, **marks}) == subject


@pytest.mark.parametrize(
    ("environ", "complaints"),
    [
        pytest.param(HEADERS, 1, id="confirmed by nobody"),
        pytest.param({"HTTP_X_AUTH_TOKEN": "t"}, 1, id="a token that nobody has looked at"),
        pytest.param(CONFIRMED, 0, id="confirmed"),
        pytest.param({"HTTP_X_AUTH_TOKEN": "t", VERIFIED: object()}, 0, id="a token that was looked at"),
        pytest.param({**CONFIRMED, "HTTP_X_IDENTITY_STATUS": "Invalid"}, 0, id="invalid"),
        pytest.param({}, 0, id="nobody, who does not claim to be somebody"),
    ],
)
def test_who_asks_without_having_been_verified_is_worth_a_complaint(
    environ: Mapping[str, Any], complaints: int
) -> None:
    made: list[None] = []
    identify(environ, lambda: made.append(None))
    assert len(made) == complaints


def test_a_complaint_says_what_to_do_and_nothing_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    assert identify({**HEADERS, "HTTP_X_ROLES": "sekrit"}, Complaint()) == NOBODY
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("protect.identity", logging.ERROR)
    assert "put `authtoken` directly before `protect`" in record.message
    assert "sets environ['keystone.token_auth'] to an object" in record.message
    assert "sekrit" not in caplog.text


def test_a_complaint_comes_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    times = [5.0, 5.0, 64.9, 65.0, 124.9, 125.0]
    complain = Complaint(iter(times).__next__)
    said = []
    for _ in times:
        caplog.clear()
        complain()
        said.append(len(caplog.records))
    assert said == [1, 0, 0, 1, 0, 1]


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
        VERIFIED: object(),
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_TENANT_ID": "t9",
        "HTTP_X_USER": "u9",
        "HTTP_X_ROLE": "admin",
    }
    assert identify(older) == Subject()


def test_the_domain_is_the_users_and_never_the_projects() -> None:
    assert identify(CONFIRMED | {"HTTP_X_USER_DOMAIN_ID": None}).domain is None
    assert identify(CONFIRMED | {"HTTP_X_PROJECT_DOMAIN_ID": None}).domain == "d1"


# What the real one leaves. A token that Keystone knows is one that `fetch_token`, its own seam, has an answer to.
SCRIPT = """
import json
from keystonemiddleware.auth_token import AuthProtocol, InvalidToken
from keystonemiddleware import external_oauth2_token as external
from webob import Request, Response
from protect.identity.keystone import VERIFIED, identify

TOKEN = {"token": {
    "user": {"id": "u1", "name": "u", "domain": {"id": "d1", "name": "d"}},
    "project": {"id": "t1", "name": "t", "domain": {"id": "d2", "name": "e"}},
    "roles": [{"id": "r", "name": "reader"}],
    "methods": ["password"], "catalog": [],
    "issued_at": "2020-01-01T00:00:00.000000Z", "expires_at": "2999-01-01T00:00:00.000000Z",
}}

class Keystone(AuthProtocol):
    def fetch_token(self, token, allow_expired=False):
        if token != "known":
            raise InvalidToken("unknown")
        return TOKEN

class Issuer(external.ExternalAuth2Protocol):
    def _fetch_token(self, token):
        if token != "known":
            raise external.InvalidToken("unknown")
        return {"user_id": "u1", "project_id": "t1", "roles": "reader", "is_admin": False}

seen = {}
def app(environ, start_response):
    seen.update(environ)
    return Response()(environ, start_response)

def ask(filtered, headers):
    seen.clear()
    status = Request.blank("/", headers=headers).get_response(filtered).status_int
    if not seen:
        return [status]
    subject = identify(seen)
    return [status, seen.get("HTTP_X_IDENTITY_STATUS"), seen.get("HTTP_X_ROLES"), bool(seen.get(VERIFIED)),
            subject.authenticated, subject.tenant, sorted(subject.roles)]

common = {"www_authenticate_uri": "http://identity/v3", "auth_type": None}
filters = {
    "delays": Keystone(app, {**common, "delay_auth_decision": "true"}),
    "decides": Keystone(app, {**common, "delay_auth_decision": "false"}),
    "external": Issuer(app, {"introspect_endpoint": "http://issuer", "audience": "a", "client_id": "c",
                             "client_secret": "s", "auth_method": "client_secret_basic", "mapping_user_id": "u"}),
    "none": app,
}
forged = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-Project-Id": "ops", "Keystone.Token-Auth": "x"}
tokens = {
    "none": {},
    "unknown": {"X-Auth-Token": "unknown", "Authorization": "Bearer unknown"},
    "known": {"X-Auth-Token": "known", "Authorization": "Bearer known"},
}
print(json.dumps({f"{name}, {token}": ask(filtered, {**forged, **sent})
                  for name, filtered in filters.items() for token, sent in tokens.items()}))
"""


def test_what_keystonemiddleware_really_leaves(root: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("no Glance environment: set PROTECT_GLANCE_ENV")
    command = [PYTHON, "-W", "ignore", "-c", SCRIPT]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    # status, X-Identity-Status and X-Roles as the filter gets them, the mark; authenticated, the tenant, the roles
    unknown = [200, "Invalid", None, True, False, None, []]
    reader = [200, "Confirmed", "reader", True, True, "t1", ["reader"]]
    forged = [200, "Confirmed", "admin", False, False, None, []]
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "delays, none": unknown,
        "delays, unknown": unknown,
        "delays, known": reader,
        "decides, none": [401],
        "decides, unknown": [401],
        "decides, known": reader,
        "external, none": [401],
        "external, unknown": [401],
        "external, known": [200, "Confirmed", "reader", False, True, "t1", ["reader"]],
        "none, none": forged,
        "none, unknown": forged,
        "none, known": forged,
    }
