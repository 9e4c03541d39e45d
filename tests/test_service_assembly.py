"""The parts of the decision endpoint are put together from its options."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from protect.factories import decision_factory

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
