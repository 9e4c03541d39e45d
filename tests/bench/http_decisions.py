"""Decisions over HTTP: ours, what the same server does for a constant reply, and Cerbos, in turns on this machine.

    python -m tests.bench.http_decisions [--seconds N] [--rounds N]

Wants `wrk` (Debian: wrk) and npm, which fetches Cerbos into `build/cerbos`. Every party answers the same question on an
equivalent policy; 16 connections; the best round of each counts, because what a busy machine adds is nobody's property.
"Each new" means that no two requests are alike, so that nothing which is remembered of one helps with the next.
Exit status: 0 measured, 2 something is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parents[2]
CERBOS = ROOT / "build" / "cerbos"
CERBOS_VERSION = "0.51.0"
CONNECTIONS = 16
BATCH = 100

CERBOS_POLICY = """\
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: image
  version: default
  rules:
    - actions: ["*"]
      effect: EFFECT_ALLOW
      roles: [admin]
    - actions: [get_image]
      effect: EFFECT_ALLOW
      roles: [reader, member]
      condition:
        match:
          any:
            of:
              - expr: R.attr.owner == P.attr.tenant
              - expr: R.attr.visibility in ["public", "community"]
"""

POLAR = """\
allow(subject: Subject, _, _: Image) if subject.has_role("admin");
allow(subject: Subject, "get_image", image: Image) if
    (subject.has_role("reader") or subject.has_role("member"))
    and (image.owner = subject.tenant or image.visibility in ["public", "community"]);
"""

CERBOS_CONF = """\
server:
  httpListenAddr: "127.0.0.1:{port}"
  grpcListenAddr: "127.0.0.1:{other_port}"
storage: {{driver: disk, disk: {{directory: {directory}, watchForChanges: false}}}}
telemetry: {{disabled: true}}
"""


EACH_NEW = """\
local number = 0
local before, after = wrk.body:match('^(.-"id": "i)(.*)$')
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, before .. number .. "-" .. after)
end
"""


@dataclass(frozen=True)
class Party:
    """``new``: every request is about images of its own; else all are the same."""

    name: str
    url: str
    body: bytes
    new: bool = False


@dataclass(frozen=True)
class Speed:
    """``rate`` in requests a second, ``p99`` in milliseconds."""

    rate: float
    p99: float


def constant(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer everything alike, without a look at it."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "17")])
    return [b'{"decision":true}']


def single(roles: str) -> dict[str, Any]:
    """Return an evaluation; ``roles`` is the name of the property that holds the roles."""
    return {
        "subject": {"type": "user", "id": "u1", "properties": {"tenant": "t1", roles: ["member"]}},
        "action": {"name": "get_image"},
        "resource": {"type": "image", "id": "i1", "properties": {"owner": "t1", "visibility": "private"}},
    }


def batch() -> dict[str, Any]:
    question = single("roles")
    resource = question.pop("resource")
    return question | {"evaluations": [{"resource": resource | {"id": f"i{n}"}} for n in range(BATCH)]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(url, timeout=1).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{log.read_text()}") from None
                time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def cerbos_binary() -> Path:
    binary = CERBOS / "node_modules" / "@cerbos" / "cerbos-linux-x64" / "cerbos-linux-x64"
    if not binary.exists():
        CERBOS.mkdir(parents=True, exist_ok=True)
        print("fetching Cerbos with npm ...", file=sys.stderr)
        subprocess.run(["npm", "install", "--silent", "--prefix", CERBOS, f"cerbos@{CERBOS_VERSION}"], check=True)
    return binary


def ours(directory: Path, stack: ExitStack) -> Party:
    policy = directory / "images.polar"
    policy.write_text(POLAR)
    port = free_port()
    command = [sys.executable, "-m", "protect", "serve", "--policy", str(policy), "--listen", f"127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    stack.enter_context(running([*command, "--authentication", "off"], f"{url}/healthz", directory / "ours.log"))
    return Party("protect", f"{url}/access/v1/evaluation", json.dumps(single("roles")).encode())


def same_server(directory: Path, stack: ExitStack) -> Party:
    port = free_port()
    target = f"{__spec__.name if __spec__ else __name__}:constant"
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-ws", target]
    url = f"http://127.0.0.1:{port}"
    stack.enter_context(running(command, url, directory / "constant.log"))
    return Party("constant reply", f"{url}/access/v1/evaluation", json.dumps(single("roles")).encode())


def cerbos(directory: Path, stack: ExitStack) -> Party:
    policies = directory / "cerbos"
    policies.mkdir()
    (policies / "image.yaml").write_text(CERBOS_POLICY)
    port = free_port()
    conf = directory / "cerbos.yaml"
    conf.write_text(CERBOS_CONF.format(port=port, other_port=free_port(), directory=policies))
    command = [str(cerbos_binary()), "server", f"--config={conf}", "--log-level=error"]
    url = f"http://127.0.0.1:{port}"
    stack.enter_context(running(command, f"{url}/_cerbos/health", directory / "cerbos.log"))
    return Party("Cerbos", f"{url}/access/v1/evaluation", json.dumps(single("cerbos.roles")).encode())


def check(party: Party, wanted: object) -> None:
    """Ask once: a party that answers wrongly is not measured."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(party.url, party.body, headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        answer = json.load(reply)
    found = answer.get("decision", [each["decision"] for each in answer.get("evaluations", [])])
    assert found == wanted, f"{party.name} answers {answer}"


def measure(party: Party, seconds: int, directory: Path) -> Speed:
    script = directory / "post.lua"
    body = party.body.decode().replace("]]", "] ]")
    text = f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[{body}]]\n'
    script.write_text(text + (EACH_NEW if party.new else ""))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), party.url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text) or re.search(r"Socket errors: (.*)", text)
    assert not failed, f"{party.name}: {failed.group(0) if failed else ''}"
    rate = float(_found(r"Requests/sec:\s+([\d.]+)", text))
    number, unit = _found(r"99%\s+([\d.]+\w+)", text), {"us": 0.001, "ms": 1.0, "s": 1000.0}
    digits = re.match(r"[\d.]+", number)
    assert digits
    return Speed(rate, float(digits.group()) * unit[number[digits.end() :]])


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found.group(1)


def best(runs: Iterable[Speed]) -> Speed:
    every = list(runs)
    return Speed(max(run.rate for run in every), min(run.p99 for run in every))


def report(speeds: Mapping[str, Speed]) -> None:
    for name, speed in speeds.items():
        print(f"  {name:<28} {speed.rate:>9.0f} requests/s   p99 {speed.p99:>7.2f} ms")
    same, other = speeds["constant reply"], speeds["Cerbos"]
    for how in ("asked again", "each new"):
        mine, many = speeds[f"protect, {how}"], speeds[f"protect, batch, {how}"]
        print(f"  {how}:")
        print(f"    protect to a constant reply   {mine.rate / same.rate:>6.2f}   (wanted: at least 0.70)")
        print(f"    protect to Cerbos             {mine.rate / other.rate:>6.2f}   (wanted: at least 5)")
        print(f"    p99, protect to Cerbos        {mine.p99 / other.p99:>6.2f}   (wanted: below 1)")
        print(f"    decisions, batch to single    {many.rate * BATCH / mine.rate:>6.2f}   (wanted: at least 20)")


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each run (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each party runs (default: 3)")
    chosen = parser.parse_args(given)
    for tool in ("wrk", "npm"):
        if shutil.which(tool) is None:
            print(f"`{tool}` is missing; Debian and Ubuntu: apt-get install {tool}", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        directory = Path(folder)
        mine, *others = (start(directory, stack) for start in (ours, same_server, cerbos))
        many = Party("protect, batch", mine.url + "s", json.dumps(batch()).encode())
        check(many, [True] * BATCH)
        for party in (mine, *others):
            check(party, True)
        parties = [
            replace(party, name=f"{party.name}, {'each new' if new else 'asked again'}", new=new)
            for new in (False, True)
            for party in (mine, many)
        ] + others
        runs: dict[str, list[Speed]] = {party.name: [] for party in parties}
        for _ in range(chosen.rounds):
            for party in parties:
                runs[party.name].append(measure(party, chosen.seconds, directory))
        print(f"decisions over HTTP, {CONNECTIONS} connections, one worker of each")
        report({name: best(each) for name, each in runs.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
