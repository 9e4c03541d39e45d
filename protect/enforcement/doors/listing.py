"""GET of many images: each on a page is decided on, and a page filtered by what may be hidden is filled up again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from webob import exc

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.redaction import hidden_attributes, locations_shown
from protect.enforcement.refusals import Refused
from protect.glance import documents, queries
from protect.glance.attributes import CORE
from protect.glance.documents import Document, Members, StoredImage, UnexpectedDocument, as_image
from protect.glance.paths import is_identifier
from protect.json_bodies import printable
from protect.upstream.answers import Answer, editable
from protect.upstream.memberships import Memberships
from protect.upstream.subrequests import Unavailable
from protect.values import Decision, Image, Query

MAX_PAGES = 50  # pages that one list request may cost behind us
SPARE = 20  # images that a page of a filtered list has at least behind us, however few the client asks for
MOST = 1000  # images on each further page behind us, unless the client asks for more
DEFAULT_LIMIT = 25  # the API's own page size

log = logging.getLogger("protect.enforcement")


def list_images(x: Exchange) -> Plan:
    pairs = queries.list_parameters(x.parameters())
    x.require("get_images", Image(owner=x.subject.tenant))
    filters, asked, ahead = queries.property_filters(pairs), queries.attributes_asked(pairs), x.hidden_attributes()
    foreseen = x.point.foresee(x.subject, x.context, filters)
    closed = foreseen.always | (asked & ahead.always)
    if closed:
        # How long the API takes to find nothing could tell as much as what it finds.
        x.log_hidden(dict.fromkeys(closed), None)
        return Plan(answer=_nothing(pairs))
    attributes = asked & ahead.sometimes
    listing = _Listing(x, pairs, filters, attributes, any(ahead), telling=bool(foreseen.sometimes or attributes))
    return Plan(
        query=listing.wide() if listing.telling else None,
        check=lambda: _check_marker(x, pairs),
        edit=listing.edit,
    )


def visible(x: Exchange, images: Iterable[Document]) -> list[Document]:
    """Return those of ``images`` that the subject may see, with what it may not read cut out, and log what was.

    They are taken one after the other: what raises on the way there ends it.
    """
    listing = _Listing(x, [], frozenset(), frozenset(), any(x.hidden_attributes()), telling=False)
    kept = listing._visible(images, x.members)
    x.log_hidden(listing.hidden, None)
    return kept


def _nothing(pairs: list[tuple[str, str]]) -> Answer:
    page = {"images": [], "first": _link(pairs, None, queries.limit(pairs)), "schema": "/v2/schemas/images"}
    return Answer("200 OK", [("Content-Type", "application/json")], b"").with_body(documents.write(page))


def _link(pairs: list[tuple[str, str]], marker: str | None, limit: int | None) -> str:
    query = queries.with_page(pairs, marker=marker, limit=limit)
    return f"/v2/images?{query}" if query else "/v2/images"


def _check_marker(x: Exchange, pairs: list[tuple[str, str]]) -> None:
    """Raise Refused where a list is to start behind an image that is not there for the subject.

    The API would start there, and what follows would tell that the image exists, and where it stands in the order.
    Our own links name images that are seen.
    """
    marker = dict(pairs).get("marker")
    if marker is not None and not (is_identifier(marker) and _may_mark(x, marker, queries.order(pairs))):
        # What the API answers where there is no such image.
        raise Refused(exc.HTTPBadRequest(explanation=f"No image found with ID {printable(marker)}"))


def _may_mark(x: Exchange, marker: str, order: frozenset[str]) -> bool:
    """Tell whether the subject may see an image, and all of it that ``order`` depends on."""
    fetched = x.fetched_by_id(marker)
    image = as_image(fetched)
    decision = x.quietly("get_image", image)
    if decision.error and x.api.failure is not None:
        return _absent(x.api.failure)
    if not decision.allowed:
        x.log_decision(decision, "get_image", image)
        return False
    if order.isdisjoint(x.hidden_attributes().sometimes):
        return True
    try:
        return order.isdisjoint(hidden_attributes(x, fetched.stored().document, image))
    except Unavailable as failure:
        return _absent(failure)


def _absent(failure: Unavailable | UnexpectedDocument) -> bool:
    """Return False for what the API says is not there; raises any other failure."""
    if isinstance(failure, Unavailable) and failure.answer.code == 404:
        return False
    raise failure


@dataclass(frozen=True, slots=True)
class _Listing:
    """One list: its parameters, and what was hidden in it so far.

    ``filters`` are the properties that it is filtered by, ``attributes`` those attributes of the API that it is
    filtered or sorted by and that are hidden on some images; ``redacted`` tells whether any attribute may be, and
    ``telling`` whether what the list shows, and in which order, could tell of something hidden.
    """

    x: Exchange
    pairs: list[tuple[str, str]]
    filters: frozenset[str]
    attributes: frozenset[str]
    redacted: bool
    telling: bool
    hidden: dict[str, Decision | None] = field(default_factory=dict)

    def wide(self) -> str | None:
        """Return the query that the API gets for a filtered list: for a longer page than the client asks for.

        The time for a second one would tell that there was a hidden match on the first.
        """
        limit = queries.limit(self.pairs)
        if limit == 0:
            return None
        marker = dict(self.pairs).get("marker")
        return queries.with_page(self.pairs, marker=marker, limit=_longer(limit or DEFAULT_LIMIT))

    def edit(self, answer: Answer) -> Answer:
        page, images = documents.read_list(editable(answer))
        memberships = Memberships(self.x.api, self._path, self.x.subject.tenant, self.x.members)
        memberships.expect(images)
        kept = self._visible(images, memberships.of)
        limit = queries.limit(self.pairs)
        page["first"] = _link(self.pairs, None, limit)
        if page.get("next") is not None:
            # In our own words always: another order of parameters would tell that the page was filled up again.
            page["next"] = _link(self.pairs, queries.marker(page["next"]), limit)
        if self.telling or len(kept) < len(images):
            default = DEFAULT_LIMIT if self.telling else len(images)
            kept = self._refilled(page, kept, default if limit is None else limit, len(images), memberships)
        self.x.log_hidden(self.hidden, None)
        page["images"] = kept
        # Written anew even where nothing was cut: the API's own spacing would tell one case from the other.
        return answer.with_body(documents.write(page))

    @property
    def _path(self) -> str:
        return self.x.match.path.inside("images")

    def _visible(self, images: Iterable[Document], members: Members) -> list[Document]:
        """Return the documents that may be seen, with what may not be read cut out.

        This is the fast path: a thousand images on a page, and nothing done twice.
        """
        kept = []
        # Most images of a list have the same names in the same order.
        names_of: dict[tuple[str, ...], frozenset[str]] = {}
        x, filters, all_hidden, redacted = self.x, self.filters, self.hidden, self.redacted
        decide, subject, context, hide = x.point.deciding(), x.subject, x.context, x.hiding()
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

    def _refilled(
        self, page: Document, kept: list[Document], limit: int, counted: int, memberships: Memberships
    ) -> list[Document]:
        """Return a full page, and set its ``next`` link. ``counted`` is how many images the API has put on it.

        The API links to a next page when it has counted enough images, seen or unseen. That link, and a page that is
        shorter for them, would tell how many may not be seen that fit the question: with a filter by name, whether
        there is one of that name. Ours is there whenever the page is full: it depends on nothing but what is shown,
        and the next page may be empty, as one of the API's own may.
        """
        following, pages, asked = page.pop("next", None), 0, limit
        if following is not None:
            # The API has a limit of its own, and so has the page.
            limit = min(limit, counted)
        while following is not None and len(kept) < limit:
            if pages == MAX_PAGES:
                # Neither an error nor a link: both would tell how many images there are that may not be seen.
                log.warning("a list ends early: more than %d pages of images may not be seen", MAX_PAGES)
                break
            asked = min(_longer(asked), max(limit, MOST))
            more, images = self._page_after(following, asked)
            memberships.expect(images)
            kept = kept + self._visible(images, memberships.of)
            following, pages = more.get("next"), pages + 1
        if len(kept) >= limit > 0:
            page["next"] = _link(self.pairs, kept[limit - 1]["id"], queries.limit(self.pairs))
        return kept[:limit]

    def _page_after(self, link: object, limit: int) -> tuple[Document, list[Document]]:
        query = queries.with_page(self.pairs, marker=queries.marker(link), limit=limit)
        # Of a failure nothing is shown: it may name the image that the page begins behind.
        return documents.read_list(editable(self.x.api.get(self._path, query)))


def _longer(limit: int) -> int:
    return max(2 * limit, SPARE)
