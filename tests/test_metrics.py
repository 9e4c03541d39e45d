"""The metrics: they add up, have few series whatever clients send, and tell how the policy is."""

from __future__ import annotations

import os
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from protect import Policy
from protect.reload import Reloader
from protect.service.calls import Call, Limits
from protect.service.metrics import BOUNDS, Metrics, node_count
from protect.service.recording import Counts, Recorder
from protect.settings import DecisionLog
from protect.values import Decision, Image, Query, Subject

POLICY = 'allow(s: Subject, "get_image", _i: Image) if s.has_role("member");\n'


class Nowhere:
    """A log that nobody keeps."""

    def write(self, lines: Iterable[bytes]) -> None:
        list(lines)


def row(*seconds: float) -> list[float]:
    """Requests that took so long, as they are counted."""
    buckets = [0] * (len(BOUNDS) + 1)
    for each in seconds:
        buckets[bisect_left(BOUNDS, each)] += 1
    return [*buckets, sum(seconds)]


def sample(page: bytes, name: str, **labels: str) -> float | None:
    found = [
        each.value
        for family in text_string_to_metric_families(page.decode())
        for each in family.samples
        if each.name == name and labels.items() <= each.labels.items()
    ]
    assert len(found) < 2, found
    return found[0] if found else None


@pytest.fixture
def reloader(tmp_path: Path) -> Reloader:
    (tmp_path / "p.polar").write_text(POLICY)
    return Reloader([str(tmp_path / "p.polar")])


def test_decisions_are_told_apart_by_action_outcome_and_cause(reloader: Reloader) -> None:
    metrics = Metrics(reloader)
    keys = {
        ("get_image", True, False, False): 3,
        ("get_image", False, False, False): 2,
        ("get_image", False, True, False): 1,
        ("get_image", False, False, True): 4,
    }
    metrics.add(Counts(keys, {}, 0))
    metrics.add(Counts({("get_image", True, False, False): 1}, {}, 0))
    page = metrics.page()
    for (outcome, cause), number in {
        ("allowed", "policy"): 4,
        ("denied", "policy"): 2,
        ("error", "error"): 1,
        ("discarded", "policy"): 4,
    }.items():
        labels = {"action": "get_image", "outcome": outcome, "cause": cause}
        assert sample(page, "protect_decisions_total", **labels) == number


def test_actions_that_the_policy_does_not_mention_share_one_series(reloader: Reloader) -> None:
    metrics = Metrics(reloader)
    recorder = Recorder(DecisionLog.NONE, Nowhere(), metrics.add, actions=metrics.actions)
    for action in ("get_image", *(f"made up {number}" for number in range(100))):
        recorder(Query(Subject(), action, Image()), Decision(False, "no", "r1"), Call({}, Limits()))
    recorder.publish()
    page = metrics.page()
    assert b"made up" not in page
    assert sample(page, "protect_decisions_total", action="other") == 100
    assert sample(page, "protect_decisions_total", action="get_image") == 1


def test_a_label_survives_what_stands_in_the_policy(tmp_path: Path) -> None:
    (tmp_path / "p.polar").write_text('allow(_s: Subject, "say \\"hi\\"\\n", _i: Image);')
    metrics = Metrics(Reloader([str(tmp_path / "p.polar")]))
    metrics.add(Counts({('say "hi"\n', True, False, False): 1}, {}, 0))
    assert sample(metrics.page(), "protect_decisions_total", action='say "hi"\n') == 1


def test_requests_fall_into_the_buckets_of_their_endpoint(reloader: Reloader) -> None:
    metrics = Metrics(reloader)
    metrics.add(Counts({}, {("/a", 200): row(0.00025, 0.0003, 9.0), ("/a", 404): row(0.1), ("/b", 200): row(1.0)}, 0))
    page = metrics.page()
    assert sample(page, "protect_requests_total", endpoint="/a", status="200") == 3
    assert sample(page, "protect_requests_total", endpoint="/a", status="404") == 1
    assert sample(page, "protect_request_seconds_bucket", endpoint="/a", le="0.00025") == 1  # a bound is inside
    assert sample(page, "protect_request_seconds_bucket", endpoint="/a", le="0.0005") == 2
    assert sample(page, "protect_request_seconds_bucket", endpoint="/a", le=str(BOUNDS[-1])) == 3
    assert sample(page, "protect_request_seconds_bucket", endpoint="/a", le="+Inf") == 4
    assert sample(page, "protect_request_seconds_count", endpoint="/a") == 4
    assert sample(page, "protect_request_seconds_sum", endpoint="/a") == pytest.approx(9.10055)


def test_the_policy_in_force_is_told(reloader: Reloader, tmp_path: Path) -> None:
    metrics = Metrics(reloader)
    page = metrics.page()
    assert sample(page, "protect_policy_info", revision=reloader.policy.revision) == 1
    assert sample(page, "protect_policy_nodes") == node_count(reloader.policy) > 0
    assert sample(page, "protect_policy_rules") == 1
    assert sample(page, "protect_policy_degraded") == 0
    assert sample(page, "protect_reload_failures_total") == 0
    (tmp_path / "p.polar").write_text("allow(")
    reloader.look()
    reloader.look()
    page = metrics.page()
    assert sample(page, "protect_policy_degraded") == 1
    assert sample(page, "protect_reload_failures_total") == 1


def test_lost_lines_of_the_log_are_told(reloader: Reloader) -> None:
    metrics = Metrics(reloader)
    assert sample(metrics.page(), "protect_decision_log_dropped_total") == 0
    metrics.add(Counts({}, {}, 7))
    assert sample(metrics.page(), "protect_decision_log_dropped_total") == 7


def test_two_endpoints_in_one_process_count_apart(reloader: Reloader) -> None:
    first, second = Metrics(reloader), Metrics(reloader)
    first.add(Counts({}, {("/a", 200): row(0.1)}, 0))
    assert sample(second.page(), "protect_requests_total", endpoint="/a") is None


def test_the_graph_of_a_larger_policy_has_more_nodes(reloader: Reloader) -> None:
    assert node_count(Policy.load()) > node_count(reloader.policy)


WORKER = """
import os, sys
from protect.reload import Reloader
from protect.service.metrics import Metrics, directory
from protect.service.recording import BOUNDS, Counts

metrics = Metrics(Reloader([sys.argv[1]]), directory=directory())
row = [0] * (len(BOUNDS) + 1) + [0.3]
row[BOUNDS.index(0.1)] = row[BOUNDS.index(0.25)] = 1
for _ in range(3):
    child = os.fork()
    if child == 0:
        metrics.add(Counts({("get_image", True, False, False): 2}, {("/a", 200): row}, 1))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
sys.stdout.buffer.write(metrics.page())
"""


def test_the_workers_of_one_service_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "p.polar").write_text(POLICY)
    (tmp_path / "numbers").mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "numbers")}
    command = [sys.executable, "-c", WORKER, str(tmp_path / "p.polar")]
    page = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60).stdout
    assert sample(page, "protect_decisions_total", action="get_image") == 6
    assert sample(page, "protect_request_seconds_bucket", endpoint="/a", le="0.1") == 3
    assert sample(page, "protect_request_seconds_count", endpoint="/a") == 6
    assert sample(page, "protect_decision_log_dropped_total") == 3
    assert sample(page, "protect_policy_rules") == 1
