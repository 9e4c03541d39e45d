"""GET of many images: each on a page is decided on, and a page filtered by what may be hidden is filled up again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.redaction import hidden_attributes, locations_shown
from protect.enforcement.refusals import relayed
from protect.glance import documents, queries
from protect.glance.attributes import CORE
from protect.glance.documents import Document, StoredImage, UnexpectedDocument
from protect.upstream.answers import Answer, editable
from protect.upstream.subrequests import Unavailable
from protect.values import Decision, Image, Query

MAX_PAGES = 50  # pages that one list request may cost behind us
REFILL = 200  # images on each page of a filtered list behind us, however few the client asks for
DEFAULT_LIMIT = 25  # the API's own page size

log = logging.getLogger("protect.enforcement")


def list_images(x: Exchange) -> Plan:
    pairs = queries.list_parameters(x.parameters())
    x.require("get_images", Image(owner=x.subject.tenant))
    filters, asked, ahead = queries.property_filters(pairs), queries.attributes_asked(pairs), x.hidden_attributes()
    closed = x.point.foresee(x.subject, x.context, filters).always | (asked & ahead.always)
    if closed:
        # How long the API takes to find nothing could tell as much as what it finds.
        x.log_hidden(dict.fromkeys(closed), None)
        return Plan(answer=_nothing(pairs))
    listing = _Listing(x, pairs, filters, asked & ahead.sometimes, any(ahead))
    return Plan(query=_wide(pairs) if listing.telling else None, edit=listing.edit)


def visible(x: Exchange, images: Iterable[Document]) -> list[Document]:
    """Return those of ``images`` that the subject may see, with what it may not read cut out, and log what was.

    They are taken one after the other: what raises on the way there ends it.
    """
    listing = _Listing(x, [], frozenset(), frozenset(), any(x.hidden_attributes()))
    kept = listing._visible(images)
    x.log_hidden(listing.hidden, None)
    return kept


def _nothing(pairs: list[tuple[str, str]]) -> Answer:
    page = {"images": [], "first": _link(pairs, None, queries.limit(pairs)), "schema": "/v2/schemas/images"}
    return Answer("200 OK", [("Content-Type", "application/json")], b"").with_body(documents.write(page))


def _link(pairs: list[tuple[str, str]], marker: str | None, limit: int | None) -> str:
    query = queries.with_page(pairs, marker=marker, limit=limit)
    return f"/v2/images?{query}" if query else "/v2/images"


def _wide(pairs: list[tuple[str, str]]) -> str | None:
    """Return the query that the API gets for a filtered list.

    Always for a long page: with `limit=1` the time for a second one would tell that there was a hidden match.
    """
    limit = queries.limit(pairs)
    if limit == 0:
        return None
    return queries.with_page(pairs, marker=dict(pairs).get("marker"), limit=max(limit or DEFAULT_LIMIT, REFILL))


@dataclass(frozen=True, slots=True)
class _Listing:
    """One list: its parameters, and what was hidden in it so far.

    ``filters`` are the properties that it is filtered by, ``attributes`` those attributes of the API that it is
    filtered or sorted by and that are hidden on some images; ``redacted`` tells whether any attribute may be.
    """

    x: Exchange
    pairs: list[tuple[str, str]]
    filters: frozenset[str]
    attributes: frozenset[str]
    redacted: bool
    hidden: dict[str, Decision | None] = field(default_factory=dict)

    @property
    def telling(self) -> bool:
        """Whether what the list shows, and in which order, could tell of something hidden."""
        return bool(self.filters or self.attributes)

    def edit(self, answer: Answer) -> Answer:
        page, images = documents.read_list(editable(answer))
        kept = self._visible(images)
        if self.telling:
            page["first"] = _link(self.pairs, None, queries.limit(self.pairs))
            kept = self._refilled(page, kept, DEFAULT_LIMIT)
        elif "next" in page and not kept:
            kept = self._refilled(page, kept, len(images))
        elif "next" in page and kept[-1] is not images[-1]:
            # The API's link names the last image of the page, and this one may not be seen.
            page["next"] = _link(self.pairs, kept[-1]["id"], queries.limit(self.pairs))
        self.x.log_hidden(self.hidden, None)
        page["images"] = kept
        # Written anew even where nothing was cut: the API's own spacing would tell one case from the other.
        return answer.with_body(documents.write(page))

    def _visible(self, images: Iterable[Document]) -> list[Document]:
        """Return the documents that may be seen, with what may not be read cut out.

        This is the fast path: a thousand images on a page, and nothing done twice.
        """
        kept = []
        # Most images of a list have the same names in the same order.
        names_of: dict[tuple[str, ...], frozenset[str]] = {}
        x, filters, all_hidden, redacted = self.x, self.filters, self.hidden, self.redacted
        decide, subject, context, hide, members = x.point.deciding(), x.subject, x.context, x.hiding(), x.members
        for document in images:
            image: Any = StoredImage(document, members)
            decision = decide(Query(subject, "get_image", image, context))
            if not decision.allowed:
                x.log_decision(decision, "get_image", image)
                continue
            shape = tuple(document)
            names = names_of.get(shape)
            if names is None:
                names = names_of[shape] = frozenset(document.keys() - CORE)
            try:
                hidden = hide(image, names)
                # A filter must not tell anything about a property that may not be read.
                if filters and (not filters <= names or filters & hidden):
                    continue
                if redacted:
                    attributes = hidden_attributes(x, document, image)
                    if attributes & self.attributes:
                        continue
                    hidden = hidden | (attributes & document.keys())
                if hidden or "locations" in document or "direct_url" in document:
                    if not hidden <= all_hidden.keys():
                        all_hidden |= x.why_hidden(image, document, hidden - all_hidden.keys())
                    documents.cut(document, hidden, locations=locations_shown(x, document, image))
            except UnexpectedDocument:
                # One strange image must not take the list away from everyone.
                log.exception("an image in a list could not be decided on, and is left out")
                continue
            kept.append(document)
        return kept

    def _refilled(self, page: Document, kept: list[Document], default: int) -> list[Document]:
        """Return a full page, and set its ``next`` link. ``default`` is how long a page is if the client does not say.

        The API links to a next page when it has counted enough images, seen or unseen. That link alone would tell
        whether a hidden property has a value, or name an image that may not be seen. Ours is there whenever the page
        is full: it depends on nothing but what is shown, and the next page may be empty, as one of the API's own may.
        """
        given = queries.limit(self.pairs)
        limit = default if given is None else given
        following, pages = page.pop("next", None), 0
        while following is not None and len(kept) < limit:
            if pages == MAX_PAGES:
                # Neither an error nor a link: both would tell how many images there are that may not be seen.
                log.warning("a list ends early: more than %d pages of images may not be seen", MAX_PAGES)
                break
            more, images = self._page_after(following, max(limit, REFILL))
            kept = kept + self._visible(images)
            following, pages = more.get("next"), pages + 1
        if len(kept) >= limit > 0:
            page["next"] = _link(self.pairs, kept[limit - 1]["id"], limit)
        return kept[:limit]

    def _page_after(self, link: object, limit: int) -> tuple[Document, list[Document]]:
        query = queries.with_page(self.pairs, marker=queries.marker(link), limit=limit)
        answer = self.x.api.get(self.x.match.path.inside("images"), query)
        if answer.code != 200:
            raise relayed(Unavailable(answer))
        return documents.read_list(editable(answer))
