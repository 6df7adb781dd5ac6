"""What becomes of each feature of a policy on AWS, unless a route's own answer says more (`Template.lose`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.policy import Mode
from vallum.core.quota import Per
from vallum.exporters.aws.methods import is_custom
from vallum.exporters.claims import UNITS
from vallum.exporters.export import Answer, Kind
from vallum.exporters.features import Feature
from vallum.exporters.finding import find_features

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.exporters.aws.routing import Entry
    from vallum.exporters.aws.template import Template

BEHIND = "Put Vallum behind the API as its upstream, with this policy."

KEPT = (
    Feature.DEFAULT_DENY,
    Feature.UPSTREAM_URL,
    Feature.METHODS,
    Feature.PATH,
    Feature.PATH_SEGMENT,
    Feature.PATH_NAME,
    Feature.PATH_REST,
    Feature.AUTH_ANONYMOUS,
    Feature.PRESET_RAW,
    Feature.MAX_BYTES,
    Feature.SCHEMA,
    Feature.REQUEST_HEADERS,
    Feature.WAF_BYTE,
    Feature.WAF_SIZE,
    Feature.WAF_IP_SET,
    Feature.WAF_RATE_KEY,
    Feature.WAF_SCOPE_DOWN,
    Feature.WAF_LOGIC,
    Feature.WAF_PART,
    Feature.WAF_NAMED_PART,
    Feature.WAF_JSON,
    Feature.WAF_JSON_EXCLUDE,
    Feature.WAF_TRANSFORMS,
    Feature.WAF_OVERSIZE,
    Feature.WAF_INSPECT_BYTES,
    Feature.WAF_COUNT,
    Feature.WAF_LABELS,
    Feature.RESPONSE_HEADERS,
    Feature.DROP_HEADERS,
)

# feature -> what is different
APPROXIMATE: Mapping[Feature, str] = {
    Feature.UPSTREAM_TLS: "only certificates of authorities that AWS knows are believed",
    Feature.UPSTREAM_TIMEOUT: "it bounds the whole answer, not a silence",
    Feature.UPSTREAM_HEADERS: "they are read from Secrets Manager at deployment",
    Feature.EXCLUDE: "other spellings of such a path, in another case say, are not left out",
    Feature.AUTH_API_KEY: "keys are AWS's own",
    Feature.AUTH_OAUTH2: "a Lambda function of your own verifies tokens",
    Feature.AUTH_MTLS: "every certificate of the trust store is taken, without revocation",
    Feature.AUTH_MINTED: "a Lambda function of your own verifies tokens, and nothing mints them",
    Feature.AUTH_SEVERAL: "one Lambda function of your own takes all kinds of credential",
    Feature.PRESET_JSON: (
        "API Gateway takes JSON alone, but duplicate members and any nesting; an empty body arrives as {}"
    ),
    Feature.QUOTA_REQUESTS: "a token bucket of AWS, which calls it best effort and a target, not a ceiling",
    Feature.WINDOW_SECOND: "a token bucket: up to a tenth more may pass within a window",
    Feature.WINDOW_MINUTE: "a token bucket: up to a tenth more may pass within a window",
    Feature.WINDOW_HOUR: "a token bucket: up to a tenth more may pass within a window",
    Feature.WINDOW_SPAN: "a token bucket: up to a tenth more may pass within a window",
    Feature.WINDOW_DAY: "a usage plan's day, week or month, which AWS begins at its own time and calls best effort",
    Feature.WINDOW_MONTH: "a usage plan's month, which AWS begins at its own time and calls best effort",
    Feature.PER_PRINCIPAL: "a bucket of each key: a caller with two keys has two",
    Feature.PER_KEY: "a bucket of each key of AWS, on each node that AWS counts with",
    Feature.PER_IP: "a rate rule of AWS WAF, which estimates and acts late",
    Feature.PER_ROUTE: "each method of the route has an equal share of it",
    Feature.PER_GLOBAL: "each method of these routes has an equal share of it",
    Feature.STRICT: "a token bucket, whose burst is a tenth of the limit",
    Feature.SMOOTH: "a token bucket of AWS with this burst, best effort",
    Feature.CALENDAR: "a token bucket with a burst of the limit, instead of windows with a beginning",
    Feature.QUOTA_SEVERAL: "one bucket holds them all: its rate is the lowest of theirs, its burst what that leaves",
    Feature.COST: "limits are divided by it",
    Feature.QUERY: "other parameters are dropped, not refused",
    Feature.CHECK_SQLI: "AWS WAF's own detector",
    Feature.CHECK_XSS: "AWS WAF's own detector",
    Feature.WAF_SQLI: "AWS WAF's own detector",
    Feature.WAF_XSS: "AWS WAF's own detector",
    Feature.WAF_REGEX: "AWS WAF's own engine, whose syntax differs in details",
    Feature.WAF_RATE_BASED: "AWS estimates, and acts usually within half a minute",
    Feature.ERRORS: "bodies are rewritten, 4xx become 400 and all else 502, without a request id",
}

# feature -> what is missing
LOST: Mapping[Feature, str] = {
    Feature.CHECK_MODSECURITY: "AWS WAF does not run rules of ModSecurity; its managed rule groups are others",
    Feature.REFUSALS: "problem documents by gateway responses, as application/json, without request id or violations",
    Feature.RECORDS: "AWS keeps access logs and the web ACL's log, which know no reasons of this policy",
    Feature.CONCURRENCY: "API Gateway has no queue and no bound on requests at once",
    Feature.CONCURRENCY_ADAPTIVE: "API Gateway has no bound on requests at once",
    Feature.AUTH_INTROSPECTION: "the Lambda function has to ask the authorisation server",
    Feature.SCOPES: "nothing looks at scopes but your own Lambda function",
    Feature.BOUND: "credentials are taken from whoever shows them",
    Feature.DPOP: "no proof of possession is asked for",
    Feature.TOKENS: "AWS mints no such tokens",
    Feature.THEFT: "nothing watches how credentials are used",
    Feature.LEAK_REPORTS: "there is no such endpoint",
    Feature.PRESET_REQUEST: "a known API's requests pass unread",
    Feature.PRESET_ANSWER: "answers pass as they are",
    Feature.PRESET_STREAM: "streams pass unread",
    Feature.PRESET_METER: "AWS counts no tokens",
    Feature.QUOTA_TOKENS: "AWS counts no tokens",
    Feature.QUOTA_BYTES: "AWS counts no bytes",
    Feature.QUOTA_MONEY: "AWS counts no money",
    Feature.QUOTA_CONCURRENT: "AWS counts no requests at once",
    Feature.QUOTA_NAMED: "AWS counts nothing that the service says",
    Feature.PER_TENANT: "a usage plan counts each key by itself",
    Feature.QUOTA_CREDIT: "unused quota is gone",
    Feature.QUOTA_OUTAGE: "AWS says nothing of what its counters do when they fail",
    Feature.QUOTA_HEADERS: "callers are not told how their quotas stand",
    Feature.COUNTERS: "AWS counts with counters of its own",
    Feature.PRICE: "AWS knows no prices of yours",
    Feature.OUTPUT_TOKENS: "answers may be of any length",
    Feature.OVERRUN: "no stream is cut",
    Feature.THROTTLE: "limits stay as they are",
    Feature.PRIORITY: "requests are served as they come",
    Feature.SHAPE: "only what a schema says is held",
    Feature.PARAMETERS: "what stands in path and query is not looked at",
    Feature.BOUNDS: "a known API's requests pass unread",
    Feature.ALLOW_FIELDS: "a known API's requests pass unread",
    Feature.DENY_FIELDS: "a body may have them, unless its schema has additionalProperties: false",
    Feature.ENCODINGS: "a compressed body is not undone",
    Feature.IMAGES: "images pass unread",
    Feature.REMOTE_URLS: "addresses pass unread",
    Feature.SANITIZE: "texts pass as they are",
    Feature.CHECK_PROMPT_INJECTION: "prompts pass unread",
    Feature.FIELDS: "answers pass as they are",
    Feature.DROP_FIELDS: "answers pass as they are",
    Feature.DISCLOSE: "answers pass as they are",
    Feature.CONFIDENCE: "answers pass as they are",
    Feature.PRECISION: "answers pass as they are",
    Feature.RESPONSE_BYTES: "API Gateway's own 10 MB bound answers",
    Feature.LEAK_CANARIES: "answers pass as they are",
    Feature.LEAK_KEYS: "answers pass as they are",
    Feature.LEAK_PERSONAL: "answers pass as they are",
    Feature.LEAK_PROMPT: "answers pass as they are",
    Feature.PADDING: "answers leave with their own size",
    Feature.FAILURE_SLOT: "failures leave when they happen",
    Feature.FAILURES: "there is no such endpoint",
    Feature.EXTRACTION: "nothing watches for copies of the model",
    Feature.SHADOW_ROUTE: "credentials are asked for all the same; limits, schema and checks of the route are left out",
    Feature.SHADOW_CONTROL: "a control in shadow is left out",
    Feature.ON_ERROR: "what AWS does when a control fails is AWS's to say",
    Feature.LISTEN_TLS: "API Gateway speaks TLS with a certificate of AWS, or that of your domain",
    Feature.LISTEN_CLIENT_CERTIFICATES: "a domain's trust store takes certificates and knows no revocation",
    Feature.LISTEN_BOUNDS: "API Gateway has bounds of its own",
    Feature.TRUSTED_PROXIES: "a caller's address is that of the connection",
    Feature.CLIENT_CERTIFICATE: "certificates that a proxy passes on are not believed",
}

ANSWERS: Mapping[Feature, Answer] = {
    **{feature: Answer(None) for feature in KEPT},
    **{feature: Answer(Kind.APPROXIMATE, detail, BEHIND) for feature, detail in APPROXIMATE.items()},
    **{feature: Answer(Kind.LOST, detail, BEHIND) for feature, detail in LOST.items()},
}


def answer_routes(template: Template, listed: list[Entry]) -> None:
    """Say what a route's own ways change of these answers."""
    for entry in listed:
        where = f"routes.{entry.config.name}"
        if not is_custom(entry):
            detail = "a proxy integration passes what the upstream says"
            for feature, key in (
                (Feature.RESPONSE_HEADERS, "headers"),
                (Feature.DROP_HEADERS, "drop_headers"),
                (Feature.ERRORS, "errors"),
            ):
                template.lose(feature, f"{where}.response.{key}", detail, BEHIND, Kind.LOST)
            detail = "bodies pass unread, whatever they are"
            template.lose(Feature.PRESET_JSON, f"{where}.preset", detail, BEHIND, Kind.LOST)
        elif entry.config.response.errors is not None:
            detail = "no member of an error passes, and errors in the guise of answers do"
            template.lose(Feature.ERRORS, f"{where}.response.errors", detail, BEHIND, Kind.LOST)
    for name, acl in template.config.web_acls.items():
        if acl.mode is Mode.SHADOW:
            template.keep(Feature.SHADOW_CONTROL, f"web_acls.{name}.mode")  # its rules count
        if name not in {entry.config.web_acl for entry in listed}:
            lose_place(template, f"web_acls.{name}", "no route names this web ACL")
    _answer_quotas(template, listed)


def _answer_quotas(template: Template, listed: list[Entry]) -> None:
    """Say of each quota that is not exported that none of it is."""
    for entry in listed:
        for index, limit in enumerate(entry.route.limits):
            where = f"routes.{entry.config.name}.quotas[{index}]"
            said = template.special.get((Feature.QUOTA_REQUESTS, where))
            if said is not None and said.kind is Kind.LOST:
                lose_place(template, where, said.detail)
            elif limit.mode is Mode.SHADOW or entry.route.mode is Mode.SHADOW:
                lose_place(template, where, "it is in shadow, and left out")
            elif limit.quota.unit != "requests":
                lose_place(template, where, _uncounted(limit.quota.unit))
            elif limit.quota.per is Per.TENANT:
                lose_place(template, where, ANSWERS[Feature.PER_TENANT].detail)


def _uncounted(unit: str) -> str:
    """Return why a quota in this unit is left out."""
    return ANSWERS[UNITS.get(unit, Feature.QUOTA_NAMED)].detail


def lose_place(template: Template, where: str, detail: str) -> None:
    """Say that nothing of what stands at a place is exported."""
    for found in find_features(template.config):
        if found.where == where or found.where.startswith((f"{where}.", f"{where}[")):
            template.special[found.feature, found.where] = Answer(Kind.LOST, detail, BEHIND)
