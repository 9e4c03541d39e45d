"""What the endpoints take and give, as OpenAPI 3.1 describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protect.authzen import metadata
from protect.authzen.evaluations import Semantic
from protect.authzen.resources import TYPES

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_OPEN: Schema = {"type": "object"}


def _in_any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


#: A type of our own is written in one way: see `check_type`.
_RESOURCE_TYPE: Schema = {
    **_TEXT,
    "anyOf": [
        {"enum": sorted(TYPES)},
        {"not": {"pattern": rf"^\s*({'|'.join(map(_in_any_case, sorted(TYPES)))})\s*$"}},
    ],
}
_ROLES: Schema = {"type": ["array", "null"], "items": {"type": "string"}}

_SUBJECT_PROPERTIES: Schema = {
    "type": "object",
    "description": "These are facts of their own, all of them are claims.",
    "properties": {
        "tenant": {"type": ["string", "null"]},
        "domain": {"type": ["string", "null"]},
        "roles": _ROLES,
        "service_roles": _ROLES,
        "admin_project": {"type": "boolean"},
        "authenticated": {"type": "boolean"},
    },
}

_CONTEXT: Schema = {
    "type": "object",
    "description": "The circumstances. Keys that begin with `action.` are the action's properties' alone.",
    "propertyNames": {"not": {"pattern": "^action\\."}},
}


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


_SUBJECT = _object(("type", "id"), type=_TEXT, id=_TEXT, properties=_SUBJECT_PROPERTIES)
_RESOURCE = _object(("type", "id"), type=_RESOURCE_TYPE, id=_TEXT, properties=_OPEN)
_ACTION = _object(("name",), name=_TEXT, properties=_OPEN)
_ANY_SUBJECT = _object(("type",), type=_TEXT, properties=_SUBJECT_PROPERTIES)
_ANY_RESOURCE = _object(("type",), type=_RESOURCE_TYPE, properties=_OPEN)

_PAGE: Schema = {
    # The token is told in words: whether one is right is no matter of its form, which is nobody's business.
    "description": "For the next page: as `token` the `next_token` of the page before, in a message that else is the "
    "same. Without `page`, all results come at once.",
    **_object(
        (),
        limit={"type": "integer", "minimum": 1, "description": "At most 1000 results are on a page."},
        properties=_OPEN,
    ),
}

_EVALUATION = _object(
    ("subject", "action", "resource"), subject=_SUBJECT, action=_ACTION, resource=_RESOURCE, context=_CONTEXT
)

_EVALUATIONS: Schema = {
    "type": "object",
    "description": "What an evaluation leaves out it has from the defaults beside `evaluations`.",
    "properties": {
        "subject": _object((), type=_TEXT, id=_TEXT, properties=_OPEN),
        "action": _object((), name=_TEXT, properties=_OPEN),
        "resource": _object((), type=_RESOURCE_TYPE, id=_TEXT, properties=_OPEN),
        "context": _CONTEXT,
        "evaluations": {
            "type": "array",
            "description": "Each an object as for one evaluation. One that cannot be understood is answered `false`.",
        },
        "options": _object((), evaluations_semantic={"enum": [str(semantic) for semantic in Semantic]}),
    },
    "anyOf": [
        _EVALUATION,
        {"required": ["evaluations"], "properties": {"evaluations": {"minItems": 1}}},
    ],
}

_DECISION = _object(
    ("decision", "context"),
    decision={"type": "boolean"},
    context=_object(
        ("revision",),
        reason={"type": "string"},
        revision={"type": "string", "description": "The hash of the policy that decided."},
        discard={"type": "boolean", "description": "Drop what was asked about instead of refusing the request."},
        error=_object(("status", "message"), status={"type": "integer"}, message={"type": "string"}),
    ),
)

_DECISIONS: Schema = {
    "anyOf": [_object(("evaluations",), evaluations={"type": "array", "items": _DECISION}), _DECISION]
}

_STEP = _object(("question", "answer"), question={"type": "string"}, answer={"type": "boolean"})
_RULE: Schema = {
    "anyOf": [
        _object(("file", "line", "head"), file={"type": "string"}, line={"type": "integer"}, head={"type": "string"}),
        {"type": "null"},
    ]
}

_EXPLANATION = _object(
    ("decision", "context", "steps", "rule", "nearest", "text"),
    **_DECISION["properties"],
    steps={"type": "array", "items": _STEP},
    rule=_RULE,
    nearest={
        "type": "array",
        "items": _object(("rule", "changes"), rule=_RULE, changes={"type": "array", "items": _STEP}),
    },
    text={"type": "string"},
)


def _results(result: Schema) -> Schema:
    page = _object(
        ("next_token", "count"),
        next_token={"type": "string", "description": "Empty at the end."},
        count={"type": "integer"},
        total={"type": "integer", "description": "On the last page: how many all pages have."},
    )
    return _object(("results",), results={"type": "array", "items": result}, page=page)


_ENTITY_RESULT = _object(("type", "id"), type={"type": "string"}, id={"type": "string"})
_ACTION_RESULT = _object(("name",), name={"type": "string"})


def _error(description: str) -> Schema:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


_ERRORS: Schema = {
    "400": _error("The message cannot be understood; the text says why."),
    "401": _error("Who asks is not known here."),
    "413": _error("The message is too large, or asks for too much at once."),
    "415": _error("The message is compressed."),
}


def _post(name: str, summary: str, message: Schema, reply: Schema) -> Schema:
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": message}}},
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": {"schema": reply}}},
                **_ERRORS,
            },
        }
    }


def _search(name: str, summary: str, parts: Mapping[str, Schema], result: Schema) -> Schema:
    return _post(name, summary, _object(tuple(parts), **parts, context=_CONTEXT, page=_PAGE), _results(result))


#: Path to operations.
AUTHZEN: Mapping[str, Schema] = {
    metadata.EVALUATION: _post("evaluation", "May the subject do this?", _EVALUATION, _DECISION),
    metadata.EVALUATIONS: _post("evaluations", "Many evaluations at once.", _EVALUATIONS, _DECISIONS),
    metadata.SEARCH_SUBJECT: _search(
        "searchSubject",
        "Which subjects of a type may do this?",
        {"subject": _ANY_SUBJECT, "action": _ACTION, "resource": _RESOURCE},
        _ENTITY_RESULT,
    ),
    metadata.SEARCH_RESOURCE: _search(
        "searchResource",
        "To which resources of a type may the subject do this?",
        {"subject": _SUBJECT, "action": _ACTION, "resource": _ANY_RESOURCE},
        _ENTITY_RESULT,
    ),
    metadata.SEARCH_ACTION: _search(
        "searchAction",
        "What may the subject do to this resource?",
        {"subject": _SUBJECT, "resource": _RESOURCE},
        _ACTION_RESULT,
    ),
    metadata.WELL_KNOWN: {
        "get": {
            "operationId": "metadata",
            "summary": "Where the endpoints are.",
            "security": [],
            "responses": {
                "200": {
                    "description": "The metadata.",
                    "content": {
                        "application/json": {
                            "schema": _object(
                                ("policy_decision_point", "access_evaluation_endpoint"),
                                policy_decision_point={"type": "string", "format": "uri"},
                                access_evaluation_endpoint={"type": "string", "format": "uri"},
                            )
                        }
                    },
                },
                "404": _error("The option `public_url` is not set."),
            },
        }
    },
}

EXPLAIN: Mapping[str, Schema] = {
    "/v1/explain": _post("explain", "Why is an evaluation decided as it is?", _EVALUATION, _EXPLANATION)
}
