"""What a verified token says of the one who asks: from claims to a subject.

A claim that is there with a type that it should not have refuses the token. It is not read as if it were absent: a
role that was not understood could be the one that a `forbid` asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from protect.errors import ConfigError, ProtectError
from protect.values import Subject

Claims = Mapping[str, object]


class InvalidToken(ProtectError):
    """A token is not believed. ``reason`` is for the log; it repeats nothing that the token says."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claim says what of the subject.

    A dot leads into an object: ``realm_access.roles``. A name with ``://`` in it is taken as it stands. Service roles
    come from nowhere unless a claim is named for them: they mark a trusted service, not a user.
    """

    id: str = "sub"
    tenant: str = "tenant"
    domain: str = "domain"
    roles: str = "roles"
    service_roles: str | None = None

    def __post_init__(self) -> None:
        if self.roles == self.service_roles:
            raise ConfigError(
                f"`roles` and `service_roles` are both read from the claim `{self.roles}`; "
                "name a claim that only a trusted service's tokens have, or leave `service_roles` out"
            )


def subject_of(claims: Claims, names: ClaimNames) -> Subject:
    """Return the subject that ``claims`` describe; raises InvalidToken. ``admin_project`` is never set."""
    id = _text(claims, names.id)
    if id is None:
        raise InvalidToken(f"the claim `{names.id}` is missing or empty")
    return Subject(
        id=id,
        tenant=_text(claims, names.tenant),
        domain=_text(claims, names.domain),
        roles=_roles(claims, names.roles),
        service_roles=_roles(claims, names.service_roles) if names.service_roles else frozenset(),
        claims={name: value for name, value in claims.items() if isinstance(value, str | int | float)},
    )


def scopes(claims: Claims) -> frozenset[str]:
    """Return what the token may be used for: `scope` as text, or `scp` as text or a list. Raises InvalidToken."""
    return _roles(claims, "scope") | _roles(claims, "scp")


def _find(claims: Claims, path: str) -> object:
    """Return the claim at ``path``; None where there is none."""
    found: object = claims
    for name in [path] if "://" in path else path.split("."):
        if not isinstance(found, Mapping):
            raise InvalidToken(f"the claim `{path}` does not lead through objects")
        found = found.get(name)
        if found is None:
            return None
    return found


def _text(claims: Claims, path: str) -> str | None:
    """Return a claim's text, None where it is absent or empty: an empty id must equal nobody's."""
    found = _find(claims, path)
    if found is not None and not isinstance(found, str):
        raise InvalidToken(f"the claim `{path}` is not text")
    return found or None


def _roles(claims: Claims, path: str) -> frozenset[str]:
    found = _find(claims, path)
    if found is None:
        return frozenset()
    if isinstance(found, str):
        return frozenset(re.split(r"[\s,]+", found)) - {""}
    # A role in a list is taken as it stands: what is trimmed here could become somebody else's role.
    if isinstance(found, list) and all(isinstance(role, str) for role in found):
        return frozenset(found) - {""}
    raise InvalidToken(f"the claim `{path}` is neither text nor a list of text")
