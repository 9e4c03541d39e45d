"""Resources whose facts are fetched from the API when a decision asks for them, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from protect.errors import ProtectError
from protect.glance import documents
from protect.glance.documents import StoredImage, UnexpectedDocument
from protect.glance.paths import is_identifier
from protect.upstream.subrequests import Unavailable, Upstream
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

    @property
    def fetched(self) -> bool:
        """Whether all facts are known already."""
        return self._stored is not None

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

    __slots__ = ("_load", "_namespace", "id", "namespace", "type")
    kind: ClassVar[str] = "Metadef"

    def __init__(self, type: str, id: str | None, namespace: str, load: Callable[[], Mapping[str, object]]) -> None:
        self.type, self.id, self.namespace = type, id, namespace
        self._load = load
        self._namespace: Mapping[str, object] | None = None

    @property
    def fetched(self) -> bool:
        """Whether all facts are known already."""
        return self._namespace is not None

    @property
    def owner(self) -> str | None:
        return self._text("owner")

    @property
    def visibility(self) -> str | None:
        return self._text("visibility")

    @property
    def attributes(self) -> Mapping[str, object]:
        # Of what is in a namespace only the name is known.
        return self._document() if self.type == "namespace" else NOT_TOLD

    def _text(self, key: str) -> str | None:
        return documents.text(self._document(), key)

    def _document(self) -> Mapping[str, object]:
        if self._namespace is None:
            self._namespace = self._load()
        return self._namespace


class FetchedTask:
    """A task of which only the id is known: any other fact fetches it, once, and then all are known."""

    __slots__ = ("_load", "_stored", "id")
    kind: ClassVar[str] = "Task"

    def __init__(self, task_id: str, load: Callable[[], Task]) -> None:
        self.id = task_id
        self._load = load
        self._stored: Task | None = None

    @property
    def fetched(self) -> bool:
        """Whether all facts are known already."""
        return self._stored is not None

    @property
    def type(self) -> str | None:
        return self._task().type

    @property
    def owner(self) -> str | None:
        return self._task().owner

    @property
    def status(self) -> str | None:
        return self._task().status

    @property
    def attributes(self) -> Mapping[str, object]:
        return self._task().attributes

    def _task(self) -> Task:
        if self._stored is None:
            self._stored = self._load()
        return self._stored


class _NotTold(Mapping[str, object]):
    """Facts that were not told, as the input of a task in a list. Taken as absent, they could silence a `forbid`."""

    def __getitem__(self, name: str) -> object:
        raise UnexpectedDocument("a fact that the API has not told")

    def __iter__(self) -> Iterator[str]:
        raise UnexpectedDocument("a fact that the API has not told")

    def __len__(self) -> int:
        raise UnexpectedDocument("a fact that the API has not told")


NOT_TOLD = _NotTold()


def stored_task(document: Mapping[str, object]) -> Task:
    """Return the facts in a task's document; raises UnexpectedDocument, for its input only when that is asked for."""
    given = document.get("input", NOT_TOLD)
    return Task(
        id=documents.text(document, "id"),
        type=documents.text(document, "type"),
        owner=documents.text(document, "owner"),
        status=documents.text(document, "status"),
        attributes={} if given is None else given if isinstance(given, Mapping) else NOT_TOLD,
    )


class StoredMember:
    """A member of an image; asking for its status fetches the image's members, once."""

    __slots__ = ("_status", "fetched", "image", "tenant")
    kind: ClassVar[str] = "Member"

    def __init__(self, tenant: str, image: Image) -> None:
        self.tenant, self.image = tenant, image
        self._status: str | None = None
        self.fetched = False

    @property
    def status(self) -> str | None:
        if not self.fetched:
            self._status = self.image.members.get(self.tenant)
            self.fetched = True
        return self._status


class OwnMembership(Mapping[str, str]):
    """All that the API tells a tenant of an image's members: its own status. Asking for another's is an error."""

    def __init__(self, tenant: str, status: str, refusal: ProtectError) -> None:
        self._tenant, self._status, self._refusal = tenant, status, refusal

    def __getitem__(self, tenant: str) -> str:
        if tenant != self._tenant:
            raise self._refusal
        return self._status

    def __iter__(self) -> Iterator[str]:
        raise self._refusal

    def __len__(self) -> int:
        raise self._refusal


def fetched_image(api: Upstream, image_id: str, path: str, tenant: str | None) -> FetchedImage:
    """Return the image at ``path``. Nothing is fetched yet. ``tenant`` is the one who asks."""

    def load() -> StoredImage:
        document = api.fetch(path, lambda body: documents.read_document(body, image_id))
        return StoredImage(document, lambda _: fetched_members(api, path, tenant))

    return FetchedImage(image_id, load)


class AnotherNamespace(UnexpectedDocument):
    """The API found a namespace by a name that is not its own."""


def fetched_namespace(api: Upstream, collection: str, name: str) -> Mapping[str, object]:
    """Return the document of a namespace; ``collection`` is the path of all of them.

    Raises Unavailable, or UnexpectedDocument, and keeps the error as the failure of ``api``.
    """

    def read(body: bytes) -> Mapping[str, object]:
        document = documents.read_object(body)
        if document.get("namespace") != name:
            # Databases that compare without case find it by another spelling, which a rule would not know.
            raise AnotherNamespace("another namespace than the one asked for")
        return document

    if "/" in name:
        # No path leads to such a name: it would be the path of something else.
        api.failure = failure = AnotherNamespace("a namespace that no path leads to")
        raise failure
    # PATH_INFO holds the bytes of the path, read as latin-1.
    return api.fetch(f"{collection}/{name.encode().decode('latin-1')}", read)


def fetched_members(api: Upstream, image_path: str, tenant: str | None) -> Mapping[str, str]:
    """Return tenant -> status from the API's own list; raises Unavailable or UnexpectedDocument.

    Where the API refuses ``tenant`` that list, it may still show the tenant's own membership.
    """
    path = f"{image_path}/members"
    try:
        _, rows = api.fetch(path, documents.read_members)
    except Unavailable as refusal:
        if refusal.answer.code not in (403, 404) or tenant is None or not is_identifier(tenant):
            raise
        return OwnMembership(tenant, _own_status(api, f"{path}/{tenant}", tenant), refusal)
    return {row["member_id"]: row["status"] for row in rows}


def _own_status(api: Upstream, path: str, tenant: str) -> str:
    def read(body: bytes) -> str:
        row = documents.check_member(documents.read_object(body))
        if row["member_id"] != tenant:
            raise UnexpectedDocument("another member than the one asked for")
        return str(row["status"])

    status = api.fetch(path, read)
    # That the list was refused is no failure any more.
    api.failure = None
    return status
