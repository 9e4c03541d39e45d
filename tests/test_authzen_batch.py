"""Many evaluations in one message: what they share, how far they go on, and what one that fails does to the others."""

from __future__ import annotations

from itertools import count

import pytest

from protect.service.calls import Limits
from tests.authzen.client import Client, act, ask, record, records, user


@pytest.fixture(scope="module")
def office() -> Client:
    return records()


READ, WRITE, DELETE = ({"action": act(name)} for name in ("read", "write", "delete"))
BROKEN: dict[str, object] = {"action": {}}


def bob(*items: object, **more: object) -> dict[str, object]:
    """Return a batch in which bob, who reads and does not write, asks about record-1."""
    return {"subject": user("bob"), "resource": record("record-1"), "evaluations": list(items), **more}


def stopping(semantic: str) -> dict[str, object]:
    return {"options": {"evaluations_semantic": semantic}}


@pytest.mark.parametrize(
    ("message", "decisions"),
    [
        pytest.param(bob(READ, WRITE, READ), [True, False, True], id="all by default"),
        pytest.param(bob(READ, WRITE, READ, **stopping("execute_all")), [True, False, True], id="all"),
        pytest.param(bob(READ, WRITE, READ, **stopping("deny_on_first_deny")), [True, False], id="to the first no"),
        pytest.param(bob(READ, READ, **stopping("deny_on_first_deny")), [True, True], id="no no at all"),
        pytest.param(bob(WRITE, READ, WRITE, **stopping("permit_on_first_permit")), [False, True], id="first yes"),
        pytest.param(bob(WRITE, WRITE, **stopping("permit_on_first_permit")), [False, False], id="no yes at all"),
        pytest.param(bob(READ, BROKEN, READ, **stopping("deny_on_first_deny")), [True, False], id="a broken no"),
        pytest.param(
            bob(BROKEN, READ, WRITE, **stopping("permit_on_first_permit")), [False, True], id="broken is no yes"
        ),
        pytest.param(bob(READ, options={"another": 1}), [True], id="an option that nobody knows"),
        pytest.param(bob(READ, options={}), [True], id="no option"),
    ],
)
def test_how_far_a_batch_goes_on(office: Client, message: dict[str, object], decisions: list[bool]) -> None:
    assert office.decisions(message) == decisions


@pytest.mark.parametrize(
    ("more", "text"),
    [
        pytest.param(
            {"options": {"evaluations_semantic": "sometimes"}},
            "`options.evaluations_semantic` must be one of execute_all, deny_on_first_deny, permit_on_first_permit, "
            "not `sometimes`",
            id="unknown",
        ),
        pytest.param(
            {"options": {"evaluations_semantic": None}},
            "`options.evaluations_semantic` must be one of execute_all, deny_on_first_deny, permit_on_first_permit, "
            "not null",
            id="null",
        ),
        pytest.param({"options": {"evaluations_semantic": []}}, "not an array", id="an array"),
        pytest.param({"options": "execute_all"}, "`options` must be an object, not text", id="options that are text"),
        pytest.param({"evaluations": {}}, "`evaluations` must be an array, not an object", id="no array"),
        pytest.param({"evaluations": None}, "`evaluations` must be an array, not null", id="null instead of an array"),
        pytest.param({"subject": "bob"}, "`subject` must be an object, not text", id="a default of the wrong type"),
        pytest.param({"subject": None}, "`subject` must be an object, not null", id="a default that is null"),
        pytest.param({"subject": {"id": 7}}, "`subject.id` must be text", id="a default's id of the wrong type"),
        pytest.param({"resource": {"properties": []}}, "`resource.properties` must be", id="a default's properties"),
        pytest.param({"action": {"name": 7}}, "`action.name` must be text", id="a default's name"),
        pytest.param({"context": 7}, "`context` must be an object, not a number", id="a default context"),
        pytest.param({"context": {"action.x": 7}}, "`context` has the key `action.x`", id="a context for the action"),
    ],
)
def test_a_message_that_is_wrong_as_a_whole_is_refused_as_a_whole(
    office: Client, more: dict[str, object], text: str
) -> None:
    answer = office.evaluate_all({**bob(ask()), **more})
    assert answer.status == 400
    assert text in answer.text


@pytest.mark.parametrize(
    ("item", "message"),
    [
        pytest.param(7, "`evaluations[]` must be objects, not a number", id="a number"),
        pytest.param(None, "`evaluations[]` must be objects, not null", id="null"),
        pytest.param({"subject": "bob"}, "`subject` must be an object, not text", id="a subject that is text"),
        pytest.param({"subject": None}, "`subject` is missing", id="a subject that is null"),
        pytest.param({}, "`action` is missing", id="no action"),
        pytest.param(BROKEN, "`action.name` is missing", id="an action without a name"),
        pytest.param({**READ, "context": []}, "`context` must be an object, not an array", id="a context"),
        pytest.param(
            {**READ, "subject": user("bob", roles="admin")},
            "`subject.properties.roles` must be an array of text",
            id="a property of the wrong type",
        ),
    ],
)
def test_an_item_that_is_wrong_is_denied_alone(office: Client, item: object, message: str) -> None:
    first, wrong, last = office.evaluate_all(bob(READ, item, READ)).document["evaluations"]
    assert first == last
    assert first["decision"] is True
    assert wrong == {
        "decision": False,
        "context": {"error": {"status": 400, "message": message}, "revision": office.policy.revision},
    }


@pytest.mark.parametrize(
    ("defaults", "item", "decision"),
    [
        pytest.param({}, {"resource": record("record-1", status="active")}, True, id="its own properties"),
        pytest.param(
            {"resource": record("record-1", status="active")},
            {"resource": record("record-9")},
            False,
            id="the default's properties are not mixed in",
        ),
        pytest.param(
            {"resource": record("record-1", status="active")}, {"resource": {"id": "record-2"}}, False, id="its own id"
        ),
        pytest.param({"resource": {"type": "record"}}, {"resource": {"id": "record-1"}}, True, id="the default's type"),
        pytest.param({"resource": {"type": "other"}}, {"resource": record("record-1")}, True, id="its own type"),
        pytest.param({"resource": {"id": "record-1"}}, {"resource": {"type": "record"}}, True, id="the default's id"),
        pytest.param(
            {"action": act("delete", soft=True), "resource": record("record-1")}, {}, True, id="the default's action"
        ),
        pytest.param(
            {"action": act("delete", soft=True), "resource": record("record-1")},
            {"action": act("delete")},
            False,
            id="the default action's properties are not mixed in",
        ),
        pytest.param(
            {"action": act("delete"), "resource": record("record-1")},
            {"action": {"properties": {"soft": True}}},
            True,
            id="the default's name",
        ),
        pytest.param(
            {"action": act("delete", soft=True), "resource": record("record-1"), "context": {"x": 1}},
            {"context": {"y": 2}},
            True,
            id="its own context leaves the action as it is",
        ),
    ],
)
def test_what_an_item_leaves_out_is_the_defaults(
    office: Client, defaults: dict[str, object], item: dict[str, object], decision: bool
) -> None:
    message = {"subject": user("alice"), "action": act("write"), **defaults, "evaluations": [item]}
    assert office.decisions(message) == [decision]


def test_contexts_are_not_mixed() -> None:
    office = records()
    items = [{}, {"context": {"y": 2}}, {"context": {}}, {"action": act("read", how="x")}, {"action": act("write")}]
    office.decisions({**ask(context={"x": 1}), "evaluations": items})
    assert [dict(query.context) for query, _ in office.recorded] == [
        {"x": 1},
        {"y": 2},
        {},
        {"x": 1, "action.how": "x"},
        {"x": 1},
    ]


@pytest.mark.parametrize("message", [ask(), ask(user("nobody")), ask(action=act("delete", soft=True))])
def test_a_batch_of_one_is_a_single_one(office: Client, message: dict[str, object]) -> None:
    single = office.evaluate(message).document
    assert office.evaluate_all({**message, "evaluations": [{}]}).document == {"evaluations": [single]}
    assert office.evaluate_all({"evaluations": [message]}).document == {"evaluations": [single]}


def test_a_batch_has_a_longest_length() -> None:
    office = records()
    office.limits = Limits(batch=3)
    assert office.decisions(bob(*[READ] * 3)) == [True] * 3
    answer = office.evaluate_all(bob(*[READ] * 4))
    assert (answer.status, answer.text) == (413, "`evaluations` has more than 3 items; send fewer at a time")


def test_a_batch_that_takes_too_long_is_refused_as_a_whole() -> None:
    office = records()
    office.limits = Limits(seconds=3)
    ticks = count()
    office.clock = lambda: float(next(ticks))  # a second passes at every look
    assert office.decisions(bob(*[READ] * 3)) == [True] * 3
    answer = office.evaluate_all(bob(*[READ] * 4))
    assert (answer.status, answer.text) == (413, "the evaluations take too long; send fewer at a time")
