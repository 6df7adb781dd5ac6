"""The structs of the config file.  Unknown keys are errors; every key has a default that is safe, or none.

The JSON Schema of the file and the docs page of all keys are generated from here: a key's comment line is its doc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vallum.authenticators.anonymous import AnonymousConfig
from vallum.authenticators.api_key import ApiKeyConfig
from vallum.authenticators.minted import MintedConfig
from vallum.authenticators.mtls import MtlsConfig
from vallum.authenticators.oauth2 import OAuth2Config
from vallum.checks.modsecurity import ModsecurityConfig
from vallum.checks.prompt_injection import PromptInjectionConfig
from vallum.checks.sqli import SqliConfig
from vallum.checks.xss import XssConfig
from vallum.config.model.base import Base, Positive, Seconds
from vallum.config.model.doors import AdminConfig, ClientCertificateConfig, ListenConfig, RecordsConfig
from vallum.config.model.extraction import ExtractionConfig
from vallum.config.model.limits import (
    ConcurrencyConfig,
    PriceConfig,
    PrioritiesConfig,
    PriorityName,
    QuotaConfig,
    ThrottleConfig,
)
from vallum.config.model.request import RequestConfig
from vallum.config.model.response import ResponseConfig
from vallum.config.model.web_acl import WebAclConfig
from vallum.core.policy import Mode, OnError
from vallum.presets import PRESETS
from vallum.provers.dpop import DpopConfig
from vallum.responders.failures import FailuresConfig
from vallum.responders.leak_reports import LeakReportsConfig

if TYPE_CHECKING:
    AuthenticatorConfig = Any
    CheckConfig = Any
    PresetName = str
else:
    AuthenticatorConfig = AnonymousConfig | ApiKeyConfig | MintedConfig | MtlsConfig | OAuth2Config
    CheckConfig = ModsecurityConfig | PromptInjectionConfig | SqliConfig | XssConfig
    PresetName = Literal[tuple(PRESETS)]

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


Scope = Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]  # RFC 6749 3.3


class UpstreamConfig(Base, frozen=True):
    """A protected service."""

    url: Annotated[str, Meta(description="http://host:port or https://host:port, with an optional base path")]
    timeout_s: Annotated[Seconds, Meta(description="longest silence before an answer, and within one")] = 30.0
    headers: Annotated[dict[str, str], Meta(description="fields sent with every request, such as its own API key")] = (
        msgspec.field(default_factory=dict)
    )
    price: Annotated[PriceConfig | None, Meta(description="of calls on routes that have none of their own")] = None
    concurrency: Annotated[
        ConcurrencyConfig | None, Meta(description="how much it is given at once; absent: whatever comes")
    ] = None


class MatchConfig(Base, frozen=True):
    """Which requests a route takes."""

    methods: Annotated[list[Method], Meta(min_length=1, description="methods, in capitals")]
    path: Annotated[str, Meta(description="path; `*` or `{name}` for one segment, a last `**` for any number")]
    exclude: Annotated[list[str], Meta(description="paths that the route does not take after all")] = []


class AuthConfig(Base, frozen=True):
    """Who may call."""

    any_of: Annotated[list[str], Meta(min_length=1, description="names of authenticators, asked in this order")]
    scopes: Annotated[list[Scope], Meta(description="scopes that the principal must have, all of them")] = []
    bound: (
        Annotated[
            Literal["required"],
            Meta(description="required: only credentials bound to a client certificate (RFC 8705) or key (RFC 9449)"),
        ]
        | None
    ) = None


class RouteConfig(Base, frozen=True):
    """Some requests, and all that holds for them."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$", description="what records and metrics call it")]
    match: MatchConfig
    upstream: Annotated[str, Meta(description="name of an upstream")]
    auth: AuthConfig
    preset: Annotated[
        PresetName,
        Meta(description="format of the API: what is read, taken and withheld; raw passes bodies unread"),
    ] = "json"
    preset_version: (
        Annotated[int, Meta(ge=1, description="of the preset that the policy was written for; another is an error")]
        | None
    ) = None
    quotas: Annotated[list[str | QuotaConfig], Meta(description="all of them hold")] = []
    cost: Annotated[Positive, Meta(le=1_000_000, description="requests that one call counts as")] = 1
    price: Annotated[PriceConfig | None, Meta(description="of a call; the upstream's by default")] = None
    request: RequestConfig = RequestConfig()
    web_acl: Annotated[str | None, Meta(description="name of a web ACL, whose rules come before all else")] = None
    checks: Annotated[list[CheckConfig], Meta(description="what the content is searched for")] = []
    response: ResponseConfig = ResponseConfig()
    extraction: Annotated[
        ExtractionConfig | None, Meta(description="what is done about copies of the model; absent: nothing")
    ] = None
    mode: Annotated[Mode, Meta(description="shadow: decide and record, refuse nothing")] = Mode.ENFORCE
    on_error: Annotated[OnError, Meta(description="what to do when a control fails")] = OnError.DENY
    priority: Annotated[PriorityName, Meta(description="whose requests an upstream without room serves first")] = (
        "normal"
    )


Share = Annotated[float, Meta(gt=0, le=1)]


class TokensConfig(Base, frozen=True):
    """The gateway's own token endpoint: a key becomes a token of minutes (RFC 8693)."""

    issuer: Annotated[str, Meta(description="URL that tokens name as their issuer: the gateway's, as callers see it")]
    any_of: Annotated[
        list[str], Meta(description="authenticators of type api_key whose keys are exchanged; all by default")
    ] = []
    path: Annotated[str, Meta(description="of the token endpoint")] = "/oauth/token"
    key: Annotated[
        str | None,
        Meta(description="EC P-256 key in PEM, as `file:...`, the same on every node; else made beside the registry"),
    ] = None
    lifetime_s: Annotated[int, Meta(ge=10, le=3600, description="life of a token")] = 300
    audience: Annotated[str | None, Meta(description="what the gateway calls itself; the issuer by default")] = None
    audiences: Annotated[list[str], Meta(description="other services that tokens may be minted for")] = []
    quotas: Annotated[list[str], Meta(description="of the token endpoint, per caller")] = msgspec.field(
        default_factory=lambda: ["60 per minute"]
    )


class TheftConfig(Base, frozen=True):
    """What is done when a credential is used in a way that it never was: scores from 0 to 1."""

    mode: Annotated[Mode, Meta(description="enforce: tighten and ask for proof; shadow: record what would be")] = (
        Mode.SHADOW
    )
    tighten_at: Annotated[Share, Meta(description="score from which limits are tightened")] = 0.5
    tighten_to: Annotated[Share, Meta(description="the share of its limits that a suspect keeps")] = 0.5
    alert_at: Annotated[Share, Meta(description="score from which it is logged and counted, once an hour")] = 0.7
    step_up_at: Annotated[Share, Meta(description="score from which an unbound credential must be a bound one")] = 0.9
    warm_up_s: Annotated[Seconds, Meta(description="time for which a credential must be known first")] = 86_400.0
    warm_up_requests: Annotated[Positive, Meta(description="requests it must have made first")] = 50


class Config(Base, frozen=True):
    """A policy file."""

    version: Annotated[Literal[1], Meta(description="of the file format")]
    upstreams: Annotated[dict[str, UpstreamConfig], Meta(min_length=1, description="protected services by name")]
    authenticators: Annotated[dict[str, AuthenticatorConfig], Meta(description="ways to say who is calling, by name")]
    routes: Annotated[list[RouteConfig], Meta(min_length=1, description="the first that matches takes a request")]
    web_acls: Annotated[dict[str, WebAclConfig], Meta(description="rules on requests in AWS WAF's words, by name")] = {}
    listen: ListenConfig = ListenConfig()
    admin: AdminConfig | None = None
    counters: (
        Annotated[
            str,
            Meta(
                description="where quotas are counted: memory://, embedded:// for the workers of one host, or the "
                "address of a Redis or Valkey server, redis+sentinel:// or redis+cluster://; "
                "memory:// by default, embedded:// for several workers",
            ),
        ]
        | None
    ) = None
    registry: Annotated[
        str,
        Meta(
            description="where keys are: sqlite:///file, or postgresql://user@host/database for several nodes",
            pattern="^(sqlite:///|postgresql://)",
        ),
    ] = "sqlite:///vallum.db"
    leak_reports: LeakReportsConfig | None = None
    failures: FailuresConfig | None = None
    records: RecordsConfig = RecordsConfig()
    dpop: DpopConfig = DpopConfig()
    tokens: TokensConfig | None = None
    theft: TheftConfig | None = None
    throttle: ThrottleConfig = ThrottleConfig()
    priorities: PrioritiesConfig = PrioritiesConfig()
    workers: Annotated[int, Meta(ge=1, le=64, description="processes that serve; in-memory counters allow one")] = 1
    trusted_proxies: Annotated[list[str], Meta(description="addresses whose X-Forwarded-For is believed, as CIDR")] = []
    client_certificate: Annotated[
        ClientCertificateConfig | None, Meta(description="certificates of clients that a proxy passes on")
    ] = None
