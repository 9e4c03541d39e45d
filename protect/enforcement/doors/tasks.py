"""Tasks: one that is created, and those that made an image. They carry properties and addresses of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protect import json_bodies
from protect.enforcement import redaction
from protect.enforcement.doors import pages
from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.writing import creatable
from protect.errors import MalformedRequest
from protect.glance import documents
from protect.glance.attributes import LOCATION_ATTRIBUTES
from protect.glance.documents import Document, StoredImage, UnexpectedDocument, as_image
from protect.glance.paths import is_identifier
from protect.upstream.addresses import before_address
from protect.upstream.answers import Answer, editable
from protect.upstream.facts import stored_task
from protect.values import Image, Property, Task

# What of a task repeats what it was asked for, and what became of it.
_TELLING = ("input", "result", "message")
_ROWS = pages.Rows(documents.read_tasks, "tasks", "id")


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
    return Plan(edit=lambda answer: pages.edit(x, answer, _ROWS, lambda tasks: _visible(x, tasks)))


def _edit_task(x: Exchange, answer: Answer) -> Answer:
    task = documents.read_object(editable(answer))
    wanted = x.match.names.get("task")
    if wanted is not None and task.get("id") != wanted:
        raise UnexpectedDocument("another task than the one asked for")
    _cut(x, task)
    return answer.with_body(documents.write(task))


def _visible(x: Exchange, tasks: list[Document]) -> list[Document]:
    kept = [task for task in tasks if x.decide("tasks_api_access", stored_task(task)).allowed]
    for task in kept:
        _cut(x, task)
    return kept


def list_of_image(x: Exchange) -> Plan:
    act(x)
    return Plan(edit=lambda answer: _edit_list(x, answer))


def _edit_list(x: Exchange, answer: Answer) -> Answer:
    page, tasks = documents.read_tasks(editable(answer))
    for task in tasks:
        if not x.decide("tasks_api_access", stored_task(task)).allowed:
            # These repeat the properties that the image was imported with.
            task.update({key: None for key in _TELLING if key in task})
        _cut(x, task)
    return answer.with_body(documents.write(page))


def _cut(x: Exchange, task: Document) -> None:
    """Remove in place what may not be read of the image that a task makes or has made: properties, then addresses."""
    given = task.get("input")
    wanted = given.get("image_properties") if isinstance(given, dict) else None
    if isinstance(wanted, dict):
        redaction.cut(x, wanted, _proposed(task, wanted))
    else:
        wanted = {}
    told = {key: task[key] for key in _TELLING if task.get(key)}
    shown = {key: _without_addresses(value, wanted) for key, value in told.items()}
    if shown != told and not _locations_shown(x, task, wanted):
        task.update(shown)


def _without_addresses(value: Any, kept: Document) -> Any:
    """Return a value of JSON with every text cut off where an address begins, but for ``kept``, decided on before."""
    if isinstance(value, str):
        return before_address(value)
    if isinstance(value, list):
        return [_without_addresses(each, kept) for each in value]
    if isinstance(value, dict) and value is not kept:
        return {before_address(key): _without_addresses(each, kept) for key, each in value.items()}
    return value


def _locations_shown(x: Exchange, task: Document, wanted: Document) -> bool:
    """Tell whether the subject may know where the data are of each image that a task names, or is going to make."""
    if "image" in x.match.names:
        return _may_locate(x, x.image())
    parts = [part for part in (task, task.get("input"), task.get("result")) if isinstance(part, dict)]
    named = [part["image_id"] for part in parts if part.get("image_id") is not None]
    if not all(isinstance(each, str) and is_identifier(each) for each in named):
        return False
    images = [as_image(x.fetched_by_id(each)) for each in sorted(set(named))] or [_proposed(task, wanted)]
    return all(_may_locate(x, image) for image in images)


def _may_locate(x: Exchange, image: Image) -> bool:
    if not x.decide("get_image_location", image).allowed:
        return False
    names = sorted(LOCATION_ATTRIBUTES)
    return all(x.forbidden("read", Property(name, image, core=True)).allowed for name in names)


def _proposed(task: Document, wanted: Document) -> Image:
    return as_image(StoredImage({"owner": task.get("owner"), "status": "queued", "visibility": "shared"} | wanted))
