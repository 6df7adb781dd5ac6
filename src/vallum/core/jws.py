"""Signed tokens before their signature is looked at: one strict reading, so that nothing is read in two ways.

A library may be lenient where it matters: about names that stand twice, about spellings of base64url, about nesting
that overflows a stack.  Whatever passes here has one spelling and two plain JSON objects.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn

COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515 7.1, signed
# The members that a thumbprint is made of, by type of key, in the order of their names (RFC 7638 3.2).
THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
PRIVATE_MEMBERS = frozenset("d p q dp dq qi oth k".split())


class JwsError(Exception):
    """A token that cannot be read in one way; the message quotes nothing of it."""


class Signed(NamedTuple):
    """The header and the payload of a JWS whose signature nobody has looked at."""

    header: dict[str, Any]
    payload: bytes


class Parts(NamedTuple):
    """The header and the claims of a token whose signature nobody has looked at."""

    header: dict[str, Any]
    claims: dict[str, Any]


def read_unverified(token: str, max_chars: int = 8_192) -> Parts:
    """Read a compact JWS whose payload is claims; raise JwsError."""
    header, payload = read_signed(token, max_chars)
    return Parts(header, _object(payload))


def read_signed(token: str, max_chars: int = 8_192) -> Signed:
    """Read a compact JWS, whatever its payload is; raise JwsError."""
    if len(token) > max_chars:
        raise JwsError(f"over {max_chars} characters")
    match = COMPACT.fullmatch(token)
    if match is None:
        raise JwsError("not three parts of base64url")
    decode(match[3])
    return Signed(_object(decode(match[1])), decode(match[2]))


def encode(data: bytes) -> str:
    """Write base64url without padding (RFC 7515 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read base64url in its one spelling; raise JwsError."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise JwsError("not base64url") from error
    if encode(data) != text:
        raise JwsError("not the one spelling of this in base64url")
    return data


def digest(text: str) -> str:
    """Return the base64url SHA-256 of a token or thumbprint's input."""
    return encode(sha256(text.encode("utf-8", "surrogateescape")).digest())


def canonical_key(jwk: Any) -> str:
    """Write the public members of a key in the one form that its thumbprint is made of; raise JwsError."""
    kind = jwk.get("kty") if isinstance(jwk, dict) else None
    members = THUMBPRINT_MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None:
        raise JwsError("not a key of a known type")
    if PRIVATE_MEMBERS & jwk.keys():
        raise JwsError("a private key")
    values = {name: jwk.get(name) for name in members}
    if not all(isinstance(value, str) for value in values.values()):
        raise JwsError("a key without all of its members")
    return json.dumps(values, separators=(",", ":"))


def thumbprint(jwk: Any) -> str:
    """Return the thumbprint of a public key (RFC 7638); raise JwsError."""
    return digest(canonical_key(jwk))


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise JwsError("not strict JSON") from error
    if not isinstance(value, dict):
        raise JwsError("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(_: str) -> NoReturn:
    raise ValueError("not finite")
