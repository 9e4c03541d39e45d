"""An image's data: upload, download and import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from protect import json_bodies
from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.errors import MalformedRequest
from protect.glance import documents, queries

MAX_STORES = 100  # stores that one request may name


def upload(x: Exchange) -> Plan:
    _require_in_each(x, _named_in_header(x), x.match.route.actions)
    return Plan(capped=True)


def stage(x: Exchange) -> Plan:
    act(x)
    return Plan(capped=True)


def download(x: Exchange) -> Plan:
    preferred = queries.preferred_stores(x.parameters())
    actions = x.match.route.actions
    if preferred is not None:
        actions = (*actions, "download_from_store")
    _require_in_each(x, preferred or (), actions)
    return Plan()


def import_(x: Exchange) -> Plan:
    body = x.read_object()
    method = body.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    if not isinstance(method, dict) or not isinstance(name, str):
        raise MalformedRequest("an import needs `method` with the text `name`")
    x.context["import_method"] = name
    if isinstance(method.get("uri"), str):
        x.context["import_uri"] = method["uri"]
    actions = ("copy_image",) if name == "copy-image" else x.match.route.actions
    _require_in_each(x, _imported_to(x, body), actions)
    return Plan(json_bodies.dump(body))


def _require_in_each(x: Exchange, stores: Iterable[str], actions: Iterable[str]) -> None:
    """Raise Refused unless the actions are allowed with each of the stores as a fact, or without one if there are none.

    Only what the API itself goes by is a fact: a header or a parameter that it does not read here is none.
    """
    image, named = x.image(), tuple(dict.fromkeys(stores))
    if len(named) > MAX_STORES:
        raise MalformedRequest(f"the request names more than {MAX_STORES} stores")
    for store in named or (None,):
        if store is not None:
            x.context["store"] = store
        for action in actions:
            x.require(action, image, about=image)


def _named_in_header(x: Exchange) -> tuple[str, ...]:
    named = x.environ.get("HTTP_X_IMAGE_META_STORE")
    return (str(named),) if named else ()


def _imported_to(x: Exchange, body: Mapping[str, object]) -> tuple[str, ...]:
    """Return the stores that an import names; raises MalformedRequest where they cannot be told."""
    everywhere, named = body.get("all_stores", False), body.get("stores")
    if not isinstance(everywhere, bool):
        raise MalformedRequest("`all_stores` must be true or false")
    if everywhere:
        if "stores" in body:
            raise MalformedRequest("`all_stores` and `stores` exclude each other")
        return x.api.fetch(x.match.path.inside("info", "stores"), documents.read_stores)
    if "stores" not in body:
        return _named_in_header(x)
    if not isinstance(named, list) or not all(isinstance(store, str) and store for store in named):
        raise MalformedRequest("`stores` must be an array of text that is not empty")
    return tuple(cast("list[str]", named))
