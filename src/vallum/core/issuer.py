"""An authorisation server whose tokens are accepted, and the keys it signs them with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where an authorisation server is, and as whom it is asked.  Addresses left empty are discovered."""

    url: str  # its issuer identifier (RFC 8414 2)
    jwks_uri: str = ""
    introspection_endpoint: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The public keys of an issuer (RFC 7517 5), as of one fetch.  A later fetch has a higher version."""

    keys: tuple[Mapping[str, Any], ...]
    version: int
