"""Declarative policy and property protection for image APIs."""

from __future__ import annotations

from protect.errors import PolicyError, Problem, ProtectError
from protect.policy import Policy
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
