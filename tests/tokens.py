"""An issuer of tokens for tests: keys, key sets, and tokens, true and forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

NOW = 1_900_000_000.0
ISSUER = "https://issuer.example"
AUDIENCE = "images"
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "u1",
    "exp": NOW + 300,
    "iat": NOW - 5,
    "nbf": NOW - 5,
    "tenant": "t1",
    "roles": ["member"],
}


@cache
def private(name: str) -> Any:
    """Return the private key called ``name``: made once, `rsa…`, `p256…`, `p384…`, `p521…` or `ed…`."""
    kind = name.split("-")[0]
    curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1(), "k256": ec.SECP256K1()}
    if kind in curves:
        return ec.generate_private_key(curves[kind])
    if kind == "ed":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa") or 2048))


def jwk(name: str, *, secret: bool = False, **members: Any) -> dict[str, Any]:
    """Return a key as a JWK; its `kid` is its name. A member that is None is left out."""
    key = private(name) if secret else private(name).public_key()
    kind = "RS256" if name.startswith("rsa") else "EdDSA" if name.startswith("ed") else "ES256"
    found = dict(get_default_algorithms()[kind].to_jwk(key, as_dict=True))
    found.pop("key_ops", None)
    return {name: value for name, value in (found | {"kid": name} | members).items() if value is not None}


def jwks(*keys: Mapping[str, Any] | str) -> bytes:
    """Return a key set; a text is the name of a key."""
    return json.dumps({"keys": [jwk(key) if isinstance(key, str) else key for key in keys]}).encode()


def token(
    name: str = "rsa",
    *,
    claims: Mapping[str, Any] | None = None,
    algorithm: str = "RS256",
    header: Mapping[str, Any] | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> str:
    """Return a token that the key called ``name`` has signed. A header that is None is left out."""
    head = {"alg": algorithm, "typ": "JWT", "kid": name} | dict(header or {})
    head = {key: value for key, value in head.items() if value is not None}
    signing = ".".join((encoded(json.dumps(head)), encoded(json.dumps(CLAIMS if claims is None else claims))))
    if sign is None:
        method = get_default_algorithms()[algorithm]
        signature = method.sign(signing.encode(), private(name))
    else:
        signature = sign(signing.encode())
    return f"{signing}.{encoded(signature)}"


def encoded(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def pem(name: str) -> bytes:
    """Return a public key as everyone can have it."""
    public = private(name).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Issuer:
    """What an issuer's server answers. ``asked`` holds the paths of the requests."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.location: str | None = None
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Issuer]:
    """Run an issuer's server on a loopback address."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            moved = issuer.location is not None and self.path == "/jwks"
            self.send_response(302 if moved else issuer.status)
            if moved:
                self.send_header("Location", str(issuer.location))
            body = b"" if moved else issuer.body
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}/jwks"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
