"""Whether the endpoint should be asked: what is wrong, since when, and what strangers hear of it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from protect.reload import Reloader
from protect.service.health import BROKEN, KEYS, MISSING, STALE, TOKENS, Health, Watched
from protect.watching import Trouble

OPEN = 'allow(_s: Subject, "get_image", _i: Image);\n'


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Case:
    """A policy's file, what follows it, and its health."""

    def __init__(self, tmp_path: Path, watched: Watched | None = None, max_age: float | None = 15.0) -> None:
        self.clock = Clock()
        self.file = tmp_path / "secret-name.polar"
        self.file.write_text(OPEN)
        self.reloader = Reloader([str(self.file)], timer=self.clock, stopwatch=self.clock)
        self.health = Health(self.reloader, max_age, watched, clock=self.clock)

    def change(self, text: str) -> None:
        self.file.write_text(text)
        self.clock.now += 5
        self.reloader.look()
        self.reloader.look()

    def ready(self, strict: bool = False) -> tuple[int, list[dict[str, str]]]:
        reply = self.health.ready(strict=strict)
        answer = orjson.loads(reply.body)
        assert answer["ready"] is (reply.status == 200)
        assert answer["revision"] == self.reloader.policy.revision
        return reply.status, answer["problems"]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_loaded_policy_is_ready(case: Case) -> None:
    assert case.ready() == (200, [])
    assert case.ready(strict=True) == (200, [])


def test_a_broken_policy_leaves_it_ready_and_says_since_when(case: Case) -> None:
    case.change("allow(")
    problem = {"message": BROKEN, "since": "1970-01-01T00:16:45+00:00"}
    assert case.ready() == (200, [problem])
    assert case.ready(strict=True) == (503, [problem])
    case.clock.now += 5
    case.change(OPEN)
    assert case.ready(strict=True) == (200, [])


def test_strangers_hear_neither_the_files_name_nor_its_text(case: Case) -> None:
    case.change('allow(_s: Subject, "top_secret" ')
    assert b"secret" not in case.health.ready(strict=True).body
    detail = orjson.loads(case.health.status().body)["problems"][0]["detail"]
    assert f"{case.file}:1:" in detail


def test_a_policy_that_nobody_looks_after_is_not_ready(case: Case) -> None:
    case.clock.now += 15
    assert case.ready() == (200, [])
    case.clock.now += 1
    assert case.ready() == (503, [{"message": STALE, "since": "1970-01-01T00:16:40+00:00"}])
    case.reloader.look()
    assert case.ready() == (200, [])


def test_a_look_that_fails_is_a_look(case: Case) -> None:
    case.change("allow(")
    case.clock.now += 15
    case.reloader.look()
    assert case.ready()[0] == 200


def test_where_nobody_should_look_nothing_grows_stale(tmp_path: Path) -> None:
    case = Case(tmp_path, max_age=None)
    case.clock.now += 1_000_000
    assert case.ready() == (200, [])


def test_whatever_else_is_watched_is_told(tmp_path: Path) -> None:
    wrong: list[Trouble | None] = [None]
    case = Case(tmp_path, {TOKENS: lambda: wrong[0]})
    assert case.ready() == (200, [])
    wrong[0] = Trouble("`/etc/tokens` is gone", 1000.0)
    when = "1970-01-01T00:16:40+00:00"
    assert case.ready() == (200, [{"message": TOKENS, "since": when}])
    status = orjson.loads(case.health.status().body)
    assert status["problems"] == [{"message": TOKENS, "detail": "`/etc/tokens` is gone", "since": when}]


@pytest.mark.parametrize(("fatal", "status"), [(False, 200), (True, 503)])
def test_where_nobody_can_be_known_it_is_not_ready(tmp_path: Path, fatal: bool, status: int) -> None:
    case = Case(tmp_path, {KEYS: lambda: Trouble("refused", 1000.0, fatal)})
    assert case.ready() == (status, [{"message": KEYS, "since": "1970-01-01T00:16:40+00:00"}])


def test_a_policy_that_does_not_exist_is_a_problem_until_it_comes(tmp_path: Path) -> None:
    file = tmp_path / "late.polar"
    reloader = Reloader([str(file)], timer=Clock())
    health = Health(reloader, None)
    for _ in range(3):
        answer = orjson.loads(health.ready(strict=False).body)
        assert answer["ready"]
        assert answer["problems"] == [{"message": MISSING, "since": "1970-01-01T00:16:40+00:00"}]
        assert health.ready(strict=True).status == 503
        reloader.look()
    file.write_text(OPEN)
    reloader.look()
    reloader.look()
    assert orjson.loads(health.ready(strict=True).body)["problems"] == []
