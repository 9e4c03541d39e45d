"""Decisions on the wire."""

from __future__ import annotations

import orjson

from protect.authzen.images import not_given
from protect.values import Decision, Query

#: How many decisions are remembered as bytes. A policy has few different ones, as long as its actions are its own.
REMEMBERED = 1024


class Answers:
    """Writes decisions as JSON. A policy hands out the same few decisions again and again: each is written once."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        #: By identity, which is safe: the decision beside its text lives as long as the entry.
        self._texts: dict[int, tuple[Decision, bytes]] = {}

    def of(self, query: Query, decision: Decision) -> bytes:
        """Return the answer to ``query`` as JSON."""
        known = self._texts.get(id(decision))
        if known is not None:
            return known[1]
        text = orjson.dumps(answer(query, decision))
        if not decision.error:  # what was not given is the query's affair
            if len(self._texts) >= self._remembered:
                self._texts.clear()
            self._texts[id(decision)] = decision, text
        return text


def answer(query: Query, decision: Decision) -> dict[str, object]:
    """Return the answer to ``query``: the decision, its reason, and the revision of the policy."""
    context: dict[str, object] = {"reason": decision.reason, "revision": decision.revision}
    if decision.discard:
        context["discard"] = True
    if decision.error:
        message = not_given(query.resource)
        context["error"] = {"status": 404, "message": message} if message else {"status": 500, "message": _FAILED}
    return {"decision": decision.allowed, "context": context}


def malformed(message: str, revision: str) -> bytes:
    """Return the answer to an evaluation of a batch that cannot be understood."""
    context = {"error": {"status": 400, "message": message}, "revision": revision}
    return orjson.dumps({"decision": False, "context": context})


_FAILED = "the policy could not be evaluated; the service's log says more"
