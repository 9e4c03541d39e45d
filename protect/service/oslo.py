"""The `http:` checks of oslo.policy: it posts a rule, a target and credentials, and takes the body `True` for a yes.

It does not look at the status, so an answer that is no decision must never read like one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from protect import json_bodies
from protect.authzen.entities import NO_ENTITIES, Entities
from protect.authzen.evaluations import query
from protect.errors import MalformedRequest
from protect.glance import targets
from protect.json_bodies import kind, printable
from protect.policy import Policy
from protect.service.calls import Call, Record, Reply, Route, text_reply
from protect.values import Query

PATH = "/oslo/"

OPENAPI: dict[str, dict[str, object]] = {
    "/oslo/{rule}": {
        "post": {
            "operationId": "oslo",
            "summary": "A remote check of oslo.policy",
            "tags": ["oslo.policy"],
            "parameters": [
                {
                    "name": "rule",
                    "in": "path",
                    "required": True,
                    "description": "The name of the rule, which is the action",
                    "schema": {"type": "string"},
                }
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/x-www-form-urlencoded": {
                        "schema": {
                            "type": "object",
                            "required": ["target", "credentials"],
                            "properties": {
                                name: {"type": "string", "description": "A JSON document"}
                                for name in ("rule", "target", "credentials")
                            },
                        }
                    },
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["target", "credentials"],
                            "properties": {
                                "rule": {"type": ["string", "null"]},
                                "target": {"type": "object"},
                                "credentials": {"type": "object"},
                            },
                        }
                    },
                },
            },
            "responses": {
                "200": {
                    "description": "`True` or `False`",
                    "content": {"text/plain": {"schema": {"type": "string", "enum": ["True", "False"]}}},
                }
            },
        }
    }
}

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_PARTS = ("rule", "target", "credentials")
_NEEDED = ("target", "credentials")


def routes(
    *, policy: Callable[[], Policy], record: Record, entities: Callable[[], Entities] = lambda: NO_ENTITIES
) -> list[Route]:
    """Return the route. ``entities`` are read once per request, as the policy is."""

    def check(call: Call) -> Reply:
        content_type = str(call.environ.get("CONTENT_TYPE") or "")
        asked = question(call.rest, content_type, call.body(), entities())
        decision = policy().decide(asked)
        record(asked, decision, call)
        return text_reply("True" if decision.allowed else "False")

    return [Route("POST", PATH, check, tree=True)]


def question(rule: str, content_type: str, body: bytes, entities: Entities) -> Query:
    """Return the query that a remote check asks; raises MalformedRequest."""
    parts = _parts(content_type, body)
    # A check without a name of its own is told nothing, or null.
    if parts.get("rule") not in (rule, None):
        raise MalformedRequest("the rule in the path is not the one in the body")
    if not rule:
        raise MalformedRequest("the path must end with the name of the rule: /oslo/get_image")
    who = targets.person(_object(parts, "credentials"))
    what = targets.shape(rule, _object(parts, "target"))
    return query(
        {
            "subject": {"type": "user", "id": who.id, "properties": who.properties},
            "action": {"name": rule},
            "resource": {"type": what.type, "id": what.id, "properties": what.properties},
        },
        entities,
    )


def _parts(content_type: str, body: bytes) -> Mapping[str, object]:
    media = content_type.partition(";")[0].strip().lower()
    if media == _JSON:
        document = json_bodies.parse(body)
        if not isinstance(document, dict):
            raise MalformedRequest(f"the body must be a JSON object, not {kind(document)}")
        parts: Mapping[str, object] = document
    elif media == _FORM:
        parts = _form(body)
    else:
        raise MalformedRequest(f"the Content-Type must be {_FORM} or {_JSON}")
    for name in _NEEDED:
        if name not in parts:
            raise MalformedRequest(f"`{name}` is missing")
    return parts


def _form(body: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16
        )
    except ValueError:
        raise MalformedRequest("the body is not a form") from None
    parts: dict[str, object] = {}
    for name, text in pairs:
        if name in parts:
            raise MalformedRequest(f"the form has `{printable(name)}` twice")
        parts[name] = json_bodies.parse(text.encode()) if name in _PARTS else text
    return parts


def _object(parts: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = parts[name]
    if not isinstance(value, dict):
        raise MalformedRequest(f"`{name}` must be an object, not {kind(value)}")
    return value
