"""A small image API, shaped like the Images API v2: WebOb in front, SQLite and a directory behind.

It has no policy of its own. It knows everything, shows everything and refuses nothing but nonsense
(400, 404, 405, 409, 415), so whatever is refused or hidden in front of it is the filter's doing.
An image belongs to the tenant in ``X-Project-Id``.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import re
import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlencode

from webob import Request, Response, exc

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Document = dict[str, object]
Check = Callable[[object], bool]

CHUNK = 64 * 1024
PAGE, LONGEST_PAGE = 25, 1000
LONGEST_NAME = 255
PATCH_TYPES = ("application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch")

SCHEMA = """
create table if not exists images (
    number integer primary key autoincrement,
    id text unique not null,
    document text not null
);
create table if not exists members (
    image text not null references images (id) on delete cascade,
    tenant text not null,
    status text not null,
    created_at text not null,
    updated_at text not null,
    primary key (image, tenant)
);
"""


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME


def _text_or_null(value: object) -> bool:
    return value is None or _text(value)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _tags(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _visibility(value: object) -> bool:
    return value in ("public", "community", "shared", "private")


# What a client may set, with what it may set it to. `id` can be chosen on creation only.
WRITABLE: Mapping[str, Check] = {
    "name": _text_or_null,
    "owner": _text_or_null,
    "visibility": _visibility,
    "protected": _flag,
    "os_hidden": _flag,
    "disk_format": _text_or_null,
    "container_format": _text_or_null,
    "min_disk": _count,
    "min_ram": _count,
    "tags": _tags,
}
READ_ONLY = frozenset(
    {"id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at"}
    | {"updated_at", "self", "file", "schema", "stores", "direct_url", "locations"}
)


class Chunks:
    """A file as a WSGI body; the server closes it, also when the client leaves early."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK):
            yield chunk

    def close(self) -> None:
        self._file.close()


class ImageAPI:
    """The WSGI application. ``database`` is SQLite's file name, ``data`` the directory of the images' bytes.

    ``data`` None: a temporary directory, removed by ``close``. ``now`` tells the time; tests pass their own.
    """

    def __init__(
        self,
        database: str = ":memory:",
        data: Path | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._temporary = tempfile.TemporaryDirectory(prefix="image-api-") if data is None else None
        self._data = Path(self._temporary.name) if self._temporary else Path(str(data))
        self._data.mkdir(parents=True, exist_ok=True)
        # One connection for all threads of the server, because ":memory:" exists once per connection.
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        self._connection.execute("pragma foreign_keys = on")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._connection.close()
        if self._temporary:
            self._temporary.cleanup()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self._respond(Request(environ))
        except exc.HTTPException as refusal:
            return refusal(environ, start_response)
        except UnicodeDecodeError:
            return exc.HTTPBadRequest("the URL is not UTF-8")(environ, start_response)
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        for pattern, methods in ROUTES:
            if match := pattern.fullmatch(request.path_info):
                handler = methods.get(request.method)
                if handler is None:
                    raise exc.HTTPMethodNotAllowed(headers={"Allow": ", ".join(methods)})
                return handler(self, request, **match.groupdict())
        raise exc.HTTPNotFound("there is nothing under this path")

    # images

    def create(self, request: Request) -> Response:
        body = _object(request)
        identifier = body.pop("id", None) or str(uuid.uuid4())
        if not isinstance(identifier, str) or not re.fullmatch(r"[0-9A-Za-z-]{1,36}", identifier):
            raise exc.HTTPBadRequest("`id` must be a UUID")
        document: Document = {
            "id": identifier,
            "name": None,
            "owner": request.headers.get("X-Project-Id"),
            "visibility": "shared",
            "status": "queued",
            "protected": False,
            "os_hidden": False,
            "disk_format": None,
            "container_format": None,
            "min_disk": 0,
            "min_ram": 0,
            "tags": [],
            "size": None,
            "virtual_size": None,
            "checksum": None,
            "os_hash_algo": None,
            "os_hash_value": None,
            "created_at": self._time(),
            "updated_at": self._time(),
        }
        for name, value in body.items():
            _set(document, name, value)
        try:
            with self._transaction() as connection:
                connection.execute(
                    "insert into images (id, document) values (?, ?)", (identifier, json.dumps(document))
                )
        except sqlite3.IntegrityError:
            raise exc.HTTPConflict(f"image `{identifier}` exists already") from None
        return Response(status=201, json_body=_shown(document), location=f"/v2/images/{identifier}")

    def list(self, request: Request) -> Response:
        filters = dict(request.GET.items())
        limit = _limit(filters.pop("limit", None))
        marker = filters.pop("marker", None)
        with self._lock:
            rows = self._connection.execute("select document from images order by number desc").fetchall()
        found = [image for (text,) in rows if _matches(image := json.loads(text), filters)]
        if marker is not None:
            identifiers = [image["id"] for image in found]
            if marker not in identifiers:
                raise exc.HTTPBadRequest(f"marker `{marker}` is no image of this list")
            found = found[identifiers.index(marker) + 1 :]
        body: Document = {
            "images": [_shown(image) for image in found[:limit]],
            "first": _link(filters, limit),
            "schema": "/v2/schemas/images",
        }
        if len(found) > limit > 0:
            body["next"] = _link(filters, limit, found[limit - 1]["id"])
        return Response(json_body=body)

    def show(self, request: Request, image: str) -> Response:
        return Response(json_body=_shown(self._image(image)))

    def patch(self, request: Request, image: str) -> Response:
        media_type = request.headers.get("Content-Type", "").split(";")[0].strip()
        if media_type not in PATCH_TYPES:
            raise exc.HTTPUnsupportedMediaType(headers={"Accept-Patch": ", ".join(PATCH_TYPES)})
        changes = _json(request)
        if not isinstance(changes, list):
            raise exc.HTTPBadRequest("a patch is an array of operations")
        read = _operation if media_type == PATCH_TYPES[0] else _draft_operation
        operations = [read(change) for change in changes]
        with self._changed(image) as document:
            for operation, name, value in operations:
                if operation == "add" and media_type == PATCH_TYPES[1] and name in document:
                    raise exc.HTTPConflict(f"property `{name}` exists already")
                _apply(document, operation, name, value)
        return Response(json_body=_shown(document))

    def delete(self, request: Request, image: str) -> Response:
        with self._transaction() as connection:
            self._image(image)
            connection.execute("delete from images where id = ?", (image,))
        self._file(image).unlink(missing_ok=True)
        return Response(status=204)

    # data: to and from the disk in chunks, never held

    def upload(self, request: Request, image: str) -> Response:
        if request.headers.get("Content-Type", "").split(";")[0].strip() != "application/octet-stream":
            raise exc.HTTPUnsupportedMediaType("image data is `application/octet-stream`")
        self._move(image, ("queued",), "saving")
        part = self._file(image).with_suffix(".part")
        try:
            facts = _store(request, part)
            # Deleted meanwhile: the change below answers 404, and the part must go as well.
            with self._changed(image) as document:
                document.update(facts, status="active")
                part.replace(self._file(image))
        except BaseException:
            part.unlink(missing_ok=True)
            with suppress(exc.HTTPNotFound):
                self._move(image, ("saving",), "queued")
            raise
        return Response(status=204)

    def download(self, request: Request, image: str) -> Response:
        document = self._image(image)
        try:
            data = self._file(image).open("rb")
        except FileNotFoundError:
            return Response(status=204)
        return Response(
            app_iter=Chunks(data),
            content_type="application/octet-stream",
            content_length=document["size"],
            headers={"Content-MD5": str(document["checksum"])},
        )

    def deactivate(self, request: Request, image: str) -> Response:
        self._move(image, ("active", "deactivated"), "deactivated")
        return Response(status=204)

    def reactivate(self, request: Request, image: str) -> Response:
        self._move(image, ("active", "deactivated"), "active")
        return Response(status=204)

    def add_tag(self, request: Request, image: str, tag: str) -> Response:
        with self._changed(image) as document:
            document["tags"] = sorted({*_tags_of(document), tag})
        return Response(status=204)

    def remove_tag(self, request: Request, image: str, tag: str) -> Response:
        with self._changed(image) as document:
            tags = _tags_of(document)
            if tag not in tags:
                raise exc.HTTPNotFound(f"the image has no tag `{tag}`")
            document["tags"] = [other for other in tags if other != tag]
        return Response(status=204)

    # members

    def members(self, request: Request, image: str) -> Response:
        self._image(image)
        with self._lock:
            rows = self._connection.execute(
                "select * from members where image = ? order by tenant", (image,)
            ).fetchall()
        members = [_member(row) for row in rows]
        return Response(json_body={"members": members, "schema": "/v2/schemas/members"})

    def add_member(self, request: Request, image: str) -> Response:
        tenant = _object(request).get("member")
        if not isinstance(tenant, str) or not tenant.isprintable() or not 0 < len(tenant) <= LONGEST_NAME:
            raise exc.HTTPBadRequest('expected {"member": "<tenant>"}')
        if self._image(image)["visibility"] != "shared":
            raise exc.HTTPConflict("only an image whose visibility is `shared` has members")
        row = (image, tenant, "pending", self._time(), self._time())
        try:
            with self._transaction() as connection:
                connection.execute("insert into members values (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise exc.HTTPConflict(f"`{tenant}` is a member already") from None
        return Response(json_body=_member(row))

    def member(self, request: Request, image: str, tenant: str) -> Response:
        return Response(json_body=self._member_of(image, tenant))

    def answer_as_member(self, request: Request, image: str, tenant: str) -> Response:
        status = _object(request).get("status")
        if status not in ("pending", "accepted", "rejected"):
            raise exc.HTTPBadRequest("`status` must be `pending`, `accepted` or `rejected`")
        with self._transaction() as connection:
            self._member_of(image, tenant)
            connection.execute(
                "update members set status = ?, updated_at = ? where image = ? and tenant = ?",
                (status, self._time(), image, tenant),
            )
            return Response(json_body=self._member_of(image, tenant))

    def remove_member(self, request: Request, image: str, tenant: str) -> Response:
        with self._transaction() as connection:
            self._member_of(image, tenant)
            connection.execute("delete from members where image = ? and tenant = ?", (image, tenant))
        return Response(status=204)

    # what clients ask before they work

    def versions(self, request: Request) -> Response:
        links = [{"rel": "self", "href": f"{request.host_url}/v2/"}]
        return Response(json_body={"versions": [{"id": "v2.16", "status": "CURRENT", "links": links}]})

    def schema(self, request: Request, kind: str) -> Response:
        if kind in ("image", "member"):
            return Response(json_body=_schema(kind))
        items = {"type": "array", "items": _schema(kind[:-1])}
        return Response(json_body={"name": kind, "properties": {kind: items}})

    # storage

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _file(self, image: str) -> Path:
        # Hashed, so that nobody's choice of an id is ever a path.
        return self._data / hashlib.sha256(image.encode()).hexdigest()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def _image(self, image: str) -> Document:
        with self._lock:
            row = self._connection.execute("select document from images where id = ?", (image,)).fetchone()
        if row is None:
            raise exc.HTTPNotFound(f"No image found with ID {image}")
        document: Document = json.loads(row[0])
        return document

    @contextmanager
    def _changed(self, image: str) -> Iterator[Document]:
        """The image's document; saved when the block ends, left as it was when the block raises."""
        with self._transaction() as connection:
            document = self._image(image)
            yield document
            document["updated_at"] = self._time()
            connection.execute("update images set document = ? where id = ?", (json.dumps(document), image))

    def _move(self, image: str, sources: tuple[str, ...], target: str) -> None:
        with self._changed(image) as document:
            if document["status"] not in sources:
                raise exc.HTTPConflict(f"the image is `{document['status']}`")
            document["status"] = target

    def _member_of(self, image: str, tenant: str) -> Document:
        with self._lock:
            row = self._connection.execute(
                "select * from members where image = ? and tenant = ?", (image, tenant)
            ).fetchone()
        if row is None:
            raise exc.HTTPNotFound(f"`{tenant}` is no member of this image")
        return _member(row)


IMAGE = r"/v2/images/(?P<image>[^/]+)"
ROUTES: tuple[tuple[re.Pattern[str], Mapping[str, Callable[..., Response]]], ...] = tuple(
    (re.compile(path), methods)
    for path, methods in (
        (r"/|/versions", {"GET": ImageAPI.versions}),
        (r"/v2/schemas/(?P<kind>images?|members?)", {"GET": ImageAPI.schema}),
        (r"/v2/images", {"GET": ImageAPI.list, "POST": ImageAPI.create}),
        (IMAGE, {"GET": ImageAPI.show, "PATCH": ImageAPI.patch, "DELETE": ImageAPI.delete}),
        (IMAGE + r"/file", {"GET": ImageAPI.download, "PUT": ImageAPI.upload}),
        (IMAGE + r"/actions/deactivate", {"POST": ImageAPI.deactivate}),
        (IMAGE + r"/actions/reactivate", {"POST": ImageAPI.reactivate}),
        (IMAGE + r"/tags/(?P<tag>[^/]+)", {"PUT": ImageAPI.add_tag, "DELETE": ImageAPI.remove_tag}),
        (IMAGE + r"/members", {"GET": ImageAPI.members, "POST": ImageAPI.add_member}),
        (
            IMAGE + r"/members/(?P<tenant>[^/]+)",
            {
                "GET": ImageAPI.member,
                "PUT": ImageAPI.answer_as_member,
                "DELETE": ImageAPI.remove_member,
            },
        ),
    )
)


def app_factory(global_conf: Mapping[str, str], database: str = ":memory:", data: str = "") -> ImageAPI:
    """``paste.app_factory``. Without options everything is gone when the process ends."""
    api = ImageAPI(database, Path(data) if data else None)
    # PasteDeploy has no end of an application: tidy up at the end of the process.
    atexit.register(api.close)
    return api


def _json(request: Request) -> object:
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError):
        raise exc.HTTPBadRequest("the body is not JSON") from None


def _object(request: Request) -> Document:
    body = _json(request)
    if not isinstance(body, dict):
        raise exc.HTTPBadRequest("the body must be a JSON object")
    return body


def _set(document: Document, name: str, value: object) -> None:
    if name in READ_ONLY:
        raise exc.HTTPBadRequest(f"`{name}` cannot be set")
    if len(name) > LONGEST_NAME:
        raise exc.HTTPBadRequest(f"a property's name has at most {LONGEST_NAME} characters")
    # Custom properties are text, of any length.
    allowed = WRITABLE[name](value) if name in WRITABLE else isinstance(value, str)
    if not allowed:
        raise exc.HTTPBadRequest(f"`{name}` has a value that it cannot have")
    document[name] = value


def _apply(document: Document, operation: str, name: str, value: object) -> None:
    if operation != "add" and name not in document:
        raise exc.HTTPConflict(f"Property {name} does not exist.")
    if operation != "remove":
        _set(document, name, value)
    elif name in READ_ONLY or name in WRITABLE:
        raise exc.HTTPBadRequest(f"`{name}` cannot be removed")
    else:
        del document[name]


def _operation(change: object) -> tuple[str, str, object]:
    if not isinstance(change, dict) or change.get("op") not in ("add", "replace", "remove"):
        raise exc.HTTPBadRequest("each operation has an `op`: `add`, `replace` or `remove`")
    if change["op"] != "remove" and "value" not in change:
        raise exc.HTTPBadRequest(f"`{change['op']}` needs a `value`")
    return change["op"], _property(change.get("path")), change.get("value")


def _draft_operation(change: object) -> tuple[str, str, object]:
    """The older shape: the operation's name is a key, with the path as its value."""
    named = [key for key in ("add", "replace", "remove") if isinstance(change, dict) and key in change]
    if len(named) != 1 or not isinstance(change, dict):
        raise exc.HTTPBadRequest("each operation has one key of `add`, `replace` and `remove`")
    return _operation({**change, "op": named[0], "path": change[named[0]]})


def _property(path: object) -> str:
    if not isinstance(path, str) or not re.fullmatch(r"/(?:[^/~]|~[01])+", path, re.DOTALL):
        raise exc.HTTPBadRequest("a `path` is `/` and the name of one property")
    return path[1:].replace("~1", "/").replace("~0", "~")


def _store(request: Request, path: Path) -> Document:
    size, md5, sha512 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha512()
    with path.open("wb") as file:
        while chunk := request.body_file.read(CHUNK):
            file.write(chunk)
            md5.update(chunk)
            sha512.update(chunk)
            size += len(chunk)
    if request.content_length not in (None, size):
        raise exc.HTTPBadRequest("the body broke off")
    return {
        "size": size,
        "checksum": md5.hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": sha512.hexdigest(),
    }


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise exc.HTTPBadRequest("`limit` must be a number")
    return min(int(text), LONGEST_PAGE)


def _matches(image: Mapping[str, object], filters: Mapping[str, str]) -> bool:
    return all(
        value in _tags_of(image) if name == "tag" else name in image and _as_text(image[name]) == value
        for name, value in filters.items()
    )


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tags_of(image: Mapping[str, object]) -> Iterable[str]:
    tags = image["tags"]
    return tags if isinstance(tags, list) else []


def _link(filters: Mapping[str, str], limit: int, marker: object = None) -> str:
    parameters = {**filters, "limit": str(limit), **({"marker": str(marker)} if marker else {})}
    return f"/v2/images?{urlencode(parameters)}"


def _shown(document: Document) -> Document:
    identifier = document["id"]
    return {
        **document,
        "self": f"/v2/images/{identifier}",
        "file": f"/v2/images/{identifier}/file",
        "schema": "/v2/schemas/image",
    }


def _member(row: tuple[str, str, str, str, str]) -> Document:
    image, tenant, status, created_at, updated_at = row
    return {
        "image_id": image,
        "member_id": tenant,
        "status": status,
        "created_at": created_at,
        "updated_at": updated_at,
        "schema": "/v2/schemas/member",
    }


def _schema(kind: str) -> Document:
    if kind == "member":
        names = ("image_id", "member_id", "status", "created_at", "updated_at", "schema")
        return {"name": "member", "properties": {name: {"type": "string"} for name in names}}
    properties = {name: {"is_base": True} for name in sorted({*WRITABLE, *READ_ONLY})}
    return {"name": "image", "properties": properties, "additionalProperties": {"type": "string"}}
