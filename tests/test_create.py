"""POST of an image through the filter: what is dropped decides nothing."""

from __future__ import annotations

from typing import Any

import pytest

from protect.values import Image, Property, Query
from tests.image_api import ID
from tests.test_enforcement import Bench, Point


def approved(query: Query) -> bool:
    """Allow to add an image and its properties where `approved` is one of them, but not `approved` itself."""
    resource = query.resource
    if isinstance(resource, Property):
        return resource.name != "approved" and resource.image.properties.get("approved") == "yes"
    return True


def approved_images(query: Query) -> bool:
    resource = query.resource
    if isinstance(resource, Property):
        return resource.name != "approved"
    return query.action != "add_image" or (isinstance(resource, Image) and "approved" in resource.properties)


def chain(query: Query) -> bool:
    """Each property is allowed where the one before it stays: `a` is dropped, and with it all of them."""
    resource = query.resource
    if not isinstance(resource, Property):
        return True
    before = {"b": "a", "c": "b", "free": "free"}.get(resource.name, "")
    return before in resource.image.properties


def drop_approved(query: Query) -> bool:
    return isinstance(query.resource, Property) and query.resource.name == "approved"


def drop_all(query: Query) -> bool:
    return True


@pytest.mark.parametrize(
    ("point", "body", "status"),
    [
        pytest.param(
            Point(approved, drop_approved), {"approved": "yes", "b": "1"}, 403, id="a-property-by-a-dropped-one"
        ),
        pytest.param(Point(approved, drop_approved), {"approved": "yes"}, 201, id="nothing-else"),
        pytest.param(Point(approved_images, drop_approved), {"approved": "yes"}, 403, id="the-image-by-a-dropped-one"),
        pytest.param(
            Point(chain, drop_all), {"c": "3", "b": "2", "a": "1", "free": "4"}, 201, id="one-after-the-other"
        ),
    ],
)
def test_a_dropped_property_allows_nothing(point: Point, body: dict[str, Any], status: int) -> None:
    bench = Bench(point)
    assert bench.ask("POST", "/v2/images", body).status_int == status
    made = bench.api.images.get(ID.format(9), {})
    assert {name for name in body if name in made} == ({"free"} & body.keys() if status == 201 else set())
