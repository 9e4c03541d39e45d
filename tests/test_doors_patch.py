"""A patch of many operations passes no rule that as many requests would not, and shows nothing that a GET hides."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protect.glance.patches import V20, V21
from tests.doors import V2, Doors, replace
from tests.image_api import Document, image


def add(name: str, value: Any = "1") -> dict[str, Any]:
    return {"op": "add", "path": f"/{name}", "value": value}


def remove(name: str) -> dict[str, Any]:
    return {"op": "remove", "path": f"/{name}"}


def forbid(action: str, name: str, condition: str) -> str:
    return f'forbid(_s: Subject, "{action}", p: Property) if p.name = "{name}" and {condition};\n'


# --- What an operation is decided on ---

NO_COMMUNITY = 'forbid(_s: Subject, "communitize_image", i: Image) if i.has_property("internal");\n'
NO_INTERNAL = forbid("create", "internal", 'p.image.visibility = "community"')
COMMUNITY, INTERNAL = replace("visibility", "community"), add("internal")


@pytest.mark.parametrize("rules", [NO_COMMUNITY, NO_INTERNAL, NO_COMMUNITY + NO_INTERNAL])
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param([INTERNAL, COMMUNITY], 403, id="the-property-first"),
        pytest.param([COMMUNITY, INTERNAL], 403, id="the-visibility-first"),
        pytest.param([INTERNAL, replace("name", "n"), COMMUNITY], 403, id="another-between"),
        pytest.param([add("other"), COMMUNITY], 200, id="another-property"),
        pytest.param([INTERNAL, replace("visibility", "shared")], 200, id="another-visibility"),
        pytest.param([INTERNAL], 200, id="the-property-alone"),
        pytest.param([COMMUNITY], 200, id="the-visibility-alone"),
        pytest.param([COMMUNITY, COMMUNITY], 200, id="the-visibility-twice"),
        pytest.param([INTERNAL, remove("internal")], 200, id="the-property-for-nothing"),
    ],
)
def test_two_things_that_exclude_each_other_do_so_in_one_patch(rules: str, changes: Any, status: int) -> None:
    doors = Doors(rules, image(1))
    assert (doors.patch(*changes).status_int, bool(doors.changed)) == (status, status == 200)


@pytest.mark.parametrize(
    ("condition", "change", "other"),
    [
        pytest.param(
            'i.visibility = "shared"', replace("visibility", "shared"), replace("visibility", "private"), id="v"
        ),
        pytest.param('i.name = "n"', replace("name", "n"), replace("name", "m"), id="name"),
        pytest.param('i.owner = "t2"', replace("owner", "t2"), replace("owner", "t3"), id="owner"),
        pytest.param("i.protected", replace("protected", True), replace("protected", False), id="protected"),
        pytest.param("i.hidden", replace("os_hidden", True), replace("os_hidden", False), id="hidden"),
        pytest.param("i.min_ram > 5", replace("min_ram", 6), replace("min_ram", 5), id="a-number"),
        pytest.param('i.has_tag("a")', replace("tags", ["a"]), replace("tags", ["b"]), id="tags"),
        pytest.param('i.get("p") = "1"', add("p"), add("p", "2"), id="a-value"),
        pytest.param('not i.has_property("there")', remove("there"), remove("else"), id="one-that-goes"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_every_fact_is_the_one_that_an_operation_finds(condition: str, change: Any, other: Any, first: bool) -> None:
    rules = f'forbid(_s: Subject, "create", p: Property) if p.name = "x" and i = p.image and {condition};\n'
    for one, status in ((change, 403), (other, 200)):
        doors = Doors(rules, image(1, there="1", **{"else": "1"}))
        changes = [one, add("x")] if first else [add("x"), one]
        assert (doors.patch(*changes).status_int, bool(doors.changed)) == (status, status == 200)


EXCLUDING = """
forbid(_s: Subject, "create", p: Property) if p.name = "a" and p.image.has_property("b");
forbid(_s: Subject, "create", p: Property) if p.name = "b" and p.image.get("a") = "1";
forbid(_s: Subject, "update", p: Property) if p.name = "a" and p.image.has_tag("t");
forbid(_s: Subject, "delete", p: Property) if p.value = "2" and p.image.visibility = "community";
forbid(_s: Subject, "update", p: Property) if p.name = "tags" and p.image.name = "n";
forbid(_s: Subject, "read", p: Property) if p.name = "b" and p.image.protected;
forbid(_s: Subject, "modify_image", i: Image) if i.protected and i.has_tag("t");
forbid(_s: Subject, "get_image", i: Image) if i.get("a") = "2" and i.has_tag("t");
forbid(_s: Subject, "communitize_image", i: Image) if i.has_property("b");
forbid(_s: Subject, "set_image_location", l: Location) if l.image.has_property("a");
"""

written_properties = st.builds(
    lambda op, name, value: {"op": op, "path": f"/{name}", "value": value},
    st.sampled_from(["add", "replace", "remove"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["1", "2"]),
)
written_attributes = st.one_of(
    st.builds(replace, st.just("name"), st.sampled_from(["n", "m"])),
    st.builds(replace, st.just("tags"), st.sampled_from([[], ["t"]])),
    st.builds(replace, st.just("protected"), st.booleans()),
    st.builds(replace, st.just("visibility"), st.sampled_from(["private", "community"])),
    st.just({"op": "add", "path": "/locations/-", "value": {"url": "http://h/x", "metadata": {}}}),
)
stored_images = st.fixed_dictionaries({}, optional={"a": st.sampled_from(["1", "2"]), "b": st.just("2")})


@settings(max_examples=300, deadline=None)
@given(stored_images, st.lists(st.one_of(written_properties, written_attributes), min_size=1, max_size=4))
def test_what_one_patch_may_do_as_many_requests_may(stored: dict[str, str], changes: list[dict[str, Any]]) -> None:
    one, many = Doors(EXCLUDING, image(1, **stored)), Doors(EXCLUDING, image(1, **stored))
    if one.patch(*changes).status_int == 200:
        assert [many.patch(change).status_int for change in changes] == [200] * len(changes)
        assert one.api.images == many.api.images


FREEZE = 'forbid(_s: Subject, "modify_image", i: Image) if i.get("frozen") = "yes";\n'


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param([add("frozen", "yes"), add("x")], 403, id="changed-when-it-is-frozen"),
        pytest.param([add("x"), add("frozen", "yes")], 200, id="changed-before-it-is-frozen"),
        pytest.param([add("frozen", "no"), add("x")], 200, id="changed-and-not-frozen"),
    ],
)
def test_an_image_that_may_not_be_changed_any_more_is_not(changes: Any, status: int) -> None:
    assert Doors(FREEZE, image(1)).patch(*changes).status_int == status


LOCK = forbid("update", "locked", 'p.image.get("lock") = "on"')
KEEP = forbid("delete", "p", 'p.value = "golden"')


@pytest.mark.parametrize(
    ("rules", "changes", "status"),
    [
        pytest.param(LOCK, [remove("lock"), replace("locked", "2")], 403, id="a-lock-is-not-taken-off-on-the-way"),
        pytest.param(LOCK, [remove("lock"), replace("other", "2")], 200, id="another-is-not-locked"),
        pytest.param(KEEP, [replace("p", "lead"), remove("p")], 403, id="what-is-removed-is-what-was-stored"),
        pytest.param(KEEP, [replace("other", "golden"), remove("other")], 200, id="another-is-removed"),
    ],
)
def test_the_stored_image_counts_as_well(rules: str, changes: Any, status: int) -> None:
    doors = Doors(rules, image(1, lock="on", locked="1", other="1", p="golden"))
    assert doors.patch(*changes).status_int == status


AT = {"url": "http://h/x", "metadata": {}}


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param('p.image.status = "active"', 403, id="a-location-makes-it-active"),
        pytest.param('p.image.status = "deactivated"', 200, id="another-status"),
        pytest.param("p.image.size > 5", 403, id="its-size-is-unknown"),
        pytest.param("p.image.min_ram > 5", 200, id="another-number"),
    ],
)
def test_a_location_changes_an_image(condition: str, status: int) -> None:
    queued = image(1, status="queued", size=None)
    doors = Doors(forbid("create", "x", condition), queued)
    assert doors.patch(add("locations/-", AT), add("x")).status_int == status
    assert Doors(forbid("create", "x", condition), queued).patch(replace("name", "n"), add("x")).status_int == 200


def test_one_operation_is_decided_on_once() -> None:
    doors = Doors("", image(1))
    doors.patch(add("x"))
    assert doors.lines == [
        ("allowed", "get_image", None),
        ("allowed", "modify_image", None),
        ("allowed", "create", "x"),
    ]


# --- What is dropped counts in no decision ---

DROP = 'discard(_s: Subject, "create", p: Property) if p.name = "d";\n'


@pytest.mark.parametrize(
    ("rules", "changes", "kept"),
    [
        pytest.param(
            forbid("create", "d", "not p.core") + forbid("create", "x", 'p.image.has_property("d")'),
            [add("d"), add("x")],
            ["/x"],
            id="by-one-before-it",
        ),
        pytest.param(
            forbid("create", "d", 'p.image.has_tag("t")'),
            [add("d"), replace("tags", ["t"]), add("x")],
            ["/tags", "/x"],
            id="for-one-behind-it",
        ),
        pytest.param(
            forbid("create", "d", 'p.image.has_tag("t")') + forbid("create", "x", 'p.image.has_property("d")'),
            [add("d"), replace("tags", ["t"]), replace("name", "n")],
            ["/tags", "/name"],
            id="and-nothing-else",
        ),
        pytest.param(
            forbid("create", "d", 'p.image.has_tag("t")'), [add("d"), replace("tags", ["s"])], ["/d", "/tags"], id="not"
        ),
    ],
)
def test_the_rest_is_decided_without_what_is_dropped(rules: str, changes: Any, kept: list[str]) -> None:
    doors = Doors(rules + DROP, image(1))
    response = doors.patch(*changes)
    assert response.status_int == 200
    assert [each["path"] for each in json.loads(doors.api.seen[-1].body)] == kept
    assert response.headers.get("X-Protect-Discarded") == (None if "/d" in kept else "d")


def test_what_counted_on_something_dropped_finds_nothing() -> None:
    doors = Doors(forbid("create", "d", 'p.image.has_tag("t")') + DROP, image(1))
    assert doors.patch(add("d"), replace("d", "2"), replace("tags", ["t"])).status_int == 409
    assert doors.changed == []


# --- An image that may not be seen ---

QUARANTINE = 'forbid(_s: Subject, "get_image", i: Image) if i.get("quarantine") = "yes";\n'
DISCARD = forbid("create", "d", "not p.core") + DROP


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([add("z")], id="a-change"),
        pytest.param([add("d")], id="a-change-that-is-dropped"),
        pytest.param([remove("quarantine")], id="a-change-that-shows-it"),
    ],
)
@pytest.mark.parametrize(("value", "status"), [("yes", 404), ("no", 200)])
def test_a_patch_shows_no_image_that_may_not_be_seen(changes: Any, value: str, status: int) -> None:
    doors = Doors(QUARANTINE + DISCARD, image(1, quarantine=value))
    response, shown = doors.patch(*changes), doors.ask("GET", V2)
    assert (response.status_int, shown.status_int) == (
        status,
        200 if changes[0]["op"] == "remove" and status == 200 else status,
    )
    if status == 404:
        assert (response.body, doors.changed) == (shown.body, [])


# --- Whether a hidden property exists ---

HIDE = 'forbid(_s: Subject, "read", p: Property) if p.name = "d";\n'
LOCKED = 'forbid(_s: Subject, action, p: Property) if p.name = "d" and action in ["create", "update", "delete"];\n'


def written(name: str, media: str) -> dict[str, Any]:
    return add(name) if media == V21 else {"add": f"/{name}", "value": "1"}


@pytest.mark.parametrize("media", [V20, V21])
@pytest.mark.parametrize(
    ("rules", "names", "same"),
    [
        pytest.param(LOCKED, ["d"], True, id="refused"),
        pytest.param(LOCKED + DROP, ["d"], True, id="dropped"),
        pytest.param(LOCKED + DROP, ["d", "d"], True, id="dropped-twice"),
        pytest.param(LOCKED + DROP, ["x", "d"], True, id="dropped-behind-another"),
        pytest.param(LOCKED + DROP, ["d", "x"], True, id="dropped-before-another"),
        pytest.param("", ["d"], False, id="created-where-there-is-none-and-never-overwritten"),
    ],
)
def test_a_write_does_not_tell_whether_a_hidden_property_exists(
    rules: str, names: list[str], same: bool, media: str
) -> None:
    def told(stored: Document) -> Any:
        doors = Doors(HIDE + rules, stored)
        changes = [written(name, media) for name in names]
        response = doors.ask("PATCH", V2, changes, {"Content-Type": media})
        # What is cut out of the answer is logged as for a GET: that is for the operator.
        lines = [entry for entry in doors.log if entry.action != "read"]
        return response.status, list(response.headers.items()), response.body, lines, doors.changed

    there, absent = told(image(1, d="secret")), told(image(1))
    assert (there == absent) is same
    if not same:
        assert (there[0], absent[0], there[-1]) == ("403 Forbidden", "200 OK", [])
