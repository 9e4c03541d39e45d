"""What is remembered of every decision and request: numbers for the metrics, and lines for the decision log.

Whoever answers a request counts and appends, and no more; a thread turns that into metrics and text.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import orjson

from protect.service.calls import Call
from protect.settings import DecisionLog
from protect.values import AnyResource, Decision, Query

log = logging.getLogger("protect.service")

#: Lines that may wait to be written; what comes when so many wait is counted and dropped.
CAPACITY = 16_384
#: Seconds between two looks of the thread.
PAUSE = 0.2
MAX_TEXT = 256  # characters of a name or an id in a line
_WARN_EVERY = 60.0  # seconds

#: Of a decision: the action, and whether it was allowed, an error, a discard.
DecisionKey = tuple[str, bool, bool, bool]
#: Of a request: the endpoint and the status.
RequestKey = tuple[str, int]


class Counts(NamedTuple):
    """What came since the last time. ``requests``: the seconds that each took."""

    decisions: Mapping[DecisionKey, int]
    requests: Mapping[RequestKey, Sequence[float]]
    dropped: int


class Lines(Protocol):
    """Where the decision log goes: see `LogFile`."""

    def write(self, lines: Iterable[bytes]) -> None: ...


class _Line(NamedTuple):
    """One decision, on its way to the log. Nothing in it holds on to a request or to an image."""

    time: float
    decision: Decision
    action: str
    resource: str
    resource_id: str | None
    property: str | None
    subject: str | None
    tenant: str | None
    request_id: str | None
    trace: str | None
    enforcement_point: str | None


Key = TypeVar("Key", bound=Hashable)
Mark = TypeVar("Mark")


class _Marks(Generic[Key, Mark]):
    """Lists by key, to which many threads append and from which one takes. Nothing is lost, and nobody waits.

    It needs no lock because what touches a list is one step each for the interpreter. A key that came no more since the
    last time is forgotten, as clients can make up keys.
    """

    def __init__(self) -> None:
        self.lists: dict[Key, list[Mark]] = {}
        self._idle: dict[Key, list[Mark]] = {}

    def add(self, key: Key, mark: Mark) -> None:
        """Append one. Whoever cannot wait for this call looks into ``lists`` first."""
        self.lists.setdefault(key, []).append(mark)

    def take(self) -> dict[Key, list[Mark]]:
        """Return what came since the last time. Called from one thread at a time."""
        # Somebody may have got hold of a list just before it was put aside: look into it once more.
        found = {key: marks for key, marks in self._idle.items() if marks}
        self._idle = {}
        for key, marks in list(self.lists.items()):
            taken = marks[:]
            if taken:
                del marks[: len(taken)]
                found[key] = found.get(key, []) + taken
            else:
                self._idle[key] = self.lists.pop(key)
        return found


class Recorder:
    """Is told of every decision (call it) and of every request (``observe``), and must not cost or wait.

    ``publish`` gets what was counted, ``lines`` the decision log; both in a thread of our own, which is started by
    ``start`` and goes on in forked children.
    """

    def __init__(
        self,
        which: DecisionLog,
        lines: Lines,
        publish: Callable[[Counts], None],
        *,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._all = which is DecisionLog.ALL
        self._none = which is DecisionLog.NONE
        self._lines = lines
        self._publish = publish
        self._capacity = capacity
        self._clock = clock
        self._stopwatch = stopwatch
        self._warned = -_WARN_EVERY
        self._unsaid = 0
        self._renew()

    def _renew(self) -> None:
        """Begin with nothing: in a forked child, what was counted before is the parent's to tell."""
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._decisions: _Marks[DecisionKey, None] = _Marks()
        self._requests: _Marks[RequestKey, float] = _Marks()
        self._dropped: list[None] = []

    def __call__(self, query: Query, decision: Decision, call: Call) -> None:
        """Remember one decision."""
        allowed = decision.allowed
        key = (query.action, allowed, decision.error, decision.discard)
        try:
            self._decisions.lists[key].append(None)
        except KeyError:
            self._decisions.add(key, None)
        if self._all or not (allowed or self._none):
            self._append(query, decision, call)

    def observe(self, endpoint: str, status: int, seconds: float) -> None:
        """Remember one request. ``endpoint`` is the path of its route, not of the request."""
        try:
            self._requests.lists[endpoint, status].append(seconds)
        except KeyError:
            self._requests.add((endpoint, status), seconds)

    def _append(self, query: Query, decision: Decision, call: Call) -> None:
        waiting = len(self._waiting)
        if waiting >= self._capacity:
            self._dropped.append(None)
            return
        if waiting == self._capacity // 2:
            self._wake.set()
        subject, environ = query.subject, call.environ
        subject_id, tenant = subject.id, subject.tenant
        kind, resource_id, name = _about(query.resource)
        # A `_Line`, but for the time that making one takes.
        self._waiting.append(
            (
                self._clock(),
                decision,
                query.action[:MAX_TEXT],
                kind,
                resource_id,
                name,
                None if subject_id is None else subject_id[:MAX_TEXT],
                None if tenant is None else tenant[:MAX_TEXT],
                environ.get("HTTP_X_REQUEST_ID"),
                environ.get("HTTP_TRACEPARENT"),
                call.enforcement_point,
            )
        )

    def start(self) -> None:
        """Start the thread, here and in every forked child; whatever still waits when the process ends is written."""
        reference = weakref.ref(self)

        def in_child() -> None:
            recorder = reference()
            if recorder is not None:
                recorder._renew()
                recorder._run()

        def at_end() -> None:
            recorder = reference()
            if recorder is not None:
                recorder.close()

        os.register_at_fork(after_in_child=in_child)
        atexit.register(at_end)
        self._run()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._closed = True
        self._wake.set()
        self.flush()

    def flush(self) -> None:
        """Publish what was counted and write what waits. Never raises."""
        with self._flushing:
            try:
                lost = self._write()
                self._publish(self._taken(lost))
            except Exception as error:
                log.error("decisions cannot be recorded: %s", type(error).__name__)

    def _taken(self, lost: int) -> Counts:
        """Return what came since the last time."""
        dropped = len(self._dropped)
        del self._dropped[:dropped]
        self._warn(dropped + lost)
        decisions = {key: len(marks) for key, marks in self._decisions.take().items()}
        return Counts(decisions, self._requests.take(), dropped + lost)

    def _write(self) -> int:
        """Write the lines that wait now; return how many could not be written."""
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not taken:
            return 0
        try:
            self._lines.write(_json(_Line._make(line)) for line in taken)
        except OSError as error:
            log.error("the decision log cannot be written: %s", error.strerror)
            return len(taken)
        return 0

    def _warn(self, dropped: int) -> None:
        self._unsaid += dropped
        if self._unsaid and self._stopwatch() - self._warned >= _WARN_EVERY:
            log.warning("%d lines of the decision log were dropped: they came faster than written", self._unsaid)
            self._unsaid, self._warned = 0, self._stopwatch()

    def _run(self) -> None:
        threading.Thread(target=self._watch, args=(self._wake,), name="protect-records", daemon=True).start()

    def _watch(self, wake: threading.Event) -> None:
        while not self._closed:
            wake.wait(PAUSE)
            wake.clear()
            self.flush()


def _about(resource: AnyResource) -> tuple[str, str | None, str | None]:
    """Return a resource's type, its id (of a part of an image, the image's), and the name of a property."""
    kind = resource.kind
    if kind == "Image":
        return kind, _short(resource.id), None  # type: ignore[union-attr]
    if kind == "Property":
        return kind, _short(resource.image.id), _short(resource.name)  # type: ignore[union-attr]
    if kind == "Resource":
        return _short(resource.type) or kind, _short(resource.id), None  # type: ignore[union-attr]
    image = getattr(resource, "image", None)
    return kind, _short(getattr(resource if image is None else image, "id", None)), None


def _short(text: object) -> str | None:
    return text[:MAX_TEXT] if isinstance(text, str) else None


def _json(line: _Line) -> bytes:
    decision = line.decision
    return orjson.dumps(
        {
            "time": datetime.fromtimestamp(line.time, UTC),
            "outcome": outcome(decision.allowed, decision.error, decision.discard),
            "action": _unicode(line.action),
            "resource": _unicode(line.resource),
            "resource_id": _unicode(line.resource_id),
            "property": _unicode(line.property),
            "subject": _unicode(line.subject),
            "tenant": _unicode(line.tenant),
            "reason": _unicode(decision.reason[: 2 * MAX_TEXT]),
            "revision": decision.revision,
            "mode": "enforce",
            "request_id": _unicode(_short(line.request_id)),
            "trace_id": trace_id(line.trace),
            "enforcement_point": line.enforcement_point,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _unicode(text: str | None) -> str | None:
    # A header may hold bytes that are no text; a line must not be lost for that.
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()


def outcome(allowed: bool, error: bool, discard: bool) -> str:
    """Return the word for how a decision came out."""
    if allowed:
        return "allowed"
    if error:
        return "error"
    return "discarded" if discard else "denied"


_TRACE = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.DOTALL)


def trace_id(header: str | None) -> str | None:
    """Return the trace id of a W3C `traceparent` header; None where there is none, or it is not one."""
    match = _TRACE.fullmatch(header) if header and len(header) <= MAX_TEXT else None
    if match is None or (match[1] == "00" and match[3]):
        return None
    return match[2]
