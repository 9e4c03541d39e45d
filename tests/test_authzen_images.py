"""Resources that rules know by name: images and what belongs to them, and what happens when their facts are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protect import Policy
from protect.authzen.entities import read_entities
from tests.authzen.client import Client, act, ask, user

RULES = """
    allow(s: Subject, _action, _i: Image) if s.has_role("admin");
    allow(s: Subject, "get_image", i: Image) if i.owner = s.tenant;
    allow(s: Subject, "get_image", i: Image) if i.visibility = "shared" and i.shared_with(s);
    allow(_s: Subject, "open", _i: Image);
    forbid(_s: Subject, "open", i: Image) if i.get("secret") = true;
    allow(_s: Subject, "tag", i: Image) if i.has_tag("x");
    allow(_s: Subject, "hidden", i: Image) if i.hidden;
    allow(_s: Subject, "small", i: Image) if i.size < 10;
    allow(_s: Subject, "custom", i: Image) if i.get("os_distro") = "x";
    allow(_s: Subject, "listed", i: Image) if i.has_property("members");

    allow(s: Subject, "update", p: Property) if p.image.owner = s.tenant and p.name = "mine" and not p.core;
    allow(_s: Subject, "update", p: Property) if p.core and p.value = 1;
    allow(_s: Subject, "read", _p: Property);
    forbid(_s: Subject, "read", p: Property) if p.image.visibility = "private";
    allow(s: Subject, "get_member", m: Member) if m.tenant = s.tenant and m.status = "accepted";
    allow(_s: Subject, "get_member", m: Member) if m.image.owner = "owner";
    allow(_s: Subject, "set_locations", l: Location) if l.scheme = "https" and l.image.owner = "owner";
    allow(_s: Subject, "set_locations", l: Location) if l.get("store") = "fast";
    allow(s: Subject, "get_task", t: Task) if t.owner = s.tenant and t.type = "import" and t.get("from") = "x";
    allow(s: Subject, "admin_task", _t: Task) if s.has_role("admin");
    allow(_s: Subject, "copy", s: Store) if s.id = "fast" and s.get("tier") = 1;
    allow(_s: Subject, "get_metadef_namespace", m: Metadef) if m.visibility = "public" and m.type = "namespace";
"""

ENTITIES = {
    "resources": [
        {"type": "member", "id": "t", "properties": {"image": "known"}},
        {
            "type": "image",
            "id": "known",
            "properties": {"owner": "t", "visibility": "shared", "members": {"t": "accepted"}},
        },
        {"type": "image", "id": "named"},
    ]
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Client:
    path = tmp_path_factory.mktemp("policy") / "images.polar"
    path.write_text(RULES)
    return Client(Policy.load([str(path)]), read_entities("e.json", json.dumps(ENTITIES).encode()))


def thing(type_: str, id_: str, **properties: object) -> dict[str, object]:
    return {"type": type_, "id": id_, **({"properties": properties} if properties else {})}


def asked(action: str, resource: dict[str, object], **properties: object) -> dict[str, object]:
    return ask(user("u", **{"tenant": "t", **properties}), act(action), resource)


IMAGE = {"id": "i", "owner": "t", "visibility": "private"}


@pytest.mark.parametrize(
    ("action", "resource", "decision"),
    [
        pytest.param("get_image", thing("image", "i", owner="t"), True, id="owner"),
        pytest.param("get_image", thing("image", "i", owner="other"), False, id="another owner"),
        pytest.param("get_image", thing("image", "i", **IMAGE), True, id="a document as the API shows it"),
        pytest.param(
            "get_image", thing("image", "i", visibility="shared", members={"t": "accepted"}), True, id="a member"
        ),
        pytest.param(
            "get_image", thing("image", "i", visibility="shared", members={"t": "pending"}), False, id="not yet one"
        ),
        pytest.param(
            "get_image", thing("image", "i", visibility="private", members={"t": "accepted"}), False, id="not shared"
        ),
        pytest.param("tag", thing("image", "i", tags=["x", "y"]), True, id="a tag"),
        pytest.param("tag", thing("image", "i", tags=["y"]), False, id="another tag"),
        pytest.param("hidden", thing("image", "i", os_hidden=True), True, id="hidden"),
        pytest.param("hidden", thing("image", "i", hidden=True), False, id="a custom property of that name"),
        pytest.param("small", thing("image", "i", size=9), True, id="size"),
        pytest.param("small", thing("image", "i", size=10), False, id="a larger size"),
        pytest.param("custom", thing("image", "i", os_distro="x"), True, id="a custom property"),
        pytest.param("custom", thing("image", "i", os_distro="y"), False, id="another value of it"),
        pytest.param("listed", thing("image", "i", members={}), False, id="members are no custom property"),
        pytest.param("open", thing("image", "i", secret=False), True, id="not forbidden"),
        pytest.param("open", thing("image", "i", secret=True), False, id="forbidden"),
        pytest.param("update", thing("property", "mine", image=IMAGE), True, id="a property of an image"),
        pytest.param("update", thing("property", "mine", image={**IMAGE, "owner": "x"}), False, id="another image"),
        pytest.param("update", thing("property", "min_ram", image=IMAGE, value=1), True, id="an attribute"),
        pytest.param("update", thing("property", "min_rom", image=IMAGE, value=1), False, id="no attribute"),
        pytest.param("get_member", thing("member", "t", image=IMAGE, status="accepted"), True, id="a member accepts"),
        pytest.param("get_member", thing("member", "t", image=IMAGE, status="pending"), False, id="a member waits"),
        pytest.param("get_member", thing("member", "t"), True, id="a member of the file, its status by the image"),
        pytest.param(
            "set_locations",
            thing("location", "HTTPS://store/x", image={"id": "i", "owner": "owner"}),
            True,
            id="a location by its address",
        ),
        pytest.param(
            "set_locations",
            thing("location", "file:///x", image={"id": "i", "owner": "owner"}),
            False,
            id="a location of another scheme",
        ),
        pytest.param(
            "set_locations",
            thing("location", "1", url="https://store/x", image={"id": "i", "owner": "owner"}),
            True,
            id="a location with a name of its own",
        ),
        pytest.param(
            "set_locations",
            thing("location", "file:///x", image=IMAGE, metadata={"store": "fast"}),
            True,
            id="a location's store",
        ),
        pytest.param("get_task", thing("task", "1", owner="t", type="import", input={"from": "x"}), True, id="task"),
        pytest.param("get_task", thing("task", "1", owner="t", type="import", input={}), False, id="another task"),
        pytest.param("copy", thing("store", "fast", tier=1), True, id="store"),
        pytest.param("copy", thing("store", "slow", tier=1), False, id="another store"),
        pytest.param(
            "get_metadef_namespace",
            thing("metadef", "OS::X", type="namespace", visibility="public"),
            True,
            id="metadef",
        ),
        pytest.param(
            "get_metadef_namespace",
            thing("metadef", "OS::X", type="namespace", visibility="private"),
            False,
            id="a private metadef",
        ),
    ],
)
def test_what_a_resource_means(images: Client, action: str, resource: dict[str, object], decision: bool) -> None:
    answer = images.evaluate(asked(action, resource)).document
    assert answer["decision"] is decision
    assert "error" not in answer["context"]


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        pytest.param(thing("image", "i", owner=7), "`owner` must be text in an image, not a number", id="owner"),
        pytest.param(
            thing("image", "i", os_hidden="yes"), "`os_hidden` must be true or false in an image, not text", id="hidden"
        ),
        pytest.param(thing("image", "i", size="9"), "`size` must be a whole number in an image, not text", id="size"),
        pytest.param(
            thing("image", "i", size=True), "`size` must be a whole number in an image, not true or false", id="a flag"
        ),
        pytest.param(thing("image", "i", tags="x"), "`tags` of an image must be an array of text", id="tags"),
        pytest.param(thing("image", "i", tags=[1]), "`tags` of an image must be an array of text", id="a tag"),
        pytest.param(thing("image", "i", members=["t"]), "`members` of an image must be an object", id="members"),
        pytest.param(thing("image", "i", members={"t": 1}), "`members` of an image must be an object", id="a member"),
        pytest.param(thing("image", "i", id="j"), "`resource.properties.id` is not `resource.id`", id="two ids"),
        pytest.param(thing("property", "p", image=7), "must be an image document or its id", id="image"),
        pytest.param(thing("property", "p", image={"id": 7}), "`resource.properties.image.id`", id="an image's id"),
        pytest.param(thing("property", "p", image={"owner": 7}), "`owner` must be text", id="an image's owner"),
        pytest.param(thing("member", "t", status=1), "`resource.properties.status` must be text", id="status"),
        pytest.param(thing("location", "x", url=1), "`resource.properties.url` must be text", id="url"),
        pytest.param(thing("location", "https://a b"), "white space", id="an address with a space"),
        pytest.param(thing("location", "x", metadata=1), "`resource.properties.metadata` must be", id="metadata"),
        pytest.param(thing("task", "t", owner=1), "`resource.properties.owner` must be text", id="task"),
        pytest.param(thing("task", "t", input=1), "`resource.properties.input` must be an object", id="input"),
        pytest.param(thing("metadef", "t", type=1), "`resource.properties.type` must be text", id="metadef"),
    ],
)
def test_an_attribute_of_the_wrong_type_is_refused(images: Client, resource: dict[str, object], text: str) -> None:
    answer = images.evaluate(asked("get_image", resource))
    assert answer.status == 400
    assert text in answer.text


def cased(type_: str) -> list[str]:
    return [type_.upper(), type_.capitalize(), f"{type_} ", f" {type_}", f"\t{type_}\n", f"\u00a0{type_.upper()}"]


KINDS = ("image", "property", "member", "location", "task", "store", "metadef")


@pytest.mark.parametrize("type_", [each for kind in KINDS for each in cased(kind)], ids=ascii)
def test_a_type_in_another_spelling_is_refused(type_: str, tmp_path: Path) -> None:
    # As a resource of no known kind it would pass by every `forbid` about images.
    path = tmp_path / "p.polar"
    path.write_text(
        "allow(_: Subject, _action, _resource);\n"
        'forbid(_: Subject, "get_image", _: Image);\nforbid(_: Subject, "read", _: Property);\n'
    )
    client = Client(Policy.load([str(path)]))
    text = f"`resource.type` must be written `{type_.strip().lower()}`, in lower case and without space around it"
    single = client.evaluate(asked("get_image", thing(type_, "i")))
    assert (single.status, single.text) == (400, text)
    assert client.decision(asked("get_image", thing("image", "i"))) is False
    assert client.decision(asked("get_image", thing("images", "i"))) is True

    items = [{"resource": thing("record", "i")}, {"resource": thing(type_, "i")}, {"resource": thing("record", "i")}]
    message = {**asked("get_image", thing("record", "i")), "evaluations": items}
    batch = client.evaluate_all(message).document["evaluations"]
    assert [each["decision"] for each in batch] == [True, False, True]
    assert batch[1]["context"]["error"] == {"status": 400, "message": text}
    default = {**asked("get_image", thing(type_, "i")), "evaluations": [{"action": {"name": "get_image"}}, *items[:1]]}
    assert client.decisions(default) == [False, True]

    for what, message in (
        ("resource", {**asked("get_image", {"type": type_})}),
        ("subject", {**asked("get_image", thing(type_, "i")), "subject": {"type": "user"}}),
        ("action", {**asked("get_image", thing(type_, "i"))}),
    ):
        answer = client.search(what, message)
        assert (answer.status, answer.text) == (400, text), what
    assert client.search("resource", {**asked("get_image", {"type": "image"})}).status == 200
    assert client.explain(asked("get_image", thing(type_, "i"))).status == 400


def test_no_message_repeats_the_address_of_a_location(images: Client) -> None:
    secret = "swift://user:key@store/x y"
    assert "key" not in images.evaluate(asked("set_locations", thing("location", secret, image=IMAGE))).text


GONE = "the attributes of image `gone` were not given, and no entity supplies them"


@pytest.mark.parametrize(
    ("action", "resource", "message"),
    [
        pytest.param("open", thing("image", "gone"), GONE, id="a rule that forbids"),
        pytest.param("get_image", thing("image", "gone"), GONE, id="a rule that allows"),
        pytest.param("open", {**thing("image", "gone"), "properties": {}}, GONE, id="no properties"),
        pytest.param("open", thing("image", "gone", id="gone"), GONE, id="nothing but the id again"),
        pytest.param("open", thing("image", "named"), GONE.replace("gone", "named"), id="an entity without properties"),
        pytest.param("read", thing("property", "p", image="gone"), GONE, id="a property of it"),
        pytest.param("read", thing("property", "p", image={"id": "gone"}), GONE, id="a property of it, as a document"),
        pytest.param(
            "read",
            thing("property", "p"),
            "the attributes of image were not given, and no entity supplies them",
            id="a property of nothing",
        ),
        pytest.param("get_member", thing("member", "t", image="gone"), GONE, id="a member of it"),
        pytest.param("set_locations", thing("location", "https://x", image="gone"), GONE, id="a location of it"),
        pytest.param(
            "get_image",
            thing("image", "gone", visibility="shared"),
            "the image `gone` is shared, and its `members` were not given",
            id="a shared image without its members",
        ),
        pytest.param("get_task", thing("task", "gone"), GONE.replace("image", "task"), id="a task"),
        pytest.param(
            "get_metadef_namespace", thing("metadef", "gone"), GONE.replace("image", "metadef"), id="a metadef"
        ),
    ],
)
def test_what_is_named_by_id_alone_and_unknown_is_denied_where_its_facts_matter(
    images: Client, action: str, resource: dict[str, object], message: str
) -> None:
    answer = images.evaluate(asked(action, resource))
    assert answer.status == 200
    assert answer.document["decision"] is False
    assert answer.document["context"]["error"] == {"status": 404, "message": message}
    assert images.recorded[-1][1].error
    assert images.evaluate_all({"evaluations": [asked(action, resource)]}).document["evaluations"] == [answer.document]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        pytest.param("get_image", thing("image", "gone"), id="an image"),
        pytest.param("admin_task", thing("task", "gone"), id="a task"),
    ],
)
def test_a_rule_that_needs_no_facts_decides_without(images: Client, action: str, resource: dict[str, object]) -> None:
    assert images.decision(asked(action, resource, roles=["admin"])) is True
    assert images.decision(asked(action, resource, roles=["member"])) is False


@pytest.mark.parametrize(
    ("resource", "decision"),
    [
        pytest.param(thing("image", "known"), True, id="by id alone, the file speaks"),
        pytest.param({**thing("image", "known"), "properties": {}}, True, id="no properties are by id alone"),
        pytest.param(thing("image", "known", owner="other"), False, id="with properties, the query speaks"),
        pytest.param(thing("image", "known", name="x"), False, id="for all of them"),
    ],
)
def test_facts_come_from_the_query_or_from_the_file(
    images: Client, resource: dict[str, object], decision: bool
) -> None:
    assert images.decision(asked("get_image", resource)) is decision


def test_the_shipped_rules_let_an_admin_at_an_image_known_by_id_alone() -> None:
    client = Client(Policy.load())
    assert client.decision(asked("get_image", thing("image", "gone"), roles=["admin"])) is True
    assert client.decision(asked("get_image", thing("image", "gone"), roles=["member"])) is False


def test_the_file_of_the_example_lies_beside_its_policy() -> None:
    assert {path.name for path in (Path(__file__).parent.parent / "examples").glob("records.*")} == {
        "records.json",
        "records.polar",
    }


def test_a_member_of_whom_nobody_knows_the_tenant_is_not_taken_for_another_one(tmp_path: Path) -> None:
    path = tmp_path / "p.polar"
    path.write_text("""
        allow(_s: Subject, "add_member", _m: Member);
        forbid(_s: Subject, "add_member", m: Member) if m.tenant = "barred";
    """)
    client = Client(Policy.load([str(path)]))

    def decided(id_: str, **properties: object) -> tuple[object, bool]:
        member = {"type": "member", "id": id_, "properties": {"image": {"id": "i", "owner": "t"}, **properties}}
        answer = client.evaluate(ask(user("u"), act("add_member"), member)).document
        return answer["decision"], "error" in answer["context"]

    assert decided("t2") == (True, False)
    assert decided("barred") == (False, False)
    assert decided("-", tenant=None) == (False, True)
