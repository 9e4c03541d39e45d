"""Who asks, as keystonemiddleware tells it in the WSGI environment.

Read only the headers that keystonemiddleware itself removes from the client's request and sets anew, only when it
says ``Confirmed``, and only where it has really run. Its older copies (``X-Tenant-Id``, ``X-User``, ``X-Role``) are
not read: it sets both, so they say nothing new, and one more name for a fact is one more name for a client to try to
forge.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from protect.values import Subject

log = logging.getLogger("protect.identity")

CONFIRMED = "Confirmed"
# What keystonemiddleware leaves in the environment for every request that it lets through, also for one that it could
# not authenticate. A client's headers all arrive as `HTTP_…`, so nothing that is sent can be mistaken for it.
VERIFIED = "keystone.token_auth"
# The one filter of keystonemiddleware that asks another issuer than Keystone leaves this instead.
_VERIFIED_ELSEWHERE = "external.token_info"

_PAUSE = 60.0


class Complaint:
    """Says in the log that nothing verifies who asks: at most once a minute, for it is as true of the next request.

    Where two threads are in the same moment it may be said twice.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._silent_until = float("-inf")

    def __call__(self) -> None:
        now = self._timer()
        if now < self._silent_until:
            return
        self._silent_until = now + _PAUSE
        # Never what the headers say: an attempt to be somebody does not belong in a log, nor does a token.
        log.error(
            "a request has an identity or a token that nothing in this process has verified, so it is nobody's: "
            "put `authtoken` directly before `protect` in the pipeline; a middleware of your own takes the client's "
            "identity headers out, sets its own, and sets environ[%r] to an object",
            VERIFIED,
        )


_complain = Complaint()


def verified(environ: Mapping[str, object]) -> bool:
    """Tell whether keystonemiddleware, or what stands in for it, has run before us: its headers are its own then.

    It leaves an object. A text, or nothing under the name, is not what it leaves.
    """
    return _left(environ.get(VERIFIED)) or _left(environ.get(_VERIFIED_ELSEWHERE))


def _left(mark: object) -> bool:
    return bool(mark) and not isinstance(mark, str)


def identify(environ: Mapping[str, object], complain: Callable[[], None] = _complain) -> Subject:
    """Return the subject of a request; one that is not authenticated has no facts at all.

    ``complain`` is called where a request comes with an identity or a token that nothing has looked at.
    """
    confirmed = environ.get("HTTP_X_IDENTITY_STATUS") == CONFIRMED
    if not verified(environ):
        if confirmed or environ.get("HTTP_X_AUTH_TOKEN"):
            complain()
        return Subject(authenticated=False)
    if not confirmed:
        return Subject(authenticated=False)
    trusted = environ.get("HTTP_X_SERVICE_IDENTITY_STATUS") == CONFIRMED
    return _subject(
        environ.get("HTTP_X_USER_ID"),
        environ.get("HTTP_X_PROJECT_ID"),
        # The project's domain is another fact: it never stands in for this one.
        environ.get("HTTP_X_USER_DOMAIN_ID"),
        environ.get("HTTP_X_ROLES"),
        environ.get("HTTP_X_SERVICE_ROLES") if trusted else None,
        environ.get("HTTP_X_IS_ADMIN_PROJECT") == "True",
    )


def _text(value: object) -> str | None:
    """Return a header's value, None where it is unset, None or empty: an empty id must equal nobody's."""
    return value if isinstance(value, str) and value else None


# Whoever asks once asks again, and nothing of a subject is about one request.
@lru_cache(maxsize=1024, typed=True)
def _subject(
    id: object, tenant: object, domain: object, roles: object, service_roles: object, admin_project: bool
) -> Subject:
    return Subject(
        id=_text(id),
        tenant=_text(tenant),
        domain=_text(domain),
        roles=_split(roles),
        service_roles=_split(service_roles),
        admin_project=admin_project,
    )


def _split(listed: object) -> frozenset[str]:
    return frozenset(name.strip() for name in (_text(listed) or "").split(",")) - {""}
