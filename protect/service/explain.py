"""Why a query is decided as it is: the questions asked, the rule that decided, and the rules that came nearest."""

from __future__ import annotations

from collections.abc import Callable

from protect.authzen import openapi
from protect.authzen.answers import answer
from protect.authzen.entities import NO_ENTITIES, Entities
from protect.authzen.evaluations import query
from protect.policy import Policy
from protect.service.calls import Call, Record, Reply, Route, json_reply
from protect.values import Explanation, Nearest, Query, Rule, Step

PATH = "/v1/explain"

OPENAPI = openapi.EXPLAIN


def routes(
    *, policy: Callable[[], Policy], record: Record, entities: Callable[[], Entities] = lambda: NO_ENTITIES
) -> list[Route]:
    """Return the route. The decision that is explained is one like any other, and is told to ``record``."""

    def explain(call: Call) -> Reply:
        asked = query(call.json_object(), entities())
        explanation = policy().explain(asked)
        record(asked, explanation.decision, call)
        return json_reply(_document(asked, explanation))

    return [Route("POST", PATH, explain)]


def _document(asked: Query, explanation: Explanation) -> dict[str, object]:
    return {
        **answer(asked, explanation.decision),
        "steps": [_step(step) for step in explanation.steps],
        "rule": _rule(explanation.rule),
        "nearest": [_nearest(near) for near in explanation.nearest],
        "text": str(explanation),
    }


def _step(step: Step) -> dict[str, object]:
    return {"question": step.question, "answer": step.answer}


def _rule(rule: Rule | None) -> dict[str, object] | None:
    return None if rule is None else {"file": rule.file, "line": rule.line, "head": rule.head}


def _nearest(near: Nearest) -> dict[str, object]:
    return {"rule": _rule(near.rule), "changes": [_step(step) for step in near.changes]}
