"""A thread that looks now and then: when it is told to, in forked children, and until it is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protect.identity.fetching import loader
from protect.identity.guards import TokenFile
from protect.identity.keyring import Keyring
from protect.reload import Reloader
from protect.service.entities import EntitiesFile
from protect.watching import Watch, look_soon
from tests.served import eventually
from tests.tokens import jwks

HOUR = 3600.0


@contextmanager
def counting(pause: float | None) -> Iterator[tuple[Watch, list[int]]]:
    """A watch that has been started, and a list that grows with each look."""
    looks: list[int] = []

    def look() -> None:
        with watch.looking:
            looks.append(len(looks))

    watch = Watch(look, lambda: pause, "test-watch")
    watch.start()
    watch.start()
    try:
        assert [thread.name for thread in threading.enumerate()].count("test-watch") == 1
        yield watch, looks
    finally:
        watch.stop()
        eventually(lambda: "test-watch" not in [thread.name for thread in threading.enumerate()], "its end")


def test_it_looks_now_and_then() -> None:
    with counting(0.001) as (_, looks):
        eventually(lambda: len(looks) > 2, "three looks")


def test_without_an_interval_it_looks_when_it_is_told_to() -> None:
    with counting(None) as (watch, looks):
        for number in (1, 2):
            watch.look_soon()
            eventually(lambda number=number: len(looks) == number, "the look")  # type: ignore[misc]


def policy(directory: Path) -> tuple[Path, bytes, Reloader, Callable[[Reloader], object]]:
    file = directory / "p.polar"
    file.write_text('allow(_s: Subject, "a", _i: Image);\n')
    held = Reloader([str(file)])
    held.start(on_demand=True)
    return file, b'allow(_s: Subject, "b", _i: Image);\n', held, lambda held: held.policy.revision


def entities(directory: Path) -> tuple[Path, bytes, EntitiesFile, Callable[[EntitiesFile], object]]:
    file = directory / "entities.json"
    file.write_text(json.dumps({"subjects": [], "resources": []}))
    held = EntitiesFile(str(file))
    held.start()
    other = {"subjects": [{"type": "user", "id": "u"}], "resources": []}
    return file, json.dumps(other).encode(), held, lambda held: held.entities.revision


def tokens(directory: Path) -> tuple[Path, bytes, TokenFile, Callable[[TokenFile], object]]:
    file = directory / "tokens"
    file.touch(0o600)
    file.write_text(f"a:{'a' * 32}\n")
    held = TokenFile(str(file), seconds=HOUR)
    held.start()
    return file, f"b:{'b' * 32}\n".encode(), held, lambda held: str(held._names)


def keys(directory: Path) -> tuple[Path, bytes, Keyring, Callable[[Keyring], object]]:
    file = directory / "jwks.json"
    file.write_bytes(jwks("rsa"))
    held = Keyring(loader(str(file)), str(file), refresh=HOUR)
    held.start()
    return file, jwks("ed"), held, lambda held: held.current.knows("ed")


@pytest.mark.parametrize("made", [policy, entities, tokens, keys])
def test_a_signal_reaches_whatever_is_looked_at(made: Callable[[Path], tuple], tmp_path: Path) -> None:  # type: ignore[type-arg]
    file, other, held, seen = made(tmp_path)
    try:
        before = seen(held)
        file.write_bytes(other)
        assert seen(held) == before
        look_soon()
        eventually(lambda: seen(held) != before, "the change in force")
    finally:
        held.stop()


FORKING = """
import os, sys, threading, time
from protect.watching import Watch

looks, go = [], threading.Event()

def look():
    with watch.looking:
        looks.append(os.getpid())
        time.sleep(0.01)

watch = Watch(look, lambda: 0.001, "test")
watch.start()
while not looks:
    time.sleep(0.001)
for _ in range(20):
    child = os.fork()
    if child == 0:
        looks.clear()
        deadline = time.monotonic() + 20
        while os.getpid() not in looks and time.monotonic() < deadline:
            time.sleep(0.001)
        os._exit(0 if time.monotonic() < deadline else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_it_goes_on_in_children_though_they_are_born_in_the_middle_of_a_look() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, timeout=120, env={**os.environ})
    assert done.returncode == 0, done.stderr
