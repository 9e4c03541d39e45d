"""The filter's options: what stands in its section of the pipeline file, checked into values that can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import NoReturn

from protect import options
from protect.enforcement import Mode
from protect.errors import ConfigError
from protect.identity.algorithms import DEFAULT_ALGORITHMS, Algorithm
from protect.identity.claims import ClaimNames

DEFAULT_RELOAD = 5.0
DEFAULT_LEEWAY = 30.0
MAX_LEEWAY = 300.0  # seconds; more would make tokens last that were meant to be short

JWT_OPTIONS = ("jwks", "jwt_issuer", "jwt_audience", "jwt_algorithms", "jwt_leeway", "jwt_claims")

OPTIONS = (
    "policy",
    "policy_rules",
    "protection_format",
    "api",
    "identity",
    "mode",
    "reload",
    "image_size_cap",
    "decision_log",
    "decision_log_facts",
    *JWT_OPTIONS,
)


class DecisionLog(StrEnum):
    """Which decisions are logged. Discards and errors go with the denials."""

    DENIED = "denied"
    ALL = "all"
    NONE = "none"


class _Identity(StrEnum):
    KEYSTONE = "keystone"
    JWT = "jwt"


class ProtectionFormat(StrEnum):
    """What stands behind an operation of a protection file: roles, or the name of a policy rule."""

    ROLES = "roles"
    POLICIES = "policies"


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """Whose bearer tokens are believed. ``jwks``: the issuer's public keys, a path or a URL. ``leeway``: seconds."""

    jwks: str
    issuer: str
    audience: str
    algorithms: tuple[Algorithm, ...] = DEFAULT_ALGORITHMS
    leeway: float = DEFAULT_LEEWAY
    claims: ClaimNames = field(default_factory=ClaimNames)

    @classmethod
    def from_options(cls, conf: Mapping[str, str]) -> JwtSettings:
        """Read the options of `JWT_OPTIONS`; raises ConfigError that says which one to change, and to what."""
        return cls(
            jwks=_needed(conf, "jwks", "the issuer's public keys, a path or an https URL"),
            issuer=_needed(conf, "jwt_issuer", "the `iss` of the tokens that are believed"),
            audience=_needed(conf, "jwt_audience", "the `aud` that a token must be meant for"),
            algorithms=_algorithms(conf.get("jwt_algorithms", " ".join(DEFAULT_ALGORITHMS))),
            leeway=_leeway(conf.get("jwt_leeway", str(DEFAULT_LEEWAY))),
            claims=_claims(conf.get("jwt_claims", "")),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """The filter's options. ``policy``: paths, none for the shipped rules. ``reload``: seconds between looks at the
    files, 0 for never. ``image_size_cap``: bytes, None for no cap. ``policy_rules``: the path of the ``policy.yaml``
    that protection files in the format ``policies`` refer to. ``jwt``: None where Keystone says who asks."""

    policy: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE
    reload: float = DEFAULT_RELOAD
    image_size_cap: int | None = None
    decision_log: DecisionLog = DecisionLog.DENIED
    decision_log_facts: bool = False
    protection_format: ProtectionFormat = ProtectionFormat.ROLES
    policy_rules: str | None = None
    jwt: JwtSettings | None = None

    @classmethod
    def from_paste(cls, global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> Settings:
        """Read a section's options; raises ConfigError that says which one to change, and to what."""
        options.check_place(global_conf, OPTIONS, "filter")
        options.check_known(local_conf, OPTIONS)
        _check_available(local_conf)
        return cls(
            policy=options.words(local_conf, "policy"),
            mode=options.choice(local_conf, "mode", Mode.ENFORCE),
            reload=options.seconds(local_conf, "reload", DEFAULT_RELOAD),
            image_size_cap=options.count(local_conf, "image_size_cap", None, "bytes"),
            decision_log=options.choice(local_conf, "decision_log", DecisionLog.DENIED),
            decision_log_facts=options.flag(local_conf, "decision_log_facts"),
            protection_format=options.choice(local_conf, "protection_format", ProtectionFormat.ROLES),
            policy_rules=_rules(local_conf),
            jwt=_jwt(local_conf),
        )


def _check_available(conf: Mapping[str, str]) -> None:
    """Refuse what has a name but no code yet, rather than to run without it."""
    api = conf.get("api", "glance").strip()
    if api != "glance":
        _not_available("api", api, "glance")


def _not_available(option: str, value: str, accepted: str) -> NoReturn:
    raise ConfigError(f"not available in this version: `{option} = {value}`; accepted: {accepted}")


def _jwt(conf: Mapping[str, str]) -> JwtSettings | None:
    if options.choice(conf, "identity", _Identity.KEYSTONE) is _Identity.JWT:
        return JwtSettings.from_options(conf)
    for name in JWT_OPTIONS:
        if name in conf:
            raise ConfigError(f"`{name}` is read for `identity = jwt` only; set both, or leave it out")
    return None


def _needed(conf: Mapping[str, str], name: str, what: str) -> str:
    value = conf.get(name, "").strip()
    if not value:
        raise ConfigError(f"`{name}` is missing; set it to {what}")
    return value


def _algorithms(value: str) -> tuple[Algorithm, ...]:
    names = value.split()
    unknown = [name for name in names if name not in list(Algorithm)]
    if unknown or not names:
        raise ConfigError(
            f"`jwt_algorithms = {value}` is not accepted; accepted, one or more of: {', '.join(Algorithm)}"
        )
    return tuple(Algorithm(name) for name in names)


def _leeway(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MAX_LEEWAY:
        raise ConfigError(f"`jwt_leeway = {value}` is not accepted; accepted: seconds from 0 to {MAX_LEEWAY:g}")
    return seconds


def _claims(value: str) -> ClaimNames:
    known = [item.name for item in fields(ClaimNames)]
    found: dict[str, str] = {}
    for pair in value.split():
        name, _, claim = pair.partition("=")
        if name not in known or not claim or name in found:
            raise ConfigError(
                f"`jwt_claims = {value}` is not accepted at `{pair}`; accepted: `name=claim`, each name once, of: "
                + ", ".join(known)
            )
        found[name] = claim
    return ClaimNames(**found)


def _rules(conf: Mapping[str, str]) -> str | None:
    path = conf.get("policy_rules", "").strip()
    if path and options.choice(conf, "protection_format", ProtectionFormat.ROLES) is not ProtectionFormat.POLICIES:
        raise ConfigError(
            f"`policy_rules = {path}` is read for `protection_format = policies` only; set both, or leave it out"
        )
    return path or None
