"""What holds on a route, control by control, in the words of the policy file: what `vallum check` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.config.extraction import find_limits
from vallum.core.content import ANY_SHAPE
from vallum.core.cost import MILLION
from vallum.core.extraction import Grade, Respond
from vallum.core.policy import LeakAction, Mode, OnError
from vallum.core.quota import SECOND_US, OnStoreFailure, Per, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.config.model import Config
    from vallum.core.content import Shape
    from vallum.core.extraction import Extraction
    from vallum.core.policy import Concurrency, Intake, Outlet, Route, Sentry, Throttle
    from vallum.core.quota import Quota
    from vallum.core.web_acl import WebAcl

ABSENT = "absent"
SHADOW = "(shadow)"
SEVERAL = ("web acl", "quotas", "checks", "leaks")  # controls that are lists, of which some may be in shadow
WHOSE = {
    Per.KEY: "each key",
    Per.TENANT: "each tenant",
    Per.IP: "each address",
    Per.ROUTE: "all on this route",
    Per.GLOBAL: "all",
}
SPANS_S = {"month": 2_592_000, "day": 86_400, "hour": 3600, "minute": 60, "second": 1}


def describe_route(route: Route) -> dict[str, str]:
    """Say of every control what it does on a route, or that it is absent."""
    intake, outlet = route.intake, route.outlet
    throttle, concurrency = route.throttle, route.upstream.concurrency
    controls = {
        "web acl": _web_acl(route.web_acl),
        "credential": " or ".join(a.type for a in route.authenticators),
        "proof": "required" if route.bound else "of bound credentials",
        "scopes": " ".join(sorted(route.scopes)) or ABSENT,
        "habits": _vigilance(route),
        "throttle": ABSENT if throttle is None else _list([(_lowest(throttle), throttle.mode)]),
        "quotas": _list((describe_quota(limit.quota), limit.mode) for limit in route.limits),
        "concurrency": _list((_span(rule), rule.mode) for rule in (concurrency,) if rule is not None),
        "size": f"{intake.max_bytes} bytes{_shape(intake.shape)}" if intake.max_bytes else "no body",
        "schema": _schemas(intake),
        "images": _list([("by their headers", intake.images_mode)] if intake.images is not None else []),
        "checks": _list((guard.check.type, guard.mode) for guard in intake.checks),
        "sanitise": "yes" if intake.sanitiser is not None else ABSENT,
        "answer": " ".join(step.type for step in outlet.transforms) or ABSENT,
        "withheld": " ".join(outlet.withheld) or ABSENT,
        "extraction": _extraction(route.extraction),
        "leaks": _list((_leak(sentry), sentry.mode) for sentry in outlet.leaks),
        "padding": _padding(outlet),
        "on error": "deny" if route.on_error is OnError.DENY else "allow",
    }
    if route.mode is Mode.SHADOW:
        return {name: value if value == ABSENT else f"shadow: {value}" for name, value in controls.items()}
    return controls


def tell_limits(route: Route) -> list[str]:
    """Say what is right as it stands and may still not be what was meant."""
    rule = route.extraction
    return [] if rule is None else [f"extraction: {words}" for words in find_limits(rule, route.outlet)]


def tell_state(control: str, value: str) -> str:
    """Say in one word how a control stands: enforced, shadow, in part (some of it in shadow), or absent."""
    if control == "on error":
        return "lets through" if value.endswith("allow") else "refuses"
    if value == ABSENT:
        return ABSENT
    items = value.split(", ") if control in SEVERAL else [value]
    shadowed = sum(item.endswith(SHADOW) for item in items)
    if value.startswith("shadow: ") or shadowed == len(items):
        return "shadow"
    return "in part" if shadowed else "enforced"


def describe_quota(quota: Quota) -> str:
    """Write a quota as the policy file does, with what is not usual behind it."""
    money = quota.unit == "money"
    unit = {"requests": "", "concurrent": " at once"}.get(quota.unit, f" {quota.unit}")
    window = "" if quota.strategy is Strategy.LEASES else f" per {_window(quota)}"
    words = [f"{amount(quota.limit, money)}{unit}{window}"]
    if quota.per is not Per.PRINCIPAL:
        words.append(WHOSE[quota.per])
    if quota.strategy is Strategy.SMOOTH:
        words.append(f"smooth (burst {amount(quota.most_at_once(quota.limit), money)})")
    if quota.strategy is Strategy.CALENDAR:
        words.append("calendar")
    if quota.credit:
        words.append(f"{amount(quota.credit, money)} kept")
    if quota.on_store_failure is not OnStoreFailure.LOCAL:
        words.append(f"without the store: {quota.on_store_failure}")
    return " · ".join(words)


def amount(units: int, money: bool) -> str:
    """Write units as the policy file does: money with decimals, and not in millionths."""
    return f"{units / MILLION:.6f}".rstrip("0").rstrip(".") if money else str(units)


def describe_door(config: Config) -> str:
    """Say how clients come in: what holds on every route."""
    tls, header = config.listen.tls, config.client_certificate
    clients = "no client certificates" if tls is None else f"client certificates {tls.client_auth}"
    if header is not None:
        clients = f"client certificates in {header.header} from {', '.join(config.trusted_proxies)}"
    elif tls is not None and tls.client_auth == "none":
        clients = "no client certificates"
    lists = [held.crl for held in (tls, header) if held is not None and held.crl is not None]
    revoked = f", revocation lists {', '.join(lists)}" if lists else ""
    spoken = "plain HTTP" if tls is None else f"TLS {tls.min_version:g} and later"
    return f"Listens on {config.listen.address}: {spoken}, {clients}{revoked}."


def _window(quota: Quota) -> str:
    if quota.months:
        return "month" if quota.months == 1 else f"{quota.months} months"
    window_s = quota.window_us // SECOND_US
    name, span_s = next((name, span_s) for name, span_s in SPANS_S.items() if window_s % span_s == 0)
    return name if window_s == span_s else f"{window_s // span_s} {name}s"


def _shape(shape: Shape) -> str:
    bounds = {name: bound for name, bound in shape._asdict().items() if bound != getattr(ANY_SHAPE, name)}
    return "".join(f", {name} {bound:g}" for name, bound in bounds.items())


def _schemas(intake: Intake) -> str:
    held = [*intake.schemas, *(["parameters"] if intake.parameters is not None else [])]
    return " and ".join(held) or ABSENT


def _leak(sentry: Sentry) -> str:
    return sentry.check.type if sentry.action is LeakAction.REDACT else f"{sentry.check.type} refused"


def _padding(outlet: Outlet) -> str:
    sizes = {"events": outlet.pad_event_bytes, "answers": outlet.pad_answer_bytes}
    return ", ".join(f"{name} to {size} bytes" for name, size in sizes.items() if size > 1) or ABSENT


def _web_acl(acl: WebAcl | None) -> str:
    """Name the rules in the order in which they are judged: those on the head, then those on the body."""
    if acl is None:
        return ABSENT
    rules = sorted(acl.rules, key=lambda rule: rule.reads_body)
    words = [f"{rule.name} {rule.action.value}{' (body)' * rule.reads_body}" for rule in rules]
    return f"{acl.name}: {_list((text, acl.mode) for text in words)}"


def _vigilance(route: Route) -> str:
    vigilance = route.vigilance
    if vigilance is None:
        return ABSENT
    text = f"limits x {vigilance.leeway:g} from {vigilance.tighten_at:g}, proof from {vigilance.step_up_at:g}"
    return text if vigilance.mode is Mode.ENFORCE else f"{text} {SHADOW}"


def _extraction(rule: Extraction | None) -> str:
    if rule is None or not rule.watch:
        return ABSENT
    terms = rule.terms
    done = {
        Grade.COARSER: f"answers at level {terms.coarsen}",
        Grade.BUDGET: f"{terms.answers_a_day} answers a day for a cluster",
        Grade.PROOF: f"work of {terms.work_bits[0]} to {terms.work_bits[1]} bits",
        Grade.REFUSED: "refusal",
    }
    steps = "; ".join(words for grade, words in done.items() if grade in terms.grades) or "operators are told"
    text = f"{rule.respond} on {rule.kind} inputs: {steps}"
    return f"{text} {SHADOW}" if rule.respond is Respond.OBSERVE else text


def _lowest(throttle: Throttle) -> str:
    blocks = "" if throttle.block_s is None else f", then a block of {throttle.block_s:g} s"
    return f"down to {throttle.floor:g} of the plan{blocks}"


def _span(rule: Concurrency) -> str:
    return f"{rule.most} at once" if rule.target_ttfb_s is None else f"{rule.least} to {rule.most} at once"


def _list(items: Iterable[tuple[str, Mode]]) -> str:
    return ", ".join(f"{words} {SHADOW}" if mode is Mode.SHADOW else words for words, mode in items) or ABSENT
