"""The stages of a request: what each control on the line does.  Their order is in engine.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from vallum.core.address import ip_partition
from vallum.core.content import Content, ContentError
from vallum.core.cost import OF_TOKENS, TAKEN_FOR_GOOD, Bill, OutputBound
from vallum.core.decision import INVALID_TOKEN, Challenge, Deny, Finding, Reason
from vallum.core.effects import Steps, TakeQuota, ask
from vallum.core.exchange import NOBODY
from vallum.core.policy import Mode, OnOverrun
from vallum.core.principal import Principal
from vallum.core.problem import ErrorFormat
from vallum.core.quota import SECOND_US, Demand, Per, Quota, Strategy, Taken
from vallum.core.quota_fields import openai_writer, quota_writer

if TYPE_CHECKING:
    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange, Fields, Headers
    from vallum.core.policy import Guard, Route

    Writer = Callable[[tuple[Quota, ...]], Callable[[Taken], Fields]]


# --- request head -----------------------------------------------------------------------------------------------------


def declared_size(x: Exchange, route: Route) -> Deny | None:
    """Refuse a body that announces itself over the route's bound."""
    declared = x.request.headers.get("content-length")
    if declared is not None and int(declared) > route.intake.max_bytes:
        return too_large(route)
    return None


def too_large(route: Route) -> Deny:
    """Refuse a body over the route's bound."""
    return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {route.intake.max_bytes} bytes")


def has_body(headers: Headers) -> bool:
    """Say whether a request's head announces a body (RFC 9112 6)."""
    length = headers.get("content-length")
    return headers.get("transfer-encoding") is not None or (length is not None and length != "0")


def media_type(x: Exchange, route: Route) -> Deny | None:
    """Refuse a body whose type or encoding the route does not take."""
    headers = x.request.headers
    if not route.intake.media_types or not has_body(headers):
        return None
    encodings = headers.all("content-encoding")
    if encodings and any(encoding.lower() != "identity" for encoding in encodings):
        return Deny(Reason.UNSUPPORTED_MEDIA_TYPE, "media_type", f"content-encoding {encodings!r}")
    types = headers.all("content-type")
    if len(types) != 1 or not (types[0] in route.intake.media_types or _takes(route, types[0])):
        return Deny(Reason.UNSUPPORTED_MEDIA_TYPE, "media_type", f"content-type {types!r}")
    return None


def _takes(route: Route, content_type: str) -> bool:
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() not in route.intake.media_types:
        return False
    # JSON is UTF-8 (RFC 8259 8.1): any other charset is a promise that the upstream might keep and we would not.
    for parameter in filter(None, (text.strip().lower() for text in parameters.split(";"))):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip('"') not in ("utf-8", "utf8"):
            return False
    return True


def query(x: Exchange, route: Route) -> Deny | None:
    """Refuse query parameters that the route does not name."""
    if not x.request.query:
        return None
    try:
        pairs = query_pairs(x.request.query)
    except ValueError:
        return Deny(Reason.MALFORMED_REQUEST, "query", "not UTF-8, or over 100 fields")
    allowed = route.intake.query
    if allowed is not None and any(name not in allowed for name, _ in pairs):
        return _invalid("query", "unknown_parameter", "query")
    return None


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Decode a query string; raises ValueError on what is not UTF-8 or has over 100 fields."""
    return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)


PLANS_KEPT = 4096  # callers whose buckets' names are kept ready


def authenticate(x: Exchange, route: Route) -> Steps[Refusal | None]:
    """Ask each authenticator in turn; the first that is responsible decides."""
    headers = x.request.headers
    presented = len(headers.all("authorization")) + len(headers.all("x-api-key"))
    if presented > 1:  # which one would the next hop believe?
        return Challenge(challenges(route, invalid=True), "authenticate", "two credentials at once")
    for authenticator in route.authenticators:
        answer = yield from authenticator.authenticate(x.request)
        if isinstance(answer, Principal):
            x.principal = answer
            return None
        if isinstance(answer, Challenge):
            x.canary = answer.canary
        if isinstance(answer, Challenge) and answer.scheme in (INVALID_TOKEN, authenticator.challenge):
            invalid = answer.scheme == INVALID_TOKEN  # which one refused is nobody's business
            return Challenge(challenges(route, invalid=invalid), answer.control, answer.detail)
        if answer is not None:
            return answer
    if x.request.certificate is not None and not presented:
        detail = "no authenticator of this route takes this certificate"
        return Challenge(challenges(route, invalid=False), "authenticate", detail)
    if presented:
        detail = "no authenticator of this route takes this credential"
        return Challenge(challenges(route, invalid=True), "authenticate", detail)
    return Challenge(challenges(route, invalid=False), "authenticate", "no credential was presented")


def challenges(route: Route, *, invalid: bool) -> str:
    """Write what a route asks for: each scheme once (RFC 9110 11.6.1), with all that its authenticators say of it."""
    schemes: dict[str, list[str]] = {"Bearer": ['error="invalid_token"']} if invalid else {}
    for authenticator in route.authenticators:
        scheme, _, parameters = authenticator.challenge.partition(" ")
        said = schemes.setdefault(scheme, [])
        if parameters and parameters not in said:
            said.append(parameters)
    return ", ".join(f"{scheme} {', '.join(said)}".rstrip() for scheme, said in schemes.items())


def authorise(x: Exchange, route: Route) -> Refusal | None:
    """Refuse a principal that lacks one of the route's scopes, or whose credential is not for this route."""
    routes = x.principal.routes
    if routes is not None and route.name not in routes:
        scheme = 'Bearer error="insufficient_scope"'  # RFC 6750 3.1
        detail = f"{x.principal.credential_id} is not for this route"
        return Deny(Reason.INSUFFICIENT_SCOPE, "authorise", detail, headers=(("www-authenticate", scheme),))
    missing = route.scopes - x.principal.scopes
    if not missing:
        return None
    scheme = f'Bearer error="insufficient_scope", scope="{" ".join(sorted(route.scopes))}"'  # RFC 6750 3.1
    detail = f"missing scope: {', '.join(sorted(missing))}"
    return Deny(Reason.INSUFFICIENT_SCOPE, "authorise", detail, headers=(("www-authenticate", scheme),))


# --- request body -----------------------------------------------------------------------------------------------------


def parse(x: Exchange, route: Route) -> Refusal | None:
    """Read the body strictly, and bound its shape."""
    codec = route.intake.codec
    if codec is None:
        return None
    try:
        pairs = query_pairs(x.request.query) if x.request.query else ()
        document = codec.decode(x.body) if x.body else None
        x.content = Content(document, pairs, route.intake.max_depth)
    except ContentError as bound:  # each clause names its own: the compiler gives one name one type
        if str(bound) == "finite":
            return Deny(Reason.MALFORMED_REQUEST, "parse", "a number is not finite")
        return _invalid("parse", str(bound), "")
    except ValueError as error:
        return Deny(Reason.MALFORMED_REQUEST, "parse", str(error))
    x.document = document
    return None


def meter(x: Exchange, route: Route) -> Refusal | None:
    """Estimate the tokens that a request asks for, where a quota counts them or the policy bounds them."""
    bound = route.output_bound
    if bound is None:
        if not any(quota.unit in OF_TOKENS for quota in x.principal.quotas):
            return None
        bound = OutputBound()
    if route.meter is None or x.content is None:
        x.unscanned.append("meter")
        return None
    estimate = route.meter.estimate(x.document, bound)
    if isinstance(estimate, Finding):
        return _found("meter", estimate)
    x.estimate = estimate
    return None


class Plan(NamedTuple):
    """What one caller is asked for on one route: everything about the taking that is the same every time."""

    demands: tuple[Demand, ...]
    settles: bool
    write: Callable[[Taken], Fields]


def quotas(
    quotas: tuple[Quota, ...], *, shadow: bool = False, writer: Writer | None = None
) -> Callable[[Exchange, Route], Steps[Refusal | None]]:
    """Make the stage that takes these quotas and the credential's own together, or none of them.

    `shadow`: they are tried beside the others.  `writer` makes what writes them into the answer's fields.
    """
    plans: dict[tuple[Principal, str], Plan] = {}

    def plan(x: Exchange, route: Route) -> Plan:
        own = () if shadow else _own(quotas, x.principal.quotas)
        cost = route.tariff.requests
        demands = [Demand(quota, partition(quota, x, route), cost, None, holder(quota, x)) for quota in quotas]
        demands += [Demand(quota, own_bucket(quota, x.principal), cost, None, x.principal.subject) for quota in own]
        settles = any(demand.quota.unit not in TAKEN_FOR_GOOD for demand in demands)
        write = _silent if writer is None else writer((*quotas, *own))
        return Plan(tuple(demands), settles, write)

    def run(x: Exchange, route: Route) -> Steps[Refusal | None]:
        known = plans.get((x.principal, x.request.client))
        if known is None:
            known = plan(x, route)
            if len(plans) >= PLANS_KEPT:
                plans.clear()
            plans[x.principal, x.request.client] = known
        demands, settles, write = known
        if not demands:
            return None
        if x.factor != 1.0:
            demands = tuple([demand._replace(limit=max(1, int(demand.quota.limit * x.factor))) for demand in demands])
        if settles:
            bill = _bill(x, route)
            demands = bill.ask(demands)
            bill.owe(demands, shadow)  # before it is taken: what is cut off in between is settled too
            taken = yield from ask(TakeQuota(demands, x.request.id))
            if taken.refused is not None:
                bill.drop(demands)
        else:
            taken = yield from ask(TakeQuota(demands))
        if not shadow:
            x.taken = taken
            x.quota_fields = write(taken)
        x.unscanned += _uncounted(taken)
        return None if taken.refused is None else _over(x, demands, taken)

    return run


def _uncounted(taken: Taken) -> list[str]:
    return [f"quota:{quota.name} (the counter store is out)" for quota in taken.skipped]


def _bill(x: Exchange, route: Route) -> Bill:
    if x.bill is None:
        received = len(x.body) if route.intake.codec is not None else _announced(x, route)
        x.bill = Bill(route.tariff, received, route.meter, x.estimate)
        enforced = route.mode is Mode.ENFORCE
        x.bill.cuts = enforced and route.on_overrun is OnOverrun.CUT
    return x.bill


def _announced(x: Exchange, route: Route) -> int:
    """Return the size of a body that is passed on unread: as its head says, or else as much as it may be."""
    headers = x.request.headers
    if headers.get("transfer-encoding") is not None:
        return route.intake.max_bytes
    return int(headers.get("content-length") or 0)


def _own(quotas: tuple[Quota, ...], own: tuple[Quota, ...]) -> tuple[Quota, ...]:
    """Return a credential's own quotas, under names that the route's quotas have not taken."""
    names = {quota.name for quota in quotas}
    return tuple([replace(quota, name=f"{quota.name}-key") if quota.name in names else quota for quota in own])


def own_bucket(quota: Quota, who: Principal) -> str:
    """Name the bucket of a credential's own quota, which is the same on every route."""
    return f"\x1f{_identity(quota)}\x1fkey\x1f{who.lineage or who.credential_id}"


def _identity(quota: Quota) -> str:
    # What a bucket holds depends on these: a reload that changes one begins a new count, and never mixes two.
    return f"{quota.name}\x1f{quota.window_us}\x1f{quota.strategy.value}\x1f{quota.unit}"


def holder(quota: Quota, x: Exchange) -> str:
    """Name who holds the bucket: those of one holder lie together in a store of many nodes."""
    who = x.principal
    if quota.per in (Per.GLOBAL, Per.ROUTE):
        return ""
    if quota.per is Per.IP or who is NOBODY:
        return ip_partition(x.request.client)
    if quota.per is Per.TENANT and who.tenant is not None:
        return f"tenant\x1f{who.tenant}"
    return who.subject


def choose_writer(route: Route) -> Writer | None:
    """Say how the quotas of a route are told to its callers; None: they are not."""
    if not route.shows_quotas:
        return None
    return openai_writer if route.error_format is ErrorFormat.OPENAI else quota_writer


def _silent(_: Taken) -> Fields:
    return ()


def _over(x: Exchange, demands: tuple[Demand, ...], taken: Taken) -> Deny:
    """Refuse what a quota has no room for, now or ever."""
    refused = taken.refused
    assert refused is not None
    cost = next((demand.cost for demand in demands if demand.quota.name == refused.name), 1)
    control = f"quota:{refused.name}"
    if taken.unavailable:
        detail = "the counter store is out, and the quota's on_store_failure is deny"
        return Deny(Reason.UNAVAILABLE, control, detail, retry_after_s=1)
    if taken.never:
        pointer = x.estimate.pointer if x.estimate is not None and refused.unit in OF_TOKENS else ""
        violation = {"pointer": pointer, "rule": "over_quota"}
        detail = f"{cost} {refused.unit} will never fit into {refused.limit}"
        return Deny(Reason.INVALID_REQUEST, control, detail, violations=(violation,))
    wait_s = max(1, -(-taken.retry_after_us // SECOND_US))
    detail = f"{refused.limit} per {refused.window_s} s per {refused.per}"
    if refused.strategy is Strategy.LEASES:  # when one ends nobody knows: ask again soon
        wait_s, detail = 1, f"{refused.limit} at once per {refused.per}"
    elif refused.unit != "requests":
        detail = f"{refused.limit} {refused.unit} per {refused.window_s} s per {refused.per}; {cost} asked for"
    # An SDK that retries for a day helps nobody: tell it not to.
    return Deny(Reason.QUOTA_EXCEEDED, control, detail, wait_s, should_retry=wait_s <= 120)


def partition(quota: Quota, x: Exchange, route: Route) -> str:
    """Name the bucket that this exchange fills in `quota`.

    Who has no subject (a route in shadow, or one whose registry is down and allows) is counted by address, so that no
    failure ever means "unlimited" or "one bucket for everybody".
    """
    name = _identity(quota)
    scope = f"{route.name}\x1f{name}\x1f"
    if quota.per is Per.GLOBAL:
        return f"\x1f{name}\x1f"
    if quota.per is Per.ROUTE:
        return scope
    who = x.principal
    if quota.per is Per.IP or who is NOBODY:
        return f"{scope}ip\x1f{ip_partition(x.request.client)}"
    if quota.per is Per.KEY and who.credential_id is not None:
        return f"{scope}key\x1f{who.lineage or who.credential_id}"
    if quota.per is Per.TENANT and who.tenant is not None:
        return f"{scope}tenant\x1f{who.tenant}"
    return f"{scope}subject\x1f{who.subject}"


def fields(x: Exchange, route: Route) -> Refusal | None:
    """Refuse a body with a denied member at its top."""
    if isinstance(x.document, dict):
        for name in route.intake.deny_fields:
            if name in x.document:
                return _invalid("fields", "denied_field", f"/{name}")
    return None


def schema(x: Exchange, route: Route) -> Refusal | None:
    """Hold the body against the route's schema."""
    if x.content is None or route.intake.schema is None:
        x.unscanned.append("schema")
        return None
    finding = route.intake.schema(x.content)
    return None if finding is None else _found("schema", finding)


def check(guard: Guard) -> Callable[[Exchange, Route], Refusal | None]:
    """Make the stage of one check."""
    name = f"check:{guard.check.type}"
    inspect = guard.check.inspect

    def run(x: Exchange, _: Route) -> Refusal | None:
        if x.content is None:
            x.unscanned.append(name)
            return None
        finding = inspect(x.content)
        return None if finding is None else _found(name, finding)

    return run


def sanitise(x: Exchange, route: Route) -> Refusal | None:
    """Clean what is passed on, and hold it against the schema once more."""
    intake = route.intake
    if x.content is None or intake.codec is None or intake.sanitiser is None:
        x.unscanned.append("sanitise")
        return None
    document = intake.sanitiser.clean(x.content)
    if isinstance(document, Finding):
        return _found("sanitise", document)
    if document is x.document or route.mode is Mode.SHADOW:
        return None
    # What was changed must still be what the schema promises: stripping can leave a string empty.
    x.document, x.content = document, Content(document, x.content.query, intake.max_depth)
    x.forward = intake.codec.encode(document)
    x.sanitised = True
    return schema(x, route) if intake.schema is not None else None


def amend(x: Exchange, route: Route) -> Refusal | None:
    """Write into the request what makes its reservation hold: a bound on its output, and the wish for a usage."""
    intake, meter = route.intake, route.meter
    if x.estimate is None or meter is None or intake.codec is None or route.mode is Mode.SHADOW:
        return None
    shown = meter.shows_usage(x.document)
    document = dict(x.document)  # what the checks have seen stays as it is
    x.amended = meter.amend(document, route.output_bound or OutputBound())
    if x.amended:
        x.document, x.forward = document, intake.codec.encode(document)
    if x.bill is not None:
        x.bill.hides_usage = not shown
    return None


def _found(control: str, finding: Finding) -> Deny:
    detail = f"{finding.rule} at {finding.where or 'the whole'}: {finding.detail}"
    violations = ({"pointer": finding.where, "rule": finding.rule},) if finding.public else ()
    return Deny(finding.reason, control, detail, violations=violations)


def _invalid(control: str, rule: str, where: str) -> Deny:
    return _found(control, Finding(rule, where, reason=Reason.INVALID_REQUEST, public=True))
