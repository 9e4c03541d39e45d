"""The check `protect:` for oslo.policy. It runs inside other people's services: nothing heavy is imported here."""

from __future__ import annotations

from protect.oslo_policy.check import ProtectCheck

__all__ = ["ProtectCheck"]
