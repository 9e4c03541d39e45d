"""The metadata of the decision point: where its endpoints are, by the address that the operator has configured.

Never by the Host header: whoever sends one could lead other clients to a decision point of its own.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from protect.errors import ConfigError

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
SEARCH_SUBJECT = "/access/v1/search/subject"
SEARCH_RESOURCE = "/access/v1/search/resource"
SEARCH_ACTION = "/access/v1/search/action"
WELL_KNOWN = "/.well-known/authzen-configuration"

_ENDPOINTS = {
    "access_evaluation_endpoint": EVALUATION,
    "access_evaluations_endpoint": EVALUATIONS,
    "search_subject_endpoint": SEARCH_SUBJECT,
    "search_resource_endpoint": SEARCH_RESOURCE,
    "search_action_endpoint": SEARCH_ACTION,
}


def base_url(value: str) -> str:
    """Return the option `public_url` without a slash at its end; raises ConfigError."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _not_accepted(value) from None
    plain = parts.username is None and "?" not in value and "#" not in value
    printable = value.isascii() and value.isprintable() and " " not in value
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host or ""))
    if not (host and plain and printable and secure and "//" not in parts.path):
        raise _not_accepted(value)
    return value.rstrip("/")


def well_known(base: str | None) -> str:
    """Return the path of the metadata: what follows the host in the base address comes behind it."""
    return WELL_KNOWN + (urlsplit(base).path if base else "")


def metadata(base: str) -> dict[str, str]:
    """Return the metadata of the decision point at this address."""
    return {"policy_decision_point": base, **{name: base + path for name, path in _ENDPOINTS.items()}}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _not_accepted(value: str) -> ConfigError:
    return ConfigError(
        f"`public_url = {value}` is not accepted; accepted: an https address without query and fragment, "
        "such as `https://pdp.example.org`; http for this machine only"
    )
