"""Bearer tokens: which are believed, what they say of the subject, and where the keys come from."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jwt.algorithms import get_default_algorithms
from webob import Request

from protect.errors import ConfigError
from protect.factories import filter_factory
from protect.identity.algorithms import DEFAULT_ALGORITHMS, Algorithm
from protect.identity.bearer import Challenge, bearer_token, identify
from protect.identity.claims import ClaimNames, InvalidToken, subject_of
from protect.identity.fetching import loader
from protect.identity.jwt import MAX_TOKEN, Tokens
from protect.identity.keyring import Keyring
from protect.identity.keys import MAX_SET, read_keys
from protect.settings import JwtSettings, Settings
from protect.values import Subject
from protect.watching import Trouble
from tests.image_api import ID, ImageApi, image
from tests.tokens import (
    AUDIENCE,
    CLAIMS,
    ISSUER,
    NOW,
    Clock,
    Issuer,
    encoded,
    hs256,
    jwk,
    jwks,
    pem,
    private,
    serving,
    token,
)

SUBJECT = Subject(
    id="u1",
    tenant="t1",
    roles=frozenset({"member"}),
    claims={name: value for name, value in CLAIMS.items() if name != "roles"},
)
NOBODY = Subject(authenticated=False)
CRITICAL = "an extension that it calls critical is not known"
NO_TOKEN = "not a JSON Web Token"


def keyring(*keys: Mapping[str, Any] | str, timer: Callable[[], float] | None = None) -> Keyring:
    return Keyring(lambda: jwks(*keys), "set", timer=timer or Clock())


def tokens(keys: Keyring | None = None, **options: Any) -> Tokens[Subject]:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "read": lambda claims: subject_of(claims, ClaimNames()),
        "timer": Clock(),
    }
    return Tokens(keys or keyring("rsa", "p256", "ed"), **(given | options))


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name not in names}


def reason(verifier: Tokens[Subject], text: str) -> str:
    """Return why a token is refused, "" where it is not."""
    try:
        verifier.verify(text)
    except InvalidToken as error:
        return error.reason
    return ""


# One token


@pytest.mark.parametrize(("name", "algorithm"), [("rsa", "RS256"), ("p256", "ES256"), ("ed", "EdDSA")])
def test_a_token_of_the_issuer_is_believed(name: str, algorithm: str) -> None:
    assert tokens().verify(token(name, algorithm=algorithm)) == SUBJECT


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_algorithm_can_be_asked_for(algorithm: Algorithm) -> None:
    name = {"RSA": "rsa", "P-256": "p256", "P-384": "p384", "P-521": "p521", "Ed25519": "ed"}[algorithm.kind]
    asked = tokens(keyring(name), algorithms=[algorithm])
    assert asked.verify(token(name, algorithm=algorithm)) == SUBJECT
    others = [other for other in Algorithm if other is not algorithm]
    assert (
        reason(tokens(keyring(name), algorithms=others), token(name, algorithm=algorithm)) == "algorithm not accepted"
    )


def test_no_shared_secret_and_no_missing_signature_can_be_asked_for() -> None:
    for name in ("HS256", "HS384", "HS512", "none", "None", ""):
        with pytest.raises(ValueError, match=r"is not a valid Algorithm"):
            Tokens(keyring("rsa"), issuer="i", audience="a", read=dict, algorithms=[name])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"exp": NOW - 29}, "", id="expired-within-the-leeway"),
        pytest.param({"exp": NOW - 30}, "expired", id="expired"),
        pytest.param({"exp": NOW + 0.5}, "", id="expires-at-a-fraction"),
        pytest.param({"exp": str(NOW + 300)}, "`exp` is not a number", id="expiry-as-text"),
        pytest.param({"exp": True}, "`exp` is not a number", id="expiry-as-true"),
        pytest.param({"exp": None}, "`exp` is not a number", id="expiry-as-null"),
        pytest.param({"nbf": NOW + 30}, "", id="valid-within-the-leeway"),
        pytest.param({"nbf": NOW + 31}, "not yet valid", id="not-yet-valid"),
        pytest.param({"nbf": "0"}, "`nbf` is not a number", id="not-before-as-text"),
        pytest.param({"iat": NOW + 31}, "not yet valid", id="issued-in-the-future"),
        pytest.param({"aud": ["other", AUDIENCE]}, "", id="one-audience-of-two"),
        pytest.param({"aud": "other"}, "wrong audience", id="another-audience"),
        pytest.param({"aud": ["other"]}, "wrong audience", id="a-list-of-another-audience"),
        pytest.param({"aud": AUDIENCE + "x"}, "wrong audience", id="audience-with-more-behind-it"),
        pytest.param({"aud": {AUDIENCE: 1}}, "wrong audience", id="audience-as-an-object"),
        pytest.param({"iss": ISSUER + "/"}, "wrong issuer", id="issuer-with-a-slash"),
        pytest.param({"iss": [ISSUER]}, "wrong issuer", id="issuer-as-a-list"),
        pytest.param({"sub": ""}, "no subject", id="subject-empty"),
        pytest.param({"sub": 7}, "no subject", id="subject-a-number"),
    ],
)
def test_claims(changed: dict[str, Any], why: str) -> None:
    assert reason(tokens(), token(claims={**CLAIMS, **changed})) == why


@pytest.mark.parametrize(
    ("name", "why"), [("exp", "no expiry"), ("iss", "wrong issuer"), ("aud", "wrong audience"), ("sub", "no subject")]
)
def test_a_token_without_what_it_needs_is_refused(name: str, why: str) -> None:
    assert reason(tokens(), token(claims=without(name))) == why


@pytest.mark.parametrize("name", ["nbf", "iat", "tenant", "roles"])
def test_a_token_may_leave_out_the_rest(name: str) -> None:
    assert reason(tokens(), token(claims=without(name))) == ""


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        pytest.param(lambda: token(), "", id="the-true-one"),
        pytest.param(lambda: token("rsa-2", header={"kid": "rsa"}), "wrong signature", id="another-key"),
        pytest.param(
            lambda: (
                ".".join((token().split(".")[0], encoded(json.dumps({**CLAIMS, "roles": ["admin"]})), ""))
                + token().split(".")[2]
            ),
            "wrong signature",
            id="other-claims-under-a-true-signature",
        ),
        pytest.param(lambda: token() + "A", "wrong signature", id="a-longer-signature"),
        pytest.param(lambda: token(sign=lambda data: b"\0" * 256), "wrong signature", id="a-signature-of-zeros"),
        pytest.param(
            lambda: token("p256", algorithm="ES256", sign=lambda data: b"\0" * 64),
            "wrong signature",
            id="an-elliptic-signature-of-zeros",
        ),
        pytest.param(
            lambda: token(algorithm="HS256", sign=hs256(pem("rsa"))),
            "algorithm not accepted",
            id="the-public-key-as-a-shared-secret",
        ),
        pytest.param(
            lambda: token(algorithm="HS256", sign=hs256(json.dumps(jwk("rsa")).encode())),
            "algorithm not accepted",
            id="the-jwk-as-a-shared-secret",
        ),
        pytest.param(
            lambda: token("p256", algorithm="ES256", header={"kid": "rsa"}), "no key for it", id="kid-of-another-kind"
        ),
        pytest.param(lambda: token("rsa-2"), "no key for it", id="kid-that-nobody-knows"),
        pytest.param(lambda: token(header={"kid": None}), "", id="no-kid-and-one-key-that-fits"),
        pytest.param(lambda: token(header={"kid": ["rsa"]}), "`kid` is not text", id="kid-as-a-list"),
        pytest.param(lambda: token(header={"kid": 0}), "`kid` is not text", id="kid-as-a-number"),
        pytest.param(lambda: token(header={"kid": ""}), "no key for it", id="kid-empty"),
        pytest.param(lambda: token("rsa-2", header={"jwk": jwk("rsa-2")}), "no key for it", id="its-own-key"),
        pytest.param(
            lambda: token("rsa-2", header={"jwk": jwk("rsa-2"), "kid": "rsa"}),
            "wrong signature",
            id="its-own-key-under-a-known-kid",
        ),
        pytest.param(lambda: token(header={"jwk": jwk("rsa-2")}), "", id="a-key-that-is-not-looked-at"),
        pytest.param(
            lambda: token(header={"crit": ["b64"], "b64": True}), CRITICAL, id="critical-extension-that-libraries-know"
        ),
        pytest.param(lambda: token(header={"crit": ["exp"]}), CRITICAL, id="critical-extension"),
        pytest.param(lambda: token(header={"crit": []}), CRITICAL, id="no-critical-extension"),
        pytest.param(lambda: token(header={"typ": None}), "", id="no-type"),
        pytest.param(lambda: token(header={"typ": "at+JWT"}), "", id="access-token"),
        pytest.param(lambda: token(header={"typ": "logout+jwt"}), "another type of token", id="logout-token"),
        pytest.param(lambda: token(header={"typ": ["JWT"]}), "another type of token", id="type-as-a-list"),
        pytest.param(lambda: token(header={"alg": ["RS256"]}), "algorithm not accepted", id="algorithm-as-a-list"),
        pytest.param(lambda: token(header={"alg": "rs256"}), "algorithm not accepted", id="algorithm-in-lower-case"),
        pytest.param(lambda: token(header={"alg": None}), "algorithm not accepted", id="no-algorithm"),
        pytest.param(lambda: token(claims=["x"]), NO_TOKEN, id="claims-as-a-list"),  # type: ignore[arg-type]
    ],
)
def test_forgeries(forged: Callable[[], str], why: str) -> None:
    assert reason(tokens(), forged()) == why


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", "none ", "", "HS256"])
def test_without_a_signature_nothing_is_believed(spelling: str) -> None:
    head, payload, signature = token(header={"alg": spelling}).split(".")
    for text in (f"{head}.{payload}.", f"{head}.{payload}.{signature}", f"{head}.{payload}.AA"):
        assert reason(tokens(), text) in (NO_TOKEN, "algorithm not accepted")


@pytest.mark.parametrize("header", ['{"alg":"none","alg":"RS256"}', '{"alg":"RS256","alg":"RS256"}', "[]", "{", "\xff"])
def test_a_header_that_can_be_read_in_two_ways_is_refused(header: str) -> None:
    _, payload, signature = token().split(".")
    assert reason(tokens(), f"{encoded(header.encode('latin-1'))}.{payload}.{signature}") == NO_TOKEN


def test_a_claim_that_is_there_twice_refuses_the_token() -> None:
    # Whoever signs this reads one of them, whoever checks it may read the other.
    for roles, why in (('"roles":["a"]', ""), ('"roles":["a"],"roles":["b"]', NO_TOKEN)):
        payload = json.dumps(without("roles"))[:-1] + f",{roles}}}"
        signing = f"{token().split('.')[0]}.{encoded(payload)}"
        signature = get_default_algorithms()["RS256"].sign(signing.encode(), private("rsa"))
        assert reason(tokens(), f"{signing}.{encoded(signature)}") == why


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "....", id="dots"),
        pytest.param(lambda text: "!!!.???.***", id="garbage"),
        pytest.param(lambda text: "a.b.c", id="short-segments"),
        pytest.param(lambda text: text.rpartition(".")[0], id="two-segments"),
        pytest.param(lambda text: text + ".AA", id="four-segments"),
        pytest.param(lambda text: text + "=", id="padded"),
        pytest.param(lambda text: text + " ", id="space-behind"),
        pytest.param(lambda text: text + "\n", id="line-end-behind"),
        pytest.param(lambda text: " " + text, id="space-before"),
        pytest.param(lambda text: text.replace(".", ". ", 1), id="space-inside"),
        pytest.param(lambda text: text + "\xa0", id="no-break-space-behind"),
        pytest.param(lambda text: text[:-1] + "\ud800", id="half-a-character"),
        pytest.param(lambda text: '"' + text + '"', id="in-quotes"),
    ],
)
def test_what_is_no_token_is_refused(spoil: Callable[[str], str]) -> None:
    verifier = tokens()
    verifier.verify(token())
    assert reason(verifier, spoil(token())) == NO_TOKEN


def test_a_token_has_a_longest_size() -> None:
    def long(pad: int) -> str:
        return token(claims={**CLAIMS, "pad": "p" * pad})

    pad = next(pad for pad in range(5000, MAX_TOKEN) if len(long(pad)) >= MAX_TOKEN - 2)
    assert len(long(pad)) <= MAX_TOKEN
    assert reason(tokens(), long(pad)) == ""
    assert reason(tokens(), long(pad + 3)) == "too long"


# What is remembered of it


def test_a_token_that_has_passed_is_not_checked_again_until_it_expires() -> None:
    reads: list[object] = []
    clock = Clock()
    verifier = tokens(timer=clock, read=reads.append)
    text = token()
    verifier.verify(text)
    clock.now = NOW + 299.9
    verifier.verify(text)
    assert len(reads) == 1
    clock.now = NOW + 300  # past its expiry, within the leeway: believed, and no longer remembered
    verifier.verify(text)
    assert len(reads) == 2
    clock.now = NOW + 330
    assert reason(verifier, text) == "expired"


def test_nothing_is_remembered_of_a_token_that_is_refused() -> None:
    clock = Clock(NOW - 100)
    verifier = tokens(timer=clock)
    text = token()
    assert reason(verifier, text) == "not yet valid"
    clock.now = NOW
    assert reason(verifier, text) == ""


def test_no_more_tokens_are_remembered_than_were_asked_for() -> None:
    reads: list[object] = []
    verifier = tokens(read=reads.append, remembered=2)
    texts = [token(claims={**CLAIMS, "sub": f"u{number}"}) for number in range(3)]
    for text in (*texts, texts[0], texts[2]):
        verifier.verify(text)
    assert len(reads) == 4  # the first was forgotten when the third came, the last was not


def test_a_withdrawn_key_ends_what_is_remembered() -> None:
    published, reads = [jwks("rsa", "p256")], list[object]()
    keys = Keyring(lambda: published[0], "set", timer=Clock())
    verifier = tokens(keys, read=reads.append)
    text = token()
    verifier.verify(text)
    keys.refresh()
    assert reason(verifier, text) == ""
    assert len(reads) == 1  # the same keys, fetched again, change nothing
    published[0] = jwks("p256")
    keys.refresh()
    assert reason(verifier, text) == "no key for it"


def test_the_same_kid_with_other_numbers_ends_what_is_remembered() -> None:
    published = [jwks("rsa")]
    keys = Keyring(lambda: published[0], "set", timer=Clock())
    verifier = tokens(keys)
    verifier.verify(token())
    published[0] = jwks(jwk("rsa-2", kid="rsa"))
    keys.refresh()
    assert reason(verifier, token()) == "wrong signature"


def test_many_threads_at_once_get_one_answer() -> None:
    verifier = tokens(remembered=3)
    texts = [token("ed", algorithm="EdDSA", claims={**CLAIMS, "sub": f"u{number}"}) for number in range(8)]
    wrong: list[object] = []

    def ask() -> None:
        for turn in range(100):
            subject = verifier.verify(texts[turn % 8])
            if subject.id != f"u{turn % 8}":
                wrong.append(subject)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Keys


@pytest.mark.parametrize(
    ("published", "usable"),
    [
        pytest.param("rsa", True, id="an-rsa-key"),
        pytest.param({"use": "sig", "alg": "RS256", "key_ops": ["verify"]}, True, id="for-signatures"),
        pytest.param({"use": "enc"}, False, id="for-encryption"),
        pytest.param({"alg": "RS512"}, False, id="for-another-algorithm"),
        pytest.param({"alg": "HS256"}, False, id="for-a-shared-secret"),
        pytest.param({"key_ops": ["encrypt"]}, False, id="for-another-operation"),
        pytest.param({"kty": "AKP"}, False, id="of-an-unknown-kind"),
    ],
)
def test_a_key_is_used_for_what_it_is_meant_for(published: Any, usable: bool) -> None:
    first = published if isinstance(published, str) else jwk("rsa", **published)
    assert reason(tokens(keyring(first, "p256")), token()) == ("" if usable else "no key for it")


@pytest.mark.parametrize(
    "passed_over",
    [
        pytest.param({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, id="another-curve"),
        pytest.param({"kty": "OKP", "crv": "X25519", "x": "AA"}, id="a-key-for-agreement"),
        pytest.param({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}, id="a-weak-key-for-encryption"),
    ],
)
def test_keys_of_no_use_are_passed_over(passed_over: Mapping[str, Any]) -> None:
    assert [key.kid for key in read_keys(jwks(passed_over, "ed"), "set").keys] == ["ed"]


def test_without_a_kid_two_keys_that_fit_are_one_too_many() -> None:
    text = token(header={"kid": None})
    assert reason(tokens(keyring("rsa", "p256")), text) == ""
    assert reason(tokens(keyring("rsa", "rsa-2")), text) == "no key for it"
    assert reason(tokens(keyring(jwk("rsa", alg="RS256"), jwk("rsa-2", alg="RS512"))), text) == ""


def test_two_keys_with_one_kid_are_told_apart_by_what_they_are_for() -> None:
    assert reason(tokens(keyring("rsa", jwk("p256", kid="rsa"))), token()) == ""
    assert reason(tokens(keyring("rsa", jwk("rsa-2", kid="rsa"))), token()) == "no key for it"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            lambda: jwks("ed", {"kty": "oct", "k": "AAAA"}),
            "key 2 of `jwks = set` is a shared secret; only public keys are accepted",
            id="a-shared-secret",
        ),
        *(
            pytest.param(
                lambda name=name: jwks(jwk(name, secret=True)),
                "key 1 of `jwks = set` is a private key; publish its public half only, and make a new one",
                id=f"a-private-key-{name}",
            )
            for name in ("rsa", "p256", "ed")
        ),
        pytest.param(
            lambda: jwks(jwk("rsa", secret=True, use="enc")),
            "key 1 of `jwks = set` is a private key; publish its public half only, and make a new one",
            id="a-private-key-for-encryption",
        ),
        pytest.param(
            lambda: jwks("rsa1024"),
            "key 1 of `jwks = set` has 1024 bits; accepted: 2048 to 8192",
            id="a-weak-key",
        ),
        pytest.param(
            lambda: jwks(jwk("rsa", n="A" * 2000)),
            "key 1 of `jwks = set` has 0 bits; accepted: 2048 to 8192",
            id="zero",
        ),
        pytest.param(lambda: jwks(jwk("rsa", e="Ag")), "key 1 of `jwks = set` is not a valid RSA key", id="even"),
        pytest.param(
            lambda: jwks(jwk("rsa", n="a+b/")), "key 1 of `jwks = set` has no `n` in base64url", id="plain-base64"
        ),
        pytest.param(lambda: jwks(jwk("rsa", e=65537)), "key 1 of `jwks = set` has `e` that is not text", id="number"),
        pytest.param(
            lambda: jwks(jwk("p256", y=jwk("p256-2")["y"])),
            "key 1 of `jwks = set` is not a valid P-256 key",
            id="a-point-beside-the-curve",
        ),
        pytest.param(
            lambda: jwks(jwk("p256", crv="P-384")),
            "key 1 of `jwks = set` has coordinates of another length than P-384 has",
            id="another-curves-length",
        ),
        pytest.param(lambda: jwks(jwk("ed", x="AAAA")), "key 1 of `jwks = set` is not a valid Ed25519 key", id="short"),
        pytest.param(lambda: jwks({"kid": "x"}), "key 1 of `jwks = set` has no `kty`", id="no-type"),
        pytest.param(
            lambda: b'{"keys":{}}',
            "`jwks = set` is not a JSON Web Key Set: it has no list `keys` of objects",
            id="no-list",
        ),
        pytest.param(
            lambda: json.dumps(jwk("rsa")).encode(),
            "`jwks = set` is not a JSON Web Key Set: it has no list `keys` of objects",
            id="a-key-alone",
        ),
        pytest.param(
            lambda: b'{"keys":[],"keys":[]}',
            "`jwks = set` is not a JSON Web Key Set: the body has the key `keys` twice in one object",
            id="keys-twice",
        ),
        pytest.param(lambda: jwks(*[{"kty": "x"}] * 101), "`jwks = set` has more than 100 keys", id="many"),
        pytest.param(lambda: jwks(), "`jwks = set` has no key that can check a signature", id="none"),
        pytest.param(
            lambda: jwks({"kty": "AKP"}), "`jwks = set` has no key that can check a signature", id="none-of-use"
        ),
    ],
)
def test_a_key_set_that_cannot_be_used_stops_the_service(data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Keyring(data, "set")
    assert str(caught.value) == message


# The keys change


def test_an_unknown_kid_has_the_keys_fetched_but_not_again_and_again() -> None:
    clock, published, loads = Clock(0), [jwks("rsa")], list[float]()

    def load() -> bytes:
        loads.append(clock.now)
        return published[0]

    keys = Keyring(load, "set", pause=10, timer=clock)
    verifier = tokens(keys)
    published[0] = jwks("rsa", "rsa-2")
    assert reason(verifier, token("rsa-2")) == "no key for it"  # too soon after the start
    clock.now = 10
    assert reason(verifier, token("rsa-2")) == ""
    for number in range(50):
        assert reason(verifier, token("ed", algorithm="EdDSA", header={"kid": f"made-up-{number}"})) == "no key for it"
    assert loads == [0, 10]
    clock.now = 20
    for number in range(50):
        reason(verifier, token("ed", algorithm="EdDSA", header={"kid": f"made-up-{number}"}))
    assert loads == [0, 10, 20]


def test_what_needs_no_other_key_fetches_none() -> None:
    clock, loads = Clock(0), list[float]()

    def load() -> bytes:
        loads.append(clock.now)
        return jwks("rsa", "p256")

    verifier = tokens(Keyring(load, "set", pause=10, timer=clock))
    clock.now = 1000
    assert reason(verifier, token("rsa-2", header={"kid": "rsa"})) == "wrong signature"
    assert reason(verifier, token("rsa-2", header={"kid": None})) == "wrong signature"
    assert reason(verifier, token("rsa", header={"kid": "p256"})) == "no key for it"
    assert reason(verifier, token("new", algorithm="HS256", sign=hs256(b"k" * 32))) == "algorithm not accepted"
    assert loads == [0]


def test_where_fetching_fails_the_last_keys_stay_until_they_are_too_old(caplog: pytest.LogCaptureFixture) -> None:
    clock, broken = Clock(0), list[str]()

    def load() -> bytes:
        if broken:
            raise ConfigError("`jwks = set` cannot be fetched: refused")
        return jwks("rsa")

    keys = Keyring(load, "set", pause=10, max_age=3600, timer=clock, clock=clock)
    verifier = tokens(keys)
    broken.append("x")
    for clock.now in (300, 600, 3600):
        keys.refresh()
        assert reason(verifier, token()) == ""
    assert keys.trouble == Trouble("`jwks = set` cannot be fetched: refused", since=300)
    assert [record.getMessage() for record in caplog.records] == [
        "the keys that check tokens could not be renewed: `jwks = set` cannot be fetched: refused"
    ]
    clock.now = 3601
    assert reason(verifier, token()) == "no key for it"
    assert keys.trouble == Trouble("`jwks = set` cannot be fetched: refused", since=300, fatal=True)
    broken.clear()
    keys.refresh()
    assert (reason(verifier, token()), keys.trouble) == ("", None)


def test_an_error_of_our_own_keeps_the_last_keys_too(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [jwks("rsa"), None]
    keys = Keyring(lambda: answers.pop(0), "set", timer=Clock())
    keys.refresh()
    assert keys.trouble is not None
    assert (keys.trouble.message, keys.trouble.fatal) == ("internal error: AttributeError", False)
    assert reason(tokens(keys), token()) == ""


def test_an_issuer_that_withdraws_every_key_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    published = [jwks("rsa")]
    keys = Keyring(lambda: published[0], "set", timer=Clock())
    published[0] = jwks()
    keys.refresh()
    assert reason(tokens(keys), token()) == "no key for it"
    assert keys.trouble is not None
    assert (keys.trouble.message, keys.trouble.fatal) == ("`jwks = set` has no key that can check a signature", True)


def test_keys_that_nobody_renews_are_trouble_once_they_are_too_old() -> None:
    clock = Clock(0)
    keys = Keyring(lambda: jwks("rsa"), "set", max_age=3600, timer=clock, clock=clock)
    clock.now = 3600
    assert keys.trouble is None
    clock.now = 3601
    assert keys.trouble == Trouble("`jwks = set` was not fetched for too long", since=3601, fatal=True)


def test_the_thread_fetches_now_and_then() -> None:
    fetched = threading.Event()
    answers = [jwks("rsa")]

    def load() -> bytes:
        if len(answers) == 2:
            fetched.set()
        answers.append(b"")
        return answers[0]

    keys = Keyring(load, "set", refresh=0.01)
    try:
        keys.start()
        keys.start()
        assert fetched.wait(10)
    finally:
        keys.stop()


FORKING = """
import os, sys, time
from protect.identity.fetching import loader
from protect.identity.keyring import Keyring

file, new = sys.argv[1:]
keyring = Keyring(loader(file), file, refresh=0.01)
keyring.start()
child = os.fork()
if child:
    os.replace(new, file)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
deadline = time.monotonic() + 30
while not keyring.current.knows("ed") and time.monotonic() < deadline:
    time.sleep(0.01)
os._exit(0 if time.monotonic() < deadline else 1)
"""


def test_fetching_goes_on_in_a_forked_worker(tmp_path: Path) -> None:
    file, new = tmp_path / "jwks.json", tmp_path / "new.json"
    file.write_bytes(jwks("rsa"))
    new.write_bytes(jwks("ed"))
    done = subprocess.run([sys.executable, "-c", FORKING, str(file), str(new)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


# Where the keys come from


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as found:
        found.body = jwks("rsa")
        yield found


def test_keys_over_http_from_this_machine(issuer: Issuer) -> None:
    clock = Clock(0)
    verifier = tokens(Keyring(loader(issuer.url), issuer.url, timer=clock))
    assert reason(verifier, token()) == ""
    issuer.body, clock.now = jwks("rsa-2"), 60
    assert reason(verifier, token("rsa-2")) == ""
    assert reason(verifier, token()) == "no key for it"
    assert issuer.asked == ["/jwks", "/jwks"]


def failure(jwks_at: str, timeout: float = 3) -> str:
    with pytest.raises(ConfigError) as caught:
        Keyring(loader(jwks_at, timeout), jwks_at)
    return str(caught.value)


def test_an_answer_that_is_not_200_stops_the_service(issuer: Issuer) -> None:
    issuer.status = 404
    assert failure(issuer.url) == f"`jwks = {issuer.url}` cannot be fetched: status 404"
    issuer.status = 203
    assert failure(issuer.url) == f"`jwks = {issuer.url}` cannot be fetched: status 203"


def test_an_answer_that_is_too_long_stops_the_service(issuer: Issuer) -> None:
    issuer.body = jwks("rsa") + b" " * (MAX_SET - len(jwks("rsa")))
    loader(issuer.url)()
    issuer.body += b" "
    assert failure(issuer.url) == f"`jwks = {issuer.url}` is longer than 256 KiB"


def test_a_redirect_is_followed_to_the_same_place_only(issuer: Issuer) -> None:
    with serving() as elsewhere:
        elsewhere.body = jwks("rsa-2")
        issuer.location = "/moved"
        assert reason(tokens(Keyring(loader(issuer.url), issuer.url)), token()) == ""
        for elsewhere_too in (elsewhere.url, "file:///etc/passwd", issuer.url.replace("http:", "https:")):
            issuer.location = elsewhere_too
            assert failure(issuer.url).startswith(f"`jwks = {issuer.url}` cannot be fetched: ")
        assert elsewhere.asked == []


def test_nobody_listening_stops_the_service() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/jwks"
        assert failure(url).startswith(f"`jwks = {url}` cannot be fetched: ")


def test_a_silent_server_stops_the_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/jwks"
        assert failure(url, timeout=0.05) == f"`jwks = {url}` cannot be fetched: timed out"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param(
            "http://issuer.example/jwks",
            "`jwks = http://issuer.example/jwks` would let anyone on the way choose the keys; "
            "use https (http is for loopback addresses)",
            id="plain-http",
        ),
        pytest.param(
            "http://127.0.0.1.issuer.example/jwks",
            "`jwks = http://127.0.0.1.issuer.example/jwks` would let anyone on the way choose the keys; "
            "use https (http is for loopback addresses)",
            id="a-name-that-begins-like-an-address",
        ),
        pytest.param(
            "ftp://127.0.0.1/jwks",
            "`jwks = ftp://127.0.0.1/jwks` is not accepted; accepted: a path, or an https URL",
            id="another-scheme",
        ),
        pytest.param(
            "file:///etc/jwks",
            "`jwks = file:///etc/jwks` is not accepted; accepted: a path, or an https URL",
            id="a-file-as-a-url",
        ),
        pytest.param(
            "https://:99999/",
            "`jwks = https://:99999/` is not accepted; accepted: a path, or an https URL",
            id="no-host",
        ),
        pytest.param(
            "https://user:secret@issuer.example/",
            "`jwks` has a user or password in its URL; accepted: a path, or an https URL without them",
            id="a-password",
        ),
    ],
)
def test_a_url_that_cannot_be_trusted_with_keys_stops_the_service(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loader(url)
    assert str(caught.value) == message


@pytest.mark.parametrize("url", ["https://issuer.example/jwks", "http://localhost:1/", "http://[::1]:1/"])
def test_a_url_that_can_be(url: str) -> None:
    loader(url)


def test_keys_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    assert failure(str(path)) == f"`jwks = {path}` cannot be read: No such file or directory"
    path.write_bytes(jwks("rsa"))
    clock = Clock(0)
    verifier = tokens(Keyring(loader(str(path)), str(path), timer=clock))
    assert reason(verifier, token()) == ""
    path.write_bytes(jwks("rsa-2"))
    clock.now = 10
    assert reason(verifier, token("rsa-2")) == ""


# What it says of the subject


KEYCLOAK = ClaimNames(
    tenant="project_id", domain="org.domain", roles="realm_access.roles", service_roles="https://x.example/roles"
)


def test_claims_become_a_subject_as_the_names_say() -> None:
    claims = {
        **CLAIMS,
        "project_id": "p1",
        "org": {"domain": "d1"},
        "realm_access": {"roles": ["Admin", "reader"]},
        "https://x.example/roles": "service, other",
        "tier": 3,
        "admin_project": True,
        "nothing": None,
    }
    subject = subject_of(claims, KEYCLOAK)
    assert (subject.id, subject.tenant, subject.domain) == ("u1", "p1", "d1")
    assert (subject.roles, subject.service_roles) == ({"admin", "reader"}, {"service", "other"})
    assert (subject.admin_project, subject.authenticated) == (False, True)
    assert subject.claims["tier"] == 3
    assert {"roles", "realm_access", "org", "nothing"} & subject.claims.keys() == set()


def test_service_roles_come_from_nowhere_unless_a_claim_is_named() -> None:
    claims = {**CLAIMS, "service_roles": ["service"], "roles": ["service"]}
    assert subject_of(claims, ClaimNames()).service_roles == frozenset()
    named = subject_of(claims, ClaimNames(service_roles="service_roles", roles="none"))
    assert (named.service_roles, named.roles) == ({"service"}, frozenset())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"tenant": None}, "", id="tenant-null"),
        pytest.param({"tenant": ""}, "", id="tenant-empty"),
        pytest.param({"tenant": 7}, "the claim `tenant` is not text", id="tenant-a-number"),
        pytest.param({"tenant": ["t1"]}, "the claim `tenant` is not text", id="tenant-a-list"),
        pytest.param({"domain": False}, "the claim `domain` is not text", id="domain-false"),
        pytest.param({"roles": "a b,c"}, "", id="roles-as-text"),
        pytest.param({"roles": []}, "", id="no-roles"),
        pytest.param({"roles": ["a", 1]}, "the claim `roles` is neither text nor a list of text", id="a-role-a-number"),
        pytest.param({"roles": {"a": 1}}, "the claim `roles` is neither text nor a list of text", id="roles-an-object"),
        pytest.param({"roles": False}, "the claim `roles` is neither text nor a list of text", id="roles-false"),
    ],
)
def test_a_claim_of_another_type_refuses_the_token(changed: dict[str, Any], why: str) -> None:
    assert reason(tokens(), token(claims={**CLAIMS, **changed})) == why


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({"realm_access": {"roles": ["a"]}}, "", id="there"),
        pytest.param({"realm_access": {}}, "", id="absent-inside"),
        pytest.param({}, "", id="absent"),
        pytest.param({"realm_access": "a"}, "the claim `realm_access.roles` does not lead through objects", id="text"),
        pytest.param({"realm_access": [{}]}, "the claim `realm_access.roles` does not lead through objects", id="list"),
    ],
)
def test_a_path_leads_through_objects_only(claims: dict[str, Any], why: str) -> None:
    read = tokens(read=lambda claims: subject_of(claims, KEYCLOAK))
    assert reason(read, token(claims={**CLAIMS, **claims})) == why


def test_an_empty_text_is_no_tenant() -> None:
    assert subject_of({**CLAIMS, "tenant": "", "domain": ""}, ClaimNames()).tenant is None
    assert subject_of({**CLAIMS, "tenant": " "}, ClaimNames()).tenant == " "


def test_a_claim_that_is_named_like_a_path_is_not_the_path() -> None:
    names = ClaimNames(roles="realm_access.roles")
    assert subject_of({**CLAIMS, "realm_access.roles": ["admin"]}, names).roles == frozenset()


def test_roles_are_taken_as_they_stand_in_a_list() -> None:
    assert subject_of({**CLAIMS, "roles": ["admin ", "a,admin", "", "ok"]}, ClaimNames()).roles == {
        "admin ",
        "a,admin",
        "ok",
    }
    assert subject_of({**CLAIMS, "roles": " admin,\tok "}, ClaimNames()).roles == {"admin", "ok"}


def test_the_claim_of_the_id_must_be_there() -> None:
    names = ClaimNames(id="user")
    assert subject_of({**CLAIMS, "user": "x"}, names).id == "x"
    with pytest.raises(InvalidToken, match=r"^the claim `user` is missing or empty$"):
        subject_of(CLAIMS, names)


# The header


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param("Bearer abc", "abc", id="a-token"),
        pytest.param("bearer abc", "abc", id="lower-case"),
        pytest.param("BEARER abc", "abc", id="upper-case"),
        pytest.param("Bearer   abc", "abc", id="spaces"),
        pytest.param("Basic abc", None, id="another-scheme"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="none"),
    ],
)
def test_the_token_is_found_in_the_header(header: Any, found: str | None) -> None:
    assert bearer_token({"HTTP_AUTHORIZATION": header} if header is not None else {}) == found


@pytest.mark.parametrize(
    ("header", "why"),
    [
        pytest.param("Bearer abc,Bearer abc", "more than one `Authorization`", id="twice"),
        pytest.param("Bearer abc, Basic x", "more than one `Authorization`", id="two-schemes"),
        pytest.param("Bearer", "not a bearer token", id="no-token"),
        pytest.param("Bearer ", "not a bearer token", id="a-space"),
        pytest.param("Bearer\tabc", "not a bearer token", id="a-tab"),
        pytest.param("Bearer\xa0abc", "not a bearer token", id="a-no-break-space"),
        pytest.param("Bearerabc", "not a bearer token", id="no-space"),
    ],
)
def test_a_header_that_is_not_clear_is_refused(header: str, why: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        bearer_token({"HTTP_AUTHORIZATION": header})
    assert caught.value.reason == why


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        pytest.param(lambda: f"Bearer {token()}", SUBJECT, id="a-token"),
        pytest.param(lambda: f"bearer {token()}", SUBJECT, id="lower-case-scheme"),
        pytest.param(lambda: f"Bearer {token()} ", NOBODY, id="a-space-behind"),
        pytest.param(lambda: f"Bearer {token()} {token()}", NOBODY, id="two-tokens"),
        pytest.param(lambda: f"Bearer {token()},Bearer {token()}", NOBODY, id="two-headers"),
        pytest.param(lambda: f"Basic x,Bearer {token()}", NOBODY, id="behind-another-scheme"),
        pytest.param(lambda: f"Token {token()}", NOBODY, id="another-scheme"),
        pytest.param(lambda: token(), NOBODY, id="no-scheme"),
    ],
)
def test_a_request_without_a_good_token_is_nobodys(header: Callable[[], str], subject: Subject) -> None:
    assert identify(tokens().verify)({"HTTP_AUTHORIZATION": header()}) == subject


def test_keystones_headers_say_nothing_where_tokens_do() -> None:
    forged = {"HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_ROLES": "admin", "HTTP_X_PROJECT_ID": "t2"}
    who = identify(tokens().verify)
    assert who(forged) == NOBODY
    assert who(forged | {"HTTP_AUTHORIZATION": f"Bearer {token()}"}) == SUBJECT


def test_the_log_says_why_and_nothing_of_the_token(caplog: pytest.LogCaptureFixture) -> None:
    claims = {**CLAIMS, "exp": 1, "sub": "sekrit-subject", "tenant": "sekrit-tenant"}
    text = token(claims=claims)
    who = identify(tokens().verify)
    for header in (text, text[:-4] + "AAAA", token(claims={**CLAIMS, "tenant": ["sekrit"]}), "sekrit", "a,sekrit"):
        who({"HTTP_AUTHORIZATION": f"Bearer {header}"})
    assert [record.getMessage() for record in caplog.records] == [
        "a token was refused: expired",
        "a token was refused: wrong signature",
        "a token was refused: the claim `tenant` is not text",
        "a token was refused: not a JSON Web Token",
        "a token was refused: more than one `Authorization`",
    ]
    assert "sekrit" not in caplog.text
    assert text[:10] not in caplog.text


# In the pipeline


POLICY = """
allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;
allow(subject: Subject, "read", property: Property) if
    property.name != "secret" and subject.has_role("member") and subject.get("tier") = 3;
"""


class Recorder(ImageApi):
    """An image API that remembers what it was told of the identity."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.told = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
        return super().__call__(environ, start_response)


def pipeline(tmp_path: Path, **options: str) -> tuple[Any, Recorder]:
    (tmp_path / "rules.polar").write_text(POLICY)
    (tmp_path / "jwks.json").write_bytes(jwks("rsa"))
    api = Recorder(image(1, secret="s", other="o"))
    given = {
        "policy": f"{tmp_path}/rules.polar",
        "reload": "0",
        "identity": "jwt",
        "jwks": f"{tmp_path}/jwks.json",
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    return filter_factory({}, **(given | options))(api), api


def get(app: Any, text: str | None = None, **headers: str) -> Any:
    request = Request.blank(f"/v2/images/{ID.format(1)}", headers=headers)
    if text is not None:
        request.headers["Authorization"] = f"Bearer {text}"
    return request.get_response(app)


# The filter in a pipeline has the real time.
LASTING: dict[str, Any] = {**CLAIMS, "iat": 1, "nbf": 1, "exp": 2**40, "tier": 3}


def test_a_pipeline_where_tokens_say_who_asks(tmp_path: Path) -> None:
    app, _ = pipeline(tmp_path)
    shown = get(app, token(claims=LASTING))
    assert (shown.status_int, shown.json) == (200, image(1, other="o"))
    assert "other" not in get(app, token(claims=LASTING | {"tier": 2})).json
    assert get(app, token(claims=LASTING | {"tenant": "t2"})).status_int == 404


@pytest.mark.parametrize(
    ("text", "challenge"),
    [
        pytest.param(None, "Bearer", id="no-token"),
        pytest.param(lambda: token("rsa-2", claims=LASTING), 'Bearer error="invalid_token"', id="forged"),
        pytest.param(
            lambda: token(claims=LASTING | {"exp": 1, "sub": "sekrit"}), 'Bearer error="invalid_token"', id="expired"
        ),
    ],
)
def test_nobody_gets_401_and_hears_what_to_bring(tmp_path: Path, text: Any, challenge: str) -> None:
    app, _ = pipeline(tmp_path)
    answer = get(app, text() if text else None)
    assert (answer.status_int, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert not any(word in answer.text.lower() for word in ("expired", "signature", "sekrit"))


FORGED = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X.Roles": "admin", "X-Project-Id": "t9"}


def test_an_identity_that_nobody_has_verified_does_not_pass(tmp_path: Path) -> None:
    app, api = pipeline(tmp_path)
    get(app, token(claims=LASTING), **FORGED, **{"X-Service-Roles": "service", "X-Auth-Token": "mine"})
    assert not any("ROLES" in key or "IDENTITY" in key or "PROJECT" in key for key in api.told)
    assert {"HTTP_AUTHORIZATION", "HTTP_X_AUTH_TOKEN"} <= api.told.keys()


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("HTTP_X_ROLES", False),
        ("HTTP_X.ROLES", False),
        ("HTTP_X-ROLES", False),
        ("HTTP_x_roles", False),
        ("HTTP_X_ROLE", False),
        ("HTTP_X_IDENTITY_STATUS", False),
        ("HTTP_X_SERVICE_IDENTITY_STATUS", False),
        ("HTTP_X_SERVICE_ROLES", False),
        ("HTTP_X_TENANT", False),
        ("HTTP_X_TENANT_ID", False),
        ("HTTP_X_USER", False),
        ("HTTP_X_USER_DOMAIN_ID", False),
        ("HTTP_X_DOMAIN_NAME", False),
        ("HTTP_X_IS_ADMIN_PROJECT", False),
        ("HTTP_OPENSTACK_SYSTEM_SCOPE", False),
        ("HTTP_X_SERVICE_CATALOG", False),
        ("HTTP_X_AUTH_TOKEN", True),
        ("HTTP_X_SERVICE_TOKEN", True),
        ("HTTP_X_USERNAMES", True),
        ("HTTP_X_OPENSTACK_REQUEST_ID", True),
    ],
)
def test_which_headers_are_an_identity(name: str, passes: bool) -> None:
    environ: dict[str, Any] = {name: "x"}
    Challenge(lambda environ, start: [])(environ, lambda *args: lambda data: None)
    assert (name in environ) is passes


@pytest.mark.parametrize(
    ("marks", "passes"),
    [
        ({"keystone.token_auth": object()}, True),
        ({"external.token_info": {"user_id": "u"}}, True),
        ({"keystone.token_auth": "text"}, False),
        ({"keystone.token_auth": None}, False),
        ({}, False),
    ],
    ids=repr,
)
def test_an_identity_that_keystonemiddleware_has_verified_passes(marks: dict[str, Any], passes: bool) -> None:
    environ: dict[str, Any] = {"HTTP_X_ROLES": "x", **marks}
    Challenge(lambda environ, start: [])(environ, lambda *args: lambda data: None)
    assert ("HTTP_X_ROLES" in environ) is passes


def test_a_challenge_of_the_api_stays_the_only_one() -> None:
    def api(environ: Any, start_response: Any) -> list[bytes]:
        start_response("401 Unauthorized", [("www-authenticate", "Keystone")])
        return [b""]

    answer = Request.blank("/").get_response(Challenge(api))
    assert answer.headers.getall("WWW-Authenticate") == ["Keystone"]


def test_in_shadow_mode_nothing_is_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app, api = pipeline(tmp_path, mode="shadow")
    assert get(app, **FORGED).status_int == 200
    assert api.told["HTTP_X_ROLES"] == "admin"


# Options


def options(**changed: str) -> Settings:
    given = {"identity": "jwt", "jwks": "/etc/jwks.json", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    return Settings.from_paste({}, {name: value for name, value in (given | changed).items() if value != "-"})


def test_the_options_that_are_needed_are_enough() -> None:
    assert options().jwt == JwtSettings("/etc/jwks.json", ISSUER, AUDIENCE, DEFAULT_ALGORITHMS, 30.0, ClaimNames())


def test_every_option_for_tokens_is_read() -> None:
    assert options(
        jwt_algorithms="ES256 PS384",
        jwt_leeway="5",
        jwt_claims="id=uid tenant=project_id domain=d roles=realm_access.roles service_roles=https://x.example/s",
    ).jwt == JwtSettings(
        "/etc/jwks.json",
        ISSUER,
        AUDIENCE,
        (Algorithm.ES256, Algorithm.PS384),
        5.0,
        ClaimNames("uid", "project_id", "d", "realm_access.roles", "https://x.example/s"),
    )


KNOWN = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"
NAMES = "id, tenant, domain, roles, service_roles"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            {"jwks": "-"}, "`jwks` is missing; set it to the issuer's public keys, a path or an https URL", id="no-jwks"
        ),
        pytest.param(
            {"jwt_issuer": " "},
            "`jwt_issuer` is missing; set it to the `iss` of the tokens that are believed",
            id="empty-issuer",
        ),
        pytest.param(
            {"jwt_audience": "-"},
            "`jwt_audience` is missing; set it to the `aud` that a token must be meant for",
            id="no-audience",
        ),
        pytest.param(
            {"jwt_algorithms": "RS256 HS256"},
            f"`jwt_algorithms = RS256 HS256` is not accepted; accepted, one or more of: {KNOWN}",
            id="a-shared-secret",
        ),
        pytest.param(
            {"jwt_algorithms": "none"},
            f"`jwt_algorithms = none` is not accepted; accepted, one or more of: {KNOWN}",
            id="no-signature",
        ),
        pytest.param(
            {"jwt_algorithms": ""},
            f"`jwt_algorithms = ` is not accepted; accepted, one or more of: {KNOWN}",
            id="no-algorithm",
        ),
        pytest.param(
            {"jwt_leeway": "301"}, "`jwt_leeway = 301` is not accepted; accepted: seconds from 0 to 300", id="long"
        ),
        pytest.param(
            {"jwt_leeway": "nan"}, "`jwt_leeway = nan` is not accepted; accepted: seconds from 0 to 300", id="nan"
        ),
        pytest.param(
            {"jwt_claims": "role=x"},
            f"`jwt_claims = role=x` is not accepted at `role=x`; accepted: `name=claim`, each name once, of: {NAMES}",
            id="misspelt",
        ),
        pytest.param(
            {"jwt_claims": "admin_project=x"},
            "`jwt_claims = admin_project=x` is not accepted at `admin_project=x`; "
            f"accepted: `name=claim`, each name once, of: {NAMES}",
            id="what-no-token-may-say",
        ),
        pytest.param(
            {"jwt_claims": "id=a id=b"},
            f"`jwt_claims = id=a id=b` is not accepted at `id=b`; accepted: `name=claim`, each name once, of: {NAMES}",
            id="twice",
        ),
        pytest.param(
            {"jwt_claims": "service_roles=roles"},
            "`roles` and `service_roles` are both read from the claim `roles`; "
            "name a claim that only a trusted service's tokens have, or leave `service_roles` out",
            id="service-roles-from-the-users-claim",
        ),
        pytest.param(
            {"identity": "keystone"},
            "`jwks` is read for `identity = jwt` only; set both, or leave it out",
            id="options-that-nobody-reads",
        ),
    ],
)
def test_options_for_tokens_that_cannot_be_used_stop_the_service(changed: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options(**changed)
    assert str(caught.value) == message


def test_a_key_set_that_is_not_there_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        pipeline(tmp_path, jwks=f"{tmp_path}/none.json")
    assert str(caught.value) == f"`jwks = {tmp_path}/none.json` cannot be read: No such file or directory"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
