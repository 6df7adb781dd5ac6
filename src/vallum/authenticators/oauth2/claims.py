"""What claims are worth: of a JWT (RFC 9068 4) or of an answer to introspection (RFC 7662 2.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.authenticators.oauth2.tokens import TokenError
from vallum.core.principal import Confirmation, Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME_CHARS = 255
TIME_MAX = 1e15  # an integer of JSON may have more digits than a float has room for
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of a SHA-256
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3


class Expected(NamedTuple):
    """What tokens of one issuer must say, and where they say it."""

    name: str  # of the authenticator
    issuer: str
    audience: str
    leeway_s: float
    subject_claim: str
    tenant_claim: str | None
    scope_claim: str | None


def check_issuer(claims: Mapping[str, Any], expected: Expected) -> None:
    """Raise TokenError unless the claims are this issuer's."""
    if claims.get("iss") != expected.issuer:
        raise TokenError("of another issuer")


def check_audience(claims: Mapping[str, Any], expected: Expected) -> None:
    """Raise TokenError unless the claims are meant for us."""
    audience = claims.get("aud")
    if audience != expected.audience and not (isinstance(audience, list) and expected.audience in audience):
        raise TokenError("for another audience")


def check_times(claims: Mapping[str, Any], now: float, expected: Expected) -> float | None:
    """Return when claims end, leeway included (Unix seconds); raise TokenError for claims that do not hold at `now`."""
    end = _time(claims, "exp")
    if end is not None and now >= end + expected.leeway_s:
        raise TokenError("expired")
    for name in ("nbf", "iat"):
        start = _time(claims, name)
        if start is not None and now < start - expected.leeway_s:
            raise TokenError(f"its {name} is in the future")
    return None if end is None else end + expected.leeway_s


def read_principal(claims: Mapping[str, Any], expected: Expected, subject: Any = None) -> Principal:
    """Return who the claims are about; `subject` stands in where they name nobody.  Raise TokenError if nobody does."""
    client = claims.get("client_id", claims.get("azp"))
    tenant = claims.get(expected.tenant_claim) if expected.tenant_claim is not None else None
    if expected.tenant_claim is not None and tenant is None:
        raise TokenError(f"no claim {expected.tenant_claim}")
    return Principal(
        subject=_name(claims.get(expected.subject_claim, subject), "subject"),
        tenant=None if tenant is None else _name(tenant, "tenant"),
        scopes=_scopes(claims, expected.scope_claim),
        # The client and not the token: who can mint a token a minute could else begin a new bucket with each.  Its name
        # is the issuer's to give, and must not be that of a key.
        credential_id=None if client is None else f"client:{_name(client, 'client')}",
        authenticator=expected.name,
        confirmation=_confirmation(claims.get("cnf")),
    )


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < TIME_MAX:  # RFC 7519 2
        raise TokenError(f"its {name} is no time")
    return value


def _name(value: Any, what: str) -> str:
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and value.isprintable():
        return value
    raise TokenError(f"its {what} is no name")


def _scopes(claims: Mapping[str, Any], claim: str | None) -> frozenset[str]:
    """Read `scope` (RFC 9068 2.2.3), or `scp` as others write it: in one text, or as a list."""
    value = claims.get(claim) if claim is not None else claims.get("scope", claims.get("scp"))
    if isinstance(value, str):
        value = value.split(" ")
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(scope, str) for scope in value):
        raise TokenError("its scope is no list of names")
    return frozenset(scope for scope in value if SCOPE.fullmatch(scope))


def _confirmation(cnf: Any) -> Confirmation | None:
    if cnf is None:
        return None
    # A binding that we cannot check is not a token without a binding (RFC 7800 3.1).
    if not isinstance(cnf, dict) or not cnf or not cnf.keys() <= {"x5t#S256", "jkt"}:
        raise TokenError("bound in a way that cannot be checked")
    if not all(isinstance(value, str) and THUMBPRINT.fullmatch(value) for value in cnf.values()):
        raise TokenError("bound to what is no thumbprint")
    return Confirmation(certificate=cnf.get("x5t#S256"), key=cnf.get("jkt"))
