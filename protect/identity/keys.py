"""The public keys of an issuer of tokens, read strictly from a JSON Web Key Set."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from protect import json_bodies
from protect.errors import ConfigError, MalformedRequest
from protect.identity.algorithms import Algorithm, KeyKind

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MAX_SET = 256 * 1024  # bytes
MAX_KEYS = 100
RSA_BITS = (2048, 8192)  # the longest takes a millisecond for each forged token

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_CURVES: Mapping[str, tuple[KeyKind, ec.EllipticCurve]] = {
    "P-256": (KeyKind.P256, ec.SECP256R1()),
    "P-384": (KeyKind.P384, ec.SECP384R1()),
    "P-521": (KeyKind.P521, ec.SECP521R1()),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``algorithm`` is the only one that it may be used with, None for any that its kind allows."""

    kid: str | None
    kind: KeyKind
    algorithm: str | None
    numbers: tuple[str, ...]
    public: PublicKey = field(compare=False, repr=False)

    def fits(self, algorithm: Algorithm) -> bool:
        """Tell whether a token that says ``algorithm`` may be checked with this key."""
        return self.kind is algorithm.kind and self.algorithm in (None, algorithm)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that an issuer has published at one moment."""

    keys: tuple[Key, ...] = ()

    def knows(self, kid: str) -> bool:
        """Tell whether a key has this id."""
        return any(key.kid == kid for key in self.keys)

    def find(self, kid: str | None, algorithm: Algorithm) -> Key | None:
        """Return the key for a token; None where there is none, or more than one: there is no guessing."""
        fitting = [key for key in self.keys if key.fits(algorithm) and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 else None


NO_KEYS = KeySet()


def read_keys(data: bytes, origin: str) -> KeySet:
    """Return the keys that can check signatures; ``origin`` is the file or URL, for messages.

    Keys of other kinds, and those for other uses, are passed over. Raises ConfigError for a set that is not
    well-formed, or has a weak key, or has a secret in it: that does not belong where tokens are only checked.
    """
    try:
        found = json_bodies.parse_object(data).get("keys")
    except MalformedRequest as error:
        raise ConfigError(f"`jwks = {origin}` is not a JSON Web Key Set: {error}") from None
    if not isinstance(found, list) or not all(isinstance(jwk, dict) for jwk in found):
        raise ConfigError(f"`jwks = {origin}` is not a JSON Web Key Set: it has no list `keys` of objects")
    if len(found) > MAX_KEYS:
        raise ConfigError(f"`jwks = {origin}` has more than {MAX_KEYS} keys")
    keys = (_Jwk(jwk, f"key {number} of `jwks = {origin}`").key() for number, jwk in enumerate(found, 1))
    return KeySet(tuple(key for key in keys if key is not None))


@dataclass(frozen=True, slots=True)
class _Jwk:
    members: Mapping[str, object]
    place: str

    def key(self) -> Key | None:
        kind = self._text("kty")
        if kind == "oct":
            raise self._wrong("is a shared secret; only public keys are accepted")
        if any(name in self.members for name in _PRIVATE):
            raise self._wrong("is a private key; publish its public half only, and make a new one")
        read = self._readers().get(kind or "")
        if kind is None:
            raise self._wrong("has no `kty`")
        if read is None or not self._for_signatures():
            return None
        return read()

    def _readers(self) -> dict[str, Callable[[], Key | None]]:
        return {"RSA": self._rsa, "EC": self._ec, "OKP": self._okp}

    def _for_signatures(self) -> bool:
        operations = self.members.get("key_ops", ["verify"])
        if not isinstance(operations, list):
            raise self._wrong("has `key_ops` that is not a list")
        return self._text("use") in (None, "sig") and "verify" in operations

    def _rsa(self) -> Key:
        n, e = self._bytes("n"), self._bytes("e")
        shortest, longest = RSA_BITS
        bits = int.from_bytes(n).bit_length()
        if not shortest <= bits <= longest:
            raise self._wrong(f"has {bits} bits; accepted: {shortest} to {longest}")
        numbers = rsa.RSAPublicNumbers(int.from_bytes(e), int.from_bytes(n))
        return self._made(KeyKind.RSA, ("n", "e"), numbers.public_key)

    def _ec(self) -> Key | None:
        if (self._text("crv") or "") not in _CURVES:
            return None
        kind, curve = _CURVES[str(self.members["crv"])]
        x, y = self._bytes("x"), self._bytes("y")
        if not len(x) == len(y) == (curve.key_size + 7) // 8:
            raise self._wrong(f"has coordinates of another length than {kind} has")
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve)
        return self._made(kind, ("x", "y"), numbers.public_key)

    def _okp(self) -> Key | None:
        if self._text("crv") != "Ed25519":
            return None
        x = self._bytes("x")
        return self._made(KeyKind.ED25519, ("x",), lambda: ed25519.Ed25519PublicKey.from_public_bytes(x))

    def _made(self, kind: KeyKind, names: tuple[str, ...], make: Callable[[], PublicKey]) -> Key:
        try:
            public = make()
        except ValueError:
            raise self._wrong(f"is not a valid {kind} key") from None
        numbers = tuple(str(self.members[name]) for name in names)
        return Key(self._text("kid"), kind, self._text("alg"), numbers, public)

    def _text(self, name: str) -> str | None:
        value = self.members.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(f"has `{name}` that is not text")
        return value

    def _bytes(self, name: str) -> bytes:
        text = self._text(name) or ""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text) or len(text) % 4 == 1:
            raise self._wrong(f"has no `{name}` in base64url")
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self.place} {what}")
