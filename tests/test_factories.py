"""The pipeline factory and its options: what is accepted, and that everything else stops the service at start."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paste.deploy
import pytest
from webob import Request

from protect.enforcement import Entry, Mode, Outcome
from protect.errors import ConfigError, PolicyError
from protect.factories import decision_sink, filter_factory
from protect.identity.keystone import VERIFIED
from protect.settings import OPTIONS, DecisionLog, ProtectionFormat, Settings
from tests.image_api import ID, ImageApi, image

NAMES = "policy, policy_rules, protection_format, api, identity, mode, reload, image_size_cap, decision_log, " + (
    "decision_log_facts, jwks, jwt_issuer, jwt_audience, jwt_algorithms, jwt_leeway, jwt_claims"
)
HEADERS = {"X-Identity-Status": "Confirmed", "X-Project-Id": "t1", "X-Roles": "reader"}
MARK = {VERIFIED: object()}


def settings(**options: str) -> Settings:
    return Settings.from_paste({"here": "/etc", "__file__": "/etc/x.ini"}, options)


def test_without_options_the_shipped_rules_are_enforced() -> None:
    assert settings() == Settings((), Mode.ENFORCE, 5.0, None, DecisionLog.DENIED)


@pytest.mark.parametrize("option", ["reload", "image_size_cap", "policy", "policy_rules", "decision_log_facts"])
def test_an_option_that_is_left_empty_is_as_if_it_were_not_there(option: str) -> None:
    assert settings(**{option: " "}) == settings()


def test_every_option_is_read() -> None:
    assert settings(
        policy='/etc/a.polar "/etc/with space"',
        api="glance",
        identity="keystone",
        mode="shadow",
        reload="0.5",
        image_size_cap="1073741824",
        decision_log="all",
        decision_log_facts="yes",
        protection_format="policies",
        policy_rules=" /etc/policy.yaml",
    ) == Settings(
        ("/etc/a.polar", "/etc/with space"),
        Mode.SHADOW,
        0.5,
        2**30,
        DecisionLog.ALL,
        True,
        ProtectionFormat.POLICIES,
        "/etc/policy.yaml",
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        pytest.param("polcy", "x", f"unknown option `polcy`; did you mean `policy`? known: {NAMES}", id="misspelt"),
        pytest.param("zzz", "x", f"unknown option `zzz`; known: {NAMES}", id="unknown"),
        pytest.param(
            "mode", "Shadow", "`mode = Shadow` is not accepted; accepted: enforce, shadow", id="mode-in-another-case"
        ),
        pytest.param("mode", "", "`mode = ` is not accepted; accepted: enforce, shadow", id="no-mode"),
        pytest.param(
            "decision_log",
            "some",
            "`decision_log = some` is not accepted; accepted: denied, all, none",
            id="decision-log",
        ),
        pytest.param(
            "decision_log_facts",
            "some",
            "`decision_log_facts = some` is not accepted; accepted: yes, no",
            id="decision-log-facts",
        ),
        pytest.param(
            "reload", "-1", "`reload = -1` is not accepted; accepted: a number of seconds, 0 for never", id="reload"
        ),
        pytest.param(
            "reload",
            "nan",
            "`reload = nan` is not accepted; accepted: a number of seconds, 0 for never",
            id="reload-nan",
        ),
        pytest.param(
            "image_size_cap",
            "1G",
            "`image_size_cap = 1G` is not accepted; accepted: a number of bytes above 0",
            id="a-size-with-a-unit",
        ),
        pytest.param(
            "image_size_cap",
            "0",
            "`image_size_cap = 0` is not accepted; accepted: a number of bytes above 0",
            id="no-size",
        ),
        pytest.param(
            "policy",
            '"a',
            '`policy = "a` cannot be split into paths: no closing quotation; quote what has spaces',
            id="half-a-quote",
        ),
        pytest.param(
            "identity",
            "jwt",
            "`jwks` is missing; set it to the issuer's public keys, a path or an https URL",
            id="jwt-without-keys",
        ),
        pytest.param(
            "identity", "none", "`identity = none` is not accepted; accepted: keystone, jwt", id="another-identity"
        ),
        pytest.param("api", "map.yaml", "not available in this version: `api = map.yaml`; accepted: glance", id="api"),
        pytest.param(
            "policy_rules",
            "x",
            "`policy_rules = x` is read for `protection_format = policies` only; set both, or leave it out",
            id="policy-rules-that-nobody-reads",
        ),
        pytest.param(
            "protection_format",
            "role",
            "`protection_format = role` is not accepted; accepted: roles, policies",
            id="no-protection-format",
        ),
    ],
)
def test_an_option_that_cannot_be_used_stops_the_service(option: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**{option: value})
    assert str(caught.value) == message


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_ours_in_the_global_configuration_stops_the_service(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_paste({option: "x"}, {})
    assert str(caught.value) == (
        f"`{option}` is set in [DEFAULT] or by the host, which hides it in the filter's section; "
        "set it in the section only"
    )


POLICY = """
allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;
allow(subject: Subject, "read", property: Property) if property.name != "secret" and subject.has_role("reader");
"""
INI = """
[DEFAULT]
{default}
[pipeline:main]
pipeline = protect api
[filter:protect]
paste.filter_factory = protect.factories:filter_factory
{section}
[app:api]
paste.app_factory = tests.test_factories:api_factory
"""


def api_factory(global_conf: dict[str, str], **local_conf: str) -> ImageApi:
    return ImageApi(image(1, secret="s", other="o"), image(2, owner="t2"))


def load(tmp_path: Path, *, default: str = "", section: str = "", policy: str = POLICY) -> Any:
    (tmp_path / "rules.polar").write_text(policy)
    (tmp_path / "pipeline.ini").write_text(INI.format(default=default, section=section))
    return paste.deploy.loadapp(f"config:{tmp_path}/pipeline.ini")


def test_a_pipeline_with_a_real_policy(tmp_path: Path) -> None:
    app = load(tmp_path, section="policy = %(here)s/rules.polar\nreload = 0")
    shown = Request.blank(f"/v2/images/{ID.format(1)}", MARK, headers=HEADERS).get_response(app)
    assert (shown.status_int, shown.json) == (200, image(1, other="o"))
    assert Request.blank(f"/v2/images/{ID.format(2)}", MARK, headers=HEADERS).get_response(app).status_int == 404
    assert Request.blank(f"/v2/images/{ID.format(1)}").get_response(app).status_int == 401


def test_a_section_option_hidden_by_the_defaults_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, default="policy = /elsewhere", section="policy = %(here)s/rules.polar")


def test_a_broken_policy_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"rules\.polar"):
        load(tmp_path, section="policy = %(here)s/rules.polar", policy="allow(")


def test_each_section_has_a_policy_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "none.polar").write_text('allow(_: Subject, "nothing", _: Image);')
    (tmp_path / "some.polar").write_text(POLICY)
    apps = [
        filter_factory({}, policy=str(tmp_path / name), reload="0")(ImageApi(image(1)))
        for name in ("some.polar", "none.polar")
    ]
    path = f"/v2/images/{ID.format(1)}"
    assert [Request.blank(path, MARK, headers=HEADERS).get_response(app).status_int for app in apps] == [200, 404]


def entry(outcome: Outcome) -> Entry:
    return Entry(outcome, "read", "Property", "i", "p\n", "u", "t", "why", "r1", Mode.ENFORCE, None)


EVERY_OUTCOME = """
allow(s: Subject, action, i: Image) if action in ["get_image", "modify_image"] and i.owner = s.tenant;
allow(_: Subject, "read", p: Property) if p.name = "shown";
discard(_: Subject, "create", _: Property);
"""


@pytest.mark.parametrize(
    ("which", "written"),
    [
        ("all", {"allowed", "denied", "error", "discarded"}),
        ("denied", {"denied", "error", "discarded"}),
        ("none", set()),
    ],
)
def test_the_decision_log_holds_what_was_asked_for(
    which: str, written: set[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "protect.decisions")
    (tmp_path / "every.polar").write_text(EVERY_OUTCOME)
    api = ImageApi(image(1, shown="a", hidden="b"))
    app = filter_factory({}, policy=str(tmp_path / "every.polar"), reload="0", decision_log=which)(api)
    change = {"method": "PATCH", "body": b'[{"op": "add", "path": "/new", "value": "x"}]'}
    change |= {"content_type": "application/openstack-images-v2.1-json-patch"}
    answers = [
        Request.blank(f"/v2/images/{ID.format(number)}", MARK, headers=HEADERS, **asked).get_response(app).status_int
        for number, asked in ((1, {}), (1, change), (2, change))
    ]
    assert answers == [200, 200, 404]
    lines = [record.getMessage() for record in caplog.records if record.name == "protect.decisions"]
    assert {json.loads(line)["outcome"] for line in lines} == written


def test_a_line_of_the_decision_log_is_one_json_object(caplog: pytest.LogCaptureFixture) -> None:
    decision_sink(clock=lambda: datetime(2030, 1, 2, tzinfo=UTC))(entry(Outcome.DENIED))
    assert "\n" not in caplog.records[0].getMessage()
    assert json.loads(caplog.records[0].getMessage()) == {
        "time": "2030-01-02T00:00:00+00:00",
        "outcome": "denied",
        "action": "read",
        "resource": "Property",
        "resource_id": "i",
        "property": "p\n",
        "subject": "u",
        "tenant": "t",
        "reason": "why",
        "revision": "r1",
        "mode": "enforce",
        "request_id": None,
    }
