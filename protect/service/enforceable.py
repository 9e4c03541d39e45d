"""What a gateway can carry out of a decision: it passes a request on as it is, or refuses it, and edits nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import orjson

from protect import json_bodies
from protect.enforcement.doors import DOORS, metadefs
from protect.enforcement.plan import Plan
from protect.enforcement.refusals import relayed
from protect.errors import ProtectError
from protect.glance import definitions, documents, patches, queries
from protect.glance.routes import Body, Door, On
from protect.service.rehearsal import Rehearsal
from protect.upstream.answers import Answer, editable
from protect.upstream.bodies import has_body
from protect.upstream.facts import StoredMember
from protect.upstream.subrequests import Unavailable
from protect.values import AnyResource, Image, Member, Task


class Gateway(StrEnum):
    """What becomes of a request that is allowed, where the gateway cannot carry out all that the policy says.

    ``strict``: it is refused. ``action``: it passes when its actions are allowed, whatever properties it shows.
    """

    STRICT = "strict"
    ACTION = "action"


class Unenforceable(ProtectError):
    """The policy allows the request, but not as it is, and the gateway can only pass it on as it is."""


#: Answers that are edited for the sake of clients, and not to keep something from them.
_HARMLESS = frozenset({Door.SCHEMA})


def require(x: Rehearsal, mode: Gateway) -> None:
    """Raise Refused or MalformedRequest where the filter refuses a request, Unenforceable where a gateway must."""
    if x.match.route.body is Body.JSON and not has_body(x.environ):
        _require_actions(x)
        if mode is Gateway.STRICT:
            raise Unenforceable("its body would have to be decided on, and the gateway does not show it")
        return
    door = x.match.route.door
    plan = DOORS[door](x)
    if plan.answer is not None or plan.discarded:
        raise Unenforceable("something in it would have to be dropped")
    if plan.body is not None:
        _require_same_body(x, plan)
    if door is Door.MEMBER_SHOW:
        # Shown as a whole or not at all.
        member: Any = StoredMember(x.match.names["member"], x.image())
        decision = x.decide("get_member", member)
        if not decision.allowed:
            raise x.refused(decision, "", "get_member", x.image()) if decision.error else x.no_member()
    elif mode is Gateway.STRICT and plan.edit is not None and door not in _HARMLESS:
        _require_same_answer(x, plan, plan.edit)
    elif door is Door.SHOW:
        x.require("get_image", x.image(), about=x.image())


def _require_actions(x: Rehearsal) -> None:
    """Decide on the actions of a request of which the body is not shown."""
    if x.match.route.on in definitions.ADD:
        metadefs.require_actions(x)
        return
    resource, about = _resource(x)
    for action in x.match.route.actions:
        x.require(action, resource, about=about)


def _resource(x: Rehearsal) -> tuple[AnyResource, AnyResource | None]:
    on, names, tenant = x.match.route.on, x.match.names, x.subject.tenant
    if "image" in names:
        image = x.image()
        return (Member(names.get("member"), image) if on is On.MEMBER else image), image
    if on is On.IMAGE:
        return Image(owner=tenant, visibility="shared", status="queued"), None
    return Task(owner=tenant), None


def _require_same_body(x: Rehearsal, plan: Plan) -> None:
    """Raise Unenforceable where the API would not get what was decided on: the filter writes bodies anew."""
    given, _, parameters = str(x.environ.get("CONTENT_TYPE") or "").partition(";")
    plain = parameters.strip().lower().replace('"', "") in ("", "charset=utf-8")
    if given.strip().lower() != plan.content_type or not plain:
        raise Unenforceable(f"its Content-Type is not {plan.content_type}")
    if _sorted(x.read_body()) != _sorted(plan.body or b""):
        raise Unenforceable("its body has more than is decided on, or says it in another way")


def _sorted(body: bytes) -> str:
    return json.dumps(json_bodies.parse(body), sort_keys=True)


def _require_same_answer(x: Rehearsal, plan: Plan, edit: Callable[[Answer], Answer]) -> None:
    """Raise Unenforceable where something would have to be cut out of the answer; Refused as the filter does, and where
    there is no answer to look at."""
    door = x.match.route.door
    if door is Door.LIST:
        _require_open_question(x)
    if plan.check is not None:
        plan.check()
    answer = _expected(x, plan)
    if answer.code != 200:
        # The client may get another answer than we did, a moment later or to a request that is spelled otherwise.
        raise relayed(Unavailable(answer))
    before, after = orjson.loads(editable(answer)), orjson.loads(edit(answer).body)
    if door is Door.LIST:
        # A page that was filled up again shows more; what counts is that nothing of the API's own is missing.
        before, after = before["images"], after["images"][: len(before["images"])]
    if before != after:
        raise Unenforceable("something in the answer may not be shown")


def _require_open_question(x: Rehearsal) -> None:
    """Raise Unenforceable where the order or the length of a list could tell what may not be read."""
    pairs = x.parameters()
    filters = x.point.foresee(x.subject, x.context, queries.property_filters(pairs))
    attributes = x.hidden_attributes()
    asked = queries.attributes_asked(pairs) & (attributes.always | attributes.sometimes)
    if filters.always or filters.sometimes or asked:
        raise Unenforceable("the list is filtered or sorted by what may not be read on every image")


def _expected(x: Rehearsal, plan: Plan) -> Answer:
    """Return the answer that the API will give, or one that says the same where asking for it would change something.

    Raises Unenforceable where there is no API to ask.
    """
    door = x.match.route.door
    if door is Door.SHOW:
        return _document(x.fetched().stored().document)
    if door is Door.PATCH:
        stored = x.fetched().stored().document
        return _document(patches.applied(stored, patches.read(plan.body or b"", plan.content_type)))
    if door is Door.CREATE:
        proposed = documents.read_object(plan.body or b"")
        made = {"id": "new", "owner": x.subject.tenant, "visibility": "shared", "status": "queued"}
        return _document(made | proposed)
    if door is Door.TASK_CREATE:
        return _document({"owner": x.subject.tenant, **documents.read_object(plan.body or b"")})
    if x.find is not None:
        raise Unenforceable("there is no API to ask what the answer will be")
    return x.api.get(str(x.environ["PATH_INFO"]), str(x.environ.get("QUERY_STRING", "")))


def _document(document: Mapping[str, object]) -> Answer:
    return Answer("200 OK", [], documents.write(document))
