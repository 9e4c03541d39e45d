"""GET of many images: each on a page is decided on, and a page filtered by a property is filled up again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.redaction import has_locations, locations_shown
from protect.enforcement.refusals import relayed
from protect.errors import MalformedRequest
from protect.glance import documents, queries
from protect.glance.attributes import CORE
from protect.glance.documents import Document, UnexpectedDocument
from protect.upstream.answers import Answer, editable
from protect.upstream.subrequests import Unavailable
from protect.values import Image, Query

MAX_PAGES = 50  # pages that one list request may cost behind us
REFILL = 200  # images on each page that we ask for ourselves
DEFAULT_LIMIT = 25  # the API's own page size

log = logging.getLogger("protect.enforcement")


def list_images(x: Exchange) -> Plan:
    pairs = x.parameters()
    x.require("get_images", Image(owner=x.subject.tenant))
    return Plan(edit=_Listing(x, pairs, queries.property_filters(pairs)).edit)


@dataclass(frozen=True, slots=True)
class _Listing:
    """One list: its parameters, the properties that it is filtered by, and those that were hidden in it so far."""

    x: Exchange
    pairs: list[tuple[str, str]]
    filters: frozenset[str]
    hidden: set[str] = field(default_factory=set)

    def edit(self, answer: Answer) -> Answer:
        page, images = documents.read_list(editable(answer))
        count = len(images)
        kept, changed = self._visible(images)
        if self.filters and "next" in page:
            kept = self._refilled(page, kept)
            changed = True
        self.x.log_hidden(self.hidden, None)
        if not changed and len(kept) == count:
            return answer.with_body(answer.body)
        page["images"] = kept
        return answer.with_body(documents.write(page))

    def _visible(self, images: list[Document]) -> tuple[list[Document], bool]:
        """Return the documents that may be seen, with what may not be read cut out; and whether any was cut.

        This is the fast path: a thousand images on a page, and nothing done twice.
        """
        kept, changed = [], False
        x, filters, all_hidden = self.x, self.filters, self.hidden
        decide, subject, context = x.point.decide, x.subject, x.context
        for document in images:
            image = x.stored(document)
            decision = decide(Query(subject, "get_image", image, context))
            if not decision.allowed:
                x.log_decision(decision, "get_image", image)
                continue
            names = document.keys() - CORE
            try:
                hidden = x.hide(image, names)
                # A filter must not tell anything about a property that may not be read.
                if filters and (not filters <= names or filters & hidden):
                    continue
                if hidden or has_locations(document):
                    all_hidden |= hidden
                    shown = locations_shown(x, document, image)
                    changed = documents.cut(document, hidden, locations=shown) or changed
            except UnexpectedDocument:
                # One strange image must not take the list away from everyone.
                log.exception("an image in a list could not be decided on, and is left out")
                continue
            kept.append(document)
        return kept, changed

    def _refilled(self, page: Document, kept: list[Document]) -> list[Document]:
        """Return a full page of a list that is filtered by a property, and set its ``next`` link.

        The API links to a next page when it has counted enough matches, seen or unseen. With `limit=1` that link
        alone would tell whether a hidden property has a value, so we look behind the page ourselves.
        """
        limit = _limit(self.pairs, default=max(DEFAULT_LIMIT, len(kept)))
        following = page.pop("next")
        for _ in range(MAX_PAGES):
            if following is None or len(kept) > limit:
                break
            more, images = self._page_after(following, max(limit, REFILL))
            kept = kept + self._visible(images)[0]
            following = more.get("next")
        else:
            raise MalformedRequest("too many images match the filter; ask for fewer with another filter")
        if len(kept) > limit > 0:
            page["next"] = "/v2/images?" + queries.with_page(self.pairs, marker=kept[limit - 1]["id"], limit=limit)
        return kept[:limit]

    def _page_after(self, link: object, limit: int) -> tuple[Document, list[Document]]:
        query = queries.with_page(self.pairs, marker=queries.marker(link), limit=limit)
        answer = self.x.api.get(self.x.match.path.inside("images"), query)
        if answer.code != 200:
            raise relayed(Unavailable(answer))
        return documents.read_list(editable(answer))


def _limit(pairs: list[tuple[str, str]], default: int) -> int:
    given = dict(pairs).get("limit", "")
    # The API has accepted it already, so it is a number.
    return int(given) if given.isdecimal() else default
