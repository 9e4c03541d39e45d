"""The policy and its decision graph: pure values in, decisions out."""

from __future__ import annotations

from protect.policy.policy import Policy

__all__ = ["Policy"]
