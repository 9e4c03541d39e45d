"""The filter with a policy, written as text, in front of the tiny image API."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from webob import Request, Response

from protect import Policy
from protect.enforcement import Entry, Protect
from protect.glance.patches import V21
from protect.identity.keystone import VERIFIED, identify
from protect.polar.compiler import compile_policy
from tests.image_api import ID, Document, ImageApi

ONE = ID.format(1)
V2 = f"/v2/images/{ONE}"
MADE = ID.format(9)

#: Everything is allowed but what a test forbids.
OPEN = "allow(_subject: Subject, _action, _resource);\n"

ADMIN = {"X-Roles": "admin,member,reader"}


@cache
def policy(text: str) -> Policy:
    """Return the policy that allows everything, and has these rules besides."""
    return compile_policy([("test.polar", OPEN + text)], "r1")


class Doors:
    """A filter, the API behind it, and what was logged. Asks as a member of tenant `t1`."""

    def __init__(self, rules: str | Policy, *images: Document) -> None:
        self.api = ImageApi(*images)
        self.log: list[Entry] = []
        point = policy(rules) if isinstance(rules, str) else rules
        self.filter = Protect(self.api, policy=lambda: point, identify=identify, log=self.log.append)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
        identity = {
            "X-Identity-Status": "Confirmed",
            "X-User-Id": "u1",
            "X-Project-Id": "t1",
            "X-Roles": "member,reader",
            "Accept": "application/json",
        }
        request = Request.blank(path, {VERIFIED: object()}, method=method, headers=identity | (headers or {}))
        if body is not None:
            request.body = json.dumps(body).encode()
        if method == "PATCH" and "Content-Type" not in (headers or {}):
            request.content_type = V21
        return request.get_response(self.filter)

    def patch(self, *changes: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
        return self.ask("PATCH", V2, list(changes), headers)

    @property
    def lines(self) -> list[tuple[str, str, str | None]]:
        return [(entry.outcome.value, entry.action, entry.property) for entry in self.log]

    @property
    def changed(self) -> list[str]:
        """What reached the API and was no question."""
        return [call for call in self.api.calls if not call.startswith("GET")]


def replace(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}
