"""All that a policy can say, feature by feature: what an exporter has one answer for.

Rule: a feature is as coarse as it can be while every gateway can answer for all of it at once.  Which keys of the
      policy file say which feature is in `claims.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Feature(StrEnum):
    """Something that a policy can say; `phrase` says it to a person."""

    phrase: str

    def __new__(cls, value: str, phrase: str = "") -> Self:
        """Make a feature of its stable name and its words."""
        feature = str.__new__(cls, value)
        feature._value_ = value
        feature.phrase = phrase
        return feature

    # What holds everywhere
    DEFAULT_DENY = "default_deny", "paths and methods that the policy does not name do not exist"
    REFUSALS = "refusals", "refusals are problem details that tell nothing of what refused"
    RECORDS = "records", "a record of every exchange"

    # Upstreams
    UPSTREAM_URL = "upstream.url", "where a protected service is"
    UPSTREAM_TLS = "upstream.tls", "TLS to the service, whose certificate is verified"
    UPSTREAM_TIMEOUT = "upstream.timeout", "longest silence of the service"
    UPSTREAM_HEADERS = "upstream.headers", "header fields that the service is sent, its own key among them"
    CONCURRENCY = "upstream.concurrency", "how much a service is given at once, with a queue"
    CONCURRENCY_ADAPTIVE = "upstream.concurrency.adaptive", "that bound follows how fast the service answers"

    # Which requests
    METHODS = "match.methods", "methods of a route"
    PATH = "match.path", "path of a route, exactly"
    PATH_SEGMENT = "match.path.segment", "any one segment in a path: `*`"
    PATH_NAME = "match.path.name", "a named segment in a path: `{name}`"
    PATH_REST = "match.path.rest", "any number of segments at a path's end: `**`"
    EXCLUDE = "match.exclude", "paths that a route does not take, in any spelling"

    # Who
    AUTH_API_KEY = "auth.api_key", "API keys, kept as digests, each with scopes, expiry and networks"
    AUTH_OAUTH2 = "auth.oauth2", "access tokens of an authorisation server (RFC 9068)"
    AUTH_INTROSPECTION = "auth.introspection", "access tokens that the authorisation server is asked about (RFC 7662)"
    AUTH_MTLS = "auth.mtls", "client certificates, which name the caller"
    AUTH_MINTED = "auth.minted", "short tokens that Vallum minted"
    AUTH_ANONYMOUS = "auth.anonymous", "anybody, without a credential"
    AUTH_SEVERAL = "auth.several", "one of several kinds of credential"
    SCOPES = "auth.scopes", "scopes that a caller must have"
    BOUND = "auth.bound", "only credentials that are bound to a certificate or key"
    DPOP = "dpop", "how proofs of possession (RFC 9449) are taken"
    TOKENS = "tokens", "a token endpoint that turns keys into short tokens"
    THEFT = "theft", "what is done when a credential is used as it never was"
    LEAK_REPORTS = "leak_reports", "an endpoint where leaked keys are reported and revoked"

    # What kind of API
    PRESET_JSON = "preset.json", "bodies are strict JSON: one media type, no duplicate member, bounded nesting"
    PRESET_RAW = "preset.raw", "bodies that pass unread"
    PRESET_REQUEST = "preset.request", "the request schema of a known API"
    PRESET_ANSWER = "preset.answer", "what a known API's answers withhold"
    PRESET_STREAM = "preset.stream", "event streams that are read event by event as they pass"
    PRESET_METER = "preset.meter", "tokens counted in a known API's format"

    # How much
    QUOTA_REQUESTS = "quota.requests", "a quota of requests"
    QUOTA_TOKENS = "quota.tokens", "a quota of tokens, reserved before and settled after"
    QUOTA_BYTES = "quota.bytes", "a quota of bytes"
    QUOTA_MONEY = "quota.money", "a quota of money"
    QUOTA_CONCURRENT = "quota.concurrent", "a bound on a caller's requests at once"
    QUOTA_NAMED = "quota.named", "a quota in a unit that the service counts"
    WINDOW_SECOND = "quota.window.second", "a window of one second"
    WINDOW_MINUTE = "quota.window.minute", "a window of one minute"
    WINDOW_HOUR = "quota.window.hour", "a window of one hour"
    WINDOW_DAY = "quota.window.day", "a window of one day"
    WINDOW_MONTH = "quota.window.month", "a window of one month"
    WINDOW_SPAN = "quota.window.span", "a window of several units, such as five minutes"
    PER_PRINCIPAL = "quota.per.principal", "a quota of each caller"
    PER_KEY = "quota.per.key", "a quota of each key"
    PER_TENANT = "quota.per.tenant", "a quota that a tenant's callers share"
    PER_IP = "quota.per.ip", "a quota of each address"
    PER_ROUTE = "quota.per.route", "a quota that all callers of a route share"
    PER_GLOBAL = "quota.per.global", "a quota that all callers share, on all routes that name it"
    STRICT = "quota.strategy.strict", "never more than the limit in any span of the window's length"
    SMOOTH = "quota.strategy.smooth", "a steady rate with a burst"
    CALENDAR = "quota.strategy.calendar", "windows that begin with the minute, the day, the month"
    QUOTA_SEVERAL = "quota.several", "several quotas, taken together or not at all"
    QUOTA_CREDIT = "quota.credit", "unused quota that is kept for later"
    QUOTA_OUTAGE = "quota.outage", "what a quota does while the shared store is down"
    QUOTA_HEADERS = "quota.headers", "how quotas stand, in header fields or hidden"
    COUNTERS = "counters", "counters that several nodes share"
    COST = "cost", "calls that count as several requests"
    PRICE = "price", "what calls and tokens cost"
    OUTPUT_TOKENS = "request.max_output_tokens", "most tokens of one answer"
    OVERRUN = "response.on_overrun", "streams that are cut when no tokens are left"
    THROTTLE = "throttle", "limits that fall for callers who do what they should not"
    PRIORITY = "priority", "whom a busy service serves first"

    # What may come in
    MAX_BYTES = "request.max_bytes", "size of a request body"
    SHAPE = "request.shape", "bounds on nesting, members, items, characters and numbers of a body"
    SCHEMA = "request.schema", "a JSON Schema of the body"
    PARAMETERS = "request.parameters", "a JSON Schema of what stands in path and query"
    BOUNDS = "request.bounds", "bounds of a known API, set anew"
    ALLOW_FIELDS = "request.allow_fields", "members that pass though the API's schema refuses them"
    DENY_FIELDS = "request.deny_fields", "members that a body may not have"
    QUERY = "request.query", "query parameters that may appear; by default none"
    REQUEST_HEADERS = "request.headers", "header fields that reach the service; no others do"
    ENCODINGS = "request.encodings", "compressed bodies, undone within bounds"
    IMAGES = "request.images", "what images may be"
    REMOTE_URLS = "request.remote_urls", "addresses that the service may be told to fetch"
    SANITIZE = "request.sanitize", "text that is cleaned before it is passed on"
    CHECK_PROMPT_INJECTION = "check.prompt_injection", "prompt injection"
    CHECK_SQLI = "check.sqli", "SQL injection, in what a prompt is not"
    CHECK_XSS = "check.xss", "cross-site scripting, in what a prompt is not"
    CHECK_MODSECURITY = "check.modsecurity", "rules of ModSecurity, on what a prompt is not"

    # Web ACLs
    WAF_SQLI = "web_acl.sqli_match", "a rule against SQL injection"
    WAF_XSS = "web_acl.xss_match", "a rule against cross-site scripting"
    WAF_BYTE = "web_acl.byte_match", "a rule for a string"
    WAF_REGEX = "web_acl.regex_match", "a rule for regular expressions"
    WAF_SIZE = "web_acl.size_constraint", "a rule for sizes"
    WAF_IP_SET = "web_acl.ip_set", "a rule for addresses"
    WAF_RATE_BASED = "web_acl.rate_based", "a rule for rates"
    WAF_RATE_KEY = "web_acl.rate_based.per", "a rate per parts of the request, or of all together"
    WAF_SCOPE_DOWN = "web_acl.rate_based.scope_down", "a rate of those requests only that match"
    WAF_LOGIC = "web_acl.logic", "statements joined by and, or, not"
    WAF_PART = "web_acl.field.part", "a rule on a whole part of the request"
    WAF_NAMED_PART = "web_acl.field.named", "a rule on one header field or query parameter"
    WAF_JSON = "web_acl.field.json_body", "a rule on some strings of a JSON body"
    WAF_JSON_EXCLUDE = "web_acl.field.json_body.exclude", "strings of a JSON body that a rule leaves out"
    WAF_TRANSFORMS = "web_acl.transforms", "text that is decoded before it is looked at"
    WAF_OVERSIZE = "web_acl.oversize", "what a body larger than is looked at does"
    WAF_INSPECT_BYTES = "web_acl.inspect_bytes", "how much of a body is looked at"
    WAF_COUNT = "web_acl.count", "a rule that counts and does not block"
    WAF_LABELS = "web_acl.labels", "labels that rules put on and look for"

    # What may go out
    FIELDS = "response.fields", "members of an answer that are kept; no others are"
    DROP_FIELDS = "response.drop_fields", "members of an answer that are removed"
    DISCLOSE = "response.disclose", "members that a known API withholds, granted"
    CONFIDENCE = "response.confidence", "confidences made coarser"
    PRECISION = "response.precision", "numbers made less exact"
    RESPONSE_HEADERS = "response.headers", "header fields that leave; no others do"
    DROP_HEADERS = "response.drop_headers", "header fields that do not leave"
    RESPONSE_BYTES = "response.max_bytes", "size of an answer that is read whole"
    ERRORS = "response.errors", "errors of the service, rewritten so that they tell nothing"
    LEAK_CANARIES = "response.leaks.canaries", "planted strings, masked in answers"
    LEAK_KEYS = "response.leaks.keys", "keys and tokens, masked in answers"
    LEAK_PERSONAL = "response.leaks.personal", "personal data, masked in answers"
    LEAK_PROMPT = "response.leaks.prompt", "the system prompt, masked in answers"
    PADDING = "response.padding", "sizes of answers that tell less of them"
    FAILURE_SLOT = "response.failure_slot", "failures that leave at a moment that tells nothing"
    FAILURES = "failures", "an endpoint where callers read their own failures"
    EXTRACTION = "extraction", "copies of the model: a watch over all accounts, and what is done"

    # How it is run
    SHADOW_ROUTE = "mode.route", "a route in shadow: decide and record, refuse nothing"
    SHADOW_CONTROL = "mode.control", "a single control in shadow"
    ON_ERROR = "on_error", "requests that pass although a control failed"
    LISTEN_TLS = "listen.tls", "TLS towards clients"
    LISTEN_CLIENT_CERTIFICATES = "listen.tls.client_auth", "clients asked for a certificate, revocation included"
    LISTEN_BOUNDS = "listen.bounds", "bounds on connections, heads and waiting"
    TRUSTED_PROXIES = "trusted_proxies", "proxies that are believed what they say of a caller's address"
    CLIENT_CERTIFICATE = "client_certificate", "certificates that a proxy passes on"
