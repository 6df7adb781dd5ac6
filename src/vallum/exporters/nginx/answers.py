"""What becomes of each feature in nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.exporters.answers import approximate, asked, complete, kept, lost
from vallum.exporters.export import Answer, Kind
from vallum.exporters.features import Feature as F  # noqa: N817  a table of little else
from vallum.exporters.nginx.limits import is_counted
from vallum.exporters.special import answer_at, left_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.exporters.finding import Found

SERVE = "let nginx forward to `vallum serve`"
HERE = "auth_request asks Vallum"
RUN = "run `vallum envoy` with the same policy file beside nginx; without it nothing passes"

ANSWERS = complete(
    kept(
        *(F.DEFAULT_DENY, F.UPSTREAM_URL, F.UPSTREAM_TLS, F.METHODS, F.PATH, F.PATH_SEGMENT, F.PATH_NAME, F.PATH_REST),
        *(F.EXCLUDE, F.MAX_BYTES, F.QUERY, F.REQUEST_HEADERS, F.LISTEN_TLS, F.TRUSTED_PROXIES),
    ),
    approximate("the bound is between two reads, and between two writes", SERVE, F.UPSTREAM_TIMEOUT),
    approximate(
        "a client without a certificate that holds is answered 400, after the handshake",
        "nothing",
        F.LISTEN_CLIENT_CERTIFICATES,
    ),
    approximate(
        "timeouts are between two reads, fields are not counted, and connections are bounded by worker_connections; a "
        "byte now and then keeps a slow client in",
        SERVE,
        F.LISTEN_BOUNDS,
    ),
    approximate("fields with a `*` are not removed", SERVE, F.DROP_HEADERS),
    approximate("over the bound of a host the answer is 502 at once: nobody waits", SERVE, F.CONCURRENCY),
    approximate(
        "a fence of each host, which forgets when nginx starts anew; Vallum counts exactly behind it",
        RUN,
        *(F.QUOTA_REQUESTS, F.QUOTA_CONCURRENT, F.WINDOW_SECOND, F.WINDOW_MINUTE, F.WINDOW_SPAN, F.SMOOTH),
        *(F.PER_PRINCIPAL, F.PER_IP, F.PER_ROUTE, F.PER_GLOBAL, F.STRICT, F.COST, F.QUOTA_CREDIT),
    ),
    approximate(
        "a rule that blocks addresses, or all but some, is there; joined with others Vallum holds it", RUN, F.WAF_IP_SET
    ),
    asked(
        HERE,
        RUN,
        *(F.AUTH_API_KEY, F.AUTH_OAUTH2, F.AUTH_INTROSPECTION, F.AUTH_MTLS, F.AUTH_MINTED, F.AUTH_ANONYMOUS),
        *(F.AUTH_SEVERAL, F.SCOPES, F.BOUND, F.DPOP, F.THEFT, F.RECORDS, F.SHADOW_ROUTE, F.SHADOW_CONTROL, F.ON_ERROR),
        *(F.WINDOW_HOUR, F.WINDOW_DAY, F.WINDOW_MONTH, F.PER_KEY, F.PER_TENANT, F.CALENDAR, F.QUOTA_SEVERAL),
        *(F.QUOTA_OUTAGE, F.COUNTERS, F.THROTTLE, F.PARAMETERS, F.UPSTREAM_HEADERS),
    ),
    lost(
        "auth_request shows Vallum no body, so nothing in it can be looked at, counted or changed",
        SERVE,
        *(F.PRESET_JSON, F.PRESET_REQUEST, F.PRESET_METER, F.SHAPE, F.SCHEMA, F.BOUNDS, F.ALLOW_FIELDS),
        *(
            F.DENY_FIELDS,
            F.ENCODINGS,
            F.IMAGES,
            F.REMOTE_URLS,
            F.SANITIZE,
            F.CHECK_PROMPT_INJECTION,
            F.CHECK_SQLI,
            F.CHECK_XSS,
            F.CHECK_MODSECURITY,
        ),
        *(F.QUOTA_TOKENS, F.QUOTA_BYTES, F.QUOTA_MONEY, F.QUOTA_NAMED, F.PRICE, F.OUTPUT_TOKENS, F.OVERRUN),
    ),
    lost(
        "answers pass nginx as they are",
        SERVE,
        *(F.PRESET_ANSWER, F.PRESET_STREAM, F.FIELDS, F.DROP_FIELDS, F.DISCLOSE, F.CONFIDENCE, F.PRECISION),
        *(F.RESPONSE_HEADERS, F.RESPONSE_BYTES, F.ERRORS, F.LEAK_CANARIES, F.LEAK_KEYS, F.LEAK_PERSONAL, F.LEAK_PROMPT),
        *(F.PADDING, F.FAILURE_SLOT, F.EXTRACTION, F.PRESET_RAW, F.QUOTA_HEADERS),
    ),
    lost("what nginx itself refuses (404, 413, the fence's 429) it says in its own words", SERVE, F.REFUSALS),
    lost("it is not there: 404", SERVE, F.TOKENS, F.LEAK_REPORTS, F.FAILURES),
    lost("there is no queue, and the bound does not adapt", SERVE, F.CONCURRENCY_ADAPTIVE, F.PRIORITY),
    lost(
        "nginx ends TLS itself here and takes no certificate from a proxy before it",
        "let that proxy pass TLS through to nginx",
        F.CLIENT_CERTIFICATE,
    ),
    lost(
        "auth_request shows Vallum no body, so that a rule holds for heads alone",
        "ModSecurity with the Core Rule Set in nginx, or let nginx forward to `vallum serve`",
        *(F.WAF_SQLI, F.WAF_XSS, F.WAF_BYTE, F.WAF_REGEX, F.WAF_SIZE, F.WAF_RATE_BASED, F.WAF_RATE_KEY),
        *(F.WAF_SCOPE_DOWN, F.WAF_LOGIC, F.WAF_PART, F.WAF_NAMED_PART, F.WAF_JSON, F.WAF_JSON_EXCLUDE),
        *(F.WAF_TRANSFORMS, F.WAF_OVERSIZE, F.WAF_INSPECT_BYTES, F.WAF_COUNT, F.WAF_LABELS),
    ),
)

UNKNOWN_BOUNDS = ("listen.max_headers", "listen.max_connections")
HEARD = "x-ssl-client-cert"


def nginx_losses(config: Config, policy: Policy, found: Iterable[Found]) -> dict[Found, Answer]:
    """Return what becomes of single places otherwise than of their features."""
    behind = Answer(Kind.VALLUM, f"no fence here counts it; {HERE}", RUN)
    bounds = Answer(Kind.LOST, "nginx does not count it", f"worker_connections in its own configuration, or {SERVE}")
    quotas = {place for place in left_out(config, policy, is_counted) if place.startswith("routes.")}
    rules = left_out(config, policy, is_counted) - quotas
    lost_rule = Answer(Kind.LOST, "nginx holds rules that block addresses alone", SERVE)
    return {
        **answer_at(found, quotas, _answer, behind),
        **answer_at(found, rules, _answer, lost_rule),
        **answer_at(found, UNKNOWN_BOUNDS, _answer, bounds),
        **_certificates(config, found),
    }


def _answer(found: Found) -> Answer:
    return ANSWERS[found.feature]


def _certificates(config: Config, found: Iterable[Found]) -> dict[Found, Answer]:
    tls, passed_on = config.listen.tls, config.client_certificate
    asked_for = tls is not None and tls.client_auth != "none"
    if passed_on is not None and passed_on.header == HEARD:
        return {one: Answer(None) for one in found if asked_for and one.feature is F.CLIENT_CERTIFICATE}
    remedy = f"add client_certificate: {{header: {HEARD}}}, and nginx's address to trusted_proxies"
    deaf = Answer(Kind.LOST, "`vallum envoy` does not believe the certificates that nginx passes on", remedy)
    return {one: deaf for one in found if one.feature is F.AUTH_MTLS}
