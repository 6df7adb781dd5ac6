"""What is said of keys on the command line: spans, dates, bindings, and a credential in words."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, OctKey

from vallum.config.quotas import parse_quota
from vallum.core.principal import Confirmation
from vallum.core.quota import Per, Quota

if TYPE_CHECKING:
    from vallum.core.principal import Credential

DAY_S = 86_400
SPANS_S = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S, "y": 365 * DAY_S}
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3
ROUTE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


# --- from words -------------------------------------------------------------------------------------------------------


def parse_span(text: str, hint: str) -> float:
    """Return seconds; raise BadParameter that shows how to write them."""
    match = re.fullmatch(r"(\d{1,6})([smhdwy])", text)
    if match is None or int(match.group(1)) == 0:
        raise click.BadParameter(f"{text!r}: write 30m, 12h, 90d or 1y", param_hint=hint)
    return float(int(match.group(1)) * SPANS_S[match.group(2)])


def parse_expiry(text: str, now: float) -> float | None:
    """Return when a life that begins `now` ends; None for one that never does."""
    return None if text == "never" else now + parse_span(text, "--expires (12h, 90d, 1y, or never)")


def parse_instant(text: str, now: float, hint: str) -> float:
    """Return Unix seconds of a date (UTC where it does not say), or of how long ago something was."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return now - parse_span(text, f"{hint} (a date, as 2026-01-31, or an age, as 90d)")
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def check_words(subject: str, scopes: tuple[str, ...], tenant: str | None, routes: tuple[str, ...]) -> None:
    """Raise BadParameter for what cannot be a subject, a tenant, a scope or a route's name."""
    for hint, word in (("--subject", subject), ("--tenant", tenant)):
        if word is not None and (not word.strip() or len(word) > 255 or not word.isprintable()):
            raise click.BadParameter("1 to 255 printable characters", param_hint=hint)
    for scope in scopes:
        if not SCOPE.fullmatch(scope):
            raise click.BadParameter(f"{scope!r}: printable, without spaces and quotes", param_hint="--scope")
    for route in routes:
        if not ROUTE.fullmatch(route):
            raise click.BadParameter(f"{route!r} is no name of a route", param_hint="--route")


def parse_quotas(texts: tuple[str, ...]) -> tuple[Quota, ...]:
    """Return the quotas of one key."""
    quotas: dict[str, Quota] = {}
    for text in texts:
        try:
            limit, window_us, window = parse_quota(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--quota") from error
        name = f"{window}-key"
        if name in quotas:
            raise click.BadParameter(f"two quotas of one {window}: give one", param_hint="--quota")
        quotas[name] = Quota(name, limit, window_us, Per.KEY)
    return tuple(quotas.values())


def read_binding(certificate: Path | None, jwk: Path | None) -> Confirmation | None:
    """Return what the holder of a key must prove: the certificate, or the key of DPoP proofs."""
    if certificate is not None and jwk is not None:
        raise click.UsageError("give either --bind-cert or --bind-jwk")
    try:
        if certificate is not None:
            return Confirmation(certificate=_thumbprint(certificate.read_bytes()))
        if jwk is not None:
            return Confirmation(key=_jwk_thumbprint(jwk.read_bytes()))
    except OSError as error:
        raise click.BadParameter(f"{error.filename} cannot be read: {error.strerror}") from error
    return None


def _thumbprint(data: bytes) -> str:
    # RFC 8705 3.1: of the DER, whatever it came as
    try:
        pem = b"-----BEGIN" in data
        certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise click.BadParameter("not a certificate in PEM or DER", param_hint="--bind-cert") from error
    return urlsafe_b64encode(sha256(certificate.public_bytes(Encoding.DER)).digest()).rstrip(b"=").decode()


def _jwk_thumbprint(data: bytes) -> str:
    try:
        key = JWKRegistry.import_key(json.loads(data))
    except (ValueError, TypeError, JoseError) as error:  # without its words: the file may hold a private key
        raise click.BadParameter("not a JWK (RFC 7517)", param_hint="--bind-jwk") from error
    if isinstance(key, OctKey):
        raise click.BadParameter(
            "a key that both sides have proves nothing: give a public key", param_hint="--bind-jwk"
        )
    return str(key.thumbprint())  # RFC 7638


# --- into words -------------------------------------------------------------------------------------------------------


def describe(credential: Credential) -> dict[str, Any]:
    """Return a credential for programs, but for its id and state."""
    bound = credential.confirmation
    return {
        "subject": credential.subject,
        "tenant": credential.tenant,
        "scopes": sorted(credential.scopes),
        "allow_ip": list(credential.allow_ip),
        "routes": None if credential.routes is None else sorted(credential.routes),
        "quotas": [
            f"{quota.limit} per {quota.name.removesuffix('-key').replace('-', ' ')}" for quota in credential.quotas
        ],
        "bound_to": None
        if bound is None
        else {"x5t#S256": bound.certificate}
        if bound.certificate
        else {"jkt": bound.key},
        "canary": credential.canary,
        "created_at": date(credential.created_at),
        "expires_at": date(credential.expires_at),
        "revoked_at": date(credential.revoked_at),
        "last_used_at": date(credential.last_used_at),
        "successor_of": credential.successor_of,
    }


def state(credential: Credential, now: float) -> str:
    """Say in one word how a key stands."""
    if credential.canary and credential.revoked_at is None:
        return "canary"
    return credential.refusal(now) or "active"


def life(credential: Credential) -> str:
    """Say until when a key lives."""
    return f"until {date(credential.expires_at)}" if credential.expires_at is not None else "without end"


def date(at: float | None) -> str | None:
    """Write an instant as RFC 3339 does."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def distance(seconds: float) -> str:
    """Say a span in its largest unit, in five characters or so."""
    for unit, length_s in (("d", DAY_S), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{int(seconds // length_s)} {unit}"
    return f"{max(0, int(seconds))} s"
