"""What the filter costs in front of a real Glance: the same requests to one with it and one without it, in turns.

    python -m tests.bench.glance_overhead [PAIRS OF SERVERS] [bare]

The pipeline is the one that Glance ships for Keystone, with keystonemiddleware, which keeps the token that it has asked
about. With `bare` it has nothing that Glance can do without, and who asks stands in the token: all that is left to
compare with is Glance itself.

Wants a Glance environment (`make glance-env`, or PROTECT_GLANCE_ENV). Both servers run at the same time, each request
is sent to both, and who is first changes from request to request, so that a change of the machine's speed hits both
alike. One process of Python can be some percent faster than the next of the same, all its life long, and of two equal
servers the one that was started first is the slower one by two or three percent: so every round is measured with two
new servers, and they take turns in being first.
Two measures: the time that a client waits, and the processor time that the server's worker uses, which other load on
the machine disturbs much less.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.glance.keystone import running_keystone
from tests.glance.server import Glance, make_database, running_glance

ADMIN = "ada:ops:admin,member,reader"
OWNER = "olivia:t1:member,reader"
IMAGES, PROPERTIES = 20, 10
WARM_UP, PAIRS = 30, 100
TARGET = 0.05


@contextmanager
def connected(glance: Glance) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", glance.port, timeout=60)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def fill(glance: Glance) -> str:
    """Create the images, each with a magic property among its own, and return the id of one."""
    properties = {f"property_{number}": f"value {number}" for number in range(PROPERTIES - 1)}
    made = [
        glance.create(ADMIN, owner="t1", name=f"image {number}", kernel_id="k", **properties)
        for number in range(IMAGES)
    ]
    return made[0]


def seconds(connection: http.client.HTTPConnection, path: str) -> float:
    """Return the time from sending a request to having read the whole answer."""
    start = time.perf_counter()
    connection.request("GET", path, headers={"X-Auth-Token": OWNER})
    reply = connection.getresponse()
    reply.read()
    taken = time.perf_counter() - start
    assert reply.status == 200, f"{path}: {reply.status}"
    assert not reply.will_close, "the connection must stay: a new one costs more than what is measured"
    return taken


def processor_seconds(glance: Glance) -> float:
    """Return the processor time that the workers have used so far, all threads together."""
    threads = [thread for pid in glance.worker_pids() for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def in_turns(ways: list[tuple[http.client.HTTPConnection, str]], count: int) -> list[list[float]]:
    """Return the times of ``count`` requests each way."""
    times: list[list[float]] = [[] for _ in ways]
    for number in range(count):
        order = range(len(ways)) if number % 2 == 0 else reversed(range(len(ways)))
        for which in order:
            times[which].append(seconds(*ways[which]))
    return times


def check_the_same(servers: list[Glance], paths: list[str]) -> None:
    """Raise AssertionError unless both show the same amount: otherwise the times would not compare."""
    documents = [json.loads(s.call("GET", p, OWNER).body) for s, p in zip(servers, paths, strict=True)]
    counts = [(len(d.get("images", ())), len(d), len(d.get("images", [{}])[0])) for d in documents]
    assert counts[0] == counts[1], counts


def one_round(servers: list[Glance], paths: list[str]) -> list[tuple[float, float]]:
    """Return, for each server, the median of the times that a client waits, and the processor time of a request."""
    with ExitStack() as stack:
        ways = [(stack.enter_context(connected(s)), p) for s, p in zip(servers, paths, strict=True)]
        in_turns(ways, WARM_UP)
        before = [processor_seconds(server) for server in servers]
        times = in_turns(ways, PAIRS)
        used = [processor_seconds(server) - start for server, start in zip(servers, before, strict=True)]
    return [(statistics.median(waited), each / PAIRS) for waited, each in zip(times, used, strict=True)]


SERVERS: Mapping[str, Mapping[str, str] | None] = {"with": {"decision_log": "denied"}, "without": None}


@contextmanager
def both_servers(base: Path, database: Path, keystone: str, *names: str) -> Iterator[list[Glance]]:
    """Start a Glance with the filter and one without, in the order of ``names``."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(running_glance(base / name, database, protect=SERVERS[name], keystone=keystone))
            for name in names
        ]


def report(title: str, measured: list[list[tuple[float, float]]]) -> None:
    print(f"{title}: medians of {len(measured)} pairs of servers, {PAIRS} requests each")
    for which, name in enumerate(("waiting", "processor time")):
        pairs = [(ours[which], alone[which]) for ours, alone in measured]
        ratios = [ours / alone - 1 for ours, alone in pairs]
        ours, alone = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
        # Two heaps, by who was started first: the median of all would be any place between them.
        by_order = [statistics.median(ratios[first::2]) for first in (0, 1) if ratios[first::2]]
        ratio = statistics.mean(by_order)
        verdict = "within" if ratio < TARGET else "ABOVE"
        apart = " and ".join(f"{each:+.1%}" for each in by_order)
        print(
            f"  {name:<14}  without {alone:7.2f} ms  with {ours:7.2f} ms  overhead {ratio:+6.1%} "
            f"({apart} by who started first), {verdict} the target of {TARGET:.0%}",
            flush=True,
        )


def main(rounds: int = 10, *, bare: bool = False) -> None:
    """Start pairs of servers, and compare the two of each on one image and on a list of twenty."""
    shows: list[list[tuple[float, float]]] = []
    lists: list[list[tuple[float, float]]] = []
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        keystone = "" if bare else stack.enter_context(running_keystone())
        database = make_database(Path(directory) / "database")
        for number in range(rounds):
            print(f"\rpair {number + 1} of {rounds} ", end="", file=sys.stderr, flush=True)
            names = sorted(SERVERS, reverse=number % 2 == 1)
            with both_servers(Path(directory) / str(number), database, keystone, *names) as servers:
                for measured, paths in (
                    (shows, [f"/v2/images/{fill(server)}" for server in servers]),
                    (lists, [f"/v2/images?limit={IMAGES}"] * 2),
                ):
                    check_the_same(servers, paths)
                    of = dict(zip(names, one_round(servers, paths), strict=True))
                    measured.append([of["with"], of["without"]])
    print(file=sys.stderr)
    report("GET /v2/images/{id}", shows)
    report(f"GET /v2/images, {IMAGES} images", lists)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:] if argument != "bare"), bare="bare" in sys.argv[1:])
