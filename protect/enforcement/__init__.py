"""The enforcement point: a WSGI filter that asks about every request, and does what the answer says."""

from __future__ import annotations

from protect.enforcement.decision_log import Entry, Mode, Outcome
from protect.enforcement.filter import Protect

__all__ = ["Entry", "Mode", "Outcome", "Protect"]
