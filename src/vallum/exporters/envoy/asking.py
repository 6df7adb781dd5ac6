"""The routes and filters of an Envoy that asks Vallum: Vallum decides, Envoy forwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.exporters.commented import Said
from vallum.exporters.envoy.clusters import VALLUM
from vallum.exporters.envoy.routes import action, entry, match, route_table
from vallum.exporters.envoy.types import typed

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.core.policy import Policy

MESSAGE_TIMEOUT = "5s"  # for one answer of Vallum: it may ask an issuer, or wait for an upstream with room
ROUTER = {"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router")}
ATTRIBUTES = ["source.address", "connection.mtls", "request.id"]


def asked_routes(config: Config, policy: Policy) -> dict[str, Any]:
    """Return the policy's routes; Vallum has seen a request before one of them takes it."""
    why = "Vallum has judged a request before a route takes it; what Vallum answers itself never comes here."
    routes = [
        entry(route.name, match(route), action(config, route), limit=route.intake.max_bytes)
        for route in policy.routes
        if route.responder is None
    ]
    return route_table(why, routes)


def asked_filters() -> list[Any]:
    """Return the filter that asks, and the router."""
    asking = typed(
        "filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": VALLUM}, "timeout": Said("as long as the stream", "0s")},
        failure_mode_allow=Said("without Vallum nothing passes", False),
        message_timeout=MESSAGE_TIMEOUT,
        processing_mode={
            "request_header_mode": "SEND",
            "response_header_mode": "SEND",
            "request_body_mode": Said("whole, as checks want it; over the route's limit Envoy answers 413", "BUFFERED"),
            "response_body_mode": Said("piece by piece: event streams stay live", "FULL_DUPLEX_STREAMED"),
            "response_trailer_mode": "SEND",
        },
        request_attributes=ATTRIBUTES,
        mutation_rules={"disallow_system": False, "allow_all_routing": False},
    )
    return [{"name": "envoy.filters.http.ext_proc", "typed_config": asking}, ROUTER]
