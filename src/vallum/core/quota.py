"""Quotas as facts: how much of what, in which window, for whom, and what is asked of it and answered.

The arithmetic stands beside: `windows` (strict and calendar), `smooth` and `leases` count, `buckets` takes from several
of them at once.  Times are integers, in microseconds, and units are integers too, so that no rounding can open a gap.
All of them stay below 2^53, so that what computes in doubles (Lua, in the shared store) computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

SECOND_US = 1_000_000
LONGEST_US = 3653 * 86_400 * SECOND_US  # ten years: the longest window.  Times 24 it is still below 2^53
MAX_UNITS = 10**15  # the highest limit; of money a billion, in millionths
MAX_UNSETTLED = 4096  # reservations that one bucket remembers at once
BURST_SHARE = 10  # of a limit is the burst of a smooth quota that names none
BUSY_US = SECOND_US  # how long to wait for a bucket that remembers as many as it may


class Per(StrEnum):
    """Whose bucket a quota fills."""

    PRINCIPAL = "principal"
    KEY = "key"
    TENANT = "tenant"
    IP = "ip"
    ROUTE = "route"
    GLOBAL = "global"


class Strategy(StrEnum):
    """What a quota promises."""

    STRICT = "strict"  # never more than N in any span of the window's length
    SMOOTH = "smooth"  # a steady rate with an explicit burst (GCRA)
    CALENDAR = "calendar"  # aligned windows, for billing
    LEASES = "leases"  # never more than N at once; a lease that is not renewed ends by itself


class OnStoreFailure(StrEnum):
    """What a quota does while the shared store cannot be asked."""

    LOCAL = "local"  # this node's share of the limit, counted here
    DENY = "deny"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` units in any `window_us` microseconds, for each partition of `per`.

    `unit` is `requests`, `tokens`, `bytes`, `money` (in millionths), `concurrent`, or one that the upstream counts.
    Leases have no window: there `window_us` is how long one lasts unless it is renewed.  `months` is of calendar
    quotas only: windows of so many months, of which `window_us` is the nominal length.  Raises ValueError beyond the
    bounds above.
    """

    name: str
    limit: int
    window_us: int
    per: Per = Per.PRINCIPAL
    unit: str = "requests"
    strategy: Strategy = Strategy.STRICT
    burst: int | None = None  # of smooth: what may come at once
    on_store_failure: OnStoreFailure = OnStoreFailure.LOCAL
    credit: int = 0  # of what was not used, kept for later: see credit.py
    months: int = 0

    def __post_init__(self) -> None:
        """Hold the bounds within which the arithmetic is exact."""
        if not (1 <= self.limit <= MAX_UNITS and 1 <= self.window_us <= LONGEST_US and self.months >= 0):
            raise ValueError(f"{self.name}: {self.limit} per {self.window_us} us is out of bounds")
        if self.burst is not None and not 1 <= self.burst <= self.limit:
            raise ValueError(f"{self.name}: a burst of {self.burst} is not within 1 and the limit")

    @property
    def window_s(self) -> int:
        """The window in whole seconds, at least 1."""
        return max(1, self.window_us // SECOND_US)

    def most_at_once(self, limit: int) -> int:
        """Return the highest cost that fits at all while `limit` is in force."""
        if self.strategy is not Strategy.SMOOTH:
            return limit
        burst = self.burst or max(1, self.limit // BURST_SHARE)
        return burst if limit == self.limit else max(1, burst * limit // self.limit)


class Demand(NamedTuple):
    """What one exchange asks of one quota.

    `key` names the bucket: route, quota and partition; no two demands of one set have the same.  `holder` names who
    holds it, such as the subject: the buckets of one holder lie on one node of a cluster, so that they can be taken
    together.  `cost` is not negative.  To settle, give the demand that was taken, with what was really used as its
    cost.
    """

    quota: Quota
    key: str
    cost: int = 1
    limit: int | None = None  # in force for this caller at this moment, at least 1; None: the quota's own
    holder: str = ""

    @property
    def in_force(self) -> int:
        """The limit that holds for this demand."""
        return self.quota.limit if self.limit is None else min(max(self.limit, 1), MAX_UNITS)

    @property
    def never_fits(self) -> bool:
        """Whether the cost is above all that the quota ever lets through at once: waiting will not help."""
        quota = self.quota
        if quota.strategy is Strategy.LEASES:
            return False
        return self.cost > max(quota.most_at_once(quota.limit), quota.most_at_once(self.in_force))


# How a quota stands: the quota, what is left of it, and microseconds until more comes back (0 if nothing is taken).
Level = tuple[Quota, int, int]


class Taken(NamedTuple):
    """The answer to a set of demands: all were taken, or none.

    `refused` names the quota that has the longest wait; with `never`, one that can never let this cost through.
    """

    levels: tuple[Level, ...]
    refused: Quota | None = None
    retry_after_us: int = 0
    unavailable: bool = False  # refused because the store is out, and not for want of capacity
    skipped: tuple[Quota, ...] = ()  # not counted, because the store is out
    never: bool = False
    nodes: int = (
        0  # counted by this node alone, because the store is out, each limit shared among so many; 0: it is not
    )


def answer(demands: tuple[Demand, ...], levels: tuple[Level, ...], waits_us: list[int]) -> Taken:
    """Put together what each bucket said: its level, and the wait until its demand fits (0: it does now)."""
    longest_us = max(waits_us, default=0)
    if not longest_us:
        return Taken(levels)
    for demand, wait_us in zip(demands, waits_us, strict=True):
        if wait_us and demand.never_fits:
            return Taken(levels, demand.quota, longest_us, never=True)
    return Taken(levels, demands[waits_us.index(longest_us)].quota, longest_us)
