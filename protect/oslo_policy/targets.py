"""Targets as services hand them to oslo.policy, turned into data that can be sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from protect.errors import ProtectError
from protect.glance.targets import ATTRIBUTES

MAX_DEPTH = 8  # objects and arrays inside each other


class Unsendable(ProtectError):
    """A fact is not data. Left out, it could silence a rule that forbids."""


def plain(target: object) -> dict[str, object]:
    """Return the facts of a target; raises Unsendable."""
    image = getattr(target, "target", None)
    if hasattr(image, "image_id") and hasattr(image, "extra_properties"):
        return _image(image)
    if not isinstance(target, Mapping):
        raise Unsendable(f"the target is a {type(target).__name__}, not a mapping")
    return {str(key): data(str(key), target[key]) for key in target}


def _image(image: object) -> dict[str, object]:
    facts = {name: data(name, getattr(image, name)) for name in (*ATTRIBUTES, "image_id", "member") if name != "tags"}
    # One of the API's own layers keeps them in something that can be gone through, and is no set.
    facts["tags"] = data("tags", frozenset(image.tags or ()))  # type: ignore[attr-defined]
    # Its own iterator finds nothing in it, and so does whatever copies it; its keys are all there.
    custom = image.extra_properties  # type: ignore[attr-defined]
    facts["extra_properties"] = {name: data(name, custom[name]) for name in custom.keys()}  # noqa: SIM118
    return facts


def data(name: str, value: object, depth: int = 0) -> object:
    """Return ``value`` as JSON knows it; raises Unsendable."""
    if value is None or type(value) in (str, bool, int):
        return value
    if depth < MAX_DEPTH:
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        if isinstance(value, list | tuple):
            return [data(name, item, depth + 1) for item in value]
        if isinstance(value, set | frozenset):
            return sorted((data(name, item, depth + 1) for item in value), key=str)
        if isinstance(value, Mapping):
            return {str(key): data(name, value[key], depth + 1) for key in value}
    raise Unsendable(f"`{name}` of the target cannot be sent: it is a {type(value).__name__}")
