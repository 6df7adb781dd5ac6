"""For every feature a small policy that has it, and the same without it or with another value of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vallum.config.compile import load_policy
from vallum.config.source import parse_source
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.config.model import Config
    from vallum.core.policy import Policy

BASE: dict[str, Any] = {
    "version": 1,
    "upstreams": {"model": {"url": "http://10.0.0.1:9000"}},
    "authenticators": {"keys": {"type": "api_key"}},
    "routes": [
        {
            "name": "predict",
            "match": {"methods": ["POST"], "path": "/predict"},
            "upstream": "model",
            "auth": {"any_of": ["keys"]},
        }
    ],
}
Overlay = Mapping[str, Any]  # values by dotted place; None takes the key out


class Case(NamedTuple):
    """A policy that has a feature, and one that has not, or has it in another way."""

    having: Overlay
    lacking: Overlay = MappingProxyType({})


def _route(key: str, value: Any, other: Any = None) -> Case:
    return Case({f"routes.0.{key}": value}, {} if other is None else {f"routes.0.{key}": other})


def _quota(limit: str | int, other: Any = None, **rest: Any) -> Case:
    return _route("quotas", [{"limit": limit, **rest}], other and [other])


def _authenticator(**settings: Any) -> Case:
    return Case({"authenticators.keys": settings})


def _rule(statement: Mapping[str, Any], **rest: Any) -> Overlay:
    rules = [{"name": "one", "priority": 1, "statement": statement, **rest}]
    return {"web_acls": {"acl": {"rules": rules}}, "routes.0.web_acl": "acl"}


def _match(kind: str, **rest: Any) -> dict[str, Any]:
    return {kind: {"field": "body", **rest}}


MTLS = {"type": "mtls", "subject": "san_dns"}
OAUTH = {"type": "oauth2", "issuer": "https://issuer.example", "audience": "https://models.example"}
TLS = {"cert": "cert.pem", "key": "key.pem"}
TOKENS = {"issuer": "https://gateway.example"}
CHAT: Overlay = {"routes.0.preset": "openai.chat", "routes.0.match.path": "/v1/chat/completions"}
SQLI = _match("sqli_match")
RATE = {"limit": 100}
INPUT = {"path": "input", "kind": "vector"}
PARAMETERS = {
    "type": "object",
    "properties": {
        "path": {"type": "object"},
        "query": {"type": "object", "properties": {"lang": {"type": "string"}}},
    },
}

CASES: Mapping[Feature, Case] = {
    Feature.DEFAULT_DENY: Case({}, {"routes.0.match.path": "/**"}),
    Feature.REFUSALS: Case({}, {}),  # there is no policy without
    Feature.RECORDS: Case({}, {"records": {"keep_days": 3}}),
    Feature.UPSTREAM_URL: Case({}, {"upstreams.model.url": "http://10.0.0.2:9000"}),
    Feature.UPSTREAM_TLS: Case({"upstreams.model.url": "https://10.0.0.1:9000"}),
    Feature.UPSTREAM_TIMEOUT: Case({"upstreams.model.timeout_s": 7}),
    Feature.UPSTREAM_HEADERS: Case({"upstreams.model.headers": {"X-Own-Key": "s3cr3t-of-the-upstream"}}),
    Feature.CONCURRENCY: Case({"upstreams.model.concurrency": {"max": 4}}),
    Feature.CONCURRENCY_ADAPTIVE: Case(
        {"upstreams.model.concurrency": {"max": 4, "target_ttfb_s": 0.5}}, {"upstreams.model.concurrency": {"max": 4}}
    ),
    Feature.METHODS: _route("match.methods", ["POST", "GET"]),
    Feature.PATH: _route("match.path", "/other"),
    Feature.PATH_SEGMENT: _route("match.path", "/predict/*/now"),
    Feature.PATH_NAME: _route("match.path", "/predict/{model}/now"),
    Feature.PATH_REST: _route("match.path", "/predict/**"),
    Feature.EXCLUDE: Case(
        {"routes.0.match.path": "/p/**", "routes.0.match.exclude": ["/p/no"]}, {"routes.0.match.path": "/p/**"}
    ),
    Feature.AUTH_API_KEY: Case({}, {"authenticators.keys": {"type": "anonymous"}}),
    Feature.AUTH_OAUTH2: _authenticator(**OAUTH),
    Feature.AUTH_INTROSPECTION: Case(
        {"authenticators.keys": {**OAUTH, "introspection": {"client_id": "me", "client_secret": "s3cr3t-of-mine"}}},
        {"authenticators.keys": OAUTH},
    ),
    Feature.AUTH_MTLS: Case(
        {"authenticators.keys": MTLS, "listen.tls": {**TLS, "client_ca": "ca.pem", "client_auth": "required"}}
    ),
    Feature.AUTH_MINTED: Case(
        {"authenticators.short": {"type": "minted"}, "tokens": TOKENS, "routes.0.auth.any_of": ["short"]},
        {"tokens": TOKENS},
    ),
    Feature.AUTH_ANONYMOUS: _authenticator(type="anonymous"),
    Feature.AUTH_SEVERAL: Case(
        {"authenticators.tokens": OAUTH, "routes.0.auth.any_of": ["keys", "tokens"]}, {"authenticators.tokens": OAUTH}
    ),
    Feature.SCOPES: _route("auth.scopes", ["predict:read"]),
    Feature.BOUND: _route("auth.bound", "required"),
    Feature.DPOP: Case({"dpop.max_age_s": 30}),
    Feature.TOKENS: Case({"tokens": TOKENS}),
    Feature.THEFT: Case({"theft.mode": "enforce"}),
    Feature.LEAK_REPORTS: Case({"leak_reports": {"path": "/leaks", "secret": "s3cr3t-of-reports-that-is-long-enough"}}),
    Feature.PRESET_JSON: Case({}, {"routes.0.preset": "raw"}),
    Feature.PRESET_RAW: _route("preset", "raw"),
    Feature.PRESET_REQUEST: Case(CHAT, {"routes.0.match.path": "/v1/chat/completions"}),
    Feature.PRESET_ANSWER: Case(CHAT, {"routes.0.match.path": "/v1/chat/completions"}),
    Feature.PRESET_STREAM: Case(CHAT, {"routes.0.match.path": "/v1/chat/completions"}),
    Feature.PRESET_METER: Case(CHAT, {"routes.0.match.path": "/v1/chat/completions"}),
    Feature.QUOTA_REQUESTS: _quota("10 per minute"),
    Feature.QUOTA_TOKENS: Case({**CHAT, "routes.0.quotas": [{"limit": "900 per minute", "unit": "tokens"}]}, CHAT),
    Feature.QUOTA_BYTES: _quota("1000 per minute", unit="bytes"),
    Feature.QUOTA_MONEY: Case(
        {"routes.0.price": {"per_call": 0.01}, "routes.0.quotas": [{"limit": "2.50 per day", "unit": "money"}]},
        {"routes.0.price": {"per_call": 0.01}},
    ),
    Feature.QUOTA_CONCURRENT: _quota(4, unit="concurrent"),
    Feature.QUOTA_NAMED: _quota("5 per minute", unit="prediction"),
    Feature.WINDOW_SECOND: _quota("10 per second"),
    Feature.WINDOW_MINUTE: _quota("10 per minute"),
    Feature.WINDOW_HOUR: _quota("10 per hour"),
    Feature.WINDOW_DAY: _quota("10 per day"),
    Feature.WINDOW_MONTH: _quota("10 per month"),
    Feature.WINDOW_SPAN: _quota("300 per 5 minutes"),
    Feature.PER_PRINCIPAL: _quota("10 per minute", {"limit": "10 per minute", "per": "ip"}),
    Feature.PER_KEY: _quota("10 per minute", "10 per minute", per="key"),
    Feature.PER_TENANT: _quota("10 per minute", "10 per minute", per="tenant"),
    Feature.PER_IP: _quota("10 per minute", "10 per minute", per="ip"),
    Feature.PER_ROUTE: _quota("10 per minute", "10 per minute", per="route"),
    Feature.PER_GLOBAL: _quota("10 per minute", "10 per minute", per="global"),
    Feature.STRICT: _quota("10 per minute", {"limit": "10 per minute", "strategy": "calendar"}),
    Feature.SMOOTH: _quota("10 per minute", "10 per minute", strategy="smooth", burst=2),
    Feature.CALENDAR: _quota("10 per minute", "10 per minute", strategy="calendar"),
    Feature.QUOTA_SEVERAL: _route("quotas", ["10 per minute", "100 per hour"], ["10 per minute"]),
    Feature.QUOTA_CREDIT: _quota("10 per minute", "10 per minute", burst_credit=5),
    Feature.QUOTA_OUTAGE: _quota("10 per minute", "10 per minute", on_store_failure="allow"),
    Feature.QUOTA_HEADERS: Case(
        {"routes.0.quotas": ["10 per minute"], "routes.0.response.quota_headers": "hide"},
        {"routes.0.quotas": ["10 per minute"]},
    ),
    Feature.COUNTERS: Case(
        {"counters": "redis://store.example:6380/2", "routes.0.quotas": ["10 per minute"]},
        {"routes.0.quotas": ["10 per minute"]},
    ),
    Feature.COST: Case(
        {"routes.0.quotas": ["10 per minute"], "routes.0.cost": 3}, {"routes.0.quotas": ["10 per minute"]}
    ),
    Feature.PRICE: _route("price", {"per_call": 0.01}),
    Feature.OUTPUT_TOKENS: Case({**CHAT, "routes.0.request.max_output_tokens": 500}, CHAT),
    Feature.OVERRUN: Case({**CHAT, "routes.0.response.on_overrun": "cut"}, CHAT),
    Feature.THROTTLE: Case({"throttle.mode": "enforce"}),
    Feature.PRIORITY: _route("priority", "low"),
    Feature.MAX_BYTES: _route("request.max_bytes", 2048),
    Feature.SHAPE: _route("request.max_keys", 10),
    Feature.SCHEMA: _route("request.schema", "schema.json"),
    Feature.PARAMETERS: _route("request.parameters", "parameters.json"),
    Feature.BOUNDS: Case({**CHAT, "routes.0.request.bounds": {"messages": 5}}, CHAT),
    Feature.ALLOW_FIELDS: Case({**CHAT, "routes.0.request.allow_fields": ["top_k"]}, CHAT),
    Feature.DENY_FIELDS: _route("request.deny_fields", ["debug"]),
    Feature.QUERY: _route("request.query", ["lang"]),
    Feature.REQUEST_HEADERS: _route("request.headers", ["x-trace"]),
    Feature.ENCODINGS: _route("request.encodings", ["gzip"]),
    Feature.IMAGES: Case(
        {"routes.0.preset": "image.multipart", "routes.0.request.images": {"max_pixels": 1000}},
        {"routes.0.preset": "image.multipart"},
    ),
    Feature.REMOTE_URLS: Case({**CHAT, "routes.0.request.remote_urls": {"allow": ["cdn.example"]}}, CHAT),
    Feature.SANITIZE: _route("request.sanitize", {"html": "strip"}),
    Feature.CHECK_PROMPT_INJECTION: _route("checks", [{"type": "prompt_injection"}]),
    Feature.CHECK_SQLI: _route("checks", [{"type": "sqli"}]),
    Feature.CHECK_XSS: _route("checks", [{"type": "xss"}]),
    Feature.CHECK_MODSECURITY: _route("checks", [{"type": "modsecurity", "rules": ["rules.conf"]}]),
    Feature.WAF_SQLI: Case(_rule(SQLI)),
    Feature.WAF_XSS: Case(_rule(_match("xss_match"))),
    Feature.WAF_BYTE: Case(_rule(_match("byte_match", search="evil"))),
    Feature.WAF_REGEX: Case(_rule(_match("regex_match", patterns=["ev[i1]l"]))),
    Feature.WAF_SIZE: Case(_rule(_match("size_constraint", comparison="gt", size=8000))),
    Feature.WAF_IP_SET: Case(_rule({"ip_set": {"addresses": ["192.0.2.0/24"]}})),
    Feature.WAF_RATE_BASED: Case(_rule({"rate_based": RATE})),
    Feature.WAF_RATE_KEY: Case(_rule({"rate_based": {**RATE, "per": ["ip", "method"]}}), _rule({"rate_based": RATE})),
    Feature.WAF_SCOPE_DOWN: Case(_rule({"rate_based": {**RATE, "scope_down": SQLI}}), _rule({"rate_based": RATE})),
    Feature.WAF_LOGIC: Case(_rule({"not": SQLI}), _rule(SQLI)),
    Feature.WAF_PART: Case(_rule(SQLI), _rule({"sqli_match": {"field": {"header": "user-agent"}}})),
    Feature.WAF_NAMED_PART: Case(_rule({"sqli_match": {"field": {"header": "user-agent"}}}), _rule(SQLI)),
    Feature.WAF_JSON: Case(_rule({"sqli_match": {"field": {"json_body": {"include": ["/user"]}}}}), _rule(SQLI)),
    Feature.WAF_JSON_EXCLUDE: Case(
        _rule({"sqli_match": {"field": {"json_body": {"exclude": ["/messages"]}}}}),
        _rule({"sqli_match": {"field": {"json_body": {}}}}),
    ),
    Feature.WAF_TRANSFORMS: Case(_rule(_match("sqli_match", transforms=["url_decode"])), _rule(SQLI)),
    Feature.WAF_OVERSIZE: Case(_rule(_match("sqli_match", oversize="continue")), _rule(SQLI)),
    Feature.WAF_INSPECT_BYTES: Case({**_rule(SQLI), "web_acls.acl.inspect_bytes": 16_384}, _rule(SQLI)),
    Feature.WAF_COUNT: Case(_rule(SQLI, action="count"), _rule(SQLI)),
    Feature.WAF_LABELS: Case(_rule(SQLI, labels=["seen:sqli"]), _rule(SQLI)),
    Feature.FIELDS: _route("response.fields", ["prediction"]),
    Feature.DROP_FIELDS: _route("response.drop_fields", ["debug"]),
    Feature.DISCLOSE: Case({**CHAT, "routes.0.response.disclose": ["logprobs"]}, CHAT),
    Feature.CONFIDENCE: _route("response.confidence", {"field": "confidence", "round": 2}),
    Feature.PRECISION: _route("response.precision", {"fields": ["embedding"], "digits": 4}),
    Feature.RESPONSE_HEADERS: _route("response.headers", ["x-model"]),
    Feature.DROP_HEADERS: Case(
        {"routes.0.response.headers": ["x-model"], "routes.0.response.drop_headers": ["etag"]},
        {"routes.0.response.headers": ["x-model"]},
    ),
    Feature.RESPONSE_BYTES: _route("response.max_bytes", 4096),
    Feature.ERRORS: _route("response.errors", {"inside": "pass"}),
    Feature.LEAK_CANARIES: _route("response.leaks", [{"type": "canaries", "strings": ["kittiwake-1892-harbour"]}]),
    Feature.LEAK_KEYS: _route("response.leaks", [{"type": "keys"}]),
    Feature.LEAK_PERSONAL: _route("response.leaks", [{"type": "personal", "kinds": ["emails"]}]),
    Feature.LEAK_PROMPT: Case({**CHAT, "routes.0.response.leaks": [{"type": "prompt"}]}, CHAT),
    Feature.PADDING: _route("response.padding", {"answers": 256}),
    Feature.FAILURE_SLOT: _route("response.failure_slot_ms", 50),
    Feature.FAILURES: Case({"failures.any_of": ["keys"]}),
    Feature.EXTRACTION: Case(
        {"routes.0.extraction": {"respond": "graduated"}, "routes.0.request.features": INPUT},
        {"routes.0.request.features": INPUT},
    ),
    Feature.SHADOW_ROUTE: _route("mode", "shadow"),
    Feature.SHADOW_CONTROL: _quota("10 per minute", "10 per minute", mode="shadow"),
    Feature.ON_ERROR: _route("on_error", "allow"),
    Feature.LISTEN_TLS: Case({"listen.tls": TLS}),
    Feature.LISTEN_CLIENT_CERTIFICATES: Case(
        {"listen.tls": {**TLS, "client_ca": "ca.pem", "client_auth": "optional"}}, {"listen.tls": TLS}
    ),
    Feature.LISTEN_BOUNDS: Case({"listen.max_headers": 20}),
    Feature.TRUSTED_PROXIES: Case({"trusted_proxies": ["10.0.0.0/8"]}),
    Feature.CLIENT_CERTIFICATE: Case(
        {"trusted_proxies": ["10.0.0.0/8"], "client_certificate": {"header": "client-cert"}},
        {"trusted_proxies": ["10.0.0.0/8"]},
    ),
}


def write_policy(overlay: Overlay) -> bytes:
    """Return the policy file of an overlay."""
    document = deepcopy(BASE)
    for place, value in overlay.items():
        at: Any = document
        *above, last = place.split(".")
        for step in above:
            at = at[int(step)] if step.isdecimal() else at.setdefault(step, {})
        at[last] = deepcopy(value)
    return msgspec.yaml.encode(document)


def load(folder: Path, overlay: Overlay) -> tuple[Config, Policy]:
    """Compile the policy of an overlay, in a folder with the files that some name."""
    (folder / "schema.json").write_text('{"type": "object", "required": ["input"]}')
    (folder / "parameters.json").write_bytes(msgspec.json.encode(PARAMETERS))
    (folder / "rules.conf").write_text('SecRule ARGS "@contains evil" "id:1,phase:2,deny"\n')
    return load_policy(parse_source(folder / "policy.yaml", write_policy(overlay), {}), certificates=False)
