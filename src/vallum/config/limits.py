"""Turns what a route says of quotas, prices, bounds and overload into what the engine reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.config.model.limits import BlockConfig, QuotaConfig
from vallum.config.quotas import QuotaError, build_quota
from vallum.core.cost import MILLION, OF_TOKENS, OutputBound, Price, Tariff
from vallum.core.policy import Concurrency, Limit, OnOverrun, Priorities, Priority, Throttle
from vallum.presets import METERED, PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vallum.config.faults import Faults
    from vallum.config.model import RouteConfig, UpstreamConfig
    from vallum.config.model.limits import ConcurrencyConfig, PriceConfig, PrioritiesConfig, ThrottleConfig
    from vallum.config.source import Place
    from vallum.core.quota import Quota

    CheckUnit = Callable[[Quota, Place], None]

TOKENS_ARE = f"they are in {', '.join(METERED)}"


def build_limits(
    faults: Faults, entries: Sequence[str | QuotaConfig], place: Place, check_unit: CheckUnit
) -> tuple[Limit, ...]:
    """Return the quotas of a list, each of which `check_unit` may find fault with."""
    limits: list[Limit] = []
    for index, entry in enumerate(entries):
        at = (*place, index)
        item = QuotaConfig(limit=entry) if isinstance(entry, str) else entry
        try:
            quota = build_quota(item)
        except QuotaError as error:
            faults.note(at if isinstance(entry, str) else (*at, error.key), str(error))
            continue
        if any(quota.name == other.quota.name for other in limits):
            faults.note(at, f"two quotas are called {quota.name!r}", "give one of them a name of its own")
        check_unit(quota, at)
        limits.append(Limit(quota, item.mode))
    return tuple(limits)


def check_unit(faults: Faults, route: RouteConfig, tariff: Tariff, quota: Quota, place: Place) -> None:
    """Find a quota in a unit that nothing on this route could count."""
    if quota.unit == "tokens" and PRESETS[route.preset].meter is None:
        faults.note(place, f"preset {route.preset!r} has no tokens to count", TOKENS_ARE)
    elif quota.unit == "money" and not any(tariff.price):
        faults.note(place, "a quota of money needs a price", "give the route or its upstream a price")
    elif quota.unit == "requests" and quota.most_at_once(quota.limit) < route.cost:
        faults.note(place, f"{quota.name!r} will never let a call of cost {route.cost} through")


def check_no_tokens(faults: Faults, quota: Quota, place: Place) -> None:
    """Find a quota in a unit that the gateway's own routes do not have."""
    if quota.unit in OF_TOKENS:
        faults.note(place, f"nothing here has a cost in {quota.unit}")


def check_tokens(faults: Faults, route: RouteConfig, place: Place) -> None:
    """Find what needs tokens where there are none."""
    if PRESETS[route.preset].meter is not None:
        return
    price = route.price
    if price is not None and (price.per_million_input_tokens or price.per_million_output_tokens):
        faults.note((*place, "price"), f"preset {route.preset!r} has no tokens to price", "give per_call alone")
    if route.request.max_output_tokens is not None:
        at = (*place, "request", "max_output_tokens")
        faults.note(at, f"preset {route.preset!r} has no tokens to bound", TOKENS_ARE)
    if route.response.on_overrun is OnOverrun.CUT:
        at = (*place, "response", "on_overrun")
        faults.note(at, f"preset {route.preset!r} has no streams that could be cut", TOKENS_ARE)


def build_tariff(route: RouteConfig, upstream: UpstreamConfig | None) -> Tariff:
    """Return what a call costs: by the route's price, else by its upstream's."""
    price = route.price or (upstream.price if upstream is not None else None)
    return Tariff(route.cost, Price() if price is None else _in_millionths(price), route.response.reserve_bytes)


def _in_millionths(price: PriceConfig) -> Price:
    return Price(
        round(price.per_call * MILLION),
        round(price.per_million_input_tokens * MILLION),
        round(price.per_million_output_tokens * MILLION),
    )


def build_output_bound(route: RouteConfig, limits: tuple[Limit, ...]) -> OutputBound | None:
    """Return the bound on an answer's tokens, where the policy sets one or a quota has to know it."""
    most = route.request.max_output_tokens
    if most is not None:
        return OutputBound(most, most)
    counts = PRESETS[route.preset].meter is not None and any(limit.quota.unit in OF_TOKENS for limit in limits)
    return OutputBound() if counts else None


def build_concurrency(config: ConcurrencyConfig | None) -> Concurrency | None:
    """Return how much an upstream is given at once; None: whatever comes."""
    if config is None:
        return None
    streams_only = config.signal == "streams"
    return Concurrency(
        config.max, config.min, config.target_ttfb_s, config.room, config.wait_s, streams_only, config.mode
    )


def build_throttle(config: ThrottleConfig) -> Throttle:
    """Return what becomes of the limits of callers who do what they should not."""
    block = config.block or BlockConfig()
    block_s = None if config.block is None else block.for_s
    return Throttle(config.mode, config.grace, config.half_life_s, config.floor, block_s, block.at)


def build_priorities(config: PrioritiesConfig) -> Priorities:
    """Return whom an upstream serves first."""
    subjects, tenants = (
        {name: Priority[value.upper()] for name, value in given.items()} for given in (config.subjects, config.tenants)
    )
    return Priorities(subjects, tenants)
