"""The parts of the decision endpoint are put together from its options."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from protect.factories import decision_factory
from protect.service.health import KEYS
from protect.watching import look_soon
from tests.served import eventually
from tests.tokens import jwks

QUESTION = {
    "subject": {"type": "user", "id": "u"},
    "action": {"name": "get_image"},
    "resource": {"type": "image", "id": "i"},
}
ENTITIES = {
    "subjects": [],
    "resources": [
        {"type": "image", "id": "11111111-1111-4111-8111-111111111111", "properties": {"owner": "t1"}},
        {"type": "image", "id": "22222222-2222-4222-8222-222222222222", "properties": {"owner": "t2"}},
    ],
}


@pytest.fixture
def endpoint(tmp_path: Path) -> Any:
    file = tmp_path / "entities.json"
    file.write_text(json.dumps(ENTITIES))
    return decision_factory({}, authentication="off", identity="keystone", entities=str(file), reload="0")


def status(app: Any, image: str) -> str:
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/gateway/nginx",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "HTTP_X_ORIGINAL_METHOD": "GET",
        "HTTP_X_ORIGINAL_URI": f"/v2/images/{image}",
        "keystone.token_auth": object(),
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_USER_ID": "u",
        "HTTP_X_PROJECT_ID": "t1",
        "HTTP_X_ROLES": "member,reader",
    }
    found: list[str] = []
    list(app(environ, lambda status, headers: found.append(status)))
    return found[0]


def test_a_gateway_is_answered_by_what_the_entities_say_of_an_image(endpoint: Any) -> None:
    assert status(endpoint, "11111111-1111-4111-8111-111111111111") == "204 No Content"
    assert status(endpoint, "22222222-2222-4222-8222-222222222222") == "403 Forbidden"


def test_an_image_that_no_entity_knows_is_refused(endpoint: Any) -> None:
    assert status(endpoint, "33333333-3333-4333-8333-333333333333") == "403 Forbidden"


def ask(app: Any, method: str, path: str, body: bytes = b"", **more: str) -> tuple[int, bytes]:
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **more,
    }
    found: list[str] = []
    answer = b"".join(app(environ, lambda status, headers: found.append(status)))
    return int(found[0].split()[0]), answer


PATHS = ("/access/v1/evaluation", "/access/v1/evaluations", "/v1/images/filter", "/v1/explain", "/oslo/get_image")


@pytest.mark.parametrize("path", PATHS)
def test_a_body_of_another_kind_is_refused_alike_everywhere(endpoint: Any, path: str) -> None:
    status, said = ask(endpoint, "POST", path, b"a", CONTENT_TYPE="text/plain")
    assert (status, b"Content-Type must be" in said) == (400, True)


@pytest.mark.parametrize(
    ("encoding", "status"), [("", 200), ("identity", 200), ("Identity", 200), ("gzip", 415), ("identity, gzip", 415)]
)
def test_a_body_that_is_not_compressed_may_say_so(endpoint: Any, encoding: str, status: int) -> None:
    body = json.dumps(QUESTION).encode()
    headers = {"CONTENT_TYPE": "application/json", "HTTP_CONTENT_ENCODING": encoding}
    assert ask(endpoint, "POST", "/access/v1/evaluation", body, **headers)[0] == status


@pytest.mark.parametrize("how", ["authentication", "identity"])
def test_where_no_key_is_in_force_it_is_not_ready(how: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks("rsa"))
    options = {"authentication": "off", "identity": "keystone", how: "jwt"}
    app = decision_factory({}, jwks=str(file), jwt_issuer="i", jwt_audience="a", reload="0", **options)
    assert ask(app, "GET", "/readyz")[0] == 200
    file.write_bytes(jwks())
    look_soon()
    eventually(lambda: ask(app, "GET", "/readyz")[0] == 503, "the trouble to be seen")
    problems = json.loads(ask(app, "GET", "/readyz")[1])["problems"]
    assert [problem["message"] for problem in problems if problem["message"] == KEYS] == [KEYS]
    file.write_bytes(jwks("rsa"))
    look_soon()
    eventually(lambda: ask(app, "GET", "/readyz")[0] == 200, "the end of it")
