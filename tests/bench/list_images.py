"""Filtering a list of 1,000 images with 30 properties each, against parsing and writing that JSON with orjson."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from webob import Request

from protect import Policy
from protect.enforcement import Protect
from protect.identity.keystone import VERIFIED, identify
from tests.bench.timing import line, rounds

IMAGES, PROPERTIES = 1_000, 30


def document() -> bytes:
    """Return a list response as the API writes it: half of the images the subject's own, half public."""
    images = [
        {
            "id": f"{index:08x}-0000-4000-8000-000000000000",
            "name": f"image {index}",
            "status": "active",
            "visibility": "private" if index % 2 else "public",
            "owner": "t" if index % 2 else f"o{index % 7}",
            "protected": False,
            "os_hidden": False,
            "size": 1_000_000 + index,
            "virtual_size": None,
            "disk_format": "qcow2",
            "container_format": "bare",
            "checksum": "0" * 32,
            "os_hash_algo": "sha512",
            "os_hash_value": "0" * 128,
            "min_disk": 0,
            "min_ram": 0,
            "tags": ["a", "b"],
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "self": f"/v2/images/{index}",
            "file": f"/v2/images/{index}/file",
            "schema": "/v2/schemas/image",
            **{f"property_{number}": f"value {number} of {index}" for number in range(PROPERTIES - 1)},
            "kernel_id": "0",
        }
        for index in range(IMAGES)
    ]
    return orjson.dumps({"images": images, "first": "/v2/images", "schema": "/v2/schemas/images"})


def main() -> None:
    """Print the filter's own time as a multiple of orjson's."""
    body = document()

    def api(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    policy = Policy.load()
    app = Protect(api, policy=lambda: policy, identify=identify, log=lambda entry: None)
    headers = {
        "X-Identity-Status": "Confirmed",
        "X-Project-Id": "t",
        "X-User-Id": "u",
        "X-Roles": "member,reader",
    }

    def ask(target: Any) -> Any:
        request = Request.blank("/v2/images?limit=1000", {VERIFIED: object()}, headers=headers)
        return request.get_response(target)

    answer = ask(app)
    assert answer.status_int == 200
    assert len(orjson.loads(answer.body)["images"]) == IMAGES
    times = rounds(
        {
            "orjson: parse and write": (lambda: orjson.dumps(orjson.loads(body)), 5),
            "through the filter": (lambda: ask(app).body, 5),
            "without the filter": (lambda: ask(api).body, 5),
        }
    )
    base = times["orjson: parse and write"]
    print(f"a list of {IMAGES:,} images with {PROPERTIES} properties ({len(body) / 1e6:.1f} MB):")
    for name, seconds in times.items():
        line(name, seconds * 1e3, "ms", f"{seconds / base:6.2f} times orjson")


if __name__ == "__main__":
    main()
