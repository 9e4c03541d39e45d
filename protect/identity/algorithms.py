"""Which signatures are accepted, and what kind of key each of them needs."""

from __future__ import annotations

from enum import StrEnum


class KeyKind(StrEnum):
    """What a key is: its type, and its curve where it has one."""

    RSA = "RSA"
    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"
    ED25519 = "Ed25519"


class Algorithm(StrEnum):
    """The signatures that can be asked for. All have a public key.

    `none` and those with a shared secret (`HS256`, …) have no name here, so that no option can ask for them: whoever
    can check such a token can also make one.
    """

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"

    @property
    def kind(self) -> KeyKind:
        """The kind of key that it needs."""
        return _KINDS.get(self, KeyKind.RSA)


_KINDS = {
    Algorithm.ES256: KeyKind.P256,
    Algorithm.ES384: KeyKind.P384,
    Algorithm.ES512: KeyKind.P521,
    Algorithm.EDDSA: KeyKind.ED25519,
}

DEFAULT_ALGORITHMS = (Algorithm.RS256, Algorithm.ES256, Algorithm.EDDSA)
