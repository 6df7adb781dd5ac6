"""Protected resource metadata (RFC 9728): tells a client which issuer to get a token from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from vallum.core.decision import Page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange

WELL_KNOWN = "/.well-known/oauth-protected-resource"
FIELDS = (("content-type", "application/json"), ("cache-control", "public, max-age=3600"))


def metadata_path(resource: str) -> str:
    """Return the path of a resource's metadata: the well-known one, then the resource's own (RFC 9728 3.1)."""
    return WELL_KNOWN + urlsplit(resource).path.rstrip("/")


def metadata_url(resource: str) -> str:
    """Return the address of a resource's metadata."""
    url = urlsplit(resource)
    return f"{url.scheme}://{url.netloc}{metadata_path(resource)}"


class ResourceMetadata:
    """Answers with the metadata of one resource."""

    type: ClassVar[str] = "resource_metadata"

    def __init__(self, resource: str, issuers: Iterable[str], scopes: Iterable[str]) -> None:
        """Write the document, once."""
        document = {
            "resource": resource,
            "authorization_servers": sorted(issuers),
            "scopes_supported": sorted(scopes),
            "bearer_methods_supported": ["header"],
        }
        self._page = Page(json.dumps(document, separators=(",", ":")).encode(), headers=FIELDS)

    def respond(self, x: Exchange) -> Steps[Page]:
        """Return the document."""
        yield from ()
        return self._page
