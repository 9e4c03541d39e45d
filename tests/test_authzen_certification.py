"""The certification scenario of AuthZEN 1.0, level by level, over the example of an office's records.

Its fixture and its cases are told in our own words: https://github.com/openid/authzen has the original.
"""

from __future__ import annotations

import json

import pytest

from tests.authzen.client import PUBLIC_URL, Client, act, ask, record, records, user

ADMIN = user("bob", role="admin")
ARCHIVED = record("record-2", status="archived")


@pytest.fixture(scope="module")
def office() -> Client:
    return records()


def without(message: dict[str, object], key: str, part: str | None = None) -> dict[str, object]:
    """Return a copy of ``message`` that lacks a key, or one part of what stands there."""
    value = message[key]
    rest = {name: value for name, value in message.items() if name != key}
    if part is None:
        return rest
    assert isinstance(value, dict)
    return {**rest, key: {name: inner for name, inner in value.items() if name != part}}


# --- Basic Core ---


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        pytest.param(ask(), True, id="alice reads a record"),
        pytest.param(ask(action=act("write")), True, id="alice writes an active record"),
        pytest.param(ask(user("bob")), True, id="bob reads a record"),
        pytest.param(ask(user("bob"), act("write")), False, id="bob does not write an active record"),
        pytest.param(ask(context={"time": "2025-01-01T12:00:00Z", "ip": "192.0.2.1"}), True, id="with a context"),
        pytest.param(ask(user("bob"), act("write"), context={"ip": "192.0.2.1"}), False, id="a no with a context"),
        pytest.param(
            ask(
                user("alice", department="Sales", role="manager"),
                act("read", method="GET"),
                record("record-1", status="active", owner="bob"),
            ),
            True,
            id="properties that no rule asks for",
        ),
        pytest.param(ask(foo="bar", futureField={"nested": True}), True, id="fields that nobody knows"),
    ],
)
def test_basic_core(office: Client, message: dict[str, object], decision: bool) -> None:
    answer = office.evaluate(message)
    assert answer.status == 200
    assert answer.document["decision"] is decision
    assert isinstance(answer.document["context"], dict)


REQUIRED = [
    ("subject", None),
    ("action", None),
    ("resource", None),
    ("subject", "type"),
    ("subject", "id"),
    ("action", "name"),
    ("resource", "type"),
    ("resource", "id"),
]


@pytest.mark.parametrize(("key", "part"), REQUIRED)
def test_basic_core_what_is_required(office: Client, key: str, part: str | None) -> None:
    answer = office.evaluate(without(ask(), key, part))
    assert answer.status == 400
    assert answer.text == f"`{key}.{part}` is missing" if part else f"`{key}` is missing"
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(None, "application/json", 200, id="as it should be"),
        pytest.param(None, "application/json; charset=utf-8", 200, id="with a charset"),
        pytest.param(None, "Application/JSON", 200, id="in capitals"),
        pytest.param(None, "text/plain", 400, id="another content type"),
        pytest.param(None, "application/jsonp", 400, id="nearly the content type"),
        pytest.param(None, "", 400, id="no content type"),
        pytest.param(b"{", "application/json", 400, id="cut short"),
        pytest.param(b"subject=alice", "application/json", 400, id="a form"),
        pytest.param(b"", "application/json", 400, id="an empty body"),
        pytest.param(b"  ", "application/json", 400, id="nothing but space"),
    ],
)
def test_basic_core_bodies(office: Client, body: bytes | None, content_type: str, status: int) -> None:
    good = json.dumps(ask()).encode()
    answer = office.send("POST", "/access/v1/evaluation", good if body is None else body, content_type)
    assert answer.status == status


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(ask("alice"), id="a subject that is text"),
        pytest.param(ask(action={"name": 123}), id="an action that is a number"),
    ],
)
def test_basic_core_types(office: Client, message: dict[str, object]) -> None:
    assert office.evaluate(message).status == 400


def test_basic_core_a_request_id_comes_back(office: Client) -> None:
    body = json.dumps(ask()).encode()
    answer = office.send("POST", "/access/v1/evaluation", body, X_REQUEST_ID="made-by-a-client")
    assert answer.headers["X-Request-ID"] == "made-by-a-client"
    assert office.send("POST", "/access/v1/evaluation", b"{", X_REQUEST_ID="x").headers["X-Request-ID"] == "x"
    assert "X-Request-ID" not in office.send("POST", "/access/v1/evaluation", body).headers


def test_basic_core_the_same_question_has_the_same_answer(office: Client) -> None:
    assert len({office.evaluate(ask()).body for _ in range(5)}) == 1


# --- Basic Properties ---


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        pytest.param(ask(action=act("write"), resource=ARCHIVED), False, id="alice does not write what is archived"),
        pytest.param(ask(ADMIN, act("write"), ARCHIVED), True, id="an admin writes what is archived"),
        pytest.param(ask(action=act("delete", soft=True)), True, id="alice deletes softly"),
        pytest.param(ask(action=act("delete", soft=False)), False, id="alice does not delete for good"),
    ],
)
def test_basic_properties(office: Client, message: dict[str, object], decision: bool) -> None:
    assert office.decision(message) is decision
    assert office.decision({**message, "context": {"ip": "192.0.2.1"}}) is decision


# --- Batch Core ---


def test_batch_core_many_resources(office: Client) -> None:
    items = [{"resource": record("record-1")}, {"resource": record("record-2")}]
    assert len(office.decisions({"subject": user("alice"), "action": act("read"), "evaluations": items})) == 2


def test_batch_core_answers_stand_in_the_order_of_the_questions(office: Client) -> None:
    message = {"subject": user("bob"), "resource": record("record-1")}
    items = [{"action": act("read")}, {"action": act("write")}]
    assert office.decisions({**message, "evaluations": items}) == [True, False]
    assert office.decisions({**message, "evaluations": items[::-1]}) == [False, True]


def test_batch_core_without_defaults(office: Client) -> None:
    assert office.decisions({"evaluations": [ask(), ask(user("bob"), act("write"))]}) == [True, False]


def test_batch_core_an_item_has_its_own_context_or_the_one_of_all(office: Client) -> None:
    items = [
        {"resource": record("record-1")},
        {"resource": record("record-2"), "context": {"time": "2025-01-01T13:00:00Z", "source": "its own"}},
    ]
    defaults = {"subject": user("alice"), "action": act("read"), "context": {"time": "2025-01-01T12:00:00Z"}}
    assert len(office.decisions({**defaults, "evaluations": items})) == 2


def test_batch_core_one_item_that_lacks_something_spoils_no_other(office: Client) -> None:
    items = [{"resource": record("record-1")}, {}]
    message = {"subject": user("alice"), "action": act("read"), "evaluations": items}
    assert office.decisions(message) == [True, False]
    second = office.evaluate_all(message).document["evaluations"][1]
    assert second["context"]["error"] == {"status": 400, "message": "`resource` is missing"}


@pytest.mark.parametrize("more", [{}, {"evaluations": []}], ids=["missing", "empty"])
def test_batch_core_without_evaluations_it_is_a_single_one(office: Client, more: dict[str, object]) -> None:
    assert office.evaluate_all({**ask(), **more}) == office.evaluate(ask())
    assert office.evaluate_all({**without(ask(), "subject"), **more}).status == 400


# --- Batch Properties ---


def test_batch_properties_of_resources(office: Client) -> None:
    items = [{"resource": record("record-1", status="active")}, {"resource": ARCHIVED}]
    message = {"subject": user("alice"), "action": act("write"), "evaluations": items}
    assert office.decisions(message) == [True, False]


def test_batch_properties_of_subjects(office: Client) -> None:
    message = {"action": act("write"), "resource": ARCHIVED}
    assert office.decisions({**message, "evaluations": [{"subject": user("alice")}, {"subject": ADMIN}]}) == [
        False,
        True,
    ]


def test_batch_properties_a_type_is_completed_from_the_default(office: Client) -> None:
    items = [{"resource": {"id": "record-1", "properties": {"status": "active"}}}, {"resource": ARCHIVED}]
    message = {"subject": user("alice"), "action": act("write"), "resource": {"type": "record"}}
    assert office.decisions({**message, "evaluations": items}) == [True, False]


# --- Search Core ---


@pytest.mark.parametrize(
    ("what", "message", "results"),
    [
        pytest.param(
            "subject",
            ask({"type": "user"}),
            [{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}],
            id="who reads a record",
        ),
        pytest.param(
            "subject",
            ask({"type": "user", "id": 7}, context={"ip": "192.0.2.1"}),
            [{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}],
            id="an id beside the type is ignored",
        ),
        pytest.param(
            "resource",
            ask(resource={"type": "record"}),
            [{"type": "record", "id": "record-1"}, {"type": "record", "id": "record-2"}],
            id="what alice reads",
        ),
        pytest.param(
            "resource",
            ask(action=act("write"), resource={"type": "record", "id": "record-2"}),
            [{"type": "record", "id": "record-1"}],
            id="what alice writes",
        ),
        pytest.param("action", without(ask(), "action"), [{"name": "read"}, {"name": "write"}], id="what alice does"),
        pytest.param(
            "action",
            {**without(ask(), "action"), "context": {"ip": "192.0.2.1"}},
            [{"name": "read"}, {"name": "write"}],
            id="what alice does, with a context",
        ),
        pytest.param("action", without(ask(user("nobody")), "action"), [], id="a subject that nobody knows"),
        pytest.param("subject", ask({"type": "spaceship"}), [], id="a type of subject that nobody knows"),
        pytest.param("resource", ask(resource={"type": "spaceship"}), [], id="a type of resource that nobody knows"),
        # --- Search Properties ---
        pytest.param(
            "subject",
            ask({"type": "user"}, act("write"), ARCHIVED),
            [{"type": "user", "id": "bob"}],
            id="who writes what is archived",
        ),
        pytest.param(
            "resource",
            ask(ADMIN, act("write"), {"type": "record"}),
            [{"type": "record", "id": "record-2"}],
            id="what an admin writes",
        ),
        pytest.param(
            "action",
            without(ask(ADMIN, resource=ARCHIVED), "action"),
            [{"name": "read"}, {"name": "write"}],
            id="what an admin does to an archived record",
        ),
    ],
)
def test_search(office: Client, what: str, message: dict[str, object], results: list[object]) -> None:
    answer = office.search(what, message)
    assert answer.status == 200, answer.text
    assert answer.document == {"results": results}


def test_search_core_pages(office: Client) -> None:
    message = ask({"type": "user"})
    first = office.search("subject", {**message, "page": {"limit": 1}}).document
    assert first["results"] == [{"type": "user", "id": "alice"}]
    assert first["page"]["next_token"]
    second = office.search("subject", {**message, "page": {"token": first["page"]["next_token"]}}).document
    assert second == {
        "page": {"next_token": "", "count": 1, "total": 2},
        "results": [{"type": "user", "id": "bob"}],
    }


@pytest.mark.parametrize(
    ("what", "message"),
    [
        pytest.param("subject", without(ask({"type": "user"}), "action"), id="who does what?"),
        pytest.param("resource", without(ask(resource={"type": "record"}), "subject"), id="what does who do?"),
        pytest.param("action", {"subject": user("alice")}, id="what is done to what?"),
        pytest.param("subject", ask({"type": "user"}, resource={"type": "record"}), id="a resource without an id"),
        pytest.param("resource", ask({"type": "user"}, resource={"type": "record"}), id="a subject without an id"),
        pytest.param("subject", ask({"id": "alice"}), id="no type to look for"),
    ],
)
def test_search_core_what_is_required(office: Client, what: str, message: dict[str, object]) -> None:
    answer = office.search(what, message)
    assert answer.status == 400
    assert answer.text.endswith("is missing")


# --- Discovery ---


def test_discovery(office: Client) -> None:
    answer = office.send("GET", "/.well-known/authzen-configuration", HOST="evil.example.net")
    assert answer.status == 200
    assert answer.document == {
        "policy_decision_point": PUBLIC_URL,
        "access_evaluation_endpoint": f"{PUBLIC_URL}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{PUBLIC_URL}/access/v1/evaluations",
        "search_subject_endpoint": f"{PUBLIC_URL}/access/v1/search/subject",
        "search_resource_endpoint": f"{PUBLIC_URL}/access/v1/search/resource",
        "search_action_endpoint": f"{PUBLIC_URL}/access/v1/search/action",
    }


def test_discovery_takes_the_addresses_that_answer(office: Client) -> None:
    document = office.send("GET", "/.well-known/authzen-configuration").document
    for name, url in document.items():
        if name != "policy_decision_point":
            assert office.post(url.removeprefix(PUBLIC_URL), {}).status == 400
