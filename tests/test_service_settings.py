"""The options of the decision endpoint: what is accepted, what wins, and that everything else stops the service."""

from __future__ import annotations

import pytest

from protect.errors import ConfigError
from protect.service.calls import Limits
from protect.service.settings import OPTIONS, Authentication, DecisionSettings, MetricsAccess
from protect.settings import DecisionLog

JWT = {"jwks": "/keys", "jwt_issuer": "i", "jwt_audience": "a"}


def settings(environment: dict[str, str] | None = None, **options: str) -> DecisionSettings:
    return DecisionSettings.from_paste({"here": "/etc", "__file__": "/etc/x.ini"}, options, environment or {})


def test_only_who_may_ask_has_to_be_said() -> None:
    assert settings(authentication="off") == DecisionSettings(Authentication.OFF, max_age=15.0)


def test_options_are_read() -> None:
    found = settings(
        authentication="tokens",
        tokens="/t",
        policy='/a "/b c"',
        reload="60",
        decision_log="all",
        decision_log_facts="yes",
        decision_log_file="/log",
        entities="/e",
        public_url="https://x.example/base/",
        metrics="open",
        max_body="10",
        max_documents="20",
        max_images="25",
        max_batch="30",
        max_seconds="0.5",
    )
    assert found.policy == ("/a", "/b c")
    assert (found.reload, found.max_age) == (60, 180)
    assert (found.decision_log, found.decision_log_facts) == (DecisionLog.ALL, True)
    assert found.decision_log_file == "/log"
    assert (found.tokens, found.entities, found.public_url) == ("/t", "/e", "https://x.example/base")
    assert found.metrics is MetricsAccess.OPEN
    assert found.limits == Limits(body=10, documents=20, images=25, batch=30, seconds=0.5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_an_address_of_this_machine_needs_no_tls(host: str) -> None:
    assert settings(authentication="off", public_url=f"http://{host}:8181/").public_url == f"http://{host}:8181"
    with pytest.raises(ConfigError, match="http for this machine only"):
        settings(authentication="off", public_url="http://pdp.example:8181/")


def test_nobody_is_late_by_less_than_ten_seconds() -> None:
    assert settings(authentication="off", reload="0.1").max_age == 10
    assert settings(authentication="off", reload="0.1", max_age="1").max_age == 1
    assert settings(authentication="off", reload="0").max_age is None


def test_a_variable_wins_over_the_section() -> None:
    found = settings({"PROTECT_POLICY": "/b", "PROTECT_RELOAD": ""}, authentication="off", policy="/a", reload="7")
    assert (found.policy, found.reload) == (("/b",), 7)


def test_a_variable_for_who_may_ask_drops_what_the_section_says_for_its_own_choice() -> None:
    found = settings({"PROTECT_AUTHENTICATION": "off"}, authentication="tokens", tokens="/t")
    assert (found.authentication, found.tokens) == (Authentication.OFF, None)
    assert settings({"PROTECT_AUTHENTICATION": "off"}, authentication="jwt", **JWT).jwt is None
    with pytest.raises(ConfigError, match="`authentication = tokens` only"):
        settings({"PROTECT_AUTHENTICATION": "off", "PROTECT_TOKENS": "/t"}, authentication="off")


def test_no_variable_says_that_the_listener_verifies() -> None:
    assert not settings({"PROTECT_LISTENER_VERIFIES": "yes"}, authentication="tls").listener_verifies
    assert settings(authentication="tls", listener_verifies="yes").listener_verifies


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_in_the_defaults_stops_the_service(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DecisionSettings.from_paste({option: "x"}, {"authentication": "off"}, {})
    assert str(caught.value) == (
        f"`{option}` is set in [DEFAULT] or by the host, which hides it in the decision endpoint's section; "
        "set it in the section only"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"polcy": "x"}, "unknown option `polcy`; did you mean `policy`?", id="a misspelt option"),
        pytest.param({"mode": "shadow"}, "unknown option `mode`", id="an option of the filter"),
        pytest.param({"metrics": "yes"}, "accepted: guarded, open", id="metrics for whom"),
        pytest.param({"max_seconds": "0"}, "a number of seconds above 0", id="no time"),
        pytest.param({"max_body": "1M"}, "a number of bytes above 0", id="a size with a unit"),
        pytest.param({"policy": '"a'}, "no closing quotation", id="half a quote"),
        pytest.param({"public_url": "https://x/?a"}, "accepted: an https address", id="an address with a query"),
        pytest.param({"public_url": "https://u@x/"}, "accepted: an https address", id="an address with a user"),
        pytest.param({"public_url": "https:///x"}, "accepted: an https address", id="an address of nobody"),
        pytest.param({"policy_rules": "/x"}, "`protection_format = policies` only", id="rules that nobody reads"),
        pytest.param({"jwks": "/x"}, "`authentication = jwt` or `identity = jwt` only", id="keys that nobody uses"),
        pytest.param({"gateway": "lax"}, "accepted: strict, action", id="another way with gateways"),
    ],
)
def test_what_cannot_be_used_stops_the_service(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(authentication="off", **options)
    assert message in str(caught.value)


def test_users_tokens_are_not_taken_for_those_of_whoever_asks() -> None:
    with pytest.raises(ConfigError, match="set `jwt_scope`"):
        settings(authentication="jwt", identity="jwt", **JWT)
    assert settings(authentication="jwt", identity="jwt", jwt_scope="decide", **JWT).jwt_scope == "decide"
    assert settings(authentication="off", identity="jwt", **JWT).jwt is not None
