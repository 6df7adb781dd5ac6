"""What others need to verify our tokens: the public keys, and where everything is (RFC 7517, RFC 8414)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from vallum.core.decision import Page
from vallum.mint.exchange import GRANT

if TYPE_CHECKING:
    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange
    from vallum.mint.keyring import KeyRing

JWKS_PATH = "/.well-known/jwks.json"
CACHED = (("content-type", "application/json"), ("cache-control", "public, max-age=300"))


def metadata_path(issuer: str) -> str:
    """Return where the metadata of an issuer stands (RFC 8414 3)."""
    return f"/.well-known/oauth-authorization-server{urlsplit(issuer).path.rstrip('/')}"


def describe_issuer(issuer: str, path: str, algorithms: str) -> dict[str, Any]:
    """Return the metadata of the token endpoint at `path`."""
    split = urlsplit(issuer)
    origin = f"{split.scheme}://{split.netloc}"
    return {
        "issuer": issuer,
        "token_endpoint": origin + path,
        "jwks_uri": origin + JWKS_PATH,
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": algorithms.split(),
        "tls_client_certificate_bound_access_tokens": True,
    }


class Document:
    """Answers with one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Take it as it is to be sent."""
        self._body = msgspec.json.encode(document)

    def respond(self, x: Exchange) -> Steps[Page]:
        """Answer."""
        yield from ()
        return Page(self._body, headers=CACHED)


class PublicKeys:
    """Answers with the keys whose tokens may hold now."""

    def __init__(self, ring: KeyRing) -> None:
        """Publish the keys of `ring`."""
        self._ring = ring

    def respond(self, x: Exchange) -> Steps[Page]:
        """Answer."""
        yield from ()
        return Page(msgspec.json.encode({"keys": self._ring.published(x.request.now)}), headers=CACHED)
