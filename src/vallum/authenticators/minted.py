"""Tokens that the gateway itself minted from a key, at its token endpoint (RFC 8693, RFC 9068).

What it stops
    Callers whose token is forged, expired, for somebody else, or whose key was revoked or has expired since: the key is
    looked up on every request, so that revoking it ends its tokens with it.
Config
    None; the section `tokens` says who mints, for how long, and with which key.
Cost
    About 0.25 ms for a token that was not seen before, a look-up in memory for one that was.
Misses
    A stolen token works for its minutes of life, unless it is bound to a certificate or a key of its holder.
Example
    authenticators:
      keys: {type: api_key}
      minted: {type: minted}
    tokens: {issuer: "https://models.example", any_of: [keys]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from vallum.core.address import parse_networks, within
from vallum.core.decision import INVALID_TOKEN, Challenge
from vallum.core.effects import FindCredentialById, Steps, ask
from vallum.core.jws import JwsError
from vallum.core.principal import Confirmation, Principal
from vallum.core.proof import presented

if TYPE_CHECKING:
    from vallum.core.exchange import Request
    from vallum.core.principal import Credential

UNBOUND = Confirmation()


class MintedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="minted"):
    """Tokens that the gateway's own token endpoint has minted."""


class TokenClaims(Protocol):
    """What a minted token says."""

    @property
    def key_id(self) -> str:
        """The public id of the key that it was minted from."""

    @property
    def scopes(self) -> frozenset[str]:
        """What it is for."""

    @property
    def bond(self) -> Confirmation | None:
        """What its holder must prove."""


class Verifier(Protocol):
    """Reads minted tokens."""

    def is_ours(self, token: str, now: float) -> bool:
        """Say whether a token names a signing key of ours."""

    def verify(self, token: str, now: float) -> TokenClaims:
        """Return what it says; raise JwsError if it does not hold."""


class Minted:
    """Takes tokens that name a signing key of ours."""

    type: ClassVar[str] = "minted"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, name: str, verifier: Verifier) -> None:
        """Take the name that records show, and what reads tokens."""
        self._name = name
        self._verifier = verifier

    def authenticate(self, request: Request) -> Steps[Principal | Challenge | None]:
        """Return the principal of a token, and of its key as it is now."""
        scheme, token = presented(request.headers)
        if scheme not in ("bearer", "dpop") or not self._verifier.is_ours(token, request.now):
            return None
        try:
            claims = self._verifier.verify(token, request.now)
        except JwsError as error:
            return self._refuse(str(error))
        credential = yield from ask(FindCredentialById(claims.key_id))
        if credential is None:
            return self._refuse("its key is gone")
        fault = _fault(credential, claims, request)
        if fault is not None:
            return self._refuse(f"{credential.id} is {fault}")
        return Principal(
            credential.subject,
            credential.tenant,
            credential.scopes & claims.scopes,
            credential.id,
            self._name,
            claims.bond,
            credential.quotas,
            credential.routes,
            credential.lineage,
        )

    def _refuse(self, detail: str) -> Challenge:
        return Challenge(INVALID_TOKEN, f"authenticate:{self._name}", detail)


def _fault(credential: Credential, claims: TokenClaims, request: Request) -> str | None:
    """Say why the key would not hold itself, here and now."""
    if credential.allow_ip and not within(request.client, parse_networks(credential.allow_ip)):
        return "not for this address"
    bonds = zip(credential.confirmation or UNBOUND, claims.bond or UNBOUND, strict=True)
    if any(wanted is not None and wanted != given for wanted, given in bonds):
        return "bound to something that this token is not bound to"
    return credential.refusal(request.now)
