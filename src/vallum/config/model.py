"""The structs of the config file.  Unknown keys are errors; every key has a default that is safe, or none.

The JSON Schema of the file and the docs page of all keys are generated from here: a key's comment line is its doc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta, Struct

from vallum.authenticators.anonymous import AnonymousConfig
from vallum.authenticators.api_key import ApiKeyConfig
from vallum.authenticators.minted import MintedConfig
from vallum.authenticators.mtls import MtlsConfig
from vallum.authenticators.oauth2 import OAuth2Config
from vallum.checks.prompt_injection import PromptInjectionConfig
from vallum.checks.sanitise import SanitiseConfig
from vallum.checks.sqli import SqliConfig
from vallum.core.policy import Mode, OnError, OnOverrun
from vallum.core.quota import OnStoreFailure, Per
from vallum.provers.dpop import DpopConfig
from vallum.responders.leak_reports import LeakReportsConfig

if TYPE_CHECKING:
    AuthenticatorConfig = Any
    CheckConfig = Any
else:
    AuthenticatorConfig = Union[AnonymousConfig, ApiKeyConfig, MintedConfig, MtlsConfig, OAuth2Config]  # noqa: UP007
    CheckConfig = Union[PromptInjectionConfig, SqliConfig]  # noqa: UP007  the list grows

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Preset = Literal[
    "json", "openai.chat", "openai.completions", "openai.embeddings", "openai.models", "openai.responses", "raw"
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


Scope = Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]  # RFC 6749 3.3


class Base(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all structs share: frozen, strict, named."""


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


class RecordsConfig(Base, frozen=True):
    """Where the records of exchanges go, which `vallum why` reads."""

    path: Annotated[str | None, Meta(description='folder; beside the registry by default; "-" for standard output')] = (
        None
    )
    max_file_bytes: Annotated[Positive, Meta(description="size at which a new file begins")] = 16_777_216
    max_files: Annotated[Positive, Meta(description="files kept; the oldest are deleted")] = 16


PriorityName = Literal["high", "normal", "low"]


class ConcurrencyConfig(Base, frozen=True):
    """How many requests an upstream is given at once; the others wait, and are shed when they waited too long."""

    max: Annotated[Positive, Meta(description="requests at once, at most")]
    min: Annotated[Positive, Meta(description="requests at once, at least, however late it answers")] = 1
    target_ttfb_s: (
        Annotated[float, Meta(gt=0, description="time to the first byte over which it is given less; absent: never")]
        | None
    ) = None
    signal: Annotated[
        Literal["answers", "streams"], Meta(description="answers whose first byte is timed: all, or event streams only")
    ] = "answers"
    room: Annotated[int, Meta(ge=0, le=100_000, description="requests that may wait")] = 100
    wait_s: Annotated[Seconds, Meta(description="longest wait")] = 1.0
    mode: Annotated[Mode, Meta(description="shadow: record what would be shed")] = Mode.ENFORCE

    def __post_init__(self) -> None:
        """Hold that the bounds leave something between them, and that there is a use for them."""
        if self.min > self.max:
            raise ValueError("min is over max")
        if self.target_ttfb_s is None and (self.signal == "streams" or self.min != 1):
            raise ValueError("min and signal are for a limit that adapts: give target_ttfb_s")


class PriceConfig(Base, frozen=True):
    """What calls cost, in a currency of your own: what quotas of `unit: money` count."""

    per_call: Annotated[float, Meta(ge=0, le=1e6, description="for each call that the upstream answers")] = 0.0
    per_million_input_tokens: Annotated[float, Meta(ge=0, le=1e6, description="for what goes into the model")] = 0.0
    per_million_output_tokens: Annotated[float, Meta(ge=0, le=1e6, description="for what comes out of it")] = 0.0


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


class BlockConfig(Base, frozen=True):
    """The last step: a caller whose factor has fallen this far is refused altogether for a time."""

    at: Annotated[float, Meta(ge=0.1, le=0.5, description="factor at which it begins")] = 0.2
    for_s: Annotated[float, Meta(gt=0, le=86_400, description="how long")] = 600.0


class ThrottleConfig(Base, frozen=True):
    """What becomes of the limits of callers who do what they should not.  In shadow unless it says otherwise."""

    mode: Annotated[Mode, Meta(description="shadow: record by how much limits would be lowered")] = Mode.SHADOW
    grace: Annotated[
        float, Meta(ge=1, le=1000, description="refused requests, more than usual for the caller, that change nothing")
    ] = 3.0
    half_life_s: Annotated[float, Meta(ge=1, le=86_400, description="time in which half is forgiven")] = 600.0
    floor: Annotated[float, Meta(ge=0.1, le=0.9, description="lowest factor")] = 0.1
    block: BlockConfig | None = None


class PrioritiesConfig(Base, frozen=True):
    """Whom an upstream with `concurrency` serves first, whatever the route's priority.  A subject's comes first."""

    subjects: Annotated[dict[str, PriorityName], Meta(description="high, normal or low by subject")] = {}
    tenants: Annotated[dict[str, PriorityName], Meta(description="high, normal or low by tenant")] = {}


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


class QuotaConfig(Base, frozen=True):
    """A quota in mapping form."""

    limit: Annotated[
        str | int,
        Meta(description="N per [K] second|minute|hour|day|month, or N/minute; a number alone of what is concurrent"),
    ]
    per: Annotated[Per, Meta(description="whose bucket it is")] = Per.PRINCIPAL
    unit: Annotated[
        str,
        Meta(
            pattern="^[a-z][a-z0-9_-]{0,19}$",
            description="requests, tokens, bytes, money, concurrent, or one that the upstream counts",
        ),
    ] = "requests"
    strategy: Annotated[
        Literal["strict", "smooth", "calendar"],
        Meta(
            description="strict: never more than N in any span of the window's length; smooth: a steady rate with a "
            "burst; calendar: windows that begin with the minute, the day, the month in UTC"
        ),
    ] = "strict"
    burst_credit: Annotated[
        int, Meta(ge=0, description="unused quota that is kept, at most, and may be spent above the limit")
    ] = 0
    burst: Annotated[int | float | None, Meta(description="of smooth: what may come at once; a tenth by default")] = (
        None
    )
    lease_s: Annotated[
        Seconds | None, Meta(description="of concurrent: how long one counts that ended unseen; 60 by default")
    ] = None
    on_store_failure: Annotated[
        OnStoreFailure,
        Meta(description="while the shared store is down. local: this node's share of the limit; deny; allow"),
    ] = OnStoreFailure.LOCAL
    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    name: Annotated[str, Meta(description="what the RateLimit fields call it", pattern="^[a-z0-9-]{1,40}$")] | None = (
        None
    )


class RequestConfig(Base, frozen=True):
    """What may come in."""

    max_bytes: Annotated[Positive, Meta(description="size of a body")] = 1_048_576
    max_depth: Annotated[Positive, Meta(le=128, description="nesting of a JSON body")] = 32
    schema: Annotated[str | None, Meta(description="file with a JSON Schema, beside the policy")] = None
    deny_fields: Annotated[list[str], Meta(description="members that a JSON body may not have at its top")] = []
    query: Annotated[
        list[str] | Literal["any"], Meta(description="query parameters that may appear, or any; none by default")
    ] = []
    headers: Annotated[list[str], Meta(description="header fields that reach the upstream besides the usual")] = []
    sanitize: SanitiseConfig | None = None
    max_output_tokens: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000_000,
                description="most tokens of one answer, which a request that names no bound is given too",
            ),
        ]
        | None
    ) = None


class ConfidenceConfig(Base, frozen=True):
    """How a confidence is made coarser."""

    field: Annotated[str, Meta(description="path of the number, such as confidence or predictions.*.score")]
    bands: Annotated[dict[str, float] | None, Meta(description="a label for each lower bound")] = None
    round: Annotated[int, Meta(ge=0, le=15, description="decimal places to keep")] | None = None

    def __post_init__(self) -> None:
        """Hold that one of the two is given."""
        if (self.bands is None) == (self.round is None):
            raise ValueError("give either bands or round")


class ResponseConfig(Base, frozen=True):
    """What may go out."""

    fields: Annotated[list[str] | None, Meta(description="members to keep; all others are dropped")] = None
    drop_fields: Annotated[list[str], Meta(description="members to remove, by name or dotted path")] = []
    confidence: ConfidenceConfig | None = None
    headers: Annotated[list[str], Meta(description="header fields that may leave besides the usual")] = []
    drop_headers: Annotated[list[str], Meta(description="header fields that may not; `x-*` for all that begin so")] = []
    max_bytes: Annotated[Positive, Meta(description="size of an answer that must be read whole")] = 8_388_608
    reserve_bytes: Annotated[
        int, Meta(ge=0, description="taken of a quota in bytes for an answer before its size is known")
    ] = 65_536
    on_overrun: Annotated[
        OnOverrun, Meta(description="cut: end a stream that is over its reservation where no more tokens are left")
    ] = OnOverrun.ALLOW
    quota_headers: Annotated[
        Literal["show", "hide"], Meta(description="hide: say nothing of how the quotas stand but Retry-After")
    ] = "show"


class RouteConfig(Base, frozen=True):
    """Some requests, and all that holds for them."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,64}$", description="what records and metrics call it")]
    match: MatchConfig
    upstream: Annotated[str, Meta(description="name of an upstream")]
    auth: AuthConfig
    preset: Annotated[
        Preset,
        Meta(description="request format: media type and the error shape its SDK reads; raw passes bodies unread"),
    ] = "json"
    quotas: Annotated[list[str | QuotaConfig], Meta(description="all of them hold")] = []
    cost: Annotated[Positive, Meta(le=1_000_000, description="requests that one call counts as")] = 1
    price: Annotated[PriceConfig | None, Meta(description="of a call; the upstream's by default")] = None
    request: RequestConfig = RequestConfig()
    checks: Annotated[list[CheckConfig], Meta(description="what the content is searched for")] = []
    response: ResponseConfig = ResponseConfig()
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
