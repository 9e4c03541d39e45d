"""Lists of images that are shared with the one who asks: what that costs, and when two lists are not believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from webob import Request, Response

from protect import Policy
from protect.enforcement import Protect
from protect.errors import ProtectError
from protect.identity.keystone import identify
from protect.upstream import memberships
from tests.doors import Doors
from tests.image_api import Document, ImageApi, image

#: Whom an image is shared with: of each its status, told only to the tenant itself.
Shares = dict[int, dict[str, str]]

ACCEPTED = """
forbid(s: Subject, "get_image", i: Image) if not i.owner = s.tenant and not i.shared_with(s);
"""


class SharingApi(ImageApi):
    """An API that lists images by the status of the caller's membership. For its own admins it does not."""

    def __init__(self, documents: Iterable[Document], shares: Shares, *, admins: frozenset[str] = frozenset()) -> None:
        super().__init__(*documents)
        self.shares = {number_id(number): shared for number, shared in shares.items()}
        self.admins = admins
        self.tenant: str | None = None  # whom it takes the caller for, if not for the one whom the headers name

    def _list(self, request: Request) -> Response:
        asked = dict(request.GET)
        tenant = self._caller(request)
        wanted = asked.pop("member_status", "accepted")
        only = asked.pop("id", None)
        hidden = asked.pop("os_hidden", "false") == "true"
        ids = None if only is None else only.removeprefix("in:").split(",")
        whole, everybody = self.images, tenant in self.admins
        self.images = {
            key: row
            for key, row in whole.items()
            if (ids is None or key in ids)
            and row["os_hidden"] is hidden
            and (everybody or row["owner"] == tenant or self.shares.get(key, {}).get(tenant) in (wanted, *ANY[wanted]))
        }
        rest = "&".join(f"{name}={value}" for name, value in asked.items())
        try:
            return super()._list(Request({**request.environ, "QUERY_STRING": rest}))
        finally:
            self.images = whole

    def _caller(self, request: Request) -> str:
        return self.tenant or str(request.headers["X-Project-Id"])

    def _members(self, request: Request, document: Document, rest: list[str]) -> Response:
        tenant, shared = self._caller(request), self.shares.get(document["id"], {})
        told = shared if tenant in self.admins or tenant == document["owner"] else {tenant: shared[tenant]}
        rows = [{"member_id": name, "image_id": document["id"], "status": status} for name, status in told.items()]
        return Response(json.dumps({"members": rows}).encode(), content_type="application/json", charset="UTF-8")


STATUSES = ("accepted", "pending", "rejected")
ANY: dict[str, tuple[str, ...]] = {"all": STATUSES} | dict.fromkeys(STATUSES, ())


def number_id(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def shared_images(count: int, **facts: Any) -> list[Document]:
    return [image(1, id=number_id(n), owner="t2", visibility="shared", **facts) for n in range(count)]


def lists(
    api: SharingApi, query: str = "", rules: str | Policy = ACCEPTED, between: Callable[[Request], None] | None = None
) -> tuple[list[int], int, int]:
    """Return the numbers of the images that are shown, and how often the API was asked for members and for lists."""
    doors = Doors(rules)
    point = doors.filter._policy()

    def app(environ: Any, start_response: Any) -> Any:
        if between is not None:
            between(Request(environ))
        return api(environ, start_response)

    doors.filter = Protect(app, policy=lambda: point, identify=identify, log=doors.log.append)
    response = doors.ask("GET", f"/v2/images?limit=200{query}")
    assert response.status_int == 200
    members = sum(call.endswith("/members") for call in api.calls)
    found = [int(each["id"][:8]) for each in response.json["images"]]
    return found, members, len(api.calls) - members


@pytest.mark.parametrize(
    ("count", "members", "asked"),
    [
        pytest.param(1, 1, 1, id="one is asked about"),
        pytest.param(4, 4, 1, id="a few are asked about one by one"),
        pytest.param(5, 1, 3, id="more are looked for in two lists"),
        pytest.param(150, 1, 5, id="in so many lists that no address is too long"),
    ],
)
def test_what_is_shared_costs(count: int, members: int, asked: int) -> None:
    api = SharingApi(shared_images(count), {n: {"t1": "accepted"} for n in range(count)})
    assert lists(api) == (list(range(count)), members, asked)
    assert all(len(request.query_string) < 4000 for request in api.seen)


def test_nothing_is_asked_about_what_is_ones_own_or_nobodys() -> None:
    documents = [image(1, id=number_id(n), owner="t1", visibility="shared") for n in range(9)]
    documents += [image(1, id=number_id(n), owner="t1", visibility="public") for n in range(9, 20)]
    assert lists(SharingApi(documents, {}), rules=Policy.load()) == (list(range(20)), 0, 1)


MIXED = ["accepted", "pending", "rejected", "accepted", "accepted", "pending", "rejected", "accepted", "rejected"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("many", [1, 3])
def test_each_status_is_told_from_the_others(status: str, many: int) -> None:
    each = MIXED * many
    api = SharingApi(shared_images(len(each)), {n: {"t1": each[n], "t3": "accepted"} for n in range(len(each))})
    rules = ACCEPTED.replace("shared_with(s)", f'shared_with(s, "{status}")')
    found, members, _ = lists(api, "&member_status=all", rules)
    assert found == [n for n, own in enumerate(each) if own == status]
    assert members < len(each)


def test_images_that_are_kept_out_of_ordinary_lists_are_looked_for_as_such() -> None:
    api = SharingApi(shared_images(9, os_hidden=True), {n: {"t1": "accepted"} for n in range(9)})
    assert lists(api, "&os_hidden=true") == (list(range(9)), 1, 3)


# --- Where the lists are not believed, each image is asked about ---


def half_shared(**options: Any) -> SharingApi:
    """Return ten images: the even ones are shared with `t1`, all of them with others."""
    shares: Shares = {n: {"t1": "accepted", "t3": "pending"} if n % 2 == 0 else {"t3": "accepted"} for n in range(10)}
    return SharingApi(shared_images(10), shares, **options)


def test_an_admin_of_the_api_is_shared_with_no_more_than_anybody() -> None:
    found, members, _ = lists(half_shared(admins=frozenset({"t1"})))
    assert (found, members) == ([0, 2, 4, 6, 8], 10)


def test_an_api_that_takes_the_caller_for_another_is_not_believed() -> None:
    api = half_shared()
    api.tenant = "t3"
    found, members, asked = lists(api, "&member_status=all")
    assert (found, members, asked) == ([], 10, 1)


def strange(api: SharingApi, answer: Callable[[list[Document]], Response | None]) -> SharingApi:
    """Let the API answer otherwise when it is asked for some images by their ids."""
    listed = api._list

    def changed(request: Request) -> Response:
        by_id, given = "id" in request.GET, listed(request)
        return (by_id and answer(json.loads(given.body)["images"])) or given

    api._list = changed  # type: ignore[method-assign]
    return api


def page(*rows: Document) -> Response:
    return Response(json.dumps({"images": rows}).encode(), content_type="application/json", charset="UTF-8")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda rows: Response(status=403), id="a refusal"),
        pytest.param(lambda rows: Response(status=500), id="a failure"),
        pytest.param(lambda rows: Response(b"<html>"), id="no JSON"),
        pytest.param(lambda rows: page(), id="nothing"),
        pytest.param(lambda rows: page(*rows[1:]), id="not even what has been told before"),
        pytest.param(lambda rows: page(*rows, image(1, id=number_id(77), visibility="shared")), id="more than asked"),
        pytest.param(lambda rows: page(*({**row, "visibility": "public"} for row in rows)), id="what is not shared"),
        pytest.param(lambda rows: page(*shared_images(10)), id="the same whatever is asked"),
    ],
)
def test_a_strange_list_is_not_believed(answer: Callable[[list[Document]], Response | None]) -> None:
    api = strange(SharingApi(shared_images(10), {n: {"t1": "accepted"} for n in range(10)}), answer)
    assert lists(api)[:2] == (list(range(10)), 10)


def test_a_list_that_is_cut_short_is_believed_as_far_as_it_goes() -> None:
    api = strange(
        SharingApi(shared_images(10), {n: {"t1": "accepted"} for n in range(10)}), lambda rows: page(*rows[:4])
    )
    found, members, _ = lists(api)
    assert (found, members) == (list(range(10)), 7)


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [
        pytest.param("accepted", "pending", 8, id="so that it stands in both lists"),
        pytest.param("pending", "accepted", 2, id="so that it stands in neither"),
    ],
)
def test_what_changes_between_the_lists_is_asked_for_again(before: str, after: str, asked: int) -> None:
    api = SharingApi(shared_images(8), {n: {"t1": "accepted" if n < 7 else before} for n in range(8)})

    def between(request: Request) -> None:
        if "pending" in request.query_string:
            api.shares[number_id(7)] = {"t1": after}

    found, members, _ = lists(api, "&member_status=all", between=between)
    assert (found, members) == (list(range(8 if after == "accepted" else 7)), asked)


def test_a_tenant_is_told_of_no_other_than_itself() -> None:
    asked = memberships.Memberships(Doors("").filter, "/v2/images", "t1", lambda _: {"t1": "accepted"})  # type: ignore[arg-type]
    asked._told = {"x": "accepted"}
    assert asked.of({"id": "x"})["t1"] == "accepted"
    with pytest.raises(ProtectError):
        asked.of({"id": "x"})["t2"]
