"""What the decision log says of each decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from protect.values import Decision


class Mode(StrEnum):
    """Whether decisions are carried out, or only made and logged."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Outcome(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    ERROR = "error"
    DISCARDED = "discarded"

    @classmethod
    def of(cls, decision: Decision) -> Outcome:
        if decision.allowed:
            return cls.ALLOWED
        if decision.error:
            return cls.ERROR
        return cls.DISCARDED if decision.discard else cls.DENIED


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the decision log. ``property`` is a name: values never get here. ``facts`` as in `logged_facts`."""

    outcome: Outcome
    action: str
    resource: str
    resource_id: str | None
    property: str | None
    subject: str | None
    tenant: str | None
    reason: str
    revision: str
    mode: Mode
    request_id: str | None
    facts: Mapping[str, object] | None = None
