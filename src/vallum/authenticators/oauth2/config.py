"""What is configured of an issuer."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Algorithm = Literal["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
VISIBLE = re.compile(r"[!-~]+")
PLAIN = re.compile(r"https?://[^/?#]+(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
Claim = Annotated[str, Meta(min_length=1, max_length=128)]


class IntrospectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ask the issuer about tokens that are not JWTs (RFC 7662)."""

    client_id: Annotated[str, Meta(min_length=1, description="whom the gateway is to the issuer")]
    client_secret: Annotated[str, Meta(min_length=1, description="its secret: `${NAME}` or `file:NAME`")]
    endpoint: Annotated[str, Meta(description="address to ask; discovered by default")] | None = None
    audience: Annotated[
        Literal["required", "optional"],
        Meta(description="optional: an answer without `aud` will do; one with another never does"),
    ] = "required"

    def __post_init__(self) -> None:
        """Hold that the secret travels encrypted."""
        if self.endpoint is not None:
            check_address(self.endpoint, "endpoint")


class OAuth2Config(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="oauth2"
):
    """Access tokens of one authorisation server."""

    issuer: Annotated[str, Meta(description="its identifier, exactly as tokens write it in `iss`")]
    audience: Annotated[str, Meta(min_length=1, description="what tokens for this gateway write in `aud`")]
    algorithms: Annotated[
        list[Algorithm], Meta(min_length=1, description="signatures that are accepted; public-key ones alone exist")
    ] = msgspec.field(default_factory=lambda: ["ES256", "RS256", "EdDSA", "Ed25519", "PS256", "ES384", "ES512"])
    typ: Annotated[
        Literal["at+jwt", "jwt"],
        Meta(description="at+jwt: access tokens alone (RFC 9068); jwt: also plain JWTs, for issuers that write these"),
    ] = "at+jwt"
    leeway_s: Annotated[float, Meta(ge=0, le=60, description="how far the issuer's clock may be from ours")] = 30.0
    subject_claim: Annotated[Claim, Meta(description="claim that becomes the subject")] = "sub"
    tenant_claim: Annotated[Claim, Meta(description="claim that becomes the tenant, and must then be there")] | None = (
        None
    )
    scope_claim: Annotated[Claim, Meta(description="claim with the scopes; `scope`, then `scp`, by default")] | None = (
        None
    )
    jwks_uri: Annotated[str, Meta(description="address of its keys; discovered by default")] | None = None
    resource: Annotated[str, Meta(description="our own public address, if `audience` is none (RFC 9728)")] | None = None
    introspection: IntrospectionConfig | None = None

    def __post_init__(self) -> None:
        """Hold that what is trusted comes encrypted."""
        check_address(self.issuer, "issuer")
        if "?" in self.issuer or "#" in self.issuer:
            raise ValueError("an issuer has no query and no fragment (RFC 8414 2)")
        if self.jwks_uri is not None:
            check_address(self.jwks_uri, "jwks_uri")
        if self.resource is not None and not is_resource(self.resource):
            raise ValueError("resource: write it as https://host/path, without query or fragment")

    @property
    def identifier(self) -> str | None:
        """The resource identifier (RFC 9728 1.2), or None where there is nothing to be found by."""
        if self.resource is not None:
            return self.resource
        return self.audience if is_resource(self.audience) else None


def check_address(text: str, what: str) -> None:
    """Raise ValueError unless `text` is an https address, or an http one on this host."""
    if not is_safe(text):
        raise ValueError(f"{what}: {text!r} is no https:// address (http:// is for loopback alone)")


def is_safe(text: str) -> bool:
    """Say whether what comes from an address can be trusted to come from there: https, or http on loopback."""
    try:
        url = urlsplit(text)
        good = bool(url.hostname) and url.port != 0 and "@" not in url.netloc and VISIBLE.fullmatch(text) is not None
    except ValueError:
        return False
    return good and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or "")))


def is_loopback(host: str) -> bool:
    """Say whether `host` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_resource(text: str) -> bool:
    """Say whether `text` can be a resource identifier: an address of plain segments alone (RFC 9728 1.2)."""
    return is_safe(text) and PLAIN.fullmatch(text) is not None
