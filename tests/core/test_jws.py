"""Tokens before their signature is looked at: one reading, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.jws import JwsError, Parts, canonical_key, decode, encode, read_unverified, thumbprint


def token(header: bytes = b"{}", claims: bytes = b"{}", signature: bytes = b"s") -> str:
    return ".".join(map(encode, (header, claims, signature)))


def test_a_token_is_two_objects() -> None:
    assert read_unverified(token(b'{"alg":"ES256"}', b'{"sub":"a"}')) == Parts({"alg": "ES256"}, {"sub": "a"})


@given(st.binary(max_size=64))
def test_base64url_has_one_spelling(data: bytes) -> None:
    text = encode(data)
    assert decode(text) == data
    for other in (text + "=", text + "A" * (1 + -len(text) % 4)):
        try:
            assert decode(other) != data
        except JwsError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        token() + ".e30",
        token() + "=",
        f" {token()}",
        token().replace(".", ".."),
        "e30.e30.A",  # no byte
        "e30.e30.AB",  # a second spelling of AA
        token(b"[]"),
        token(claims=b"1"),
        token(claims=b'{"a":1,"a":2}'),
        token(claims=b'{"a":{"b":1,"b":2}}'),
        token(claims=b'{"a":NaN}'),
        token(claims=b'{"a":Infinity}'),
        token(claims=b"{"),
        token(claims=b"\xff"),
        token(claims=b"[" * 4000),
        token(claims=b'{"a":"' + b"x" * 9000 + b'"}'),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(text: str) -> None:
    with pytest.raises(JwsError) as caught:
        read_unverified(text)
    assert "x" * 20 not in str(caught.value), "the message quotes nothing"


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        {},
        {"kty": "oct", "k": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": 1},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"},
        {"kty": "RSA", "n": "AA", "e": "AQAB", "p": "AA"},
    ],
)
def test_what_is_no_public_key_has_no_thumbprint(jwk: object) -> None:
    with pytest.raises(JwsError):
        thumbprint(jwk)


def test_a_thumbprint_is_made_of_the_key_alone() -> None:
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"  # RFC 8037 A.3
    assert canonical_key(key | {"kid": "a", "use": "sig"}) == canonical_key(key)
    assert list(json.loads(canonical_key(key))) == ["crv", "kty", "x"]
