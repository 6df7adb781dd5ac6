"""JSON Web Tokens, read strictly and verified: what two readers could read in two ways is not read at all.

Rule 1: everything cheap comes before anything dear: length and alphabet, then spelling, then JSON, then the header.
Rule 2: nothing in a token says where its key is: `jwk`, `jku`, `x5c` and `x5u` are never looked at.
Rule 3: whatever is wrong is a TokenError, whatever a library raises: a caller's bytes never make a fault of ours.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

import jiter
from joserfc.jws import JWSRegistry, deserialize_compact

if TYPE_CHECKING:
    from collections.abc import Collection

    from joserfc._rfc7515.model import JWSAlgModel
    from joserfc.jwk import Key

MAX_CHARS = 8192
MAX_DEPTH = 8  # of claims; `cnf`, `act` and `authorization_details` need four or five
MAX_KID_CHARS = 256
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
QUOTED = re.compile(r' ".*"', re.DOTALL)  # the caller's words, which belong in no record

# alg -> the kind of key that fits it, and its curves (RFC 7518 3.1, RFC 8037 3.1, RFC 9864 2).  Public keys only: with
# a shared secret, everybody who can check a token could make one.
FITS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
    "Ed25519": ("OKP", ("Ed25519",)),
    "RS256": ("RSA", ()),
    "RS384": ("RSA", ()),
    "RS512": ("RSA", ()),
    "PS256": ("RSA", ()),
    "PS384": ("RSA", ()),
    "PS512": ("RSA", ()),
}


class TokenError(ValueError):
    """A token that does not hold.  The message is fit for a record: it quotes nothing of the token."""


class Signed(NamedTuple):
    """A signed text of any kind, before anybody has checked its signature or read what it says."""

    text: str
    alg: str
    kid: str | None
    typ: str | None
    payload: bytes


class Token(NamedTuple):
    """What a token says, before anybody has checked that it may."""

    text: str
    alg: str
    kid: str | None
    typ: str | None
    claims: dict[str, Any]


def is_jwt(text: str) -> bool:
    """Say whether a token is, or pretends to be, a JWS: no issuer need be asked about half a one."""
    return COMPACT.fullmatch(text) is not None or (text.startswith("eyJ") and text.count(".") in (1, 2, 3))


def read_token(text: str) -> Token:
    """Read a JWT; raise TokenError for one that is not spelt in the one right way."""
    signed = read_signed(text)
    return Token(text, signed.alg, signed.kid, signed.typ, _object(signed.payload))


def read_signed(text: str) -> Signed:
    """Take a compact JWS apart; raise TokenError for one that is not spelt in the one right way."""
    if len(text) > MAX_CHARS or not COMPACT.fullmatch(text):
        raise TokenError("not a compact JWS")
    head, payload, _ = [_decode(part) for part in text.split(".")]
    header = _object(head)
    if "crit" in header or "b64" in header:  # RFC 7515 4.1.11, RFC 7797: we know no extension
        raise TokenError("a header that asks for an extension")
    kid, typ = header.get("kid"), header.get("typ")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS):
        raise TokenError("a kid that is no name")
    if typ is not None and not isinstance(typ, str):
        raise TokenError("a typ that is no text")
    return Signed(text, str(header.get("alg")), kid, typ, payload)


def verify_token(token: Signed | Token, key: Key, algorithms: Collection[str]) -> None:
    """Check a token's signature with `key`; raise TokenError unless it is good and its algorithm is one of these."""
    if token.alg not in algorithms:
        raise TokenError("an algorithm that this issuer does not use")
    try:
        deserialize_compact(token.text, key, registry=_Registry(algorithms=[token.alg], strict_check_header=False))
    except Exception as error:
        raise TokenError(f"the signature: {type(error).__name__}") from error


class _Registry(JWSRegistry):
    """The library's, with room for large headers and without its warning that `EdDSA` has a newer name."""

    max_header_length = MAX_CHARS
    max_signature_length = MAX_CHARS

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return the one algorithm that is allowed."""
        if self.allowed is None or name not in self.allowed:
            raise TokenError("another algorithm")
        return self.algorithms[name]


def _decode(part: str) -> bytes:
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise TokenError("not base64url") from error
    # The unused bits of the last character are zero (RFC 4648 3.5): one token has one spelling, and one digest.
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise TokenError("another spelling of a token")
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise TokenError(f"not JSON: {QUOTED.sub('', str(error))}") from error
    if not isinstance(value, dict):
        raise TokenError("not a JSON object")
    if _deeper(value, MAX_DEPTH):
        raise TokenError(f"nested over {MAX_DEPTH} levels")
    return value


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in items)
