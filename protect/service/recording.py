"""What is remembered of every decision and request: numbers for the metrics, and lines for the decision log.

Whoever answers a request counts and appends, and no more. One thread publishes what was counted, and another one writes
the lines: whoever reads the log may stop reading without anybody else noticing.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from threading import get_ident
from typing import Any, NamedTuple, Protocol

import orjson

from protect.enforcement.logged_facts import Facts, logged_facts
from protect.service.calls import Call
from protect.settings import DecisionLog
from protect.values import AnyResource, Decision, Query

log = logging.getLogger("protect.service")

#: Lines that may wait to be written; what comes when so many wait is counted and dropped.
CAPACITY = 16_384
#: Seconds between two looks of the threads.
PAUSE = 0.2
#: Seconds that the last lines have when the process ends.
PATIENCE = 5.0
MAX_TEXT = 256  # characters of a name or an id in a line
#: Bytes of a line: as much as a pipe takes at once from several writers without mixing their lines.
MAX_LINE = 4096
#: Upper bounds of the latency histogram, in seconds.
BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: The action of a decision about one that the policy does not mention: clients must not be able to make up counters.
OTHER = "other"
_TOGETHER = 128  # lines
_WARN_EVERY = 60.0  # seconds

#: Of a decision: the action, and whether it was allowed, an error, a discard.
DecisionKey = tuple[str, bool, bool, bool]
#: Of a request: the endpoint and the status.
RequestKey = tuple[str, int]


class Counts(NamedTuple):
    """What came since the last time. ``requests``: how many took up to each of `BOUNDS`, then how many took longer, and
    at the end the seconds that all of them took."""

    decisions: Mapping[DecisionKey, int]
    requests: Mapping[RequestKey, Sequence[float]]
    dropped: int


class Lines(Protocol):
    """Where the decision log goes: see `LogFile`."""

    def write(self, lines: Iterable[bytes]) -> None: ...


class Everything:
    """Holds whatever one asks for."""

    def __contains__(self, item: object) -> bool:
        return True


class _Line(NamedTuple):
    """One decision, on its way to the log. Nothing in it holds on to a request or to an image, and no text is long."""

    time: float
    outcome: str
    action: str
    resource: str
    resource_id: str | None
    property: str | None
    subject: str | None
    tenant: str | None
    reason: str
    revision: str
    request_id: str | None
    trace: str | None
    enforcement_point: str | None
    facts: Facts | None


class _Tally:
    """What one thread has counted, ever: only that one counts here, so that nobody waits for anybody."""

    __slots__ = ("decisions", "dropped", "requests")

    def __init__(self) -> None:
        self.decisions: dict[DecisionKey, int] = {}
        self.requests: dict[RequestKey, list[float]] = {}
        self.dropped = 0


class _Published:
    """What was published already, of what all threads have counted."""

    def __init__(self) -> None:
        self._decisions: dict[DecisionKey, int] = {}
        self._requests: dict[RequestKey, list[float]] = {}
        self._dropped = 0

    def rest(self, tallies: Iterable[_Tally], lost: int) -> Counts:
        """Return what was not published yet, and take it for published from now on."""
        decisions: dict[DecisionKey, int] = {}
        requests: dict[RequestKey, list[float]] = {}
        dropped = lost
        for tally in tallies:
            dropped += tally.dropped
            # Copies, each made in one step of the interpreter: the other thread goes on counting.
            for key, number in tally.decisions.copy().items():
                decisions[key] = decisions.get(key, 0) + number
            for endpoint, row in tally.requests.copy().items():
                requests[endpoint] = _added(requests.get(endpoint), row[:])
        new = Counts(
            {key: number - self._decisions.get(key, 0) for key, number in decisions.items()},
            {key: _without(row, self._requests.get(key)) for key, row in requests.items()},
            dropped - self._dropped,
        )
        self._decisions, self._requests, self._dropped = decisions, requests, dropped
        return Counts(
            {key: number for key, number in new.decisions.items() if number},
            {key: row for key, row in new.requests.items() if any(row)},
            new.dropped,
        )


def _added(row: list[float] | None, other: list[float]) -> list[float]:
    return other if row is None else [one + two for one, two in zip(row, other, strict=True)]


def _without(row: list[float], other: list[float] | None) -> list[float]:
    return row if other is None else [one - two for one, two in zip(row, other, strict=True)]


class Recorder:
    """Is told of every decision (call it) and of every request (``observe``), and must not cost or wait.

    ``publish`` gets what was counted, ``lines`` the decision log, each in a thread of our own, which is started by
    ``start`` and goes on in forked children. ``facts``: whether lines say what it takes to decide again. ``actions``:
    those that are counted apart.
    """

    def __init__(
        self,
        which: DecisionLog,
        lines: Lines,
        publish: Callable[[Counts], None],
        *,
        facts: bool = False,
        actions: Callable[[], Container[str]] = Everything,
        capacity: int = CAPACITY,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._all = which is DecisionLog.ALL
        self._none = which is DecisionLog.NONE
        self._lines = lines
        self._publish = publish
        self._facts = facts
        self._actions = actions
        self._known = actions()
        self._capacity = capacity
        self._patience = patience
        self._clock = clock
        self._stopwatch = stopwatch
        self._started = False
        self._renew()

    def _renew(self) -> None:
        """Begin with nothing: in a forked child, what was counted before is the parent's to tell."""
        self._publishing = threading.Lock()
        self._wake, self._written = threading.Event(), threading.Event()
        self._closed = False
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._in_hand = 0
        self._lost = 0
        self._trouble: str | None = None
        # By the threads' numbers, which later threads get again: as many as there ever were at once.
        self._tallies: dict[int, _Tally] = {}
        self._published = _Published()
        self._warned = -_WARN_EVERY
        self._unsaid = 0

    def __call__(self, query: Query, decision: Decision, call: Call) -> None:
        """Remember one decision."""
        allowed, action = decision.allowed, query.action
        if action not in self._known:
            action = OTHER
        key = (action, allowed, decision.error, decision.discard)
        try:
            self._tallies[get_ident()].decisions[key] += 1
        except KeyError:
            self._tallies.setdefault(get_ident(), _Tally()).decisions[key] = 1
        if self._all or not (allowed or self._none):
            self._append(query, decision, call)

    def observe(self, endpoint: str, status: int, seconds: float) -> None:
        """Remember one request. ``endpoint`` is the path of its route, not of the request."""
        try:
            row = self._tallies[get_ident()].requests[endpoint, status]
        except KeyError:
            row = [0] * (len(BOUNDS) + 2)
            self._tallies.setdefault(get_ident(), _Tally()).requests[endpoint, status] = row
        row[bisect_left(BOUNDS, seconds)] += 1
        row[-1] += seconds

    def _append(self, query: Query, decision: Decision, call: Call) -> None:
        waiting = len(self._waiting)
        if waiting >= self._capacity:
            self._tallies[get_ident()].dropped += 1
            return
        if waiting == self._capacity // 2:
            self._wake.set()
        subject, environ = query.subject, call.environ
        subject_id, tenant, point = subject.id, subject.tenant, call.enforcement_point
        request_id, trace = environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT")
        kind, resource_id, name = _about(query.resource)
        # A `_Line`, but for the time that making one takes. What is cut here cannot fill the memory.
        self._waiting.append(
            (
                self._clock(),
                outcome(decision.allowed, decision.error, decision.discard),
                query.action[:MAX_TEXT],
                kind,
                resource_id,
                name,
                None if subject_id is None else subject_id[:MAX_TEXT],
                None if tenant is None else tenant[:MAX_TEXT],
                decision.reason[: 2 * MAX_TEXT],
                decision.revision,
                None if request_id is None else request_id[:MAX_TEXT],
                None if trace is None else trace[: MAX_TEXT + 1],
                None if point is None else point[:MAX_TEXT],
                logged_facts(subject, query.resource, query.context) if self._facts else None,
            )
        )

    def start(self) -> None:
        """Start the threads, here and in every forked child; whatever still waits when the process ends is written."""
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
        self._started = True
        self._run()

    def close(self) -> None:
        """Write what waits, and end the threads. Where nobody takes the lines, say how many are lost, and end all the
        same."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        if not self._started:
            self.write()
            self._written.set()
        reads = self._written.wait(self._patience)
        lost = len(self._waiting) + self._in_hand
        if lost:
            why = f"it cannot be written: {self._trouble}" if reads else "whoever reads it does not read"
            log.warning("%d lines of the decision log are lost: %s", lost, why)
        self.publish()

    def flush(self) -> None:
        """Write what waits and publish what was counted. Waits for whoever reads the log; never raises."""
        self.write()
        self.publish()

    def publish(self) -> None:
        """Publish what was counted. Never raises, and never waits for the log."""
        with self._publishing:
            try:
                self._known = self._actions()
                counts = self._published.rest(list(self._tallies.values()), self._lost)
                self._warn(counts.dropped)
                self._publish(counts)
            except Exception as error:
                log.error("decisions cannot be counted: %s", type(error).__name__)

    def write(self) -> None:
        """Write the lines that wait now. Never raises. To be called by one thread."""
        for _ in range(len(self._waiting) // _TOGETHER + 1):
            taken = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
            self._in_hand = len(taken)
            try:
                if taken:
                    self._lines.write(_json(_Line._make(line)) for line in taken)
            except Exception as error:
                self._lost += len(taken)
                self._trouble = getattr(error, "strerror", None) or type(error).__name__
                return
            finally:
                self._in_hand = 0

    def _warn(self, dropped: int) -> None:
        self._unsaid += dropped
        if self._unsaid and self._stopwatch() - self._warned >= _WARN_EVERY:
            why = "they came faster than written" if self._trouble is None else f"it cannot be written: {self._trouble}"
            log.warning("%d lines of the decision log were dropped: %s", self._unsaid, why)
            self._unsaid, self._warned, self._trouble = 0, self._stopwatch(), None

    def _run(self) -> None:
        wake, written = self._wake, self._written
        for name, target in (("log", self._keep_writing), ("counts", self._keep_publishing)):
            threading.Thread(target=target, args=(wake, written), name=f"protect-{name}", daemon=True).start()

    def _keep_writing(self, wake: threading.Event, written: threading.Event) -> None:
        while not self._closed:
            wake.wait(PAUSE)
            wake.clear()
            self.write()
        self.write()
        written.set()

    def _keep_publishing(self, wake: threading.Event, written: threading.Event) -> None:
        while not written.wait(PAUSE):
            self.publish()


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
    """Return a line, with its end. Where it is too long, facts are left out, the largest first; then texts are cut
    further, because characters that JSON escapes are several bytes."""
    facts, longest = dict(line.facts or {}), MAX_TEXT
    while len(found := _dump(line, facts, longest)) > MAX_LINE:
        if facts:
            del facts[max(facts, key=lambda part: len(orjson.dumps(facts[part])))]
        else:
            longest //= 2
    return found


def _dump(line: _Line, facts: Facts, longest: int) -> bytes:
    written = {
        "time": datetime.fromtimestamp(line.time, UTC),
        "outcome": line.outcome,
        "action": _unicode(line.action, longest),
        "resource": _unicode(line.resource, longest),
        "resource_id": _unicode(line.resource_id, longest),
        "property": _unicode(line.property, longest),
        "subject": _unicode(line.subject, longest),
        "tenant": _unicode(line.tenant, longest),
        "reason": _unicode(line.reason, 2 * longest),
        "revision": line.revision,
        "mode": "enforce",
        "request_id": _unicode(line.request_id, longest),
        "trace_id": trace_id(line.trace),
        "enforcement_point": _unicode(line.enforcement_point, longest),
    }
    if facts:
        written["facts"] = facts
    if longest < MAX_TEXT:
        # Who reads it must not take what is left of an id for the whole.
        written["cut"] = longest
    return orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE)


def _unicode(text: str | None, longest: int) -> str | None:
    # A header may hold bytes that are no text; a line must not be lost for that.
    if text is None:
        return None
    text = text[:longest]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


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
