"""Who may ask the decision endpoint: each guard lets its own in, and the neighbour who differs in one fact out."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protect.errors import ConfigError
from protect.identity.guards import (
    Bearer,
    EnforcementPoint,
    Guard,
    Header,
    Off,
    Tls,
    TokenFile,
    Unauthenticated,
    Unix,
    enforcement_point_of,
    read_tokens,
)
from protect.identity.jwt import Tokens
from protect.identity.keyring import Keyring
from protect.watching import Trouble
from tests.certificates import Authority
from tests.served import eventually
from tests.servers import SERVERS, Server
from tests.tokens import AUDIENCE, CLAIMS, ISSUER, Clock, jwks, token

GOOD = "g" * 32
OTHER = "o" * 40


def reason(guard: Guard, environ: dict[str, Any], header: Header = Header.AUTHORIZATION) -> str:
    """Return why a request is refused, "" where it is not."""
    try:
        guard(environ, header)
    except Unauthenticated as error:
        return error.reason
    return ""


def bearer(text: str) -> dict[str, Any]:
    return {"HTTP_AUTHORIZATION": f"Bearer {text}"}


def token_file(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


# Tokens from a file


def test_a_token_says_who_has_it(tmp_path: Path) -> None:
    guard = TokenFile(token_file(tmp_path, f"# gateways\n\nenvoy:{GOOD}\n  nova.compute:{OTHER}  \n"))
    assert guard(bearer(GOOD)) == EnforcementPoint("envoy")
    assert guard(bearer(OTHER)) == EnforcementPoint("nova.compute")


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        pytest.param({}, "no token in `Authorization`", id="no-header"),
        pytest.param({"HTTP_AUTHORIZATION": f"Basic {GOOD}"}, "no token in `Authorization`", id="another-scheme"),
        pytest.param({"HTTP_AUTHORIZATION": GOOD}, "no token in `Authorization`", id="no-scheme"),
        pytest.param(bearer(""), "not a bearer token", id="no-token"),
        pytest.param(bearer(f"{GOOD},Bearer {GOOD}"), "more than one `Authorization`", id="twice"),
        pytest.param(bearer(GOOD[:-1]), "unknown token", id="one-character-less"),
        pytest.param(bearer(GOOD + "g"), "unknown token", id="one-character-more"),
        pytest.param(bearer(GOOD.upper()), "unknown token", id="another-case"),
        pytest.param(bearer(f"envoy:{GOOD}"), "unknown token", id="the-whole-line"),
        pytest.param({"HTTP_X_PROTECT_TOKEN": GOOD}, "no token in `Authorization`", id="in-the-other-header"),
    ],
)
def test_without_a_token_of_the_file_nobody_is_let_in(tmp_path: Path, environ: dict[str, Any], why: str) -> None:
    guard = TokenFile(token_file(tmp_path, f"envoy:{GOOD}"))
    assert reason(guard, bearer(GOOD)) == ""
    assert reason(guard, environ) == why


def test_where_a_users_authorization_passes_the_one_who_asks_has_a_header_of_its_own(tmp_path: Path) -> None:
    guard = TokenFile(token_file(tmp_path, f"envoy:{GOOD}"))
    users = bearer("the-users-own")
    assert guard({**users, "HTTP_X_PROTECT_TOKEN": GOOD}, Header.PROTECT_TOKEN) == EnforcementPoint("envoy")
    assert reason(guard, {**users, "HTTP_X_PROTECT_TOKEN": f"{GOOD},{GOOD}"}, Header.PROTECT_TOKEN) == "unknown token"
    assert reason(guard, {**users, "HTTP_X_PROTECT_TOKEN": OTHER}, Header.PROTECT_TOKEN) == "unknown token"
    assert reason(guard, bearer(GOOD), Header.PROTECT_TOKEN) == "no token in `X-Protect-Token`"


LENGTHS = "accepted: 32 to 512; make one with: openssl rand -hex 32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "`{}` has no token; add a line `name:token`", id="empty"),
        pytest.param("# only this", "`{}` has no token; add a line `name:token`", id="comments-only"),
        pytest.param(
            f"\nenvoy {GOOD}",
            "`{}`, line 2 is not `name:token`; a name has letters, digits and `._@-`, at most 64",
            id="no-colon",
        ),
        pytest.param(
            f":{GOOD}",
            "`{}`, line 1 is not `name:token`; a name has letters, digits and `._@-`, at most 64",
            id="no-name",
        ),
        pytest.param(
            f"a b:{GOOD}",
            "`{}`, line 1 is not `name:token`; a name has letters, digits and `._@-`, at most 64",
            id="a-name-with-a-space",
        ),
        pytest.param(f"a:{GOOD[1:]}", "`{}`, line 1: the token of `a` has 31 characters; " + LENGTHS, id="short"),
        pytest.param(f"a:{'x' * 513}", "`{}`, line 1: the token of `a` has 513 characters; " + LENGTHS, id="long"),
        pytest.param(
            f"a:{GOOD} # mine",
            "`{}`, line 1: the token of `a` has a space, a comma or a character that is not ASCII",
            id="a-comment-behind-it",
        ),
        pytest.param(f"a:{GOOD}\u00e9", "`{}` has characters that are not ASCII", id="another-alphabet"),
        pytest.param(
            f"a:{GOOD}\nb:{GOOD}", "`{}`, line 2: this name or this token is there already", id="one-token-for-two"
        ),
        pytest.param(
            f"a:{GOOD}\na:{OTHER}", "`{}`, line 2: this name or this token is there already", id="two-for-one-name"
        ),
    ],
)
def test_a_file_of_tokens_that_cannot_be_used_stops_the_service(tmp_path: Path, text: str, message: str) -> None:
    path = token_file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        TokenFile(path)
    assert str(caught.value) == message.format(path)
    assert GOOD[1:] not in str(caught.value)


def test_tokens_that_differ_are_no_duplicates(tmp_path: Path) -> None:
    assert len(read_tokens(token_file(tmp_path, f"a:{GOOD}\nb:{OTHER}"))) == 2


@pytest.mark.parametrize(("mode", "accepted"), [(0o600, True), (0o640, True), (0o644, False), (0o602, False)])
def test_a_file_that_everyone_can_open_stops_the_service(tmp_path: Path, mode: int, accepted: bool) -> None:
    path = token_file(tmp_path, f"a:{GOOD}", mode)
    if accepted:
        TokenFile(path)
        return
    with pytest.raises(ConfigError) as caught:
        TokenFile(path)
    assert str(caught.value) == f"`{path}` holds tokens and is open to everyone on this machine; run: chmod 640 {path}"


def test_a_file_that_is_not_there_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenFile(f"{tmp_path}/none")
    assert str(caught.value) == f"`{tmp_path}/none` cannot be read: No such file or directory"


def test_the_file_is_followed(tmp_path: Path) -> None:
    guard = TokenFile(token_file(tmp_path, f"a:{GOOD}"))
    token_file(tmp_path, f"b:{OTHER}")
    assert reason(guard, bearer(GOOD)) == ""
    guard.look()
    assert reason(guard, bearer(GOOD)) == "unknown token"
    assert guard(bearer(OTHER)) == EnforcementPoint("b")


def test_the_file_is_looked_at_by_a_thread(tmp_path: Path) -> None:
    guard = TokenFile(token_file(tmp_path, f"a:{GOOD}"), seconds=0.01)
    token_file(tmp_path, f"b:{OTHER}")
    guard.start()
    try:
        eventually(lambda: reason(guard, bearer(GOOD)) == "unknown token", "the change to be seen")
    finally:
        guard.stop()


def test_a_file_of_the_same_size_and_time_is_followed_by_its_other_marks(tmp_path: Path) -> None:
    path = token_file(tmp_path, f"a:{GOOD}")
    os.utime(path, (1, 1))
    guard = TokenFile(path)
    other = tmp_path / "new"
    other.write_text(f"a:{'h' * 32}")
    other.chmod(0o600)
    os.utime(other, (1, 1))
    other.replace(path)
    guard.look()
    assert reason(guard, bearer(GOOD)) == "unknown token"


def test_a_file_that_breaks_leaves_the_last_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(5)
    path = token_file(tmp_path, f"a:{GOOD}")
    guard = TokenFile(path, clock=clock)
    token_file(tmp_path, f"a:{GOOD}", 0o644)
    for clock.now in (5, 10):
        guard.look()
        assert reason(guard, bearer(GOOD)) == ""
    wrong = f"`{path}` holds tokens and is open to everyone on this machine; run: chmod 640 {path}"
    assert guard.trouble == Trouble(wrong, since=5)
    assert [record.getMessage() for record in caplog.records] == [f"the tokens that were read last stay good: {wrong}"]
    os.remove(path)
    guard.look()
    assert reason(guard, bearer(GOOD)) == ""
    token_file(tmp_path, f"b:{OTHER}")
    guard.look()
    assert (reason(guard, bearer(GOOD)), guard.trouble) == ("unknown token", None)


def test_a_file_that_comes_back_as_it_was_is_no_trouble_any_more(tmp_path: Path) -> None:
    folder, away = tmp_path / "here", tmp_path / "away"
    folder.mkdir()
    guard = TokenFile(token_file(folder, f"a:{GOOD}"), clock=Clock(5))
    folder.rename(away)
    guard.look()
    assert reason(guard, bearer(GOOD)) == ""
    assert guard.trouble == Trouble(f"`{folder}/tokens` cannot be read: No such file or directory", since=5)
    away.rename(folder)
    guard.look()
    assert (reason(guard, bearer(GOOD)), guard.trouble) == ("", None)


# Tokens of an issuer


def issued(scope: str | None = None) -> Bearer:
    tokens = Tokens(
        Keyring(lambda: jwks("rsa"), "set", timer=Clock()),
        issuer=ISSUER,
        audience=AUDIENCE,
        read=lambda claims: enforcement_point_of(claims, scope),
        timer=Clock(),
    )
    return Bearer(tokens.verify)


def test_a_verified_token_says_who_asks() -> None:
    guard = issued()
    assert guard(bearer(token())) == EnforcementPoint("u1")
    assert guard({"HTTP_X_PROTECT_TOKEN": token()}, Header.PROTECT_TOKEN) == EnforcementPoint("u1")
    assert reason(guard, bearer(token("rsa-2", header={"kid": "rsa"}))) == "wrong signature"
    assert reason(guard, {"HTTP_X_PROTECT_TOKEN": token()}) == "no token in `Authorization`"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({"scope": "openid decide"}, "", id="in-the-text"),
        pytest.param({"scp": ["decide"]}, "", id="in-the-list"),
        pytest.param({}, "without the scope that is needed here", id="none"),
        pytest.param({"scope": "decide2 predecide"}, "without the scope that is needed here", id="longer-ones"),
        pytest.param({"scope": {"decide": 1}}, "the claim `scope` is neither text nor a list of text", id="an-object"),
        pytest.param({"roles": ["decide"]}, "without the scope that is needed here", id="in-another-claim"),
    ],
)
def test_a_scope_can_be_required(claims: dict[str, Any], why: str) -> None:
    assert reason(issued("decide"), bearer(token(claims={**CLAIMS, **claims}))) == why


# The connection itself


CERTIFICATE = {"subject": ((("commonName", "cn"),),), "subjectAltName": (("DNS", "envoy.example"), ("DNS", "b"))}


def shown(certificate: Any) -> dict[str, Any]:
    return {"gunicorn.socket": SimpleNamespace(getpeercert=lambda: certificate), "wsgi.url_scheme": "https"}


@pytest.mark.parametrize(
    ("certificate", "names", "found"),
    [
        pytest.param(CERTIFICATE, set(), "envoy.example", id="any"),
        pytest.param(CERTIFICATE, {"b"}, "b", id="a-name-that-is-accepted"),
        pytest.param(CERTIFICATE, {"cn"}, "a client certificate of somebody else", id="common-name-beside-others"),
        pytest.param({"subject": CERTIFICATE["subject"]}, {"cn"}, "cn", id="common-name-alone"),
        pytest.param({}, set(), "no verified client certificate", id="not-verified"),
        pytest.param(None, set(), "no verified client certificate", id="none"),
    ],
)
def test_a_certificate_that_the_server_shows(certificate: Any, names: set[str], found: str) -> None:
    guard = Tls(names=frozenset(names))
    try:
        assert guard(shown(certificate)).name == found
    except Unauthenticated as error:
        assert error.reason == found


GRANIAN = {"SERVER_SOFTWARE": "Granian", "wsgi.url_scheme": "https"}


@pytest.mark.parametrize(
    ("guard", "environ", "why"),
    [
        pytest.param(Tls(listener_verifies=True), GRANIAN, "", id="a-listener-that-verifies"),
        pytest.param(Tls(), GRANIAN, "this server does not show whose certificate it has verified", id="does-not"),
        pytest.param(
            Tls(listener_verifies=True, names=frozenset({"a"})),
            GRANIAN,
            "this server does not show whose certificate it has verified",
            id="a-name-that-it-does-not-show",
        ),
        pytest.param(
            Tls(listener_verifies=True),
            GRANIAN | {"wsgi.url_scheme": "http"},
            "this server does not tell of client certificates",
            id="no-tls",
        ),
        pytest.param(
            Tls(listener_verifies=True),
            GRANIAN | {"SERVER_SOFTWARE": "waitress"},
            "this server does not tell of client certificates",
            id="another-server",
        ),
        pytest.param(
            Tls(listener_verifies=True),
            {"HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_VERIFY": "SUCCESS", "wsgi.url_scheme": "https"},
            "this server does not tell of client certificates",
            id="the-word-of-a-proxy",
        ),
        pytest.param(
            Tls(listener_verifies=True),
            {"gunicorn.socket": socket.socket, "wsgi.url_scheme": "https"},
            "no verified client certificate",
            id="gunicorn-without-tls",
        ),
    ],
)
def test_tls(guard: Tls, environ: dict[str, Any], why: str) -> None:
    assert reason(guard, environ) == why


def test_no_guard_lets_everyone_in_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    guard = Off()
    assert [guard({}), guard(bearer("x"))] == [EnforcementPoint("anyone")] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "the decision endpoint is open: whoever can reach it may ask about everyone; set a guard"
    ]


# Connections, as real servers show them


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.issue("server")
    made.issue("client")
    return made


@pytest.mark.parametrize(("name", "point"), [("gunicorn", "client"), ("granian", "tls")])
def test_a_server_that_verifies_certificates_lets_its_clients_in(
    name: str, point: str, authority: Authority, tmp_path: Path
) -> None:
    with Server(name, "tls_guard", tmp_path, authority=authority) as server:
        assert server.get([]) == {"name": point}
        assert not server.connects(None)


def test_gunicorn_without_client_certificates_lets_nobody_in(authority: Authority, tmp_path: Path) -> None:
    with Server("gunicorn", "tls_guard", tmp_path, authority=authority, anonymous=True) as server:
        assert server.get(["X-SSL-Client-Verify: SUCCESS"]) == {"refused": "no verified client certificate"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("granian", "this server does not tell of client certificates"),
        ("gunicorn", "no verified client certificate"),
        ("waitress", "this server does not tell of client certificates"),
    ],
)
def test_without_tls_no_header_makes_a_certificate(name: str, why: str, tmp_path: Path) -> None:
    with Server(name, "tls_guard", tmp_path) as server:
        assert server.get(["X-Forwarded-Proto: https", "X-SSL-Client-Verify: SUCCESS"]) == {"refused": why}


@pytest.mark.parametrize("name", SERVERS)
def test_a_request_over_a_unix_socket_is_told_from_one_over_tcp(name: str, tmp_path: Path) -> None:
    forged = ["X-Forwarded-For: ", "X-Forwarded-Proto: unix", "Remote-Addr: ", "Server-Port: 0", "REMOTE_ADDR: "]
    with Server(name, "unix_guard", tmp_path, unix=True) as over_unix, Server(name, "unix_guard", tmp_path) as over_tcp:
        assert over_unix.get(forged) == {"name": "unix"}
        assert over_tcp.get(forged) == {"refused": "not over a Unix socket, as far as the server tells"}
        assert over_tcp.get(forged, host="") == {"refused": "not over a Unix socket, as far as the server tells"}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"REMOTE_ADDR": "127.0.0.1"}, id="an-address"),
        pytest.param({"SERVER_PORT": "8080"}, id="a-port"),
        pytest.param({"SERVER_SOFTWARE": "another"}, id="another-server"),
        pytest.param({"gunicorn.socket": SimpleNamespace(family=socket.AF_INET)}, id="a-tcp-socket"),
    ],
)
def test_what_only_looks_like_a_unix_socket_is_refused(changed: dict[str, Any]) -> None:
    environ = {"SERVER_SOFTWARE": "Granian", "REMOTE_ADDR": "", "SERVER_PORT": "0"}
    assert reason(Unix(), environ) == ""
    assert reason(Unix(), environ | changed) == "not over a Unix socket, as far as the server tells"
