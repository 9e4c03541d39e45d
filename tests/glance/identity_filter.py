"""A stand-in for Keystone, inside Glance: a token `user:tenant:role,role[:service role,…]` says who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

App = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: What keystonemiddleware leaves where it has run. Written out: a Glance without the filter does not load `protect`.
VERIFIED = "keystone.token_auth"

#: What a client must not be able to say about itself.
HEADERS = (
    "X_IDENTITY_STATUS",
    "X_USER",
    "X_PROJECT",
    "X_TENANT",
    "X_ROLE",
    "X_SERVICE",
    "X_IS_ADMIN",
    "X_DOMAIN",
)


def filter_factory(_global_conf: dict[str, str], **_options: str) -> Callable[[App], App]:
    return identity


def identity(app: App) -> App:
    def with_identity(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        for key in [key for key in environ if key.startswith(tuple(f"HTTP_{name}" for name in HEADERS))]:
            del environ[key]
        environ.update(identity_headers(environ.get("HTTP_X_AUTH_TOKEN", "")))
        environ[VERIFIED] = object()
        return app(environ, start_response)

    return with_identity


def identity_headers(token: str) -> dict[str, str]:
    # python-glanceclient percent-encodes whatever it puts in a header.
    parts = unquote(token).split(":")
    if len(parts) not in (3, 4):
        return {"HTTP_X_IDENTITY_STATUS": "Invalid"}
    headers = {
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_USER_ID": parts[0],
        "HTTP_X_PROJECT_ID": parts[1],
        "HTTP_X_ROLES": parts[2],
    }
    if len(parts) == 4:
        headers |= {"HTTP_X_SERVICE_IDENTITY_STATUS": "Confirmed", "HTTP_X_SERVICE_ROLES": parts[3]}
    return headers
