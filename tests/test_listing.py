"""Lists through the filter: nothing about them tells what is hidden in the images, or that there are such images."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from webob import Response

from protect.enforcement.doors import listing
from protect.values import Property, Query
from tests.image_api import ID, image
from tests.test_enforcement import V2, Bench, anyone, patch

GUESSES = ("right", "wrong")


def no_secrets(query: Query) -> bool:
    return not (isinstance(query.resource, Property) and query.resource.name == "secret" and query.action == "read")


def others_stay_unseen(query: Query) -> bool:
    return not (query.action == "get_image" and query.resource.owner == "t2")  # type: ignore[union-attr]


def secrets_of_others_stay_unread(query: Query) -> bool:
    return no_secrets(query) or query.resource.image.owner == "t1"  # type: ignore[union-attr]


def all_of(response: Response) -> tuple[object, ...]:
    return response.status, sorted(response.headers.items()), response.body


# --- No byte of an answer tells what is hidden ---


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", V2, None, id="show"),
        pytest.param("GET", "/v2/images", None, id="list"),
        pytest.param("GET", "/v2/images?limit=1", None, id="a-page-of-a-list"),
        pytest.param("GET", "/v2/images?other=x", None, id="a-filtered-list"),
        pytest.param("PATCH", V2, [patch("add", "fine", "v")], id="patch"),
    ],
)
def test_an_answer_is_the_same_to_the_byte_whether_something_is_hidden_or_not_there(
    method: str, path: str, body: Any
) -> None:
    hidden, absent = Bench(no_secrets, image(1, other="x", secret="s")), Bench(no_secrets, image(1, other="x"))
    shown = Bench(anyone, image(1, other="x", secret="s"))
    answer = all_of(hidden.ask(method, path, body))
    assert answer == all_of(absent.ask(method, path, body))
    assert answer != all_of(shown.ask(method, path, body))


def test_a_created_image_is_answered_alike_whether_something_is_hidden_or_not_there() -> None:
    with_secret, without = Bench(no_secrets), Bench(no_secrets)
    answer = all_of(with_secret.ask("POST", "/v2/images", {"a": "1", "secret": "s"}))
    assert answer == all_of(without.ask("POST", "/v2/images", {"a": "1"}))


@pytest.mark.parametrize("limit", ["", "&limit=1", "&limit=2", "&limit=25"])
@pytest.mark.parametrize("count", [1, 2, listing.SPARE - 1])
def test_a_right_guess_costs_and_answers_what_a_wrong_one_does(limit: str, count: int) -> None:
    answers = []
    for guess in GUESSES:
        documents = [
            image(1, id=f"{n:08d}-0000-4000-8000-000000000000", owner="t2", secret="right") for n in range(count)
        ]
        bench = Bench(secrets_of_others_stay_unread, *documents)
        response = bench.ask("GET", f"/v2/images?secret={guess}{limit}")
        answers.append((response.status, response.body.replace(guess.encode(), b"guess"), len(bench.api.calls)))
    assert answers[0] == answers[1]
    assert json.loads(answers[0][1])["images"] == []


def test_a_right_guess_of_what_may_be_read_is_answered() -> None:
    bench = Bench(secrets_of_others_stay_unread, image(1, secret="right"))
    assert len(bench.ask("GET", "/v2/images?secret=right&limit=1").json["images"]) == 1
    assert bench.ask("GET", "/v2/images?secret=wrong&limit=1").json["images"] == []


def test_too_many_hidden_matches_look_like_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listing, "MAX_PAGES", 2)
    monkeypatch.setattr(listing, "SPARE", 2)
    monkeypatch.setattr(listing, "MOST", 2)
    documents = [image(n, owner="t2", secret="right") for n in range(1, 10)]
    answers = {}
    for guess in GUESSES:
        response = Bench(secrets_of_others_stay_unread, *documents).ask("GET", f"/v2/images?secret={guess}&limit=1")
        answers[guess] = (response.status, response.body.replace(guess.encode(), b"guess"))
    assert answers["right"] == answers["wrong"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


# --- Links ---


@pytest.mark.parametrize(
    ("query", "first"),
    [
        pytest.param("p=x", "/v2/images?p=x", id="without-a-limit"),
        pytest.param("p=x&limit=2", "/v2/images?p=x&limit=2", id="with-a-limit"),
        pytest.param(f"limit=2&p=x&marker={ID.format(1)}", "/v2/images?p=x&limit=2", id="of-a-later-page"),
    ],
)
def test_the_first_link_of_a_filtered_list_is_what_was_asked_for(query: str, first: str) -> None:
    assert Bench(anyone, image(1, p="x")).ask("GET", f"/v2/images?{query}").json["first"] == first


def pages(bench: Bench, path: str) -> tuple[list[list[int]], list[str]]:
    """Return the numbers of the images on each page, and the links from page to page."""
    found, links = list[list[int]](), list[str]()
    while path:
        page = bench.ask("GET", path).json
        found.append([int(document["id"][-1]) for document in page["images"]])
        path = page.get("next", "")
        links.append(path)
    return found, links


@pytest.mark.parametrize(
    ("unseen", "found"),
    [
        pytest.param((), [[1, 2], [3, 4], [5, 6], []], id="none"),
        pytest.param((1,), [[2, 3], [4, 5], [6]], id="the-first-of-a-page"),
        pytest.param((2,), [[1, 3], [4, 5], [6]], id="the-last-of-a-page"),
        pytest.param((2, 3), [[1, 4], [5, 6], []], id="more-than-the-last"),
        pytest.param((1, 2), [[3, 4], [5, 6], []], id="a-whole-page"),
        pytest.param((5, 6), [[1, 2], [3, 4], []], id="the-last-page"),
        pytest.param((1, 2, 3, 4, 5, 6), [[]], id="all"),
    ],
)
def test_no_link_names_an_image_that_may_not_be_seen(unseen: tuple[int, ...], found: list[list[int]]) -> None:
    documents = [image(n, owner="t2" if n in unseen else "t1") for n in range(1, 7)]
    numbers, links = pages(Bench(others_stay_unseen, *documents), "/v2/images?limit=2")
    assert numbers == found
    assert not any(ID.format(n) in link for n in unseen for link in links)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("query", ["limit={}", "name=x&limit={}", "limit={}&name=x"])
def test_a_page_does_not_tell_of_images_that_may_not_be_seen(query: str, limit: int) -> None:
    """Neither by its length nor by its link: pages are those of a catalogue in which there are none."""
    seen = [image(n, name="x") for n in (1, 4, 6)]
    unseen = [image(n, name="x", owner="t2") for n in (2, 3, 5, 7, 8)]
    mixed = sorted(seen + unseen, key=lambda document: document["id"])
    path = f"/v2/images?{query.format(limit)}"
    assert pages(Bench(others_stay_unseen, *mixed), path) == pages(Bench(others_stay_unseen, *seen), path)


def test_a_page_is_no_longer_than_the_api_makes_it() -> None:
    """Not even where the client asks for more and images were left out."""
    documents = [image(n, owner="t2" if n == 2 else "t1") for n in range(1, 8)]
    bench = Bench(others_stay_unseen, *documents)
    listed = bench.api._list

    def capped(request: Any) -> Response:
        limited = {**dict(request.GET), "limit": str(min(3, int(request.GET["limit"])))}
        asked = type(request)({**request.environ, "QUERY_STRING": "&".join(f"{n}={v}" for n, v in limited.items())})
        return listed(asked)

    bench.api._list = capped  # type: ignore[method-assign]
    page = bench.ask("GET", "/v2/images?limit=1000").json
    assert [document["id"][-1] for document in page["images"]] == ["1", "3", "4"]
    assert page["next"] == f"/v2/images?limit=1000&marker={ID.format(4)}"


def test_a_page_may_say_that_there_is_no_next_one() -> None:
    bench = Bench(anyone, image(1))
    listed = bench.api._list
    bench.api._list = lambda request: Response(json_body=listed(request).json | {"next": None})  # type: ignore[method-assign]
    page = bench.ask("GET", "/v2/images").json
    assert ([document["id"] for document in page["images"]], page.get("next")) == ([ID.format(1)], None)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_page_that_cannot_be_filled_up_names_no_image_that_may_not_be_seen(status: int) -> None:
    """The marker behind us may be deleted meanwhile, and the API says which image that was."""
    bench = Bench(others_stay_unseen, image(1), image(2, owner="t2"), image(3))
    listed = bench.api._list

    def failing(request: Any) -> Response:
        marker = request.GET.get("marker")
        return Response(f"No image found with ID {marker}".encode(), status=status) if marker else listed(request)

    bench.api._list = failing  # type: ignore[method-assign]
    response = bench.ask("GET", "/v2/images?limit=2")
    assert response.status_int == 502
    assert ID.format(2) not in response.text


# --- Parameters ---


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("limit=1&limit=2", 400, id="limit-twice"),
        pytest.param("marker=a&marker=b", 400, id="marker-twice"),
        pytest.param("member_status=all&member_status=x", 400, id="member-status-twice"),
        pytest.param("p=1&p=2", 400, id="a-property-twice"),
        pytest.param("limit=1&%6Cimit=2", 400, id="limit-twice-spelt-otherwise"),
        pytest.param("limit=1&p=2", 200, id="each-once"),
        pytest.param("tag=a&tag=b", 200, id="tags"),
        pytest.param("sort_key=name&sort_key=id&sort_dir=asc&sort_dir=asc", 200, id="several-sort-keys"),
        pytest.param("limit=", 400, id="no-limit"),
        pytest.param("limit=%205", 400, id="a-limit-with-a-space"),
        pytest.param("limit=-1", 400, id="a-negative-limit"),
        pytest.param("limit=5", 200, id="a-limit"),
    ],
)
def test_parameters_that_the_api_would_take_for_a_filter_are_refused(query: str, status: int) -> None:
    bench = Bench(anyone)
    assert bench.ask("GET", f"/v2/images?{query}").status_int == status
    assert bool(bench.api.calls) is (status == 200)
