"""Who is calling, and what was presented to prove it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from vallum.core.quota import Quota


class Confirmation(NamedTuple):
    """What the holder of a bound credential must prove on every request (RFC 7800 `cnf`): one of the two, or both."""

    certificate: str | None = None  # `x5t#S256`: base64url SHA-256 of the client certificate (RFC 8705 3.1)
    key: str | None = None  # `jkt`: base64url thumbprint of the key that signs DPoP proofs (RFC 9449 6.1)


@dataclass(frozen=True, slots=True)
class Credential:
    """A registered credential, as the registry knows it.  Times are Unix seconds; the secret itself is never here."""

    id: str
    subject: str
    digest: bytes
    tenant: str | None = None
    scopes: frozenset[str] = frozenset()
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    allow_ip: tuple[str, ...] = ()
    successor_of: str | None = None  # id of the key that this one took the place of
    lineage: str | None = None  # id of the first key of this line of rotations; None: this is it
    routes: frozenset[str] | None = None  # names of the routes that it is for; None: all
    quotas: tuple[Quota, ...] = ()  # of this credential alone; they narrow the route's
    confirmation: Confirmation | None = None  # what its holder must prove; None: whoever has it may use it
    canary: bool = False  # laid out for thieves: never holds, and any use of it is an alarm
    quarantined_at: float | None = None  # set aside, to be released or revoked
    last_used_at: float | None = field(default=None, compare=False)  # up to two minutes late

    def refusal(self, now: float) -> str | None:
        """Say why this credential does not hold at `now`, or None if it does."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        if self.quarantined_at is not None and self.quarantined_at <= now:
            return "quarantined"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return None


class Principal(NamedTuple):
    """The caller, after authentication.  Limits and usage hang on `subject`, so that a new key resets nothing."""

    subject: str
    tenant: str | None = None
    scopes: frozenset[str] = frozenset()
    credential_id: str | None = None
    authenticator: str = ""
    confirmation: Confirmation | None = None  # None: whoever has the credential may use it
    quotas: tuple[Quota, ...] = ()  # of this credential alone; they narrow the route's
    routes: frozenset[str] | None = None  # names of the routes that this credential is for; None: all
    lineage: str | None = None  # what per-key quotas hang on, so that a rotation resets nothing; None: the credential
    created: float | None = None  # Unix seconds: since when the account is known; None: nobody says
