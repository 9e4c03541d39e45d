"""Run by a Glance environment's Python: answers what Glance's default policy says.

Reads a JSON list of cases from stdin. A case is ``[action, credentials, target]``: what
``glance.context.RequestContext`` is made of, and the target as Glance's API layer builds it. Writes
``{"answers": [true, ...], "rules": {name: check}}`` to stdout, the answers in the order of the cases.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from glance.api.policy import Enforcer
from glance.context import RequestContext
from oslo_config import cfg
from oslo_policy import opts


def main() -> None:
    opts.set_defaults(cfg.CONF, policy_file="no-such-policy.yaml")
    cfg.CONF([], project="glance", default_config_files=[], default_config_dirs=[])
    enforcer = Enforcer(suppress_deprecation_warnings=True)
    contexts: dict[str, RequestContext] = {}

    def answer(action: str, credentials: dict[str, Any], target: dict[str, Any]) -> bool:
        key = json.dumps(credentials, sort_keys=True)
        if key not in contexts:
            contexts[key] = RequestContext(policy_enforcer=enforcer, **credentials)
        return bool(enforcer.check(contexts[key], action, target))

    answers = [answer(*case) for case in json.load(sys.stdin)]
    rules = {name: str(rule.check) for name, rule in enforcer.registered_rules.items()}
    json.dump({"answers": answers, "rules": rules}, sys.stdout)


if __name__ == "__main__":
    main()
