"""Who is let in where Envoy does without Vallum: a door for each kind of credential that a route takes.

Rule: what Envoy cannot check does not pass.  A credential that it does not know, a scope that it cannot see and a proof
      that it cannot verify shut the door; the file says so there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.authenticators.anonymous import AnonymousConfig
from vallum.authenticators.api_key import ApiKeyConfig
from vallum.authenticators.mtls import SEPARATORS, MtlsConfig
from vallum.authenticators.oauth2 import OAuth2Config
from vallum.exporters.address import slug
from vallum.exporters.envoy.listener import CALLER
from vallum.exporters.envoy.types import typed
from vallum.exporters.paths import literal

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig

JWT, CALLERS = "vallum.tokens", "vallum.callers"
SAN = {"san_dns": "DNS", "san_uri": "URI", "san_email": "EMAIL"}
FORWARDED = {"header": CALLER, "hide_credentials": True}  # the name of the client, and never its key
CERTIFICATE = "x-forwarded-client-cert"


class Door(NamedTuple):
    """One way into a route: what its requests show, and the filters that look at it."""

    name: str
    shows: tuple[dict[str, Any], ...]  # matchers of header fields
    filters: dict[str, Any]
    caller: str | None  # field that names the caller, for its limits
    certificate: bool = False  # of a client, verified in the handshake
    shut: str = ""  # why nobody gets in


def find_doors(config: Config, route: RouteConfig) -> list[Door]:
    """Return the doors of a route, in the order in which its authenticators are asked."""
    doors: list[Door] = []
    for name in route.auth.any_of:
        last = name == route.auth.any_of[-1]
        for door in _open(config, route, name):
            doors.append(door._replace(shows=(), certificate=False) if last else door)
            if last:
                break  # whatever comes is refused or let in there
    return doors


def keys_filter(name: str, scopes: list[str]) -> str:
    """Return the name of the filter that knows the keys of an authenticator that have these scopes."""
    return "vallum." + ".".join(slug(part) for part in (name, *sorted(scopes)))


def _open(config: Config, route: RouteConfig, name: str) -> list[Door]:
    settings = config.authenticators[name]
    bare = Door(f"{route.name}.{name}", (), {}, None)
    if isinstance(settings, AnonymousConfig):
        return [bare]
    if isinstance(settings, ApiKeyConfig):
        asked = keys_filter(name, route.auth.scopes)
        known = bare._replace(
            filters={asked: typed("filters.http.api_key_auth.v3.ApiKeyAuthPerRoute", forwarding=FORWARDED)},
            caller=CALLER,
            shut=_proof(route),
        )
        bearer = _field("authorization", {"safe_regex": {"regex": f"(?i:bearer) +{literal(settings.prefix)}.*"}})
        own = {"name": "x-api-key", "present_match": True}
        return [known._replace(shows=(own,)), known._replace(name=f"{bare.name}.bearer", shows=(bearer,))]
    if isinstance(settings, MtlsConfig):
        return [_certificate_door(route, settings, bare)]
    bearer = _field("authorization", {"safe_regex": {"regex": "(?i:bearer) +.*"}})
    if isinstance(settings, OAuth2Config) and settings.introspection is None:
        filters = {
            JWT: typed("filters.http.jwt_authn.v3.PerRouteConfig", requirement_name=name),
            **({CALLERS: _rbac(_scoped(name, settings, route.auth.scopes))} if route.auth.scopes else {}),
        }
        return [bare._replace(shows=(bearer,), filters=filters, caller=CALLER, shut=_proof(route))]
    return [bare._replace(shows=(bearer,), shut="Envoy cannot look at such tokens: it takes Vallum")]


def _proof(route: RouteConfig) -> str:
    return "Envoy cannot see whether a credential is its holder's: it takes Vallum" if route.auth.bound else ""


def _certificate_door(route: RouteConfig, settings: MtlsConfig, bare: Door) -> Door:
    missing = sorted(set(route.auth.scopes) - set(settings.scopes))
    names = [_name_expression(settings, pattern) for pattern in settings.allow] or [_name_expression(settings, None)]
    principals = [
        {
            "custom": {
                "name": "envoy.rbac.principals.mtls_authenticated",
                "typed_config": typed(
                    "rbac.principals.mtls_authenticated.v3.Config",
                    san_matcher={"san_type": SAN[settings.subject], "matcher": {"safe_regex": {"regex": name}}},
                ),
            }
        }
        for name in names
    ]
    return bare._replace(
        filters={CALLERS: _rbac(principals)},
        caller=CERTIFICATE,
        certificate=True,
        shut=f"callers with certificates do not have the scope {missing[0]}" if missing else "",
    )


def _name_expression(settings: MtlsConfig, pattern: str | None) -> str:
    part = f"[^{SEPARATORS[settings.subject]}]+"
    domain = "" if settings.trust_domain is None else f"spiffe://{literal(settings.trust_domain)}"
    if pattern is None:
        return f"{domain}/.+" if domain else ".+"
    return part.join(literal(piece) for piece in pattern.split("*"))


def _scoped(name: str, settings: OAuth2Config, scopes: list[str]) -> list[Any]:
    claims = [settings.scope_claim] if settings.scope_claim is not None else ["scope", "scp"]
    return [{"and_ids": {"ids": [_scope(name, claims, scope) for scope in sorted(scopes)]}}]


def _scope(name: str, claims: list[str], scope: str) -> dict[str, Any]:
    words = {"string_match": {"safe_regex": {"regex": f"(?:.* )?{literal(scope)}(?: .*)?"}}}
    members = {"list_match": {"one_of": {"string_match": {"exact": scope}}}}
    ids = [
        {
            "metadata": {
                "filter": "envoy.filters.http.jwt_authn",
                "path": [{"key": name}, {"key": claim}],
                "value": value,
            }
        }
        for claim in claims
        for value in (words, members)
    ]
    return {"or_ids": {"ids": ids}}


def _rbac(principals: list[Any]) -> dict[str, Any]:
    policy = {"permissions": [{"any": True}], "principals": principals}
    return typed(
        "filters.http.rbac.v3.RBACPerRoute", rbac={"rules": {"action": "ALLOW", "policies": {"callers": policy}}}
    )


def _field(name: str, matcher: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "string_match": matcher}
