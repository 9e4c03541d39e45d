"""Whether the process lives, whether it should be asked, and what is wrong with it.

`/healthz` and `/readyz` are for orchestrators, which prove nothing about themselves: they hear what kind of trouble
there is and since when, and never a file's name or a rule's text. `/v1/status` tells the rest to those who may ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

from protect.reload import Reloader
from protect.service.calls import Call, Reply, Route, json_reply, text_reply
from protect.watching import Trouble

BROKEN = "the policy's files cannot be used: the last good policy decides"
STALE = "nobody has looked at the policy's files for too long"
ENTITIES = "the file of entities cannot be used: the last good one is asked"
MISSING = "the policy's files do not exist: the shipped rules decide"
KEYS = "the keys that check tokens cannot be renewed"
TOKENS = "the file of tokens cannot be used: those read last stay good"

#: What else can be wrong: what may be said to everyone, and how to find out. None where all is well.
Watched = Mapping[str, Callable[[], "Trouble | None"]]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong. ``message`` is for everyone, ``detail`` for those who may ask; ``since`` is a time of
    the wall clock. ``fatal``: what this process answers may be out of date, or nobody gets an answer."""

    message: str
    detail: str
    since: float
    fatal: bool = False


class Health:
    """Knows what is wrong. ``max_age``: seconds since the last look at the files, None where nobody looks."""

    def __init__(
        self,
        reloader: Reloader,
        max_age: float | None,
        watched: Watched | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reloader = reloader
        self._max_age = max_age
        self._watched = watched or {}
        self._clock = clock

    def conditions(self) -> list[Condition]:
        """Return all that is wrong now."""
        found = []
        age = self._reloader.age
        if self._max_age is not None and age > self._max_age:
            detail = f"the last look was {age:.0f} s ago, more than {self._max_age:g} s"
            found.append(Condition(STALE, detail, self._clock() - age, fatal=True))
        if (trouble := self._reloader.trouble) is not None:
            message = MISSING if trouble is self._reloader.absent else BROKEN
            found.append(Condition(message, trouble.message, trouble.since))
        for message, look in self._watched.items():
            if (wrong := look()) is not None:
                found.append(Condition(message, wrong.message, wrong.since, wrong.fatal))
        return found

    def ready(self, *, strict: bool) -> Reply:
        """Return whether this process should be asked. With ``strict`` it should not while anything is wrong."""
        conditions = self.conditions()
        ready = not any(condition.fatal or strict for condition in conditions)
        answer = {
            "ready": ready,
            "revision": self._reloader.policy.revision,
            "loaded": _time(self._reloader.loaded),
            "problems": [{"message": each.message, "since": _time(each.since)} for each in conditions],
        }
        return json_reply(answer, 200 if ready else 503)

    def status(self) -> Reply:
        """Return everything that is known of the policy in force and of what is wrong."""
        policy = self._reloader.policy
        answer = {
            "revision": policy.revision,
            "loaded": _time(self._reloader.loaded),
            "rules": len(policy.rules),
            "warnings": list(policy.warnings),
            "reload_failures": self._reloader.failures,
            "problems": [
                {"message": each.message, "detail": each.detail, "since": _time(each.since)}
                for each in self.conditions()
            ],
        }
        return json_reply(answer)


def routes(*, health: Health) -> list[Route]:
    def ready(call: Call) -> Reply:
        asked = parse_qs(str(call.environ.get("QUERY_STRING") or ""), keep_blank_values=True)
        return health.ready(strict="strict" in asked)

    return [
        Route("GET", "/healthz", lambda call: text_reply("ok"), guarded=False),
        Route("GET", "/readyz", ready, guarded=False),
        Route("GET", "/v1/status", lambda call: health.status()),
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


_WHEN = {"type": "string", "format": "date-time"}
_PROBLEM = {
    "type": "object",
    "required": ["message", "since"],
    "properties": {"message": {"type": "string"}, "since": _WHEN},
}
_READY = {
    "type": "object",
    "required": ["ready", "revision", "loaded", "problems"],
    "properties": {
        "ready": {"type": "boolean"},
        "revision": {"type": "string"},
        "loaded": _WHEN,
        "problems": {"type": "array", "items": _PROBLEM},
    },
}

OPENAPI: dict[str, dict[str, object]] = {
    "/healthz": {
        "get": {
            "operationId": "alive",
            "summary": "Whether the process lives",
            "tags": ["operation"],
            "security": [],
            "responses": {
                "200": {"description": "It does", "content": {"text/plain": {"schema": {"const": "ok"}}}},
            },
        }
    },
    "/readyz": {
        "get": {
            "operationId": "ready",
            "summary": "Whether this process should be asked, and what is wrong",
            "description": "A policy that cannot be reloaded is a problem, and the last good one goes on deciding: "
            "the answer is still 200, unless the query has `strict`.",
            "tags": ["operation"],
            "security": [],
            "parameters": [
                {
                    "name": "strict",
                    "in": "query",
                    "description": "503 while anything is wrong",
                    "allowEmptyValue": True,
                    "schema": {"type": "string"},
                }
            ],
            "responses": {
                "200": {"description": "It should", "content": {"application/json": {"schema": _READY}}},
                "503": {"description": "It should not", "content": {"application/json": {"schema": _READY}}},
            },
        }
    },
    "/v1/status": {
        "get": {
            "operationId": "status",
            "summary": "The policy in force, and what is wrong, in full",
            "tags": ["operation"],
            "responses": {
                "200": {
                    "description": "What is known",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["revision", "loaded", "rules", "warnings", "reload_failures", "problems"],
                                "properties": {
                                    "revision": {"type": "string"},
                                    "loaded": _WHEN,
                                    "rules": {"type": "integer"},
                                    "warnings": {"type": "array", "items": {"type": "string"}},
                                    "reload_failures": {"type": "integer"},
                                    "problems": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "required": ["message", "detail", "since"],
                                            "properties": {
                                                "message": {"type": "string"},
                                                "detail": {"type": "string"},
                                                "since": _PROBLEM["properties"]["since"],  # type: ignore[index]
                                            },
                                        },
                                    },
                                },
                            }
                        }
                    },
                }
            },
        }
    },
}
