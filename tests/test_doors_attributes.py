"""Attributes of the API are locked, dropped and hidden by `forbid` rules, like properties."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protect import Policy
from protect.glance.attributes import ALWAYS_SHOWN, CORE, HIDEABLE
from protect.glance.patches import V20
from protect.polar.compiler import compile_policy
from protect.values import Image, Property, Query, Subject
from tests.doors import ADMIN, MADE, ONE, V2, Doors, policy, replace
from tests.image_api import ID, image


def forbid(action: str, name: str, more: str = "") -> str:
    return (
        f'forbid(subject: Subject, "{action}", property: Property) if property.name = "{name}" '
        f'and not subject.has_role("admin"){more};\n'
    )


def drop(name: str) -> str:
    return f'discard(_subject: Subject, _action, property: Property) if property.name = "{name}";\n'


VALUES: list[Any] = [
    pytest.param("name", "n", id="name"),
    pytest.param("owner", "t2", id="owner"),
    pytest.param("visibility", "public", id="visibility"),
    pytest.param("protected", True, id="protected"),
    pytest.param("os_hidden", True, id="hidden"),
    pytest.param("min_disk", 5, id="minimal-disk"),
    pytest.param("min_ram", 5, id="minimal-memory"),
    pytest.param("disk_format", "qcow2", id="disk-format"),
    pytest.param("container_format", "ovf", id="container-format"),
    pytest.param("tags", ["a"], id="tags"),
    pytest.param("locations", [{"url": "http://h/i", "metadata": {}}], id="locations"),
]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_an_attribute_is_created_unless_that_is_forbidden(name: str, value: Any) -> None:
    rules = forbid("create", name)
    refused, admin, other = (Doors(rules), Doors(rules), Doors(forbid("update", name)))
    assert (refused.ask("POST", "/v2/images", {name: value}).status_int, refused.api.calls) == (403, [])
    assert refused.lines[-1] == ("denied", "create", name)
    assert admin.ask("POST", "/v2/images", {name: value}, ADMIN).status_int == 201
    assert other.ask("POST", "/v2/images", {name: value}).status_int == 201
    assert other.api.images[MADE][name] == value


@pytest.mark.parametrize(("name", "value"), VALUES)
@pytest.mark.parametrize("op", ["add", "replace"])
@pytest.mark.parametrize("older", [False, True], ids=["v21", "v20"])
def test_an_attribute_is_updated_unless_that_is_forbidden(name: str, value: Any, op: str, older: bool) -> None:
    if name == "locations" and op == "add":
        path, value = "/locations/-", value[0]
    else:
        path = f"/{name}"
    change = {op: path, "value": value} if older else {"op": op, "path": path, "value": value}
    headers = {"Content-Type": V20} if older else {}
    rules = forbid("update", name)
    refused, admin = Doors(rules, image(1)), Doors(rules, image(1))
    other = Doors(forbid("create", name), image(1))
    assert (refused.patch(change, headers=headers).status_int, refused.changed) == (403, [])
    assert f"Attribute '{name}' is reserved." in refused.ask("PATCH", V2, [change], headers).json["message"]
    assert refused.api.images[ONE] == image(1)
    assert admin.patch(change, headers=headers | ADMIN).status_int == 200
    assert other.patch(change, headers=headers).status_int == 200


def test_an_id_of_ones_own_choice_can_be_forbidden() -> None:
    body = {"id": ID.format(5)}
    assert Doors(forbid("create", "id")).ask("POST", "/v2/images", body).status_int == 403
    assert Doors("").ask("POST", "/v2/images", body).status_int == 201


@pytest.mark.parametrize(
    ("value", "status"),
    [
        pytest.param("evil", 403, id="the-forbidden-value"),
        pytest.param("good", 200, id="another"),
        pytest.param(None, 200, id="no-value"),
    ],
)
def test_a_rule_sees_the_new_value(value: str | None, status: int) -> None:
    doors = Doors(forbid("update", "name", ' and property.value = "evil"'), image(1))
    assert doors.patch(replace("name", value)).status_int == status


def test_a_rule_sees_the_stored_image() -> None:
    rules = forbid("update", "name", " and property.image.protected")
    assert Doors(rules, image(1, protected=True)).patch(replace("name", "n")).status_int == 403
    assert Doors(rules, image(1)).patch(replace("name", "n")).status_int == 200


def test_rules_tell_attributes_from_properties() -> None:
    rules = 'forbid(_s: Subject, "update", property: Property) if property.core;'
    doors = Doors(rules, image(1, os="x"))
    assert doors.patch(replace("name", "n")).status_int == 403
    assert doors.patch(replace("os", "y")).status_int == 200
    others = Doors('forbid(_s: Subject, "update", property: Property) if not property.core;', image(1, os="x"))
    assert others.patch(replace("name", "n")).status_int == 200
    assert others.patch(replace("os", "y")).status_int == 403


def test_hiding_all_properties_hides_no_attribute() -> None:
    rules = 'forbid(_s: Subject, "read", p: Property) if p.image.owner = "t2" and not p.core;'
    doors = Doors(rules, image(1, owner="t2", os="x"))
    assert doors.ask("GET", V2).json == image(1, owner="t2")
    assert doors.ask("GET", "/v2/images").json["images"] == [image(1, owner="t2")]


def test_attributes_need_no_allow() -> None:
    text = 'allow(_s: Subject, _a, _i: Image);\nallow(_s: Subject, _a, p: Property) if p.name = "os";'
    point = compile_policy([("p.polar", text)], "r")
    query = Query(Subject(), "update", Property("name", Image(), "n", core=True))
    assert point.forbidden(query).allowed
    assert not point.decide(query).allowed
    doors = Doors(point, image(1, other="x"))
    assert doors.patch(replace("name", "n")).json["name"] == "n"
    assert doors.patch(replace("other", "n")).status_int == 409


def test_one_refused_attribute_stops_the_rest() -> None:
    doors = Doors(forbid("update", "min_ram"), image(1, os="x"))
    changes = [replace("os", "y"), replace("name", "n"), replace("min_ram", 5)]
    assert (doors.patch(*changes).status_int, doors.changed) == (403, [])


def test_an_attribute_that_cannot_be_decided_on_stays() -> None:
    rules = forbid("update", "name", ' and property.image.owner = "t2"')
    doors = Doors(rules, image(1, owner=5))
    assert (doors.patch(replace("name", "n")).status_int, doors.changed) == (403, [])
    assert doors.lines[-1] == ("error", "update", "name")


@pytest.mark.parametrize("name", ["status", "size", "checksum", "stores", "direct_url", "created_at"])
def test_what_is_read_only_stays_so(name: str) -> None:
    doors = Doors("", image(1))
    assert (doors.patch(replace(name, "x")).status_int, doors.changed) == (403, [])
    assert (doors.ask("POST", "/v2/images", {name: "x"}).status_int, doors.changed) == (403, [])


# --- Owner ---


def test_an_owner_does_not_give_its_image_away() -> None:
    shipped = Policy.load()
    member, admin = Doors(shipped, image(1)), Doors(shipped, image(1))
    assert (member.patch(replace("owner", "t2")).status_int, member.changed) == (403, [])
    assert member.patch(replace("name", "n")).status_int == 200
    assert admin.patch(replace("owner", "t2"), headers=ADMIN).status_int == 200


def test_nobody_but_an_admin_makes_an_image_of_somebody_else() -> None:
    shipped = Policy.load()
    assert Doors(shipped).ask("POST", "/v2/images", {"owner": "t2"}).status_int == 403
    assert Doors(shipped).ask("POST", "/v2/images", {"owner": "t1"}).status_int == 201
    assert Doors(shipped).ask("POST", "/v2/images", {"owner": "t2"}, ADMIN).status_int == 201


# --- Tags ---

GOLDEN = forbid("update", "tags", ' and property.value = "golden"')


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("PUT", f"{V2}/tags/golden", None, 403, id="put-it-on"),
        pytest.param("DELETE", f"{V2}/tags/golden", None, 403, id="take-it-off"),
        pytest.param("PUT", f"{V2}/tags/g%6Flden", None, 403, id="put-it-on-encoded"),
        pytest.param("PUT", f"{V2}/tags/other", None, 204, id="put-another-on"),
        pytest.param("DELETE", f"{V2}/tags/other", None, 204, id="take-another-off"),
        pytest.param("PATCH", V2, [replace("tags", ["golden", "old"])], 403, id="patch-it-on"),
        pytest.param("PATCH", V2, [replace("tags", ["old", "new"])], 200, id="patch-another-on"),
        pytest.param("PATCH", V2, [replace("tags", [])], 200, id="patch-all-off"),
    ],
)
def test_one_tag_is_locked_by_every_door(method: str, path: str, body: Any, status: int) -> None:
    doors = Doors(GOLDEN, image(1, tags=["old"]))
    assert (doors.ask(method, path, body).status_int, bool(doors.changed)) == (status, status != 403)
    assert Doors(GOLDEN, image(1, tags=["old"])).ask(method, path, body, ADMIN).status_int != 403


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        pytest.param(["golden"], 200, id="kept"),
        pytest.param(["golden", "new"], 200, id="kept-beside-a-new-one"),
        pytest.param([], 403, id="taken-off-with-all"),
        pytest.param(["other"], 403, id="replaced"),
    ],
)
def test_a_locked_tag_is_not_patched_away(tags: list[str], status: int) -> None:
    doors = Doors(GOLDEN, image(1, tags=["golden"]))
    assert doors.patch(replace("tags", tags)).status_int == status


def test_all_tags_are_locked_by_every_door() -> None:
    for method, path, body in (
        ("PUT", f"{V2}/tags/x", None),
        ("DELETE", f"{V2}/tags/x", None),
        ("PATCH", V2, [replace("tags", ["a"])]),
        ("PATCH", V2, [replace("tags", [])]),
    ):
        doors = Doors(forbid("update", "tags"), image(1))
        assert (doors.ask(method, path, body).status_int, doors.changed) == (403, [])


# --- Dropping ---


def test_a_forbidden_attribute_is_dropped_on_create_where_a_rule_says_so() -> None:
    doors = Doors(forbid("create", "min_ram") + drop("min_ram"))
    response = doors.ask("POST", "/v2/images", {"name": "n", "min_ram": 5})
    assert (response.status_int, response.headers["X-Protect-Discarded"]) == (201, "min_ram")
    assert json.loads(doors.api.seen[-1].body) == {"name": "n"}
    assert ("discarded", "create", "min_ram") in doors.lines


def test_nothing_that_is_not_forbidden_is_dropped() -> None:
    doors = Doors(
        'discard(_s: Subject, _a, _p: Property);\nforbid(_s: Subject, "create", p: Property) if p.name = "x";'
    )
    response = doors.ask("POST", "/v2/images", {"name": "n", "min_ram": 5, "x": "1"})
    assert (response.status_int, response.headers["X-Protect-Discarded"]) == (201, "x")
    assert json.loads(doors.api.seen[-1].body) == {"name": "n", "min_ram": 5}


def test_what_is_dropped_counts_in_no_other_decision() -> None:
    """A foreign owner and a visibility are dropped, so the image that is made is decided on, not the one asked for."""
    rules = (
        (forbid("create", "owner") + drop("owner") + forbid("create", "visibility") + drop("visibility"))
        + 'forbid(_s: Subject, "publicize_image", _r: Image);\n'
        + 'forbid(s: Subject, "add_image", i: Image) if not i.owner = s.tenant;\n'
    )
    doors = Doors(rules)
    body = {"owner": "t2", "visibility": "public"}
    assert doors.ask("POST", "/v2/images", body).headers["X-Protect-Discarded"] == "owner, visibility"
    assert json.loads(doors.api.seen[-1].body) == {}
    assert Doors(rules).ask("POST", "/v2/images", body, ADMIN).status_int == 403


def test_a_rule_that_counts_on_what_is_dropped_is_asked_again() -> None:
    rules = (
        'forbid(_s: Subject, "create", p: Property) if p.name = "pass";\n'
        + drop("pass")
        + 'forbid(_s: Subject, "add_image", i: Image) if not i.has_property("pass");'
    )
    doors = Doors(rules)
    assert (doors.ask("POST", "/v2/images", {"pass": "1"}).status_int, doors.api.calls) == (403, [])


def test_a_forbidden_attribute_is_dropped_from_a_patch() -> None:
    doors = Doors(forbid("update", "visibility") + drop("visibility"), image(1))
    response = doors.patch(replace("visibility", "public"), replace("name", "n"))
    assert (response.status_int, response.headers["X-Protect-Discarded"]) == (200, "visibility")
    assert json.loads(doors.api.seen[-1].body) == [replace("name", "n")]
    alone = doors.patch(replace("visibility", "public"))
    assert (alone.status_int, alone.json["visibility"]) == (200, "private")


def test_a_forbidden_tag_is_dropped() -> None:
    doors = Doors(GOLDEN + drop("tags"), image(1))
    response = doors.ask("PUT", f"{V2}/tags/golden")
    assert (response.status_int, response.body, doors.changed) == (204, b"", [])
    assert response.headers["X-Protect-Discarded"] == "tags"
    assert ("discarded", "update", "tags") in doors.lines
    assert "X-Protect-Discarded" not in doors.ask("PUT", f"{V2}/tags/other").headers
    assert doors.changed == [f"PUT {V2}/tags/other"]


# --- Reading ---


@pytest.mark.parametrize("name", sorted(HIDEABLE - {"locations", "direct_url"}))
def test_an_attribute_is_hidden_where_reading_it_is_forbidden(name: str) -> None:
    rules, stored = forbid("read", name), image(1, checksum="s3", virtual_size=1, os_hash_algo="a", os_hash_value="v")
    stored |= {"stores": "a,b"}
    left = {key: value for key, value in stored.items() if key != name}
    doors = Doors(rules, stored)
    assert doors.ask("GET", V2).json == left
    assert doors.lines[-1] == ("denied", "read", name)
    assert doors.ask("GET", "/v2/images").json["images"] == [left]
    assert doors.patch(replace("min_disk", 0)).json.keys() == left.keys()
    assert name not in doors.ask("POST", "/v2/images", {}).json
    assert doors.ask("GET", V2, headers=ADMIN).json == stored
    assert doors.ask("GET", "/v2/images", headers=ADMIN).json["images"][0] == stored


@pytest.mark.parametrize("name", sorted(ALWAYS_SHOWN))
def test_some_attributes_are_shown_whatever_the_rules_say(name: str) -> None:
    stored = image(1, created_at="x", updated_at="y", file="z")
    doors = Doors('forbid(_s: Subject, "read", _p: Property);', stored)
    for document in (doors.ask("GET", V2).json, doors.ask("GET", "/v2/images").json["images"][0]):
        assert document == {key: stored[key] for key in ALWAYS_SHOWN}
    assert name in CORE


@pytest.mark.parametrize("name", ["locations", "direct_url"])
def test_where_the_data_lie_is_one_thing_under_two_names(name: str) -> None:
    stored = image(1, direct_url="http://s3/x", locations=[{"url": "http://s3/x", "metadata": {}}])
    doors = Doors(forbid("read", name), stored)
    for path in (V2, "/v2/images"):
        assert "http://s3/x" not in doors.ask("GET", path).text
        assert "http://s3/x" in doors.ask("GET", path, headers=ADMIN).text
    shown = Doors(forbid("read", "locations"), stored).ask("GET", f"{V2}/locations")
    assert (shown.status_int, "http://s3/x" in shown.text) == (403, False)


def test_an_attribute_is_hidden_on_some_images() -> None:
    doors = Doors(
        forbid("read", "checksum", " and not property.image.owner = subject.tenant"),
        image(1, checksum="mine"),
        image(2, checksum="s3cret", owner="t2"),
    )
    text = doors.ask("GET", "/v2/images").text
    assert ("mine" in text, "s3cret" in text) == (True, False)
    assert "s3cret" not in doors.ask("GET", f"/v2/images/{ID.format(2)}").text


class Counting:
    """A decision point that counts how often it is asked about what is forbidden."""

    def __init__(self, text: str) -> None:
        self._policy = policy(text)
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def forbidden(self, query: Query) -> Any:
        self.asked += 1
        return self._policy.forbidden(query)


def test_where_no_rule_hides_attributes_nothing_is_asked_for_each_image() -> None:
    images = [image(number) for number in range(1, 9)]
    free, hiding = Counting(forbid("update", "name")), Counting(forbid("read", "name", ' and property.value = "x"'))
    for point in (free, hiding):
        assert len(Doors(point, *images).ask("GET", "/v2/images").json["images"]) == 8  # type: ignore[arg-type]
    assert free.asked == 0 < hiding.asked
