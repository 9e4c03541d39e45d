"""Verifying bearer tokens: JSON Web Tokens, signed by one issuer for one audience."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar

from cachetools import FIFOCache
from jwt import InvalidTokenError, PyJWS

from protect import json_bodies
from protect.errors import MalformedRequest
from protect.identity.algorithms import DEFAULT_ALGORITHMS, Algorithm
from protect.identity.claims import Claims, InvalidToken
from protect.identity.keys import KeySet

MAX_TOKEN = 8 * 1024  # characters
LEEWAY = 30.0  # seconds
REMEMBERED = 10_000  # tokens

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# What a token may say it is, in lower case. A logout token, a proof or an event is signed by the same issuer, and is
# nobody's right to anything.
_TYPES = (None, "jwt", "at+jwt", "application/jwt", "application/at+jwt")

T = TypeVar("T")


class Keys(Protocol):
    """Where keys come from: see `Keyring`."""

    @property
    def current(self) -> KeySet: ...

    def knowing(self, kid: str | None) -> KeySet: ...


class _Known(NamedTuple, Generic[T]):
    """What came of a token, until when, and the keys that it was checked with."""

    value: T
    until: float
    keys: KeySet


class Tokens(Generic[T]):
    """Verifies tokens, and remembers what came of them.

    ``read`` turns the claims of a token that has passed into what is wanted of it; it may raise InvalidToken.
    ``leeway``: seconds that the issuer's clock may be off. ``timer`` is the wall clock. ``remembered``: how many
    tokens; only those that have passed, by their digest, none past its expiry, and none once the keys have changed.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str,
        read: Callable[[Claims], T],
        algorithms: Iterable[Algorithm] = DEFAULT_ALGORITHMS,
        leeway: float = LEEWAY,
        max_token: int = MAX_TOKEN,
        remembered: int = REMEMBERED,
        timer: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._read = read
        self._algorithms = {str(algorithm): Algorithm(algorithm) for algorithm in algorithms}
        self._leeway = leeway
        self._max_token = max_token
        self._timer = timer
        self._jws = PyJWS(algorithms=list(self._algorithms))
        # First in, first out: looking something up changes nothing, so that it needs no lock.
        self._known: FIFOCache[bytes, _Known[T]] = FIFOCache(remembered)
        self._remembering = threading.Lock()

    def verify(self, token: str) -> T:
        """Return what ``read`` makes of the token's claims; raises InvalidToken."""
        if len(token) > self._max_token:
            raise InvalidToken("too long")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        try:
            known = self._known[digest]
        except KeyError:
            return self._verify(token, digest)
        if known.keys is self._keys.current and self._timer() < known.until:
            return known.value
        return self._verify(token, digest)

    def _verify(self, token: str, digest: bytes) -> T:
        if not _SHAPE.fullmatch(token):
            raise InvalidToken("not a JSON Web Token")
        kid, algorithm = self._header(token)
        keys = self._keys.knowing(kid)
        key = keys.find(kid, algorithm)
        if key is None:
            raise InvalidToken("no key for it")
        try:
            payload = self._jws.decode_complete(token, key.public, algorithms=[algorithm])["payload"]
        except InvalidTokenError:
            raise InvalidToken("wrong signature") from None
        claims = _object(payload)
        expires = self._checked(claims)
        value = self._read(claims)
        with self._remembering:
            self._known[digest] = _Known(value, expires, keys)
        return value

    def _header(self, token: str) -> tuple[str | None, Algorithm]:
        """Return which key and algorithm the token names. Keys that it brings (`jwk`, `jku`, …) are not looked at."""
        header = _object(_decoded(token.partition(".")[0]))
        if "crit" in header:
            raise InvalidToken("an extension that it calls critical is not known")
        kind = header.get("typ")
        if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
            raise InvalidToken("another type of token")
        algorithm = self._algorithms.get(str(header.get("alg")))
        if algorithm is None:
            raise InvalidToken("algorithm not accepted")
        if "kid" not in header:
            return None, algorithm
        kid = header["kid"]
        if not isinstance(kid, str):
            raise InvalidToken("`kid` is not text")
        return kid, algorithm

    def _checked(self, claims: Claims) -> float:
        """Return when the token expires, in seconds since 1970; raises InvalidToken unless it is meant for us, now."""
        if claims.get("iss") != self._issuer:
            raise InvalidToken("wrong issuer")
        audience = claims.get("aud")
        if audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            raise InvalidToken("wrong audience")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise InvalidToken("no subject")
        now = self._timer()
        expires = _seconds(claims, "exp")
        if expires is None:
            raise InvalidToken("no expiry")
        if now >= expires + self._leeway:
            raise InvalidToken("expired")
        if any((_seconds(claims, name) or 0) > now + self._leeway for name in ("nbf", "iat")):
            raise InvalidToken("not yet valid")
        return expires


def _seconds(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"`{name}` is not a number")
    return value


def _decoded(segment: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidToken("not a JSON Web Token") from None


def _object(data: bytes) -> Mapping[str, object]:
    try:
        return json_bodies.parse_object(data)
    except MalformedRequest:
        # Its own words may repeat what the token says.
        raise InvalidToken("not a JSON Web Token") from None
