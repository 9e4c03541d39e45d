"""Run by a Glance environment's Python: answers what Glance's own property protection says.

Reads JSON from stdin: ``{"rules": {name: check}, "image": target, "files": [[format, text, questions], …]}``; a
question is ``[roles, service roles, property, operation]``. Writes a list with one entry for each file: null where
Glance cannot load it, else for each question ``[answer, answer if the rules saw the image]``.
"""

from __future__ import annotations

import configparser
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from glance.api.policy import Enforcer
from glance.common import exception, property_utils
from glance.context import RequestContext
from oslo_config import cfg
from oslo_policy import opts, policy


class SeeingRules(property_utils.PropertyRules):
    """As Glance's, but its policy rules are asked about an image instead of about nothing."""

    image: ClassVar[dict[str, Any]] = {}

    def _check_policy(self, property_exp: str, action: str, context: RequestContext) -> bool:
        try:
            self.policy_enforcer.enforce(context, f"{property_exp}:{action}", self.image, registered=False)
        except exception.Forbidden:
            return False
        return True


def main() -> None:
    logging.disable(logging.CRITICAL)
    opts.set_defaults(cfg.CONF, policy_file="no-such-policy.yaml")
    cfg.CONF([], project="glance", default_config_files=[], default_config_dirs=[])
    asked = json.load(sys.stdin)
    enforcer = Enforcer(suppress_deprecation_warnings=True)
    enforcer.add_rules(policy.Rules.from_dict(asked["rules"]))
    SeeingRules.image = asked["image"]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "protections.conf")
        json.dump([answers(enforcer, path, *file) for file in asked["files"]], sys.stdout)


def answers(enforcer: Enforcer, path: Path, form: str, text: str, questions: list[Any]) -> list[list[bool]] | None:
    path.write_text(text, encoding="utf-8", newline="")
    cfg.CONF.set_override("property_protection_file", str(path))
    cfg.CONF.set_override("property_protection_rule_format", form)
    try:
        rules = [loaded(kind, enforcer) for kind in (property_utils.PropertyRules, SeeingRules)]
    except (exception.InvalidPropertyProtectionConfiguration, configparser.Error):
        return None
    return [[answer(one, enforcer, *question) for one in rules] for question in questions]


def loaded(kind: type[property_utils.PropertyRules], enforcer: Enforcer) -> property_utils.PropertyRules:
    property_utils.CONFIG = configparser.ConfigParser()
    return kind(enforcer)


def answer(
    rules: property_utils.PropertyRules,
    enforcer: Enforcer,
    roles: list[str],
    service_roles: list[str],
    name: str,
    operation: str,
) -> bool:
    # Glance's context middleware lowers the user's roles, and no others.
    context = RequestContext(
        policy_enforcer=enforcer,
        user_id="u",
        project_id="t1",
        roles=[role.lower() for role in roles],
        service_roles=list(service_roles),
    )
    return bool(rules.check_property_rules(name, operation, context))


if __name__ == "__main__":
    main()
