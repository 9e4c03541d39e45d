"""Pages of a list from which rows are left out: no link names one that may not be seen, and no page is empty for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from protect.enforcement.exchange import Exchange
from protect.glance import documents, queries
from protect.glance.documents import Document, UnexpectedDocument
from protect.upstream.answers import Answer, editable
from protect.upstream.subrequests import Unavailable

MAX_PAGES = 50  # pages that one list request may cost behind us


class Rows(NamedTuple):
    """One kind of list: how its pages are read, where their rows are, and what of a row is a marker."""

    read: Callable[[bytes], tuple[Document, list[Document]]]
    key: str
    marker: str


def edit(x: Exchange, answer: Answer, kind: Rows, visible: Callable[[list[Document]], list[Document]]) -> Answer:
    """Return a page with the rows that ``visible`` keeps of it, or of the first page behind it that has any."""
    page, rows = kind.read(editable(answer))
    kept, following = visible(rows), page.pop("next", None)
    for _ in range(MAX_PAGES):
        if kept or following is None:
            break
        # A page of which nothing may be seen has no row to name in a link: look behind it.
        more = x.api.get(x.match.path.inside(*x.match.path.segments), urlsplit(str(following)).query)
        if more.code != 200:
            raise Unavailable(more)
        page_after, rows = kind.read(editable(more))
        kept, following = visible(rows), page_after.get("next")
    if kept and following is not None:
        page["next"] = queries.with_marker(str(following), _marker(kept[-1], kind))
    page[kind.key] = kept
    return answer.with_body(documents.write(page))


def _marker(row: Document, kind: Rows) -> str:
    marker = documents.text(row, kind.marker)
    if marker is None:
        raise UnexpectedDocument(f"a list with a row without `{kind.marker}`")
    return marker
