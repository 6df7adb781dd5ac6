"""Tokens of the gateway's own: minted from a key, minutes of life, verified without asking anybody (RFC 9068)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from joserfc import jws, jwt

from vallum.core.jws import JwsError, read_unverified
from vallum.core.principal import Confirmation

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from vallum.core.principal import Principal
    from vallum.mint.keyring import KeyRing

ALGORITHM = "ES256"
SKEW_S = 5.0  # between nodes that share a signing key
KNOWN_MAX = 10_000


class Mint(NamedTuple):
    """Who mints, for whom, for how long."""

    url: str
    audience: str  # the gateway itself
    audiences: frozenset[str]  # all that tokens are minted for
    lifetime_s: int
    ring: KeyRing


class Grant(NamedTuple):
    """What a token is minted for: never more than its key is."""

    who: Principal
    scopes: frozenset[str]
    audience: str
    bond: Confirmation | None


def mint_token(mint: Mint, grant: Grant, token_id: str, now: float) -> str:
    """Sign a token, which begins at `now`."""
    who, bond = grant.who, grant.bond
    claims: dict[str, Any] = {
        "iss": mint.url,
        "sub": who.subject,
        "aud": grant.audience,
        "client_id": who.credential_id,
        "iat": int(now),
        "exp": int(now) + mint.lifetime_s,
        "jti": token_id,
        "scope": " ".join(sorted(grant.scopes)),
    }
    if who.tenant is not None:
        claims["tenant"] = who.tenant
    if bond is not None:
        members = {"x5t#S256": bond.certificate, "jkt": bond.key}  # RFC 8705 3.1, RFC 9449 6.1
        claims["cnf"] = {name: value for name, value in members.items() if value is not None}
    key = mint.ring.keys(now)[0]
    return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key.id}, claims, key.key, [ALGORITHM])


class Claims(NamedTuple):
    """What a minted token says, once its signature held."""

    key_id: str
    scopes: frozenset[str]
    bond: Confirmation | None
    issued: float
    ends: float


class Verifier:
    """Reads minted tokens.  A signature that held is remembered until the token ends; all else is asked every time."""

    def __init__(self, mint: Mint) -> None:
        """Believe the keys of `mint`."""
        self._mint = mint
        self._known: dict[str, Claims] = {}

    def is_ours(self, token: str, now: float) -> bool:
        """Say whether a token names a key of ours: what does not is somebody else's to judge."""
        if token in self._known:
            return True
        try:
            header = read_unverified(token).header
        except JwsError:
            return False
        return self._mint.ring.find(header.get("kid"), now) is not None

    def verify(self, token: str, now: float) -> Claims:
        """Return what a token says; raise JwsError if it does not hold at `now`."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._read(token, now)
            if len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[token] = claims
        if now >= claims.ends:
            del self._known[token]
            raise JwsError("expired")
        if claims.issued > now + SKEW_S:
            raise JwsError("issued in the future")
        return claims

    def _read(self, token: str, now: float) -> Claims:
        header, claims = read_unverified(token)
        if (header.get("alg"), header.get("typ")) != (ALGORITHM, "at+jwt"):
            raise JwsError("not a token of this kind")
        key = self._mint.ring.find(header.get("kid"), now)
        if key is None:
            raise JwsError("no key of ours")
        verify_signature(token, key.key)
        if claims.get("iss") != self._mint.url or claims.get("aud") != self._mint.audience:
            raise JwsError("for somebody else")
        try:
            bond = claims.get("cnf")
            return Claims(
                str(claims["client_id"]),
                frozenset(str(claims["scope"]).split()),
                None if bond is None else Confirmation(bond.get("x5t#S256"), bond.get("jkt")),
                float(claims["iat"]),
                float(claims["exp"]),
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise JwsError("not as it is minted here") from error  # the key may sign elsewhere too


def verify_signature(token: str, key: ECKey) -> None:
    """Check a signature in the one algorithm that is minted with; raise JwsError."""
    try:
        jws.deserialize_compact(token, key, [ALGORITHM], REGISTRY)
    except Exception as error:  # whatever a library makes of hostile bytes
        raise JwsError(f"the signature does not hold: {type(error).__name__}") from error


class _Registry(jws.JWSRegistry):
    max_payload_length = 8_192


REGISTRY = _Registry(algorithms=[ALGORITHM])
