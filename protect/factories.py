"""What a pipeline file names: factories that read the options, load the policy and put the parts together."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from protect.enforcement import Entry, Outcome, Protect
from protect.identity import keystone
from protect.loading import Protection
from protect.reload import Reloader
from protect.settings import DecisionLog, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Clock = Callable[[], datetime]

decisions = logging.getLogger("protect.decisions")


def filter_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[WSGIApplication], Protect]:
    """``paste.filter_factory``: loads the policy now, so that a bad one stops the service at start.

    Raises ConfigError for a bad option and PolicyError, with every problem, for a bad policy.
    """
    settings = Settings.from_paste(global_conf, local_conf)
    protection = Protection(settings.protection_format, settings.policy_rules)
    reloader = Reloader(settings.policy, settings.reload, protection=protection)
    reloader.start()
    sink = decision_sink(settings.decision_log)

    def wrap(app: WSGIApplication) -> Protect:
        return Protect(
            app,
            policy=lambda: reloader.policy,
            identify=keystone.identify,
            mode=settings.mode,
            image_size_cap=settings.image_size_cap,
            log=sink,
        )

    return wrap


def decision_sink(which: DecisionLog, clock: Clock = lambda: datetime.now(UTC)) -> Callable[[Entry], None]:
    """Return what writes a decision as one line of JSON to the logger ``protect.decisions``.

    Whatever is not allowed is a warning, so that it is seen under the default configuration of ``logging``.
    """

    def write(entry: Entry) -> None:
        allowed = entry.outcome is Outcome.ALLOWED
        if which is DecisionLog.NONE or (allowed and which is DecisionLog.DENIED):
            return
        level = logging.INFO if allowed else logging.WARNING
        if decisions.isEnabledFor(level):
            decisions.log(level, "%s", json.dumps({"time": clock().isoformat(), **asdict(entry)}))

    return write
