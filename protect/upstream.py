"""The API behind us: what we read of a request, what we ask for ourselves, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from webob import Request

from protect.errors import MalformedRequest, ProtectError
from protect.glance import documents
from protect.glance.documents import StoredImage, UnexpectedDocument
from protect.glance.json_bodies import MAX_BODY
from protect.values import Image

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

Fact = TypeVar("Fact")

MAX_ANSWER = 64 * 1024 * 1024  # bytes of an answer that we read
REVISION_HEADER = "X-Policy-Revision"

# An answer that we edit must be plain and whole: neither compressed nor "not modified" nor a part.
_UNEDITABLE = (
    "HTTP_ACCEPT_ENCODING",
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_RANGE",
    "HTTP_CONTENT_RANGE",
    "HTTP_TE",
)
_OF_A_BODY = (
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "HTTP_CONTENT_LENGTH",
    "HTTP_CONTENT_ENCODING",
    "HTTP_CONTENT_MD5",
    "HTTP_CONTENT_TYPE",
    "HTTP_EXPECT",
    "HTTP_TRANSFER_ENCODING",
    "wsgi.input_terminated",
)
_OF_THE_FIRST_REQUEST = ("webob.", "wsgiorg.routing_args", "routes.", "api.cache.")
_METHOD_OVERRIDES = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD")

# What described the answer before it was edited, or must not pass at all.
_DESCRIBES_THE_BODY = frozenset(
    {"content-length", "content-md5", "etag", "last-modified", "accept-ranges", "digest", "content-digest"}
)
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})
_METADATA_HEADER = "x-image-meta-"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the API. ``status`` is the line, such as ``200 OK``."""

    status: str
    headers: Headers
    body: bytes

    @property
    def code(self) -> int:
        return int(self.status[:3])

    @property
    def succeeded(self) -> bool:
        return 200 <= self.code < 300

    def with_body(self, body: bytes) -> Answer:
        """Return the same answer with another body, without what described the old one."""
        kept = [(k, v) for k, v in self.headers if k.lower() not in _DESCRIBES_THE_BODY]
        return Answer(self.status, [*kept, ("Content-Length", str(len(body)))], body)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers)
        return [self.body]


class Unavailable(ProtectError):
    """The API did not tell us a fact. ``answer`` is what it said instead."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"the image API answered {answer.code} when asked for a fact")


class Upstream:
    """The API as one request sees it: the caller's identity, and every fact fetched at most once."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self._app = app
        # A copy from before the request is prepared for forwarding: what we ask ourselves stays the same.
        self._environ = dict(environ)
        self._fetched: dict[str, Answer] = {}
        # Why the last fact could not be had: a decision only says that there was an error.
        self.failure: Unavailable | UnexpectedDocument | None = None

    def get(self, path_info: str, query_string: str = "") -> Answer:
        """Return the API's answer to a GET by the same caller."""
        environ = _sub_environ(self._environ, path_info, query_string)
        return collect(self._app, environ)

    def fetch(self, path_info: str, read: Callable[[bytes], Fact]) -> Fact:
        """Return what ``read`` makes of the body of a 200.

        Raises Unavailable for any other answer and UnexpectedDocument for a strange one, each time it is
        asked, and keeps the error as `failure`.
        """
        try:
            answer = self._fetched.get(path_info)
            if answer is None:
                answer = self._fetched[path_info] = self.get(path_info)
            if answer.code != 200:
                raise Unavailable(answer)
            return read(editable(answer))
        except (Unavailable, UnexpectedDocument) as error:
            self.failure = error
            raise


class FetchedImage:
    """An image of which only the id is known: any other fact fetches it, once, and then all are known."""

    __slots__ = ("_load", "_stored", "id")
    kind: ClassVar[str] = "Image"

    def __init__(self, image_id: str, load: Callable[[], StoredImage]) -> None:
        self.id = image_id
        self._load = load
        self._stored: StoredImage | None = None

    def stored(self) -> StoredImage:
        """Return the image with all its facts; raises Unavailable or UnexpectedDocument, each time."""
        if self._stored is None:
            self._stored = self._load()
        return self._stored

    def __getattr__(self, name: str) -> Any:
        # Only facts: anything else (`__deepcopy__`, a misspelling) must not send a request.
        if name not in _FACTS:
            raise AttributeError(name)
        return getattr(self.stored(), name)


_FACTS = frozenset(Image.__dataclass_fields__) - {"id"}


class FetchedMetadef:
    """A metadata definition; asking for its owner or visibility fetches its namespace."""

    __slots__ = ("_load", "_namespace", "attributes", "id", "namespace", "type")
    kind: ClassVar[str] = "Metadef"

    def __init__(self, type: str, id: str | None, namespace: str, load: Callable[[], Mapping[str, object]]) -> None:
        self.type, self.id, self.namespace = type, id, namespace
        self.attributes: Mapping[str, object] = {}
        self._load = load
        self._namespace: Mapping[str, object] | None = None

    @property
    def owner(self) -> str | None:
        return self._text("owner")

    @property
    def visibility(self) -> str | None:
        return self._text("visibility")

    def _text(self, key: str) -> str | None:
        if self._namespace is None:
            self._namespace = self._load()
        value = self._namespace.get(key)
        if value is None or isinstance(value, str):
            return value
        raise UnexpectedDocument(f"`{key}` is not text")


class StoredMember:
    """A member of an image; asking for its status fetches the image's members."""

    __slots__ = ("image", "tenant")
    kind: ClassVar[str] = "Member"

    def __init__(self, tenant: str, image: Image) -> None:
        self.tenant, self.image = tenant, image

    @property
    def status(self) -> str | None:
        return self.image.members.get(self.tenant)


def fetched_image(upstream: Upstream, image_id: str, path: str) -> FetchedImage:
    """Return the image at ``path``. Nothing is fetched yet."""

    def load() -> StoredImage:
        document = upstream.fetch(path, lambda body: documents.read_document(body, image_id))
        return StoredImage(document, members_at(upstream, f"{path}/members"))

    return FetchedImage(image_id, load)


def members_at(upstream: Upstream, path: str) -> Callable[[], Mapping[str, str]]:
    """Return a function that returns tenant -> status from the API's own list of members."""

    def members() -> Mapping[str, str]:
        _, rows = upstream.fetch(path, documents.read_members)
        return {row["member_id"]: row["status"] for row in rows}

    return members


def collect(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Run the API to the end; raises UnexpectedDocument for an answer larger than MAX_ANSWER."""
    status, headers, chunks = Request(environ).call_application(app)
    try:
        body = _joined(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    passed = [(k, v) for k, v in headers if _passes(k) and k.lower() not in _HOP_BY_HOP]
    return Answer(status, passed, body)


def _joined(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER:
            raise UnexpectedDocument("an answer that is too large")
    return bytes(body)


def editable(answer: Answer) -> bytes:
    """Return the body of a success that can be edited; raises UnexpectedDocument for a compressed one."""
    for name, value in answer.headers:
        if name.lower() == "content-encoding" and value.strip().lower() != "identity":
            raise UnexpectedDocument("a compressed answer")
    if answer.code not in (200, 201):
        raise UnexpectedDocument(f"an answer {answer.code}")
    return answer.body


def ask_for_plain(environ: WSGIEnvironment) -> None:
    """Change a request so that its answer can be edited."""
    for key in _UNEDITABLE:
        environ.pop(key, None)


def drop_method_overrides(environ: WSGIEnvironment) -> None:
    """Change a request so that nobody behind us takes its method for another than the one we decided on."""
    for key in _METHOD_OVERRIDES:
        environ.pop(key, None)


def replace_body(environ: WSGIEnvironment, body: bytes, content_type: str) -> None:
    """Change a request to carry ``body`` instead of what the client sent."""
    for key in _OF_A_BODY:
        environ.pop(key, None)
    _forget_parsed(environ)
    environ["wsgi.input"] = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["CONTENT_TYPE"] = content_type


def has_body(environ: WSGIEnvironment) -> bool:
    """Tell whether a request says that it has a body; raises MalformedRequest if it says so in two ways."""
    return _chunked(environ) or bool(declared_length(environ))


def declared_length(environ: WSGIEnvironment) -> int | None:
    """Return the Content-Length, None without one; raises MalformedRequest."""
    declared = str(environ.get("CONTENT_LENGTH") or "")
    if not declared:
        return None
    if not (declared.isascii() and declared.isdigit()) or len(declared) > 18:
        raise MalformedRequest("the Content-Length is not a number of bytes")
    if _chunked(environ):
        raise MalformedRequest("the request has both a Content-Length and a Transfer-Encoding")
    return int(declared)


def _chunked(environ: WSGIEnvironment) -> bool:
    return bool(environ.get("HTTP_TRANSFER_ENCODING"))


def read_body(environ: WSGIEnvironment) -> bytes:
    """Return the request's JSON body; raises MalformedRequest where it is missing, too large or cut short.

    What was read is put back in front of the rest, so that the request can still be passed on as it came.
    """
    declared = declared_length(environ)
    if declared is not None and declared > MAX_BODY:
        raise _too_large()
    if str(environ.get("HTTP_CONTENT_ENCODING") or "identity").strip().lower() != "identity":
        raise MalformedRequest("the body is compressed; send plain JSON", 415)
    if declared is None and not _chunked(environ):
        return b""
    stream = environ["wsgi.input"]
    body = _read(stream, MAX_BODY + 1 if declared is None else declared)
    environ["wsgi.input"] = Replayed(body, stream)
    # The stream before could perhaps be rewound; this one cannot.
    environ.pop("webob.is_body_seekable", None)
    if len(body) > MAX_BODY:
        raise _too_large()
    if declared is not None and len(body) < declared:
        raise MalformedRequest(f"the body ended after {len(body)} of {declared} bytes")
    return body


def _read(stream: Any, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        chunk = stream.read(size - len(body))
        if not chunk:
            break
        body += chunk
    return bytes(body)


def _too_large() -> MalformedRequest:
    return MalformedRequest(f"the body has more than {MAX_BODY} bytes", 413)


class Replayed:
    """A request body of which the beginning has been read: reads as if it had not."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = BytesIO(head)
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        head = self._head.read(size)
        if size is None or size < 0:
            return head + bytes(self._rest.read())
        return head or bytes(self._rest.read(size))

    def readline(self, size: int = -1) -> bytes:
        line = self._head.readline(size)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + bytes(self._rest.readline(size - len(line) if size >= 0 else -1))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Any:
        return iter(self.readline, b"")


class CapExceeded(OSError):
    """The client has sent more than it may. An OSError, because that is what a broken upload looks like."""


class Capped:
    """A request body that breaks off after ``cap`` bytes: whoever reads it never sees it complete."""

    def __init__(self, stream: Any, cap: int) -> None:
        self._stream = stream
        self._left = cap
        self.exceeded = False

    def read(self, size: int = -1) -> bytes:
        # One byte more than is left tells "too large" from "exactly as large as allowed".
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        return self._counted(bytes(self._stream.read(wanted)))

    def readline(self, size: int = -1) -> bytes:
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        return self._counted(bytes(self._stream.readline(wanted)))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    def _counted(self, chunk: bytes) -> bytes:
        self._left -= len(chunk)
        if self._left < 0:
            self.exceeded = True
            self._left = 0
        if self.exceeded:
            raise CapExceeded("the image is larger than this service accepts")
        return chunk


def streamed(app: WSGIApplication, extra: Headers) -> WSGIApplication:
    """Return the API with its answer untouched, but for headers: ours are added, image metadata is cut."""
    ours = {name.lower() for name, _ in extra}

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
            kept = [(k, v) for k, v in headers if _passes(k) and k.lower() not in ours]
            return start_response(status, kept + extra, exc_info)

        return app(environ, start)

    return run


def _passes(header: str) -> bool:
    return not header.lower().startswith(_METADATA_HEADER)


def _sub_environ(environ: WSGIEnvironment, path_info: str, query_string: str) -> WSGIEnvironment:
    sub = dict(environ)
    for key in (*_UNEDITABLE, *_OF_A_BODY, *_METHOD_OVERRIDES):
        sub.pop(key, None)
    adhoc = sub.get("webob.adhoc_attrs")
    _forget_parsed(sub)
    if adhoc is not None:
        # The API's own context lives here when we stand behind the middleware that makes it.
        sub["webob.adhoc_attrs"] = dict(adhoc)
    sub["REQUEST_METHOD"] = "GET"
    sub["PATH_INFO"] = path_info
    sub["QUERY_STRING"] = query_string
    sub["wsgi.input"] = BytesIO()
    for raw in ("RAW_URI", "REQUEST_URI"):
        sub.pop(raw, None)
    return sub


def _forget_parsed(environ: WSGIEnvironment) -> None:
    """Drop what frameworks have remembered of the request's old query or body."""
    for key in [k for k in environ if k.startswith(_OF_THE_FIRST_REQUEST) and k != "webob.adhoc_attrs"]:
        del environ[key]
