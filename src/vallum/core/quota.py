"""Quotas as pure arithmetic: a state, a time and a cost in; a state and an answer out.

The promise of a strict quota: **never more than N in any span of the window's length.**  The window is cut into 24
sub-windows; what was taken in a sub-window counts in full until its last instant is a whole window old.  So capacity
comes back up to a 24th of the window late and never early.  (Fixed windows, weighted sliding counters and a token
bucket with full burst all let about 2 N through in some window.)

Times are integers, in microseconds, so that no rounding can open a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

SUB_WINDOWS = 24
SECOND_US = 1_000_000


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
    Leases have no window: there `window_us` is how long one lasts unless it is renewed.
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

    @property
    def window_s(self) -> int:
        """The window in whole seconds, at least 1."""
        return max(1, self.window_us // SECOND_US)


class Demand(NamedTuple):
    """What one exchange asks of one quota.  `key` names the bucket: route, quota and partition."""

    quota: Quota
    key: str
    cost: int = 1
    limit: int | None = None  # in force for this caller at this moment; None: the quota's own


# How a quota stands: the quota, what is left of it, and microseconds until more comes back (0 if nothing is taken).
Level = tuple[Quota, int, int]


class Taken(NamedTuple):
    """The answer to a set of demands: all were taken, or none; `refused` names the quota that has the longest wait."""

    levels: tuple[Level, ...]
    refused: Quota | None = None
    retry_after_us: int = 0


class Window:
    """The state of one bucket: what was taken in each sub-window that still counts, oldest first, and the sum."""

    def __init__(self) -> None:
        """Start with nothing taken."""
        self.counts: deque[list[int]] = deque()  # [sub-window, units]
        self.total = 0

    def forget(self, oldest: int) -> None:
        """Drop the sub-windows before `oldest`: they no longer count."""
        while self.counts and self.counts[0][0] < oldest:
            self.total -= self.counts.popleft()[1]

    def wait_us(self, quota: Quota, now_us: int, excess: int) -> int:
        """How long until `excess` units have come back.  More than was ever taken never do: a whole window."""
        for sub_window, units in self.counts:
            excess -= units
            if excess <= 0:
                return expiry_us(quota, sub_window) - now_us
        return quota.window_us

    def charge(self, sub_window: int, cost: int) -> None:
        """Take `cost` units in `sub_window`, which is never before the last charge."""
        counts = self.counts
        if counts and counts[-1][0] == sub_window:
            counts[-1][1] += cost
        else:
            counts.append([sub_window, cost])
        self.total += cost


def expiry_us(quota: Quota, sub_window: int) -> int:
    """Return the first instant at which what was taken in `sub_window` no longer counts."""
    return -((sub_window + SUB_WINDOWS + 1) * -quota.window_us // SUB_WINDOWS)


def take(windows: Sequence[Window], demands: tuple[Demand, ...], now_us: int) -> Taken:
    """Take every demand from its window, or none of them: a refusal costs nothing."""
    refused: Quota | None = None
    wait_us = 0
    for window, (quota, _, cost, limit) in zip(windows, demands, strict=True):
        oldest = now_us * SUB_WINDOWS // quota.window_us - SUB_WINDOWS
        if window.counts and window.counts[0][0] < oldest:
            window.forget(oldest)
        excess = window.total + cost - (quota.limit if limit is None else limit)
        if excess > 0:
            needed_us = window.wait_us(quota, now_us, excess)
            if needed_us > wait_us:
                refused, wait_us = quota, needed_us
    levels: list[Level] = []
    for window, (quota, _, cost, limit) in zip(windows, demands, strict=True):
        if refused is None:
            window.charge(now_us * SUB_WINDOWS // quota.window_us, cost)
        counts = window.counts
        reset_us = expiry_us(quota, counts[0][0]) - now_us if counts else 0
        levels.append((quota, max(0, (quota.limit if limit is None else limit) - window.total), reset_us))
    return Taken(tuple(levels), refused, wait_us)
