"""Quotas as pure arithmetic: a state, a time and a cost in; a state and an answer out.

The promise of a strict quota: **never more than N in any span of the window's length.**  The window is cut into 24
sub-windows; what was taken in a sub-window counts in full until its last instant is a whole window old.  So capacity
comes back up to a 24th of the window late and never early.  (Fixed windows, weighted sliding counters and a token
bucket with full burst all let about 2 N through in some window.)

Times are integers, in microseconds, so that no rounding can open a gap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` units in any `window_us` microseconds, for each partition of `per`."""

    name: str
    limit: int
    window_us: int
    per: Per = Per.PRINCIPAL

    @property
    def window_s(self) -> int:
        """The window in whole seconds, at least 1."""
        return max(1, self.window_us // SECOND_US)


class Demand(NamedTuple):
    """What one exchange asks of one quota.  `key` names the bucket: route, quota and partition."""

    quota: Quota
    key: str
    cost: int = 1


class Level(NamedTuple):
    """How a quota stands: what is left, and how long until more comes back (0 if nothing is taken)."""

    quota: Quota
    remaining: int
    reset_us: int


class Taken(NamedTuple):
    """The answer to a set of demands: all were taken, or none.  `refused` names the first quota without room."""

    levels: tuple[Level, ...]
    refused: Quota | None = None
    retry_after_us: int = 0


@dataclass(slots=True)
class Window:
    """The state of one bucket: what was taken in each sub-window that still counts, oldest first, and the sum."""

    counts: deque[list[int]] = field(default_factory=deque)  # [sub-window, units]
    total: int = 0

    def forget(self, quota: Quota, now_us: int) -> None:
        """Drop the sub-windows that no longer count at `now_us`."""
        oldest = now_us * SUB_WINDOWS // quota.window_us - SUB_WINDOWS
        counts = self.counts
        while counts and counts[0][0] < oldest:
            self.total -= counts.popleft()[1]

    def wait_us(self, quota: Quota, now_us: int, cost: int) -> int:
        """How long until `cost` fits, 0 if it fits now.  Call `forget` first.  A cost over the limit never fits."""
        excess = self.total + cost - quota.limit
        if excess <= 0:
            return 0
        for sub_window, units in self.counts:
            excess -= units
            if excess <= 0:
                return expiry_us(quota, sub_window) - now_us
        return quota.window_us

    def charge(self, quota: Quota, now_us: int, cost: int) -> None:
        """Take `cost` units at `now_us`, which is never before the last charge."""
        sub_window = now_us * SUB_WINDOWS // quota.window_us
        counts = self.counts
        if counts and counts[-1][0] == sub_window:
            counts[-1][1] += cost
        else:
            counts.append([sub_window, cost])
        self.total += cost

    def level(self, quota: Quota, now_us: int) -> Level:
        """Say how the quota stands at `now_us`."""
        reset_us = expiry_us(quota, self.counts[0][0]) - now_us if self.counts else 0
        return Level(quota, quota.limit - self.total, reset_us)


def expiry_us(quota: Quota, sub_window: int) -> int:
    """The first instant at which what was taken in `sub_window` no longer counts."""
    return -((sub_window + SUB_WINDOWS + 1) * -quota.window_us // SUB_WINDOWS)


def take(windows: list[Window], demands: tuple[Demand, ...], now_us: int) -> Taken:
    """Take every demand from its window, or none of them: a refusal costs nothing."""
    refused: Quota | None = None
    wait_us = 0
    for window, demand in zip(windows, demands, strict=True):
        window.forget(demand.quota, now_us)
        needed_us = window.wait_us(demand.quota, now_us, demand.cost)
        if needed_us > wait_us:
            refused, wait_us = demand.quota, needed_us
    if refused is None:
        for window, demand in zip(windows, demands, strict=True):
            window.charge(demand.quota, now_us, demand.cost)
    levels = tuple(w.level(d.quota, now_us) for w, d in zip(windows, demands, strict=True))
    return Taken(levels, refused, wait_us)
