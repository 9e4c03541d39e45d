"""Who may ask the decision endpoint: the service or gateway that asks, never the user that it asks about.

A guard looks at a request and returns the enforcement point, or raises Unauthenticated. None of them believes a header
in which a proxy says whom it has verified (`X-SSL-Client-Verify` and the like): anyone can write one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from protect.errors import ConfigError, ProtectError
from protect.identity.bearer import bearer_token
from protect.identity.claims import Claims, InvalidToken, scopes
from protect.watching import Trouble, Watch

log = logging.getLogger("protect.identity")

MIN_TOKEN, MAX_TOKEN = 32, 512  # characters
MAX_FILE = 1024 * 1024  # bytes
LOOK = 5.0  # seconds

Environ = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class EnforcementPoint:
    """The service or gateway that asks. ``name`` is for logs and metrics."""

    name: str


class Unauthenticated(ProtectError):
    """The one who asks is not known. ``reason`` is for the log; it repeats nothing that the request says."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Header(StrEnum):
    """Where a token stands: ``Authorization: Bearer <token>``, or alone in ``X-Protect-Token``.

    The second is for requests that carry the `Authorization` of the user whom they are about.
    """

    AUTHORIZATION = "Authorization"
    PROTECT_TOKEN = "X-Protect-Token"


class Guard(Protocol):
    """Returns who asks; raises Unauthenticated."""

    def __call__(self, environ: Environ, header: Header = Header.AUTHORIZATION) -> EnforcementPoint: ...


def presented(environ: Environ, header: Header) -> str:
    """Return the token that a request brings; raises Unauthenticated where there is none."""
    if header is Header.AUTHORIZATION:
        try:
            token = bearer_token(environ)
        except InvalidToken as error:
            raise Unauthenticated(error.reason) from None
    else:
        token = str(environ.get("HTTP_X_PROTECT_TOKEN") or "")
    if not token:
        raise Unauthenticated(f"no token in `{header}`")
    return token


# Tokens from a file


class TokenFile:
    """A guard with a file of tokens: one ``name:token`` on each line, ``#`` before a comment.

    The file is looked at every ``seconds``, in a thread of its own, once ``start`` was called. Where it cannot be used
    any more, the tokens that were read last stay good, and the log and ``trouble`` say why.
    """

    def __init__(self, path: str, *, seconds: float = LOOK, clock: Callable[[], float] = time.time) -> None:
        """Read the file now; raises ConfigError."""
        self._path = path
        self._clock = clock
        self._watch = Watch(self.look, lambda: seconds, "protect-tokens")
        self.trouble: Trouble | None = None
        self._seen = _signature(path)
        self._names = read_tokens(path)

    def __call__(self, environ: Environ, header: Header = Header.AUTHORIZATION) -> EnforcementPoint:
        # Of digests: how long it takes to find one tells nothing about the token.
        found = self._names.get(_digest(presented(environ, header)))
        if found is None:
            raise Unauthenticated("unknown token")
        return found

    def start(self) -> None:
        """Start looking at the file."""
        self._watch.start()

    def stop(self) -> None:
        """Stop looking."""
        self._watch.stop()

    def look(self) -> None:
        """Read the file again if it has changed. Never raises."""
        with self._watch.looking:
            try:
                seen = _signature(self._path)
                if seen != self._seen or self.trouble is not None:
                    self._names, self._seen, self.trouble = read_tokens(self._path), seen, None
            except ConfigError as error:
                self._failed(str(error))
            except Exception as error:
                log.exception("looking at the tokens failed")
                self._failed(f"internal error: {type(error).__name__}")

    def _failed(self, message: str) -> None:
        if self.trouble is None or self.trouble.message != message:
            self.trouble = Trouble(message, self._clock())
            log.error("the tokens that were read last stay good: %s", message)


def read_tokens(path: str) -> Mapping[bytes, EnforcementPoint]:
    """Return who has which token, by the tokens' digests; raises ConfigError. No message repeats a token."""
    found: dict[bytes, EnforcementPoint] = {}
    for number, line in enumerate(_private_text(path).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            point, digest = _entry(line.strip(), f"`{path}`, line {number}")
            if digest in found or point in found.values():
                raise ConfigError(f"`{path}`, line {number}: this name or this token is there already")
            found[digest] = point
    if not found:
        raise ConfigError(f"`{path}` has no token; add a line `name:token`")
    return found


def _entry(line: str, place: str) -> tuple[EnforcementPoint, bytes]:
    name, colon, token = line.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", name):
        raise ConfigError(f"{place} is not `name:token`; a name has letters, digits and `._@-`, at most 64")
    if not re.fullmatch(r"[!-+\--~]*", token):
        raise ConfigError(f"{place}: the token of `{name}` has a space, a comma or a character that is not ASCII")
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN:
        raise ConfigError(
            f"{place}: the token of `{name}` has {len(token)} characters; accepted: {MIN_TOKEN} to {MAX_TOKEN}; "
            "make one with: openssl rand -hex 32"
        )
    return EnforcementPoint(name), _digest(token)


def _private_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from None
    if mode & 0o007:
        raise ConfigError(f"`{path}` holds tokens and is open to everyone on this machine; run: chmod 640 {path}")
    if len(data) > MAX_FILE:
        raise ConfigError(f"`{path}` is longer than {MAX_FILE // 1024} KiB")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(f"`{path}` has characters that are not ASCII") from None


def _signature(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


# Tokens of an issuer


def enforcement_point_of(claims: Claims, scope: str | None = None) -> EnforcementPoint:
    """Return whose token this is; raises InvalidToken where it lacks ``scope``. For `Tokens`."""
    if scope is not None and scope not in scopes(claims):
        raise InvalidToken("without the scope that is needed here")
    return EnforcementPoint(str(claims["sub"]))


class Bearer:
    """A guard with an issuer's tokens: ``verify`` is that of a `Tokens` that reads `enforcement_point_of`."""

    def __init__(self, verify: Callable[[str], EnforcementPoint]) -> None:
        self._verify = verify

    def __call__(self, environ: Environ, header: Header = Header.AUTHORIZATION) -> EnforcementPoint:
        try:
            return self._verify(presented(environ, header))
        except InvalidToken as error:
            raise Unauthenticated(error.reason) from None


# The connection itself


class Tls:
    """A guard for connections on which the server has verified a client's certificate.

    gunicorn shows the certificate. granian does not, so there the word of whoever configured the listener counts:
    ``listener_verifies`` says that it lets nobody in without a certificate. ``names``: the only ones accepted, by a DNS
    name or URI of the certificate, else by its common name; empty for whoever the authority has given a certificate.
    """

    def __init__(self, *, listener_verifies: bool = False, names: frozenset[str] = frozenset()) -> None:
        self.listener_verifies = listener_verifies
        self._names = names

    def __call__(self, environ: Environ, header: Header = Header.AUTHORIZATION) -> EnforcementPoint:
        connection = environ.get("gunicorn.socket")
        if connection is not None:
            return self._shown(_certificate_names(connection))
        # The scheme is the listener's own here; other servers take it from a header.
        if (environ.get("SERVER_SOFTWARE"), environ.get("wsgi.url_scheme")) != ("Granian", "https"):
            raise Unauthenticated("this server does not tell of client certificates")
        if not self.listener_verifies or self._names:
            raise Unauthenticated("this server does not show whose certificate it has verified")
        return EnforcementPoint("tls")

    def _shown(self, names: list[str]) -> EnforcementPoint:
        if not names:
            raise Unauthenticated("no verified client certificate")
        accepted = [name for name in names if not self._names or name in self._names]
        if not accepted:
            raise Unauthenticated("a client certificate of somebody else")
        return EnforcementPoint(accepted[0])


def _certificate_names(connection: object) -> list[str]:
    """Return the names in the peer's certificate. Python shows only one that was verified."""
    peer = getattr(connection, "getpeercert", None)
    certificate = peer() if peer is not None else None
    if not certificate:
        return []
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("URI", "DNS")]
    common = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return names or common


class Unix:
    """A guard for a Unix socket: who may connect is a matter of the socket's file and its directory.

    The server must show that the request came over one. Servers of which that is not known are refused.
    """

    def __call__(self, environ: Environ, header: Header = Header.AUTHORIZATION) -> EnforcementPoint:
        if not _over_unix_socket(environ):
            raise Unauthenticated("not over a Unix socket, as far as the server tells")
        return EnforcementPoint("unix")


def _over_unix_socket(environ: Environ) -> bool:
    connection = environ.get("gunicorn.socket") or _waitress_socket(environ)
    if connection is not None:
        return getattr(connection, "family", None) is socket.AF_UNIX
    # granian has no address of a peer there, and no port of its own; over TCP it always has both. Neither comes from
    # the request.
    told = [environ.get(name) for name in ("SERVER_SOFTWARE", "REMOTE_ADDR", "SERVER_PORT")]
    return told == ["Granian", "", "0"]


def _waitress_socket(environ: Environ) -> object:
    """Return waitress's socket. What it writes as the address could come from a header, where it trusts a proxy."""
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    return getattr(channel, "socket", None)


class Off:
    """No guard: everyone may ask, about everyone."""

    def __init__(self) -> None:
        log.warning("the decision endpoint is open: whoever can reach it may ask about everyone; set a guard")

    def __call__(self, environ: Environ, header: Header = Header.AUTHORIZATION) -> EnforcementPoint:
        return EnforcementPoint("anyone")
