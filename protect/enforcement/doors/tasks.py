"""Tasks: one that is created, and those that made an image. Both carry the properties of an import."""

from __future__ import annotations

from typing import Any

from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.writing import discarded_on_create
from protect.glance import documents, json_bodies
from protect.glance.attributes import CORE
from protect.glance.documents import UnexpectedDocument
from protect.upstream.answers import Answer, editable
from protect.values import Image, Task


def create(x: Exchange) -> Plan:
    body = x.read_object()
    given = _object(body.get("input"))
    task = Task(type=json_bodies.required_text(body, "type"), owner=x.subject.tenant, attributes=given)
    x.require("tasks_api_access", task)
    # An import task writes these into the image it makes, past every other door.
    wanted = _object(given.get("image_properties"))
    custom = {name: value for name, value in wanted.items() if name not in CORE}
    for name, value in custom.items():
        documents.check_property(name, value)
    image = Image(owner=x.subject.tenant, status="queued", properties=custom)
    discarded = discarded_on_create(x, image, custom)
    for name in discarded:
        del wanted[name]
    return Plan(json_bodies.dump(body), discarded=discarded)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of_image(x: Exchange) -> Plan:
    act(x)
    return Plan(edit=lambda answer: _edit_list(x, answer))


def _edit_list(x: Exchange, answer: Answer) -> Answer:
    page = documents.read_object(editable(answer))
    tasks = page.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UnexpectedDocument("a list without `tasks`")
    for task in tasks:
        about = Task(**{key: _text_or_none(task.get(key)) for key in ("id", "type", "owner", "status")})
        if not x.decide("tasks_api_access", about).allowed:
            # These repeat the properties that the image was imported with.
            task.update({key: None for key in ("input", "result", "message") if key in task})
    return answer.with_body(documents.write(page))


def _text_or_none(value: object) -> Any:
    return value if isinstance(value, str) else None
