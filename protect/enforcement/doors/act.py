"""Requests that are decided by the actions of their route alone, and stream through: most of the API."""

from __future__ import annotations

from typing import cast

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance import documents
from protect.glance.routes import On
from protect.upstream.facts import FetchedMetadef, FetchedTask, stored_task
from protect.values import AnyResource, Metadef, Store, Task

_INSIDE_NAMESPACES = frozenset({On.OBJECT, On.PROPERTY, On.TAG, On.RESOURCE_TYPE})


def act(x: Exchange) -> Plan:
    resource = _resource(x)
    about = resource
    if x.match.route.on in _INSIDE_NAMESPACES and "namespace" in x.match.names:
        # Who may not see the namespace sees nothing in it, and changes nothing.
        about = metadef(x, On.NAMESPACE)
        x.require("get_metadef_namespace", about, about=about)
    for action in x.match.route.actions:
        x.require(action, resource, about=about)
    return Plan()


def _resource(x: Exchange) -> AnyResource:
    """Return what the actions of a route are decided on."""
    names, on = x.match.names, x.match.route.on
    if on is On.IMAGE:
        return x.image()
    if on is On.TASK:
        return _task(x)
    if on is On.STORE:
        return Store(id=names.get("store"))
    return metadef(x, on)


def _task(x: Exchange) -> AnyResource:
    task_id = x.match.names.get("task")
    if task_id is None:
        return Task(owner=x.subject.tenant)
    path = x.match.path.inside("tasks", task_id)
    fetched = FetchedTask(task_id, lambda: x.api.fetch(path, lambda body: stored_task(documents.read_object(body))))
    return cast("AnyResource", fetched)


def metadef(x: Exchange, on: On) -> AnyResource:
    """Return the metadata definition that the path names, or one of another type in the same namespace."""
    namespace = x.match.names.get("namespace")
    if namespace is None:
        return Metadef(type=on.value, owner=x.subject.tenant)
    # PATH_INFO holds the bytes of the path, read as latin-1.
    path = x.match.path.inside("metadefs", "namespaces", namespace.encode().decode("latin-1"))
    item = namespace if on is On.NAMESPACE else x.match.names.get("item")
    fetched = FetchedMetadef(on.value, item, namespace, lambda: x.api.fetch(path, documents.read_object))
    return cast("AnyResource", fetched)
