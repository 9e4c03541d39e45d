"""Filters and orders of a list tell nothing of what is hidden, whether on every image or on some."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protect.glance.queries import attributes_asked, order
from tests.doors import ADMIN, Doors
from tests.image_api import ID, image

HIDDEN = (
    'forbid(s: Subject, "read", p: Property) if p.name in ["secret", "checksum", "name"] and not s.has_role("admin");'
)
FOREIGN = (
    'forbid(s: Subject, "read", p: Property) if p.name in ["secret", "checksum", "name"] '
    "and not p.image.owner = s.tenant;"
)


def lists(rules: str, **facts: Any) -> Doors:
    mine, foreign = (
        image(1, secret="x", checksum="x", name="x"),
        image(2, secret="x", checksum="x", name="x", owner="t2"),
    )
    return Doors(rules, mine | facts, foreign | facts, image(3))


def ids(doors: Doors, query: str, headers: dict[str, str] | None = None) -> list[str]:
    return [each["id"] for each in doors.ask("GET", f"/v2/images?{query}", headers=headers).json["images"]]


ASKING = [
    pytest.param("secret=x", id="by-a-property"),
    pytest.param("s%65cret=x", id="by-a-property-encoded"),
    pytest.param("checksum=x", id="by-an-attribute"),
    pytest.param("checksum=x&os_hidden=False", id="by-two-attributes"),
    pytest.param("name=in:x,y", id="by-one-of-several-values"),
    pytest.param("sort=name:asc", id="in-order"),
    pytest.param("sort=size:asc,%20name:desc", id="in-order-as-a-second-key"),
    pytest.param("sort_key=size&sort_key=name&sort_dir=asc", id="in-order-in-the-older-way"),
]


@pytest.mark.parametrize("query", ASKING)
def test_what_is_hidden_on_every_image_is_never_asked_for(query: str) -> None:
    doors = lists(HIDDEN)
    response = doors.ask("GET", f"/v2/images?{query}&limit=2")
    assert response.status_int == 200
    assert response.json["images"] == [] and "next" not in response.json
    assert doors.api.calls == []
    assert doors.lines[-1][:2] == ("denied", "read")
    admin = lists(HIDDEN)
    assert admin.ask("GET", f"/v2/images?{query}", headers=ADMIN).status_int == 200
    assert admin.api.calls != []


@pytest.mark.parametrize("query", ["size=10", "sort=size:asc", "owner=t1", "sort_key=created_at", "limit=2"])
def test_what_may_be_read_is_asked_for(query: str) -> None:
    doors = lists(HIDDEN)
    doors.ask("GET", f"/v2/images?{query}")
    assert doors.api.calls == ["GET /v2/images"]


def test_an_empty_answer_is_what_the_api_gives_where_there_is_nothing() -> None:
    """Byte for byte: a property that is hidden, and one that no image has."""
    hidden = lists(HIDDEN).ask("GET", "/v2/images?secret=guess&limit=5&marker=" + ID.format(1))
    absent = Doors("", image(1)).ask("GET", "/v2/images?secret=guess&limit=5")
    assert json.loads(hidden.body) == json.loads(absent.body)
    assert hidden.json["first"] == "/v2/images?secret=guess&limit=5"
    assert hidden.content_type == "application/json"


def test_the_link_of_an_empty_answer_leads_somewhere() -> None:
    doors = lists(HIDDEN)
    first = doors.ask("GET", "/v2/images?secret=a%20b%26c&limit=5").json["first"]
    assert doors.ask("GET", first).json["first"] == first
    assert doors.ask("GET", "/v2/images?sort=name").json["first"] == "/v2/images?sort=name"


@pytest.mark.parametrize("query", [query.values[0] for query in ASKING if "in:" not in str(query.values[0])])
def test_where_it_is_hidden_on_some_images_those_are_left_out(query: str) -> None:
    doors = lists(FOREIGN)
    doors.api._list = _unsorted(doors, query)  # type: ignore[method-assign]
    found = ids(doors, query)
    assert ID.format(2) not in found
    assert ID.format(1) in found


def _unsorted(doors: Doors, query: str) -> Any:
    """The tiny API does not sort: it answers a sorted list with everything it has."""
    listed = doors.api._list

    def answer(request: Any) -> Any:
        for name in ("sort", "sort_key", "sort_dir"):
            while name in request.GET:
                del request.GET[name]
        if "os_hidden" in request.GET:
            del request.GET["os_hidden"]
        return listed(request)

    return answer


@pytest.mark.parametrize("limit", [1, 2, 25])
@pytest.mark.parametrize("guess", [True, False])
def test_pages_do_not_tell_of_hidden_matches(limit: int, guess: bool) -> None:
    """Another tenant's checksum is the one or another: whoever may not read it sees the same pages."""
    mine = [image(number, checksum="c") for number in (2, 4, 6)]
    theirs = [image(number, checksum="c" if guess else "d", owner="t2") for number in (1, 3, 5, 7)]
    doors = Doors(FOREIGN, *sorted(mine + theirs, key=lambda document: document["id"]))
    path, pages = f"/v2/images?checksum=c&limit={limit}", list[list[str]]()
    while path:
        page = doors.ask("GET", path).json
        pages.append([each["id"] for each in page["images"]])
        path = page.get("next", "")
    expected = [document["id"] for document in mine]
    # A full page has a link, also where nothing follows.
    assert pages == [expected[start : start + limit] for start in range(0, 3 + (3 % limit == 0), limit)]


@pytest.mark.parametrize(
    ("pairs", "names"),
    [
        pytest.param([("limit", "1"), ("marker", "x"), ("os", "x")], set(), id="none"),
        pytest.param([("owner", "t"), ("name", "x")], {"owner", "name"}, id="filters"),
        pytest.param(
            [("size_min", "1"), ("min_ram_max", "1"), ("min_disk", "1")], {"size", "min_ram", "min_disk"}, id="r"
        ),
        pytest.param([("sort", "name, size:asc ,status")], {"name", "size", "status"}, id="sort"),
        pytest.param([("sort_key", " name"), ("sort_key", "id")], {"name", "id"}, id="sort-keys"),
        pytest.param([("tag", "a"), ("member_status", "all")], set(), id="no-attribute"),
    ],
)
def test_attributes_in_a_query(pairs: list[tuple[str, str]], names: set[str]) -> None:
    assert attributes_asked(pairs) == names


def test_the_order_is_told_from_the_filters() -> None:
    assert order([("name", "x"), ("size_min", "1")]) == set()
    assert order([("sort", "name:asc, size"), ("owner", "t")]) == {"name", "size"}
    assert order([("sort_key", "checksum"), ("sort_key", "os_distro")]) == {"checksum"}


# --- Markers ---

UNSEEN = 'forbid(s: Subject, "get_image", i: Image) if i.get("secret") = "x" and not i.owner = s.tenant;'
ABSENT = ID.format(7)


def started(rules: str, marker: str, query: str = "", headers: dict[str, str] | None = None) -> tuple[int, bytes, Any]:
    doors = lists(rules)
    doors.api._list = _unsorted(doors, query)  # type: ignore[method-assign]
    response = doors.ask("GET", f"/v2/images?{query}&marker={marker}", headers=headers)
    return response.status_int, response.body.replace(marker.encode(), b"ID"), sorted(response.headers.items())


@pytest.mark.parametrize(
    ("rules", "query", "own", "foreign"),
    [
        pytest.param("", "", 200, 200, id="what-is-seen-starts-a-list"),
        pytest.param(UNSEEN, "", 200, 400, id="what-is-not-seen-starts-none"),
        pytest.param(UNSEEN, "limit=1", 200, 400, id="nor-a-short-one"),
        pytest.param(FOREIGN, "", 200, 200, id="what-is-hidden-in-no-order"),
        pytest.param(FOREIGN, "sort=name:asc", 200, 400, id="what-is-hidden-in-the-order"),
        pytest.param(FOREIGN, "sort=size:asc,%20checksum:desc", 200, 400, id="or-in-its-second-key"),
        pytest.param(FOREIGN, "sort_key=name&sort_dir=asc", 200, 400, id="or-in-the-older-way"),
        pytest.param(FOREIGN, "sort=size", 200, 200, id="what-is-shown-in-the-order"),
        pytest.param(FOREIGN, "name=x", 200, 200, id="what-is-hidden-in-a-filter"),
    ],
)
def test_a_list_starts_behind_what_may_be_seen(rules: str, query: str, own: int, foreign: int) -> None:
    absent = started(rules, ABSENT, query)
    assert absent[0] == 400
    assert started(rules, ID.format(1), query)[0] == own
    there = started(rules, ID.format(2), query)
    assert there[0] == foreign
    assert (there == absent) is (foreign == 400)


def test_the_marker_is_looked_at_before_the_list_and_only_where_it_decides() -> None:
    for rules, headers, calls in (
        (UNSEEN, None, ["GET /v2/images/" + ID.format(2)]),
        (HIDDEN, ADMIN, ["GET /v2/images"]),
        ("", None, ["GET /v2/images"]),
    ):
        doors = lists(rules)
        doors.ask("GET", f"/v2/images?marker={ID.format(2)}", headers=headers)
        assert doors.api.calls == calls
    assert lists(UNSEEN).ask("GET", f"/v2/images?marker={ID.format(2)}").status_int == 400


@pytest.mark.parametrize("marker", ["", "A" * 36, "x%0ay", "../x", "%C3%A4"])
def test_what_is_no_id_starts_no_list(marker: str) -> None:
    doors = lists(UNSEEN)
    assert (doors.ask("GET", f"/v2/images?marker={marker}").status_int, doors.api.calls) == (400, [])


def test_an_unseen_marker_is_logged() -> None:
    doors = lists(UNSEEN)
    doors.ask("GET", f"/v2/images?marker={ID.format(2)}")
    assert doors.lines == [("allowed", "get_images", None), ("denied", "get_image", None)]


@pytest.mark.parametrize("query", ["limit=1&os_distro=x", "os_distro=x&limit=1", "limit=1"])
def test_a_link_has_one_form_whether_or_not_the_page_was_filled_up(query: str) -> None:
    rules = 'forbid(_s: Subject, "get_image", image: Image) if image.get("q") = "1";'
    seen = [image(number, os_distro="x") for number in (1, 2, 3)]
    hidden = image(4, os_distro="x", q="1")
    # What was left out comes first, so that the page is filled up behind it.
    without, filled = (
        Doors(rules, *images).ask("GET", f"/v2/images?{query}").json for images in (seen, [hidden, *seen])
    )
    assert filled == without
    assert without["next"].endswith(f"marker={ID.format(1)}")
