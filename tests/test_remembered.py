"""What is asked again is answered again, and never by a policy or by entities that are no longer in force."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from protect import Decision, Query
from protect.authzen.entities import NO_ENTITIES, Entities, read_entities
from protect.polar.compiler import compile_policy
from protect.policy import Policy
from protect.service.app import Service
from protect.service.authzen import routes
from protect.service.calls import Call, Limits, Reply
from protect.service.remembered import MAX_BODY, Remembered

ALLOWS = 'allow(_s: Subject, "read", r: Resource) if r.get("status") = "active";'
DENIES = 'allow(_s: Subject, "read", r: Resource) if r.get("status") = "other";'


def policy(text: str) -> Policy:
    return compile_policy([("p.polar", text)], text[-12:])


def entities(status: str) -> Entities:
    resource = {"type": "record", "id": "r", "properties": {"status": status}}
    return read_entities("e.json", json.dumps({"subjects": [], "resources": [resource]}).encode())


class Endpoint:
    """Answers from what is in force, and keeps what it was told."""

    def __init__(self) -> None:
        self.policy, self.entities = policy(ALLOWS), NO_ENTITIES
        self.told: list[tuple[Query, Decision, str | None]] = []
        made = routes(policy=lambda: self.policy, record=self.record, entities=lambda: self.entities)
        self.service = Service(made, guard=lambda environ, header: environ.get("name"), limits=Limits())

    def record(self, query: Query, decision: Decision, call: Call) -> None:
        self.told.append((query, decision, call.enforcement_point))

    def ask(self, message: object, path: str = "/access/v1/evaluation", name: str = "a") -> Any:
        body = json.dumps(message).encode()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "name": name,
        }
        return json.loads(b"".join(self.service(environ, lambda status, headers: lambda data: None)))


def question(**properties: str) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": "u"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "r", **({"properties": properties} if properties else {})},
    }


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def test_every_answer_is_a_decision_that_is_told(endpoint: Endpoint) -> None:
    answers = [endpoint.ask(question(status="active"), name=name) for name in ("a", "b", "c")]
    assert answers[0] == answers[1] == answers[2]
    assert [name for _, _, name in endpoint.told] == ["a", "b", "c"]
    assert endpoint.told[1][:2] == endpoint.told[2][:2]


def test_every_decision_of_a_batch_is_told_again(endpoint: Endpoint) -> None:
    message = {**question(), "evaluations": [{"resource": question(status=s)["resource"]} for s in ("active", "x")]}
    answers = [endpoint.ask(message, "/access/v1/evaluations") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert [decision.allowed for _, decision, _ in endpoint.told] == [True, False] * 3


def test_another_policy_answers_anew(endpoint: Endpoint) -> None:
    for _ in range(3):
        assert endpoint.ask(question(status="active"))["decision"] is True
    endpoint.policy = policy(DENIES)
    assert endpoint.ask(question(status="active"))["decision"] is False
    assert endpoint.ask(question(status="other"))["decision"] is True


def test_other_entities_answer_anew(endpoint: Endpoint) -> None:
    endpoint.entities = entities("active")
    for _ in range(3):
        assert endpoint.ask(question())["decision"] is True
    endpoint.entities = entities("archived")
    assert endpoint.ask(question())["decision"] is False


def test_one_byte_is_another_question(endpoint: Endpoint) -> None:
    for _ in range(3):
        assert endpoint.ask(question(status="active"))["decision"] is True
    assert endpoint.ask(question(status="activf"))["decision"] is False


def test_the_two_endpoints_read_the_same_bytes_differently(endpoint: Endpoint) -> None:
    message = {**question(status="active"), "evaluations": [{}]}
    for _ in range(3):
        assert "decision" in endpoint.ask(message)
        assert "evaluations" in endpoint.ask(message, "/access/v1/evaluations")


def test_what_could_not_be_decided_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.policy = policy('allow(_s: Subject, "read", i: Image) if i.status = "active";')
    unknown = {**question(), "resource": {"type": "image", "id": "i"}}
    known = {**question(), "resource": {"type": "image", "id": "i", "properties": {"status": "active"}}}
    for message, error in ((unknown, True), (known, False)):
        endpoint.told.clear()
        for _ in range(3):
            endpoint.ask(message)
        queries, decisions, _ = zip(*endpoint.told, strict=True)
        assert decisions[0] == decisions[1] == decisions[2]
        assert decisions[0].error is error
        # A query that is remembered, from the second time on, is the very same object.
        assert (queries[1] is queries[2]) is not error
        assert queries[0] is not queries[1]


def test_old_policies_are_let_go(endpoint: Endpoint) -> None:
    endpoint.ask(question(status="active"))
    [(query, decision, _)] = endpoint.told
    remembered, old, new = Remembered(), policy(ALLOWS), policy(DENIES)
    for _ in range(2):
        remembered.keep(b"a", old, NO_ENTITIES, Reply(b"1"), [(query, decision)])
    assert remembered.find(b"a", old, NO_ENTITIES) is not None
    for _ in range(2):
        remembered.keep(b"b", new, NO_ENTITIES, Reply(b"2"), [(query, decision)])
    assert remembered.find(b"a", old, NO_ENTITIES) is None
    assert remembered.find(b"a", new, NO_ENTITIES) is None
    found = remembered.find(b"b", new, NO_ENTITIES)
    assert found is not None
    assert found.reply.body == b"2"


def test_there_is_a_bound(endpoint: Endpoint) -> None:
    endpoint.ask(question(status="active"))
    [(query, decision, _)] = endpoint.told
    remembered = Remembered(room=100_000)
    bodies = [str(number).encode() for number in range(1_000)]
    for body in bodies * 2:
        remembered.keep(body, endpoint.policy, NO_ENTITIES, Reply(b"x"), [(query, decision)])
    kept = [body for body in bodies if remembered.find(body, endpoint.policy, NO_ENTITIES)]
    assert kept == bodies[-len(kept) :]
    assert 50 < len(kept) < 200
    for _ in range(2):
        remembered.keep(b" " * (MAX_BODY + 1), endpoint.policy, NO_ENTITIES, Reply(b"x"), [])
    assert remembered.find(b" " * (MAX_BODY + 1), endpoint.policy, NO_ENTITIES) is None
