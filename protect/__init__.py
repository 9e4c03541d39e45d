"""Declarative policy and property protection for image APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protect.errors import PolicyError, Problem, ProtectError
from protect.values import (
    Decision,
    Explanation,
    Image,
    Location,
    Member,
    Metadef,
    Property,
    Query,
    Resource,
    Store,
    Subject,
    Task,
)

if TYPE_CHECKING:
    from protect.policy import Policy

__all__ = [
    "Decision",
    "Explanation",
    "Image",
    "Location",
    "Member",
    "Metadef",
    "Policy",
    "PolicyError",
    "Problem",
    "Property",
    "ProtectError",
    "Query",
    "Resource",
    "Store",
    "Subject",
    "Task",
]


def __getattr__(name: str) -> Any:
    # The check for oslo.policy lives in other people's services: they need not load what decides.
    if name == "Policy":
        from protect.policy import Policy

        return Policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
