"""Requests that are decided by the actions of their route alone, and stream through: most of the API."""

from __future__ import annotations

from typing import cast

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance import documents
from protect.glance.routes import On
from protect.upstream.facts import FetchedMetadef
from protect.values import AnyResource, Metadef, Store, Task


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
        return Task(id=names.get("task"), owner=None if "task" in names else x.subject.tenant)
    if on is On.STORE:
        return Store(id=names.get("store"))
    return _metadef(x, on)


def _metadef(x: Exchange, on: On) -> AnyResource:
    namespace = x.match.names.get("namespace")
    if namespace is None:
        return Metadef(type=on.value, owner=x.subject.tenant)
    # PATH_INFO holds the bytes of the path, read as latin-1.
    path = x.match.path.inside("metadefs", "namespaces", namespace.encode().decode("latin-1"))
    item = namespace if on is On.NAMESPACE else x.match.names.get("item")
    metadef = FetchedMetadef(on.value, item, namespace, lambda: x.api.fetch(path, documents.read_object))
    return cast("AnyResource", metadef)
