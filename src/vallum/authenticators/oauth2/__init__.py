"""Access tokens of an OAuth 2.0 authorisation server: JWTs by its keys, opaque ones by introspection.

What it stops
    Callers without a token, or with one that is forged, expired, of another issuer, for another audience, of another
    kind (an ID token is no access token), signed with an algorithm or a key that the issuer does not use for it, or
    that can be read in two ways.  A token that is bound to a key (`cnf.jkt`) and comes as a plain Bearer.
Config
    `issuer`, exactly as tokens write it; its keys are discovered.  `audience`, which tokens must name.  `typ: jwt` for
    issuers that do not mark access tokens as such.  `introspection` for tokens that are not JWTs.
Cost
    A token seen within the last minute costs about 3 us.  Another costs its signature: 100 to 200 us, or an
    introspection, once in 30 s.
Misses
    A stolen token works until it expires, unless it is bound to its holder.  A JWT that the issuer has revoked works
    until it expires, an opaque one for up to 30 s.
Example
    authenticators:
      tokens: {type: oauth2, issuer: "https://login.example", audience: "https://models.example"}
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from vallum.authenticators.oauth2.claims import Expected, check_audience, check_issuer, check_times, read_principal
from vallum.authenticators.oauth2.config import IntrospectionConfig, OAuth2Config
from vallum.authenticators.oauth2.keys import Keys
from vallum.authenticators.oauth2.metadata import ResourceMetadata, metadata_path, metadata_url
from vallum.authenticators.oauth2.tokens import MAX_CHARS, TokenError, is_jwt, read_token, verify_token
from vallum.authenticators.oauth2.verified import Verdict, Verified
from vallum.core.apikey import CHECKSUM_CHARS, DEFAULT_PREFIX, SECRET_CHARS, is_well_formed
from vallum.core.decision import INVALID_TOKEN, Challenge
from vallum.core.effects import FetchKeys, Introspect, Steps, ask
from vallum.core.issuer import Issuer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.authenticators.oauth2.tokens import Token
    from vallum.core.exchange import Request
    from vallum.core.issuer import KeySet
    from vallum.core.principal import Principal

__all__ = ["IntrospectionConfig", "OAuth2", "OAuth2Config", "ResourceMetadata", "metadata_path", "metadata_url"]

SCHEMES = frozenset({"bearer", "dpop"})  # RFC 6750 2.1, RFC 9449 7.1
TYPES = {
    "at+jwt": frozenset({"at+jwt", "application/at+jwt"}),  # RFC 9068 4
    "jwt": frozenset({"at+jwt", "application/at+jwt", "jwt", "application/jwt", None}),
}
OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 2.1: b64token
VERIFIED_S = 60.0
ACTIVE_S = 30.0
INACTIVE_S = 5.0
VERIFIED_KEPT = 8192
INACTIVE_KEPT = 2048
ABSENT_S = 60.0
ABSENT_KEPT = 1024


class OAuth2:
    """Verifies the access tokens of one issuer."""

    type: ClassVar[str] = "oauth2"

    def __init__(self, name: str, config: OAuth2Config) -> None:
        """Take the name that records show, and what tokens must say."""
        self._name = name
        asked = config.introspection
        self.issuer = Issuer(
            config.issuer,
            config.jwks_uri or "",
            (asked.endpoint or "") if asked else "",
            asked.client_id if asked else "",
            asked.client_secret if asked else "",
        )
        self.resource = config.identifier
        self._expected = Expected(
            name,
            config.issuer,
            config.audience,
            config.leeway_s,
            config.subject_claim,
            config.tenant_claim,
            config.scope_claim,
        )
        self._algorithms = frozenset(config.algorithms)
        self._types = TYPES[config.typ]
        self._introspection = asked
        self._verified = Verified(VERIFIED_KEPT)
        self._inactive = Verified(INACTIVE_KEPT)  # apart, so that a flood of wrong tokens pushes no good one out
        self._keys = Keys(())
        self._keys_of: KeySet | None = None
        self._absent: dict[str, float] = {}  # kid -> until when the issuer is not asked for it again

    @property
    def challenge(self) -> str:
        """Where the metadata of this resource is, if it has any (RFC 9728 5.1)."""
        return "Bearer" if self.resource is None else f'Bearer resource_metadata="{metadata_url(self.resource)}"'

    def authenticate(self, request: Request) -> Steps[Principal | Challenge | None]:
        """Return the token's principal; a challenge for one that does not hold; None for what is no token of ours."""
        scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
        scheme, token = scheme.lower(), token.strip(" ")
        if scheme not in SCHEMES or len(token) > MAX_CHARS:
            return None
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        now = request.now
        verdict = self._verified.find(digest, now) or self._inactive.find(digest, now)
        try:
            if verdict is None:
                if is_jwt(token):
                    read = read_token(token)
                    if read.claims.get("iss") != self._expected.issuer:
                        return None  # for another authenticator of this route
                    verdict = yield from self._verify(read, now)
                elif self._introspection is not None and OPAQUE.fullmatch(token) and not _is_key(token):
                    verdict = yield from self._introspect(token, now)
                else:
                    return None
                (self._inactive if verdict.principal is None else self._verified).keep(digest, verdict)
            return _presented(verdict.principal, scheme)
        except TokenError as error:
            # One answer for every token that does not hold: what is wrong with it stays in the record.
            return Challenge(INVALID_TOKEN, f"authenticate:{self._name}", str(error))

    # --- JWTs

    def _verify(self, token: Token, now: float) -> Steps[Verdict]:
        """Check a JWT (RFC 9068 4, RFC 8725 3)."""
        expected, claims = self._expected, token.claims
        if token.alg not in self._algorithms:
            raise TokenError("an algorithm that this issuer does not use")
        if (token.typ.lower() if token.typ is not None else None) not in self._types:
            raise TokenError("of another type; `typ: jwt` accepts plain JWTs")
        # Before the signature, as it is cheaper and asks nobody; what it says counts only once the signature holds.
        check_audience(claims, expected)
        if "exp" not in claims:
            raise TokenError("without an end")
        end = check_times(claims, now, expected)
        principal = read_principal(claims, expected)
        key = yield from self._find_key(token, now)
        verify_token(token, key, self._algorithms)
        return Verdict(principal, now, _earliest(end, now + VERIFIED_S))

    def _find_key(self, token: Token, now: float) -> Steps[Any]:
        keys = yield from ask(FetchKeys(self.issuer))
        key = self._take(keys).find(token)
        if key is None and now >= self._absent.get(token.kid or "", 0.0):
            # Perhaps a key that is newer than our set.  The driver sees to it that the issuer is asked rarely.
            later = yield from ask(FetchKeys(self.issuer, newer_than=keys.version))
            key = self._take(later).find(token)
            if key is None and later.version > keys.version:
                self._miss(token.kid or "", now)
        if key is None:
            raise TokenError("the issuer has no such key")
        return key

    def _take(self, keys: KeySet) -> Keys:
        if self._keys_of is not keys:
            self._keys_of, self._keys = keys, Keys(keys.keys)
        return self._keys

    def _miss(self, kid: str, now: float) -> None:
        if len(self._absent) >= ABSENT_KEPT:
            self._absent.clear()
        self._absent[kid] = now + ABSENT_S

    # --- opaque tokens

    def _introspect(self, token: str, now: float) -> Steps[Verdict]:
        """Ask the issuer (RFC 7662 2.2)."""
        expected = self._expected
        answer: Mapping[str, Any] = yield from ask(Introspect(self.issuer, token))
        if answer.get("active") is not True:
            return Verdict(None, now, now + INACTIVE_S)
        if "iss" in answer:
            check_issuer(answer, expected)
        assert self._introspection is not None
        if "aud" in answer or self._introspection.audience == "required":
            check_audience(answer, expected)
        if str(answer.get("token_type", "bearer")).lower() not in SCHEMES:
            raise TokenError("no access token")  # some issuers know refresh tokens here, too
        end = check_times(answer, now, expected)
        principal = read_principal(answer, expected, subject=answer.get("client_id"))
        return Verdict(principal, now, _earliest(end, now + ACTIVE_S))


def _presented(principal: Principal | None, scheme: str) -> Principal:
    """Hold a token to the scheme it is for (RFC 9449 7.2): one that is bound to a key is no bearer token."""
    if principal is None:
        raise TokenError("not active")
    confirmation = principal.confirmation
    if (confirmation is not None and confirmation.key is not None) != (scheme == "dpop"):
        raise TokenError("sent in the wrong scheme for its binding")
    return principal


def _is_key(token: str) -> bool:
    """Say whether this is an API key of some gateway: not for an issuer's eyes."""
    prefix = token[: -(SECRET_CHARS + CHECKSUM_CHARS)]
    return token.startswith(DEFAULT_PREFIX) or (bool(prefix) and is_well_formed(token, prefix))


def _earliest(end: float | None, other: float) -> float:
    return other if end is None else min(end, other)
