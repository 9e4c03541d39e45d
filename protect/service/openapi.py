"""The description of the whole interface: `/openapi.json`, put together from what each group of endpoints says."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from protect.service.calls import JSON, Call, Reply, Route

Paths = Mapping[str, Mapping[str, Any]]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_ERRORS = {
    "400": "The request cannot be understood: the text says what is wrong",
    "405": "Not with this method",
    "413": "The body is larger than this service takes",
    "415": "The body is compressed",
    "500": "An error in this service; its log says more",
}
_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Comes back in the answer, and is in the decision log",
    "schema": {"type": "string"},
}

OPENAPI: dict[str, dict[str, object]] = {
    "/openapi.json": {
        "get": {
            "operationId": "openapi",
            "summary": "This description",
            "tags": ["operation"],
            "security": [],
            "responses": {
                "200": {"description": "It", "content": {"application/json": {"schema": {"type": "object"}}}},
            },
        }
    }
}


def document(fragments: Iterable[Paths], *, version: str, url: str | None = None, guarded: bool = True) -> Any:
    """Return the description as JSON values. ``url`` is where the service is reached, as configured: never as asked."""
    paths: dict[str, Any] = {}
    for fragment in fragments:
        for path, item in fragment.items():
            assert path not in paths, path
            paths[path] = copy.deepcopy(dict(item))
    for item in paths.values():
        for method in _METHODS:
            if method in item:
                _complete(item[method], guarded)
    security: list[dict[str, list[str]]] = [{"token": []}, {"protectToken": []}] if guarded else []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "protect",
            "summary": "Answers decision queries from one policy",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url or "/"}],
        "security": security,
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "protectToken": {"type": "apiKey", "in": "header", "name": "X-Protect-Token"},
            },
        },
    }


def _complete(operation: dict[str, Any], guarded: bool) -> None:
    """Add what every operation has: the request's id, and how errors look."""
    operation.setdefault("parameters", []).append(_REQUEST_ID)
    errors = dict(_ERRORS) if "requestBody" in operation else {"405": _ERRORS["405"], "500": _ERRORS["500"]}
    if guarded and operation.get("security") != []:
        errors["401"] = "Who asks has not proved who it is"
    for status, text in errors.items():
        operation["responses"].setdefault(status, _error(text, status))


def _error(text: str, status: str) -> dict[str, Any]:
    said: dict[str, Any] = {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
    header = {"401": "WWW-Authenticate", "405": "Allow"}.get(status)
    if header:
        said["headers"] = {header: {"required": True, "schema": {"type": "string"}}}
    return said


def routes(*, description: Any) -> list[Route]:
    body = orjson.dumps(description)

    def page(call: Call) -> Reply:
        return Reply(body, headers=JSON)

    return [Route("GET", "/openapi.json", page, guarded=False)]
