"""Image documents read as facts, and what a create request may propose."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from protect.errors import MalformedRequest
from protect.glance import attributes, patches
from protect.glance.documents import (
    StoredImage,
    UnexpectedDocument,
    cut,
    proposed_image,
    read_document,
    read_list,
    read_members,
)
from protect.values import Image
from tests.image_api import image

UUID = "abcdef01-2345-4678-9abc-def012345678"
FACTS = sorted(Image.__dataclass_fields__)


def test_a_document_is_read_like_an_image() -> None:
    document = image(1, tags=["a", "b"], os_hidden=True, visibility="shared", secret="s", other=None)
    stored = StoredImage(document, lambda _: {"t2": "accepted"})
    expected = Image(
        id=document["id"],
        owner="t1",
        visibility="shared",
        status="active",
        name="image 1",
        disk_format="raw",
        container_format="bare",
        hidden=True,
        size=10,
        min_disk=0,
        min_ram=0,
        tags=frozenset({"a", "b"}),
        members={"t2": "accepted"},
        properties={"secret": "s", "other": None},
    )
    assert {name: getattr(stored, name) for name in FACTS} == {name: getattr(expected, name) for name in FACTS}
    assert stored.kind == "Image"


def test_what_a_document_lacks_reads_as_an_image_without_it() -> None:
    stored, empty = StoredImage({}), Image()
    assert {name: getattr(stored, name) for name in FACTS} == {name: getattr(empty, name) for name in FACTS}


def test_only_shared_images_ask_for_members() -> None:
    def never(document: object) -> dict[str, str]:
        raise AssertionError("asked")

    assert StoredImage(image(1), never).members == {}


@pytest.mark.parametrize(
    ("key", "value", "fact"),
    [
        pytest.param("owner", 1, "owner", id="an-owner-that-is-a-number"),
        pytest.param("visibility", ["public"], "visibility", id="visibility-in-an-array"),
        pytest.param("protected", "true", "protected", id="protected-as-text"),
        pytest.param("os_hidden", 1, "hidden", id="hidden-as-a-number"),
        pytest.param("size", True, "size", id="size-true"),
        pytest.param("min_ram", "5", "min_ram", id="a-number-as-text"),
        pytest.param("tags", "a", "tags", id="tags-as-text"),
        pytest.param("tags", [1], "tags", id="a-tag-that-is-a-number"),
    ],
)
def test_a_fact_of_the_wrong_type_is_an_error_and_not_absent(key: str, value: object, fact: str) -> None:
    with pytest.raises(UnexpectedDocument):
        getattr(StoredImage({key: value}), fact)


@pytest.mark.parametrize("name", sorted(attributes.CORE))
def test_a_core_attribute_is_never_a_property(name: str) -> None:
    assert StoredImage({name: "x"}).properties == {}


@pytest.mark.parametrize("name", ["Owner", "location", "os_glance_x", "image_id", "", "hidden", " name"])
def test_any_other_name_is_a_property(name: str) -> None:
    assert StoredImage({name: "x"}).properties == {name: "x"}


@pytest.mark.parametrize(
    ("read", "body"),
    [
        pytest.param(read_document, b"", id="nothing"),
        pytest.param(read_document, b"<html>", id="html"),
        pytest.param(read_document, b"[]", id="an-array"),
        pytest.param(read_document, b"{}", id="no-id"),
        pytest.param(read_document, b'{"id": 5}', id="an-id-that-is-a-number"),
        pytest.param(read_list, b"{}", id="no-images"),
        pytest.param(read_list, b'{"images": {}}', id="images-that-are-an-object"),
        pytest.param(read_list, b'{"images": [{"id": "x"}, 5]}', id="an-image-that-is-a-number"),
        pytest.param(read_list, b'{"images": [{"name": "x"}]}', id="an-image-without-an-id"),
        pytest.param(read_members, b'{"members": [{"member_id": "x"}]}', id="a-member-without-a-status"),
        pytest.param(read_members, b'{"members": null}', id="no-members"),
    ],
)
def test_an_unexpected_answer_is_an_error(read: Callable[[bytes], object], body: bytes) -> None:
    with pytest.raises(UnexpectedDocument):
        read(body)


def test_the_document_of_another_image_is_an_error() -> None:
    assert read_document(b'{"id": "a"}', "a") == {"id": "a"}
    with pytest.raises(UnexpectedDocument):
        read_document(b'{"id": "A"}', "a")


def test_what_is_hidden_is_cut_out() -> None:
    document = image(1, a="1", b="2", direct_url="file:///x", locations=[])
    assert cut(document, {"a"}, locations=False)
    assert document == image(1, b="2")
    assert not cut(document, set(), locations=True)


def test_a_proposed_image_has_the_values_that_the_api_will_give_it() -> None:
    body = {"name": "n", "min_disk": 5, "tags": ["x"], "secret": "s"}
    assert proposed_image(body, "t1") == Image(
        owner="t1",
        visibility="shared",
        status="queued",
        name="n",
        min_disk=5,
        min_ram=0,
        tags=frozenset({"x"}),
        properties={"secret": "s"},
    )


@pytest.mark.parametrize(("owner", "expected"), [("t2", "t2"), (None, None)])
def test_an_owner_in_the_body_is_the_owner(owner: Any, expected: Any) -> None:
    assert proposed_image({"owner": owner}, "t1").owner == expected


@pytest.mark.parametrize(
    ("name", "value", "status", "message"),
    [
        pytest.param("name", 5, 400, "the attribute `name` must be text or null, not a number", id="name"),
        pytest.param("visibility", None, 400, "the attribute `visibility` must be text, not null", id="visibility"),
        pytest.param("protected", "yes", 400, "the attribute `protected` must be true or false, not text", id="flag"),
        pytest.param(
            "min_ram", True, 400, "the attribute `min_ram` must be a whole number, not true or false", id="num"
        ),
        pytest.param("min_ram", 1.5, 400, "the attribute `min_ram` must be a whole number, not a number", id="float"),
        pytest.param("tags", "x", 400, "the attribute `tags` must be an array, not text", id="tags"),
        pytest.param("tags", [1], 400, "the attribute `tags` must be an array of text", id="tags-of-numbers"),
        *(
            pytest.param("id", value, 400, "the attribute `id` must be a UUID in lower case", id=f"an-id-{how}")
            for how, value in {
                "that-is-none": "abc",
                "in-upper-case": UUID.upper(),
                "with-a-line-break": UUID + "\n",
                "with-a-space": " " + UUID,
                "in-braces": "{" + UUID + "}",
                "without-dashes": UUID.replace("-", ""),
                "with-another-digit": UUID[:-1] + "\uff11",
                "that-is-a-number": 5,
                "that-is-null": None,
            }.items()
        ),
        pytest.param("x", [], 400, "the property `x` must be text, not an array", id="a-property-that-is-an-array"),
        pytest.param("x", {}, 400, "the property `x` must be text, not an object", id="a-property-that-is-an-object"),
        pytest.param("x" * 256, "", 400, "a property has a name of more than 255 characters", id="a-long-name"),
        pytest.param("stores", "s", 403, "Attribute 'stores' is read-only.", id="stores"),
        pytest.param("status", "active", 403, "Attribute 'status' is read-only.", id="status"),
        pytest.param("os_hash_value", "0", 403, "Attribute 'os_hash_value' is read-only.", id="hash"),
        pytest.param("direct_url", "x", 403, "Attribute 'direct_url' is read-only.", id="direct-url"),
        pytest.param("location", "file:///", 403, "Attribute 'location' is reserved.", id="location"),
        pytest.param("os_glance_x", "", 403, "Attribute 'os_glance_x' is reserved.", id="the-apis-own-names"),
    ],
)
def test_what_nobody_may_propose_is_refused(name: str, value: object, status: int, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        proposed_image({name: value}, "t1")
    assert (caught.value.status, str(caught.value)) == (status, message)


def test_an_id_is_one_that_can_be_asked_for() -> None:
    assert proposed_image({"id": UUID}, "t1").id == UUID


def many(count: int, **more: Any) -> dict[str, Any]:
    return {f"p{number}": "" for number in range(count)} | more


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        pytest.param(many(512), False, id="properties"),
        pytest.param(many(513), True, id="one-property-more"),
        pytest.param({"tags": ["t"] * 512}, False, id="tags"),
        pytest.param({"tags": ["t"] * 513}, True, id="one-tag-more"),
        pytest.param({"locations": [{}] * 513}, True, id="one-location-more"),
        pytest.param(many(256, tags=["t"] * 256), False, id="both"),
        pytest.param(many(256, tags=["t"] * 257), True, id="one-more-of-both"),
    ],
)
def test_one_request_writes_no_more_than_can_be_decided_on(body: dict[str, Any], refused: bool) -> None:
    operations = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in body.items()]
    if not refused:
        proposed_image(body, "t1")
        return
    with pytest.raises(MalformedRequest) as caught:
        proposed_image(body, "t1")
    assert caught.value.status == 413
    assert str(caught.value) == "a request may write at most 512 properties, tags and locations"
    if len(operations) <= patches.MAX_OPERATIONS:
        with pytest.raises(MalformedRequest) as caught:
            patches.read(json.dumps(operations).encode(), patches.V21)
        assert caught.value.status == 413


@pytest.mark.parametrize("name", ["x" * 255, "", "my_os_glance_x", "Status", "a/~ é"])
def test_its_neighbours_are_properties(name: str) -> None:
    assert proposed_image({name: "v"}, "t1").properties == {name: "v"}


def test_the_list_keeps_its_links() -> None:
    page = {"images": [image(1)], "first": "/v2/images", "next": "/v2/images?marker=x"}
    assert read_list(json.dumps(page).encode()) == (page, page["images"])
