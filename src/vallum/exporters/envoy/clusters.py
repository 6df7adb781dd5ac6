"""Envoy's clusters: the protected services, those that hold keys of issuers, and Vallum itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.exporters.address import Place, read_url
from vallum.exporters.envoy.types import seconds, typed
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.config.model import Config, UpstreamConfig

CONNECT_TIMEOUT_S = 5.0
VALLUM_CONNECT_TIMEOUT_S = 1.0
BUFFER_BYTES = 32_768  # Envoy's own advice for an edge: what waits for a slow reader
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
VALLUM = "vallum"
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def upstream_clusters(config: Config) -> list[Any]:
    """Return a cluster for each upstream of the policy."""
    return [_upstream(name, upstream) for name, upstream in config.upstreams.items()]


def cluster(name: str, place: Place, **more: Any) -> dict[str, Any]:
    """Return a cluster of one address."""
    endpoint = {"address": {"socket_address": {"address": place.host, "port_value": place.port}}}
    written: dict[str, Any] = {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": seconds(CONNECT_TIMEOUT_S),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        **more,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
    if place.tls:
        written["transport_socket"] = Noted(_tls(place), "its certificate is verified, and must be of this name")
    return written


def vallum_cluster(place: Place) -> Noted:
    """Return the cluster of the service that decides."""
    http2 = {
        PROTOCOLS: {"@type": f"type.googleapis.com/{PROTOCOLS}", "explicit_http_config": {"http2_protocol_options": {}}}
    }
    return Noted(
        cluster(
            VALLUM,
            place,
            connect_timeout=seconds(VALLUM_CONNECT_TIMEOUT_S),
            typed_extension_protocol_options=http2,
            circuit_breakers=_breakers(100_000),
        ),
        "What decides: `vallum envoy` with the same policy file.  Beside Envoy, on loopback: it is told credentials.",
    )


def _upstream(name: str, upstream: UpstreamConfig) -> Any:
    bound = upstream.concurrency
    more: dict[str, Any] = {}
    if bound is not None:
        why = f"upstreams.{name}.concurrency: what is over it is refused with 503 at once; Envoy has no queue for it"
        more["circuit_breakers"] = Noted(_breakers(bound.max), why)
    return cluster(name, read_url(name, upstream.url), **more)


def _breakers(most: int) -> dict[str, Any]:
    return {"thresholds": [{"max_connections": most, "max_requests": most, "max_pending_requests": most}]}


def _tls(place: Place) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "transport_sockets.tls.v3.UpstreamTlsContext",
            sni=place.host,
            auto_sni_san_validation=True,
            common_tls_context={"validation_context": {"trusted_ca": {"filename": AUTHORITIES}}},
        ),
    }
