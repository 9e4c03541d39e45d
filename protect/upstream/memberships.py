"""With whom the images of a list are shared, as far as that is the one who asks: two lists tell it of many images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlencode

from protect.glance import documents
from protect.glance.documents import Document, Members, UnexpectedDocument
from protect.glance.paths import is_identifier
from protect.upstream.answers import editable
from protect.upstream.facts import OwnMembership
from protect.upstream.subrequests import Upstream

FEW: Final = 3  # images that are asked about one by one
TOGETHER: Final = 80  # ids in one address: servers take lines of 4 KiB

_STATUSES: Final = ("accepted", "pending", "rejected")


class Memberships:
    """Returns the members of an image of a list, as a `StoredImage` wants them.

    The first is asked for by itself, and so is whatever does not become clear otherwise. The others are looked for in
    the API's lists of what is shared with whoever asks, by the status of the membership. Those lists are believed
    only where they cannot mean anything else: each image stands in one of them at most (for its own admins an API
    ignores the status, and they show all), and they say of an image that has been asked about by itself what the API
    has said then, of this very tenant.
    """

    def __init__(self, api: Upstream, path: str, tenant: str | None, one: Members) -> None:
        """``path`` is that of the list of images, ``one`` asks for the members of one image."""
        self._api = api
        self._path = path
        self._tenant = tenant
        self._one = one
        self._expected: list[Document] = []
        self._sample: tuple[Document, str] | None = None
        self._told: dict[str, str] = {}
        self._believed = True

    def expect(self, images: Iterable[Document]) -> None:
        """Say which images may be asked about from now on: nothing is fetched before one is."""
        self._expected = list(images)

    def of(self, image: Document) -> Mapping[str, str]:
        """Return tenant -> status of an image; raises Unavailable or UnexpectedDocument."""
        if self._sample is not None and self._believed:
            self._ask_together(*self._sample)
        status = self._told.get(image["id"])
        if status is not None and self._tenant is not None:
            return OwnMembership(
                self._tenant, status, UnexpectedDocument("another tenant's membership was not asked for")
            )
        members = self._one(image)
        status = None if self._tenant is None else members.get(self._tenant)
        if self._sample is None and status in _STATUSES and image.get("owner") != self._tenant:
            self._sample = image, status
        return members

    def _ask_together(self, sample: Document, status: str) -> None:
        hidden = sample.get("os_hidden") is True
        ids = {each["id"] for each in self._expected if self._is_foreign(each, hidden)} - {sample["id"], *self._told}
        self._expected = []
        if len(ids) <= FEW:
            return
        told = self._listed([sample["id"], *sorted(ids)], hidden)
        self._believed = told.get(sample["id"]) == status
        if self._believed:
            self._told |= told

    def _is_foreign(self, image: Document, hidden: bool) -> bool:
        shared = image.get("visibility") == "shared" and image.get("owner") != self._tenant
        # The API lists either what is hidden from its ordinary lists or what is not.
        return shared and (image.get("os_hidden") is True) is hidden and is_identifier(image["id"])

    def _listed(self, ids: list[str], hidden: bool) -> dict[str, str]:
        """Return id -> status as the API's lists tell it; nothing where they may mean something else."""
        told: dict[str, str] = {}
        for status in _STATUSES:
            if status == "rejected" and len(ids) - len(told) <= FEW:
                break
            for chunk in _chunks(ids):
                rows = self._rows(status, chunk, hidden)
                if rows is None or not told.keys().isdisjoint(rows):
                    return {}
                told |= dict.fromkeys(rows, status)
        return told

    def _rows(self, status: str, ids: list[str], hidden: bool) -> list[str] | None:
        """Return which of ``ids`` are shared with whoever asks, None for an answer that does not say it."""
        query = {
            "visibility": "shared",
            "member_status": status,
            "os_hidden": str(hidden).lower(),
            "limit": len(ids),
            "id": "in:" + ",".join(ids),
        }
        try:
            _, rows = documents.read_list(editable(self._api.get(self._path, urlencode(query, safe=":,"))))
        except UnexpectedDocument:
            return None
        asked = set(ids)
        strange = any(row["id"] not in asked or row.get("visibility") != "shared" for row in rows)
        return None if strange else [row["id"] for row in rows]


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), TOGETHER):
        yield ids[start : start + TOGETHER]
