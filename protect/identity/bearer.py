"""Who asks, as a bearer token tells it, and what stands around the filter where tokens are the identity."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from protect.identity.claims import InvalidToken
from protect.identity.keystone import verified
from protect.values import Subject

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]
    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

log = logging.getLogger("protect.identity")

_AUTHORIZATION = "HTTP_AUTHORIZATION"
NOBODY = Subject(authenticated=False)

# Everything that keystonemiddleware sets, deprecated names too, however a server spells it: some let `_` or `.`
# through where the header has `-`.
_KEYSTONE = re.compile(
    r"HTTP_(X_(SERVICE_)?(IDENTITY_STATUS|ROLES?|CATALOG|(USER|PROJECT|TENANT|DOMAIN)(_.*)?)"
    r"|X_IS_ADMIN_PROJECT|OPENSTACK_SYSTEM_SCOPE)"
)


def bearer_token(environ: Mapping[str, object]) -> str | None:
    """Return the token of `Authorization: Bearer`; None where there is no such header, or another scheme.

    Raises InvalidToken for a header that could be read in two ways: two of them, or more than a scheme and a token.
    """
    header = environ.get(_AUTHORIZATION)
    if not isinstance(header, str) or header[:6].lower() != "bearer":
        return None
    # Servers join the values of a header that comes twice with a comma, which no token has.
    if "," in header:
        raise InvalidToken("more than one `Authorization`")
    token = header[6:].lstrip(" ")
    # The shape of the token itself is for the one who verifies it.
    if header[6:7] != " " or not token:
        raise InvalidToken("not a bearer token")
    return token


def identify(verify: Callable[[str], Subject]) -> Callable[[WSGIEnvironment], Subject]:
    """Return what finds the subject of a request, with ``verify`` from `Tokens`.

    A request without a token, or with one that is not believed, is nobody's; why is in the log, and only there.
    """

    def subject(environ: WSGIEnvironment) -> Subject:
        try:
            token = bearer_token(environ)
            return NOBODY if token is None else verify(token)
        except InvalidToken as error:
            log.warning("a token was refused: %s", error.reason)
            return NOBODY

    return subject


class Challenge:
    """Stands around the filter: says with a 401 what to bring, and lets no identity pass that nobody has verified.

    Where tokens are the identity, nothing need have looked at keystonemiddleware's headers, so what a client wrote
    there would reach the API behind us. They are taken out, unless keystonemiddleware itself has set them.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not verified(environ):
            _drop_identity(environ)
        challenge = 'Bearer error="invalid_token"' if _AUTHORIZATION in environ else "Bearer"

        def challenging(status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], object]:
            if status.startswith("401") and not any(name.lower() == "www-authenticate" for name, _ in headers):
                headers = [*headers, ("WWW-Authenticate", challenge)]
            return start_response(status, headers, exc_info)

        return self._app(environ, challenging)


def _drop_identity(environ: WSGIEnvironment) -> None:
    for key in [key for key in environ if key.startswith("HTTP_") and _KEYSTONE.fullmatch(_plain(key))]:
        del environ[key]


def _plain(key: str) -> str:
    return re.sub(r"[-.]", "_", key.upper())
