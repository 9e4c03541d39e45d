"""JSON is read strictly: what two parsers could read in two ways is refused with a reason."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, strategies

from protect import json_bodies
from protect.errors import MalformedRequest


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"a": "b"}', {"a": "b"}, id="an-object"),
        pytest.param(b'{"\\u0073ecret": 1}', {"secret": 1}, id="an-escaped-key-is-its-character"),
        pytest.param('{"é": "😀"}'.encode(), {"é": "😀"}, id="utf-8"),
        pytest.param(b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}, id="a-surrogate-pair"),
        pytest.param(b"[" * 16 + b"1" + b"]" * 16, [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]], id="just-not-too-deep"),
        pytest.param(b'{"n": 18446744073709551615}', {"n": 2**64 - 1}, id="a-long-number"),
    ],
)
def test_json_is_read(body: bytes, value: object) -> None:
    assert json_bodies.parse(body) == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "a JSON body is expected in this request", id="empty"),
        pytest.param(b" \n", "a JSON body is expected in this request", id="white-space"),
        pytest.param(b'{"a": ', "the body is not JSON: expecting value at line 1, column 7", id="cut-short"),
        pytest.param(b'{"a": 1} x', "the body is not JSON: extra data at line 1, column 10", id="something-after"),
        pytest.param(b'{"a": 1, "a": 2}', "the body has the key `a` twice in one object", id="the-same-key-twice"),
        pytest.param(
            b'{"a": 1, "\\u0061": 2}', "the body has the key `a` twice in one object", id="the-same-key-escaped"
        ),
        pytest.param(b'{"x": {"a\\n": 1, "a\\n": 2}}', "the body has the key `a\\n` twice in one object", id="inside"),
        pytest.param(b'{"a": NaN}', "the body has `NaN`, which is not JSON", id="nan"),
        pytest.param(b'{"a": -Infinity}', "the body has `-Infinity`, which is not JSON", id="infinity"),
        pytest.param(b'{"a": 1e999}', "the body has a number that is too large", id="a-number-that-becomes-infinity"),
        pytest.param(b'{"a": ' + b"1" * 5000 + b"}", "the body has a number of more than 20 digits", id="many-digits"),
        pytest.param(b'{"a": "\xff"}', "the body is not UTF-8 at byte 7", id="not-utf-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), "the body is not UTF-8 at byte 0", id="utf-16"),
        pytest.param(
            b"\xef\xbb\xbf{}", "the body starts with a byte order mark; send plain UTF-8", id="a-byte-order-mark"
        ),
        pytest.param(
            b'{"a": "\\ud800"}', "the body has an unpaired surrogate escape such as `\\ud800`", id="half-a-surrogate"
        ),
        pytest.param(b"[" * 17 + b"]" * 17, "the body is nested more than 16 levels deep", id="too-deep-and-empty"),
        pytest.param(b"[" * 17 + b"1" + b"]" * 17, "the body is nested more than 16 levels deep", id="too-deep"),
        pytest.param(b"[" * 200_000, "the body is nested more than 16 levels deep", id="far-too-deep"),
        pytest.param(b'{"a":' * 200_000, "the body is nested more than 16 levels deep", id="far-too-deep-objects"),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        json_bodies.parse(body)
    assert caught.value.status == 400
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("body", "named"), [(b"[]", "an array"), (b'"x"', "text"), (b"null", "null"), (b"1", "a number")]
)
def test_an_object_is_expected(body: bytes, named: str) -> None:
    with pytest.raises(MalformedRequest, match=f"^the body must be a JSON object, not {named}$"):
        json_bodies.parse_object(body)


def test_a_duplicate_key_is_named_without_control_characters() -> None:
    with pytest.raises(MalformedRequest) as caught:
        json_bodies.parse(b'{"a\\u0007": 1, "a\\u0007": 2}')
    assert "\x07" not in str(caught.value)


def test_what_is_written_reads_as_the_same() -> None:
    value = {"é\n\u2028": ['"', 2**64 - 1, 1.5, None, True]}
    assert json_bodies.parse(json_bodies.dump(value)) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"a": 1, "b": {"a": 1}}', {"a": 1, "b": {"a": 1}}, id="one-key-in-two-objects"),
        pytest.param(b'{"a": "\\"a\\": 1"}', {"a": '"a": 1'}, id="a-text-that-looks-like-a-key"),
        pytest.param(b"[" * 254 + b"]" * 254, None, id="just-not-too-deep"),
    ],
)
def test_what_only_we_read_may_be_deep(body: bytes, value: object) -> None:
    read = json_bodies.parse_deep(body)
    assert value is None or read == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b'{"a": 1, "a": 1}', "the body has the key `a` twice in one object", id="equal-keys"),
        pytest.param(b'{"a": 1, "\\u0061": 1}', "the body has the key `a` twice in one object", id="an-escaped-key"),
        pytest.param(b'{"a": {"b": "", "b": ""}}', "the body has the key `b` twice in one object", id="further-in"),
        pytest.param(b'{"": "", "": ""}', "the body has the key `` twice in one object", id="empty-keys"),
        pytest.param(b"[" * 255 + b"]" * 255, "the body is nested more than 254 levels deep", id="too-deep"),
        pytest.param(b"[" * 90000 + b"]" * 90000, "the body is nested more than 16 levels deep", id="far-too-deep"),
        pytest.param(b"", "a JSON body is expected in this request", id="empty"),
        pytest.param(b"{} {}", "the body is not JSON: extra data at line 1, column 4", id="two-values"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', "the body starts with a byte order mark; send plain UTF-8", id="a-mark"),
    ],
)
def test_what_only_we_read_is_read_as_strictly(body: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest, match=re.escape(message)):
        json_bodies.parse_deep(body)


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers(-(2**53), 2**53) | strategies.text(),
        lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
        max_leaves=20,
    ),
    strategies.booleans(),
)
def test_the_fast_way_reads_what_the_slow_one_reads(value: object, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        slow = json_bodies._parse_slowly(body)
    except MalformedRequest as error:
        with pytest.raises(MalformedRequest, match=re.escape(str(error))):
            json_bodies.parse(body)
    else:
        assert json_bodies.parse(body) == json_bodies.parse_deep(body) == slow == value


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        pytest.param(rb'{"a": "\"", "b\\": "\\\""}', False, id="quotes that are escaped are no quotes"),
        pytest.param(rb'{"a": "\"", "a": "\\"}', True, id="and they hide no key that is there twice"),
        pytest.param(rb'{"a\\": 1, "a\\": 2}', True, id="nor does a key that ends in a backslash"),
        pytest.param(rb'{"a": 1, "\u0061": 2}', True, id="nor one that is spelt in another way"),
        pytest.param(rb'{"a": 1, "\u0022": 2}', False, id="an escaped quote is another key"),
    ],
)
def test_a_key_is_said_once_however_it_is_spelt(body: bytes, twice: bool) -> None:
    for parse in (json_bodies.parse, json_bodies.parse_deep):
        if twice:
            with pytest.raises(MalformedRequest, match="twice"):
                parse(body)
        else:
            assert parse(body) == json.loads(body)
