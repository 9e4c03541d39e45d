"""The check itself: `"get_image": "protect:http://127.0.0.1:8181"` asks the decision endpoint there."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oslo_policy import policy

from protect.errors import ProtectError
from protect.glance.targets import person, shape
from protect.oslo_policy.client import Client, Options, Undecided, options
from protect.oslo_policy.targets import data, plain

if TYPE_CHECKING:
    from oslo_policy.policy import Enforcer

log = logging.getLogger("protect.oslo_policy")

# By their options: the rules of one service share its connections. Two threads may make the same one at once; the
# second then takes the place of the first, which is closed when it is done.
_clients: dict[Options, Client] = {}


class ProtectCheck(policy.Check):
    """Allows what the decision endpoint allows. Whatever else happens is a denial, and is logged with its reason.

    Holds nothing but text, because oslo.policy copies checks and compares them.
    """

    def __call__(
        self, target: Any, creds: Mapping[str, Any], enforcer: Enforcer | None = None, current_rule: str | None = None
    ) -> bool:
        try:
            return _client(self.match).allowed(question(current_rule, target, creds))
        except ProtectError as error:
            log.error("denied `%s` without a decision: %s", current_rule, error)
        except Exception as error:
            # Broad on purpose: a check that raises is an error of the service, and one that is skipped may be a yes.
            # Without its text, which may repeat what was sent or received.
            log.error("denied `%s` without a decision: %s", current_rule, _words(error))
        return False


def question(rule: str | None, target: object, credentials: Mapping[str, Any]) -> dict[str, object]:
    """Return the AuthZEN evaluation to ask for; raises Undecided and Unsendable where something is missing."""
    if not rule:
        raise Undecided("the rule has no name")
    who = person(credentials)
    what = shape(rule, plain(target))
    return {
        "subject": {"type": "user", "id": who.id, "properties": data("credentials", who.properties)},
        "action": {"name": rule},
        "resource": {"type": what.type, "id": what.id, "properties": what.properties},
    }


def _client(match: str) -> Client:
    wanted = options(match.strip(), os.environ)
    client = _clients.get(wanted)
    if client is None:
        client = _clients[wanted] = Client(wanted)
    return client


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the decision endpoint did not answer in time"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror or 'no connection'}"
    return type(error).__name__
