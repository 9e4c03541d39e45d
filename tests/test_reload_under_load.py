"""The policy changes while every connection is busy: nobody notices but by the answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.reloads import FIRST, run

#: 100 is what is promised; fewer show the same in a `make test`.
RELOADS = int(os.environ.get("PROTECT_TEST_RELOADS", "14"))
GROWTH = 4.0  # MiB: less than a policy each would add up to


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_fails_no_request_and_gives_no_wrong_answer(tmp_path: Path, workers: int) -> None:
    outcome = run(tmp_path, RELOADS, workers=workers)
    assert not outcome.failed
    assert not outcome.wrong
    # Every good version was in force at some time, and no broken one ever.
    broken = len([number for number in range(RELOADS + 1) if number % 10 == 5])
    assert len(outcome.answers) == RELOADS + 1 - broken
    assert outcome.rss[RELOADS] - outcome.rss[FIRST] < GROWTH
    assert outcome.rss[RELOADS] < 80
