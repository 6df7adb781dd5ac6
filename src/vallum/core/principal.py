"""Who is calling, and what was presented to prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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

    def refusal(self, now: float) -> str | None:
        """Say why this credential does not hold at `now`, or None if it does."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
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
