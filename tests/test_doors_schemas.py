"""The schemas of images say what the one who asks may do."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from webob import Response

from protect import Policy
from protect.enforcement.doors.schemas import MAX_NAMES
from tests.doors import ADMIN, Doors
from tests.image_api import SCHEMA, collection

SERVICE = {"X-Service-Identity-Status": "Confirmed", "X-Service-Roles": "service"}


def schema_of(doors: Doors, path: str = "/v2/schemas/image", headers: dict[str, str] | None = None) -> Any:
    document = doors.ask("GET", path, headers=headers).json
    return document["properties"]["images"]["items"] if path.endswith("images") else document


def read_only(schema: Any) -> set[str]:
    return {name for name, entry in schema["properties"].items() if entry.get("readOnly")}


def test_a_schema_of_which_nothing_is_closed_stays_as_it_is() -> None:
    assert Doors("").ask("GET", "/v2/schemas/image").json == SCHEMA
    assert Doors("").ask("GET", "/v2/schemas/images").json == collection(SCHEMA)


@pytest.mark.parametrize("path", ["/v2/schemas/image", "/v2/schemas/images"])
def test_what_may_not_be_read_is_not_in_it(path: str) -> None:
    rules = 'forbid(s: Subject, "read", p: Property) if p.name = "os_distro" and not s.has_role("admin");'
    schema = schema_of(Doors(rules), path)
    assert schema["properties"].keys() == SCHEMA["properties"].keys() - {"os_distro"}
    assert schema["required"] == []
    assert schema_of(Doors(rules), path, ADMIN) == SCHEMA


@pytest.mark.parametrize(
    ("forbidden", "expected"),
    [
        pytest.param(["create", "update"], True, id="neither-created-nor-updated"),
        pytest.param(["create"], False, id="updated-but-not-created"),
        pytest.param(["update"], False, id="created-but-not-updated"),
        pytest.param(["delete"], False, id="not-deleted"),
    ],
)
@pytest.mark.parametrize("name", ["os_distro", "name", "unnamed"])
def test_what_may_not_be_written_is_read_only(forbidden: list[str], expected: bool, name: str) -> None:
    actions = ", ".join(f'"{action}"' for action in forbidden)
    doors = Doors(f'forbid(_s: Subject, action, p: Property) if action in [{actions}] and p.name = "{name}";')
    assert read_only(schema_of(doors)) == ({"size", name} if expected else {"size"})


def test_an_attribute_that_is_hidden_stays_in_the_schema() -> None:
    doors = Doors('forbid(_s: Subject, "read", p: Property) if p.name in ["owner", "size"];')
    assert schema_of(doors) == SCHEMA


def test_names_that_the_policy_mentions_are_added() -> None:
    rules = (
        'closed("one"); closed("two"); closed("os_glance_x");\n'
        'forbid(_s: Subject, action, p: Property) if action in ["create", "update"] and closed(p.name);\n'
        'forbid(_s: Subject, action, p: Property) if action in ["create", "read", "update"] and p.name = "hidden";\n'
        'forbid(_s: Subject, "delete", p: Property) if p.name = "writable";'
    )
    schema = schema_of(Doors(rules))
    assert schema["properties"].keys() - SCHEMA["properties"].keys() == {"one", "two"}
    assert schema["properties"]["one"] == {
        "type": ["null", "string"],
        "is_base": False,
        "readOnly": True,
        "description": "Set by the cloud; you cannot change it.",
    }


def test_a_policy_of_very_many_names_does_not_fill_the_schema() -> None:
    facts = "".join(f'closed("n{number:05}");' for number in range(MAX_NAMES + 50))
    rules = facts + 'forbid(_s: Subject, action, p: Property) if action in ["create", "update"] and closed(p.name);'
    assert len(schema_of(Doors(rules))["properties"]) == len(SCHEMA["properties"]) + MAX_NAMES


def test_it_is_decided_on_an_image_of_ones_own() -> None:
    rules = 'forbid(s: Subject, "read", p: Property) if s.authenticated and p.name = "os_distro" and {};'
    own = rules.format("p.image.owner = s.tenant")
    others = rules.format("not p.image.owner = s.tenant")
    shown = rules.format('not p.image.visibility = "private"')
    assert "os_distro" not in schema_of(Doors(own))["properties"]
    assert "os_distro" in schema_of(Doors(others))["properties"]
    assert "os_distro" in schema_of(Doors(shown))["properties"]


def test_the_shipped_rules_say_which_properties_are_magic() -> None:
    shipped = Policy.load()
    assert {"kernel_id", "ramdisk_id", "instance_uuid"} <= read_only(schema_of(Doors(shipped)))
    assert read_only(schema_of(Doors(shipped))).isdisjoint({"os_distro", "name", "owner", "tags"})
    assert read_only(schema_of(Doors(shipped), headers=ADMIN)) == {"size"}
    assert read_only(schema_of(Doors(shipped), headers=SERVICE)) == {"size"}


def test_a_reader_can_write_nothing() -> None:
    schema = schema_of(Doors(Policy.load()), headers={"X-Roles": "reader"})
    assert {"kernel_id", "os_distro"} <= read_only(schema)


def test_fetching_a_schema_is_not_logged_and_carries_the_revision() -> None:
    doors = Doors("")
    assert doors.ask("GET", "/v2/schemas/image").headers["X-Policy-Revision"] == "r1"
    assert doors.log == []


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="no-properties"),
        pytest.param({"properties": {"a": 5}}, id="a-property-that-is-no-object"),
        pytest.param({"properties": {"images": {}}}, id="a-list-of-nothing"),
        pytest.param([], id="an-array"),
    ],
)
def test_a_schema_that_cannot_be_read_is_not_shown(document: Any) -> None:
    doors = Doors("")
    doors.api._respond = lambda request: Response(json.dumps(document).encode())  # type: ignore[method-assign]
    assert doors.ask("GET", "/v2/schemas/image").status_int == 502


def test_other_schemas_pass_as_they_are() -> None:
    closed = Doors("forbid(_s: Subject, _a, _r);")
    before = copy.deepcopy(SCHEMA)
    assert closed.ask("GET", "/v2/schemas/member").status_int == 200
    assert closed.ask("GET", "/v2/schemas/image").json["properties"].keys() == {
        name for name, entry in SCHEMA["properties"].items() if entry.get("is_base", True)
    }
    assert before == SCHEMA
