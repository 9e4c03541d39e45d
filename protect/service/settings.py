"""The options of the decision endpoint: what stands in its section, and what the environment says instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protect import options
from protect.authzen.metadata import base_url
from protect.errors import ConfigError
from protect.proxy.settings import PROXY_OPTIONS, ProxySettings
from protect.service.calls import Limits
from protect.service.enforceable import Gateway
from protect.settings import DEFAULT_RELOAD, JWT_OPTIONS, DecisionLog, JwtSettings, ProtectionFormat

#: An option's name in the environment begins with this, in capitals: PROTECT_POLICY.
PREFIX = "PROTECT_"

OPTIONS = (
    "policy",
    "policy_rules",
    "protection_format",
    "reload",
    "decision_log",
    "decision_log_facts",
    "decision_log_file",
    "authentication",
    "tokens",
    "listener_verifies",
    "tls_names",
    *JWT_OPTIONS,
    "jwt_scope",
    "identity",
    "gateway",
    *PROXY_OPTIONS,
    "entities",
    "public_url",
    "metrics",
    "max_body",
    "max_documents",
    "max_images",
    "max_batch",
    "max_seconds",
    "max_age",
)

#: The environment may say nothing about these: what the listener does, only whoever started it can know.
_NOT_IN_ENVIRONMENT = ("listener_verifies",)

#: How long ago the last look at the policy's files may be, at least: a busy machine is not a broken one.
LEAST_AGE = 10.0
_LOOKS = 3


class Authentication(StrEnum):
    """How those who ask prove who they are."""

    TOKENS = "tokens"
    JWT = "jwt"
    TLS = "tls"
    UNIX = "unix"
    OFF = "off"


class Identity(StrEnum):
    """How the users whom a gateway's requests are about prove who they are."""

    KEYSTONE = "keystone"
    JWT = "jwt"


class MetricsAccess(StrEnum):
    """Whether `/metrics` is for those who have proved who they are, or for everyone."""

    GUARDED = "guarded"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """The options of the decision endpoint.

    ``policy``: paths, none for the shipped rules. ``reload``: seconds between looks at the files, 0 for never.
    ``max_age``: seconds since the last look after which the endpoint is not ready; None where nobody looks.
    ``decision_log_file``: None for the standard output. ``listener_verifies``: whoever listens for us lets nobody in
    without a client certificate; ``tls_names``: whose. ``entities``: the path of a file. ``public_url``: without a
    slash at its end. ``jwt``: whose tokens are believed; None where nothing reads any. ``jwt_scope``: what the token of
    one who asks must say, beside being valid. ``upstream``: the API that is asked about a gateway's images.
    """

    authentication: Authentication
    policy: tuple[str, ...] = ()
    policy_rules: str | None = None
    protection_format: ProtectionFormat = ProtectionFormat.ROLES
    reload: float = DEFAULT_RELOAD
    max_age: float | None = None
    decision_log: DecisionLog = DecisionLog.DENIED
    decision_log_facts: bool = False
    decision_log_file: str | None = None
    tokens: str | None = None
    listener_verifies: bool = False
    tls_names: frozenset[str] = frozenset()
    jwt: JwtSettings | None = None
    jwt_scope: str | None = None
    identity: Identity = Identity.KEYSTONE
    gateway: Gateway = Gateway.STRICT
    upstream: ProxySettings | None = None
    entities: str | None = None
    public_url: str | None = None
    metrics: MetricsAccess = MetricsAccess.GUARDED
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_paste(
        cls, global_conf: Mapping[str, str], local_conf: Mapping[str, str], environment: Mapping[str, str]
    ) -> DecisionSettings:
        """Read a section's options, and before each the variable of its name; raises ConfigError that says what to
        change, and to what."""
        options.check_place(global_conf, OPTIONS, "decision endpoint")
        options.check_known(local_conf, OPTIONS)
        conf = _together(local_conf, from_environment(environment))
        reload = options.seconds(conf, "reload", DEFAULT_RELOAD)
        return cls(
            authentication=_authentication(conf),
            policy=options.words(conf, "policy"),
            policy_rules=_policy_rules(conf),
            protection_format=options.choice(conf, "protection_format", ProtectionFormat.ROLES),
            reload=reload,
            max_age=_max_age(conf, reload),
            decision_log=options.choice(conf, "decision_log", DecisionLog.DENIED),
            decision_log_facts=options.flag(conf, "decision_log_facts"),
            decision_log_file=options.text(conf, "decision_log_file"),
            tokens=_only_for(conf, "tokens", Authentication.TOKENS),
            listener_verifies=options.flag(conf, "listener_verifies"),
            tls_names=frozenset(options.words(conf, "tls_names", "names")),
            jwt=_jwt(conf),
            jwt_scope=_scope(conf),
            identity=options.choice(conf, "identity", Identity.KEYSTONE),
            gateway=options.choice(conf, "gateway", Gateway.STRICT),
            upstream=_upstream(conf),
            entities=options.text(conf, "entities"),
            public_url=_public_url(conf),
            metrics=options.choice(conf, "metrics", MetricsAccess.GUARDED),
            limits=_limits(conf),
        )


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options that variables name. A variable of another name is none of ours: an orchestrator sets
    PROTECT_PORT and the like for a service that is called so."""
    named = {name: environment.get(PREFIX + name.upper()) for name in OPTIONS if name not in _NOT_IN_ENVIRONMENT}
    return {name: value for name, value in named.items() if value}


def _together(section: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the options in force: the environment's over the section's."""
    conf = dict(section)
    if environment.get("authentication", "").strip() not in ("", section.get("authentication", "").strip()):
        # What the section says for its own choice means nothing for another one.
        for name in ("tokens", "tls_names", "jwt_scope"):
            conf.pop(name, None)
        if conf.get("identity", "").strip() != Identity.JWT:
            for name in JWT_OPTIONS:
                conf.pop(name, None)
    return {**conf, **environment}


def _authentication(conf: Mapping[str, str]) -> Authentication:
    value = conf.get("authentication", "").strip()
    if not value:
        raise ConfigError(
            "`authentication` is missing; accepted: `tokens` (a file of them), `jwt` (an issuer's tokens), `tls` "
            "(client certificates), `unix` (whoever may open the socket), `off` (everyone may ask about everyone)"
        )
    chosen = options.choice(conf, "authentication", Authentication.OFF)
    if chosen is Authentication.TOKENS and not options.text(conf, "tokens"):
        raise ConfigError("`authentication = tokens` needs `tokens`, the path of a file with lines `name:token`")
    return chosen


def _only_for(conf: Mapping[str, str], name: str, needed: Authentication) -> str | None:
    value = options.text(conf, name)
    if value and conf["authentication"].strip() != needed:
        raise ConfigError(f"`{name} = {value}` is read for `authentication = {needed}` only; set both, or leave it out")
    return value


def _jwt(conf: Mapping[str, str]) -> JwtSettings | None:
    if conf["authentication"].strip() == Authentication.JWT or conf.get("identity", "").strip() == Identity.JWT:
        return JwtSettings.from_options(conf)
    for name in JWT_OPTIONS:
        if name in conf:
            raise ConfigError(
                f"`{name}` is read for `authentication = jwt` or `identity = jwt` only; set both, or leave it out"
            )
    return None


def _scope(conf: Mapping[str, str]) -> str | None:
    scope = _only_for(conf, "jwt_scope", Authentication.JWT)
    both = conf["authentication"].strip() == Authentication.JWT and conf.get("identity", "").strip() == Identity.JWT
    if both and scope is None:
        raise ConfigError(
            "with `identity = jwt` users have tokens of the same issuer; set `jwt_scope` to a scope that only the "
            "tokens of those have who may ask"
        )
    return scope


def _upstream(conf: Mapping[str, str]) -> ProxySettings | None:
    given = {name: conf[name] for name in PROXY_OPTIONS if name in conf}
    return ProxySettings.from_paste({}, given) if given else None


def _policy_rules(conf: Mapping[str, str]) -> str | None:
    path = options.text(conf, "policy_rules")
    if path and options.choice(conf, "protection_format", ProtectionFormat.ROLES) is not ProtectionFormat.POLICIES:
        raise ConfigError(
            f"`policy_rules = {path}` is read for `protection_format = policies` only; set both, or leave it out"
        )
    return path


def _max_age(conf: Mapping[str, str], reload: float) -> float | None:
    if reload == 0:
        if options.text(conf, "max_age"):
            raise ConfigError("`max_age` is how old a look at the policy may be; with `reload = 0` nobody looks")
        return None
    return options.seconds(conf, "max_age", max(_LOOKS * reload, LEAST_AGE), least="")


def _public_url(conf: Mapping[str, str]) -> str | None:
    value = options.text(conf, "public_url")
    return None if value is None else base_url(value)


def _limits(conf: Mapping[str, str]) -> Limits:
    default = Limits()
    return Limits(
        body=options.count(conf, "max_body", default.body, "bytes"),
        documents=options.count(conf, "max_documents", default.documents, "bytes"),
        images=options.count(conf, "max_images", default.images, "images"),
        batch=options.count(conf, "max_batch", default.batch, "evaluations"),
        seconds=options.seconds(conf, "max_seconds", default.seconds, least=""),
    )
