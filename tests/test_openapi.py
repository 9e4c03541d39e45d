"""The description of the interface: complete, valid, and what the server does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from webob import Request

from protect.factories import decision_factory
from protect.service.assembly import Sidecar
from protect.service.openapi import document

ENTITIES = {
    "subjects": [{"type": "user", "id": "u1", "properties": {"tenant": "t1", "roles": ["member"]}}],
    "resources": [{"type": "image", "id": "i1", "properties": {"owner": "t1"}}],
}
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    directory = tmp_path_factory.mktemp("openapi")
    tokens, entities = directory / "tokens", directory / "entities.json"
    tokens.touch(0o600)
    tokens.write_text(f"nova:{TOKEN}\n")
    entities.write_text(json.dumps(ENTITIES))
    made = decision_factory(
        {},
        authentication="tokens",
        tokens=str(tokens),
        entities=str(entities),
        reload="0",
        public_url="https://protect.example",
        decision_log_file=str(directory / "log"),
    )
    assert isinstance(made, Sidecar)
    yield made
    made.reloader.stop()
    made.recorder.close()


def described(sidecar: Sidecar) -> Any:
    reply = Request.blank("/openapi.json").get_response(sidecar)
    assert (reply.status_int, reply.content_type) == (200, "application/json")
    return reply.json


def test_it_is_valid(sidecar: Sidecar) -> None:
    OpenAPIV31SpecValidator(described(sidecar)).validate()


def test_every_route_is_described_and_nothing_else(sidecar: Sidecar) -> None:
    service = sidecar.service
    routes = {(method.lower(), path) for path, by_method in service._exact.items() for method in by_method}
    paths = described(sidecar)["paths"]
    exact = {(method, path) for path, item in paths.items() if "{" not in path for method in item}
    trees = {path.partition("{")[0].rstrip("/") for path in paths if "{" in path}
    assert routes <= exact
    assert {path for _, path in exact - routes} <= {route.path.rstrip("/") for route in service._trees}
    assert trees <= {route.path.rstrip("/") for route in service._trees}


def test_operations_have_names_of_their_own(sidecar: Sidecar) -> None:
    operations = [item[method] for item in described(sidecar)["paths"].values() for method in item]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))


def test_who_may_ask_is_told(sidecar: Sidecar) -> None:
    paths = described(sidecar)["paths"]
    for path, item in paths.items():
        for method, operation in item.items():
            opened = operation.get("security") == []
            reply = Request.blank(path.replace("{rule}", "x"), method=method.upper()).get_response(sidecar)
            # A gateway's client must not be told that it is unknown, when it is the gateway that is.
            refused = 403 if path.startswith("/gateway/") else 401
            assert (reply.status_int == refused) is not opened, path
            assert ("401" in operation["responses"]) is not opened, path


@pytest.mark.parametrize(("url", "server"), [(None, "/"), ("https://x.example/a", "https://x.example/a")])
def test_the_address_is_the_configured_one(url: str | None, server: str) -> None:
    assert document([], version="1", url=url)["servers"] == [{"url": server}]


def test_the_host_of_a_request_changes_nothing(sidecar: Sidecar) -> None:
    reply = Request.blank("/openapi.json", headers={"Host": "evil.example"}).get_response(sidecar)
    assert b"evil" not in reply.body


EXAMPLES = 15
#: What a schema has no words for: a form's fields are JSON documents, and all JSON is read strictly.
INEXPRESSIBLE = "/oslo/{rule}"
STRICT = ("the body has a number", "the body is nested", "the body has an unpaired surrogate")
#: Nor for what an image, a location, … of the API may say: those are types of a resource among any others.
TYPED = re.compile(
    r"the `url` of a location |the attribute `|the `members` |`[^`]+` must be .* in an image|`resource\."
)
SLOW = list(HealthCheck)  # what schemathesis makes is slow to make


@pytest.fixture(scope="module")
def schema(sidecar: Sidecar) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", sidecar)


def tries(operation: Any, mode: GenerationMode) -> int:
    """Make requests and check the answers; return how many."""
    made = 0
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Protect-Token": TOKEN}

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: schemathesis.Case) -> None:
        nonlocal made
        made += 1
        response = case.call(headers=headers)
        strict = operation.path == INEXPRESSIBLE or response.text.startswith(STRICT) or TYPED.match(response.text)
        case.validate_response(response, headers=headers, excluded_checks=[positive_data_acceptance] if strict else [])

    try:
        holds()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label  # an operation that takes nothing
    return made


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_server_does_what_it_says(schema: Any, mode: GenerationMode) -> None:
    assert sum(tries(found.ok(), mode) for found in schema.get_all_operations()) > 100
