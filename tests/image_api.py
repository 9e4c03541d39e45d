"""A tiny image API to put the filter in front of: a dict of flat documents, and no policy of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from webob import Request, Response
from webob.exc import HTTPBadRequest, HTTPConflict, HTTPNotFound

Document = dict[str, Any]

ID = "00000000-0000-4000-8000-00000000000{}"


def image(number: int = 1, **facts: Any) -> Document:
    """Return the document of an active private image of tenant `t1`."""
    image_id = ID.format(number)
    core = {
        "id": image_id,
        "name": f"image {number}",
        "owner": "t1",
        "visibility": "private",
        "status": "active",
        "protected": False,
        "os_hidden": False,
        "size": 10,
        "min_disk": 0,
        "min_ram": 0,
        "disk_format": "raw",
        "container_format": "bare",
        "tags": [],
        "self": f"/v2/images/{image_id}",
        "schema": "/v2/schemas/image",
    }
    return core | facts


SCHEMA: Document = {
    "name": "image",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": ["null", "string"]},
        "owner": {"type": ["null", "string"]},
        "size": {"type": ["null", "integer"], "readOnly": True},
        "tags": {"type": "array", "items": {"type": "string"}},
        "os_distro": {"type": "string", "is_base": False},
        "kernel_id": {"type": ["null", "string"], "is_base": False},
    },
    "required": ["os_distro"],
    "additionalProperties": {"type": "string"},
}


def collection(schema: Document) -> Document:
    """Return the schema of a list."""
    return {"name": "images", "properties": {"images": {"type": "array", "items": schema}, "first": {}, "schema": {}}}


class ImageApi:
    """Answers as the API does, says nothing about who may, and remembers what reached it."""

    def __init__(self, *images: Document) -> None:
        self.images = {document["id"]: dict(document) for document in images}
        self.members: dict[str, dict[str, str]] = {}
        self.seen: list[Request] = []
        self.uploads: dict[str, bytes] = {}

    @property
    def calls(self) -> list[str]:
        """What reached the API, as `METHOD path`."""
        return [f"{request.method} {request.path_info}" for request in self.seen]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        self.seen.append(request)
        try:
            response = self._respond(request)
        except (HTTPNotFound, HTTPBadRequest, HTTPConflict) as error:
            response = error
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        parts = [part for part in request.path_info.split("/") if part][1:]
        if parts == ["images"]:
            return self._list(request) if request.method == "GET" else self._create(request)
        if parts and parts[0] == "images":
            document = self.images.get(parts[1])
            if document is None:
                raise HTTPNotFound(f"No image found with ID {parts[1]}")
            return self._one(request, document, parts[2:])
        if parts[:1] == ["schemas"]:
            return _json(SCHEMA if parts[1] == "image" else collection(SCHEMA))
        if parts[:1] == ["tasks"] and request.method == "GET":
            task = {"id": parts[-1], "type": "import", "owner": "t1", "status": "success"}
            return _json(task if parts[1:] else {"tasks": [task], "schema": "/v2/schemas/tasks"})
        if parts == ["metadefs", "namespaces"] and request.method == "GET":
            return _json({"namespaces": [{"namespace": "open", "owner": "t1"}, {"namespace": "secret", "owner": "t1"}]})
        return _json({})

    def _list(self, request: Request) -> Response:
        asked = request.GET
        rows = [document for document in self.images.values() if _matches(document, asked)]
        ids = [row["id"] for row in rows]
        marker = asked.get("marker")
        if marker is not None and marker not in ids:
            raise HTTPBadRequest(explanation=f"No image found with ID {marker}")
        start = 0 if marker is None else ids.index(marker) + 1
        limit = int(asked.get("limit", 25))
        query = urlencode([(name, value) for name, value in asked.items() if name != "marker"])
        first = f"/v2/images?{query}" if query else "/v2/images"
        page: Document = {"images": rows[start : start + limit], "first": first, "schema": "/v2/schemas/images"}
        if len(page["images"]) == limit and limit:
            following = {**asked, "marker": page["images"][-1]["id"]}
            page["next"] = f"/v2/images?{urlencode(following)}"
        return _json(page)

    def _create(self, request: Request) -> Response:
        made = image(9, owner=request.headers.get("X-Project-Id")) | json.loads(request.body)
        self.images[made["id"]] = made
        return _json(made, status=201)

    def _one(self, request: Request, document: Document, rest: list[str]) -> Response:
        if rest and rest[0] == "file":
            return self._file(request, document)
        if rest and rest[0] == "members":
            return self._members(request, document, rest[1:])
        if rest == ["locations"] and request.method == "GET":
            return _json(document.get("locations", []))
        if rest == ["tasks"]:
            return _json({"tasks": [{"id": "k1", "type": "import", "input": {"secret": "s3"}, "status": "success"}]})
        if rest:
            return Response(status=204)
        if request.method == "PATCH":
            self._patch(request, document)
        if request.method == "DELETE":
            del self.images[document["id"]]
            return Response(status=204)
        return _json(document)

    def _patch(self, request: Request, document: Document) -> None:
        for change in json.loads(request.body):
            op = change.get("op") or next(key for key in ("add", "replace", "remove") if key in change)
            name = (change.get("path") or change[op])[1:].replace("~1", "/").replace("~0", "~")
            if name.startswith("locations/"):
                places = document["locations"] = list(document.get("locations", []))
                _place(places, op, name.partition("/")[2], change.get("value"))
            elif op == "remove":
                del document[name]
            else:
                document[name] = change["value"]

    def _file(self, request: Request, document: Document) -> Response:
        if request.method == "GET":
            return Response(b"data of the image", content_type="application/octet-stream")
        self.uploads[document["id"]] = b"".join(iter(lambda: request.environ["wsgi.input"].read(4), b""))
        return Response(status=204)

    def _members(self, request: Request, document: Document, rest: list[str]) -> Response:
        rows = self.members.setdefault(document["id"], {})
        if request.method == "POST":
            rows[json.loads(request.body)["member"]] = "pending"
            rest = [json.loads(request.body)["member"]]
        if request.method == "PUT":
            rows[rest[0]] = json.loads(request.body)["status"]
        if request.method == "DELETE":
            del rows[rest[0]]
            return Response(status=204)
        shown = [{"member_id": tenant, "image_id": document["id"], "status": status} for tenant, status in rows.items()]
        if not rest:
            return _json({"members": shown, "schema": "/v2/schemas/members"})
        if rest[0] not in rows:
            raise HTTPNotFound
        return _json(next(row for row in shown if row["member_id"] == rest[0]))


def _place(places: list[Any], op: str, position: str, value: Any) -> None:
    """Put a location at a position, or take one away."""
    last = len(places) - (op == "remove")
    at = min(int(position), last) if position.isdecimal() else last
    if op == "remove":
        del places[at : at + 1]
    else:
        places.insert(at, value)


def _matches(document: Document, asked: Any) -> bool:
    return all(document.get(key) == value for key, value in asked.items() if key not in ("limit", "marker"))


def _json(value: object, status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False).encode()
    return Response(body, status=status, content_type="application/json", charset="UTF-8", etag="an-etag")
