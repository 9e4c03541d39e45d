"""The story that `make demo` tells: a real server, real HTTP, and the policy's own words for every answer.

Starts paste/demo.ini on a free port of 127.0.0.1, plays the story and checks each step, then stays up for
your own requests. Exit status: 0 the story went as told (``--once`` ends there), 1 it did not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import waitress
from paste.deploy import loadapp

PIPELINE = Path(__file__).resolve().parent.parent / "paste" / "demo.ini"
JSON = "application/json"
DATA = "application/octet-stream"
PATCH = "application/openstack-images-v2.1-json-patch"

# user:tenant:roles, as examples/demo_identity.py reads it
ADMIN = "admin:cloud:admin,member,reader"
OWNER = "owner:red:member,reader"
NEIGHBOUR = "neighbour:blue:member,reader"

DATA_OF_THE_IMAGE = bytes(range(256)) * 4096  # 1 MiB
COST_CENTRE = "cc-4711-north"


class StoryBroken(Exception):
    """A step did not end as told. The message says which and how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP, and the decision log's entries of that time, oldest first."""

    status: int
    body: bytes
    decisions: Sequence[Mapping[str, object]] = ()

    def json(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.body)
        return document


class DecisionLog(logging.Handler):
    """Collects what the logger ``protect.decisions`` says: one JSON object for each decision."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Mapping[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._entries.append(json.loads(record.getMessage()))

    def take(self) -> Sequence[Mapping[str, object]]:
        taken, self._entries = self._entries, []
        return taken


class Client:
    """Sends requests as anyone, and gathers the decisions that each one caused."""

    def __init__(self, url: str, log: DecisionLog) -> None:
        self._url = url
        self._log = log

    def send(self, token: str, method: str, path: str, body: object = None, media_type: str = JSON) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": token, "Accept": JSON}
        if data is not None:
            headers["Content-Type"] = media_type
        self._log.take()
        try:
            with urlopen(Request(self._url + path, data, headers, method=method), timeout=30) as response:
                return Answer(response.status, response.read(), self._log.take())
        except HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, refusal.read(), self._log.take())

    def patch(self, token: str, path: str, operation: str, name: str, value: str) -> Answer:
        return self.send(token, "PATCH", path, [{"op": operation, "path": f"/{name}", "value": value}], PATCH)


class Narrator:
    """Prints the steps. Colours only on a terminal that has not asked for none."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._step = 0

    def chapter(self, title: str) -> None:
        print(f"\n{self._paint('1', title)}")

    def step(self, text: str, status: int, answer: Answer, holds: Callable[[Answer], bool] = lambda _: True) -> None:
        """Print one step; raises StoryBroken unless it ended with ``status`` and the answer ``holds``."""
        self._step += 1
        colour = "32" if answer.status < 300 else "33"
        print(f"{self._step:3}. {text:<72} {self._paint(colour, str(answer.status))}")
        if reason := _reason(answer):
            print(self._paint("2", f"       {reason}"))
        if answer.status != status:
            raise StoryBroken(f"step {self._step} should have ended with {status}: {answer.body[:500]!r}")
        if not holds(answer):
            raise StoryBroken(f"step {self._step} did not do what it says: {answer.body[:500]!r}")

    def _paint(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colours else text


def play(client: Client, narrator: Narrator) -> str:
    """Play the story and return its image's path; raises StoryBroken at the first step not as told."""
    send, patch, step, chapter = client.send, client.patch, narrator.step, narrator.chapter

    chapter("An image, and a property that the compute service boots by")
    body = {"name": "web", "disk_format": "raw", "container_format": "bare"}
    answer = send(OWNER, "POST", "/v2/images", body)
    step("the owner (tenant red) creates an image", 201, answer)
    image = f"/v2/images/{answer.json()['id']}"
    step("and uploads its data", 204, send(OWNER, "PUT", f"{image}/file", DATA_OF_THE_IMAGE, DATA))
    answer = patch(ADMIN, image, "add", "kernel_id", "vmlinuz-6")
    step("an admin sets `kernel_id`", 200, answer, _has(kernel_id="vmlinuz-6"))
    step("the owner tries to change it", 403, patch(OWNER, image, "replace", "kernel_id", "mine"))
    answer = send(OWNER, "GET", image)
    step("the owner reads it, and it is what it was", 200, answer, _has(kernel_id="vmlinuz-6"))
    answer = patch(OWNER, image, "add", "os_distro", "debian")
    step("the owner sets `os_distro`, as ever", 200, answer, _has(os_distro="debian"))

    chapter("Who may have the data")
    step("another tenant (blue) asks for the download", 404, send(NEIGHBOUR, "GET", f"{image}/file"))
    step("blue cannot even tell that the image exists", 404, send(NEIGHBOUR, "GET", image))
    answer = send(ADMIN, "POST", f"{image}/members", {"member": "blue"})
    step("the admin shares the image with blue", 200, answer)
    answer = send(NEIGHBOUR, "PUT", f"{image}/members/blue", {"status": "accepted"})
    step("blue accepts", 200, answer)
    answer = send(NEIGHBOUR, "GET", f"{image}/file")
    step("blue downloads it, byte for byte", 200, answer, lambda got: got.body == DATA_OF_THE_IMAGE)
    answer = patch(NEIGHBOUR, image, "replace", "name", "mine")
    step("shared is not owned: blue cannot rename it", 403, answer)

    chapter("A property that its image's owner never sees")
    answer = patch(ADMIN, image, "add", "cost_centre", COST_CENTRE)
    step("the admin notes a `cost_centre`", 200, answer, _has(cost_centre=COST_CENTRE))
    step("the owner reads the image: it is not there", 200, send(OWNER, "GET", image), _silent)
    answer = send(OWNER, "GET", "/v2/images")
    step("nor in the owner's list", 200, answer, lambda got: _silent(got) and _length(got) == 1)
    answer = send(OWNER, "GET", f"/v2/images?cost_centre={COST_CENTRE}")
    step("nor does a search by its value give it away", 200, answer, lambda got: _length(got) == 0)
    step("the owner tries to set it", 403, patch(OWNER, image, "add", "cost_centre", "1"))
    answer = patch(OWNER, image, "replace", "cost_centre", "1")
    step("the owner tries to replace it: what is hidden does not exist", 409, answer)
    step("the owner renames the image", 200, patch(OWNER, image, "replace", "name", "web-2"), _silent)
    answer = send(ADMIN, "GET", image)
    step("the admin reads both", 200, answer, _has(name="web-2", cost_centre=COST_CENTRE))
    return image


def _has(**expected: object) -> Callable[[Answer], bool]:
    return lambda answer: answer.json().items() >= expected.items()


def _silent(answer: Answer) -> bool:
    return b"cost_centre" not in answer.body and COST_CENTRE.encode() not in answer.body


def _length(answer: Answer) -> int:
    images = answer.json()["images"]
    return len(images) if isinstance(images, list) else -1


def _reason(answer: Answer) -> str:
    """The decision that the step is about, in the log's words: the first that was no yes, else the last."""
    if not answer.decisions:
        return ""
    refused = [entry for entry in answer.decisions if entry["outcome"] != "allowed"]
    entry = refused[0] if refused else answer.decisions[-1]
    what = f"{entry['action']} {entry['property']}" if entry.get("property") else entry["action"]
    # The pipeline names the rules from where it lies; a reader looks from the top of the checkout.
    return f"{what}: {entry['reason']}".replace(f"{PIPELINE.parent}/../", "")


def serve(port: int) -> tuple[str, Callable[[], None]]:
    """Start the pipeline on 127.0.0.1 in a thread. Returns its URL, and a function that waits for its end."""
    app = loadapp(f"config:{PIPELINE}")
    server = waitress.create_server(app, host="127.0.0.1", port=port, clear_untrusted_proxy_headers=True)
    thread = threading.Thread(target=server.run, name="demo-server", daemon=True)
    thread.start()
    return f"http://127.0.0.1:{server.effective_port}", thread.join


def invitation(url: str, image: str) -> str:
    """What to try next."""
    headers = f"-H 'Content-Type: {PATCH}'"
    change = """-d '[{"op": "add", "path": "/kernel_id", "value": "x"}]'"""
    return f"""
The server stays up at {url} until Ctrl-C. A token is user:tenant:roles[:service-roles]. For instance:

  # the owner's view, and the operator's
  curl -s -H 'X-Auth-Token: {OWNER}' {url}{image}
  curl -s -H 'X-Auth-Token: {ADMIN}' {url}{image}

  # a stranger
  curl -i -H 'X-Auth-Token: someone:green:member,reader' {url}{image}/file

  # the owner may not; the same owner by way of a trusted service may
  curl -i -X PATCH -H 'X-Auth-Token: {OWNER}' {headers} \\
       {change} {url}{image}
  curl -i -X PATCH -H 'X-Auth-Token: {OWNER}:service' {headers} \\
       {change} {url}{image}

The rules behind it: rules/ and examples/demo.polar, put together in paste/demo.ini.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="play the story, stay up")
    parser.add_argument("--once", action="store_true", help="end after the story")
    parser.add_argument("--port", type=int, default=0, help="the server's port; by default any free one")
    options = parser.parse_args(arguments)
    log = DecisionLog()
    logger = logging.getLogger("protect.decisions")
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    url, wait = serve(options.port)
    print(f"an image API without any policy, and `protect` in front of it, on {url}")
    try:
        image = play(Client(url, log), Narrator())
    except StoryBroken as error:
        print(f"\nthis is not how the story goes: {error}", file=sys.stderr)
        return 1
    print("\nThe story went as told.")
    if options.once:
        return 0
    print(invitation(url, image), flush=True)
    try:
        wait()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
