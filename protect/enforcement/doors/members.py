"""Members of an image: who it is shared with."""

from __future__ import annotations

from typing import cast

from protect import json_bodies
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance import documents
from protect.glance.documents import Document, UnexpectedDocument
from protect.upstream.answers import Answer, editable
from protect.upstream.facts import StoredMember
from protect.values import Decision, Image, Member


def list_members(x: Exchange) -> Plan:
    image = x.image()
    for action in x.match.route.actions:
        x.require(action, image, about=image)
    return Plan(edit=lambda answer: _edit_list(x, answer, image))


def show(x: Exchange) -> Plan:
    image = x.image()
    x.require("get_image", image, about=image)
    return Plan(edit=lambda answer: _edit_member(x, answer, image))


def add(x: Exchange) -> Plan:
    tenant = json_bodies.required_text(x.read_object(), "member")
    image = x.image()
    x.require("add_member", Member(tenant, image, "pending"), about=image)
    return Plan(json_bodies.dump({"member": tenant}))


def update(x: Exchange) -> Plan:
    status = json_bodies.required_text(x.read_object(), "status")
    image, tenant = x.image(), x.match.names["member"]
    x.require("get_member", _stored(tenant, image), about=image)
    x.require("modify_member", Member(tenant, image, status), about=image)
    return Plan(json_bodies.dump({"status": status}))


def delete(x: Exchange) -> Plan:
    image = x.image()
    member = _stored(x.match.names["member"], image)
    for action in x.match.route.actions:
        x.require(action, member, about=image)
    return Plan()


def _stored(tenant: str, image: Image) -> Member:
    return cast("Member", StoredMember(tenant, image))


def _edit_list(x: Exchange, answer: Answer, image: Image) -> Answer:
    page, rows = documents.read_members(editable(answer))
    page["members"] = [row for row in rows if _shown(x, row, image).allowed]
    return answer.with_body(documents.write(page))


def _edit_member(x: Exchange, answer: Answer, image: Image) -> Answer:
    row = documents.check_member(documents.read_object(editable(answer)))
    if row["member_id"] != x.match.names["member"]:
        raise UnexpectedDocument("another member than the one asked for")
    decision = _shown(x, row, image)
    if decision.error:
        raise x.refused(decision, "", "get_member", image)
    if not decision.allowed:
        raise x.no_member()
    return answer


def _shown(x: Exchange, row: Document, image: Image) -> Decision:
    return x.decide("get_member", Member(row["member_id"], image, row["status"]))
