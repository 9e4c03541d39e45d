"""The endpoints for services that hold images themselves: what a subject may see of them, and what it may write."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protect import Policy
from protect.glance.patches import V20, V21
from protect.service import images
from protect.service.app import Service
from protect.service.calls import Call, Limits
from protect.values import Decision, Query
from tests.doors import OPEN, V2, Doors, policy, replace
from tests.image_api import ID, Document, image

USER = {"type": "user", "id": "u1", "properties": {"tenant": "t1", "roles": ["member", "reader"]}}
ADMIN = {"type": "user", "id": "a", "properties": {"tenant": "ops", "roles": ["admin", "member", "reader"]}}
STRANGER = {"type": "user", "id": "u2", "properties": {"tenant": "t2", "roles": ["member", "reader"]}}
NOBODY = {"type": "user", "id": "u", "properties": {"authenticated": False}}

SHIPPED = Policy.load()
HIDDEN = 'forbid(s: Subject, "read", p: Property) if p.name = "secret" and not s.has_role("admin");\n'


class Client:
    """Asks the endpoints as a service would, and remembers what they told of."""

    def __init__(self, rules: str | Policy = SHIPPED, clock: Callable[[], float] = lambda: 0.0, **limits: Any) -> None:
        point = policy(rules) if isinstance(rules, str) else rules
        self.told: list[tuple[Query, Decision]] = []

        def record(query: Query, decision: Decision, call: Call) -> None:
            self.told.append((query, decision))

        routes = images.routes(policy=lambda: point, record=record, clock=clock)
        self.service = Service(routes, guard=lambda environ, header: None, limits=Limits(**limits))

    def ask(self, path: str, message: object) -> tuple[int, Any]:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
        }
        seen: list[Any] = []
        answer = b"".join(self.service(environ, lambda status, headers: seen.extend((status, dict(headers)))))
        text = answer.decode()
        return int(seen[0][:3]), json.loads(text) if seen[1]["Content-Type"] == "application/json" else text

    def filter(self, subject: object, **message: Any) -> tuple[int, Any]:
        return self.ask("/v1/images/filter", {"subject": subject, **message})

    def check(self, subject: object, **message: Any) -> Any:
        status, answer = self.ask("/v1/images/check", {"subject": subject, **message})
        assert status == 200, answer
        return answer


# --- filter ---


@pytest.mark.parametrize(
    ("subject", "document", "seen"),
    [
        pytest.param(USER, image(), True, id="an owner sees its private image"),
        pytest.param(STRANGER, image(), False, id="another tenant does not"),
        pytest.param(STRANGER, image(visibility="public"), True, id="everybody sees a public one"),
        pytest.param(NOBODY, image(visibility="public"), False, id="but nobody who is not known"),
        pytest.param(STRANGER, image(visibility="shared", members={"t2": "accepted"}), True, id="a member sees it"),
        pytest.param(STRANGER, image(visibility="shared", members={"t3": "accepted"}), False, id="no member does not"),
        pytest.param(STRANGER, image(visibility="shared"), False, id="whose members were not given is not shown"),
        pytest.param(USER, image(visibility="shared", os="x"), True, id="but to its owner, who needs to be no member"),
        pytest.param(ADMIN, image(visibility="shared"), True, id="and to an admin"),
    ],
)
def test_an_image_is_shown_to_those_who_may_get_it(subject: object, document: Document, seen: bool) -> None:
    shown = {name: value for name, value in document.items() if name != "members"}
    assert Client().filter(subject, image=document) == (200, {"image": shown if seen else None})
    assert Client().filter(subject, images=[document]) == (200, {"images": [shown] if seen else []})


def test_what_may_not_be_read_is_cut_out() -> None:
    documents = [image(1, secret="s3", os="x", locations=[{"url": "http://a/b", "metadata": {}}]), image(2, os="y")]
    rules = HIDDEN + 'forbid(s: Subject, "get_image_location", _i: Image) if not s.has_role("admin");'
    assert Client(rules).filter(USER, images=documents) == (200, {"images": [image(1, os="x"), image(2, os="y")]})
    assert Client(rules).filter(ADMIN, images=documents) == (200, {"images": documents})


def test_attributes_of_the_api_are_cut_too() -> None:
    rules = 'forbid(s: Subject, "read", p: Property) if p.name = "owner" and not s.has_role("admin");'
    _, answer = Client(rules).filter(USER, image=image())
    assert answer == {"image": {name: value for name, value in image().items() if name != "owner"}}
    assert Client(rules).filter(ADMIN, image=image())[1] == {"image": image()}


def test_a_property_that_is_called_members_is_one() -> None:
    # Any tenant can give its public image one: it must not take the whole list away from everybody.
    odd = image(2, visibility="public", members="x")
    assert Client().filter(STRANGER, images=[image(1, visibility="public"), odd])[1]["images"][1] == odd


def test_the_order_stays_and_an_image_may_come_twice() -> None:
    twice = image(1, visibility="shared")
    documents = [image(3), twice | {"members": {"t2": "accepted"}}, image(2), twice | {"members": {}}]
    assert Client().filter(STRANGER, images=documents)[1] == {"images": [twice]}


def test_the_context_reaches_the_rules() -> None:
    rules = 'forbid(_s: Subject, "get_image", _i: Image) if context.get("zone") = "dark";'
    assert Client(rules).filter(USER, image=image(), context={"zone": "dark"})[1] == {"image": None}
    assert Client(rules).filter(USER, image=image(), context={"zone": "light"})[1] == {"image": image()}


def test_numbers_come_back_as_they_were() -> None:
    document = image(score=12345678901234567890, share=0.1, size=2**63 - 1)
    assert Client().filter(USER, image=document) == (200, {"image": document})


@pytest.mark.parametrize(
    ("message", "status", "says"),
    [
        ({"subject": USER, "images": [image(), 5]}, 400, "`images[1]`: an image must be an object, not a number"),
        ({"subject": USER, "images": [image(), {"name": "x"}]}, 400, "`images[1]`: an image needs `id`"),
        ({"subject": USER, "images": [image(owner=5)]}, 400, "`images[0]`: "),
        ({"subject": USER, "images": [image(tags="x")]}, 400, "`images[0]`: "),
        ({"subject": USER, "images": [image(size=-1)]}, 400, "`images[0]`: `size`"),
        ({"subject": USER, "images": [image(), image(locations=[{}])]}, 400, "`images[1]`: the `locations`"),
        ({"subject": USER, "images": [image(members=["t2"])]}, 400, "`images[0]`: the `members`"),
        ({"subject": USER, "image": [image()]}, 400, "`image`: an image must be an object, not an array"),
        ({"subject": USER, "images": image()}, 400, "`images` must be an array, not an object"),
        ({"subject": USER}, 400, "either `image` or `images`"),
        ({"subject": USER, "image": image(), "images": []}, 400, "either `image` or `images`"),
        ({"image": image()}, 400, "`subject` is missing"),
        ({"subject": USER, "image": image(), "context": []}, 400, "`context`"),
        ({"subject": {"type": "u", "id": "u", "properties": {"roles": "admin"}}, "image": image()}, 400, "roles"),
        (b'{"subject": 1, "subject": 2, "images": []}', 400, "`subject` twice"),
        ([], 400, "must be a JSON object"),
    ],
)
def test_a_message_that_cannot_be_understood_is_refused(message: object, status: int, says: str) -> None:
    found, answer = Client().ask("/v1/images/filter", message)
    assert found == status
    assert says in answer


def test_a_list_may_be_longer_than_other_bodies() -> None:
    documents = [image(text="x" * 1000)] * 20
    assert Client(body=1000).filter(USER, images=documents)[0] == 200
    assert Client(body=1000, documents=10_000).filter(USER, images=documents)[0] == 413


def test_a_list_has_a_longest_length() -> None:
    client = Client(images=2)
    assert client.filter(USER, images=[image(), image()])[0] == 200
    status, said = client.filter(USER, images=[image(), image(), image()])
    assert (status, said) == (413, "`images` has more than 2 items; send fewer at a time")
    assert Limits().images == 10_000
    assert Limits().documents == 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        pytest.param(100.0, 200, id="in time"),
        pytest.param(2.0, 413, id="late in reading them"),
        # The clock is looked at once to begin with, and once for each image when it is read, and when it is decided on.
        pytest.param(4.0, 413, id="late in deciding on them"),
        pytest.param(6.0, 200, id="just in time"),
    ],
)
def test_a_list_that_takes_too_long_is_refused(seconds: float, status: int) -> None:
    clock = count().__next__
    found, said = Client(clock=lambda: float(clock()), seconds=seconds).filter(USER, images=[image()] * 3)
    assert found == status
    assert found == 200 or said == "the images take too long; send fewer at a time"


def test_refused_images_and_hidden_names_are_told_of() -> None:
    client = Client(HIDDEN + 'forbid(_s: Subject, "get_image", i: Image) if i.name = "dark";')
    client.filter(USER, images=[image(1, name="dark"), image(2, secret="s3"), image(3)])
    assert [(q.action, getattr(q.resource, "name", None), d.allowed) for q, d in client.told] == [
        ("get_image", "dark", False),
        ("read", "secret", False),
    ]


# --- check: a create ---


def parts(answer: Any) -> list[tuple[str, str, int]]:
    return [(each.get("name", each.get("path")), each["decision"], each["status"]) for each in answer["operations"]]


def test_a_create_is_judged_name_by_name() -> None:
    body = {"name": "x", "os": "linux", "kernel_id": "k", "visibility": "public", "size": 5}
    answer = Client().check(USER, create=body)
    assert parts(answer) == [
        ("name", "allow", 201),
        ("os", "allow", 201),
        ("kernel_id", "refuse", 403),
        ("visibility", "refuse", 403),
        ("size", "refuse", 403),
    ]
    assert answer["status"] == 403
    assert answer["message"] == "Attribute 'size' is read-only."
    assert "body" not in answer


def test_what_remains_of_a_create_is_told() -> None:
    rules = 'discard(_s: Subject, "create", p: Property) if p.name = "drop";' + (
        'forbid(_s: Subject, "create", p: Property) if p.name = "drop";'
    )
    answer = Client(rules).check(USER, create={"drop": "1", "keep": "2"})
    assert parts(answer) == [("drop", "discard", 201), ("keep", "allow", 201)]
    assert (answer["status"], answer["body"]) == (201, {"keep": "2"})


def test_a_create_that_is_refused_as_a_whole_is_so_in_each_part() -> None:
    answer = Client().check(NOBODY, create={"name": "x", "os": "y"})
    assert parts(answer) == [("name", "refuse", 401), ("os", "refuse", 401)]
    assert answer["status"] == 401
    assert Client().check(NOBODY, create={})["status"] == 401
    assert Client().check(USER, create={}) == {"status": 201, "operations": [], "body": {}}


def test_an_attribute_that_is_refused_counts_in_no_other_decision() -> None:
    # A foreign owner is what the image as a whole is refused for; here a rule refuses the attribute itself.
    rules = 'forbid(_s: Subject, "create", p: Property) if p.name = "owner" and p.value = "t9";'
    rules += 'forbid(_s: Subject, "create", p: Property) if p.name = "os" and p.image.owner = "t9";'
    assert parts(Client(rules).check(USER, create={"owner": "t9", "os": "x"})) == [
        ("owner", "refuse", 403),
        ("os", "allow", 201),
    ]
    assert parts(Client(rules).check(USER, create={"owner": "t8", "os": "x"})) == [
        ("owner", "allow", 201),
        ("os", "allow", 201),
    ]


# --- check: a patch ---


def test_a_patch_is_judged_operation_by_operation() -> None:
    stored = image(secret="s3", os="x")
    operations = [
        replace("secret", "z"),
        {"op": "add", "path": "/secret", "value": "z"},
        replace("os", "y"),
        {"op": "add", "path": "/kernel_id", "value": "k"},
        replace("missing", "y"),
        replace("size", 5),
        {"op": "move", "path": "/os"},
        {"op": "remove", "path": "/os"},
        replace("os", "gone"),
    ]
    rules = HIDDEN + 'forbid(_s: Subject, "create", p: Property) if p.name = "kernel_id";'
    answer = Client(rules).check(USER, patch=operations, image=stored)
    assert parts(answer) == [
        ("/secret", "refuse", 409),
        ("/secret", "refuse", 403),
        ("/os", "allow", 200),
        ("/kernel_id", "refuse", 403),
        ("/missing", "refuse", 409),
        ("/size", "refuse", 403),
        ("/os", "refuse", 400),
        ("/os", "allow", 200),
        ("/os", "refuse", 409),
    ]
    # A malformed operation is what an API answers for first.
    assert answer["status"] == 400
    assert "forbidden by test.polar" in answer["operations"][0]["reason"]
    assert "s3" not in json.dumps(answer)


def test_an_operation_is_judged_with_those_behind_it() -> None:
    rules = 'forbid(_s: Subject, "create", p: Property) if p.name = "d" and p.image.has_tag("t");\n'
    drop = 'discard(_s: Subject, "create", p: Property) if p.name = "d";'
    add, tags = {"op": "add", "path": "/d", "value": "1"}, replace("tags", ["t"])
    judged = {
        rules: [("/d", "refuse", 403), ("/d", "refuse", 409), ("/tags", "allow", 200)],
        rules + drop: [("/d", "discard", 200), ("/d", "refuse", 409), ("/tags", "allow", 200)],
        "": [("/d", "allow", 200), ("/d", "allow", 200), ("/tags", "allow", 200)],
    }
    for text, expected in judged.items():
        answer = Client(text).check(USER, patch=[add, replace("d", "2"), tags], image=image())
        assert parts(answer) == expected
    answer = Client(rules + drop).check(USER, patch=[add, tags], image=image())
    assert (answer["status"], answer["body"]) == (200, [tags])


def test_a_patch_is_answered_by_the_refusal_that_comes_first() -> None:
    # The second operation is refused when it is reached, the first one only for the third.
    rules = 'forbid(_s: Subject, "create", p: Property) if p.name = "d" and p.image.has_tag("t");\n'
    patch = [{"op": "add", "path": "/d", "value": "1"}, replace("missing", "2"), replace("tags", ["t"])]
    answer = Client(rules).check(USER, patch=patch, image=image())
    assert [part["status"] for part in answer["operations"]] == [403, 409, 200]
    assert answer["status"] == Doors(rules, image()).patch(*patch).status_int == 409


def test_a_patch_of_an_image_that_may_not_be_seen_finds_none() -> None:
    rules = 'forbid(_s: Subject, "get_image", i: Image) if i.get("quarantine") = "yes";'
    for value, status in (("yes", 404), ("no", 200)):
        answer = Client(rules).check(USER, patch=[replace("name", "n")], image=image(quarantine=value))
        assert (answer["status"], parts(answer)[0][2]) == (status, status)


@pytest.mark.parametrize(("count", "status"), [(512, 201), (513, 413)])
def test_a_create_has_no_more_than_can_be_decided_on(count: int, status: int) -> None:
    answer = Client("").check(USER, create={f"p{number}": "" for number in range(count)})
    assert answer["status"] == status
    assert {part["status"] for part in answer["operations"]} == {status}


def test_what_remains_of_a_patch_is_told_in_its_own_media_type() -> None:
    rules = 'forbid(_s: Subject, "update", p: Property) if p.name = "drop";' + (
        'discard(_s: Subject, "update", p: Property) if p.name = "drop";'
    )
    stored = image(drop="1", keep="2")
    old = [{"replace": "/drop", "value": "3"}, {"replace": "/keep", "value": "4"}]
    answer = Client(rules).check(USER, patch=old, image=stored, media_type=V20)
    assert parts(answer) == [("/drop", "discard", 200), ("/keep", "allow", 200)]
    assert (answer["status"], answer["body"]) == (200, old[1:])
    assert Client(rules).check(USER, patch=[replace("drop", "3")], image=stored)["body"] == []


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        pytest.param(USER, 200, id="the owner may"),
        pytest.param(STRANGER, 404, id="one who may not know of the image is told that there is none"),
        pytest.param(NOBODY, 401, id="one who is not known is told to say who it is"),
    ],
)
def test_an_image_that_may_not_be_modified_refuses_every_operation(subject: object, status: int) -> None:
    answer = Client().check(subject, patch=[replace("name", "x"), replace("size", 1)], image=image())
    # What the API lets nobody write is refused before anyone is asked for.
    assert answer["status"] == 403
    assert parts(answer) == [("/name", "refuse" if status != 200 else "allow", status), ("/size", "refuse", 403)]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"patch": [], "image": image()}, 400),
        ({"patch": {"op": "add"}, "image": image()}, 400),
        ({"patch": "x", "image": image()}, 400),
        ({"patch": [replace("name", "x")], "image": image(), "media_type": "application/json"}, 415),
    ],
)
def test_what_is_no_patch_gets_the_answer_that_an_api_gives(message: Any, status: int) -> None:
    answer = Client().check(USER, **message)
    assert (answer["status"], answer["operations"]) == (status, [])


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"create": []}, "`create` must be an object"),
        ({"create": {}, "patch": []}, "either `create` or `patch`"),
        ({}, "either `create` or `patch`"),
        ({"patch": []}, "needs the stored `image`"),
        ({"create": {"x": 10**30}}, "more than 20 digits"),
        ({"patch": [], "image": image(id="UPPER")}, "lower case"),
        ({"patch": [], "image": image(owner=5)}, "`image`: "),
        ({"patch": [], "image": image(), "media_type": 5}, "`media_type`"),
        ({"patch": [replace("locations", [{"url": "http://x/"}])], "image": image(locations=[{}])}, "`image`: "),
    ],
)
def test_a_question_that_cannot_be_understood_is_refused(message: Any, says: str) -> None:
    status, answer = Client().ask("/v1/images/check", {"subject": USER, **message})
    assert status == 400
    assert says in answer


# --- the same answers as the filter ---

RULES = """
forbid(s: Subject, "read", p: Property) if p.name in ["secret", "owner"] and not s.has_role("admin");
forbid(_s: Subject, "create", p: Property) if p.name in ["no", "drop"];
forbid(_s: Subject, "update", p: Property) if p.name in ["no", "drop", "min_ram"];
forbid(_s: Subject, "delete", p: Property) if p.name = "no";
forbid(_s: Subject, "update", p: Property) if p.name = "os" and p.image.get("no") = "1";
forbid(_s: Subject, "create", p: Property) if p.name = "os" and p.image.has_property("drop");
forbid(_s: Subject, "create", p: Property) if p.name = "min_disk";
discard(_s: Subject, _action, p: Property) if p.name in ["drop", "min_disk"];
forbid(_s: Subject, "create", p: Property) if p.name = "new" and p.image.has_tag("a");
discard(_s: Subject, _action, p: Property) if p.name = "new" and p.image.min_ram = 0;
forbid(_s: Subject, "update", p: Property) if p.name = "name" and p.image.has_property("new");
forbid(_s: Subject, "publicize_image", _i: Image);
forbid(s: Subject, "add_image", i: Image) if i.owner = "t9" and not s.has_role("admin");
forbid(s: Subject, "modify_image", i: Image) if i.protected = true and not s.has_role("admin");
forbid(s: Subject, "get_image", i: Image) if i.hidden = true and not s.has_role("admin");
forbid(_s: Subject, "set_image_location", l: Location) if l.scheme = "file";
forbid(_s: Subject, "delete_image_location", l: Location) if l.scheme = "rbd";
"""

names = st.sampled_from(["os", "no", "drop", "secret", "new", "name", "owner", "min_ram", "min_disk", "visibility"])
odd_names = st.sampled_from(["size", "os_glance_x", "deleted", "x" * 256, "locations", "tags", "id"])
values = st.sampled_from(["x", "1", "t9", "public", "private", 5, 0, True, None, ["a"], {"a": "b"}])
places = st.lists(st.sampled_from([{"url": "file:///x"}, {"url": "http://h/x"}, {"url": "rbd://p/x"}, {}]), max_size=2)


def value_for(name: str) -> st.SearchStrategy[Any]:
    fitting = {
        "min_ram": st.integers(0, 3),
        "min_disk": st.integers(0, 3),
        "visibility": st.sampled_from(["public", "private", "community"]),
        "owner": st.sampled_from(["t1", "t9"]),
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "locations": places,
        "id": st.just(ID.format(9)),
    }.get(name, st.sampled_from(["x", "1"]))
    # Mostly what an API takes, so that decisions are reached.
    return st.one_of(fitting, fitting, fitting, fitting, values)


@st.composite
def operations(draw: st.DrawFn, media: str) -> Any:
    op = draw(st.sampled_from(["add", "replace", "replace", "remove", "move"] if media == V21 else ["add", "replace"]))
    name = draw(st.one_of(names, names, names, odd_names))
    position = draw(st.sampled_from(["/0", "/1", "/-", ""])) if name == "locations" and op != "replace" else ""
    path = f"/{name}{position}"
    operation = {"op": op, "path": path} if media == V21 else {op: path}
    return operation if op == "remove" else {**operation, "value": draw(value_for(name))}


@st.composite
def stored(draw: st.DrawFn) -> Document:
    facts: dict[str, Any] = dict.fromkeys(draw(st.sets(st.sampled_from(["os", "drop", "secret", "new"]))), "x")
    if draw(st.booleans()):
        facts["no"] = draw(st.sampled_from(["1", "2"]))
    if draw(st.booleans()):
        facts["locations"] = draw(places.filter(lambda found: {} not in found))
    return image(protected=draw(st.sampled_from([False, False, True])), os_hidden=draw(st.booleans()), **facts)


SUBJECTS = [
    (USER, {}),
    (ADMIN, {"X-Roles": "admin,member,reader", "X-User-Id": "a", "X-Project-Id": "ops"}),
    (NOBODY, {"X-Identity-Status": "Invalid"}),
]


def given_by_the_filter(doors: Doors, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    """Return the status of the filter's answer, and the body that reached the API (None: none did)."""
    response = doors.ask(method, path, body, headers)
    reached = [request for request in doors.api.seen if request.method == method]
    return response.status_int, json.loads(reached[0].body) if reached else None


@settings(max_examples=150, deadline=None)
@given(stored(), st.sampled_from(SUBJECTS), st.sampled_from([V20, V21]), st.data())
def test_a_patch_is_judged_as_the_filter_does(document: Document, who: Any, media: str, data: st.DataObject) -> None:
    patch = data.draw(st.lists(operations(media), max_size=4))
    subject, headers = who
    doors = Doors(RULES, document)
    status, reached = given_by_the_filter(doors, "PATCH", V2, patch, {"Content-Type": media, **headers})
    answer = Client(RULES).check(subject, patch=patch, image=document, media_type=media)
    assert answer["status"] == status
    assert ("body" in answer) == (status == 200)
    assert (answer.get("body") or None) == reached
    allowed = all(each["decision"] != "refuse" for each in answer["operations"])
    assert allowed == (status == 200 or not answer["operations"])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SUBJECTS), st.data())
def test_a_create_is_judged_as_the_filter_does(who: Any, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.one_of(names, names, names, odd_names), unique=True, max_size=5))
    body = {name: data.draw(value_for(name)) for name in wanted}
    subject, headers = who
    doors = Doors(RULES)
    status, reached = given_by_the_filter(doors, "POST", "/v2/images", body, headers)
    answer = Client(RULES).check(subject, create=body)
    assert answer["status"] == status
    assert answer.get("body") == reached
    refused = any(each["decision"] == "refuse" for each in answer["operations"])
    assert refused == (status != 201) or not body


@settings(max_examples=100, deadline=None)
@given(st.lists(stored(), max_size=4), st.sampled_from(SUBJECTS))
def test_a_list_is_filtered_as_the_filter_does(documents: list[Document], who: Any) -> None:
    subject, headers = who
    numbered = [document | {"id": ID.format(number)} for number, document in enumerate(documents)]
    response = Doors(RULES, *numbered).ask("GET", "/v2/images", headers=headers)
    answer = Client(RULES).filter(subject, images=numbered)[1]
    assert answer["images"] == response.json["images"]


def test_the_rules_here_add_to_what_allows_everything() -> None:
    assert OPEN.startswith("allow(")
