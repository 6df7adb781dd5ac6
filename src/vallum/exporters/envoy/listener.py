"""Envoy's listener: TLS, and all that is refused before any route is chosen."""

from __future__ import annotations

from math import ceil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from vallum.exporters.address import read_address
from vallum.exporters.envoy.clusters import BUFFER_BYTES
from vallum.exporters.envoy.types import seconds, typed
from vallum.exporters.export import ExportError
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.config.model.doors import TlsConfig

CALLER = "x-vallum-caller"  # who is calling, between filters; from nobody else
PATH_AS_IT_CAME = {
    "normalize_path": Noted(False, "Vallum reads a path as it came, and refuses one that can be read in two ways"),
    "merge_slashes": False,
    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
}
PATH_RESOLVED = {
    "normalize_path": Noted(True, "a path is matched in the one form in which it is forwarded"),
    "merge_slashes": False,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
}
UNDERSCORES = "some servers read x_y as x-y: such a field could be forged"
STREAMS = 100  # of one HTTP/2 connection at once
STREAM_WINDOW_BYTES, CONNECTION_WINDOW_BYTES = 65_536, 1_048_576


def listener(config: Config, routes: Any, filters: list[Any], folder: str, *, asking: bool) -> dict[str, Any]:
    """Return the clients' listener."""
    place = read_address(config.listen.address)
    chain: dict[str, Any] = {}
    if config.listen.tls is not None:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": _tls(config.listen.tls, folder),
        }
    manager = "envoy.filters.network.http_connection_manager"
    chain["filters"] = [{"name": manager, "typed_config": _manager(config, routes, filters, asking=asking)}]
    return {
        "name": "clients",
        "address": {"socket_address": {"address": place.host, "port_value": place.port}},
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [chain],
    }


def overload(config: Config) -> dict[str, Any]:
    """Return the bound on connections."""
    monitor = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    limit = typed(monitor, max_active_downstream_connections=config.listen.max_connections)
    name = "envoy.resource_monitors.global_downstream_max_connections"
    return {"resource_monitors": [{"name": name, "typed_config": limit}]}


def _tls(tls: TlsConfig, folder: str) -> dict[str, Any]:
    version = "TLSv1_3" if tls.min_version == 1.3 else "TLSv1_2"
    common: dict[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": version},
        "tls_certificates": [{"certificate_chain": _file(folder, tls.cert), "private_key": _file(folder, tls.key)}],
        "alpn_protocols": ["h2", "http/1.1"],
    }
    asked = tls.client_auth != "none"
    if asked and tls.client_ca is None:
        raise ExportError("listen.tls.client_auth wants a client_ca: Envoy would believe any certificate")
    if asked:
        validation: dict[str, Any] = {"trusted_ca": _file(folder, tls.client_ca or "")}
        if tls.crl is not None:
            validation["crl"] = _file(folder, tls.crl)
        common["validation_context"] = Noted(validation, "whose client certificates are believed")
    required = Noted(True, "a client without a certificate does not get past the handshake")
    return typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=common,
        **({"require_client_certificate": required} if asked and tls.client_auth == "required" else {}),
    )


def _file(folder: str, name: str) -> dict[str, Any]:
    """Return a file of the policy: where the policy says, or in Envoy's folder."""
    return {"filename": str(PurePosixPath(folder, name))}


def _manager(config: Config, routes: Any, filters: list[Any], *, asking: bool) -> dict[str, Any]:
    listen = config.listen
    return typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="clients",
        **_origin(config),
        **_certificate(config),
        **(PATH_AS_IT_CAME if asking else PATH_RESOLVED),
        server_header_transformation="PASS_THROUGH",
        max_request_headers_kb=max(1, min(8192, ceil(listen.max_header_bytes / 1024))),
        common_http_protocol_options={
            "idle_timeout": seconds(listen.idle_timeout_s),
            "max_headers_count": listen.max_headers,
            "headers_with_underscores_action": Noted("DROP_HEADER" if asking else "REJECT_REQUEST", UNDERSCORES),
        },
        http_protocol_options={"allow_chunked_length": False},
        http2_protocol_options={
            "max_concurrent_streams": STREAMS,
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
        },
        request_headers_timeout=seconds(listen.header_timeout_s),
        request_timeout=Noted(seconds(_arrival(config)), "for head and body to arrive; an answer may take longer"),
        stream_idle_timeout=seconds(listen.write_timeout_s),
        early_header_mutation_extensions=Noted([_forget(CALLER)], "fields that only filters here may write"),
        route_config=routes,
        http_filters=filters,
    )


def _arrival(config: Config) -> float:
    return config.listen.header_timeout_s + config.listen.body_timeout_s


def _origin(config: Config) -> dict[str, Any]:
    if not config.trusted_proxies:
        return {"use_remote_address": Noted(True, "whatever a client writes into X-Forwarded-For, it is the peer")}
    networks = []
    for text in config.trusted_proxies:
        address, _, length = text.partition("/")
        networks.append({"address_prefix": address, "prefix_len": int(length or (128 if ":" in address else 32))})
    detection = typed(
        "http.original_ip_detection.xff.v3.XffConfig",
        xff_trusted_cidrs={"cidrs": networks},
        skip_xff_append=False,
    )
    why = "trusted_proxies: from these X-Forwarded-For is believed, up to the last address that is not theirs"
    found = [{"name": "envoy.http.original_ip_detection.xff", "typed_config": detection}]
    return {"original_ip_detection_extensions": Noted(found, why)}


def _certificate(config: Config) -> dict[str, Any]:
    tls = config.listen.tls
    if tls is None or tls.client_auth == "none":
        return {"forward_client_cert_details": "SANITIZE"}
    return {
        "forward_client_cert_details": Noted(
            "SANITIZE_SET", "written by Envoy alone: what a client sends is thrown away"
        ),
        "set_current_client_cert_details": {"cert": True, "subject": True, "uri": True, "dns": True},
    }


def _forget(field: str) -> dict[str, Any]:
    mutation = typed("http.early_header_mutation.header_mutation.v3.HeaderMutation", mutations=[{"remove": field}])
    return {"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": mutation}
