"""What Glance answers to a write of a protected property, and that ours answers the same where it is right.

The columns are six properties that differ in what the image's owner may do with them: nothing (S), create
only (W), read only (R), update without reading (U), everything (O), and one that is absent and that no rule
names (X). Every row is tried twice: on a Glance with its own property protection, which proves the table, and
on a Glance without any behind our filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import Glance, Reply

OWNER = "olivia:t1:member,reader"
ADMIN = "ada:ops:admin,member,reader"

NAMES = {"S": "secret", "W": "written_once", "R": "readable", "U": "unseen", "O": "open", "X": "unnamed"}
RIGHTS = {
    "S": (),
    "W": ("create",),
    "R": ("read",),
    "U": ("update",),
    "O": ("create", "read", "update", "delete"),
}
ACTIONS = ("create", "read", "update", "delete")

NATIVE = "\n".join(
    f"[^{NAMES[column]}$]\n"
    + "\n".join(f"{action} = admin{',member' if action in rights else ''}" for action in ACTIONS)
    for column, rights in RIGHTS.items()
)

POLICY = """\
allow(_subject: Subject, _action, _image: Image);

allow(subject: Subject, action, property: Property) if
    known(property.name) and subject.has_role("admin") and action in ["create", "read", "update", "delete"];
allow(subject: Subject, action, property: Property) if
    granted(property.name, action) and subject.has_role("member");
""" + "\n".join(
    f'known("{NAMES[column]}");\n' + "".join(f'granted("{NAMES[column]}", "{action}");\n' for action in rights)
    for column, rights in RIGHTS.items()
)


# The status of each cell. `500>403`: Glance answers 500, we mean to answer 403. `-`: there is no such case.
#
# Those differ only where a property may be created but not read. There Glance adds it and then fails to show
# the saved image; and where it exists already, Glance asks `create` instead of `update` and overwrites it.
TABLE = """
request                               S    W        R    U    O    X
create an image with it               403  201      403  403  201  403
add it where it exists                403  500>403  403  403  200  -
add it where it is absent             403  500>200  403  403  200  403
add it, draft 4, where it exists      403  500>403  409  403  409  -
add it, draft 4, where it is absent   403  500>200  403  403  200  403
replace it where it exists            409  409      403  409  200  -
replace it by what it is              409  409      403  409  200  -
replace it where it is absent         409  409      409  409  409  409
remove it where it exists             409  409      403  409  200  -
remove it where it is absent          409  409      409  409  409  409
"""


@dataclass(frozen=True)
class Cell:
    request: str
    column: str
    native: int
    ours: int

    def __str__(self) -> str:
        return f"{self.request}: {self.column}"


def read_table() -> Iterator[Cell]:
    header, *rows = (re.split("  +", line) for line in TABLE.strip().splitlines())
    for request, *codes in rows:
        for column, code in zip(header[1:], codes, strict=True):
            if code != "-":
                native, _, ours = code.partition(">")
                yield Cell(request, column, int(native), int(ours or native))


CELLS = list(read_table())

DRAFT_4 = {"Content-Type": "application/openstack-images-v2.0-json-patch"}


@pytest.fixture(scope="module")
def native(start_glance: StartGlance) -> Glance:
    return start_glance(native=NATIVE)


@pytest.fixture(scope="module")
def ours(start_glance: StartGlance, tmp_path_factory: pytest.TempPathFactory) -> Glance:
    policy = tmp_path_factory.mktemp("policy") / "rights.polar"
    policy.write_text(POLICY)
    return start_glance(protect={"policy": str(policy)})


def present(request: str) -> bool:
    return not request.endswith("absent") and not request.startswith("create")


def make_image(glance: Glance, *, without: str = "") -> str:
    """An image of the owner's tenant with every named property, but for ``without``."""
    names = {name: "old" for column, name in NAMES.items() if column != "X" and name != without}
    return glance.create(ADMIN, owner="t1", visibility="private", **names)


def send(glance: Glance, request: str, image: str, name: str) -> Reply:
    if request.startswith("create"):
        return glance.call("POST", "/v2/images", OWNER, {"name": "new", name: "new"})
    path = f"/v2/images/{image}"
    operation, value = request.split()[0], "old" if "what it is" in request else "new"
    if "draft 4" in request:
        return glance.call("PATCH", path, OWNER, [{operation: f"/{name}", "value": value}], DRAFT_4)
    change = {"op": operation, "path": f"/{name}"}
    return glance.patch(OWNER, image, change if operation == "remove" else change | {"value": value})


def visible(image: Mapping[str, Any]) -> dict[str, Any]:
    return {column: image[name] for column, name in NAMES.items() if name in image}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_table_is_glance_s(native: Glance, cell: Cell) -> None:
    name = NAMES[cell.column]
    image = make_image(native, without="" if present(cell.request) else name)

    reply = send(native, cell.request, image, name)

    assert reply.status == cell.native, str(reply)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_ours(ours: Glance, cell: Cell) -> None:
    name = NAMES[cell.column]
    image = make_image(ours, without="" if present(cell.request) else name)
    before = ours.show(ADMIN, image)

    reply = send(ours, cell.request, image, name)

    assert reply.status == cell.ours, str(reply)
    if cell.request.startswith("create"):
        assert_created(ours, reply, name)
    elif reply.status == 200:
        assert_changed(before, ours.show(ADMIN, image), name, value_after(cell.request))
        assert visible(reply.json).keys() <= {"R", "O"}
    else:
        assert ours.show(ADMIN, image) == before
        assert b"old" not in reply.body


def value_after(request: str) -> str | None:
    if request.startswith("remove"):
        return None
    return "old" if "what it is" in request else "new"


def assert_changed(before: Mapping[str, Any], after: Mapping[str, Any], name: str, value: str | None) -> None:
    """One property has changed and nothing else is lost, not even what the author of the write cannot see."""
    ignored = {name, "updated_at"}

    assert after.get(name) == value
    assert {key: before[key] for key in before.keys() - ignored} == {key: after[key] for key in after.keys() - ignored}


def assert_created(glance: Glance, reply: Reply, name: str) -> None:
    images = glance.call("GET", "/v2/images?name=new&limit=100", ADMIN).json["images"]
    if reply.status != 201:
        assert not [image for image in images if name in image]
        return
    assert visible(reply.json).keys() <= {"R", "O"}
    assert glance.show(ADMIN, reply.json["id"])[name] == "new"


@pytest.mark.parametrize("server", ["native", "ours"])
def test_only_what_may_be_read_is_shown(server: str, request: pytest.FixtureRequest) -> None:
    glance: Glance = request.getfixturevalue(server)
    image = make_image(glance)
    everything = dict.fromkeys("SWRUO", "old")
    allowed = {"R": "old", "O": "old"}

    listed = {
        token: next(each for each in glance.call("GET", "/v2/images", token).json["images"] if each["id"] == image)
        for token in (OWNER, ADMIN)
    }

    assert visible(glance.show(OWNER, image)) == visible(listed[OWNER]) == allowed
    assert visible(glance.show(ADMIN, image)) == visible(listed[ADMIN]) == everything


def test_a_write_keeps_what_its_author_cannot_see(ours: Glance) -> None:
    image = make_image(ours)

    assert ours.patch(OWNER, image, {"op": "replace", "path": "/name", "value": "renamed"}).status == 200
    assert ours.call("PUT", f"/v2/images/{image}/tags/t", OWNER).status == 204

    assert visible(ours.show(ADMIN, image)) == dict.fromkeys("SWRUO", "old")


def test_glance_alone_loses_what_the_author_of_a_write_cannot_see(native: Glance) -> None:
    image = make_image(native)

    assert native.patch(OWNER, image, {"op": "replace", "path": "/name", "value": "renamed"}).status == 200

    assert visible(native.show(ADMIN, image)) == {"R": "old", "O": "old"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("open=old", True, id="a property that may be read"),
        pytest.param("secret=old", False, id="a hidden value that is equal"),
        pytest.param("secret=other", False, id="a hidden value that is not"),
        pytest.param("unseen=old", False, id="one that may be updated but not read"),
    ],
)
def test_a_filter_on_a_hidden_property_finds_nothing(ours: Glance, query: str, found: bool) -> None:
    image = make_image(ours)

    reply = ours.call("GET", f"/v2/images?limit=1000&{query}", OWNER)

    assert reply.status == 200
    assert (image in [each["id"] for each in reply.json["images"]]) is found


def test_one_refused_change_of_several_changes_nothing(ours: Glance) -> None:
    image = make_image(ours)
    before = ours.show(ADMIN, image)
    rename = {"op": "replace", "path": "/name", "value": "renamed"}

    reply = ours.patch(OWNER, image, rename, {"op": "replace", "path": "/readable", "value": "new"})

    assert reply.status == 403
    assert ours.show(ADMIN, image) == before
    assert ours.patch(OWNER, image, rename, {"op": "replace", "path": "/open", "value": "new"}).status == 200
