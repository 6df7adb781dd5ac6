"""Who may call, as Kong's authentication plugins and ACL groups.

Rule: a way in that Kong cannot check is left out, and a route that has no other is closed.  No route is open to anybody
      because its door could not be exported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.authenticators.anonymous import AnonymousConfig
from vallum.authenticators.api_key import ApiKeyConfig
from vallum.authenticators.mtls import MtlsConfig
from vallum.authenticators.oauth2 import OAuth2Config
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from vallum.config.model import Config, RouteConfig

NOBODY, ANYBODY = "nobody", "anybody"  # consumers of requests without a credential: one is refused, one is not
KEY_AUTH: dict[str, Any] = {
    "key_names": ["x-api-key"],
    "key_in_header": True,
    "key_in_query": False,
    "key_in_body": False,
    "hide_credentials": True,
    "run_on_preflight": True,
}
JWT: dict[str, Any] = {
    "key_claim_name": "iss",
    "header_names": ["authorization"],
    "uri_param_names": [],
    "cookie_names": [],
    "claims_to_verify": ["exp", "nbf"],
    "run_on_preflight": True,
}
CLOSED = {
    "name": "request-termination",
    "config": {"status_code": 503, "message": "This route takes credentials that are not checked here"},
}
MTLS_NOTE = "Kong Enterprise, for client certificates: mtls-auth with the authority's id in config.ca_certificates"
OIDC_NOTE = "Kong Enterprise: openid-connect checks audience and the issuer's own keys, and asks it about tokens"


class Access(NamedTuple):
    """The plugins that let callers in, and the consumer of requests without a credential, if there is one."""

    plugins: list[Any]
    fallback: str | None = None


def admit(route: RouteConfig, config: Config) -> Access:
    """Return how callers are let into a route."""
    settings = [config.authenticators[name] for name in route.auth.any_of]
    plugins: dict[str, Any] = {}
    notes: list[str] = []
    is_open = False
    for one in settings:
        if isinstance(one, ApiKeyConfig):
            plugins["key-auth"] = KEY_AUTH
        elif isinstance(one, AnonymousConfig):
            is_open = True
        elif isinstance(one, OAuth2Config):
            notes.append(OIDC_NOTE)
            if one.introspection is None:
                plugins["jwt"] = JWT
        elif isinstance(one, MtlsConfig):
            notes.append(MTLS_NOTE)
    note = "\n".join(dict.fromkeys(notes))
    if not plugins:
        return Access([] if is_open else [Noted(CLOSED, note)])
    fallback = ANYBODY if is_open else NOBODY if len(plugins) > 1 else None
    written = [_plugin(name, settings, fallback) for name, settings in plugins.items()]
    if route.auth.scopes:
        # Any one group of `allow` is enough for Kong, so all scopes together are one group.
        group = "+".join(sorted(route.auth.scopes))
        written.append({"name": "acl", "config": {"allow": [group], "hide_groups_header": True}})
    return Access([Noted(written[0], note), *written[1:]] if notes else written, fallback)


def _plugin(name: str, settings: dict[str, Any], fallback: str | None) -> dict[str, Any]:
    return {"name": name, "config": settings if fallback is None else {**settings, "anonymous": fallback}}


def write_consumers(fallbacks: set[str]) -> list[Any]:
    """Return the consumers of requests without a credential."""
    consumers: list[Any] = []
    if NOBODY in fallbacks:
        refusal = {"name": "request-termination", "config": {"status_code": 401, "message": "Unauthorized"}}
        note = "Requests in which no credential was found: refused."
        consumers.append(Noted({"username": NOBODY, "plugins": [refusal]}, note))
    if ANYBODY in fallbacks:
        consumers.append(Noted({"username": ANYBODY}, "Requests in which no credential was found: let in."))
    return consumers
