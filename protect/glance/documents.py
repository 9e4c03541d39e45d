"""Image documents: the flat JSON object of the API read as facts, and edited to what a subject may read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, cast

import orjson

from protect.errors import MalformedRequest, ProtectError
from protect.glance import attributes
from protect.glance.attributes import CORE, LOCATION_ATTRIBUTES
from protect.json_bodies import kind, printable
from protect.values import Image

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Document = dict[str, Any]
Members = Callable[[Document], Mapping[str, str]]


class UnexpectedDocument(ProtectError):
    """The API answered something that is not what the API answers. Nothing of it may be shown."""


def nobody(document: Document) -> Mapping[str, str]:
    return {}


class StoredImage:
    """A document of the API, read like a `values.Image`. Costs next to nothing until a fact is asked for.

    A fact that is not of its type raises UnexpectedDocument: taken as absent, it could silence a `forbid`.
    """

    __slots__ = ("_members", "_properties", "_told", "document")
    kind: ClassVar[str] = "Image"

    def __init__(self, document: Document, members: Members = nobody) -> None:
        self.document = document
        self._members = members
        self._told: Mapping[str, str] | None = None
        self._properties: Mapping[str, object] | None = None

    @property
    def id(self) -> str | None:
        return text(self.document, "id")

    # The two that nearly every rule asks for, in every list: without a call of their own.
    @property
    def owner(self) -> str | None:
        value = self.document.get("owner")
        return value if value is None or type(value) is str else text(self.document, "owner")

    @property
    def visibility(self) -> str | None:
        value = self.document.get("visibility")
        return value if value is None or type(value) is str else text(self.document, "visibility")

    @property
    def status(self) -> str | None:
        return text(self.document, "status")

    @property
    def name(self) -> str | None:
        return text(self.document, "name")

    @property
    def disk_format(self) -> str | None:
        return text(self.document, "disk_format")

    @property
    def container_format(self) -> str | None:
        return text(self.document, "container_format")

    @property
    def protected(self) -> bool:
        return self._flag("protected")

    @property
    def hidden(self) -> bool:
        return self._flag("os_hidden")

    @property
    def size(self) -> int | None:
        return self._number("size")

    @property
    def min_disk(self) -> int | None:
        return self._number("min_disk")

    @property
    def min_ram(self) -> int | None:
        return self._number("min_ram")

    @property
    def tags(self) -> frozenset[str]:
        tags = self.document.get("tags", [])
        if type(tags) is not list or not all(type(tag) is str for tag in tags):
            raise UnexpectedDocument("`tags` is not an array of text")
        return frozenset(tags)

    @property
    def members(self) -> Mapping[str, str]:
        # Only shared images have members; the API refuses to list those of others.
        if self.visibility != "shared":
            return {}
        if self._told is None:
            self._told = self._members(self.document)
        return self._told

    def told_members(self) -> Mapping[str, str] | None:
        """Return the members of a shared image where somebody has asked for them before, else None."""
        return self._told

    @property
    def properties(self) -> Mapping[str, object]:
        if self._properties is None:
            self._properties = {n: self.document[n] for n in self.document.keys() - CORE}
        return self._properties

    def _flag(self, key: str) -> bool:
        value = self.document.get(key)
        if value is None or type(value) is bool:
            return bool(value)
        raise UnexpectedDocument(f"`{key}` is not true or false")

    def _number(self, key: str) -> int | None:
        value = self.document.get(key)
        if value is None or type(value) is int:
            return value
        raise UnexpectedDocument(f"`{key}` is not a whole number")


def text(document: Mapping[str, object], key: str) -> str | None:
    """Return the text at ``key``, None where there is none; raises UnexpectedDocument for anything else."""
    value = document.get(key)
    if value is None or type(value) is str:
        return value
    raise UnexpectedDocument(f"`{key}` is not text")


def as_image(quacks_like_one: object) -> Image:
    """Tell the type checker that an object answers to all the names of an Image."""
    return cast("Image", quacks_like_one)


def read_document(body: bytes, image_id: str | None = None) -> Document:
    """Return the image document in an answer; raises UnexpectedDocument, also when it is another image's."""
    document = read_object(body)
    if not isinstance(document.get("id"), str):
        raise UnexpectedDocument("an image document without an id")
    if image_id is not None and document["id"] != image_id:
        raise UnexpectedDocument("the document of another image")
    return document


def _page(body: bytes, key: str) -> tuple[Document, list[Any]]:
    """Return a page and the list at ``key`` in it; raises UnexpectedDocument where there is none."""
    page = read_object(body)
    rows = page.get(key)
    if not isinstance(rows, list):
        raise UnexpectedDocument(f"a list without `{key}`")
    return page, rows


def read_list(body: bytes) -> tuple[Document, list[Document]]:
    """Return a page of images and the documents in it; raises UnexpectedDocument."""
    page, images = _page(body, "images")
    for document in images:
        if type(document) is not dict or type(document.get("id")) is not str:
            raise UnexpectedDocument("a list with something that is not an image document")
    return page, images


def read_members(body: bytes) -> tuple[Document, list[Document]]:
    """Return a list of members and its rows, each with text for ``member_id`` and ``status``."""
    page, rows = _page(body, "members")
    for row in rows:
        check_member(row)
    return page, rows


def read_tasks(body: bytes) -> tuple[Document, list[Document]]:
    """Return a page of tasks and the documents in it; raises UnexpectedDocument."""
    page, tasks = _page(body, "tasks")
    if not all(isinstance(task, dict) for task in tasks):
        raise UnexpectedDocument("a list with something that is not a task")
    return page, tasks


def read_namespaces(body: bytes) -> tuple[Document, list[Document]]:
    """Return a page of metadata definition namespaces and its rows, each with text for ``namespace``."""
    page, rows = _page(body, "namespaces")
    if not all(isinstance(row, dict) and isinstance(row.get("namespace"), str) for row in rows):
        raise UnexpectedDocument("a namespace without a name")
    return page, rows


def read_stores(body: bytes) -> tuple[str, ...]:
    """Return the ids of the API's stores; raises UnexpectedDocument, also where there is none."""
    rows = read_object(body).get("stores")
    if not isinstance(rows, list) or not rows:
        raise UnexpectedDocument("a list without `stores`")
    if not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise UnexpectedDocument("a store without an id")
    return tuple(row["id"] for row in rows)


def check_member(row: object) -> Document:
    """Return ``row`` when it is a member's document; raises UnexpectedDocument."""
    if isinstance(row, dict) and isinstance(row.get("member_id"), str) and isinstance(row.get("status"), str):
        return row
    raise UnexpectedDocument("a member without `member_id` and `status`")


def read_object(body: bytes) -> Document:
    """Return the JSON object in an answer of the API; raises UnexpectedDocument."""
    value = _read(body)
    if not isinstance(value, dict):
        raise UnexpectedDocument("an answer that is not a JSON object")
    return value


def read_array(body: bytes) -> list[object]:
    """Return the JSON array in an answer of the API; raises UnexpectedDocument."""
    value = _read(body)
    if not isinstance(value, list):
        raise UnexpectedDocument("an answer that is not a JSON array")
    return value


def _read(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnexpectedDocument("an answer that is not JSON") from None


def write(value: object) -> bytes:
    return orjson.dumps(value)


def cut(document: Document, hidden: AbstractSet[str], *, locations: bool) -> bool:
    """Remove in place what may not be read; tell whether anything was removed."""
    gone = set(hidden)
    if not locations:
        gone |= document.keys() & LOCATION_ATTRIBUTES
    for name in gone:
        del document[name]
    return bool(gone)


def proposed_image(body: Mapping[str, object], tenant: str | None) -> Image:
    """Return the image that a create request proposes; raises MalformedRequest (403 for what nobody may set).

    What the body leaves out has the value that the API will give it.
    """
    check_amount(body.values())
    for name in body:
        check_proposed(name, body[name])
    return Image(
        id=cast("str | None", body.get("id")),
        owner=cast("str | None", body.get("owner", tenant)),
        visibility=cast("str | None", body.get("visibility", "shared")),
        status="queued",
        name=cast("str | None", body.get("name")),
        disk_format=cast("str | None", body.get("disk_format")),
        container_format=cast("str | None", body.get("container_format")),
        protected=bool(body.get("protected", False)),
        hidden=bool(body.get("os_hidden", False)),
        min_disk=cast("int", body.get("min_disk", 0)),
        min_ram=cast("int", body.get("min_ram", 0)),
        tags=frozenset(cast("list[str]", body.get("tags", []))),
        properties={name: value for name, value in body.items() if name not in CORE},
    )


def check_amount(values: Iterable[object]) -> None:
    """Raise MalformedRequest (413) for more ``values`` than one request may write: each is decided on, and logged.

    An array counts as often as it is long.
    """
    count = sum(len(value) if isinstance(value, list) else 1 for value in values)
    check_count(count, "properties, tags and locations")


def check_count(count: int, what: str) -> None:
    """Raise MalformedRequest (413) for more than one request may write of ``what``: it is decided one by one."""
    if count > attributes.MAX_WRITTEN:
        raise MalformedRequest(f"a request may write at most {attributes.MAX_WRITTEN} {what}", status=413)


def check_property(name: str, value: object) -> None:
    """Raise MalformedRequest where no client may write this property, or the API could not store it."""
    check_name(name)
    if isinstance(value, (dict, list)):
        raise MalformedRequest(f"the property `{printable(name)}` must be text, not {kind(value)}")


def check_name(name: str) -> None:
    """Raise MalformedRequest where no client may write a custom property of this name."""
    if len(name) > attributes.MAX_NAME_LENGTH:
        raise MalformedRequest(f"a property has a name of more than {attributes.MAX_NAME_LENGTH} characters")
    if attributes.is_reserved(name):
        raise MalformedRequest(f"Attribute '{printable(name)}' is reserved.", status=403)


def check_attribute(name: str, value: object) -> None:
    """Raise MalformedRequest where a writable attribute of the API has a value of the wrong type."""
    if name in attributes.FLAGS:
        right, wanted = isinstance(value, bool), "true or false"
    elif name in attributes.NUMBERS:
        right, wanted = type(value) is int, "a whole number"
    elif name in ("tags", "locations"):
        right, wanted = isinstance(value, list), "an array"
    elif name == "visibility":
        right, wanted = isinstance(value, str), "text"
    else:
        right, wanted = value is None or isinstance(value, str), "text or null"
    if not right:
        raise MalformedRequest(f"the attribute `{name}` must be {wanted}, not {kind(value)}")
    if name == "tags" and not all(isinstance(tag, str) for tag in cast("list[object]", value)):
        raise MalformedRequest("the attribute `tags` must be an array of text")


def check_proposed(name: str, value: object) -> None:
    """Raise MalformedRequest (400, or 403) where no client may create an image with this."""
    if name not in CORE:
        check_property(name, value)
    elif name == "id":
        _check_proposed_id(value)
    elif name in attributes.READ_ONLY:
        raise MalformedRequest(f"Attribute '{name}' is read-only.", status=403)
    else:
        check_attribute(name, value)


def _check_proposed_id(value: object) -> None:
    # The API takes upper-case letters and a line break at the end; nobody could reach that image any more: see
    # `paths.is_identifier`.
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise MalformedRequest("the attribute `id` must be a UUID in lower case")
