"""JSON is read strictly: what two parsers could read in two ways is refused with a reason."""

from __future__ import annotations

import pytest

from protect.errors import MalformedRequest
from protect.glance import json_bodies


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
