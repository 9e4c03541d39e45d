"""The proxy: what reaches the API behind it, what comes back, and what happens when either side breaks off."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from webob import Request

from protect.connections import Connections, parse_address
from protect.errors import ConfigError
from protect.proxy.factory import app_factory
from protect.proxy.forwarder import BrokenOff, Forwarder
from protect.proxy.settings import ProxySettings
from tests.scripted import OK, Received, scripted

Reply = tuple[str, dict[str, str], bytes]


def forwarder(url: str, timeout: float = 10) -> Forwarder:
    return Forwarder(Connections(parse_address("upstream", url), timeout=timeout))


def environ(method: str = "GET", path: str = "/v2/images", body: Any = None, **extra: Any) -> dict[str, Any]:
    """Return a WSGI environment. ``body``: bytes with a length, or a stream in chunks."""
    made = Request.blank("/", method=method, base_url="http://cloud.example").environ
    made |= {"PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7"}
    if isinstance(body, bytes):
        made |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    elif body is not None:
        made |= {"wsgi.input": body, "HTTP_TRANSFER_ENCODING": "chunked"}
    return made | extra


def call(app: Any, request: dict[str, Any]) -> Reply:
    status, headers, chunks = Request(request).call_application(app)
    try:
        return status, dict(headers), b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


def ok(_request: Received) -> bytes:
    return OK


class Stream:
    """A body that comes in the given pieces, and then breaks off with ``error`` where there is one."""

    def __init__(self, pieces: Iterable[bytes], error: Exception | None = None) -> None:
        self._pieces = iter(pieces)
        self._error = error

    def read(self, _size: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._error is not None:
            raise self._error
        return piece


# --- The address ---


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        pytest.param("/v2/images", "", "/v2/images", id="a plain path"),
        pytest.param("/v2/images", "limit=1&name=a%20b", "/v2/images?limit=1&name=a%20b", id="the query as it came"),
        pytest.param("/v2/images/a b", "", "/v2/images/a%20b", id="a space"),
        pytest.param("/v2/images/a%2Fb", "", "/v2/images/a%252Fb", id="a percent sign stays one"),
        pytest.param("/v2/images/a?b#c", "", "/v2/images/a%3Fb%23c", id="no new query and no fragment"),
        pytest.param("/v2/images/\xc3\xa9", "", "/v2/images/%C3%A9", id="UTF-8"),
        pytest.param("/v2/a\r\nX: y", "", "/v2/a%0D%0AX:%20y", id="line ends"),
        pytest.param("/v2/images", "name=\xc3\xa9", "/v2/images?name=%C3%A9", id="UTF-8 in the query"),
        pytest.param("/v2/images", "a=b HTTP/1.1", "/v2/images?a=b%20HTTP/1.1", id="a space in the query"),
        pytest.param("/v2/images", "a=%zz+%26;x=[]", "/v2/images?a=%zz+%26;x=[]", id="a strange query"),
        pytest.param("", "", "/", id="no path"),
    ],
)
def test_the_address_that_was_decided_on_is_asked_for(path: str, query: str, asked: str) -> None:
    with scripted(ok) as (server, url):
        call(forwarder(url), environ(path=path, QUERY_STRING=query))

        assert server.request().line == f"GET {asked} HTTP/1.1"


def test_the_versions_mount_point_and_the_upstreams_prefix_are_part_of_the_address() -> None:
    with scripted(ok) as (server, url):
        app = forwarder(f"{url}/image/")
        call(app, environ(path="/images", SCRIPT_NAME="/cloud/v2"))
        assert server.request().line == "GET /image/v2/images HTTP/1.1"
        call(app, environ(path="/v2/images", SCRIPT_NAME="/cloud"))
        assert server.request().line == "GET /image/v2/images HTTP/1.1"


def test_a_way_out_of_the_prefix_is_refused() -> None:
    with scripted(ok) as (server, url):
        status, _, _ = call(forwarder(f"{url}/image"), environ(path="/v2/../../admin"))

        assert status == "400 Bad Request"
        assert server.received == []


# --- Headers on the way in ---

PASSED = {
    "HTTP_X_AUTH_TOKEN": ("X-Auth-Token", "t"),
    "HTTP_X_SERVICE_TOKEN": ("X-Service-Token", "s"),
    "HTTP_AUTHORIZATION": ("Authorization", "Bearer b"),
    "HTTP_ACCEPT_ENCODING": ("Accept-Encoding", "gzip"),
    "HTTP_X_OPENSTACK_REQUEST_ID": ("X-Openstack-Request-Id", "req-1"),
    "HTTP_X_IMAGE_META_STORE": ("X-Image-Meta-Store", "fast"),
    "HTTP_RANGE": ("Range", "bytes=0-1"),
    "CONTENT_TYPE": ("Content-Type", "application/json"),
}


@pytest.mark.parametrize("key", PASSED)
def test_a_header_that_is_passed(key: str) -> None:
    name, value = PASSED[key]
    with scripted(ok) as (server, url):
        call(forwarder(url), environ(**{key: value}))

        assert server.request().header(name) == value


@pytest.mark.parametrize(
    "key",
    [
        *("X_IDENTITY_STATUS", "X_SERVICE_IDENTITY_STATUS", "X_ROLES", "X_ROLE", "X_USER_ID", "X_USER", "X_USER_NAME"),
        *("X_PROJECT_ID", "X_TENANT_ID", "X_TENANT", "X_DOMAIN_ID", "X_IS_ADMIN_PROJECT", "X_SERVICE_ROLES"),
        *("X_SERVICE_CATALOG", "X_SERVICE_USER_ID", "X_USER_DOMAIN_ID", "X_PROJECT_DOMAIN_NAME"),
        *("OPENSTACK_SYSTEM_SCOPE", "X.ROLES", "X_IDENTITY.STATUS", "X_PROTECT_ANYTHING"),
        *("X_FORWARDED_PREFIX", "X_FORWARDED_PORT", "FORWARDED", "X_REAL_IP", "X_ORIGINAL_URL", "X_REWRITE_URL"),
        *("X_HTTP_METHOD_OVERRIDE", "KEEP_ALIVE", "TE", "UPGRADE", "PROXY_AUTHORIZATION", "PROXY", "EXPECT"),
        *("PROXY_CONNECTION", "HTTP2_SETTINGS", "TRAILER"),
        # To some servers these are headers that are decided on.
        *("X.IMAGE.META.STORE", "X_IMAGE_META.STORE", "X.OPENSTACK.IMAGE.SIZE", "X~IMAGE~META~STORE", "X!NOTE"),
        *("CONTENT.ENCODING", "X.AUTH.TOKEN", "X.SERVICE.TOKEN"),
    ],
)
def test_a_header_that_is_not_passed(key: str) -> None:
    request = environ(HTTP_CONNECTION="keep-alive, TE", **{f"HTTP_{key}": "forged"})
    with scripted(ok) as (server, url):
        call(forwarder(url), request)

        assert "forged" not in [value for _, value in server.request().headers]
        assert server.received[0].header("Connection") is None


def test_the_api_learns_where_the_client_is_from_the_proxy_alone() -> None:
    forged = {"HTTP_X_FORWARDED_FOR": "10.0.0.1", "HTTP_X_FORWARDED_HOST": "evil", "HTTP_X_FORWARDED_PROTO": "https"}
    with scripted(ok) as (server, url):
        call(forwarder(url), environ(**forged))

        request = server.request()
    assert [pair for pair in request.headers if pair[0].startswith(("X-Forwarded", "Host"))] == [
        ("Host", url.removeprefix("http://")),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "cloud.example:80"),
    ]


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        pytest.param({"HTTP_X_NOTE": "a\tb"}, "200 OK", id="a tab is text"),
        pytest.param({"HTTP_X_NOTE": "a\r\nX-Roles: admin"}, "400 Bad Request", id="a new line"),
        pytest.param({"HTTP_X_NOTE": "a\rb"}, "400 Bad Request", id="a carriage return"),
        pytest.param({"HTTP_X_NOTE": "a\x00b"}, "400 Bad Request", id="a NUL"),
        pytest.param({"HTTP_X_NOTE": "a\u20acb"}, "400 Bad Request", id="what is no byte"),
        pytest.param({"HTTP_X_NOTE: Y": "a"}, "400 Bad Request", id="a colon in the name"),
        pytest.param({"CONTENT_TYPE": "a\nb"}, "400 Bad Request", id="a new line in the media type"),
        pytest.param({"HTTP_HOST": "a/b@c"}, "400 Bad Request", id="a host that is none"),
        pytest.param({"HTTP_X_NOTE": None}, "200 OK", id="a header that a middleware unset"),
    ],
)
def test_a_header_cannot_smuggle_another(extra: dict[str, Any], status: str) -> None:
    with scripted(ok) as (server, url):
        assert call(forwarder(url), environ(**extra))[0] == status
        assert len(server.received) == (status == "200 OK")


@pytest.mark.parametrize(
    ("connection", "status"),
    [
        pytest.param("close", "200 OK", id="what a connection is"),
        pytest.param("Keep-Alive , TE,, Upgrade, HTTP2-Settings", "200 OK", id="headers of one hop"),
        pytest.param("Trailer, Transfer-Encoding, Proxy-Connection", "200 OK", id="more of them"),
        pytest.param("X-Image-Meta-Store", "400 Bad Request", id="one that is decided on"),
        pytest.param("keep-alive,x-image-meta-store", "400 Bad Request", id="in small letters and beside another"),
        pytest.param("X-Auth-Token", "400 Bad Request", id="one that says who asks"),
        pytest.param("X-Note", "400 Bad Request", id="any other one"),
        pytest.param("Content-Length", "400 Bad Request", id="the end of the body"),
    ],
)
def test_a_connection_cannot_take_a_header_away(connection: str, status: str) -> None:
    with scripted(ok) as (server, url):
        request = environ(HTTP_CONNECTION=connection, HTTP_X_IMAGE_META_STORE="fast")
        assert call(forwarder(url), request)[0] == status
        assert [each.header("X-Image-Meta-Store") for each in server.received] == ["fast"] * (status == "200 OK")


@pytest.mark.parametrize(
    ("extra", "status", "reached"),
    [
        pytest.param({"HTTP_X_IMAGE_META_STORE": "cheap"}, 200, "cheap", id="the store that is allowed"),
        pytest.param({"HTTP_X_IMAGE_META_STORE": "dear"}, 403, None, id="another one"),
        pytest.param(
            {"HTTP_X_IMAGE_META_STORE": "cheap", "HTTP_CONNECTION": "X-Image-Meta-Store"}, 400, None, id="taken away"
        ),
        pytest.param(
            {"HTTP_X_IMAGE_META_STORE": "cheap", "HTTP_X.IMAGE.META.STORE": "dear"}, 200, "cheap", id="said twice"
        ),
        pytest.param({"HTTP_X.IMAGE.META.STORE": "cheap"}, 403, None, id="by another name alone"),
    ],
)
def test_the_store_that_was_decided_on_is_the_one_that_the_api_sees(
    extra: dict[str, str], status: int, reached: str | None, tmp_path: Path
) -> None:
    policy = tmp_path / "store.polar"
    policy.write_text(
        'allow(_: Subject, "upload_image", _: Image) if context.get("store") = "cheap";\n'
        'allow(_: Subject, "get_image", _: Image);\n'
    )
    # No connection is kept: it would outlive the test.
    with scripted(lambda _: OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as (server, url):
        app = app_factory({}, upstream=url, policy=str(policy), reload="0")
        user = {"HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": "u", "keystone.token_auth": object()}
        image_file = "/v2/images/00000000-0000-4000-8000-000000000001/file"
        answer, _, _ = call(app, environ("PUT", image_file, b"data", **user, **extra))
        uploads = [request for request in server.received if request.line.startswith("PUT")]
    assert int(answer[:3]) == status
    stores = [value for each in uploads for name, value in each.headers if "store" in name.lower()]
    assert stores == ([] if reached is None else [reached])


# --- Bodies on the way in ---


def test_a_declared_body_is_passed_with_its_length() -> None:
    data = bytes(range(256)) * 1024
    with scripted(ok) as (server, url):
        assert call(forwarder(url), environ("PUT", body=data))[0] == "200 OK"

        request = server.request()
    assert (request.body, request.complete, request.header("Content-Length")) == (data, True, str(len(data)))
    assert request.header("Transfer-Encoding") is None


def test_a_chunked_body_is_passed_in_chunks() -> None:
    with scripted(ok) as (server, url):
        assert call(forwarder(url), environ("PUT", body=Stream([b"one", b"three"])))[0] == "200 OK"

        request = server.request()
    assert (request.body, request.complete) == (b"onethree", True)
    assert (request.header("Transfer-Encoding"), request.header("Content-Length")) == ("chunked", None)


@pytest.mark.parametrize(
    ("method", "length"),
    [
        pytest.param("GET", None, id="a GET"),
        pytest.param("DELETE", None, id="a DELETE"),
        pytest.param("POST", "0", id="a POST says that it is empty"),
        pytest.param("PUT", "0", id="a PUT says that it is empty"),
    ],
)
def test_a_request_without_a_body(method: str, length: str | None) -> None:
    with scripted(ok) as (server, url):
        assert call(forwarder(url), environ(method))[0] == "200 OK"
        assert server.request().header("Content-Length") == length


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        pytest.param({"CONTENT_LENGTH": "3"}, "200 OK", id="a length"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked"}, "200 OK", id="chunks"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "3"}, "400 Bad Request", id="both"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, "501 Not Implemented", id="another encoding"),
        pytest.param({"CONTENT_LENGTH": "3, 3"}, "400 Bad Request", id="two lengths"),
        pytest.param({"CONTENT_LENGTH": "+3"}, "400 Bad Request", id="a signed length"),
        pytest.param({"CONTENT_LENGTH": "-3"}, "400 Bad Request", id="a negative length"),
    ],
)
def test_a_body_has_one_certain_end(extra: dict[str, str], status: str) -> None:
    with scripted(ok) as (server, url):
        assert call(forwarder(url), environ("PUT") | {"wsgi.input": io.BytesIO(b"abc")} | extra)[0] == status
        assert len(server.received) == (status == "200 OK")


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"wsgi.input": Stream([b"half"], ConnectionResetError()), "CONTENT_LENGTH": "8"}, id="a length"),
        pytest.param({"wsgi.input": Stream([b"half"]), "CONTENT_LENGTH": "8"}, id="a length, and silence"),
        pytest.param(
            {"wsgi.input": Stream([b"half"], OSError("gone")), "HTTP_TRANSFER_ENCODING": "chunked"}, id="chunks"
        ),
        pytest.param(
            {"wsgi.input": Stream([b"half"], ValueError("gone")), "HTTP_TRANSFER_ENCODING": "chunked"},
            id="chunks, in a server's own words",
        ),
        pytest.param(
            {
                "wsgi.input": Stream([b"half"]),
                "HTTP_TRANSFER_ENCODING": "chunked",
                "HTTP_X_OPENSTACK_IMAGE_SIZE": "8",
            },
            id="chunks, and fewer than the client said",
        ),
    ],
)
def test_half_an_upload_never_looks_complete(extra: dict[str, Any]) -> None:
    with scripted(ok) as (server, url):
        status, _, _ = call(forwarder(url), environ("PUT") | extra)

        request = server.request()
    assert status == "400 Bad Request"
    assert (request.body, request.complete) == (b"half", False)


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        pytest.param({"SERVER_SOFTWARE": "gunicorn/27.0.1"}, "200 OK", id="a server that tells"),
        pytest.param({"SERVER_SOFTWARE": "Granian"}, "411 Length Required", id="a server that does not"),
        pytest.param(
            {"SERVER_SOFTWARE": "Granian", "HTTP_X_OPENSTACK_IMAGE_SIZE": "4"}, "200 OK", id="the client says the size"
        ),
    ],
)
def test_chunks_need_a_size_where_the_server_does_not_tell_when_they_break_off(
    extra: dict[str, str], status: str
) -> None:
    with scripted(ok) as (_, url):
        assert call(forwarder(url), environ("PUT", body=Stream([b"full"])) | extra)[0] == status


def test_an_early_refusal_reaches_a_client_that_is_still_sending() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    with scripted(lambda _: refusal, early=True, then_close=True) as (_, url):
        status, _, body = call(forwarder(url), environ("PUT", body=Stream(endless())))

    assert (status, body) == ("403 Forbidden", b"no")
    assert sent < 1000


def test_an_interim_answer_is_not_taken_for_an_early_one() -> None:
    told = threading.Event()
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                got.extend(sock.recv(65536))
                sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
                told.set()
                while not got.endswith(b"0\r\n\r\n"):
                    got.extend(sock.recv(65536))
                sock.sendall(OK)

        def pieces() -> Iterator[bytes]:
            yield b"first"
            assert told.wait(10)
            yield b"second"
            yield b"third"

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        status, _, body = call(forwarder(url), environ("PUT", body=Stream(pieces())))
        thread.join(10)

    assert (status, body) == ("200 OK", b"ok")
    assert b"third" in got


# --- Answers ---


@pytest.mark.parametrize(
    ("answer", "method", "expected"),
    [
        pytest.param(b"200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", ("200 OK", b"ok"), id="a length"),
        pytest.param(
            b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nyes\r\n0\r\n\r\n",
            "GET",
            ("200 OK", b"okyes"),
            id="chunks",
        ),
        pytest.param(
            b"200 OK\r\nConnection: close\r\n\r\nto the end", "GET", ("200 OK", b"to the end"), id="to the end"
        ),
        pytest.param(b"200 OK\r\nContent-Length: 7\r\n\r\n", "HEAD", ("200 OK", b""), id="HEAD"),
        pytest.param(b"204 No Content\r\n\r\n", "DELETE", ("204 No Content", b""), id="204"),
        pytest.param(
            b"204 No Content\r\nContent-Length: 0\r\n\r\n", "DELETE", ("204 No Content", b""), id="204, empty"
        ),
        pytest.param(b"304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET", ("304 Not Modified", b""), id="304"),
        pytest.param(b"418 Odd Words\r\nContent-Length: 0\r\n\r\n", "GET", ("418 Odd Words", b""), id="own words"),
        pytest.param(b"404 \r\nContent-Length: 0\r\n\r\n", "GET", ("404 Not Found", b""), id="no words"),
        pytest.param(b"503 \xff\x01\r\nContent-Length: 0\r\n\r\n", "GET", ("503 Service Unavailable", b""), id="noise"),
        pytest.param(
            b"103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1",
            "GET",
            ("200 OK", b"1"),
            id="interim answers first",
        ),
    ],
)
def test_an_answer_passes_as_it_is(answer: bytes, method: str, expected: tuple[str, bytes]) -> None:
    with scripted(lambda _: b"HTTP/1.1 " + answer, then_close=True) as (_, url):
        status, headers, body = call(forwarder(url), environ(method))

    assert (status, body) == expected
    assert not {"transfer-encoding", "connection", "link"} & {name.lower() for name in headers}
    if method == "HEAD":
        assert headers["Content-Length"] == "7"
    if status.startswith("204"):
        assert "Content-Length" not in headers


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", id="a negative length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok", id="a length that is none"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="another encoding"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Note: a\r\n b: c\r\nContent-Length: 0\r\n\r\n", id="a folded header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Note: a\x00b\r\nContent-Length: 0\r\n\r\n", id="a NUL in a header"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 20, id="nothing but interim answers"),
        pytest.param(b"220 mail.example ESMTP\r\n", id="another protocol's greeting"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(None, id="silence"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_a_bad_gateway(
    answer: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted(lambda _: answer, then_close=True) as (_, url):
        status, _, body = call(forwarder(url), environ())

    assert status == "502 Bad Gateway"
    assert url.encode() not in body
    assert url in caplog.text


def test_a_chunked_answer_hides_a_length_beside_it() -> None:
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with scripted(lambda _: both) as (_, url):
        _, headers, body = call(forwarder(url), environ())

    assert ("Content-Length" in headers, body) == (False, b"ok")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", id="a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf", id="inside a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", id="between chunks"),
    ],
)
def test_half_an_answer_never_looks_complete(answer: bytes) -> None:
    with scripted(lambda _: answer, then_close=True) as (_, url):
        status, _, chunks = Request(environ()).call_application(forwarder(url))
        assert status == "200 OK"
        assert next(iter(chunks)) == b"half"
        with pytest.raises(BrokenOff):
            next(iter(chunks))


def test_where_the_server_would_end_half_an_answer_as_if_it_were_whole_it_is_held_first() -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n"
    granian = environ(SERVER_SOFTWARE="Granian")
    with scripted(lambda _: whole) as (_, url):
        status, headers, body = call(forwarder(url), granian)
        assert (status, headers["Content-Length"], body) == ("200 OK", "4", b"half")
    with scripted(lambda _: whole[:-5], then_close=True) as (_, url):
        assert call(forwarder(url), granian)[0] == "502 Bad Gateway"


def test_an_answer_is_passed_on_piece_by_piece() -> None:
    go_on = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
                go_on.wait(10)
                sock.sendall(b"two")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        _, _, chunks = Request(environ()).call_application(forwarder(url))
        assert next(iter(chunks)) == b"one"
        go_on.set()
        assert b"".join(chunks) == b"two"
        thread.join(10)


def test_the_headers_of_one_hop_stay_there() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Named\r\nKeep-Alive: timeout=5\r\nX-Named: n\r\nServer: s\r\n"
        b"Date: d\r\nContent-Encoding: gzip\r\nX-Openstack-Request-Id: r\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"Content-Length: 4\r\n\r\n\x1f\x8bzz"
    )
    with scripted(lambda _: answer) as (_, url):
        _, headers, chunks = Request(environ()).call_application(forwarder(url))
        assert b"".join(chunks) == b"\x1f\x8bzz"

    assert sorted(headers) == [
        ("Content-Encoding", "gzip"),
        ("Content-Length", "4"),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
        ("X-Openstack-Request-Id", "r"),
    ]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        pytest.param("{url}/image/v2/images/1?a=b", "http://cloud.example:80/cloud/v2/images/1?a=b", id="the api"),
        pytest.param("/image/v2/images/1", "/cloud/v2/images/1", id="a path"),
        pytest.param("{url}/other/v2", "{url}/other/v2", id="outside the prefix"),
        pytest.param("{url}/images", "{url}/images", id="outside the prefix by one letter"),
        pytest.param("http://elsewhere.example/image/v2", "http://elsewhere.example/image/v2", id="another host"),
        pytest.param("//[bad", "//[bad", id="no address at all"),
        pytest.param("images/1", "images/1", id="relative to where the client is"),
    ],
)
def test_an_address_of_the_api_is_one_of_ours_to_the_client(location: str, told: str) -> None:
    place = ""

    def redirect(_request: Received) -> bytes:
        return f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()

    with scripted(redirect) as (server, url):
        place = location.format(url=url)
        status, headers, _ = call(forwarder(f"{url}/image"), environ(SCRIPT_NAME="/cloud"))

        assert (status, headers["Location"]) == ("302 Found", told.format(url=url))
        assert len(server.received) == 1


# --- Connections ---


def test_a_connection_is_kept_for_the_next_request() -> None:
    with scripted(ok) as (server, url):
        app = forwarder(url)
        for _ in range(3):
            assert call(app, environ())[2] == b"ok"

        assert [request.connection for request in server.received] == [1, 1, 1]


@pytest.mark.parametrize(
    "method", [pytest.param("POST", id="a write"), pytest.param("DELETE", id="a write without a body")]
)
def test_a_write_takes_a_new_connection(method: str) -> None:
    with scripted(ok) as (server, url):
        app = forwarder(url)
        call(app, environ())
        call(app, environ(method, body=b"x" if method == "POST" else None))

        assert [request.connection for request in server.received] == [1, 2]


@pytest.mark.parametrize(
    ("method", "body", "sent"),
    [
        pytest.param("POST", b"once", 1, id="a write is never sent twice"),
        pytest.param("GET", None, 1, id="a read over a new connection is not either"),
    ],
)
def test_a_request_that_was_not_answered_is_not_repeated(method: str, body: bytes | None, sent: int) -> None:
    with scripted(lambda _: None) as (server, url):
        assert call(forwarder(url), environ(method, body=body))[0] == "502 Bad Gateway"
        assert len(server.received) == sent


def test_a_read_is_repeated_when_the_kept_connection_was_closed_at_that_moment() -> None:
    def second_on_a_connection_fails(request: Received) -> bytes | None:
        before = [other for other in server.received if other.connection == request.connection]
        return OK if len(before) == 1 else None

    with scripted(second_on_a_connection_fails) as (server, url):
        app = forwarder(url)
        assert [call(app, environ())[0] for _ in range(2)] == ["200 OK", "200 OK"]
        assert [request.connection for request in server.received] == [1, 1, 2]


def test_what_nobody_asked_for_is_nobodys_answer() -> None:
    stale = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"
    with scripted(ok) as (server, url):
        app = forwarder(url)
        assert call(app, environ())[2] == b"ok"
        server.connections[0].sendall(stale)
        assert call(app, environ())[2] == b"ok"
        assert [request.connection for request in server.received] == [1, 2]


def test_a_connection_is_given_up_when_the_client_leaves_half_way() -> None:
    with scripted(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as (server, url):
        app = forwarder(url)
        _, _, chunks = Request(environ()).call_application(app)
        assert next(iter(chunks)) == b"half"
        chunks.close()  # type: ignore[attr-defined]
        Request(environ()).call_application(app)[2].close()  # type: ignore[attr-defined]

        assert [request.connection for request in server.received] == [1, 2]


def test_an_api_that_is_down_is_a_bad_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    status, _, body = call(forwarder(url), environ())

    assert status == "502 Bad Gateway"
    assert b"The image API could not be reached." in body


def test_an_api_that_is_silent_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        status, _, body = call(forwarder(url, timeout=0.1), environ())

    assert status == "504 Gateway Timeout"
    assert b"The image API did not answer in time." in body


def test_an_answer_that_stops_coming_breaks_off() -> None:
    with scripted(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf") as (_, url):
        _, _, chunks = Request(environ()).call_application(forwarder(url, timeout=0.1))
        assert next(iter(chunks)) == b"half"
        with pytest.raises(BrokenOff):
            next(iter(chunks))


def test_the_api_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(OK)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert call(forwarder(f"unix:{path}"), environ())[::2] == ("200 OK", b"ok")
        thread.join(10)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost` that signs itself, and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = made.sign(key, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return path


@pytest.mark.parametrize(
    ("host", "trusted", "status"),
    [
        pytest.param("localhost", True, "200 OK", id="a certificate that is trusted"),
        pytest.param("localhost", False, "502 Bad Gateway", id="one that nobody has signed"),
        pytest.param("127.0.0.1", True, "502 Bad Gateway", id="one of another host"),
    ],
)
def test_the_api_may_speak_tls(certificate: Path, host: str, trusted: bool, status: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with suppress(OSError), sock, context.wrap_socket(sock, server_side=True) as secure:
                while not got.endswith(b"0\r\n\r\n"):
                    got.extend(secure.recv(65536))
                secure.sendall(OK)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = parse_address("upstream", f"https://{host}:{listener.getsockname()[1]}")
        app = Forwarder(Connections(address, timeout=10, ca=str(certificate) if trusted else None))
        assert call(app, environ("PUT", body=Stream([b"x" * 65536] * 20)))[0] == status
        thread.join(10)
    assert bool(got) is (status == "200 OK")


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_a_method_that_is_for_proxies_themselves_is_refused(method: str) -> None:
    with scripted(ok) as (server, url):
        assert call(forwarder(url), environ(method))[0] == "405 Method Not Allowed"
        assert server.received == []


# --- Options ---


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        pytest.param(
            {},
            "`upstream` is missing; set it to the image API's address, such as http://127.0.0.1:9292",
            id="no upstream",
        ),
        pytest.param(
            {"upstream": "127.0.0.1:9292"},
            "`upstream = 127.0.0.1:9292` is not accepted; accepted: http://host:port, https://host:port, unix:/path",
            id="no scheme",
        ),
        pytest.param(
            {"upstream": "http://me:secret@h"},
            "`upstream` has a `@`; leave out the name and the password",
            id="a password",
        ),
        pytest.param(
            {"upstream": "http://h:99999"},
            "`upstream = http://h:99999` is not accepted; accepted: http://host:port, https://host:port, unix:/path",
            id="a port that is none",
        ),
        pytest.param(
            {"upstream": "http://h", "upstream_timeout": "0"},
            "`upstream_timeout = 0` is not accepted; accepted: a number of seconds above 0",
            id="no time",
        ),
        pytest.param(
            {"upstream": "http://h", "upstream_timeout": "nan"},
            "`upstream_timeout = nan` is not accepted; accepted: a number of seconds above 0",
            id="no number",
        ),
        pytest.param(
            {"upstream": "http://h", "upstream_ca": "/ca.pem"},
            "`upstream_ca = /ca.pem` is read for an https upstream only; set both, or leave it out",
            id="certificates without TLS",
        ),
        pytest.param(
            {"upstream": "https://h", "upstream_ca": "/none.pem"},
            "`upstream_ca = /none.pem` is not a file; set it to a file of certificates in PEM format",
            id="certificates that are not there",
        ),
    ],
)
def test_an_option_that_cannot_be_used(conf: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ProxySettings.from_paste({}, conf)
    assert str(caught.value) == message


def test_a_misspelled_option_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown option `upstrem`; did you mean `upstream`"):
        app_factory({}, upstrem="http://h")
    with pytest.raises(ConfigError, match="unknown option `polcy`; did you mean `policy`"):
        app_factory({}, upstream="http://h", polcy="rules")


@pytest.mark.parametrize("option", ["upstream", "upstream_timeout", "upstream_ca"])
def test_an_option_in_the_global_part_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"`{option}` is set in"):
        app_factory({option: "http://h"}, upstream="http://h")


# --- With the filter in front ---

IDENTITY = {
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_USER_ID": "u",
    "HTTP_X_PROJECT_ID": "t1",
    "HTTP_X_ROLES": "reader,member",
}


@pytest.mark.parametrize(
    ("extra", "status", "asked"),
    [
        pytest.param({"keystone.token_auth": object()}, "200 OK", 1, id="a middleware says who asks"),
        pytest.param({}, "401 Unauthorized", 0, id="the client says who asks"),
        pytest.param({"HTTP_KEYSTONE.TOKEN_AUTH": "x"}, "401 Unauthorized", 0, id="the client says who says so"),
    ],
)
def test_nobody_is_who_the_headers_say_unless_a_middleware_has_verified_it(
    extra: dict[str, Any], status: str, asked: int
) -> None:
    empty = b'{"images": [], "first": "/v2/images", "schema": "/v2/schemas/images"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(empty), empty)
    with scripted(lambda _: answer) as (server, url):
        app = app_factory({}, upstream=url, reload="0", decision_log="none")

        assert call(app, environ() | IDENTITY | extra)[0] == status
        assert len(server.received) == asked


def test_an_upload_over_the_cap_is_cut_short_and_refused() -> None:
    document = b'{"id": "1", "owner": "t1", "visibility": "private", "status": "queued", "tags": []}'
    shown = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(document),
        document,
    )
    with scripted(lambda request: shown if request.line.startswith("GET") else OK) as (server, url):
        app = app_factory({}, upstream=url, reload="0", decision_log="none", image_size_cap="100000")
        body = Stream([b"x" * 60000, b"y" * 60000])
        request = environ("PUT", "/v2/images/1/file", body, CONTENT_TYPE="application/octet-stream")

        status, _, _ = call(app, request | IDENTITY | {"keystone.token_auth": object()})

        assert status == "413 Request Entity Too Large"
        received = server.request()
        while not received.line.startswith("PUT"):
            received = server.request()
        assert not received.complete
