"""The stages in which an exchange pays.  What it costs is in cost.py, the order of stages in engine.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from vallum.core import verdicts
from vallum.core.address import ip_partition
from vallum.core.cost import ANSWERS, OF_TOKENS, TAKEN_FOR_GOOD, Bill, OutputBound
from vallum.core.decision import Deny, Finding, Reason
from vallum.core.effects import Steps, TakeQuota, ask
from vallum.core.exchange import NOBODY
from vallum.core.policy import Mode, OnOverrun
from vallum.core.principal import Principal
from vallum.core.problem import ErrorFormat
from vallum.core.quota import SECOND_US, Demand, Per, Quota, Strategy, Taken
from vallum.core.quota_fields import openai_writer, quota_writer
from vallum.core.stages import found
from vallum.core.standing import in_force
from vallum.core.weight import weigh as count_answers

if TYPE_CHECKING:
    from vallum.core.decision import Refusal
    from vallum.core.exchange import Exchange, Fields
    from vallum.core.policy import Route

    Writer = Callable[[tuple[Quota, ...]], Callable[[Taken], Fields]]

PLANS_KEPT = 4096  # callers whose buckets' names are kept ready


def weigh(x: Exchange, route: Route) -> None:
    """Count the answers that a request asks for: what a quota of requests takes for it."""
    x.weight = count_answers(x.document, route.factors)


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
        return found("meter", estimate)
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
        who = x.principal
        own = () if shadow else who.quotas
        shown = _own(quotas, own)
        cost = route.tariff.requests
        demands = [Demand(quota, partition(quota, x, route), cost, None, holder(quota, x)) for quota in quotas]
        # The bucket has the quota's own name, whatever it is shown as here: it is the same on every route.
        buckets = [own_bucket(quota, who) for quota in own]
        demands += [Demand(quota, key, cost, None, who.subject) for quota, key in zip(shown, buckets, strict=True)]
        settles = any(demand.quota.unit not in TAKEN_FOR_GOOD for demand in demands)
        write = _silent if writer is None else writer((*quotas, *shown))
        return Plan(tuple(demands), settles, write)

    def make(x: Exchange, route: Route) -> Plan:
        if len(plans) >= PLANS_KEPT:
            plans.clear()
        made = plans[x.principal, x.request.client] = plan(x, route)
        return made

    def run(x: Exchange, route: Route) -> Steps[Refusal | None]:
        demands, settles, write = plans.get((x.principal, x.request.client)) or make(x, route)
        held = verdicts.demands(x, route) if not shadow and verdicts.acts(x, route) else ()
        if not demands and not held:
            return None
        if x.factor != 1.0 or x.weight != 1:
            demands = _weighted(narrow(demands, x.factor), x.weight)
        demands += held  # at the end: what is written of the others goes by their places
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
        return None if taken.refused is None and not taken.skipped else _weigh(x, demands, taken)

    return run


def narrow(demands: tuple[Demand, ...], factor: float) -> tuple[Demand, ...]:
    """Put the limits in force that this caller has for now: at least 1 of each."""
    if factor == 1.0:
        return demands
    return tuple([demand._replace(limit=in_force(demand.quota.limit, factor)) for demand in demands])


def _weighted(demands: tuple[Demand, ...], weight: int) -> tuple[Demand, ...]:
    """Ask a quota of requests for as many as a request counts as; all else is counted as it is."""
    if weight == 1:
        return demands
    return tuple(
        [
            demand._replace(cost=demand.cost * weight) if demand.quota.unit in TAKEN_FOR_GOOD else demand
            for demand in demands
        ]
    )


def _bill(x: Exchange, route: Route) -> Bill:
    if x.bill is None:
        received = len(x.body) if route.intake.codecs else _announced(x, route)
        tariff = route.tariff._replace(requests=route.tariff.requests * x.weight)
        x.bill = Bill(tariff, received, route.meter, x.estimate)
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
    return f"{quota.name}\x1f{quota.window_us}\x1f{quota.strategy.value}\x1f{quota.months}\x1f{quota.unit}"


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


def _weigh(x: Exchange, demands: tuple[Demand, ...], taken: Taken) -> Deny | None:
    """Note what was not counted, and refuse what a quota has no room for, now or ever."""
    x.unscanned.extend([f"quota:{quota.name} (the counter store is out)" for quota in taken.skipped])
    refused = taken.refused
    if refused is None:
        return None
    if refused.unit == ANSWERS:
        return verdicts.over(demands, taken)
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
    limit = in_force(refused.limit, x.factor)
    detail = f"{limit} per {refused.window_s} s per {refused.per}"
    if refused.strategy is Strategy.LEASES:  # when one ends nobody knows: ask again soon
        wait_s, detail = 1, f"{limit} at once per {refused.per}"
    elif refused.unit != "requests":
        detail = f"{limit} {refused.unit} per {refused.window_s} s per {refused.per}; {cost} asked for"
    if taken.nodes:
        detail += f"; the counter store is out: a limit is shared by {taken.nodes}"
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


def amend(x: Exchange, route: Route) -> Refusal | None:
    """Write into the request what makes its reservation hold: a bound on its output, and the wish for a usage."""
    meter = route.meter
    if x.estimate is None or meter is None or x.codec is None or route.mode is Mode.SHADOW:
        return None
    shown = meter.shows_usage(x.document)
    document = dict(x.document)  # what the checks have seen stays as it is
    x.amended = meter.amend(document, route.output_bound or OutputBound())
    if x.amended:
        x.document, x.forward = document, x.codec.encode(document)
    if x.bill is not None:
        x.bill.hides_usage = not shown
    return None
