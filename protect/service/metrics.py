"""Prometheus metrics: of decisions and requests as they were counted, of the policy as it is when somebody asks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from protect.policy.graph import every
from protect.policy.policy import Policy
from protect.reload import Reloader
from protect.service.calls import Call, Reply, Route
from protect.service.recording import BOUNDS, Counts, outcome

#: Where prometheus_client keeps the numbers of several processes.
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_CONTENT_TYPE = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)


class Metrics:
    """The counters of one endpoint, and their page. ``directory``: shared by several processes, None for one."""

    def __init__(self, reloader: Reloader, *, directory: str | None = None) -> None:
        self._reloader = reloader
        self._directory = directory
        self._registry = CollectorRegistry()
        self._decisions = Counter(
            "protect_decisions",
            "Decisions, by action (those that the policy mentions), outcome and cause.",
            ("action", "outcome", "cause"),
            registry=self._registry,
        )
        self._requests = Counter(
            "protect_requests", "Requests, by endpoint and status.", ("endpoint", "status"), registry=self._registry
        )
        self._latency = Histogram(
            "protect_request_seconds",
            "Time from having read a request's head to having its answer.",
            ("endpoint",),
            buckets=BOUNDS,
            registry=self._registry,
        )
        self._dropped = Counter(
            "protect_decision_log_dropped",
            "Lines of the decision log that were not written, because they came faster or could not be.",
            registry=self._registry,
        )
        self._of_policy = CollectorRegistry()
        self._of_policy.register(PolicyMetrics(reloader))
        self._known: tuple[Policy | None, AbstractSet[str]] = (None, frozenset())

    def add(self, counts: Counts) -> None:
        """Add what was counted. Called from one thread at a time."""
        for (action, allowed, error, discard), number in counts.decisions.items():
            cause = "error" if error else "policy"
            self._decisions.labels(action, outcome(allowed, error, discard), cause).inc(number)
        for (endpoint, status), (*buckets, seconds) in counts.requests.items():
            self._requests.labels(endpoint, str(status)).inc(sum(buckets))
            # observe() takes one at a time, and looks for its bucket step by step.
            latency = self._latency.labels(endpoint)
            latency._sum.inc(seconds)
            for place, taken in enumerate(buckets):
                if taken:
                    latency._buckets[place].inc(taken)
        if counts.dropped:
            self._dropped.inc(counts.dropped)

    def page(self) -> bytes:
        """Return all metrics as text: counted by all processes, the policy's by this one."""
        registry = self._registry
        if self._directory is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=self._directory)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + generate_latest(self._of_policy)

    def actions(self) -> AbstractSet[str]:
        """Return the actions that the policy mentions: each is counted apart."""
        policy = self._reloader.policy
        if self._known[0] is not policy:
            table = policy.table
            self._known = policy, {action for _, action in table.actions} | set(table.properties)
        return self._known[1]


class PolicyMetrics(Collector):
    """What is in force, looked up when somebody asks."""

    def __init__(self, reloader: Reloader, clock: Callable[[], float] = time.time) -> None:
        self._reloader = reloader
        self._clock = clock
        self._nodes: tuple[Policy | None, int] = (None, 0)

    def collect(self) -> Iterator[Metric]:
        reloader = self._reloader
        policy = reloader.policy
        info = GaugeMetricFamily("protect_policy_info", "The policy in force.", labels=("revision",))
        info.add_metric((policy.revision,), 1)
        yield info
        yield _gauge("protect_policy_nodes", "Nodes of the decision graph.", self._count(policy))
        yield _gauge("protect_policy_rules", "Rules of the policy.", len(policy.rules))
        yield _gauge("protect_policy_loaded_timestamp_seconds", "When the policy was loaded.", reloader.loaded)
        yield _gauge("protect_policy_age_seconds", "Time since the policy was loaded.", self._clock() - reloader.loaded)
        yield _gauge("protect_policy_look_age_seconds", "Time since the last look at the policy's files.", reloader.age)
        yield _gauge(
            "protect_policy_degraded",
            "1 while the files as they are cannot be used, and the last good policy decides.",
            reloader.trouble is not None,
        )
        yield CounterMetricFamily(
            "protect_reload_failures", "Times that the policy's files could not be used.", reloader.failures
        )
        yield CounterMetricFamily(
            "protect_growth_questions",
            "Queries that came to an unexplored part of the policy, and were answered by the compiler.",
            policy.growth.asked,
        )
        yield _gauge(
            "protect_growth_room", "Answers about unexplored parts that can still be remembered.", policy.growth.room
        )

    def _count(self, policy: Policy) -> int:
        if self._nodes[0] is not policy:
            self._nodes = policy, node_count(policy)
        return self._nodes[1]


def node_count(policy: Policy) -> int:
    """Return how many nodes the decision graph of ``policy`` has."""
    return sum(1 for _ in every(*(root for graphs in policy.table.all() for root in graphs.roots())))


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, float(value))


def directory() -> str | None:
    """Return where several processes keep their numbers together; None where there is one."""
    return os.environ.get(DIRECTORY) or None


def routes(*, metrics: Metrics, publish: Callable[[], None], guarded: bool) -> list[Route]:
    """``publish``: adds what was counted and not added yet."""
    disable_created_metrics()  # type: ignore[no-untyped-call]

    def page(call: Call) -> Reply:
        publish()
        return Reply(metrics.page(), headers=_CONTENT_TYPE)

    return [Route("GET", "/metrics", page, guarded=guarded)]


def description(*, guarded: bool) -> dict[str, dict[str, object]]:
    """Return this group's part of the interface's description."""
    operation: dict[str, object] = {
        "operationId": "metrics",
        "summary": "Metrics for Prometheus",
        "tags": ["operation"],
        "responses": {
            "200": {
                "description": "In Prometheus's text format",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    }
    return {"/metrics": {"get": operation if guarded else operation | {"security": list[str]()}}}
