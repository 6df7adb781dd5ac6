"""The grammar of quotas: `10 per minute`, `300 per 5 minutes`, `N/hour`; of money with decimals, `2.50 per day`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.quota import LONGEST_US, MAX_UNITS, SECOND_US, Per, Quota, Strategy

if TYPE_CHECKING:
    from vallum.config.model.limits import QuotaConfig

UNITS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000}  # a month is 30 days
GRAMMAR = re.compile(r"\s*(\d[\d_]*)(\.\d+)?\s*(?:per\s+(?:(\d+)\s+)?|/\s*(?:(\d+)\s*)?)([a-z]+?)s?\s*", re.IGNORECASE)
EXAMPLE = "write it as: 10 per minute, 300 per 5 minutes, 5000/day"
MILLION = 1_000_000
LEASE_S = 60.0
MOST_LEASES = 100_000  # of one bucket: each of them is remembered


class QuotaError(ValueError):
    """What is wrong with a quota, and under which key."""

    def __init__(self, key: str, message: str) -> None:
        """Say `message` of the value of `key`."""
        super().__init__(message)
        self.key = key


class Amount(NamedTuple):
    """So many units in so long a window."""

    limit: int
    window_us: int
    window: str  # its name
    months: int


def parse_quota(text: str) -> tuple[int, int, str]:
    """Return limit, window in microseconds, and a name for the window; raise ValueError that shows how to write it."""
    return parse_amount(text)[:3]


def parse_amount(text: str, money: bool = False) -> Amount:
    """Read `N per K units of time`; of money N is in whole ones, and the limit in millionths.  Raises ValueError."""
    match = GRAMMAR.fullmatch(text)
    if match is None or match.group(5).lower() not in UNITS_S:
        raise ValueError(f"{text!r} is no quota; {EXAMPLE}")
    whole, decimals, unit = match.group(1).replace("_", ""), match.group(2) or "", match.group(5).lower()
    if decimals and not money:
        raise ValueError(f"{text!r} is no quota; {EXAMPLE}; decimals are for unit: money")
    if len(decimals) > 7:
        raise ValueError(f"{text!r} has more than six decimals")
    limit = int(whole) * MILLION + int(decimals[1:].ljust(6, "0")) if money else int(whole)
    count = int(match.group(3) or match.group(4) or 1)
    if limit < 1 or count < 1:
        raise ValueError(f"{text!r} admits nothing; {EXAMPLE}")
    window_us = count * UNITS_S[unit] * SECOND_US
    if window_us > LONGEST_US:
        raise ValueError(f"{text!r} is over ten years; give it a shorter window")
    if limit > MAX_UNITS:
        raise ValueError(f"{text!r} is over {MAX_UNITS // (MILLION if money else 1)}; give it a lower limit")
    name = unit if count == 1 else f"{count}-{unit}s"
    return Amount(limit, window_us, name, count if unit == "month" else 0)


def build_quota(config: QuotaConfig) -> Quota:
    """Make the quota that `config` describes.  Raises QuotaError."""
    if config.unit == "concurrent":
        amount, strategy = _leases(config), Strategy.LEASES
    else:
        amount, strategy = _window(config), Strategy(config.strategy)
    return Quota(
        name=config.name or _name(config, amount.window),
        limit=amount.limit,
        window_us=amount.window_us,
        per=config.per,
        unit=config.unit,
        strategy=strategy,
        burst=_burst(config, amount.limit),
        on_store_failure=config.on_store_failure,
        months=amount.months if strategy is Strategy.CALENDAR else 0,
        credit=_credit(config, strategy),
    )


def _name(config: QuotaConfig, window: str) -> str:
    """Name a quota by what tells it from others: window, unit unless requests, partition unless the principal's."""
    unit = "" if config.unit == "requests" else config.unit.replace("_", "-")
    per = "" if config.per is Per.PRINCIPAL else config.per.value
    return "-".join(filter(None, (window, unit, per)))


def _leases(config: QuotaConfig) -> Amount:
    if not str(config.limit).strip().isdecimal():
        raise QuotaError("limit", f"{config.limit!r} is no number; how many at once has no window: limit: 4")
    limit = int(config.limit)
    if not 1 <= limit <= MOST_LEASES:
        raise QuotaError("limit", f"{limit} at once; give a number from 1 to {MOST_LEASES}")
    if config.strategy != "strict":
        raise QuotaError("strategy", f"unit: concurrent has no window to be {config.strategy}; leave out strategy")
    lease_us = round((LEASE_S if config.lease_s is None else config.lease_s) * SECOND_US)
    if not SECOND_US <= lease_us <= LONGEST_US:
        raise QuotaError("lease_s", "a lease lasts from one second to ten years")
    return Amount(limit, lease_us, "", 0)


def _window(config: QuotaConfig) -> Amount:
    if config.lease_s is not None:
        raise QuotaError("lease_s", "only unit: concurrent has leases; leave out lease_s")
    try:
        return parse_amount(str(config.limit), money=config.unit == "money")
    except ValueError as error:
        raise QuotaError("limit", str(error)) from error


def _credit(config: QuotaConfig, strategy: Strategy) -> int:
    if config.burst_credit and strategy is not Strategy.STRICT:
        raise QuotaError("burst_credit", "only strategy: strict keeps what was not used; leave out burst_credit")
    return config.burst_credit * (MILLION if config.unit == "money" else 1)


def _burst(config: QuotaConfig, limit: int) -> int | None:
    """Return what may come at once, in millionths of money."""
    if config.burst is None:
        return None
    if config.strategy != "smooth":
        raise QuotaError("burst", "only strategy: smooth has a burst; leave out burst")
    exact = config.burst * MILLION if config.unit == "money" else config.burst
    burst = round(exact)
    if config.unit != "money" and burst != exact:
        raise QuotaError("burst", f"{config.burst} is no whole number; decimals are for unit: money")
    if not 1 <= burst <= limit:
        raise QuotaError("burst", "a burst is at least 1 and at most the limit")
    return burst
