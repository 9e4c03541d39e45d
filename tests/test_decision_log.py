"""What is remembered of decisions: lines that hold no value, numbers that add up, and no waiting."""

from __future__ import annotations

import logging
import os
import select
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from protect.errors import ConfigError
from protect.service.calls import Call, Limits
from protect.service.log_file import LogFile
from protect.service.recording import Counts, Recorder, trace_id
from protect.settings import DecisionLog
from protect.values import Decision, Image, Location, Member, Property, Query, Resource, Subject

ALLOWED = Decision(True, "allowed by a.polar:1", "r1")
DENIED = Decision(False, "no rule allows it", "r1")
ERROR = Decision(False, "the policy could not be evaluated", "r1", error=True)
DISCARDED = Decision(False, "dropped by a.polar:2", "r1", discard=True)
SUBJECT = Subject(id="u1", tenant="t1", claims={"password": "SECRET"})
IMAGE = Image(id="i1", owner="t1", properties={"kernel_id": "SECRET"})
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Memory:
    """Keeps the lines, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.lines: list[bytes] = []
        self.fails = fails

    def write(self, lines: Iterable[bytes]) -> None:
        if self.fails:
            raise OSError(28, "No space left on device")
        self.lines += lines


class Kept:
    """A recorder without a thread, what it has written and what it has counted."""

    def __init__(self, which: DecisionLog = DecisionLog.ALL, *, fails: bool = False, **options: Any) -> None:
        self.memory = Memory(fails)
        self.counts: list[Counts] = []
        self.recorder = Recorder(which, self.memory, self.counts.append, clock=lambda: 0.0, **options)

    def record(self, decision: Decision = DENIED, query: Query | None = None, **environ: str) -> None:
        call = Call(dict(environ), Limits(), enforcement_point="nova")
        self.recorder(query or Query(SUBJECT, "get_image", IMAGE), decision, call)

    def lines(self) -> list[dict[str, Any]]:
        self.recorder.flush()
        return [orjson.loads(line) for line in self.memory.lines]


def test_a_line_says_who_what_and_why() -> None:
    kept = Kept()
    kept.record(HTTP_X_REQUEST_ID="req-1", HTTP_TRACEPARENT=TRACE)
    assert kept.lines() == [
        {
            "time": "1970-01-01T00:00:00+00:00",
            "outcome": "denied",
            "action": "get_image",
            "resource": "Image",
            "resource_id": "i1",
            "property": None,
            "subject": "u1",
            "tenant": "t1",
            "reason": "no rule allows it",
            "revision": "r1",
            "mode": "enforce",
            "request_id": "req-1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "enforcement_point": "nova",
        }
    ]


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        pytest.param(IMAGE, ("Image", "i1", None), id="an image"),
        pytest.param(Property("kernel_id", IMAGE, "SECRET"), ("Property", "i1", "kernel_id"), id="a property"),
        pytest.param(Member("t2", IMAGE, "SECRET"), ("Member", "i1", None), id="a member of an image"),
        pytest.param(Location(IMAGE, url="https://SECRET@h/"), ("Location", "i1", None), id="a place with a password"),
        pytest.param(Resource("record", "r1", {"x": "SECRET"}), ("record", "r1", None), id="anything else"),
    ],
)
def test_no_value_is_in_a_line(resource: Any, told: tuple[str, str, str | None]) -> None:
    kept = Kept()
    kept.record(query=Query(SUBJECT, "read", resource, {"reason": "SECRET"}))
    line = kept.lines()[0]
    assert (line["resource"], line["resource_id"], line["property"]) == told
    assert b"SECRET" not in kept.memory.lines[0]


def test_facts_are_told_where_they_are_asked_for() -> None:
    kept = Kept(facts=True)
    kept.record(query=Query(SUBJECT, "get_image", IMAGE, {"api": "glance", "import_uri": "https://SECRET@h/"}))
    [line] = kept.lines()
    assert line["facts"]["image"]["owner"] == "t1"
    assert line["facts"]["context"] == {
        "api": "glance",
        **dict.fromkeys(("api_version", "remote_address", "store", "import_method")),
    }
    assert b"SECRET" not in kept.memory.lines[0]
    assert "cut" not in line


@pytest.mark.parametrize(
    ("which", "written"),
    [
        (DecisionLog.ALL, ["allowed", "denied", "error", "discarded"]),
        (DecisionLog.DENIED, ["denied", "error", "discarded"]),
        (DecisionLog.NONE, []),
    ],
)
def test_the_log_holds_the_outcomes_that_were_asked_for(which: DecisionLog, written: list[str]) -> None:
    kept = Kept(which)
    for decision in (ALLOWED, DENIED, ERROR, DISCARDED):
        kept.record(decision)
    assert [line["outcome"] for line in kept.lines()] == written
    assert sum(kept.counts[0].decisions.values()) == 4  # whatever is logged, all are counted


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('a"\n{"outcome": "allowed"}\n', id="a line break in an id"),
        pytest.param("\ud800", id="half a character"),
        pytest.param("x" * 100_000, id="an endless id"),
    ],
)
def test_whatever_an_id_is_it_is_one_line(text: str) -> None:
    kept = Kept()
    kept.record(query=Query(Subject(id=text, tenant=text), text, Image(id=text)), HTTP_X_REQUEST_ID=text)
    assert len(kept.lines()) == 1
    assert kept.memory.lines[0].count(b"\n") == 1
    assert len(kept.memory.lines[0]) < 10_000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(TRACE, "0af7651916cd43dd8448eb211c80319c", id="as it should be"),
        pytest.param(TRACE + "-x", None, id="version 00 has four parts"),
        pytest.param("01" + TRACE[2:] + "-x", "0af7651916cd43dd8448eb211c80319c", id="a later version may have more"),
        pytest.param("ff" + TRACE[2:], None, id="version ff is none"),
        pytest.param(TRACE.upper(), None, id="capitals are none"),
        pytest.param("00-" + "0" * 32 + TRACE[35:], None, id="no trace of zeros"),
        pytest.param(TRACE[:36] + "0" * 16 + "-01", None, id="no parent of zeros"),
        pytest.param(TRACE + "\n", None, id="a line break behind it"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="not there"),
    ],
)
def test_only_a_whole_traceparent_gives_a_trace(header: str | None, expected: str | None) -> None:
    assert trace_id(header) == expected


def test_what_comes_when_too_many_wait_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    kept = Kept(capacity=2, stopwatch=lambda: now[0])
    for _ in range(5):
        kept.record()
    assert len(kept.lines()) == 2
    assert kept.counts[-1].dropped == 3
    for seconds, said in ((1, 1), (59, 1), (61, 2)):
        now[0] = seconds
        for _ in range(3):
            kept.record()
        kept.recorder.flush()
        assert len([record for record in caplog.records if "were dropped" in record.message]) == said
    assert "3 lines" in caplog.text


def test_lines_that_cannot_be_written_are_lost_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(fails=True)
    kept.record()
    kept.record()
    kept.recorder.flush()
    assert kept.counts[-1].dropped == 2
    assert "No space left on device" in caplog.text


def test_nothing_is_lost_between_many_threads() -> None:
    kept = Kept(DecisionLog.NONE)

    def work() -> None:
        for _ in range(5000):
            kept.record(ALLOWED)
            kept.recorder.observe("/a", 200, 0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        kept.recorder.publish()
    kept.recorder.publish()
    assert sum(number for counts in kept.counts for number in counts.decisions.values()) == 20_000
    rows = [row for counts in kept.counts for row in counts.requests.values()]
    assert sum(sum(row[:-1]) for row in rows) == 20_000
    assert sum(row[-1] for row in rows) == pytest.approx(20)


def test_actions_that_clients_make_up_make_no_counters() -> None:
    kept = Kept(DecisionLog.NONE, actions=lambda: {"get_image"})
    for number in range(1000):
        kept.record(query=Query(SUBJECT, f"made up {number}", IMAGE))
    kept.record()
    kept.recorder.publish()
    assert kept.counts[-1].decisions == {
        ("get_image", False, False, False): 1,
        ("other", False, False, False): 1000,
    }


def test_an_action_that_another_policy_mentions_is_counted_apart_from_then_on() -> None:
    known = {"get_image"}
    kept = Kept(DecisionLog.NONE, actions=lambda: known)
    for _ in range(2):
        kept.record(query=Query(SUBJECT, "new", IMAGE))
        known.add("new")
        kept.recorder.publish()
    assert [list(counts.decisions) for counts in kept.counts] == [
        [("other", False, False, False)],
        [("new", False, False, False)],
    ]


def waits_for(found: Callable[[], bool]) -> bool:
    """Whether it comes true in ten seconds, looking again and again."""
    return any(found() or threading.Event().wait(0.05) for _ in range(200)) and found()


def test_the_thread_writes_by_itself_and_again_in_a_forked_child(tmp_path: Path) -> None:
    path = tmp_path / "log"
    recorder = Recorder(DecisionLog.ALL, LogFile(str(path)), lambda counts: None)
    recorder.start()
    recorder(Query(SUBJECT, "parent", IMAGE), DENIED, Call({}, Limits()))
    assert waits_for(lambda: b"parent" in path.read_bytes())
    recorder(Query(SUBJECT, "late", IMAGE), DENIED, Call({}, Limits()))
    child = os.fork()
    if child == 0:
        recorder(Query(SUBJECT, "child", IMAGE), DENIED, Call({}, Limits()))
        os._exit(0 if waits_for(lambda: b"child" in path.read_bytes()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    recorder.close()
    assert path.read_bytes().count(b'"late"') == 1  # the child does not write what its parent was told


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path))
    file.write([b"1\n"])
    path.rename(tmp_path / "log.1")
    file.write([b"2\n"])
    assert (path.read_bytes(), (tmp_path / "log.1").read_bytes()) == (b"2\n", b"1\n")
    path.unlink()
    file.write([b"3\n"])
    assert path.read_bytes() == b"3\n"
    assert path.stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_written_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        LogFile(str(tmp_path / "missing" / "log"))


def test_lines_go_into_a_pipe_in_pieces_that_are_not_mixed(tmp_path: Path) -> None:
    # A named pipe stands for the standard output of a container.
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(str(path))
    lines = [b"%d %s\n" % (number, b"x" * 1000) for number in range(30)]
    file.write(lines)
    assert os.read(reader, 65536) == b"".join(lines)
    os.close(reader)
    file.close()


def test_a_closed_recorder_has_written_everything() -> None:
    kept = Kept()
    kept.record()
    kept.recorder.close()
    assert len(kept.memory.lines) == 1


class Stalled:
    """A log whose reader does not read, until it is told to."""

    def __init__(self) -> None:
        self.entered, self.reading = threading.Event(), threading.Event()
        self.lines: list[bytes] = []

    def write(self, lines: Iterable[bytes]) -> None:
        self.entered.set()
        assert self.reading.wait(60)
        self.lines += lines


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    found = Stalled()
    yield found
    found.reading.set()


def stuck(stalled: Stalled, counts: list[Counts], **options: Any) -> Recorder:
    """A recorder whose thread is stuck with one line."""
    recorder = Recorder(DecisionLog.ALL, stalled, counts.append, **options)
    recorder.start()
    recorder(Query(SUBJECT, "get_image", IMAGE), DENIED, Call({}, Limits()))
    assert stalled.entered.wait(60)
    return recorder


def total(counts: list[Counts]) -> int:
    return sum(number for each in counts for number in each.decisions.values())


def test_while_nobody_reads_the_log_all_is_counted_and_no_more_than_the_bound_waits(
    stalled: Stalled, caplog: pytest.LogCaptureFixture
) -> None:
    counts: list[Counts] = []
    recorder = stuck(stalled, counts, capacity=100)
    for _ in range(1000):
        recorder(Query(SUBJECT, "get_image", IMAGE), DENIED, Call({}, Limits()))
        recorder.observe("/a", 200, 0.001)
    recorder.publish()  # as a request for the metrics does: it must not wait
    assert total(counts) == 1001
    assert sum(each.dropped for each in counts) == 900
    assert len(recorder._waiting) == 100
    assert waits_for(lambda: "lines of the decision log were dropped" in caplog.text)
    stalled.reading.set()
    recorder.close()
    assert len(stalled.lines) == 101


def test_counters_do_not_grow_with_what_they_count(stalled: Stalled) -> None:
    recorder = stuck(stalled, [], capacity=10)
    query, call = Query(SUBJECT, "get_image", IMAGE), Call({}, Limits())
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(20_000):
                recorder(query, DENIED, call)
                recorder.observe("/a", 200, 0.001)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 10_000  # bytes


def test_what_waits_holds_on_to_no_long_text(stalled: Stalled) -> None:
    recorder = stuck(stalled, [], facts=True)
    long = "x" * 300_000
    decision = Decision(False, f"no rule allows `{long}`", "r1")
    roles = frozenset(map(str, range(10_000)))
    query = Query(Subject(id=long, tenant=long, roles=roles), long, Resource(long, long), {"store": long})
    headers = {"HTTP_X_REQUEST_ID": long, "HTTP_TRACEPARENT": long}
    recorder(query, decision, Call(headers, Limits(), enforcement_point=long))
    [line] = recorder._waiting
    assert sum(len(each) for each in line if isinstance(each, str)) < 5000
    assert len(orjson.dumps(line[-1])) < 500


@pytest.mark.parametrize("reads", [True, False], ids=["somebody reads", "nobody reads"])
def test_the_end_waits_for_a_reader_but_not_for_ever(
    stalled: Stalled, reads: bool, caplog: pytest.LogCaptureFixture
) -> None:
    counts: list[Counts] = []
    recorder = stuck(stalled, counts, patience=60 if reads else 0.05)
    for _ in range(9):
        recorder(Query(SUBJECT, "get_image", IMAGE), DENIED, Call({}, Limits()))
    if reads:
        stalled.reading.set()
    recorder.close()
    assert total(counts) == 10
    lost = "10 lines of the decision log are lost: whoever reads it does not read"
    assert (lost in caplog.text) is not reads
    assert len(stalled.lines) == (10 if reads else 0)


def test_the_end_says_what_a_full_disk_has_cost(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(fails=True)
    for _ in range(1000):
        kept.record()
    kept.recorder.close()
    numbers = [int(record.getMessage().split()[0]) for record in caplog.records]
    assert sum(numbers) == 1000
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("text", ["\x01", "\u20ac", "a"], ids=["six bytes each", "three bytes each", "one byte each"])
def test_a_line_is_never_longer_than_a_pipe_takes_at_once(text: str) -> None:
    kept = Kept()
    long = text * 1000
    query = Query(Subject(id=long, tenant=long), long, Property(long, Image(id=long), None))
    kept.record(Decision(False, long, "r1"), query, HTTP_X_REQUEST_ID=long)
    [line] = kept.lines()
    assert len(kept.memory.lines[0]) <= select.PIPE_BUF
    assert long.startswith(line["subject"])
    assert len(line["subject"]) >= 32


def test_a_line_that_is_too_long_leaves_out_facts_before_it_cuts_texts() -> None:
    kept = Kept(facts=True)
    roles = frozenset(f"{number:02}\u20ac\u20ac\u20ac\u20ac\u20ac" for number in range(60))
    long = Subject(id="\u20ac" * 200, tenant="\u20ac" * 200, roles=roles, service_roles=roles)
    kept.record(query=Query(long, "get_image", Image(id="\u20ac" * 200, owner="t1", visibility="private")))
    [line] = kept.lines()
    assert len(kept.memory.lines[0]) <= select.PIPE_BUF
    assert line["subject"] == long.id
    assert "subject" not in line["facts"]
    assert line["facts"]["image"]["owner"] == "t1"
    assert "cut" not in line


def test_a_line_says_where_its_texts_were_cut_earlier_than_usual() -> None:
    kept = Kept(facts=True)
    long = "\x01" * 200
    kept.record(query=Query(Subject(id=long, tenant=long), "get_image", Property(long, Image(id=long))))
    [line] = kept.lines()
    assert line["cut"] == len(line["subject"]) < 200
    assert "facts" not in line


def test_trouble_with_the_metrics_does_not_end_the_log(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()

    def publish(counts: Counts) -> None:
        raise ValueError

    recorder = Recorder(DecisionLog.ALL, memory, publish)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            recorder(Query(SUBJECT, "a", IMAGE), DENIED, Call({}, Limits()))
            recorder.flush()
    assert len(memory.lines) == 2
    assert "ValueError" in caplog.text
