"""What becomes of each feature of a policy on AWS, unless a route's own answer says more (`Template.lose`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.policy import Mode
from vallum.core.quota import Per
from vallum.exporters.aws.methods import is_custom
from vallum.exporters.export import Answer, Kind
from vallum.exporters.features import Feature as F
from vallum.exporters.finding import find_features

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.exporters.aws.routing import Entry
    from vallum.exporters.aws.template import Template

BEHIND = "Put Vallum behind the API as its upstream, with this policy."

KEPT = (
    F.DEFAULT_DENY,
    F.UPSTREAM_URL,
    F.METHODS,
    F.PATH,
    F.PATH_SEGMENT,
    F.PATH_NAME,
    F.PATH_REST,
    F.AUTH_ANONYMOUS,
    F.PRESET_RAW,
    F.MAX_BYTES,
    F.SCHEMA,
    F.REQUEST_HEADERS,
    F.WAF_BYTE,
    F.WAF_SIZE,
    F.WAF_IP_SET,
    F.WAF_RATE_KEY,
    F.WAF_SCOPE_DOWN,
    F.WAF_LOGIC,
    F.WAF_PART,
    F.WAF_NAMED_PART,
    F.WAF_JSON,
    F.WAF_JSON_EXCLUDE,
    F.WAF_TRANSFORMS,
    F.WAF_OVERSIZE,
    F.WAF_INSPECT_BYTES,
    F.WAF_COUNT,
    F.WAF_LABELS,
    F.RESPONSE_HEADERS,
    F.DROP_HEADERS,
)

# feature -> what is different
APPROXIMATE: Mapping[F, str] = {
    F.UPSTREAM_TLS: "only certificates of authorities that AWS knows are believed",
    F.UPSTREAM_TIMEOUT: "it bounds the whole answer, not a silence",
    F.UPSTREAM_HEADERS: "they are read from Secrets Manager at deployment",
    F.EXCLUDE: "other spellings of such a path, in another case say, are not left out",
    F.AUTH_API_KEY: "keys are AWS's own",
    F.AUTH_OAUTH2: "a Lambda function of your own verifies tokens",
    F.AUTH_MTLS: "every certificate of the trust store is taken, without revocation",
    F.AUTH_MINTED: "a Lambda function of your own verifies tokens, and nothing mints them",
    F.AUTH_SEVERAL: "one Lambda function of your own takes all kinds of credential",
    F.PRESET_JSON: "API Gateway takes JSON alone, but duplicate members and any nesting",
    F.QUOTA_REQUESTS: "a token bucket of AWS, which calls it best effort and a target, not a ceiling",
    F.WINDOW_SECOND: "a token bucket: up to a tenth more may pass within a window",
    F.WINDOW_MINUTE: "a token bucket: up to a tenth more may pass within a window",
    F.WINDOW_HOUR: "a token bucket: up to a tenth more may pass within a window",
    F.WINDOW_SPAN: "a token bucket: up to a tenth more may pass within a window",
    F.WINDOW_DAY: "a usage plan's day, week or month, which AWS begins at its own time and calls best effort",
    F.WINDOW_MONTH: "a usage plan's month, which AWS begins at its own time and calls best effort",
    F.PER_PRINCIPAL: "a bucket of each key: a caller with two keys has two",
    F.PER_KEY: "a bucket of each key of AWS, on each node that AWS counts with",
    F.PER_IP: "a rate rule of AWS WAF, which estimates and acts late",
    F.PER_ROUTE: "each method of the route has an equal share of it",
    F.PER_GLOBAL: "each method of these routes has an equal share of it",
    F.STRICT: "a token bucket, whose burst is a tenth of the limit",
    F.SMOOTH: "a token bucket of AWS with this burst, best effort",
    F.CALENDAR: "a token bucket with a burst of the limit, instead of windows with a beginning",
    F.QUOTA_SEVERAL: "one bucket holds them all: its rate is the lowest of theirs, its burst what that leaves",
    F.COST: "limits are divided by it",
    F.QUERY: "other parameters are dropped, not refused",
    F.CHECK_SQLI: "AWS WAF's own detector",
    F.CHECK_XSS: "AWS WAF's own detector",
    F.WAF_SQLI: "AWS WAF's own detector",
    F.WAF_XSS: "AWS WAF's own detector",
    F.WAF_REGEX: "AWS WAF's own engine, whose syntax differs in details",
    F.WAF_RATE_BASED: "AWS estimates, and acts usually within half a minute",
    F.ERRORS: "bodies are rewritten, 4xx become 400 and all else 502, without a request id",
}

# feature -> what is missing
LOST: Mapping[F, str] = {
    F.REFUSALS: "problem documents by gateway responses, as application/json, without request id or violations",
    F.RECORDS: "AWS keeps access logs and the web ACL's log, which know no reasons of this policy",
    F.CONCURRENCY: "API Gateway has no queue and no bound on requests at once",
    F.CONCURRENCY_ADAPTIVE: "API Gateway has no bound on requests at once",
    F.AUTH_INTROSPECTION: "the Lambda function has to ask the authorisation server",
    F.SCOPES: "nothing looks at scopes but your own Lambda function",
    F.BOUND: "credentials are taken from whoever shows them",
    F.DPOP: "no proof of possession is asked for",
    F.TOKENS: "AWS mints no such tokens",
    F.THEFT: "nothing watches how credentials are used",
    F.LEAK_REPORTS: "there is no such endpoint",
    F.PRESET_REQUEST: "a known API's requests pass unread",
    F.PRESET_ANSWER: "answers pass as they are",
    F.PRESET_STREAM: "streams pass unread",
    F.PRESET_METER: "AWS counts no tokens",
    F.QUOTA_TOKENS: "AWS counts no tokens",
    F.QUOTA_BYTES: "AWS counts no bytes",
    F.QUOTA_MONEY: "AWS counts no money",
    F.QUOTA_CONCURRENT: "AWS counts no requests at once",
    F.QUOTA_NAMED: "AWS counts nothing that the service says",
    F.PER_TENANT: "a usage plan counts each key by itself",
    F.QUOTA_CREDIT: "unused quota is gone",
    F.QUOTA_OUTAGE: "AWS says nothing of what its counters do when they fail",
    F.QUOTA_HEADERS: "callers are not told how their quotas stand",
    F.COUNTERS: "AWS counts with counters of its own",
    F.PRICE: "AWS knows no prices of yours",
    F.OUTPUT_TOKENS: "answers may be of any length",
    F.OVERRUN: "no stream is cut",
    F.THROTTLE: "limits stay as they are",
    F.PRIORITY: "requests are served as they come",
    F.SHAPE: "only what a schema says is held",
    F.PARAMETERS: "what stands in path and query is not looked at",
    F.BOUNDS: "a known API's requests pass unread",
    F.ALLOW_FIELDS: "a known API's requests pass unread",
    F.DENY_FIELDS: "say it in the schema: additionalProperties",
    F.ENCODINGS: "a compressed body is not undone",
    F.IMAGES: "images pass unread",
    F.REMOTE_URLS: "addresses pass unread",
    F.SANITIZE: "texts pass as they are",
    F.CHECK_PROMPT_INJECTION: "prompts pass unread",
    F.FIELDS: "answers pass as they are",
    F.DROP_FIELDS: "answers pass as they are",
    F.DISCLOSE: "answers pass as they are",
    F.CONFIDENCE: "answers pass as they are",
    F.PRECISION: "answers pass as they are",
    F.RESPONSE_BYTES: "API Gateway's own 10 MB bound answers",
    F.LEAK_CANARIES: "answers pass as they are",
    F.LEAK_KEYS: "answers pass as they are",
    F.LEAK_PERSONAL: "answers pass as they are",
    F.LEAK_PROMPT: "answers pass as they are",
    F.PADDING: "answers leave with their own size",
    F.FAILURE_SLOT: "failures leave when they happen",
    F.FAILURES: "there is no such endpoint",
    F.EXTRACTION: "nothing watches for copies of the model",
    F.SHADOW_ROUTE: "credentials are asked for all the same; limits, schema and checks of the route are left out",
    F.SHADOW_CONTROL: "a control in shadow is left out",
    F.ON_ERROR: "what AWS does when a control fails is AWS's to say",
    F.LISTEN_TLS: "API Gateway speaks TLS with a certificate of AWS, or that of your domain",
    F.LISTEN_CLIENT_CERTIFICATES: "a domain's trust store takes certificates and knows no revocation",
    F.LISTEN_BOUNDS: "API Gateway has bounds of its own",
    F.TRUSTED_PROXIES: "a caller's address is that of the connection",
    F.CLIENT_CERTIFICATE: "certificates that a proxy passes on are not believed",
}

ANSWERS: Mapping[F, Answer] = {
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
                (F.RESPONSE_HEADERS, "headers"),
                (F.DROP_HEADERS, "drop_headers"),
                (F.ERRORS, "errors"),
            ):
                template.lose(feature, f"{where}.response.{key}", detail, BEHIND, Kind.LOST)
            detail = "bodies pass unread, whatever they are"
            template.lose(F.PRESET_JSON, f"{where}.preset", detail, BEHIND, Kind.LOST)
        elif entry.config.response.errors is not None:
            detail = "no member of an error passes, and errors in the guise of answers do"
            template.lose(F.ERRORS, f"{where}.response.errors", detail, BEHIND, Kind.LOST)
    for name, acl in template.config.web_acls.items():
        if acl.mode is Mode.SHADOW:
            template.keep(F.SHADOW_CONTROL, f"web_acls.{name}.mode")  # its rules count
        if name not in {entry.config.web_acl for entry in listed}:
            lose_place(template, f"web_acls.{name}", "no route names this web ACL")
    _answer_quotas(template, listed)


def _answer_quotas(template: Template, listed: list[Entry]) -> None:
    """Say of each quota that is not exported that none of it is."""
    for entry in listed:
        for index, limit in enumerate(entry.route.limits):
            where = f"routes.{entry.config.name}.quotas[{index}]"
            said = template.special.get((F.QUOTA_REQUESTS, where))
            if said is not None and said.kind is Kind.LOST:
                lose_place(template, where, said.detail)
            elif limit.mode is Mode.SHADOW or entry.route.mode is Mode.SHADOW:
                lose_place(template, where, "it is in shadow, and left out")
            elif limit.quota.unit != "requests":
                lose_place(template, where, f"AWS counts no {limit.quota.unit}")
            elif limit.quota.per is Per.TENANT:
                lose_place(template, where, ANSWERS[F.PER_TENANT].detail)


def lose_place(template: Template, where: str, detail: str) -> None:
    """Say that nothing of what stands at a place is exported."""
    for found in find_features(template.config):
        if found.where == where or found.where.startswith((f"{where}.", f"{where}[")):
            template.special[found.feature, found.where] = Answer(Kind.LOST, detail, BEHIND)
