"""The AuthZEN Authorization API 1.0: evaluations, searches, and the metadata that says where they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from protect.authzen import metadata, openapi, searches
from protect.authzen.answers import Answers, malformed
from protect.authzen.entities import NO_ENTITIES, Entities
from protect.authzen.evaluations import Batch, Semantic, items, query, semantic
from protect.authzen.searches import Search
from protect.errors import MalformedRequest
from protect.json_bodies import parse_deep
from protect.policy import Policy
from protect.service.calls import Call, Endpoint, Record, Reply, Route, an_object, json_reply
from protect.service.remembered import Remembered
from protect.values import Decision, Query

Message = Mapping[str, object]
Clock = Callable[[], float]

OPENAPI = openapi.AUTHZEN


def routes(
    *,
    policy: Callable[[], Policy],
    record: Record,
    entities: Callable[[], Entities] = lambda: NO_ENTITIES,
    public_url: str | None = None,
    clock: Clock = time.monotonic,
) -> list[Route]:
    """Return the routes of AuthZEN. ``public_url`` is the address for the metadata; raises ConfigError for a bad one.

    ``entities`` are read once per request, as the policy is. Searches are not told to ``record``: what they find out
    is not acted on.
    """
    base = None if public_url is None else metadata.base_url(public_url)
    evaluations = _Evaluations(policy, record, entities, clock)
    found = _Searches(policy, entities, clock)
    return [
        Route("POST", metadata.EVALUATION, evaluations.one),
        Route("POST", metadata.EVALUATIONS, evaluations.many),
        Route("POST", metadata.SEARCH_SUBJECT, found.subjects),
        Route("POST", metadata.SEARCH_RESOURCE, found.resources),
        Route("POST", metadata.SEARCH_ACTION, found.actions),
        # A client reads this before it knows where to prove who it is.
        Route("GET", metadata.well_known(base), _metadata(base), guarded=False),
    ]


def mentioned_actions(policy: Policy, kind: str) -> Iterable[str]:
    """Return the actions that the rules name for this kind of resource."""
    if kind == "Property":
        return policy.table.properties.keys()
    return [action for known, action in policy.table.actions if known == kind]


#: The decision that ends a batch early.
_LAST = {Semantic.EXECUTE_ALL: None, Semantic.DENY_ON_FIRST_DENY: False, Semantic.PERMIT_ON_FIRST_PERMIT: True}


#: A reply and the decisions in it; None for those where something could not be understood.
_Answered = tuple[Reply, list[tuple[Query, Decision]] | None]


class _Evaluations:
    def __init__(
        self, policy: Callable[[], Policy], record: Record, entities: Callable[[], Entities], clock: Clock
    ) -> None:
        self._policy, self._record, self._entities, self._clock = policy, record, entities, clock
        self._answers = Answers()
        # The two read the same bytes differently.
        self._of_one, self._of_many = Remembered(), Remembered()

    def one(self, call: Call) -> Reply:
        return self._answered(self._of_one, self._one, call)

    def many(self, call: Call) -> Reply:
        return self._answered(self._of_many, self._many, call)

    def _answered(
        self, remembered: Remembered, answer: Callable[[Message, Policy, Entities, Call], _Answered], call: Call
    ) -> Reply:
        body, policy, entities, record = call.json_body(), self._policy(), self._entities(), self._record
        known = remembered.find(body, policy, entities)
        if known is not None:
            for asked, decision in known.decisions:
                record(asked, decision, call)
            return known.reply
        reply, decisions = answer(an_object(parse_deep(body)), policy, entities, call)
        if decisions is not None:
            remembered.keep(body, policy, entities, reply, decisions)
        return reply

    def _one(self, message: Message, policy: Policy, entities: Entities, call: Call) -> _Answered:
        asked = query(message, entities)
        decision = policy.decide(asked)
        self._record(asked, decision, call)
        return Reply(self._answers.of(asked, decision)), [(asked, decision)]

    def _many(self, message: Message, policy: Policy, entities: Entities, call: Call) -> _Answered:
        ends_with = _LAST[semantic(message)]
        wanted = items(message)
        if not wanted:
            return self._one(message, policy, entities, call)
        limits = call.limits
        if len(wanted) > limits.batch:
            raise MalformedRequest(f"`evaluations` has more than {limits.batch} items; send fewer at a time", 413)
        batch = Batch(message, entities)
        # Most items name a resource, and have the rest in common.
        alike, decide, decide_alike = batch.alike, policy.decide, policy.deciding()
        record, text_of, clock = self._record, self._answers.of, self._clock
        until = clock() + limits.seconds
        texts: list[bytes] = []
        decisions: list[tuple[Query, Decision]] = []
        for item in wanted:
            if clock() > until:
                raise MalformedRequest("the evaluations take too long; send fewer at a time", 413)
            try:
                asked = alike(item)
                if asked is not None:
                    decision = decide_alike(asked)
                else:
                    asked = batch.query(item)
                    decision = decide(asked)
            except MalformedRequest as error:
                texts.append(malformed(str(error), policy.revision))
                if ends_with is False:
                    break
                continue
            record(asked, decision, call)
            texts.append(text_of(asked, decision))
            decisions.append((asked, decision))
            if decision.allowed is ends_with:
                break
        reply = Reply(b'{"evaluations":[%b]}' % b",".join(texts))
        return reply, decisions if len(decisions) == len(texts) else None


class _Searches:
    def __init__(self, policy: Callable[[], Policy], entities: Callable[[], Entities], clock: Clock) -> None:
        self._policy, self._entities, self._clock = policy, entities, clock

    def subjects(self, call: Call) -> Reply:
        message, entities = call.json_object(), self._entities()
        return self._found("subject", message, searches.subjects(message, entities), self._policy(), entities, call)

    def resources(self, call: Call) -> Reply:
        message, entities = call.json_object(), self._entities()
        return self._found("resource", message, searches.resources(message, entities), self._policy(), entities, call)

    def actions(self, call: Call) -> Reply:
        message, entities, policy = call.json_object(), self._entities(), self._policy()
        search = searches.actions(message, entities, lambda kind: mentioned_actions(policy, kind))
        return self._found("action", message, search, policy, entities, call)

    def _found(
        self, what: str, message: Message, search: Search, policy: Policy, entities: Entities, call: Call
    ) -> Reply:
        clock, until = self._clock, self._clock() + call.limits.seconds
        wished = searches.page(message, what, policy.revision, entities.revision)
        return json_reply(
            searches.found(search, wished, lambda asked: policy.decide(asked).allowed, lambda: clock() > until)
        )


def _metadata(base: str | None) -> Endpoint:
    def reply(_call: Call) -> Reply:
        if base is None:
            raise MalformedRequest("there is no metadata, because the option `public_url` is not set", 404)
        return json_reply(metadata.metadata(base))

    return reply
