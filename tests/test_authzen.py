"""Single evaluations: what a message means, and what is refused beside what is accepted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protect import Decision, Image, Policy, Property, Query, Resource, Subject
from protect.authzen.answers import Answers
from protect.errors import ConfigError
from tests.authzen.client import Client, act, ask, records, user


def policy(tmp_path_factory: pytest.TempPathFactory, text: str) -> Policy:
    path = tmp_path_factory.mktemp("policy") / "p.polar"
    path.write_text(text)
    return Policy.load([str(path)])


@pytest.fixture(scope="module")
def office() -> Client:
    return records()


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A policy with one action for each thing that a message can say."""
    rules = """
        allow(s: Subject, "tenant", _r: Resource) if s.tenant = "t";
        allow(s: Subject, "domain", _r: Resource) if s.domain = "d";
        allow(s: Subject, "role", _r: Resource) if s.has_role("Admin");
        allow(s: Subject, "service", _r: Resource) if s.has_service_role("service");
        allow(s: Subject, "admin_project", _r: Resource) if s.admin_project;
        allow(s: Subject, "authenticated", _r: Resource) if s.authenticated;
        allow(s: Subject, "claim", _r: Resource) if s.get("level") = 1;
        allow(s: Subject, "type", _r: Resource) if s.get("type") = "user";
        allow(_s: Subject, "context", _r: Resource) if context.get("ip") = "192.0.2.1";
        allow(_s: Subject, "soft", _r: Resource) if context.get("action.soft") = true;
        allow(_s: Subject, "attribute", r: Resource) if r.type = "record" and r.get("n") = 1;
    """
    return Client(policy(tmp_path_factory, rules))


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        pytest.param(ask(user("u", tenant="t"), act("tenant")), True, id="tenant"),
        pytest.param(ask(user("u", tenant="T"), act("tenant")), False, id="another tenant"),
        pytest.param(ask(user("u", tenant=None), act("tenant")), False, id="no tenant"),
        pytest.param(ask(user("u", domain="d"), act("domain")), True, id="domain"),
        pytest.param(ask(user("u", domain="e"), act("domain")), False, id="another domain"),
        pytest.param(ask(user("u", roles=["ADMIN"]), act("role")), True, id="a role without case"),
        pytest.param(ask(user("u", roles=["member"]), act("role")), False, id="another role"),
        pytest.param(ask(user("u", role="Admin"), act("role")), False, id="`role` is a claim, not a role"),
        pytest.param(ask(user("u", service_roles=["service"]), act("service")), True, id="service role"),
        pytest.param(ask(user("u", roles=["service"]), act("service")), False, id="a user's role of that name"),
        pytest.param(ask(user("u", admin_project=True), act("admin_project")), True, id="admin project"),
        pytest.param(ask(user("u", admin_project=False), act("admin_project")), False, id="no admin project"),
        pytest.param(ask(user("u"), act("authenticated")), True, id="authenticated unless said otherwise"),
        pytest.param(ask(user("u", authenticated=False), act("authenticated")), False, id="not authenticated"),
        pytest.param(ask(user("u", level=1), act("claim")), True, id="claim"),
        pytest.param(ask(user("u", level=True), act("claim")), False, id="true is not one"),
        pytest.param(ask(user("u"), act("type")), True, id="the type is a claim"),
        pytest.param(ask({"type": "robot", "id": "u"}, act("type")), False, id="another type"),
        pytest.param(ask(user("u", type="robot"), act("type")), False, id="a property of that name goes first"),
        pytest.param(ask(action=act("context"), context={"ip": "192.0.2.1"}), True, id="context"),
        pytest.param(ask(action=act("context"), context={"ip": "192.0.2.2"}), False, id="another context"),
        pytest.param(ask(action=act("soft", soft=True)), True, id="a property of the action"),
        pytest.param(ask(action=act("soft", soft=False)), False, id="another value of it"),
        pytest.param(ask(action=act("soft"), context={"soft": True}), False, id="the context has no such property"),
        pytest.param(
            ask(action=act("attribute"), resource={"type": "record", "id": "r", "properties": {"n": 1.0}}),
            True,
            id="a property of the resource",
        ),
        pytest.param(
            ask(action=act("attribute"), resource={"type": "recorD", "id": "r", "properties": {"n": 1}}),
            False,
            id="a resource of another type",
        ),
    ],
)
def test_what_a_message_means(facts: Client, message: dict[str, object], decision: bool) -> None:
    assert facts.decision(message) is decision


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param(ask("alice"), "`subject` must be an object, not text", id="subject"),
        pytest.param(ask(["alice"]), "`subject` must be an object, not an array", id="subject in an array"),
        pytest.param(
            ask({"type": 1, "id": "a"}),
            "`subject.type` must be text that is not empty, not a number",
            id="subject.type",
        ),
        pytest.param(
            ask({"type": "user", "id": ""}),
            "`subject.id` must be text that is not empty, not empty text",
            id="an empty id",
        ),
        pytest.param(
            ask({"type": "user", "id": "a", "properties": []}),
            "`subject.properties` must be an object, not an array",
            id="properties",
        ),
        pytest.param(
            ask({"type": "user", "id": "a", "properties": None}),
            "`subject.properties` must be an object, not null",
            id="properties that are null",
        ),
        pytest.param(ask(user("a", tenant=7)), "`subject.properties.tenant` must be text, not a number", id="tenant"),
        pytest.param(
            ask(user("a", domain=["d"])), "`subject.properties.domain` must be text, not an array", id="domain"
        ),
        pytest.param(ask(user("a", roles="admin")), "`subject.properties.roles` must be an array of text", id="roles"),
        pytest.param(
            ask(user("a", roles=["admin", 7])),
            "`subject.properties.roles` must be an array of text",
            id="a role that is a number",
        ),
        pytest.param(
            ask(user("a", service_roles={"admin": True})),
            "`subject.properties.service_roles` must be an array of text",
            id="service roles",
        ),
        pytest.param(
            ask(user("a", admin_project=1)),
            "`subject.properties.admin_project` must be true or false, not a number",
            id="admin_project",
        ),
        pytest.param(
            ask(user("a", authenticated=None)),
            "`subject.properties.authenticated` must be true or false, not null",
            id="authenticated",
        ),
        pytest.param(
            ask(action={"name": 123}), "`action.name` must be text that is not empty, not a number", id="action.name"
        ),
        pytest.param(
            ask(action={"name": "read", "properties": 1}),
            "`action.properties` must be an object, not a number",
            id="action.properties",
        ),
        pytest.param(ask(context=[]), "`context` must be an object, not an array", id="context"),
        pytest.param(ask(context=None), "`context` must be an object, not null", id="a context that is null"),
        pytest.param(
            ask(context={"action.soft": True}),
            "`context` has the key `action.soft`: `action.…` are the action's properties",
            id="a context that speaks for the action",
        ),
        pytest.param([ask()], "the body must be a JSON object, not an array", id="an array"),
    ],
)
def test_what_is_of_the_wrong_type_is_refused(office: Client, message: object, text: str) -> None:
    before = len(office.recorded)
    answer = office.evaluate(message)
    assert (answer.status, answer.text) == (400, text)
    assert len(office.recorded) == before


GOOD = json.dumps(ask()).encode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"\xef\xbb\xbf" + GOOD, "byte order mark", id="a byte order mark"),
        pytest.param(
            GOOD.replace(b'"subject"', b'"subject":{"type":"user","id":"bob"},"subject"', 1),
            "the key `subject` twice",
            id="a key twice",
        ),
        pytest.param(GOOD.replace(b'"id": "alice"', b'"id":"alice","id":"bob"'), "`id` twice", id="an id twice"),
        pytest.param(GOOD.replace(b"alice", b"\\ud800"), "surrogate", id="an unpaired surrogate"),
        pytest.param(GOOD.replace(b"alice", b"\xff"), "not UTF-8", id="not UTF-8"),
        pytest.param(GOOD + GOOD, "not JSON", id="two documents"),
        pytest.param(GOOD.replace(b'"alice"', b"NaN"), "NaN", id="not a number"),
        pytest.param(GOOD.replace(b'"alice"', b"[" * 300 + b"]" * 300), "levels deep", id="nested too deeply"),
    ],
)
def test_a_body_that_two_parsers_could_read_in_two_ways_is_refused(office: Client, body: bytes, text: str) -> None:
    answer = office.send("POST", "/access/v1/evaluation", body)
    assert answer.status == 400
    assert text in answer.text
    assert office.send("POST", "/access/v1/evaluation", GOOD).status == 200


def test_an_answer_says_why_and_by_which_policy(office: Client) -> None:
    rule = {"reason": "allowed by", "revision": office.policy.revision}
    context = office.evaluate(ask()).document["context"]
    assert context["reason"].startswith(rule["reason"])
    assert context["revision"] == rule["revision"]
    assert context.keys() == rule.keys()


def test_a_denial_is_an_answer_and_no_error(office: Client) -> None:
    answer = office.evaluate(ask(user("nobody")))
    assert answer.status == 200
    assert answer.document == {
        "decision": False,
        "context": {"reason": "no rule allows `read` on this resource", "revision": office.policy.revision},
    }


def test_a_property_that_is_to_be_dropped_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = """
        allow(_s: Subject, "update", p: Property) if p.name = "free";
        discard(_s: Subject, "update", p: Property) if p.name = "magic";
    """
    client = Client(policy(tmp_path_factory, rules))

    def context(name: str) -> dict[str, object]:
        answer = client.evaluate(ask(action=act("update"), resource={"type": "property", "id": name})).document
        assert answer["decision"] is (name == "free")
        found: dict[str, object] = answer["context"]
        return found

    assert context("magic")["discard"] is True
    assert "discard" not in context("free")
    assert "discard" not in context("other")


def test_every_decision_is_recorded_with_its_query() -> None:
    office = records()
    office.evaluate(ask())
    office.evaluate_all({**ask(), "evaluations": [{}, {"action": act("write")}]})
    assert [(query.action, decision.allowed) for query, decision in office.recorded] == [
        ("read", True),
        ("read", True),
        ("write", True),
    ]
    assert office.recorded[0][0].subject.id == "alice"


def test_no_more_answers_are_remembered_than_there_is_room_for() -> None:
    answers = Answers(remembered=2)
    query = Query(Subject("u"), "read", Resource("record", "r"))
    for _ in range(2):
        for reason in "abc":
            assert json.loads(answers.of(query, Decision(True, reason, "r1")))["context"]["reason"] == reason
    assert len(answers._texts) <= 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_told_which_one_is_accepted(office: Client, method: str) -> None:
    answer = office.send(method, "/access/v1/evaluation", GOOD)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"


# --- Metadata ---


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://pdp.example.org", "/.well-known/authzen-configuration"),
        ("https://pdp.example.org/", "/.well-known/authzen-configuration"),
        ("https://pdp.example.org:8443/images/one", "/.well-known/authzen-configuration/images/one"),
        ("http://127.0.0.1:8181", "/.well-known/authzen-configuration"),
        ("http://[::1]:8181", "/.well-known/authzen-configuration"),
        ("http://localhost:8181", "/.well-known/authzen-configuration"),
    ],
)
def test_the_metadata_stand_where_the_address_says(office: Client, url: str, path: str) -> None:
    client = Client(office.policy, public_url=url)
    document = client.send("GET", path).document
    assert document["policy_decision_point"] == url.rstrip("/")
    assert document["access_evaluation_endpoint"] == url.rstrip("/") + "/access/v1/evaluation"


def test_without_an_address_there_are_no_metadata(office: Client) -> None:
    answer = Client(office.policy, public_url=None).send(
        "GET", "/.well-known/authzen-configuration", HOST="pdp.example.org"
    )
    assert answer.status == 404
    assert answer.text == "there is no metadata, because the option `public_url` is not set"


@pytest.mark.parametrize(
    "url",
    [
        "http://pdp.example.org",
        "pdp.example.org",
        "https://",
        "https://pdp.example.org?x=1",
        "https://pdp.example.org#x",
        "https://user:secret@pdp.example.org",
        "https://pdp.example.org:port",
        "https://pdp.example.org/a b",
        "https://pdp.example.org//twice",
        "ftp://127.0.0.1",
        "",
    ],
)
def test_an_address_that_clients_cannot_trust_is_refused(office: Client, url: str) -> None:
    with pytest.raises(ConfigError, match="accepted: an https address"):
        Client(office.policy, public_url=url).service()


# --- Over HTTP it is decided as in Python ---

NAMES = st.sampled_from(["alice", "bob", "carol"])
STATUS = st.sampled_from(["active", "archived", None, 1])
ROLE = st.sampled_from(["admin", "manager", None, True])
ACTIONS = st.sampled_from(["read", "write", "delete", "other"])
SOFT = st.sampled_from([True, False, 1, "true", None])


@settings(max_examples=300, deadline=None)
@given(NAMES, ROLE, ACTIONS, SOFT, STATUS, st.booleans())
def test_an_evaluation_is_what_the_policy_decides(
    name: str, role: object, action: str, soft: object, status: object, batch: bool
) -> None:
    properties = {"role": role, "a": 1}
    message = ask(user(name, **properties), act(action, soft=soft), {**RECORD, "properties": {"status": status}})
    query = Query(
        Subject(name, claims={"type": "user", **properties}),
        action,
        Resource("record", "r", {"status": status}),
        {"action.soft": soft},
    )
    expected = OFFICE.policy.decide(query)
    answer = OFFICE.evaluate(message)
    if batch:
        assert OFFICE.evaluate_all({"evaluations": [message]}).body == b'{"evaluations":[%b]}' % answer.body
    assert answer.document["decision"] is expected.allowed
    assert answer.document["context"]["reason"] == expected.reason


OFFICE = records()
RECORD = {"type": "record", "id": "r"}

SHIPPED = Client(Policy.load())
TENANTS = st.sampled_from(["t1", "t2", None])
VISIBILITY = st.sampled_from(["private", "public", "community", "shared", None])
ROLES = st.lists(st.sampled_from(["admin", "MEMBER", "reader", "service"]), max_size=3)
IMAGE_ACTIONS = st.sampled_from(["get_image", "download_image", "modify_image", "publicize_image", "get_members"])
PROPERTIES = st.sampled_from(["kernel_id", "os_distro", "hw_vif_model", "name"])


@settings(max_examples=300, deadline=None)
@given(TENANTS, ROLES, ROLES, TENANTS, VISIBILITY, IMAGE_ACTIONS, PROPERTIES, st.booleans())
def test_an_evaluation_of_an_image_is_what_the_policy_decides(
    tenant: str | None,
    roles: list[str],
    service: list[str],
    owner: str | None,
    visibility: str | None,
    action: str,
    name: str,
    of_property: bool,
) -> None:
    subject = Subject("u", tenant, roles=frozenset(roles), service_roles=frozenset(service))
    members = {"t2": "accepted"}
    image = Image("i", owner=owner, visibility=visibility, members=members, properties={"os_distro": "x"})
    document = {"owner": owner, "visibility": visibility, "members": members, "os_distro": "x"}
    asked = Query(subject, action, image)
    resource: dict[str, object] = {"type": "image", "id": "i", "properties": document}
    if of_property:
        asked = Query(subject, "update", Property(name, image, "v", core=name == "name"))
        resource = {"type": "property", "id": name, "properties": {"image": {"id": "i", **document}, "value": "v"}}
    message = ask(user("u", tenant=tenant, roles=roles, service_roles=service), act(asked.action), resource)
    expected = SHIPPED.policy.decide(asked)
    answer = SHIPPED.evaluate(message).document
    assert answer["decision"] is expected.allowed
    assert answer["context"]["reason"] == expected.reason
