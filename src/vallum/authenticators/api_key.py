"""Keys that the operator hands out: `vlm_live_...`, in `Authorization: Bearer` or `X-API-Key`.

One that is bound to a key of its holder stands in `Authorization: DPoP` or `X-API-Key`, with a proof beside it.

What it stops
    Callers without a key, with a wrong, expired, quarantined or revoked one, or from an address that it is not for.
    Whoever uses a canary key, which nobody honest has: refused like an unknown key, and an alarm for the operator.
Config
    `prefix`: what keys begin with.  `vlm_live_` by default.
Cost
    A known key costs a SHA-256 and one look-up in memory, about 3 us; with an address list 2 us more.  Noise fails the
    checksum and never reaches the registry.
Misses
    A stolen key works until it is revoked, from any address its allow-list admits, unless it is bound to a certificate
    or a key of its holder.  A flood of well-formed keys that do not exist costs a query each, once in 30 seconds, and
    waits in a bounded queue.
Example
    authenticators:
      keys: {type: api_key}
"""

from __future__ import annotations

from functools import lru_cache
from hmac import compare_digest
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from vallum.core.address import parse_networks, within
from vallum.core.apikey import DEFAULT_PREFIX, digest_key, is_well_formed
from vallum.core.decision import INVALID_TOKEN, Challenge
from vallum.core.effects import FindCredential, Steps, ask
from vallum.core.principal import Principal

if TYPE_CHECKING:
    from vallum.core.exchange import Request


class ApiKeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="api_key"):
    """Keys from the registry."""

    prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9_]{1,32}$", description="what keys begin with")] = DEFAULT_PREFIX


class ApiKey:
    """Looks a key up by the digest of its secret."""

    type: ClassVar[str] = "api_key"
    challenge: ClassVar[str] = "Bearer"  # RFC 6750 3.1: no error code when no credential was sent

    def __init__(self, name: str, config: ApiKeyConfig) -> None:
        """Take the name that records show."""
        self._name = name
        self._prefix = config.prefix

    def authenticate(self, request: Request) -> Steps[Principal | Challenge | None]:
        """Return the key's principal; a challenge for a key that does not hold; None for what is no key of ours."""
        key = request.headers.get("x-api-key") or _bearer_token(request.headers.get("authorization"))
        if key is None or not key.startswith(self._prefix):
            return None
        if not is_well_formed(key, self._prefix):
            return self._refuse("not a key: length, alphabet or checksum")
        digest = digest_key(key)
        credential = yield from ask(FindCredential(digest))
        if credential is None or not compare_digest(credential.digest, digest):
            return self._refuse("no such key")
        if credential.canary and credential.revoked_at is None:
            return self._refuse(f"{credential.id} is a canary", credential.id)
        fault = credential.refusal(request.now)
        if fault is None and credential.allow_ip and not within(request.client, _networks(credential.allow_ip)):
            fault = "not for this address"
        if fault is not None:
            return self._refuse(f"{credential.id} is {fault}")
        return Principal(
            credential.subject,
            credential.tenant,
            credential.scopes,
            credential.id,
            self._name,
            credential.confirmation,
            credential.quotas,
            credential.routes,
            credential.lineage,
            credential.created_at if credential.lineage is None else None,  # a rotation makes nobody young again
        )

    def _refuse(self, detail: str, canary: str | None = None) -> Challenge:
        # One answer for every credential that does not hold: what is wrong with it stays in the record.
        return Challenge(INVALID_TOKEN, f"authenticate:{self._name}", detail, canary)


def _bearer_token(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    # Which of the two it must be, the stage after this one knows (RFC 9449 7.1).
    return token.strip(" ") if scheme.lower() in ("bearer", "dpop") else None


_networks = lru_cache(maxsize=4096)(parse_networks)  # parsing takes ten times as long as looking
