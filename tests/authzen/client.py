"""A client of the decision endpoint: one request to a `Service` as WSGI makes it, without a server."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protect import Decision, Policy, Query
from protect.authzen.entities import NO_ENTITIES, Entities, read_entities
from protect.service import authzen, explain
from protect.service.app import Service
from protect.service.calls import Limits

ROOT = Path(__file__).parent.parent.parent
RECORDS = ROOT / "examples" / "records.json"
PUBLIC_URL = "https://pdp.example.org"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``document`` is the JSON in the body, ``text`` the body as it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def document(self) -> Any:
        assert self.headers["Content-Type"] == "application/json", self.text
        return json.loads(self.body)


@dataclass(slots=True)
class Client:
    """Asks the service, and keeps what the service told its record."""

    policy: Policy
    entities: Entities = NO_ENTITIES
    limits: Limits = field(default_factory=Limits)
    public_url: str | None = PUBLIC_URL
    clock: Callable[[], float] = lambda: 0.0
    recorded: list[tuple[Query, Decision]] = field(default_factory=list)

    def service(self) -> Service:
        def record(query: Query, decision: Decision, _call: object) -> None:
            self.recorded.append((query, decision))

        routes = authzen.routes(
            policy=lambda: self.policy,
            record=record,
            entities=lambda: self.entities,
            public_url=self.public_url,
            clock=self.clock,
        )
        more = explain.routes(policy=lambda: self.policy, record=record, entities=lambda: self.entities)
        return Service([*routes, *more], guard=lambda _environ, _header: "tests", limits=self.limits)

    def send(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json", **headers: str
    ) -> Answer:
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{name}": value for name, value in headers.items()},
        }
        started: list[tuple[str, list[tuple[str, str]]]] = []
        chunks = self.service()(environ, lambda status, head, *_: started.append((status, head)))  # type: ignore[arg-type,return-value]
        [(status, head)] = started
        return Answer(int(status.split()[0]), dict(head), b"".join(chunks))

    def post(self, path: str, message: object) -> Answer:
        return self.send("POST", path, json.dumps(message).encode())

    def evaluate(self, message: object) -> Answer:
        return self.post("/access/v1/evaluation", message)

    def evaluate_all(self, message: object) -> Answer:
        return self.post("/access/v1/evaluations", message)

    def search(self, what: str, message: object) -> Answer:
        return self.post(f"/access/v1/search/{what}", message)

    def explain(self, message: object) -> Answer:
        return self.post("/v1/explain", message)

    def decision(self, message: object) -> bool:
        """Return the decision of a single evaluation."""
        answer = self.evaluate(message)
        assert answer.status == 200, answer.text
        decision: bool = answer.document["decision"]
        return decision

    def decisions(self, message: object) -> list[bool]:
        """Return the decisions of a batch."""
        answer = self.evaluate_all(message)
        assert answer.status == 200, answer.text
        assert answer.document.keys() == {"evaluations"}
        return [each["decision"] for each in answer.document["evaluations"]]


def records() -> Client:
    """Return a client of the example: an office's records."""
    policy = Policy.load([str(RECORDS.with_suffix(".polar"))])
    return Client(policy, read_entities(RECORDS.name, RECORDS.read_bytes()))


def user(id_: str, **properties: object) -> dict[str, object]:
    return {"type": "user", "id": id_, **({"properties": properties} if properties else {})}


def record(id_: str, **properties: object) -> dict[str, object]:
    return {"type": "record", "id": id_, **({"properties": properties} if properties else {})}


def act(name: str, **properties: object) -> dict[str, object]:
    return {"name": name, **({"properties": properties} if properties else {})}


def ask(subject: object = None, action: object = None, resource: object = None, **more: object) -> dict[str, object]:
    """Return the message of one evaluation; by default alice reads record-1."""
    return {
        "subject": user("alice") if subject is None else subject,
        "action": act("read") if action is None else action,
        "resource": record("record-1") if resource is None else resource,
        **more,
    }
