"""Searches: what is found among which candidates, page by page, and in how much time."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from protect import Policy
from protect.authzen.entities import read_entities
from protect.service.calls import Limits
from tests.authzen.client import Client, act, ask, record, user

RULES = """
    allow(_s: Subject, "read", r: Resource) if r.get("open") = true;
    allow(s: Subject, "write", r: Resource) if r.get("owner") = s.id;
    allow(s: Subject, "administer", _r: Resource) if s.has_role("admin");
    allow(s: Subject, "get_image", i: Image) if i.owner = s.tenant;
    allow(s: Subject, "publicize_image", _i: Image) if s.has_role("admin");
    allow(_s: Subject, "update", p: Property) if p.name = "free";
"""

LETTERS = "abcdefghij"
RECORDS = [
    {"type": "record", "id": letter, "properties": {"open": letter not in "cgj", "owner": "alice", "secret": "s"}}
    for letter in LETTERS
]
FILE = {
    "subjects": [user("alice", secret="s"), user("bob", roles=["admin"]), {"type": "robot", "id": "r"}],
    "resources": [*RECORDS, {"type": "image", "id": "i", "properties": {"owner": "t"}}, {"type": "image", "id": "j"}],
    "actions": ["read", "shred"],
}


def entities(document: object) -> Any:
    return read_entities("e.json", json.dumps(document).encode())


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path: Path = tmp_path_factory.mktemp("policy") / "p.polar"
    path.write_text(RULES)
    return Policy.load([str(path)])


@pytest.fixture
def client(policy: Policy) -> Client:
    return Client(policy, entities(FILE))


OPEN_RECORDS = ask(resource={"type": "record"})


def found(client: Client, **page: object) -> tuple[str, dict[str, Any]]:
    """Return the ids on one page of the open records, and what is said of the page."""
    answer = client.search("resource", {**OPEN_RECORDS, "page": page})
    assert answer.status == 200, answer.text
    return "".join(row["id"] for row in answer.document["results"]), answer.document["page"]


def test_results_are_type_and_id_and_no_property(client: Client) -> None:
    answer = client.search("resource", OPEN_RECORDS)
    assert answer.document == {"results": [{"type": "record", "id": letter} for letter in "abdefhi"]}
    who = client.search("subject", ask({"type": "user"}, act("write"), record("a")))
    assert who.document == {"results": [{"type": "user", "id": "alice"}]}


@pytest.mark.parametrize(
    ("subject", "resource", "names"),
    [
        pytest.param(user("alice"), record("a"), ["read", "write"], id="those that rules about a Resource name"),
        pytest.param(user("bob"), record("c"), ["administer"], id="another subject"),
        pytest.param(
            user("x", tenant="t"),
            {"type": "image", "id": "i"},
            ["get_image"],
            id="those that rules about an Image name",
        ),
        pytest.param(user("bob"), {"type": "image", "id": "j"}, ["publicize_image"], id="an image without facts"),
        pytest.param(user("x"), {"type": "property", "id": "free"}, ["update"], id="those about a Property"),
    ],
)
def test_actions_are_those_of_the_policy_and_of_the_file(
    client: Client, subject: object, resource: object, names: list[str]
) -> None:
    answer = client.search("action", {"subject": subject, "resource": resource})
    assert answer.document == {"results": [{"name": name} for name in names]}


def test_an_action_that_only_the_file_names_is_a_candidate(tmp_path: Path) -> None:
    path = tmp_path / "p.polar"
    path.write_text('allow(s: Subject, _action, _r: Resource) if s.has_role("admin");')
    policy = Policy.load([str(path)])
    message = {"subject": user("bob"), "resource": record("a")}
    assert Client(policy, entities(FILE)).search("action", message).document["results"] == [
        {"name": "read"},
        {"name": "shred"},
    ]
    assert Client(policy, entities({**FILE, "actions": []})).search("action", message).document["results"] == []


def test_pages_together_are_the_whole(client: Client) -> None:
    for limit in range(1, 9):
        letters, page = found(client, limit=limit)
        while page["next_token"]:
            assert page["count"] == limit
            assert "total" not in page  # nobody has looked yet
            more, page = found(client, token=page["next_token"])
            letters += more
        assert letters == "abdefhi"
        assert page["total"] == 7
        assert page["count"] == (7 % limit or limit)


def test_a_page_may_change_its_length(client: Client) -> None:
    first, page = found(client, limit=1)
    second, page = found(client, limit=3, token=page["next_token"])
    third, page = found(client, token=page["next_token"])
    assert (first, second, third) == ("a", "bde", "fhi")


def test_without_a_limit_a_page_has_room_for_many(policy: Policy) -> None:
    rows = [{"type": "record", "id": str(number), "properties": {"open": True}} for number in range(1500)]
    client = Client(policy, entities({"resources": rows}))
    for wished in ({}, {"limit": 5000}):
        page = client.search("resource", {**OPEN_RECORDS, "page": wished}).document["page"]
        assert page["count"] == 1000
        rest = client.search("resource", {**OPEN_RECORDS, "page": {"token": page["next_token"]}}).document["page"]
        assert (rest["count"], rest["total"], rest["next_token"]) == (500, 1500, "")
    assert len(client.search("resource", OPEN_RECORDS).document["results"]) == 1500


@pytest.mark.parametrize(
    ("page", "text"),
    [
        pytest.param(7, "`page` must be an object, not a number", id="no object"),
        pytest.param(None, "`page` must be an object, not null", id="null"),
        pytest.param({"limit": 0}, "`page.limit` must be a whole number above 0", id="a limit of nothing"),
        pytest.param({"limit": -1}, "`page.limit` must be a whole number above 0", id="less than nothing"),
        pytest.param({"limit": "1"}, "`page.limit` must be a whole number above 0", id="a limit that is text"),
        pytest.param({"limit": True}, "`page.limit` must be a whole number above 0", id="a limit that is true"),
        pytest.param({"limit": None}, "`page.limit` must be a whole number above 0", id="a limit that is null"),
        pytest.param({"limit": 1.5}, "`page.limit` must be a whole number above 0", id="half a result"),
        pytest.param({"properties": 7}, "`page.properties` must be an object, not a number", id="properties"),
        pytest.param({"token": 7}, "`page.token` must be text, not a number", id="a token that is a number"),
        pytest.param({"token": None}, "`page.token` must be text, not null", id="a token that is null"),
        pytest.param({"token": ""}, "`page.token` is empty: there is no further page", id="the token of the end"),
        pytest.param({"token": "x"}, "`page.token` is not a token from here", id="a token from elsewhere"),
        pytest.param({"token": "é" * 46}, "`page.token` is not a token from here", id="no letters"),
        pytest.param({"token": "A" * 44}, "`page.token` is not a token from here", id="nearly the length of a token"),
    ],
)
def test_a_page_that_cannot_be_is_refused(client: Client, page: object, text: str) -> None:
    answer = client.search("resource", {**OPEN_RECORDS, "page": page})
    assert (answer.status, answer.text) == (400, text)
    assert client.search("resource", {**OPEN_RECORDS, "page": {"limit": 1.0, "properties": {}}}).status == 200


def test_a_token_is_for_one_query_one_policy_and_one_file(client: Client, policy: Policy, tmp_path: Path) -> None:
    complete = ask(resource=record("a"))  # so that it can be asked of every search
    first = client.search("resource", {**complete, "page": {"limit": 2}}).document
    token = {"page": {"token": first["page"]["next_token"]}}

    def status(asker: Client, what: str = "resource", **more: object) -> int:
        answer = asker.search(what, {**complete, **token, **more})
        assert answer.status == 200 or "does not belong to this search" in answer.text
        return answer.status

    changed = tmp_path / "p.polar"
    changed.write_text(RULES + "# another revision")
    assert status(client) == 200
    assert status(client, subject=user("bob")) == 400
    assert status(client, context={"x": 1}) == 400
    assert status(client, action=act("write")) == 400
    assert status(client, "action") == 400
    assert status(client, "subject") == 400
    assert status(Client(policy, entities({**FILE, "actions": []}))) == 400
    assert status(Client(Policy.load([str(changed)]), client.entities)) == 400
    assert status(Client(policy, entities(FILE))) == 200


def test_a_token_does_not_depend_on_the_order_of_keys(client: Client) -> None:
    _, page = found(client, limit=2)
    backwards = dict(reversed({**OPEN_RECORDS, "page": {"token": page["next_token"]}}.items()))
    assert client.search("resource", backwards).status == 200


def slow(client: Client, seconds: float) -> Client:
    ticks = count()
    client.clock = lambda: float(next(ticks))  # a second passes at every look
    client.limits = Limits(seconds=seconds)
    return client


def test_a_search_that_takes_too_long_says_what_to_do(client: Client) -> None:
    assert slow(client, 10).search("resource", OPEN_RECORDS).status == 200
    answer = slow(client, 9).search("resource", OPEN_RECORDS)
    assert answer.status == 413
    assert answer.text == "the search takes too long; narrow it, or ask for pages with `page.limit`"


@pytest.mark.parametrize("seconds", [0, 1, 3, 100])
def test_a_page_ends_when_the_time_is_up_and_the_next_goes_on(client: Client, seconds: float) -> None:
    slow(client, seconds)
    letters, page = found(client, limit=100)
    assert bool(page["next_token"]) is (seconds < 100)
    while page["next_token"]:
        more, page = found(client, token=page["next_token"])
        letters += more
    assert letters == "abdefhi"
    assert page["total"] == 7


def test_what_a_search_finds_out_is_not_recorded(client: Client) -> None:
    client.search("resource", OPEN_RECORDS)
    assert client.recorded == []
    client.evaluate(ask())
    assert len(client.recorded) == 1


@pytest.mark.parametrize(
    ("what", "message"),
    [
        pytest.param("subject", ask("user"), id="a subject that is text"),
        pytest.param("subject", ask({"type": 7}), id="a type that is a number"),
        pytest.param("subject", ask({"type": "user", "properties": 7}), id="properties of what is looked for"),
        pytest.param(
            "subject", ask({"type": "user", "properties": {"tenant": 7}}), id="a tenant of what is looked for"
        ),
        pytest.param("resource", ask(resource={"type": ""}), id="an empty type"),
        pytest.param("resource", ask(user("a", roles="admin"), resource={"type": "record"}), id="roles that are text"),
        pytest.param("resource", ask(resource={"type": "record"}, context=7), id="a context that is a number"),
        pytest.param("action", ask(user("a", tenant=7)), id="a tenant that is a number"),
    ],
)
def test_wrong_types_are_refused(client: Client, what: str, message: dict[str, object]) -> None:
    assert client.search(what, message).status == 400


def test_candidates_have_their_own_properties(client: Client) -> None:
    message = ask({"type": "user", "properties": {"roles": ["admin"]}}, act("administer"), record("a"))
    assert client.search("subject", message).document == {"results": [{"type": "user", "id": "bob"}]}


def test_an_action_beside_a_search_for_actions_is_ignored(client: Client) -> None:
    assert client.search("action", ask(action=7)).status == 200
