"""Requests that are decided by the actions of their route alone, and stream through: most of the API."""

from __future__ import annotations

from typing import cast

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance import documents
from protect.glance.routes import On
from protect.upstream.facts import NOT_TOLD, FetchedTask, stored_task
from protect.values import AnyResource, Store, Task


def act(x: Exchange) -> Plan:
    resource = _resource(x)
    for action in x.match.route.actions:
        x.require(action, resource, about=resource)
    return Plan()


def _resource(x: Exchange) -> AnyResource:
    """Return what the actions of a route are decided on."""
    names, on = x.match.names, x.match.route.on
    if on is On.IMAGE:
        return x.image()
    if on is On.TASK:
        return _task(x)
    return Store(id=names.get("store"), attributes=NOT_TOLD)


def _task(x: Exchange) -> AnyResource:
    task_id = x.match.names.get("task")
    if task_id is None:
        return Task(owner=x.subject.tenant)
    path = x.match.path.inside("tasks", task_id)
    fetched = FetchedTask(task_id, lambda: x.api.fetch(path, lambda body: stored_task(documents.read_object(body))))
    return cast("AnyResource", fetched)
