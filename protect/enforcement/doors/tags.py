"""One tag of an image, put on it or taken off: a change of the attribute `tags`."""

from __future__ import annotations

from protect.enforcement.doors.act import act
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.writing import attribute_written
from protect.upstream.answers import Answer


def change(x: Exchange) -> Plan:
    plan = act(x)
    if attribute_written(x, "update", x.image(), "tags", [x.match.names["tag"]]):
        return plan
    return Plan(answer=Answer("204 No Content", [], b""), discarded=("tags",))
