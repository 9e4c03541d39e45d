"""Who asks, as keystonemiddleware tells it in the WSGI environment.

Read only the headers that keystonemiddleware itself removes from the client's request and sets anew, and only
when it says ``Confirmed``. Its older copies (``X-Tenant-Id``, ``X-User``, ``X-Role``) are not read: it sets
both, so they say nothing new, and one more name for a fact is one more name for a client to try to forge.
"""

from __future__ import annotations

from collections.abc import Mapping

from protect.values import Subject

CONFIRMED = "Confirmed"


def identify(environ: Mapping[str, object]) -> Subject:
    """Return the subject of a request; one that is not authenticated has no facts at all."""
    if environ.get("HTTP_X_IDENTITY_STATUS") != CONFIRMED:
        return Subject(authenticated=False)
    trusted = environ.get("HTTP_X_SERVICE_IDENTITY_STATUS") == CONFIRMED
    return Subject(
        id=_text(environ, "HTTP_X_USER_ID"),
        tenant=_text(environ, "HTTP_X_PROJECT_ID"),
        # The project's domain is another fact: it never stands in for this one.
        domain=_text(environ, "HTTP_X_USER_DOMAIN_ID"),
        roles=_roles(environ, "HTTP_X_ROLES"),
        service_roles=_roles(environ, "HTTP_X_SERVICE_ROLES") if trusted else frozenset(),
        admin_project=environ.get("HTTP_X_IS_ADMIN_PROJECT") == "True",
    )


def _text(environ: Mapping[str, object], key: str) -> str | None:
    """Return a header's value, None where it is unset, None or empty: an empty id must equal nobody's."""
    value = environ.get(key)
    return value if isinstance(value, str) and value else None


def _roles(environ: Mapping[str, object], key: str) -> frozenset[str]:
    names = (_text(environ, key) or "").split(",")
    return frozenset(name.strip() for name in names) - {""}
