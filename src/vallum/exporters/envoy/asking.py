"""The routes and filters of an Envoy that asks Vallum: Vallum decides, Envoy forwards.

Vallum sees a path as it came, refuses one that can be read in two ways, and writes the one that goes to the service,
with the base path of the upstream before it.  Where it came in another spelling Envoy chooses its route once more, by
the path that is forwarded: so a route takes both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.exporters.address import read_url
from vallum.exporters.envoy.clusters import VALLUM
from vallum.exporters.envoy.routes import match, route_table
from vallum.exporters.envoy.types import seconds, typed
from vallum.exporters.export import Answer, ExportError, Kind
from vallum.exporters.features import Feature
from vallum.exporters.paths import overlap
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.config.model import Config
    from vallum.core.policy import Policy, Route
    from vallum.exporters.finding import Found

HEARD = "x-forwarded-client-cert"
LATER_S = 5.0  # than Vallum, which bounds an upstream's silence itself
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": typed("filters.http.router.v3.Router", suppress_envoy_headers=True),
}
WHY = "Where a request goes: that it may go at all is Vallum's to say."
DUPLEX = "FULL_DUPLEX_STREAMED"


def asked_routes(config: Config, policy: Policy) -> dict[str, Any]:
    """Return the policy's routes.  Raises ExportError where the forwarded path would not tell them apart."""
    routes = [route for route in policy.routes if route.responder is None]
    bases = {name: read_url(name, upstream.url).base for name, upstream in config.upstreams.items()}
    _tell_apart(routes, bases)
    return route_table(WHY, [_entry(config, route, bases[route.upstream.name]) for route in routes])


def _entry(config: Config, route: Route, base: str) -> dict[str, Any]:
    upstream = config.upstreams[route.upstream.name]
    wait_s = 0.0 if upstream.concurrency is None else upstream.concurrency.wait_s
    goes = {
        "cluster": route.upstream.name,
        "timeout": Noted("0s", "a stream may last; what is bounded is silence, and by Vallum first"),
        "idle_timeout": seconds(upstream.timeout_s + wait_s + LATER_S),
    }
    return {"name": route.name, "match": match(route, base=base), "route": goes}


def _tell_apart(routes: Sequence[Route], bases: dict[str, str]) -> None:
    """See that no request can take an earlier route than Vallum's: with a base path before it, or without one."""
    for index, later in enumerate(routes):
        for earlier in routes[:index]:
            if earlier.upstream.name == later.upstream.name or not earlier.methods & later.methods:
                continue
            one, two = bases[earlier.upstream.name], bases[later.upstream.name]
            forms = {(one, ""), ("", two), (one, two)} - {("", "")}
            if any(overlap(a, earlier.pattern, b, later.pattern) for a, b in forms):
                raise ExportError(
                    f"routes {earlier.name!r} and {later.name!r} have paths in common once the base paths of their "
                    "upstreams stand before them: Envoy could not tell them apart; leave the base path out of the url"
                )


def asked_filters() -> list[Any]:
    """Return the filter that asks, and the router."""
    asking = typed(
        "filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": VALLUM}},
        failure_mode_allow=Noted(False, "without Vallum nothing passes"),
        status_on_error={"code": "ServiceUnavailable"},
        processing_mode=Noted(
            {
                "request_header_mode": "SEND",
                "request_body_mode": DUPLEX,
                "request_trailer_mode": "SEND",
                "response_header_mode": "SEND",
                "response_body_mode": DUPLEX,
                "response_trailer_mode": "SEND",
            },
            "the one mode that Vallum takes: it holds bodies itself, and event streams stay live",
        ),
        request_attributes=Noted(["source.address"], "whose connection it is"),
        response_attributes=Noted(["response.code_details"], "whether the service answered, or Envoy for it"),
        mutation_rules=Noted(
            {"allow_all_routing": True, "allow_envoy": True},
            "Vallum writes the path, and removes what clients send as x-envoy-*",
        ),
    )
    return [{"name": "envoy.filters.http.ext_proc", "typed_config": asking}, ROUTER]


def asking_losses(config: Config, found: Sequence[Found]) -> dict[Found, Answer]:
    """Return what becomes of certificates: Vallum hears of them in Envoy's own field, if the policy says so."""
    tls, passed_on = config.listen.tls, config.client_certificate
    asked = tls is not None and tls.client_auth != "none"
    if passed_on is not None and passed_on.header == HEARD:
        heard = Answer(None) if asked else None
        return {} if heard is None else {one: heard for one in found if one.feature is Feature.CLIENT_CERTIFICATE}
    deaf = Answer(
        Kind.LOST,
        "`vallum envoy` does not believe the certificates that Envoy passes on",
        f"add client_certificate: {{header: {HEARD}}}, and Envoy's address to trusted_proxies",
    )
    wanted = {Feature.AUTH_MTLS, *([Feature.LISTEN_CLIENT_CERTIFICATES] if asked else [])}
    return {one: deaf for one in found if one.feature in wanted}
