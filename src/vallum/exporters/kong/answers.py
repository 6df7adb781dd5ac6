"""What becomes of each feature in Kong 3.10, its open-source plugins alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.export import Answer, Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

BEHIND = "Run Vallum behind Kong: give the service the address of `vallum serve` with this policy."
OR_BEHIND = "run Vallum behind Kong."
VALIDATOR = f"Take request-validator of Kong Enterprise, or {OR_BEHIND}"
KEPT = Answer(None)


def lost(detail: str, remedy: str = BEHIND) -> Answer:
    """Say that something is not in the export."""
    return Answer(Kind.LOST, detail, remedy)


def nearly(detail: str, remedy: str = BEHIND) -> Answer:
    """Say that something is in the export, and means a little less or other."""
    return Answer(Kind.APPROXIMATE, detail, remedy)


_UNREAD = lost("Kong does not read bodies.")
_UNREAD_ANSWER = lost("Kong does not read answers.")
_NO_RULE = lost("Kong has no such rule; injection-protection is in Kong Enterprise and knows other rules.")
_KONG_CONF = "Set it in kong.conf: it belongs to Kong's own listener, not to a route."
_OWN_ENDPOINT = lost("It is an endpoint of Vallum's own.")

ANSWERS: Mapping[Feature, Answer] = {
    Feature.DEFAULT_DENY: KEPT,
    Feature.REFUSALS: nearly("Statuses are the same; bodies are Kong's own, and say that Kong refused."),
    Feature.RECORDS: lost("Kong writes access logs.", f"Add a logging plugin such as http-log, or {OR_BEHIND}"),
    Feature.UPSTREAM_URL: KEPT,
    Feature.UPSTREAM_TLS: KEPT,
    Feature.UPSTREAM_TIMEOUT: KEPT,
    Feature.UPSTREAM_HEADERS: KEPT,
    Feature.CONCURRENCY: lost("Kong gives a service whatever comes.", f"Bound it at the service, or {OR_BEHIND}"),
    Feature.CONCURRENCY_ADAPTIVE: lost("Kong gives a service whatever comes."),
    Feature.METHODS: KEPT,
    Feature.PATH: KEPT,
    Feature.PATH_SEGMENT: KEPT,
    Feature.PATH_NAME: KEPT,
    Feature.PATH_REST: KEPT,
    Feature.EXCLUDE: nearly(
        "Excluded paths are answered with 404 although a later route may take them; spellings with encoded letters "
        "that Kong leaves encoded are not found."
    ),
    Feature.AUTH_API_KEY: nearly(
        "key-auth takes keys from X-API-Key alone, keeps them readable in its database, and knows no expiry, "
        "networks or rotation; Vallum's keys are digests that cannot be exported.",
        f"Give each caller a consumer with a keyauth_credential of its own, or {OR_BEHIND}",
    ),
    Feature.AUTH_OAUTH2: nearly(
        "jwt checks signature, exp and nbf with a key that you give it; not audience, typ or the issuer's changing "
        "keys, and all callers of an issuer are one consumer.",
        f"Take openid-connect of Kong Enterprise, or {OR_BEHIND}",
    ),
    Feature.AUTH_INTROSPECTION: lost(
        "Asking the issuer is in Kong Enterprise alone; routes that take nothing else are closed.",
        f"Take openid-connect of Kong Enterprise, or {OR_BEHIND}",
    ),
    Feature.AUTH_MTLS: lost(
        "Client certificates are in Kong Enterprise alone; routes that take nothing else are closed.",
        f"Take mtls-auth of Kong Enterprise, or let a proxy before Kong verify them and {OR_BEHIND}",
    ),
    Feature.AUTH_MINTED: lost("Kong does not know Vallum's tokens; routes that take nothing else are closed."),
    Feature.AUTH_ANONYMOUS: KEPT,
    Feature.AUTH_SEVERAL: nearly(
        "Any one of them is enough, as the consumer `nobody` is refused; but a wrong credential beside a right one "
        "passes."
    ),
    Feature.SCOPES: nearly(
        "A scope is an ACL group: of a consumer, not of its key or token; several scopes are one group of their names.",
        f"Put consumers into the groups that the file names, or {OR_BEHIND}",
    ),
    Feature.BOUND: lost("Kong takes credentials that are not bound."),
    Feature.DPOP: lost("Kong's open-source plugins take no proofs of possession."),
    Feature.TOKENS: _OWN_ENDPOINT,
    Feature.THEFT: lost("Kong does not watch how credentials are used."),
    Feature.LEAK_REPORTS: _OWN_ENDPOINT,
    Feature.PRESET_JSON: lost("Kong passes bodies that are no JSON, or ambiguous JSON.", VALIDATOR),
    Feature.PRESET_RAW: KEPT,
    Feature.PRESET_REQUEST: _UNREAD,
    Feature.PRESET_ANSWER: _UNREAD_ANSWER,
    Feature.PRESET_STREAM: nearly("Streams pass at once, unread."),
    Feature.PRESET_METER: lost(
        "Kong's open-source plugins count no tokens.", f"Let the service send X-Kong-Limit: tokens=N, or {OR_BEHIND}"
    ),
    Feature.QUOTA_REQUESTS: KEPT,
    Feature.QUOTA_TOKENS: nearly(
        "Nothing is reserved before a call: tokens count when an answer begins, and only where the service sends "
        "X-Kong-Limit: tokens=N; else none are counted.",
        f"Let the service send that header, or {OR_BEHIND}",
    ),
    Feature.QUOTA_BYTES: lost("Kong does not count bytes."),
    Feature.QUOTA_MONEY: lost("Kong does not count money."),
    Feature.QUOTA_CONCURRENT: lost("Kong does not count requests at once."),
    Feature.QUOTA_NAMED: nearly(
        "Kong reads X-Kong-Limit alone, not Vallum-Cost; what is under way counts when it ends.",
        "Let the service send X-Kong-Limit: name=N.",
    ),
    Feature.WINDOW_SECOND: KEPT,
    Feature.WINDOW_MINUTE: KEPT,
    Feature.WINDOW_HOUR: KEPT,
    Feature.WINDOW_DAY: KEPT,
    Feature.WINDOW_MONTH: nearly("Kong's month is the calendar's, not 30 days.", "Say the quota in days."),
    Feature.WINDOW_SPAN: lost(
        "Kong counts in whole seconds, minutes, hours, days and months: the quota is left out.",
        f"Say it in one of these, take rate-limiting-advanced of Kong Enterprise, or {OR_BEHIND}",
    ),
    Feature.PER_PRINCIPAL: KEPT,
    Feature.PER_KEY: KEPT,
    Feature.PER_TENANT: lost("Kong does not count tenants: the quota is left out."),
    Feature.PER_IP: nearly(
        "Kong counts the address that its own settings of trusted proxies yield.",
        "Set trusted_ips and real_ip_header in kong.conf.",
    ),
    Feature.PER_ROUTE: KEPT,
    Feature.PER_GLOBAL: nearly("Each route that names the quota has all of it for itself."),
    Feature.STRICT: nearly(
        "Windows are the clock's, so nearly twice the limit can pass within one window's length; calls at one moment "
        "are counted after they were let through."
    ),
    Feature.SMOOTH: nearly("Windows are the clock's: all of a window may come at once."),
    Feature.CALENDAR: nearly("Calls at one moment are counted after they were let through."),
    Feature.QUOTA_SEVERAL: nearly(
        "Kong counts requests for one kind of caller on a route, and what the service counts apart from that."
    ),
    Feature.QUOTA_CREDIT: lost("Kong keeps no unused quota."),
    Feature.QUOTA_OUTAGE: nearly(
        "Kong refuses with 500 while Redis is down, or lets all through where every quota says `allow`."
    ),
    Feature.QUOTA_HEADERS: nearly(
        "Kong's RateLimit fields are those of an older draft, with X-RateLimit fields besides.",
        "Let clients read Retry-After, which both send.",
    ),
    Feature.COUNTERS: nearly(
        "Counters are shared, but while Redis is down Kong refuses with 500, and no node counts its share.",
    ),
    Feature.COST: nearly("Limits are divided by the cost; a call that a body makes dearer counts as one."),
    Feature.PRICE: lost("Kong knows no prices."),
    Feature.OUTPUT_TOKENS: _UNREAD,
    Feature.OVERRUN: lost("Kong does not cut streams."),
    Feature.THROTTLE: lost("Kong's limits stay as they are."),
    Feature.PRIORITY: lost("Kong serves who comes first."),
    Feature.MAX_BYTES: nearly(
        "A body without Content-Length is refused with 411; on routes that take GET it is measured only as far as "
        "Kong holds it in memory.",
    ),
    Feature.SHAPE: _UNREAD,
    Feature.SCHEMA: lost("Request schemas are in Kong Enterprise alone.", VALIDATOR),
    Feature.PARAMETERS: lost("Parameter schemas are in Kong Enterprise alone.", VALIDATOR),
    Feature.BOUNDS: _UNREAD,
    Feature.ALLOW_FIELDS: lost("Kong lets every member through."),
    Feature.DENY_FIELDS: lost("Kong can remove a member of a body, but not refuse the request."),
    Feature.QUERY: lost("Kong lets every query parameter through."),
    Feature.REQUEST_HEADERS: lost("Kong lets every header field through but credentials."),
    Feature.ENCODINGS: lost("Kong passes compressed bodies unread."),
    Feature.IMAGES: _UNREAD,
    Feature.REMOTE_URLS: _UNREAD,
    Feature.SANITIZE: _UNREAD,
    Feature.CHECK_PROMPT_INJECTION: lost(
        "ai-prompt-guard knows ten regular expressions of yours, and no prompt injection."
    ),
    Feature.CHECK_SQLI: lost("Kong's open-source plugins search for no SQL injection."),
    Feature.CHECK_XSS: lost("Kong's open-source plugins search for no cross-site scripting."),
    Feature.CHECK_MODSECURITY: lost("Kong's open-source plugins run no rules of ModSecurity."),
    Feature.WAF_SQLI: _NO_RULE,
    Feature.WAF_XSS: _NO_RULE,
    Feature.WAF_BYTE: _NO_RULE,
    Feature.WAF_REGEX: _NO_RULE,
    Feature.WAF_SIZE: lost("Kong bounds the size of bodies alone, by request.max_bytes."),
    Feature.WAF_IP_SET: KEPT,
    Feature.WAF_RATE_BASED: lost("Kong counts requests on a route once, for its quotas."),
    Feature.WAF_RATE_KEY: lost("Kong counts requests on a route once, for its quotas."),
    Feature.WAF_SCOPE_DOWN: lost("Kong counts all requests of a route."),
    Feature.WAF_LOGIC: lost("Kong's plugins are not joined by and, or, not."),
    Feature.WAF_PART: _NO_RULE,
    Feature.WAF_NAMED_PART: _NO_RULE,
    Feature.WAF_JSON: _NO_RULE,
    Feature.WAF_JSON_EXCLUDE: _NO_RULE,
    Feature.WAF_TRANSFORMS: _NO_RULE,
    Feature.WAF_OVERSIZE: _NO_RULE,
    Feature.WAF_INSPECT_BYTES: _NO_RULE,
    Feature.WAF_COUNT: lost("Kong has no rules that only count: the rule is left out."),
    Feature.WAF_LABELS: lost("Kong has no labels."),
    Feature.FIELDS: lost(
        "Kong's open-source plugins can remove named members, but not all others.",
        f"Take response-transformer-advanced of Kong Enterprise, or {OR_BEHIND}",
    ),
    Feature.DROP_FIELDS: nearly(
        "Members go at the top of a JSON answer alone, which Kong then holds back whole; streams keep them."
    ),
    Feature.DISCLOSE: lost("Kong withholds nothing."),
    Feature.CONFIDENCE: _UNREAD_ANSWER,
    Feature.PRECISION: _UNREAD_ANSWER,
    Feature.RESPONSE_HEADERS: lost(
        "Kong lets every header field out but those that are named.",
        f"Name them in response.drop_headers, or {OR_BEHIND}",
    ),
    Feature.DROP_HEADERS: KEPT,
    Feature.RESPONSE_BYTES: _UNREAD_ANSWER,
    Feature.ERRORS: lost("The service's own errors pass as they are."),
    Feature.LEAK_CANARIES: _UNREAD_ANSWER,
    Feature.LEAK_KEYS: _UNREAD_ANSWER,
    Feature.LEAK_PERSONAL: _UNREAD_ANSWER,
    Feature.LEAK_PROMPT: _UNREAD_ANSWER,
    Feature.PADDING: _UNREAD_ANSWER,
    Feature.FAILURE_SLOT: lost("Failures leave as soon as they are known."),
    Feature.FAILURES: _OWN_ENDPOINT,
    Feature.EXTRACTION: lost("Kong does not know what a model is asked."),
    Feature.SHADOW_ROUTE: lost(
        "Kong has no shadow: credentials are asked for, and all else is left out.", f"Enforce the route, or {OR_BEHIND}"
    ),
    Feature.SHADOW_CONTROL: lost("Kong has no shadow: the control is left out.", f"Enforce it, or {OR_BEHIND}"),
    Feature.ON_ERROR: lost("A plugin that fails is answered with 500."),
    Feature.LISTEN_TLS: nearly(
        "Routes take HTTPS alone; certificate, key and versions are those of Kong's listener.", _KONG_CONF
    ),
    Feature.LISTEN_CLIENT_CERTIFICATES: lost("Kong's open-source plugins ask for no certificate.", _KONG_CONF),
    Feature.LISTEN_BOUNDS: lost("Bounds on connections and heads belong to Kong's listener.", _KONG_CONF),
    Feature.TRUSTED_PROXIES: lost(
        "Kong believes the proxies of its own settings.", "Set trusted_ips and real_ip_header in kong.conf."
    ),
    Feature.CLIENT_CERTIFICATE: lost("Kong's open-source plugins believe no certificate that a proxy passes on."),
}
