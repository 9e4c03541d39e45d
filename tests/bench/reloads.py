"""Reloads under full load: no failed request, no wrong answer, and no growth of memory.

    python -m tests.bench.reloads [RELOADS]

Clients keep every connection busy while the policy's file changes between one that allows and one that denies, each
time with another revision; one change in ten is broken. Every answer is kept with its revision, and has to be what that
revision says. Memory is the workers', after the tenth change and after the last.
"""

from __future__ import annotations

import json
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from protect import Policy
from tests.served import EVALUATION, ROOT, Served, eventually, question, serving

RELOADS = 100
CLIENTS, CONNECTIONS = 2, 8
FIRST = 10
OPEN = 'allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;\n'
CLOSED = 'allow(subject: Subject, "get_image", _: Image) if subject.has_role("admin");\n'
BROKEN = 'allow(subject: Subject, "get_image" image) if;\n'


@dataclass
class Outcome:
    """``answers``: how often each body came; ``failed``: what else came, and connections that broke off.

    ``rss``: the workers' memory in MiB, by the number of changes. ``seconds``: until each change was in force.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    rss: dict[int, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    rate: float = 0.0


def hammer(port: int, connections: int) -> None:
    """Ask on every connection at once until the standard input ends; print a line when it goes, then what came."""
    body = question()
    head = (f"POST {EVALUATION} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
    request = "\r\n".join([*head, "", ""]).encode() + body
    answers: Counter[bytes] = Counter()
    failed: Counter[str] = Counter()
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)

    def connect() -> None:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        selector.register(connection, selectors.EVENT_READ, bytearray())
        connection.sendall(request)

    for _ in range(connections):
        connect()
    going = True
    while going:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                going = False
                continue
            connection, held = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            try:
                more = connection.recv(65536)
                if not more:
                    raise ConnectionError("closed")
                held += more
                head, blank, rest = held.partition(b"\r\n\r\n")
                if not blank or len(rest) < length_of(head):
                    continue
                if not answers:
                    print("going", flush=True)
                if head.startswith(b"HTTP/1.1 200 "):
                    answers[bytes(rest)] += 1
                else:
                    failed[bytes(head[:40] + rest[:80]).decode("latin-1")] += 1
                held.clear()
                connection.sendall(request)
            except OSError as error:
                failed[f"{type(error).__name__}: {error}"] += 1
                selector.unregister(connection)
                connection.close()
                connect()
    print(json.dumps([{key.decode(): number for key, number in answers.items()}, failed]))


def length_of(head: bytes | bytearray) -> int:
    return int(bytes(head).lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def memory(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("Rss:")[2].split()[0]) / 1024


def replace(file: Path, text: str) -> None:
    """Write as one should: nobody ever reads half."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def in_force(served: Served, revision: str) -> None:
    """Wait until every worker answers from it: each of many new connections, whichever takes it."""
    want = revision.encode()

    def everywhere() -> bool:
        return all(want in served.ask("POST", EVALUATION, question())[1] for _ in range(4 * len(served.workers())))

    eventually(everywhere, f"revision {revision} in force; {served.log.read_text()[-2000:]}")


def run(directory: Path, reloads: int, *, workers: int = 1) -> Outcome:
    """Change the policy so many times under load, and return what came of it."""
    outcome = Outcome()
    file = directory / "policy.polar"
    allowed: dict[str, bool] = {}

    def write(number: int) -> str | None:
        """Write one version and return its revision, None for a broken one."""
        if number % 10 == 5:
            replace(file, BROKEN + f"# {number}\n")
            return None
        replace(file, (CLOSED if number % 2 else OPEN) + f"# {number}\n")
        revision = Policy.load([str(file)]).revision
        allowed[revision] = number % 2 == 0
        return revision

    write(0)
    options = ["--policy", str(file), "--authentication", "off", "--workers", str(workers), "--decision-log", "none"]
    with serving(directory, *options, "--reload", "60") as served:
        command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "hammer", str(served.port)]
        clients = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(CLIENTS)
        ]
        try:
            for client in clients:
                assert client.stdout
                assert client.stdout.readline() == b"going\n"
            began = time.monotonic()
            for number in range(1, reloads + 1):
                change(served, write(number), outcome)
                if number in (FIRST, reloads):
                    outcome.rss[number] = max(memory(pid) for pid in served.workers())
        finally:
            said = [client.communicate(timeout=30)[0] for client in clients]
        taken = time.monotonic() - began
        pids = served.workers()
        assert len(pids) == workers
    for each in said:
        answers, failed = json.loads(each)
        outcome.answers.update(answers)
        outcome.failed.update(failed)
    outcome.rate = sum(outcome.answers.values()) / taken
    for body in outcome.answers:
        answer = json.loads(body)
        if answer["decision"] is not allowed.get(answer["context"]["revision"]):
            outcome.wrong.append(body)
    return outcome


def change(served: Served, revision: str | None, outcome: Outcome) -> None:
    start = time.monotonic()
    failures = served.log.read_text().count("stays in force")
    served.signal(signal.SIGHUP)
    if revision is None:
        # The first process says so, and each worker.
        wanted = failures + 1 + len(served.workers())
        eventually(lambda: served.log.read_text().count("stays in force") >= wanted, "the broken policy was noticed")
    else:
        in_force(served, revision)
    outcome.seconds.append(time.monotonic() - start)


def main(reloads: int = RELOADS) -> int:
    """Run, print what came of it, and return 1 where something was not as it should be."""
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory), reloads)
    total = sum(outcome.answers.values())
    print(f"{reloads} changes of the policy under load, {CLIENTS * CONNECTIONS} connections:")
    print(f"  requests answered           {total:>10,}   {outcome.rate:,.0f} a second")
    print(f"  failed                      {sum(outcome.failed.values()):>10,}   {dict(outcome.failed) or ''}")
    print(f"  wrong                       {len(outcome.wrong):>10,}")
    print(f"  different answers           {len(outcome.answers):>10,}")
    print(f"  seconds to be in force      {max(outcome.seconds):>10.2f}   at most")
    for number, size in outcome.rss.items():
        print(f"  memory after {number:>4} changes  {size:>10.1f}   MiB")
    return 1 if outcome.failed or outcome.wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["hammer"]:
        hammer(int(sys.argv[2]), CONNECTIONS)
    else:
        sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
