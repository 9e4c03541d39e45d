"""Patches: both media types, pointers as the API reads them, and one spelling on the way out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protect.errors import MalformedRequest
from protect.glance.patches import V20, V21, Change, Op, UnsupportedMediaType, media_type, pointed, pointer, read, write


def v21(*operations: Any) -> tuple[Change, ...]:
    return read(json.dumps(operations).encode(), V21)


def v20(*operations: Any) -> tuple[Change, ...]:
    return read(json.dumps(operations).encode(), V20)


def test_a_patch_of_the_newer_type() -> None:
    assert v21(
        {"op": "add", "path": "/a", "value": "1"},
        {"op": "replace", "path": "/name", "value": None},
        {"op": "remove", "path": "/b", "value": "ignored"},
        {"op": "add", "path": "/locations/-", "value": {"url": "u", "metadata": {}}},
    ) == (
        Change(Op.ADD, "a", "1"),
        Change(Op.REPLACE, "name"),
        Change(Op.REMOVE, "b"),
        Change(Op.ADD, "locations", {"url": "u", "metadata": {}}, "-"),
    )


def test_a_patch_of_the_older_type() -> None:
    assert v20({"add": "/a", "value": "1"}, {"remove": "/b"}) == (Change(Op.ADD, "a", "1"), Change(Op.REMOVE, "b"))


@pytest.mark.parametrize("media", [V20, V21])
def test_what_is_written_reads_as_the_same(media: str) -> None:
    changes = (
        Change(Op.ADD, "a/~1 ~0é", "v"),
        Change(Op.REMOVE, ""),
        Change(Op.REPLACE, "name", "n"),
        Change(Op.REMOVE, "locations", position="0"),
    )
    assert read(write(changes, media), media) == changes


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        pytest.param("/p", ("p",), id="plain"),
        pytest.param("//p", ("p",), id="two-slashes-first"),
        pytest.param("/ p", ("p",), id="a-space-before"),
        pytest.param("/p ", ("p",), id="a-space-after"),
        pytest.param("/\u00a0p", ("p",), id="a-no-break-space"),
        pytest.param("/~0", ("~",), id="a-tilde"),
        pytest.param("/~1", ("/",), id="a-slash"),
        pytest.param("/~01", ("~1",), id="a-tilde-and-a-1"),
        pytest.param("/", ("",), id="the-property-with-the-empty-name"),
        pytest.param("/locations/0", ("locations", "0"), id="two-parts"),
    ],
)
def test_pointers_are_read_as_the_api_reads_them(path: str, parts: tuple[str, ...]) -> None:
    assert pointed(path) == parts


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("p", "the path `p` does not start with a slash", id="no-slash"),
        pytest.param("/a//b", "the path `/a//b` has two slashes in a row", id="two-slashes"),
        pytest.param("/a/ /b", "the path `/a/ /b` has two slashes in a row", id="nothing-but-space"),
        pytest.param("/p/", "the path `/p/` ends with a slash", id="a-slash-at-the-end"),
        pytest.param("/a~2", "the path `/a~2` has a `~` that is neither `~0` nor `~1`", id="no-escape"),
        pytest.param("/a~", "the path `/a~` has a `~` that is neither `~0` nor `~1`", id="a-tilde-at-the-end"),
        pytest.param("/a/b", "the path `/a/b` does not lead to an attribute of an image", id="too-deep"),
        pytest.param("/tags/-", "the path `/tags/-` does not lead to an attribute of an image", id="one-tag"),
        pytest.param("/locations", "the path `/locations` does not lead to an attribute of an image", id="locations"),
        pytest.param("/locations/x", "the position of a location must be a number or `-`", id="a-location-by-name"),
        pytest.param(5, "the path of an operation must be text, not a number", id="a-number"),
        pytest.param(None, "the path of an operation must be text, not null", id="null"),
        pytest.param(["/p"], "the path of an operation must be text, not an array", id="an-array"),
    ],
)
def test_other_pointers_are_refused(path: Any, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        v21({"op": "add", "path": path, "value": "x"})
    assert (caught.value.status, str(caught.value)) == (400, message)


def as_the_api_reads(path: str) -> list[str] | None:
    """What the API makes of a pointer, None where it refuses it. Written from its behaviour, apart from our reader."""
    if not path.startswith("/") or re.search(r"/\s*?/", path[1:]) or (len(path) > 1 and path.endswith("/")):
        return None
    if path[1:].strip() == "/" or re.search("~[^01]", path) or path.endswith("~"):
        return None
    return [part.replace("~1", "/").replace("~0", "~").strip() for part in path.lstrip("/").split("/")]


@given(st.text(alphabet="/~01 a\u00a0\u2028\x1fé\n", max_size=12))
def test_we_never_read_a_pointer_otherwise_than_the_api(path: str) -> None:
    try:
        parts: list[str] | None = list(pointed(path))
    except MalformedRequest:
        parts = None
    assert parts is None or parts == as_the_api_reads(path)


@given(st.text(alphabet="/~01 a\u00a0é", max_size=12))
def test_the_pointer_we_write_means_the_name_we_decided_on(name: str) -> None:
    written = as_the_api_reads(pointer(name.strip()))
    assert written in (None, [name.strip()])


@pytest.mark.parametrize(
    ("operation", "status", "message"),
    [
        pytest.param(5, 400, "an operation must be a JSON object, not a number", id="no-object"),
        pytest.param({"path": "/a"}, 400, "the `op` of an operation must be one of: add, replace, remove", id="no-op"),
        pytest.param(
            {"op": "ADD", "path": "/a"}, 400, "the `op` of an operation must be one of: add, replace, remove", id="ADD"
        ),
        pytest.param(
            {"op": "test", "path": "/a"},
            400,
            "the `op` of an operation must be one of: add, replace, remove",
            id="test",
        ),
        pytest.param({"op": "remove"}, 400, "the operation `remove` needs a `path`", id="no-path"),
        pytest.param({"op": "add", "path": "/a"}, 400, "the operation `add` needs a `value`", id="no-value"),
        pytest.param(
            {"op": "add", "path": "/a", "value": {}},
            400,
            "the property `a` must be text, not an object",
            id="an-object",
        ),
        pytest.param(
            {"op": "replace", "path": "/visibility", "value": ["public"]},
            400,
            "the attribute `visibility` must be text, not an array",
            id="visibility-in-an-array",
        ),
        pytest.param({"op": "add", "path": "/id", "value": "x"}, 403, "Attribute 'id' is read-only.", id="id"),
        pytest.param({"op": "add", "path": "/ id", "value": "x"}, 403, "Attribute 'id' is read-only.", id="space-id"),
        pytest.param(
            {"op": "add", "path": "/stores", "value": "x"}, 403, "Attribute 'stores' is read-only.", id="stores"
        ),
        pytest.param({"op": "remove", "path": "/deleted"}, 403, "Attribute 'deleted' is reserved.", id="deleted"),
        pytest.param(
            {"op": "add", "path": "/os_glance_x", "value": ""},
            403,
            "Attribute 'os_glance_x' is reserved.",
            id="os-glance",
        ),
        pytest.param(
            {"op": "replace", "path": "/image_id", "value": "x"},
            403,
            "Attribute 'image_id' is reserved.",
            id="image_id",
        ),
        pytest.param(
            {"op": "add", "path": "/extra_properties", "value": "x"},
            403,
            "Attribute 'extra_properties' is reserved.",
            id="extra_properties",
        ),
        pytest.param(
            {"op": "add", "path": "/__class__", "value": "x"}, 403, "Attribute '__class__' is reserved.", id="__class__"
        ),
        pytest.param({"op": "remove", "path": "/name"}, 403, "Property name may not be removed.", id="remove-the-name"),
        pytest.param(
            {"op": "replace", "path": "/locations", "value": []},
            403,
            "Cannot set locations to empty list.",
            id="no-locations",
        ),
        pytest.param(
            {"op": "add", "path": "/" + "x" * 256, "value": ""},
            400,
            "a property has a name of more than 255 characters",
            id="a-long-name",
        ),
    ],
)
def test_an_operation_that_nobody_may_do_is_refused(operation: Any, status: int, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        v21({"op": "add", "path": "/fine", "value": "x"}, operation)
    assert (caught.value.status, str(caught.value)) == (status, message)


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"add": "/a", "remove": "/a", "value": "x"}, id="two-keys"),
        pytest.param({"value": "x"}, id="no-key"),
        pytest.param({"op": "add", "path": "/a", "value": "x"}, id="the-newer-form"),
    ],
)
def test_the_older_type_has_exactly_one_operator(operation: Any) -> None:
    with pytest.raises(MalformedRequest) as caught:
        v20(operation)
    assert str(caught.value) == "an operation must have exactly one key out of: add, replace, remove"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"{}", "the body must be a JSON array of operations, not an object", id="an-object"),
        pytest.param(b"[]", "the patch has no operation; send at least one", id="empty"),
        pytest.param(json.dumps([{}] * 257).encode(), "the patch has more than 256 operations", id="too-many"),
    ],
)
def test_a_body_that_is_no_patch_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        read(body, V21)
    assert str(caught.value) == message


@pytest.mark.parametrize("content_type", [V21, f"{V21}; charset=utf-8", f"{V21} ;x=y"])
def test_a_media_type_may_have_parameters(content_type: str) -> None:
    assert media_type(content_type) == V21


@pytest.mark.parametrize("content_type", ["", "application/json", V21.upper(), f"x; {V21}", V21 + "+json"])
def test_another_media_type_is_not_supported(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        media_type(content_type)
