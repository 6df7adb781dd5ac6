"""An issuer's keys: which of them may have signed a token.

Keys that are secret, too short, of an unknown kind or for encryption are left out, so that one odd key in a set does
not make the others useless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from joserfc.jwk import RSAKey, import_key

from vallum.authenticators.oauth2.tokens import FITS, TokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from joserfc.jwk import Key

    from vallum.authenticators.oauth2.tokens import Signed, Token

RSA_BITS = range(2048, 8193)  # shorter is broken; longer is a lever for whoever pays the least


class PublicKey(NamedTuple):
    """A key that may sign tokens, and what it says of itself."""

    key: Key
    kind: str
    curve: str
    kid: str | None
    alg: str | None

    def fits(self, alg: str) -> bool:
        """Say whether this key is for `alg` (RFC 8725 3.1)."""
        kind, curves = FITS[alg]
        return self.kind == kind and (not curves or self.curve in curves) and self.alg in (None, alg)


class Keys:
    """The keys of one set that can be used."""

    def __init__(self, keys: Iterable[Mapping[str, Any]]) -> None:
        """Take in the keys of a JWK set (RFC 7517 5); what cannot be used is left out."""
        self._keys = [key for key in map(_import, keys) if key is not None]

    def find(self, token: Signed | Token) -> Key | None:
        """Return the key that a token names; None where there is none (yet).  Raise TokenError if it names none."""
        if token.kid is None:
            if len(self._keys) > 1:
                raise TokenError("no kid, and the issuer has several keys")
            named = self._keys
        else:
            named = [key for key in self._keys if key.kid == token.kid]
        if not named:
            return None
        for key in named:
            if key.fits(token.alg):
                return key.key
        raise TokenError("an algorithm that is not for this key")


def _import(jwk: Mapping[str, Any]) -> PublicKey | None:
    kind, curve, kid, alg = (jwk.get(name) for name in ("kty", "crv", "kid", "alg"))
    operations = jwk.get("key_ops", ["verify"])
    if (
        kind not in ("EC", "OKP", "RSA")
        or "d" in jwk  # a private key in public signs for everybody
        or jwk.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or not isinstance(kid, str | None)
        or not isinstance(alg, str | None)
    ):
        return None
    try:
        key = import_key({name: value for name, value in jwk.items() if name in ("kty", "crv", "x", "y", "n", "e")})
        if isinstance(key, RSAKey) and key.raw_value.key_size not in RSA_BITS:
            return None
    except Exception:  # noqa: BLE001  whatever the library makes of it: not a key for us
        return None
    return PublicKey(key, kind, str(curve), kid, alg)
