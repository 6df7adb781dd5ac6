"""Which key of the policy file says which feature: a table by place, from the top of the file.

A place is written as in `routes[].quotas[].per`: `[]` for an item, `.*` for a name of one's own, `<sqli>` for the kind
of a tagged section.  Statements hold statements, so their keys begin anew at `statement`.

Rule: every key is claimed, by itself or by a section in WHOLE, or stands in SILENT with the reason why it says nothing
      about exchanges.  A test walks the structs: a key that is new and unclaimed fails it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.config.quotas import parse_amount
from vallum.core.quota import Per
from vallum.exporters.features import Feature
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vallum.config.model.limits import QuotaConfig
    from vallum.config.model.web_acl import FieldToMatch


class Claim(NamedTuple):
    """What a key says: features, or what reads them from its value."""

    says: Feature | Callable[[Any], Iterable[Feature]]
    always: bool = False  # also where the key has its default: the default says something too
    default: bool = False  # whatever the key has: Vallum does it by itself

    def read(self, value: Any) -> Iterable[Feature]:
        """Return what `value` says."""
        return (self.says,) if isinstance(self.says, Feature) else self.says(value)


def _of_upstream(url: str) -> Iterable[Feature]:
    return (Feature.UPSTREAM_URL, Feature.UPSTREAM_TLS) if url.startswith("https:") else (Feature.UPSTREAM_URL,)


def _of_path(path: str) -> Iterable[Feature]:
    segments = path.split("/")
    if "*" in segments:
        yield Feature.PATH_SEGMENT
    if any(segment.startswith("{") for segment in segments):
        yield Feature.PATH_NAME
    yield Feature.PATH_REST if segments[-1] == "**" else Feature.PATH


def _of_preset(name: str) -> Iterable[Feature]:
    preset = PRESETS[name]
    yield Feature.PRESET_RAW if not preset.request.media_types else Feature.PRESET_JSON
    if preset.request.schema is not None:
        yield Feature.PRESET_REQUEST
    if preset.answer.withheld or preset.answer.is_closed:
        yield Feature.PRESET_ANSWER
    if preset.meter is not None:
        yield from (Feature.PRESET_STREAM, Feature.PRESET_METER)


UNITS = {
    "requests": Feature.QUOTA_REQUESTS,
    "tokens": Feature.QUOTA_TOKENS,
    "bytes": Feature.QUOTA_BYTES,
    "money": Feature.QUOTA_MONEY,
    "concurrent": Feature.QUOTA_CONCURRENT,
}
PARTITIONS = {
    Per.PRINCIPAL: Feature.PER_PRINCIPAL,
    Per.KEY: Feature.PER_KEY,
    Per.TENANT: Feature.PER_TENANT,
    Per.IP: Feature.PER_IP,
    Per.ROUTE: Feature.PER_ROUTE,
    Per.GLOBAL: Feature.PER_GLOBAL,
}
STRATEGIES = {"strict": Feature.STRICT, "smooth": Feature.SMOOTH, "calendar": Feature.CALENDAR}
WINDOWS = {
    "second": Feature.WINDOW_SECOND,
    "minute": Feature.WINDOW_MINUTE,
    "hour": Feature.WINDOW_HOUR,
    "day": Feature.WINDOW_DAY,
    "month": Feature.WINDOW_MONTH,
}


def _of_quota(quota: QuotaConfig) -> Iterable[Feature]:
    """Say what a quota counts, whose it is, in which window and how; what is concurrent has no window."""
    yield UNITS.get(quota.unit, Feature.QUOTA_NAMED)
    yield PARTITIONS[quota.per]
    if quota.unit != "concurrent":
        yield WINDOWS.get(parse_amount(str(quota.limit), money=True).window, Feature.WINDOW_SPAN)
        yield STRATEGIES[quota.strategy]


def _of_quotas(quotas: list[Any]) -> Iterable[Feature]:
    return (Feature.QUOTA_SEVERAL,) if len(quotas) > 1 else ()


def _of_counters(counters: str | None) -> Iterable[Feature]:
    return () if counters is None or counters.startswith(("memory:", "embedded:")) else (Feature.COUNTERS,)


def _of_names(names: list[str]) -> Iterable[Feature]:
    return (Feature.AUTH_SEVERAL,) if len(names) > 1 else ()


def _of_field(field: str | FieldToMatch) -> Iterable[Feature]:
    if isinstance(field, str):
        return (Feature.WAF_PART,)
    if field.json_body is None:
        return (Feature.WAF_NAMED_PART,)
    return (Feature.WAF_JSON, Feature.WAF_JSON_EXCLUDE) if field.json_body.exclude else (Feature.WAF_JSON,)


STATEMENTS = {
    "sqli_match": Feature.WAF_SQLI,
    "xss_match": Feature.WAF_XSS,
    "byte_match": Feature.WAF_BYTE,
    "regex_match": Feature.WAF_REGEX,
    "size_constraint": Feature.WAF_SIZE,
}

# Whole sections: they say one thing, all of them together.
WHOLE: Mapping[str, Claim] = {
    "upstreams.*.price": Claim(Feature.PRICE),
    "upstreams.*.concurrency": Claim(Feature.CONCURRENCY),
    "authenticators.*<anonymous>": Claim(Feature.AUTH_ANONYMOUS, always=True),
    "authenticators.*<api_key>": Claim(Feature.AUTH_API_KEY, always=True),
    "authenticators.*<minted>": Claim(Feature.AUTH_MINTED, always=True),
    "authenticators.*<mtls>": Claim(Feature.AUTH_MTLS, always=True),
    "authenticators.*<oauth2>": Claim(Feature.AUTH_OAUTH2, always=True),
    "authenticators.*<oauth2>.introspection": Claim(Feature.AUTH_INTROSPECTION),
    "routes[].price": Claim(Feature.PRICE),
    "routes[].request.numbers": Claim(Feature.SHAPE),
    "routes[].request.images": Claim(Feature.IMAGES),
    "routes[].request.remote_urls": Claim(Feature.REMOTE_URLS),
    "routes[].request.sanitize": Claim(Feature.SANITIZE),
    "routes[].checks[]<modsecurity>": Claim(Feature.CHECK_MODSECURITY, always=True),
    "routes[].checks[]<prompt_injection>": Claim(Feature.CHECK_PROMPT_INJECTION, always=True),
    "routes[].checks[]<sqli>": Claim(Feature.CHECK_SQLI, always=True),
    "routes[].checks[]<xss>": Claim(Feature.CHECK_XSS, always=True),
    "routes[].response.confidence": Claim(Feature.CONFIDENCE),
    "routes[].response.precision": Claim(Feature.PRECISION),
    "routes[].response.errors": Claim(Feature.ERRORS, always=True),
    "routes[].response.leaks[]<canaries>": Claim(Feature.LEAK_CANARIES, always=True),
    "routes[].response.leaks[]<keys>": Claim(Feature.LEAK_KEYS, always=True),
    "routes[].response.leaks[]<personal>": Claim(Feature.LEAK_PERSONAL, always=True),
    "routes[].response.leaks[]<prompt>": Claim(Feature.LEAK_PROMPT, always=True),
    "routes[].response.padding": Claim(Feature.PADDING),
    "routes[].extraction": Claim(Feature.EXTRACTION),
    "listen.tls": Claim(Feature.LISTEN_TLS),
    "leak_reports": Claim(Feature.LEAK_REPORTS),
    "failures": Claim(Feature.FAILURES),
    "records": Claim(Feature.RECORDS, always=True),
    "dpop": Claim(Feature.DPOP),
    "tokens": Claim(Feature.TOKENS),
    "theft": Claim(Feature.THEFT),
    "throttle": Claim(Feature.THROTTLE),
    "priorities": Claim(Feature.PRIORITY),
    "client_certificate": Claim(Feature.CLIENT_CERTIFICATE),
    **{f"statement.{kind}": Claim(feature) for kind, feature in STATEMENTS.items()},
    "statement.ip_set": Claim(Feature.WAF_IP_SET),
    "statement.label_match": Claim(Feature.WAF_LABELS),
    "statement.rate_based": Claim(Feature.WAF_RATE_BASED),
}

# Single keys, those within whole sections included.
KEYS: Mapping[str, Claim] = {
    "routes": Claim(lambda _: (Feature.DEFAULT_DENY, Feature.REFUSALS), always=True, default=True),
    "upstreams.*.url": Claim(_of_upstream, always=True),
    "upstreams.*.timeout_s": Claim(Feature.UPSTREAM_TIMEOUT, always=True),
    "upstreams.*.headers": Claim(Feature.UPSTREAM_HEADERS),
    "upstreams.*.concurrency.target_ttfb_s": Claim(Feature.CONCURRENCY_ADAPTIVE),
    "routes[].match.methods": Claim(Feature.METHODS, always=True),
    "routes[].match.path": Claim(_of_path, always=True),
    "routes[].match.exclude": Claim(Feature.EXCLUDE),
    "routes[].auth.any_of": Claim(_of_names, always=True),
    "routes[].auth.scopes": Claim(Feature.SCOPES),
    "routes[].auth.bound": Claim(Feature.BOUND),
    "routes[].preset": Claim(_of_preset, always=True),
    "routes[].quotas": Claim(_of_quotas),
    "routes[].quotas[]": Claim(_of_quota, always=True),
    "routes[].quotas[].burst_credit": Claim(Feature.QUOTA_CREDIT),
    "routes[].quotas[].on_store_failure": Claim(Feature.QUOTA_OUTAGE),
    "routes[].cost": Claim(Feature.COST),
    "routes[].request.max_bytes": Claim(Feature.MAX_BYTES, always=True),
    "routes[].request.max_depth": Claim(Feature.SHAPE),
    "routes[].request.max_keys": Claim(Feature.SHAPE),
    "routes[].request.max_items": Claim(Feature.SHAPE),
    "routes[].request.max_chars": Claim(Feature.SHAPE),
    "routes[].request.schema": Claim(Feature.SCHEMA),
    "routes[].request.bounds": Claim(Feature.BOUNDS),
    "routes[].request.allow_fields": Claim(Feature.ALLOW_FIELDS),
    "routes[].request.deny_fields": Claim(Feature.DENY_FIELDS),
    "routes[].request.query": Claim(Feature.QUERY, always=True),
    "routes[].request.parameters": Claim(Feature.PARAMETERS),
    "routes[].request.headers": Claim(Feature.REQUEST_HEADERS, always=True),
    "routes[].request.encodings": Claim(Feature.ENCODINGS),
    "routes[].request.max_output_tokens": Claim(Feature.OUTPUT_TOKENS),
    "routes[].response.fields": Claim(Feature.FIELDS),
    "routes[].response.allow_fields": Claim(Feature.FIELDS),
    "routes[].response.disclose": Claim(Feature.DISCLOSE),
    "routes[].response.drop_fields": Claim(Feature.DROP_FIELDS),
    "routes[].response.headers": Claim(Feature.RESPONSE_HEADERS, always=True),
    "routes[].response.drop_headers": Claim(Feature.DROP_HEADERS),
    "routes[].response.max_bytes": Claim(Feature.RESPONSE_BYTES, always=True),
    "routes[].response.reserve_bytes": Claim(Feature.QUOTA_BYTES),
    "routes[].response.on_overrun": Claim(Feature.OVERRUN),
    "routes[].response.quota_headers": Claim(Feature.QUOTA_HEADERS, always=True),
    "routes[].response.failure_slot_ms": Claim(Feature.FAILURE_SLOT, always=True),
    "routes[].mode": Claim(Feature.SHADOW_ROUTE),
    "routes[].on_error": Claim(Feature.ON_ERROR),
    "routes[].priority": Claim(Feature.PRIORITY),
    **{
        place: Claim(Feature.SHADOW_CONTROL)
        for place in (
            "upstreams.*.concurrency.mode",
            "routes[].quotas[].mode",
            "routes[].request.images.mode",
            "routes[].request.remote_urls.mode",
            "routes[].checks[]<modsecurity>.mode",
            "routes[].checks[]<prompt_injection>.mode",
            "routes[].checks[]<sqli>.mode",
            "routes[].checks[]<xss>.mode",
            "routes[].response.leaks[]<canaries>.mode",
            "routes[].response.leaks[]<keys>.mode",
            "routes[].response.leaks[]<personal>.mode",
            "routes[].response.leaks[]<prompt>.mode",
            "web_acls.*.mode",
        )
    },
    **{f"statement.{kind}.field": Claim(_of_field, always=True) for kind in STATEMENTS},
    **{f"statement.{kind}.transforms": Claim(Feature.WAF_TRANSFORMS) for kind in STATEMENTS},
    **{f"statement.{kind}.oversize": Claim(Feature.WAF_OVERSIZE, always=True) for kind in STATEMENTS},
    "statement.rate_based.per": Claim(Feature.WAF_RATE_KEY),
    "statement.rate_based.scope_down": Claim(Feature.WAF_SCOPE_DOWN),
    "statement.and": Claim(Feature.WAF_LOGIC),
    "statement.or": Claim(Feature.WAF_LOGIC),
    "statement.not": Claim(Feature.WAF_LOGIC),
    "web_acls.*.inspect_bytes": Claim(Feature.WAF_INSPECT_BYTES, always=True),
    "web_acls.*.rules[].action": Claim(Feature.WAF_COUNT),
    "web_acls.*.rules[].labels": Claim(Feature.WAF_LABELS),
    "listen.tls.client_ca": Claim(Feature.LISTEN_CLIENT_CERTIFICATES),
    "listen.tls.client_auth": Claim(Feature.LISTEN_CLIENT_CERTIFICATES),
    "listen.tls.crl": Claim(Feature.LISTEN_CLIENT_CERTIFICATES),
    **{
        f"listen.{key}": Claim(Feature.LISTEN_BOUNDS)
        for key in (
            "max_connections",
            "max_header_bytes",
            "max_uri_bytes",
            "max_headers",
            "header_timeout_s",
            "body_timeout_s",
            "idle_timeout_s",
            "write_timeout_s",
        )
    },
    "counters": Claim(_of_counters),
    "trusted_proxies": Claim(Feature.TRUSTED_PROXIES),
}

# What says nothing about exchanges, and why.
SILENT: Mapping[str, str] = {
    "version": "of the file format",
    "routes[].name": "a name: exports call the route by it",
    "routes[].upstream": "a name: the upstream says what there is to say",
    "routes[].preset_version": "holds the policy to a version of Vallum's tables",
    **{
        f"routes[].quotas[].{key}": "the quota says it"
        for key in ("limit", "unit", "per", "strategy", "burst", "lease_s")
    },
    "routes[].quotas[].name": "a name: it is in the quota's header fields",
    "routes[].web_acl": "a name: the web ACL says what there is to say",
    "routes[].request.features": "tells the watch where the model's input lies: `extraction` says what is done",
    "web_acls.*.rules[].name": "a name: exports call the rule by it",
    "web_acls.*.rules[].priority": "the order of the rules: they are found, and exported, in it",
    "listen.address": "where Vallum listens: another gateway has an address of its own",
    "listen.public_url": "how callers address Vallum",
    "listen.drain_s": "how Vallum stops",
    "admin": "the operators' own listener",
    "registry": "where keys are kept: `authenticators` says who may call",
    "workers": "processes of Vallum",
}
