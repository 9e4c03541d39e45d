"""Tasks: one that is created, and those that made an image. Both carry the properties of an import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protect import json_bodies
from protect.enforcement import redaction
from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.writing import creatable
from protect.errors import MalformedRequest
from protect.glance import documents
from protect.glance.documents import Document, StoredImage, UnexpectedDocument, as_image
from protect.upstream.answers import Answer, editable
from protect.upstream.facts import stored_task
from protect.values import Task


def create(x: Exchange) -> Plan:
    body = x.read_object()
    given = _object(body, "input")
    task = Task(type=json_bodies.required_text(body, "type"), owner=x.subject.tenant, attributes=given)
    if isinstance(given.get("backend"), str):
        x.context["store"] = given["backend"]
    x.require("tasks_api_access", task)
    if task.type != "import":
        # The API makes these itself when an image is imported or gets a location, and has doors of their own for that.
        raise MalformedRequest("only tasks of type `import` can be made here")
    # An import makes an image and writes these into it, past every other door.
    wanted = _object(given, "image_properties")
    kept = creatable(x, wanted)
    discarded = tuple(name for name in wanted if name not in kept)
    for name in discarded:
        del wanted[name]
    return Plan(json_bodies.dump(body), edit=lambda answer: _edit_task(x, answer), discarded=discarded)


def _object(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key, {})
    if not isinstance(value, dict):
        raise MalformedRequest(f"`{key}` must be an object, not {json_bodies.kind(value)}")
    return value


def show(x: Exchange) -> Plan:
    act(x)
    return Plan(edit=lambda answer: _edit_task(x, answer))


def list_tasks(x: Exchange) -> Plan:
    act(x)
    return Plan(edit=lambda answer: _edit_tasks(x, answer))


def _edit_task(x: Exchange, answer: Answer) -> Answer:
    task = documents.read_object(editable(answer))
    wanted = x.match.names.get("task")
    if wanted is not None and task.get("id") != wanted:
        raise UnexpectedDocument("another task than the one asked for")
    _cut(x, task)
    return answer.with_body(documents.write(task))


def _edit_tasks(x: Exchange, answer: Answer) -> Answer:
    page, tasks = documents.read_tasks(editable(answer))
    page["tasks"] = [task for task in tasks if x.decide("tasks_api_access", stored_task(task)).allowed]
    for task in page["tasks"]:
        _cut(x, task)
    return answer.with_body(documents.write(page))


def _cut(x: Exchange, task: Document) -> None:
    """Remove in place what may not be read of the image that an import wanted to make."""
    given = task.get("input")
    wanted = given.get("image_properties") if isinstance(given, dict) else None
    if not isinstance(wanted, dict):
        return
    facts = {"owner": task.get("owner"), "status": "queued", "visibility": "shared"} | wanted
    redaction.cut(x, wanted, as_image(StoredImage(facts)))


def list_of_image(x: Exchange) -> Plan:
    act(x)
    return Plan(edit=lambda answer: _edit_list(x, answer))


def _edit_list(x: Exchange, answer: Answer) -> Answer:
    page, tasks = documents.read_tasks(editable(answer))
    for task in tasks:
        if not x.decide("tasks_api_access", stored_task(task)).allowed:
            # These repeat the properties that the image was imported with.
            task.update({key: None for key in ("input", "result", "message") if key in task})
        _cut(x, task)
    return answer.with_body(documents.write(page))
