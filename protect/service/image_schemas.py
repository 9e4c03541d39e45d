"""What the endpoints for images take and give, as OpenAPI 3.1 describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protect.glance import attributes
from protect.glance.patches import MEDIA_TYPES, V21
from protect.service.rehearsal import LARGEST

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_ROLES: Schema = {"type": ["array", "null"], "items": {"type": "string"}}

_SUBJECT: Schema = {
    "type": "object",
    "required": ["type", "id"],
    "properties": {
        "type": _TEXT,
        "id": _TEXT,
        "properties": {
            "type": "object",
            "properties": {
                "tenant": {"type": ["string", "null"]},
                "domain": {"type": ["string", "null"]},
                "roles": _ROLES,
                "service_roles": _ROLES,
                "admin_project": {"type": "boolean"},
                "authenticated": {"type": "boolean"},
            },
        },
    },
}

_CONTEXT: Schema = {"type": "object", "description": "The circumstances, for `context.get`."}

_WHOLE: Schema = {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST}

_IMAGE: Schema = {
    "type": "object",
    "description": "A document as the Images API shows it to someone from whom nothing is hidden. `members`, where it "
    "is an object, says with whom the image is shared. A `shared` image of which that is not said is not shown to "
    "those whose right depends on it.",
    "required": ["id"],
    "properties": {
        "id": _TEXT,
        **{name: {"type": ["string", "null"]} for name in sorted(attributes.TEXT | {"status"})},
        **{name: {"type": ["boolean", "null"]} for name in sorted(attributes.FLAGS)},
        "min_disk": _WHOLE,
        "min_ram": _WHOLE,
        "size": _WHOLE,
        "tags": {"type": "array", "items": {"type": "string"}},
        "locations": {
            "type": ["array", "null"],
            "items": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
        },
        "members": {
            "type": ["object", "string", "null"],
            "description": "Of each tenant its status. A text is a custom property of that name.",
            "additionalProperties": {"type": "string"},
        },
    },
}

_STORED: Schema = {
    **_IMAGE,
    "properties": {**_IMAGE["properties"], "id": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,254}$"}},
}

_VERDICT: Schema = {
    "status": {"type": "integer", "description": "What an API answers to its client."},
    "message": {"type": "string", "description": "Fit for that client: it tells of nothing hidden."},
    "reason": {"type": "string", "description": "The policy's own, for a log: not for the client."},
}

_SHOWN: Schema = {"type": "object", "additionalProperties": True}


def _one_of(common: Mapping[str, Schema], **choices: Mapping[str, Schema]) -> Schema:
    """Return an object with what is ``common``, and what belongs to exactly one of the ``choices``."""
    return {
        "oneOf": [
            {
                "type": "object",
                "required": ["subject", *_needed(choice)],
                "properties": {**common, **choice, **{other: False for other in choices if other != name}},
            }
            for name, choice in choices.items()
        ]
    }


def _needed(choice: Mapping[str, Schema]) -> list[str]:
    return [name for name in choice if name != "media_type"]


def _operation(summary: str, name: str, message: Schema, answer: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["images"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": message}}},
        "responses": {"200": {"description": "The answer", "content": {"application/json": {"schema": answer}}}},
    }


_COMMON: Mapping[str, Schema] = {"subject": _SUBJECT, "context": _CONTEXT}

OPENAPI: dict[str, dict[str, Schema]] = {
    "/v1/images/filter": {
        "post": _operation(
            "What a subject may see of one image, or of many",
            "filterImages",
            _one_of(_COMMON, image={"image": _IMAGE}, images={"images": {"type": "array", "items": _IMAGE}}),
            {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["image"],
                        "properties": {"image": {"oneOf": [_SHOWN, {"type": "null"}]}},
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "required": ["images"],
                        "properties": {"images": {"type": "array", "items": _SHOWN}},
                        "additionalProperties": False,
                    },
                ]
            },
        )
    },
    "/v1/images/check": {
        "post": _operation(
            "What would become of a create or of a patch",
            "checkImage",
            _one_of(
                _COMMON,
                create={"create": {"type": "object", "description": "The body of a create"}},
                patch={
                    "patch": {"description": "The body of a patch: an array of operations"},
                    "image": _STORED,
                    "media_type": {
                        "type": "string",
                        "default": V21,
                        "description": f"How the patch is written: {' or '.join(MEDIA_TYPES)}",
                    },
                },
            ),
            {
                "type": "object",
                "required": ["status", "operations"],
                "properties": {
                    **_VERDICT,
                    "operations": {
                        "type": "array",
                        "description": "One for each attribute of a create, or operation of a patch, in its order.",
                        "items": {
                            "type": "object",
                            "required": ["decision", "status"],
                            "properties": {
                                "name": {"type": "string"},
                                "path": {"type": "string"},
                                "decision": {"enum": ["allow", "refuse", "discard"]},
                                **_VERDICT,
                            },
                        },
                    },
                    "body": {
                        "type": ["object", "array"],
                        "description": "What remains to be sent on; only where nothing was refused.",
                    },
                },
            },
        )
    },
}
