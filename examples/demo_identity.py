"""Identity for demonstrations: believes whatever the client says. Never put it in front of anything real.

A token is ``user:tenant:role,role`` or, for a user's request that a trusted service passes on,
``user:tenant:role,role:service-role``. Out come the headers that keystonemiddleware would set, and the mark by
which the filter behind knows that they are not the client's; the client's own copies of them are removed first.
Whoever can reach the port can be anyone, so the filter refuses to start unless its section says
``i_know_this_is_no_security = yes``, and answers nobody outside this machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from webob import exc

from protect.identity.keystone import VERIFIED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONSENT = "i_know_this_is_no_security"
TOKEN = re.compile(r"(?P<user>[^:]+):(?P<tenant>[^:]+):(?P<roles>[^:]*)(?::(?P<service_roles>[^:]+))?")
# Everything that keystonemiddleware sets, deprecated copies too. Servers spell a header's `-` as `_`, and
# some let `_` and `.` through as well.
IDENTITY = re.compile(
    r"HTTP_(X_(SERVICE_)?(IDENTITY_STATUS|(USER|PROJECT|TENANT|DOMAIN)(_.*)?|ROLES?|CATALOG)"
    r"|X_SERVICE_TOKEN|X_IS_ADMIN_PROJECT|OPENSTACK_SYSTEM_SCOPE)"
)


class DemoIdentity:
    """The filter. A token of another shape leaves the request unconfirmed, for the next one to refuse."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not _local(environ.get("REMOTE_ADDR", "")):
            return exc.HTTPForbidden("this demonstration answers this machine only")(environ, start_response)
        for key in [key for key in environ if IDENTITY.fullmatch(re.sub(r"[-.]", "_", key.upper()))]:
            del environ[key]
        environ.update(_headers(environ.get("HTTP_X_AUTH_TOKEN", "")))
        # Set whatever the token is worth, as keystonemiddleware does: what it is worth, the headers say.
        environ[VERIFIED] = object()
        return self._app(environ, start_response)


def filter_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[WSGIApplication], WSGIApplication]:
    """``paste.filter_factory``: raises ValueError unless the section admits what this is."""
    if local_conf != {CONSENT: "yes"}:
        raise ValueError(
            "examples.demo_identity lets anyone be anyone; "
            f"to use it in a demonstration, set `{CONSENT} = yes` in its section, and nothing else"
        )
    return DemoIdentity


def _headers(token: str) -> dict[str, str]:
    match = TOKEN.fullmatch(token)
    if match is None:
        return {"HTTP_X_IDENTITY_STATUS": "Invalid"}
    headers = {
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_USER_ID": match["user"],
        "HTTP_X_PROJECT_ID": match["tenant"],
        "HTTP_X_ROLES": match["roles"],
        "HTTP_X_USER_DOMAIN_ID": "default",
        "HTTP_X_PROJECT_DOMAIN_ID": "default",
    }
    if match["service_roles"]:
        headers["HTTP_X_SERVICE_IDENTITY_STATUS"] = "Confirmed"
        headers["HTTP_X_SERVICE_ROLES"] = match["service_roles"]
    return headers


def _local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
