"""The routes and filters of an Envoy that does without Vallum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.authenticators.api_key import ApiKeyConfig
from vallum.authenticators.oauth2 import OAuth2Config
from vallum.exporters.address import read_url, slug
from vallum.exporters.envoy.answers import ASK, NATIVE
from vallum.exporters.envoy.asking import ROUTER
from vallum.exporters.envoy.blocks import BLOCKS, blocked
from vallum.exporters.envoy.clusters import cluster
from vallum.exporters.envoy.doors import CALLERS, CERTIFICATE, FORWARDED, JWT, find_doors, keys_filter
from vallum.exporters.envoy.limits import LIMITS, is_counted, route_limits
from vallum.exporters.envoy.listener import CALLER
from vallum.exporters.envoy.routes import NOT_FOUND, action, entry, match, route_table, shut
from vallum.exporters.envoy.types import ROOT, typed
from vallum.exporters.export import Answer, Kind
from vallum.exporters.special import answer_at, left_out
from vallum.exporters.yaml_text import Noted, write_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vallum.config.model import Config, RouteConfig
    from vallum.core.policy import Policy, Route
    from vallum.exporters.finding import Found

BODIES = "vallum.bodies"
# Credentials are for this door; behind it nobody needs them.
KEPT_BACK = ["authorization", "cookie", "dpop", "x-api-key", CALLER, CERTIFICATE]
JWKS_TIMEOUT, JWKS_LIFE = "5s", "600s"


def native_routes(config: Config, policy: Policy) -> dict[str, Any]:
    """Return the policy's routes, an entry for each kind of credential."""
    wanted = {route.name: route for route in config.routes}
    entries: list[Any] = []
    for route in policy.routes:
        if route.responder is not None:
            why = f"{route.name}: Vallum answers this itself, and is not here"
            entries.append(Noted({"match": match(route), **_without_match(NOT_FOUND)}, why))
        else:
            entries += _entries(config, wanted[route.name], route)
    return route_table("", entries)


def _without_match(written: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in written.items() if key != "match"}


def _entries(config: Config, wanted: RouteConfig, route: Route) -> Iterator[Any]:
    for door in find_doors(config, wanted):
        taken = match(route, door.shows, query=True, tls=door.certificate)
        if door.shut:
            yield shut(door.name, taken, f"shut: {door.shut}")
            continue
        limit = max(1, route.intake.max_bytes)
        filters = {
            **blocked(config, wanted),
            **door.filters,
            **route_limits(route, door.caller, wanted.cost),
            BODIES: typed("filters.http.buffer.v3.BufferPerRoute", buffer={"max_request_bytes": limit}),
        }
        yield entry(
            door.name,
            taken,
            action(config, route),
            limit=limit,
            request_headers_to_add=_own_headers(config, route),
            request_headers_to_remove=KEPT_BACK,
            response_headers_to_remove=sorted(
                {name.lower() for name in wanted.response.drop_headers if "*" not in name}
            ),
            typed_per_filter_config=filters,
        )


def _own_headers(config: Config, route: Route) -> list[Any]:
    """Return the fields that an upstream is sent, their values taken from Envoy's environment."""
    return [
        {
            "header": {"key": name, "value": f"%ENVIRONMENT({variable(route.upstream.name, name)})%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for name in sorted(config.upstreams[route.upstream.name].headers, key=str.lower)
    ]


def variable(upstream: str, field: str) -> str:
    """Return the name of the environment's variable with what an upstream is sent in a field."""
    return f"UPSTREAM_{slug(upstream)}_{slug(field)}".upper()


def native_filters(config: Config, policy: Policy, folder: str) -> list[Any]:
    """Return the filters; each is at work where a route says so."""
    filters: list[Any] = [_off(BLOCKS, "rbac.v3.RBAC")]
    issuers = _issuers(config)
    if issuers:
        providers = {name: _provider(name, settings) for name, settings in issuers.items()}
        rules = {name: {"provider_name": name} for name in issuers}
        filters.append(_off(JWT, "jwt_authn.v3.JwtAuthentication", providers=providers, requirement_map=rules))
    filters += [Noted(_keys(name, folder), _KEYS_WHY) for name in _key_filters(config)]
    filters.append(_off(CALLERS, "rbac.v3.RBAC"))
    if any(is_counted(limit) for route in policy.routes for limit in route.limits):
        filters.append(_off(LIMITS, "local_ratelimit.v3.LocalRateLimit", stat_prefix="limits"))
    filters.append(_off(BODIES, "buffer.v3.Buffer", max_request_bytes=1))
    return [*filters, ROUTER]


def _off(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "disabled": True, "typed_config": typed(f"filters.http.{kind}", **fields)}


_KEYS_WHY = "Keys are secret, so they are in a file of their own, which is watched.  Without it nobody is let in."


def _keys(name: str, folder: str) -> dict[str, Any]:
    api_key = "filters.http.api_key_auth.v3.ApiKeyAuth"
    return {
        "name": name,
        "disabled": True,
        "config_discovery": {
            "config_source": {"path_config_source": {"path": f"{folder}/{name}.yaml"}, "resource_api_version": "V3"},
            "default_config": typed(api_key, key_sources=[{"header": "x-api-key"}]),
            "type_urls": [ROOT + api_key],
        },
    }


def _key_filters(config: Config) -> list[str]:
    found: dict[str, None] = {}
    for route in config.routes:
        for name in route.auth.any_of:
            if isinstance(config.authenticators[name], ApiKeyConfig) and not route.auth.bound:
                found[keys_filter(name, route.auth.scopes)] = None
    return list(found)


def key_files(config: Config) -> dict[str, str]:
    """Return a file for each set of keys, without a key in it."""
    return {f"{name}.yaml.example": _key_file(name) for name in _key_filters(config)}


def _key_file(name: str) -> str:
    api_key = typed(
        "filters.http.api_key_auth.v3.ApiKeyAuth",
        credentials=Noted([], "one for each caller, such as {key: ..., client: alice}"),
        key_sources=[{"header": "x-api-key"}, {"header": "authorization"}],
        forwarding=FORWARDED,
    )
    resource = {"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": name}
    head = (
        f"The API keys that hold on the routes of {name}.  Deploy it filled in, without .example; never commit it so."
    )
    return write_yaml({"resources": [{**resource, "typed_config": api_key}]}, head)


def _issuers(config: Config) -> dict[str, OAuth2Config]:
    return {
        name: settings
        for name, settings in config.authenticators.items()
        if isinstance(settings, OAuth2Config) and settings.introspection is None
    }


def _provider(name: str, settings: OAuth2Config) -> dict[str, Any]:
    keys = settings.jwks_uri or settings.issuer.rstrip("/") + "/.well-known/jwks.json"
    source: Any = {
        "http_uri": {"uri": keys, "cluster": f"keys.{name}", "timeout": JWKS_TIMEOUT},
        "cache_duration": JWKS_LIFE,
    }
    if settings.jwks_uri is None:
        source = Noted(source, "a guess: Envoy does not discover it; give the authenticator a jwks_uri")
    return {
        "issuer": settings.issuer,
        "audiences": [settings.audience],
        "remote_jwks": source,
        "require_expiration": True,
        "clock_skew_seconds": int(settings.leeway_s),
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "payload_in_metadata": name,
        "claim_to_headers": [{"header_name": CALLER, "claim_name": settings.subject_claim}],
    }


def key_set_clusters(config: Config) -> list[Any]:
    """Return a cluster for each issuer's keys."""
    return [
        cluster(f"keys.{name}", read_url(name, settings.jwks_uri or settings.issuer))
        for name, settings in _issuers(config).items()
    ]


def native_losses(config: Config, policy: Policy, found: Sequence[Found]) -> dict[Found, Answer]:
    """Return what becomes of single places otherwise than of their features."""
    places = left_out(config, policy, is_counted)
    return answer_at(found, places, lambda one: NATIVE[one.feature], Answer(Kind.LOST, "Envoy leaves it out", ASK))
