"""Resources whose facts are fetched from the API when a decision asks for them, and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from protect.glance import documents
from protect.glance.documents import StoredImage
from protect.upstream.subrequests import Upstream
from protect.values import Image, Task

_FACTS = frozenset(Image.__dataclass_fields__) - {"id"}


class FetchedImage:
    """An image of which only the id is known: any other fact fetches it, once, and then all are known."""

    __slots__ = ("_load", "_stored", "id")
    kind: ClassVar[str] = "Image"

    def __init__(self, image_id: str, load: Callable[[], StoredImage]) -> None:
        self.id = image_id
        self._load = load
        self._stored: StoredImage | None = None

    def stored(self) -> StoredImage:
        """Return the image with all its facts; raises Unavailable or UnexpectedDocument, each time."""
        if self._stored is None:
            self._stored = self._load()
        return self._stored

    def __getattr__(self, name: str) -> Any:
        # Only facts: anything else (`__deepcopy__`, a misspelling) must not send a request.
        if name not in _FACTS:
            raise AttributeError(name)
        return getattr(self.stored(), name)


class FetchedMetadef:
    """A metadata definition; asking for its owner or visibility fetches its namespace."""

    __slots__ = ("_load", "_namespace", "attributes", "id", "namespace", "type")
    kind: ClassVar[str] = "Metadef"

    def __init__(self, type: str, id: str | None, namespace: str, load: Callable[[], Mapping[str, object]]) -> None:
        self.type, self.id, self.namespace = type, id, namespace
        self.attributes: Mapping[str, object] = {}
        self._load = load
        self._namespace: Mapping[str, object] | None = None

    @property
    def owner(self) -> str | None:
        return self._text("owner")

    @property
    def visibility(self) -> str | None:
        return self._text("visibility")

    def _text(self, key: str) -> str | None:
        if self._namespace is None:
            self._namespace = self._load()
        return documents.text(self._namespace, key)


class FetchedTask:
    """A task of which only the id is known: any other fact fetches it."""

    __slots__ = ("_load", "id")
    kind: ClassVar[str] = "Task"

    def __init__(self, task_id: str, load: Callable[[], Task]) -> None:
        self.id = task_id
        self._load = load

    @property
    def type(self) -> str | None:
        return self._load().type

    @property
    def owner(self) -> str | None:
        return self._load().owner

    @property
    def status(self) -> str | None:
        return self._load().status

    @property
    def attributes(self) -> Mapping[str, object]:
        return self._load().attributes


def stored_task(document: Mapping[str, object]) -> Task:
    """Return the facts in a task's document; raises UnexpectedDocument."""
    given = document.get("input")
    return Task(
        id=documents.text(document, "id"),
        type=documents.text(document, "type"),
        owner=documents.text(document, "owner"),
        status=documents.text(document, "status"),
        attributes=given if isinstance(given, dict) else {},
    )


class StoredMember:
    """A member of an image; asking for its status fetches the image's members."""

    __slots__ = ("image", "tenant")
    kind: ClassVar[str] = "Member"

    def __init__(self, tenant: str, image: Image) -> None:
        self.tenant, self.image = tenant, image

    @property
    def status(self) -> str | None:
        return self.image.members.get(self.tenant)


def fetched_image(api: Upstream, image_id: str, path: str) -> FetchedImage:
    """Return the image at ``path``. Nothing is fetched yet."""

    def load() -> StoredImage:
        document = api.fetch(path, lambda body: documents.read_document(body, image_id))
        return StoredImage(document, lambda _: fetched_members(api, path))

    return FetchedImage(image_id, load)


def fetched_members(api: Upstream, image_path: str) -> Mapping[str, str]:
    """Return tenant -> status from the API's own list; raises Unavailable or UnexpectedDocument."""
    _, rows = api.fetch(f"{image_path}/members", documents.read_members)
    return {row["member_id"]: row["status"] for row in rows}
