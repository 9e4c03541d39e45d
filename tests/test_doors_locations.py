"""Locations are decided on one by one, by whichever door an address comes in, and never repeated."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from protect import Policy
from protect.errors import MalformedRequest
from protect.glance import locations
from protect.values import Image
from tests.doors import ONE, V2, Doors, replace
from tests.image_api import image

SCHEMES = (
    'forbid(_s: Subject, action, l: Location) if action in ["set_image_location", "add_image_location"] '
    'and not l.scheme in ["http", "https", "rbd"];'
)


def at(url: Any, **metadata: str) -> dict[str, Any]:
    return {"url": url, "metadata": metadata}


def by_patch(*changes: dict[str, Any]) -> tuple[str, str, Any]:
    return "PATCH", V2, list(changes)


def doors_in(url: Any) -> dict[str, tuple[str, str, Any]]:
    """Every request that brings an address in."""
    return {
        "add": by_patch({"op": "add", "path": "/locations/-", "value": at(url)}),
        "insert": by_patch({"op": "add", "path": "/locations/0", "value": at(url)}),
        "replace": by_patch(replace("locations", [at("http://fine/x"), at(url)])),
        "call": ("POST", f"{V2}/locations", {"url": url, "validation_data": {}}),
        "create": ("POST", "/v2/images", {"locations": [at(url)]}),
    }


@pytest.mark.parametrize("door", doors_in(""))
@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        pytest.param("http://host/x", True, id="http"),
        pytest.param("HTTPS://host/x", True, id="https-in-capitals"),
        pytest.param("rbd://pool/x", True, id="rbd"),
        pytest.param("file:///etc/shadow", False, id="file"),
        pytest.param("File:///etc/shadow", False, id="file-in-capitals"),
        pytest.param("swift+config://ref/x", False, id="swift-config"),
        pytest.param("x", False, id="no-scheme"),
        pytest.param("//host/x", False, id="no-scheme-but-a-host"),
        pytest.param("httpx://host/x", False, id="one-that-begins-alike"),
    ],
)
def test_a_rule_restricts_schemes_at_every_door(door: str, url: str, allowed: bool) -> None:
    doors = Doors(SCHEMES, image(1, locations=[at("http://fine/x")]))
    response = doors.ask(*doors_in(url)[door])
    assert (response.status_int in (200, 201, 204)) is allowed
    assert bool(doors.changed) is allowed
    if not allowed:
        assert response.status_int == 403
        assert doors.log[-1].resource == "Location"


@pytest.mark.parametrize("door", doors_in(""))
@pytest.mark.parametrize(
    "url",
    [
        pytest.param(" file:///etc/shadow", id="a-space-before"),
        pytest.param("\tfile:///etc/shadow", id="a-tab-before"),
        pytest.param("fi\nle:///etc/shadow", id="a-line-break-inside"),
        pytest.param("\u00a0file:///etc/shadow", id="an-invisible-space-before"),
        pytest.param("\x00file:///etc/shadow", id="a-control-character"),
        pytest.param("", id="nothing"),
        pytest.param(5, id="a-number"),
        pytest.param(None, id="null"),
    ],
)
def test_an_address_that_stores_could_read_otherwise_is_refused(door: str, url: Any) -> None:
    doors = Doors("", image(1, locations=[at("http://fine/x")]))
    response = doors.ask(*doors_in(url)[door])
    assert (response.status_int, doors.changed) == (400, [])
    assert "shadow" not in response.text


def test_a_location_must_be_an_object() -> None:
    for value in ("http://host", ["http://host"], None):
        doors = Doors("", image(1))
        assert doors.patch({"op": "add", "path": "/locations/-", "value": value}).status_int == 400
        assert doors.patch(replace("locations", [value])).status_int == 400
        assert doors.changed == []


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("http://x", "http"),
        ("CINDER://x", "cinder"),
        ("swift+https://u:p@h/x", "swift+https"),
        ("x", None),
        ("://x", None),
        ("1a:x", None),
        ("\u212ab:x", None),
    ],
)
def test_schemes(url: str, scheme: str | None) -> None:
    assert locations.scheme(url) == scheme


@pytest.mark.parametrize(
    ("action", "door"),
    [
        pytest.param("set_image_location", "add", id="add"),
        pytest.param("set_image_location", "replace", id="replace"),
        pytest.param("set_image_location", "create", id="create"),
        pytest.param("add_image_location", "call", id="the-call-of-its-own"),
    ],
)
def test_what_is_forbidden_on_an_image_is_forbidden_on_its_locations(action: str, door: str) -> None:
    request = doors_in("http://host/x")[door]
    refused = Doors(f'forbid(_s: Subject, "{action}", _i: Image);', image(1))
    other = Doors('forbid(_s: Subject, "delete_image", _i: Image);', image(1))
    assert (refused.ask(*request).status_int, refused.changed) == (403, [])
    assert other.ask(*request).status_int in (200, 201, 204)


def test_a_rule_sees_what_a_location_says_of_itself() -> None:
    rules = 'forbid(_s: Subject, "set_image_location", l: Location) if l.get("tier") = "cold";'
    for tier, status in (("cold", 403), ("warm", 200)):
        change = {"op": "add", "path": "/locations/-", "value": at("http://h/x", tier=tier)}
        assert Doors(rules, image(1)).patch(change).status_int == status


@pytest.mark.parametrize("door", doors_in(""))
@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        pytest.param('l.get("store") = "cold"', False, id="a-store"),
        pytest.param('not l.get("store") = "cold"', False, id="every-other-store"),
        pytest.param('l.get("tier") = "cold"', True, id="something-else"),
        pytest.param('l.scheme = "file" and l.get("store") = "cold"', True, id="a-store-that-is-not-asked-for"),
    ],
)
@pytest.mark.parametrize("said", ["cold", "warm", None])
def test_nobody_says_in_which_store_a_location_lies(said: str | None, condition: str, allowed: bool, door: str) -> None:
    rules = f'forbid(_s: Subject, a, l: Location) if a in ["set_image_location", "add_image_location"] and {condition};'
    doors = Doors(rules, image(1, locations=[at("http://fine/x", store="warm")]))
    method, path, body = doors_in("http://host/x")[door]
    text = json.dumps(body)
    if said is not None:
        text = text.replace('"metadata": {}', f'"metadata": {{"store": "{said}"}}')
        text = text.replace('"validation_data": {}', f'"metadata": {{"store": "{said}"}}')
    assert (doors.ask(method, path, json.loads(text)).status_int < 300) is allowed
    assert bool(doors.changed) is allowed
    assert allowed or doors.log[-1].outcome.value == "error"


def test_a_location_that_is_stored_says_its_store() -> None:
    rules = 'forbid(_s: Subject, "delete_image_location", l: Location) if l.get("store") = "cold";'
    new = {"op": "add", "path": "/locations/0", "value": at("http://new/x", store="warm")}
    remove = {"op": "remove", "path": "/locations/0"}
    for store, status in (("cold", 403), ("warm", 200)):
        stored = image(1, locations=[at("http://fine/x", store=store)])
        assert Doors(rules, stored).patch(remove).status_int == status
        # One that the same patch has added has none yet, whatever it says.
        assert Doors(rules, stored).patch(new, remove).status_int == 403


def test_metadata_that_the_api_does_not_store_decide_nothing_and_are_not_sent_on() -> None:
    rules = 'forbid(_s: Subject, "add_image_location", l: Location) if not l.get("tier") = "cold";'
    body = {"url": "http://h/x", "metadata": {"tier": "cold"}, "validation_data": {}}
    assert Doors(rules, image(1)).ask("POST", f"{V2}/locations", body).status_int == 403
    doors = Doors("", image(1))
    assert doors.ask("POST", f"{V2}/locations", body).status_int == 204
    assert json.loads(doors.api.seen[-1].body) == {"url": "http://h/x", "validation_data": {}}


# --- What a location brings along ---

SUMS = {"checksum": "0" * 32, "os_hash_algo": "sha512", "os_hash_value": "ab" * 64}


def doors_of_sums(sums: Any) -> dict[str, tuple[str, str, Any]]:
    place = {"url": "http://h/x", "metadata": {}, "validation_data": sums}
    return {
        "add": by_patch({"op": "add", "path": "/locations/-", "value": place}),
        "replace": by_patch(replace("locations", [at("http://fine/x"), place])),
        "call": ("POST", f"{V2}/locations", {"url": "http://h/x", "validation_data": sums}),
        "create": ("POST", "/v2/images", {"locations": [place]}),
    }


@pytest.mark.parametrize("door", doors_of_sums({}))
@pytest.mark.parametrize("name", SUMS)
def test_the_sums_of_an_image_are_locked_by_every_door(door: str, name: str) -> None:
    rules = f'forbid(_s: Subject, a, p: Property) if a in ["create", "update"] and p.name = "{name}";'
    others = {other: value for other, value in SUMS.items() if other != name}
    for more in ("", f'discard(_s: Subject, _a, p: Property) if p.name = "{name}";'):
        locked = Doors(rules + more, image(1))
        assert (locked.ask(*doors_of_sums(SUMS)[door]).status_int, locked.changed) == (403, [])
        assert Doors(rules + more, image(1)).ask(*doors_of_sums(others)[door]).status_int < 300


@pytest.mark.parametrize("value", ["0" * 32, "1" * 32])
def test_a_rule_sees_the_sum(value: str) -> None:
    rules = f'forbid(_s: Subject, _a, p: Property) if p.name = "checksum" and p.value = "{"0" * 32}";'
    for door, request in doors_of_sums({"checksum": value}).items():
        assert (Doors(rules, image(1)).ask(*request).status_int == 403) is (value[0] == "0"), door


@pytest.mark.parametrize("door", ["add", "replace"])
def test_a_hidden_sum_is_not_guessed(door: str) -> None:
    rules = 'forbid(_s: Subject, "read", p: Property) if p.name = "{}";'
    for name, status in (("checksum", 403), ("size", 200)):
        doors = Doors(rules.format(name), image(1, checksum="0" * 32))
        assert doors.ask(*doors_of_sums(SUMS)[door]).status_int == status


@pytest.mark.parametrize("door", doors_of_sums({}))
@pytest.mark.parametrize("sums", [None, [], "x", {"checksum": 5}, {"status": "active"}, {"checksum": "0", "x": "y"}])
def test_sums_that_no_api_takes_are_refused(door: str, sums: Any) -> None:
    doors = Doors("", image(1))
    assert (doors.ask(*doors_of_sums(sums)[door]).status_int, doors.changed) == (400, [])


# --- Removal ---

KEEP_RBD = 'forbid(_s: Subject, "delete_image_location", l: Location) if l.scheme = "rbd";'
BOTH = [at("http://h/x"), at("rbd://p/x")]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param([{"op": "remove", "path": "/locations/0"}], 200, id="the-first"),
        pytest.param([{"op": "remove", "path": "/locations/1"}], 403, id="the-second"),
        pytest.param([{"op": "remove", "path": "/locations/9"}], 403, id="past-the-end-is-the-last"),
        pytest.param([{"op": "remove", "path": "/locations/0"}] * 2, 403, id="the-first-twice"),
        pytest.param(
            [
                {"op": "add", "path": "/locations/0", "value": at("http://new/x")},
                {"op": "remove", "path": "/locations/2"},
            ],
            403,
            id="the-second-behind-a-new-one",
        ),
        pytest.param(
            [
                {"op": "add", "path": "/locations/0", "value": at("http://new/x")},
                {"op": "remove", "path": "/locations/1"},
            ],
            200,
            id="the-first-behind-a-new-one",
        ),
        pytest.param([replace("locations", [at("http://new/x")])], 403, id="replaced"),
        pytest.param([replace("locations", [at("http://new/x"), BOTH[1]])], 200, id="kept-by-a-replacement"),
        pytest.param([replace("locations", [])], 403, id="all-of-them"),
    ],
)
def test_what_is_removed_is_decided_on_whatever_its_position(changes: list[dict[str, Any]], status: int) -> None:
    doors = Doors(KEEP_RBD, image(1, locations=BOTH))
    doors.api._patch = lambda request, document: None  # type: ignore[method-assign]
    assert (doors.patch(*changes).status_int, bool(doors.changed)) == (status, status == 200)


def test_where_addresses_are_not_shown_a_removal_is_decided_on_one_without() -> None:
    remove = {"op": "remove", "path": "/locations/0"}
    allow_http = 'forbid(_s: Subject, "delete_image_location", l: Location) if not l.scheme = "http";'
    assert Doors(allow_http, image(1)).patch(remove).status_int == 403
    assert Doors(allow_http, image(1, locations=BOTH)).patch(remove).status_int != 403


@pytest.mark.parametrize("action", ["update", "delete"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param(*by_patch({"op": "remove", "path": "/locations/0"}), id="patch"),
        pytest.param("DELETE", f"/v2/stores/s1/{ONE}", None, id="delete-from-a-store"),
    ],
)
def test_a_locked_attribute_loses_no_location(action: str, method: str, path: str, body: Any) -> None:
    rules = f'forbid(_s: Subject, "{action}", p: Property) if p.name = "locations";'
    doors = Doors(rules, image(1, locations=BOTH))
    assert (doors.ask(method, path, body).status_int, doors.changed) == (403, [])
    free = Doors('forbid(_s: Subject, "create", p: Property) if p.name = "locations";', image(1, locations=BOTH))
    free.api._patch = lambda request, document: None  # type: ignore[method-assign]
    assert free.ask(method, path, body).status_int in (200, 204)


def test_a_rule_sees_which_store_an_image_is_deleted_from() -> None:
    rules = 'forbid(_s: Subject, "delete_image_location", _i: Image) if context.get("store") = "s1";'
    doors = Doors(rules, image(1))
    assert doors.ask("DELETE", f"/v2/stores/s1/{ONE}").status_int == 403
    assert doors.changed == []
    assert doors.ask("DELETE", f"/v2/stores/s2/{ONE}").status_int == 200


# --- Showing ---


def test_locations_are_shown_one_by_one() -> None:
    rules = 'forbid(_s: Subject, "fetch_image_location", l: Location) if l.scheme = "rbd";'
    assert Doors(rules, image(1, locations=BOTH)).ask("GET", f"{V2}/locations").json == BOTH[:1]
    assert Doors("", image(1, locations=BOTH)).ask("GET", f"{V2}/locations").json == BOTH


# --- Silence ---

SECRET = "swift+https://user:s3cret@host/x"


@pytest.mark.parametrize("door", doors_in(""))
@pytest.mark.parametrize("rules", [SCHEMES, "", 'forbid(_s: Subject, _a, l: Location) if l.url = "x";'])
def test_no_address_is_repeated(door: str, rules: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    doors = Doors(rules, image(1))
    response = doors.ask(*doors_in(SECRET)[door])
    assert "s3cret" not in str(doors.log) and "s3cret" not in caplog.text
    if response.status_int >= 400:
        assert "s3cret" not in response.text


def test_no_message_repeats_an_address() -> None:
    for value in ({"url": "a b s3cret"}, {"url": ["s3cret"]}, "s3cret"):
        with pytest.raises(MalformedRequest) as error:
            locations.proposed(value, Image())
        assert "s3cret" not in str(error.value)


# --- The shipped rules ---


@pytest.mark.parametrize(
    ("url", "status"),
    [pytest.param("https://host/x", 204, id="https"), pytest.param("file:///x", 403, id="file")],
)
def test_the_variant_narrows_the_shipped_rules(url: str, status: int) -> None:
    narrowed = Policy.load(["rules", "rules/variants/location_schemes.polar"])
    for roles in ("member,reader", "admin"):
        doors = Doors(narrowed, image(1))
        response = doors.ask("POST", f"{V2}/locations", {"url": url}, {"X-Roles": roles})
        assert (response.status_int, bool(doors.changed)) == (status, status == 204)
    assert Doors(Policy.load(), image(1)).ask("POST", f"{V2}/locations", {"url": url}).status_int == 204


def test_a_stranger_sets_no_location() -> None:
    stored = image(1, owner="t2", visibility="public")
    for door in ("add", "replace", "call"):
        doors = Doors(Policy.load(), stored)
        assert (doors.ask(*doors_in("http://h/x")[door]).status_int, doors.changed) == (403, [])
