"""The structs of doors and records: where clients and operators come in, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from vallum.config.model.base import Base, Positive, Seconds
from vallum.leaks.redaction import Kind as RedactionKind


class TlsConfig(Base, frozen=True):
    """TLS on the clients' listener.  Files are PEM, beside the policy, and watched: a change needs no restart."""

    cert: Annotated[str, Meta(description="file with the certificate, then those between it and its authority")]
    key: Annotated[str, Meta(description="file with its private key, without a passphrase")]
    client_ca: Annotated[
        str | None, Meta(description="file with the authorities whose client certificates are believed")
    ] = None
    client_auth: Annotated[
        Literal["none", "optional", "required"], Meta(description="whether clients are asked for a certificate")
    ] = "none"
    crl: Annotated[str | None, Meta(description="file with the revocation lists of these authorities")] = None
    min_version: Annotated[float, Meta(description="oldest TLS version to speak: 1.2 or 1.3")] = 1.3

    def __post_init__(self) -> None:
        """Hold that the version is one there is."""
        if self.min_version not in (1.2, 1.3):
            raise ValueError("min_version is 1.2 or 1.3")


class ClientCertificateConfig(Base, frozen=True):
    """Clients' certificates that a proxy in `trusted_proxies` verified and passes on in one header field."""

    header: Annotated[
        Literal["client-cert", "x-forwarded-client-cert", "x-ssl-client-cert"],
        Meta(description="RFC 9440's field, Envoy's, or one with nginx's URL-escaped PEM"),
    ]
    client_ca: Annotated[str | None, Meta(description="file with the authorities that sign `crl`")] = None
    crl: Annotated[str | None, Meta(description="file with revocation lists")] = None


class ListenConfig(Base, frozen=True):
    """Where clients come in, and what they may take before any policy is asked."""

    address: Annotated[str, Meta(description="host:port")] = "127.0.0.1:8080"
    tls: Annotated[TlsConfig | None, Meta(description="TLS towards clients; plain HTTP without")] = None
    public_url: Annotated[
        str | None, Meta(description="scheme://host[:port] that callers use, where a proxy changes it")
    ] = None
    max_connections: Annotated[Positive, Meta(description="connections at once")] = 10_000
    max_header_bytes: Annotated[Positive, Meta(description="size of a request's head")] = 32_768
    max_uri_bytes: Annotated[Positive, Meta(description="length of a request target")] = 8_192
    max_headers: Annotated[Positive, Meta(description="number of header fields")] = 100
    header_timeout_s: Annotated[Seconds, Meta(description="time for a head to arrive")] = 10.0
    body_timeout_s: Annotated[Seconds, Meta(description="time for a body to arrive")] = 60.0
    idle_timeout_s: Annotated[Seconds, Meta(description="time a connection may wait for its next request")] = 75.0
    write_timeout_s: Annotated[Seconds, Meta(description="time a client may leave an answer unread")] = 60.0
    drain_s: Annotated[Seconds, Meta(description="time for requests in hand to end after SIGTERM")] = 30.0


class AdminConfig(Base, frozen=True):
    """The operators' listener: /metrics, /healthz, /readyz.  Keep it off the internet."""

    address: Annotated[str, Meta(description="host:port")] = "127.0.0.1:8081"


class UpstreamFailuresConfig(Base, frozen=True):
    """What is kept of an upstream's failure: the beginning of what it said, masked."""

    max_bytes: Annotated[int, Meta(ge=0, le=65_536, description="of its body; 0: nothing of it")] = 4096
    redact: Annotated[list[RedactionKind], Meta(description="kinds that are masked")] = msgspec.field(
        default_factory=lambda: ["keys", "emails", "cards", "ibans"]
    )
    patterns: Annotated[
        list[str], Meta(max_length=50, description="more that is masked: regular expressions as Hyperscan takes them")
    ] = []


class RecordsConfig(Base, frozen=True):
    """Where the records of exchanges go, which `vallum why` reads."""

    path: Annotated[str | None, Meta(description='folder; beside the registry by default; "-" for standard output')] = (
        None
    )
    max_file_bytes: Annotated[Positive, Meta(description="size at which a new file begins")] = 16_777_216
    max_files: Annotated[Positive, Meta(description="files kept; the oldest are deleted")] = 16
    keep_days: (
        Annotated[float, Meta(gt=0, description="age at which records are deleted; absent: by size alone")] | None
    ) = None
    upstream_failures: UpstreamFailuresConfig = UpstreamFailuresConfig()
