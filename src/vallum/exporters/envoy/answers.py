"""What becomes of each feature in Envoy: where it asks Vallum, and where it does without."""

from __future__ import annotations

from vallum.exporters.answers import approximate, complete, kept, lost
from vallum.exporters.export import Answer, Kind
from vallum.exporters.features import Feature as F  # noqa: N817  a table of little else

ASK = "run `vallum envoy` and export without `native`"
SERVE = "put `vallum serve` between Envoy and the service"

# Of the door's, what Vallum itself holds where it is asked.
_JUDGED = {F.DEFAULT_DENY, F.UPSTREAM_TIMEOUT, F.CONCURRENCY, F.CONCURRENCY_ADAPTIVE, F.PRIORITY}

_DOOR = {
    **kept(F.UPSTREAM_URL, F.UPSTREAM_TLS, F.METHODS, F.PATH, F.PATH_SEGMENT, F.PATH_NAME, F.PATH_REST, F.EXCLUDE),
    **kept(F.LISTEN_TLS, F.LISTEN_CLIENT_CERTIFICATES, F.TRUSTED_PROXIES),
    **approximate(
        "Envoy resolves dot segments and forwards the path so, where Vallum refuses it; a path with encoded slashes is "
        "answered 400",
        "nothing: what is matched is what is forwarded",
        F.DEFAULT_DENY,
    ),
    **approximate(
        "any 60 s of silence at most are the client's; the upstream's silence is bounded once it has been asked",
        "nothing",
        F.UPSTREAM_TIMEOUT,
    ),
    **approximate(
        "the bound is of each Envoy, and what is over it gets 503 at once: nobody waits for a turn",
        SERVE,
        F.CONCURRENCY,
    ),
    **lost("the bound does not follow how fast the service answers", SERVE, F.CONCURRENCY_ADAPTIVE),
    **lost("Envoy has no queue whose order could be chosen", SERVE, F.PRIORITY),
    **approximate(
        "header bytes are rounded up to KiB, body_timeout_s holds for head and body together, and max_uri_bytes is "
        "within the head's bound",
        "nothing, or a smaller max_header_bytes",
        F.LISTEN_BOUNDS,
    ),
    **lost(
        "Envoy ends TLS itself here and takes no certificate from a proxy before it",
        "let that proxy pass TLS through to Envoy",
        F.CLIENT_CERTIFICATE,
    ),
}

ASKING = complete(
    {feature: answer for feature, answer in _DOOR.items() if feature not in _JUDGED},
    rest=Answer(
        Kind.VALLUM,
        "it holds where Envoy asks Vallum, for every exchange",
        "run `vallum envoy` with the same policy file beside Envoy; without it nothing passes",
    ),
)

_CALLERS = {
    **approximate(
        "keys are those of a file that you write, in clear, one for each set of scopes; expiry, networks and the "
        "registry are not asked",
        ASK,
        F.AUTH_API_KEY,
    ),
    **approximate(
        "the signature, issuer, audience and expiry are checked; not `typ`, `client_id`, and which algorithms are "
        "allowed; the keys' address is guessed where there is no jwks_uri",
        ASK,
        F.AUTH_OAUTH2,
    ),
    **approximate(
        "scopes are read from a token's claims; of a key by the file in which it stands, of a certificate at export",
        ASK,
        F.SCOPES,
    ),
    **approximate("a certificate with several names that fit is let in", ASK, F.AUTH_MTLS),
    **approximate("nobody is let in: Envoy cannot ask about a token", ASK, F.AUTH_INTROSPECTION),
    **approximate("nobody is let in: Envoy does not know these tokens", ASK, F.AUTH_MINTED),
    **approximate("nobody is let in: Envoy cannot look at proofs", ASK, F.BOUND),
    **kept(F.AUTH_ANONYMOUS),
    **approximate(
        "the first kind whose shape a request shows is asked, and the next is not asked after it", ASK, F.AUTH_SEVERAL
    ),
    **lost("proofs are not looked at, and routes that want them are shut", ASK, F.DPOP),
    **lost("it is not there: 404", ASK, F.TOKENS, F.LEAK_REPORTS, F.FAILURES),
    **lost("nobody watches how credentials are used", ASK, F.THEFT),
}
_QUOTAS = {
    **approximate(
        "a bucket of each Envoy: N at once and N a window after it, so up to 2N in one window, and it is full again "
        "after a restart",
        ASK,
        F.QUOTA_REQUESTS,
        F.WINDOW_SECOND,
        F.WINDOW_MINUTE,
        F.WINDOW_HOUR,
        F.WINDOW_DAY,
        F.WINDOW_MONTH,
        F.WINDOW_SPAN,
        F.STRICT,
    ),
    **lost("no window begins with the hour: a bucket would refuse what the policy admits", ASK, F.CALENDAR),
    **approximate("the same, counted by each Envoy alone", ASK, F.SMOOTH),
    **approximate("a caller is the client of a key, the subject of a token or a certificate", ASK, F.PER_PRINCIPAL),
    **approximate("all keys of a client share one bucket", ASK, F.PER_KEY),
    **approximate("counted by each Envoy alone, an IPv6 network of 64 bits together", ASK, F.PER_IP),
    **approximate("counted by each Envoy alone", ASK, F.PER_ROUTE),
    **approximate("each route that names it has a bucket of its own", ASK, F.PER_GLOBAL),
    **approximate("a refused request may have been taken from the other buckets", ASK, F.QUOTA_SEVERAL),
    **kept(F.COST),
    **lost("X-RateLimit fields of the third draft instead of RateLimit, where they are shown", ASK, F.QUOTA_HEADERS),
    **lost("Envoy does not know tenants", ASK, F.PER_TENANT),
    **lost(
        "Envoy cannot count it",
        ASK,
        F.QUOTA_TOKENS,
        F.QUOTA_BYTES,
        F.QUOTA_MONEY,
        F.QUOTA_CONCURRENT,
        F.QUOTA_NAMED,
        F.PRESET_METER,
        F.PRICE,
        F.OUTPUT_TOKENS,
        F.OVERRUN,
    ),
    **approximate("the bucket holds so much more", ASK, F.QUOTA_CREDIT),
    **lost("every Envoy counts alone", ASK, F.COUNTERS, F.QUOTA_OUTAGE),
    **lost("limits stay as they are, whatever a caller does", ASK, F.THROTTLE),
}
_BODIES = {
    **approximate("at least one byte is let in", "nothing: an upstream that wants none refuses it", F.MAX_BYTES),
    **approximate("what has other parameters is answered 404, not 400", "nothing", F.QUERY),
    **lost("credentials and cookies are kept back; every other field reaches the service", ASK, F.REQUEST_HEADERS),
    **approximate("the value is read from Envoy's environment when it starts", "set the variable", F.UPSTREAM_HEADERS),
    **approximate("fields with a `*` are not removed", ASK, F.DROP_HEADERS),
    **lost(
        "Envoy does not read bodies",
        ASK,
        *(F.PRESET_JSON, F.PRESET_REQUEST, F.PRESET_ANSWER, F.PRESET_STREAM, F.SHAPE, F.SCHEMA, F.PARAMETERS, F.BOUNDS),
        *(F.ALLOW_FIELDS, F.DENY_FIELDS, F.ENCODINGS, F.IMAGES, F.REMOTE_URLS, F.SANITIZE),
        *(
            F.CHECK_PROMPT_INJECTION,
            F.CHECK_SQLI,
            F.CHECK_XSS,
            F.CHECK_MODSECURITY,
            F.FIELDS,
            F.DROP_FIELDS,
            F.DISCLOSE,
            F.CONFIDENCE,
            F.PRECISION,
        ),
        *(F.RESPONSE_BYTES, F.LEAK_CANARIES, F.LEAK_KEYS, F.LEAK_PERSONAL, F.LEAK_PROMPT, F.PADDING, F.EXTRACTION),
    ),
    **lost("the other fields of an answer leave as they are", ASK, F.RESPONSE_HEADERS),
    **lost("the service's errors leave as they are", ASK, F.ERRORS),
    **lost("failures leave at once", ASK, F.FAILURE_SLOT),
    **lost("nothing is read, of this route or of any other", ASK, F.PRESET_RAW),
    **lost("refusals are Envoy's own, short and in plain text", ASK, F.REFUSALS),
    **lost("Envoy writes access logs where it is told to, and no records", ASK, F.RECORDS),
    **lost("a route in shadow has no limits here, and its callers must be known", ASK, F.SHADOW_ROUTE),
    **lost("a control in shadow is left out", ASK, F.SHADOW_CONTROL),
    **lost("a filter that fails refuses", ASK, F.ON_ERROR),
}
_RULES = {
    **approximate(
        "a rule that blocks addresses, or all but some, is there; joined with others it is not", ASK, F.WAF_IP_SET
    ),
    **lost(
        "the rule is not there",
        ASK,
        *(F.WAF_SQLI, F.WAF_XSS, F.WAF_BYTE, F.WAF_REGEX, F.WAF_SIZE, F.WAF_RATE_BASED, F.WAF_RATE_KEY),
        *(F.WAF_SCOPE_DOWN, F.WAF_LOGIC, F.WAF_PART, F.WAF_NAMED_PART, F.WAF_JSON, F.WAF_JSON_EXCLUDE),
        *(F.WAF_TRANSFORMS, F.WAF_OVERSIZE, F.WAF_INSPECT_BYTES, F.WAF_COUNT, F.WAF_LABELS),
    ),
}
NATIVE = complete(_DOOR, _CALLERS, _QUOTAS, _BODIES, _RULES)
