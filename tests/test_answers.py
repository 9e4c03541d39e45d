"""Answers of the API on their way through: compressed ones, errors, and what those must not tell."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from webob import Request, Response

from protect.glance.documents import UnexpectedDocument
from protect.upstream import answers
from protect.upstream.addresses import without_addresses
from protect.upstream.answers import collect, streamed
from tests.image_api import image
from tests.test_enforcement import HEADERS, V2, Bench, anyone, patch, refuse, rights

JSON = ("Content-Type", "application/json")
GZIP = ("Content-Encoding", "gzip")
SECRET = "swift+https://user:s3cret@store/container/object"


# --- Addresses ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(f"cannot read {SECRET} now", "cannot read swift+https://[removed] now", id="a-store"),
        pytest.param("at file:///var/lib/s3cret.", "at file://[removed]", id="a-file"),
        pytest.param("rbd://s3cret/pool/image/snap", "rbd://[removed]", id="the-whole-text"),
        pytest.param("x-y.z1://s3cret", "x-y.z1://[removed]", id="any-scheme"),
        pytest.param("FILE://s3cret", "FILE://[removed]", id="in-upper-case"),
        pytest.param("s3://k:s3cret/with/slashes@h s3://s3cret", "s3://[removed] s3://[removed]", id="two"),
        pytest.param("cinder://s3'cret!,;(s3cret)", "cinder://[removed]", id="signs-are-no-end"),
        pytest.param("swift://u:s3c\xa0ret@h", "swift://[removed]", id="a-space-that-is-none"),
        pytest.param("http://user:s3cret@host/x", "http://[removed]", id="a-web-address-with-a-user"),
        pytest.param("https://user:s3cret/x@host/", "https://[removed]", id="with-a-slash-in-the-password"),
        pytest.param("https://host/x?signature=s3cret", "https://[removed]", id="a-web-address-with-a-query"),
        pytest.param("https://host/x", "https://host/x", id="a-web-address"),
        pytest.param("HTTP://host:80/x.", "HTTP://host:80/x.", id="a-web-address-in-upper-case"),
        pytest.param("xhttp://s3cret", "xhttp://[removed]", id="what-ends-like-the-web"),
        pytest.param('{"m": "no \\"file:///s3cret\\" here"}', '{"m": "no \\"file://[removed]\\" here"}', id="json"),
        pytest.param('{"m": "file:\\/\\/s3cret\\/x"}', '{"m": "file:\\/\\/[removed]"}', id="json-with-escaped-slashes"),
        pytest.param("<b>file:///s3cret</b>", "<b>file://[removed]</b>", id="html"),
        pytest.param("?u=swift%3A%2F%2Fu%3As3cret%40h", "?u=swift%3A%2F%2F[removed]", id="percent-encoded"),
        pytest.param("://s3cret", "://[removed]", id="no-scheme"),
        pytest.param("a:b, c/d and e//f; 12:30", "a:b, c/d and e//f; 12:30", id="no-address"),
    ],
)
def test_only_the_scheme_of_an_address_is_shown(text: str, shown: str) -> None:
    assert without_addresses(text.encode()) == shown.encode()


def test_long_texts_take_no_long_time() -> None:
    for text in (b"a" * 200_000, b"://" * 70_000, b"http://" * 30_000, b"\\" * 200_000, b":\\/" * 70_000):
        without_addresses(text)


# --- Errors ---


def api_that_fails(body: bytes, *headers: tuple[str, str], status: str = "409 Conflict") -> Any:
    def api(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [("Content-Length", str(len(body))), *headers])
        return [body]

    return api


REQUESTS = [
    pytest.param("GET", V2, None, id="show"),
    pytest.param("GET", "/v2/images", None, id="list"),
    pytest.param("PATCH", V2, [patch("replace", "name")], id="patch"),
    pytest.param("POST", "/v2/images", {}, id="create"),
    pytest.param("GET", f"{V2}/file", None, id="download"),
    pytest.param("PUT", f"{V2}/file", b"data", id="upload"),
    pytest.param("DELETE", V2, None, id="delete"),
    pytest.param("POST", f"{V2}/members", {"member": "t2"}, id="add-member"),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
@pytest.mark.parametrize("status", ["400 Bad Request", "500 Internal Server Error"])
def test_no_error_tells_an_address(method: str, path: str, body: Any, status: str) -> None:
    text = json.dumps({"message": f"cannot use {SECRET} here", "code": status}).encode()
    for headers in ([JSON], [JSON, GZIP]):
        sent = gzip.compress(text) if GZIP in headers else text
        bench = Bench(anyone, app=api_that_fails(sent, *headers, status=status))
        response = bench.ask(method, path, body, headers={"Accept-Encoding": "gzip"})
        assert response.status == status
        assert response.json["message"] == "cannot use swift+https://[removed] here"
        assert response.content_length == len(response.body)


def test_an_error_that_refuses_a_fact_tells_no_address() -> None:
    failing = api_that_fails(f"cannot use {SECRET}".encode(), ("Content-Type", "text/plain"))
    owned = Bench(lambda query: getattr(query.resource, "owner", None) == "t1", app=failing)
    response = owned.ask("DELETE", V2)
    assert (response.status_int, response.body) == (409, b"cannot use swift+https://[removed]")


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_an_error_without_an_address_passes_as_it_is(method: str, path: str, body: Any) -> None:
    text = b"in use; see http://docs.example/409"
    bench = Bench(anyone, app=api_that_fails(text, ("Content-Type", "text/x"), ("X-Other", "x")))
    response = bench.ask(method, path, body)
    assert (response.status_int, response.body, response.content_type) == (409, text, "text/x")
    assert response.headers["X-Other"] == "x"


@pytest.mark.parametrize("path", [V2, f"{V2}/file"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(SECRET.encode() + b" " * answers.MAX_ERROR, [], id="too-long"),
        pytest.param(gzip.compress(SECRET.encode() + b" " * answers.MAX_ERROR), [GZIP], id="too-long-inside"),
        pytest.param(gzip.compress(SECRET.encode())[:-9], [GZIP], id="cut-short"),
        pytest.param(gzip.compress(b"") + SECRET.encode(), [GZIP], id="goes-on-behind-its-end"),
        pytest.param(SECRET.encode(), [GZIP], id="not-what-it-says"),
        pytest.param(SECRET.encode(), [("Content-Encoding", "br")], id="of-another-compression"),
        pytest.param(gzip.compress(gzip.compress(SECRET.encode())), [GZIP, GZIP], id="compressed-twice"),
    ],
)
def test_an_error_that_cannot_be_read_is_not_shown(path: str, body: bytes, headers: Any) -> None:
    response = Bench(anyone, app=api_that_fails(body, *headers)).ask("GET", path)
    assert (response.status_int, response.body) == (409, b"The image API gave an error that cannot be shown.")
    assert "Content-Encoding" not in response.headers


def test_the_longest_error_is_shown() -> None:
    body = b" " * answers.MAX_ERROR
    assert Bench(anyone, app=api_that_fails(body)).ask("GET", f"{V2}/file").body == body


class Chunks:
    """The chunks of an answer, which remember that they were closed; what is callable among them is called."""

    def __init__(self, *parts: Any) -> None:
        self.parts, self.closed = iter(parts), False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = next(self.parts)
        if callable(part):
            part()
            part = b""
        return bytes(part)

    def close(self) -> None:
        self.closed = True


def as_it_is(answer: answers.Answer) -> answers.Answer:
    return answer


def answered(app: Any) -> tuple[str, bytes]:
    through = streamed(app, [("X-Ours", "1")], as_it_is)
    status, headers, chunks, _ = Request.blank("/").call_application(through, catch_exc_info=True)
    assert ("X-Ours", "1") in headers
    body = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    return status, body


@pytest.mark.parametrize("late", [False, True], ids=["at-once", "with-the-first-chunk"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param("200 OK", SECRET.encode(), id="data-pass"),
        pytest.param("500 Broken", b"swift+https://[removed]", id="errors-are-read"),
    ],
)
def test_an_answer_may_start_whenever_wsgi_lets_it(late: bool, status: str, expected: bytes) -> None:
    made: list[Chunks] = []

    def app(_: Any, start_response: Any) -> Chunks:
        def start() -> None:
            start_response(status, [("Content-Type", "text/plain")])

        if not late:
            start()
        middle = len(SECRET) // 2
        parts = (SECRET[:middle].encode(), SECRET[middle:].encode())
        made.append(Chunks(start, *parts) if late else Chunks(*parts))
        return made[0]

    assert answered(app) == (status, expected)
    assert made[0].closed


def test_an_error_may_be_written_or_come_instead_of_a_success() -> None:
    def writes(_: Any, start_response: Any) -> list[bytes]:
        start_response("500 Broken", [])(b"at file:///s3")
        return [b"cret"]

    def changes_its_mind(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError as error:
            start_response("500 Broken", [], (ValueError, error, None))
        return [b"at file:///s3cret"]

    for app in (writes, changes_its_mind):
        assert answered(app) == ("500 Broken", b"at file://[removed]")


def test_an_answer_that_is_read_may_be_written_late_or_in_pieces() -> None:
    made: list[Chunks] = []

    def app(_: Any, start_response: Any) -> Chunks:
        writes: list[Any] = []
        made.append(
            Chunks(
                lambda: writes.append(start_response("200 OK", [("Connection", "close"), ("X-Image-Meta-a", "b")])),
                b"a",
                lambda: writes[0](b"b"),
                b"c",
            )
        )
        return made[-1]

    assert collect(app, {}) == answers.Answer("200 OK", [], b"abc")
    assert made[0].closed


def test_an_answer_that_is_read_has_to_begin_and_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER", 4)
    silent, long = Chunks(b"a"), Chunks(b"abc", b"de", b"never")

    def starts(_: Any, start_response: Any) -> Chunks:
        start_response("200 OK", [])
        return long

    for app, chunks in ((lambda *_: silent, silent), (starts, long)):
        with pytest.raises(UnexpectedDocument):
            collect(app, {})
        assert chunks.closed
    assert list(long.parts) == [b"never"]


def test_an_error_that_comes_after_data_is_the_end_of_them() -> None:
    def app(_: Any, start_response: Any) -> Chunks:
        def fails() -> None:
            try:
                raise ValueError("in the middle")
            except ValueError as error:
                start_response("500 Broken", [], (ValueError, error, None))

        start_response("200 OK", [])
        return Chunks(b"data", fails, b"at file:///s3cret")

    for late in (False, True):
        passed = streamed((lambda e, s: (yield from app(e, s))) if late else app, [], as_it_is)({}, lambda *_: None)
        chunks = iter(passed)
        assert next(chunks) == b"data"
        with pytest.raises(ValueError, match="in the middle"):
            next(chunks)


@pytest.mark.parametrize("by", ["call", "iterator", "generator", "write"])
@pytest.mark.parametrize("failure", [True, False], ids=["exc_info", "none"])
def test_what_there_was_of_another_answer_is_no_part_of_an_error(by: str, failure: bool) -> None:
    def fails(start_response: Any) -> None:
        start_response(status="500 Broken", headers=[], exc_info=(ValueError, ValueError(), None) if failure else None)

    def app(_: Any, start_response: Any) -> Any:
        write = None
        if by != "generator":
            write = start_response("200 OK", [("Content-Type", "application/json")])
        if by == "call":
            fails(start_response)
            return [b"oops"]
        if by == "write" and write is not None:
            write(b'{"secret": 1')
            fails(start_response)
            return [b"oops"]

        def starts() -> None:
            if by == "generator":
                start_response("200 OK", [("Content-Type", "application/json")])

        return Chunks(starts, b'{"secret": 1', lambda: fails(start_response), b"oops")

    assert collect(app, {}) == answers.Answer("500 Broken", [], b"oops")


def test_many_small_pieces_of_an_answer_take_no_more_room_than_one() -> None:
    def app(_: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return (b"ab" if number % 2 else b"" for number in range(400_000))

    tracemalloc.start()
    try:
        assert len(collect(app, {}).body) == 400_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_what_a_success_returns_reaches_the_server_as_it_is() -> None:
    chunks = Chunks(b"data")

    def app(_: Any, start_response: Any) -> Chunks:
        start_response("200 OK", [])
        return chunks

    assert streamed(app, [], as_it_is)({}, lambda *_: lambda _: None) is chunks


# --- Compression ---


def compressing(app: Any) -> Any:
    """Return ``app`` behind what compresses answers for those who accept it, as an operator may put there."""

    def run(environ: Any, start_response: Any) -> Any:
        response = Request(environ).get_response(app)
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            response.encode_content("gzip")
        return response(environ, start_response)

    return run


def ask(accepted: str | None, *, compresses: bool = True, path: str = V2) -> Response:
    bench = Bench(rights, image(1, r_a="shown", cud_b="s3cret"))
    if compresses:
        bench = Bench(rights, app=compressing(bench.api))
    return bench.ask("GET", path, headers=HEADERS | {"Accept-Encoding": accepted})


@pytest.mark.parametrize(
    ("accepted", "compresses", "encoding"),
    [
        pytest.param("gzip", True, "gzip", id="wanted-and-given"),
        pytest.param("br, GZIP ;q=0.5, *;q=0", True, "gzip", id="among-others"),
        pytest.param("gzip", False, None, id="wanted-and-not-given"),
        pytest.param(None, True, None, id="not-wanted"),
        pytest.param("identity", True, None, id="plain-is-wanted"),
        pytest.param("gzip;q=0", True, None, id="refused"),
        pytest.param("br, gzip; q=0.000", True, None, id="refused-with-digits"),
        pytest.param("x-gzip, gzipped", True, None, id="others-that-are-called-alike"),
    ],
)
def test_an_edited_answer_is_compressed_where_the_client_and_the_api_want_it(
    accepted: str | None, compresses: bool, encoding: str | None
) -> None:
    for path in (V2, "/v2/images", "/v2/images?r_a=shown"):
        response = ask(accepted, compresses=compresses, path=path)
        assert response.headers.get("Content-Encoding") == encoding
        assert response.content_length == len(response.body)
        plain = gzip.decompress(response.body) if encoding else response.body
        assert b"shown" in plain
        assert b"s3cret" not in plain


@pytest.mark.parametrize(("owner", "status"), [("t1", 204), ("t2", 404)])
def test_what_decides_is_read_in_whatever_the_api_sends(owner: str, status: int) -> None:
    inner = compressing(Bench(anyone, image(1, owner=owner)).api)

    def api(environ: Any, start_response: Any) -> Any:
        return inner({**environ, "HTTP_ACCEPT_ENCODING": "gzip"}, start_response)

    bench = Bench(lambda query: getattr(query.resource, "owner", None) == "t1", app=api)
    assert bench.ask("DELETE", V2).status_int == status


def test_a_compressed_answer_is_not_read_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER", 10_000)
    for size, status in ((1_000, 200), (1_000_000, 502)):
        bench = Bench(anyone, app=compressing(Bench(anyone, image(1, p="x" * size)).api))
        assert bench.ask("GET", V2, headers={"Accept-Encoding": "gzip"}).status_int == status


def test_a_refusal_is_not_compressed_by_us() -> None:
    bench = Bench(refuse("get_image"), app=compressing(Bench(anyone, image(1)).api))
    response = bench.ask("GET", V2, headers={"Accept-Encoding": "gzip"})
    assert (response.status_int, response.headers.get("Content-Encoding")) == (404, None)
