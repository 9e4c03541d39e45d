"""The page about the filter tells how to hide an image wholly: so it is, by every route that names one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from protect.glance.routes import IMAGES, Body, Route
from tests.doors import ADMIN, Doors, replace
from tests.image_api import ID, image

PAGE = (Path(__file__).parent.parent / "docs" / "install.md").read_text(encoding="utf-8")
RULES = "".join(re.findall(r"^    .*\n", PAGE.split("## Hiding an image\n")[1].split("\n## ")[0], re.MULTILINE))
ADMINS = 'image_admin(subject) if subject.has_role("admin");\n'

BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/images/{image}"): [replace("name", "x")],
    ("POST", "/images/{image}/import"): {"method": {"name": "glance-direct"}},
    ("POST", "/images/{image}/locations"): {"url": "http://host/x"},
    ("POST", "/images/{image}/members"): {"member": "t2"},
    ("PUT", "/images/{image}/members/{member}"): {"status": "accepted"},
}
ROUTES = [route for route in IMAGES if "{image}" in route.path]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_hidden_image_is_not_there_for_its_owner_either(route: Route) -> None:
    def status(headers: dict[str, str] | None = None, **facts: Any) -> tuple[int, bool]:
        doors = Doors(ADMINS + RULES, image(1, visibility="shared", **facts))
        doors.api.members[ID.format(1)] = {"t2": "pending"}
        names = {"image": ID.format(1), "member": "t2", "tag": "t", "store": "s"}
        path = "/v2" + re.sub(r"{(\w+)}", lambda brace: names[brace[1]], route.path)
        body = BODIES[route.method, route.path] if route.body is Body.JSON else None
        return doors.ask(route.method, path, body, headers).status_int, bool(doors.changed)

    assert status(quarantine="yes") == (404, False)
    assert status(quarantine="no")[0] < 300
    assert status(ADMIN, quarantine="yes")[0] < 300


def test_a_list_leaves_it_out() -> None:
    def shown(quarantine: str) -> int:
        return len(Doors(ADMINS + RULES, image(1, quarantine=quarantine)).ask("GET", "/v2/images").json["images"])

    assert (shown("yes"), shown("no")) == (0, 1)


@pytest.mark.parametrize(("name", "status"), [("quarantine", 403), ("colour", 200)])
def test_nobody_takes_an_image_out_of_it_or_puts_one_there(name: str, status: int) -> None:
    doors = Doors(ADMINS + RULES, image(1))
    assert doors.patch({"op": "add", "path": f"/{name}", "value": "yes"}).status_int == status
    assert doors.ask("POST", "/v2/images", {name: "yes"}).status_int == (201 if status == 200 else 403)
