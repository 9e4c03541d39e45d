"""The file of entities: what it supplies, what is wrong with it, and how a change comes into force."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from protect import Policy, PolicyError, Resource
from protect.authzen.entities import Entities, read_entities
from protect.service.entities import EntitiesFile
from tests.authzen.client import RECORDS, Client, act, ask, record, user


def read(document: object) -> Entities:
    return read_entities("e.json", json.dumps(document).encode())


def problems(document: object) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read(document)
    return [str(problem).replace("e.json: ", "") for problem in caught.value.problems]


ALICE = {"type": "user", "id": "alice"}


def test_what_the_file_says() -> None:
    entities = read(
        {
            "subjects": [
                {**ALICE, "properties": {"tenant": "t", "roles": ["Admin"]}},
                {"type": "robot", "id": "alice"},
            ],
            "resources": [{"type": "record", "id": "1", "properties": {"n": 1}}, {"type": "record", "id": "2"}],
            "actions": ["read", {"name": "write"}],
        }
    )
    alice = entities.subjects["user", "alice"]
    assert (alice.id, alice.tenant, alice.roles) == ("alice", "t", {"admin"})
    assert list(entities.resources) == [("record", "1"), ("record", "2")]
    assert entities.actions == ("read", "write")
    assert [result["id"] for result, _ in entities.resources_of("record")] == ["1", "2"]
    assert entities.subjects_of("spaceship") == ()


def test_a_file_may_leave_out_what_it_has_nothing_to_say_about() -> None:
    assert read({}).subjects == {}
    assert read({"subjects": []}).actions == ()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param([], ["the file must be a JSON object, not an array"], id="an array"),
        pytest.param({"subject": []}, ["`subject`: unknown section"], id="a misspelt section"),
        pytest.param({"subjects": {}}, ["`subjects`: must be an array, not an object"], id="no array"),
        pytest.param({"subjects": ["alice"]}, ["`subjects[0]`: must be an object, not text"], id="no object"),
        pytest.param({"subjects": [{"type": "user"}]}, ["`subjects[0].id`: is missing"], id="no id"),
        pytest.param({"resources": [{"id": "1"}]}, ["`resources[0].type`: is missing"], id="no type"),
        pytest.param(
            {"resources": [{"type": "record", "id": 1}]},
            ["`resources[0].id` must be text that is not empty, not a number"],
            id="an id that is a number",
        ),
        pytest.param(
            {"subjects": [{**ALICE, "role": "admin"}]}, ["`subjects[0].role`: unknown key"], id="beside the properties"
        ),
        pytest.param(
            {"subjects": [{**ALICE, "properties": None}]},
            ["`subjects[0].properties`: must be an object, not null"],
            id="properties that are null",
        ),
        pytest.param(
            {"subjects": [{**ALICE, "properties": {"roles": "admin"}}]},
            ["`subjects[0]`: `subject.properties.roles` must be an array of text"],
            id="roles that are text",
        ),
        pytest.param(
            {"resources": [{"type": "image", "id": "i", "properties": {"owner": 1}}]},
            ["`resources[0]`: `owner` must be text in an image, not a number"],
            id="an image's owner that is a number",
        ),
        pytest.param(
            {"resources": [{"type": "image", "id": "i"}, {"type": "Image", "id": "i"}, {"type": "images", "id": "i"}]},
            ["`resources[1]`: `resource.type` must be written `image`"],
            id="a type in another spelling",
        ),
        pytest.param(
            {"subjects": [ALICE, {"type": "robot", "id": "alice"}, ALICE]},
            ["`subjects[2]`: user `alice` is in the file twice"],
            id="twice",
        ),
        pytest.param({"actions": ["read", "read"]}, ["`actions[1]`: the action `read` is in"], id="an action twice"),
        pytest.param({"actions": [7]}, ["`actions[0]`: must be a name, or an object"], id="an action as a number"),
        pytest.param({"actions": [{}]}, ["`actions[0].name`: is missing"], id="an action without a name"),
        pytest.param(
            {"subjects": [{}, 7], "resources": 7, "actions": [""]},
            [
                "`subjects[0].type`: is missing",
                "`subjects[0].id`: is missing",
                "`subjects[1]`: must be an object, not a number",
                "`resources`: must be an array, not a number",
                "`actions[0].name` must be text that is not empty, not empty text",
            ],
            id="all at once",
        ),
    ],
)
def test_every_problem_is_listed_with_its_place(document: object, expected: list[str]) -> None:
    found = problems(document)
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"subjects":[],"subjects":[]}', "the file has the key `subjects` twice in one object"),
        (b"\xef\xbb\xbf{}", "the file starts with a byte order mark"),
        (b"{", "the file is not JSON"),
    ],
)
def test_the_file_is_read_as_strictly_as_a_message(text: bytes, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        read_entities("e.json", text)


def test_an_image_may_stand_behind_what_names_it() -> None:
    image = {"type": "image", "id": "i", "properties": {"owner": "t"}}
    member = {"type": "member", "id": "m", "properties": {"image": "i", "status": "accepted"}}
    for rows in ([image, member], [member, image]):
        entities = read({"resources": rows})
        assert entities.resources["member", "m"].image.owner == "t"  # type: ignore[union-attr]
        assert list(entities.resources) == [(row["type"], row["id"]) for row in rows]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load([str(RECORDS.with_suffix(".polar"))])


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        pytest.param(ask(action=act("write")), True, id="by id alone, the file speaks"),
        pytest.param(ask(action=act("write"), resource=record("record-2")), False, id="of another record"),
        pytest.param(
            ask(action=act("write"), resource={**record("record-1"), "properties": {}}), True, id="no properties"
        ),
        pytest.param(ask(action=act("write"), resource=record("record-1", colour="red")), False, id="nothing is mixed"),
        pytest.param(ask(action=act("write"), resource=record("record-3")), False, id="unknown to the file"),
        pytest.param(ask(user("bob"), act("write"), record("record-2")), True, id="a subject by id alone"),
        pytest.param(
            ask(user("bob", team="a"), act("write"), record("record-2")), False, id="a subject that says more"
        ),
        pytest.param(ask({"type": "robot", "id": "bob"}, act("write"), record("record-2")), False, id="another type"),
    ],
)
def test_facts_come_from_the_query_or_from_the_file(policy: Policy, message: dict[str, object], decision: bool) -> None:
    client = Client(policy, read_entities("e.json", RECORDS.read_bytes()))
    assert client.decision(message) is decision


# --- Reloading ---

ONE, TWO = ({"resources": [{"type": "record", "id": name}]} for name in ("one", "two"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "entities.json"
    path.write_text(json.dumps(ONE))
    return path


def ids(held: EntitiesFile) -> list[str | None]:
    return [value.id for value in held.entities.resources.values() if isinstance(value.id, str)]


def test_a_change_is_in_force_after_it_was_seen_twice_alike(file: Path) -> None:
    held = EntitiesFile(str(file), timer=lambda: 7.0)
    before = held.entities.revision
    file.write_text(json.dumps(TWO))
    assert not held.look()
    assert ids(held) == ["one"]
    assert held.look()
    assert ids(held) == ["two"]
    assert held.entities.revision != before
    assert not held.look()


@pytest.mark.parametrize("broken", [b"{", b'{"subjects": 7}', None], ids=["no JSON", "no array", "gone"])
def test_a_broken_file_leaves_the_last_good_one_in_force(
    file: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    held = EntitiesFile(str(file), timer=lambda: 7.0)
    if broken is None:
        file.unlink()
    else:
        file.write_bytes(broken)
    assert not held.look()
    assert not held.look()
    assert not held.look()
    assert ids(held) == ["one"]
    assert caplog.text.count("stays in force") == 1
    assert held.trouble is not None
    assert held.trouble.since == 7.0
    file.write_text(json.dumps(TWO))
    held.look()
    held.look()
    assert (ids(held), held.trouble) == (["two"], None)


def test_a_file_that_comes_back_as_it_was_is_no_trouble(file: Path) -> None:
    held = EntitiesFile(str(file))
    file.unlink()
    held.look()
    assert held.trouble is not None
    file.write_text(json.dumps(ONE))
    held.look()
    held.look()
    assert held.trouble is None


def test_a_broken_file_does_not_start(file: Path) -> None:
    file.write_text("{")
    with pytest.raises(PolicyError, match="not JSON"):
        EntitiesFile(str(file))
    with pytest.raises(PolicyError, match=r"cannot be read: No such file"):
        EntitiesFile(str(file.with_name("other.json")))


def test_it_is_looked_at_in_a_thread_of_its_own(file: Path) -> None:
    held = EntitiesFile(str(file), 3600)
    held.start()
    held.start()
    try:
        assert [thread.name for thread in threading.enumerate()].count("protect-entities") == 1
    finally:
        held.stop()


def test_a_request_has_the_entities_that_it_began_with(policy: Policy, file: Path) -> None:
    held = EntitiesFile(str(file))
    client = Client(policy, held.entities)
    assert isinstance(held.entities.resources["record", "one"].id, str)
    assert Resource("record", "one").kind == held.entities.resources["record", "one"].kind
    assert client.search("resource", ask(resource={"type": "record"})).document["results"] == [
        {"type": "record", "id": "one"}
    ]
