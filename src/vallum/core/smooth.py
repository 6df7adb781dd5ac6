"""Smooth quotas: a steady rate with an explicit burst (GCRA, the generic cell rate algorithm).

The bucket holds work that drains at one microsecond a microsecond.  At N per window W a unit is W / N of work, rounded
up; a demand fits if the work in hand and its own are no more than the burst's.  The promise: in any span of t
microseconds no more than burst + (t + 1) N / W.

A reservation is work at once.  Its refund is what of it has not drained yet when it is settled: work is drained in the
order in which it came.  What was used beyond the reservation is work too, and may stand above the burst: a debt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.bucket import Bucket
from vallum.core.quota import BUSY_US, LONGEST_US, MAX_UNSETTLED

if TYPE_CHECKING:
    from vallum.core.quota import Demand, Level, Quota

# Reservations are forgotten like those of a strict quota: by the 24th of a window in which they were made.
SUB_WINDOWS = 24


def work_us(demand: Demand) -> int:
    """Return how much work the demand's cost is, rounded up."""
    return min(-(-demand.cost * demand.quota.window_us // demand.in_force), LONGEST_US)


def burst_us(demand: Demand) -> int:
    """Return how much work may be in hand, rounded up as a cost of the whole burst is."""
    limit = demand.in_force
    return -(-demand.quota.most_at_once(limit) * demand.quota.window_us // limit)


def level_of(demand: Demand, now_us: int, time_us: int, done_us: int) -> Level:
    """Say what is left of a bucket whose own time is `time_us` and whose work is done at `done_us`."""
    window_us, limit = demand.quota.window_us, demand.in_force
    room_us = burst_us(demand) - max(0, done_us - time_us)
    left = max(0, min(room_us * limit // window_us, demand.quota.most_at_once(limit)))
    if done_us <= time_us:
        return demand.quota, left, 0
    return demand.quota, left, -(-(left + 1) * window_us // limit) - room_us + time_us - now_us


class Smooth(Bucket):
    """When the work in hand is done, and what of it is unsettled."""

    def __init__(self, quota: Quota) -> None:
        """Start with nothing in hand."""
        self.ends_us = 0
        self.done_us = 0
        self.latest_us = 0  # of the last change: this bucket's time is never before it
        self.refunded_us = 0
        self.eldest = 0  # no reservation is from a sub-window before this one
        # id -> sub-window, work, and when it is done: less by what was refunded before it, and by all refunds since
        self.unsettled: dict[str, tuple[int, int, int]] = {}

    def wait_us(self, demand: Demand, id: str, now_us: int) -> int:
        """Return how long until enough work is done."""
        time_us = self._forget(demand.quota, now_us)
        if id:
            if id in self.unsettled:
                return 0
            if len(self.unsettled) >= MAX_UNSETTLED:
                return BUSY_US
        work, most = work_us(demand), burst_us(demand)
        if work > most:
            return demand.quota.window_us
        excess = max(0, self.done_us - time_us) + work - most
        return 0 if excess <= 0 else time_us + excess - now_us

    def charge(self, demand: Demand, id: str, now_us: int) -> Level:
        """Put the work behind what is in hand."""
        if id and id in self.unsettled:
            return self.level(demand, now_us)
        work = work_us(demand)
        self._add(now_us, work)
        if id:
            sub = self.latest_us * SUB_WINDOWS // demand.quota.window_us
            if not self.unsettled:
                self.eldest = sub
            self.unsettled[id] = sub, work, self.done_us + self.refunded_us
            self.ends_us = max(self.ends_us, -((sub + SUB_WINDOWS + 1) * -demand.quota.window_us // SUB_WINDOWS))
        return self.level(demand, now_us)

    def level(self, demand: Demand, now_us: int) -> Level:
        """Say what may come at once, and when it will be one more."""
        return level_of(demand, now_us, max(now_us, self.latest_us), self.done_us)

    def settle(self, demand: Demand, id: str, now_us: int) -> None:
        """Take back what has not drained of the work that was not needed, or add what was."""
        time_us = self._forget(demand.quota, now_us)
        if id not in self.unsettled:
            return
        _, reserved, done_us = self.unsettled.pop(id)
        work = work_us(demand)
        if work >= reserved:
            self._add(now_us, work - reserved)
            return
        refund = min(reserved - work, max(0, done_us - self.refunded_us - time_us))
        self.done_us -= refund
        self.refunded_us += refund

    def _add(self, now_us: int, work: int) -> None:
        self.latest_us = max(now_us, self.latest_us)
        self.done_us = min(max(self.done_us, self.latest_us) + work, self.latest_us + LONGEST_US)
        self.ends_us = max(self.ends_us, self.done_us)

    def _forget(self, quota: Quota, now_us: int) -> int:
        """Drop what no longer counts, and return this bucket's own time."""
        if self.ends_us <= now_us:
            self.unsettled.clear()
            self.ends_us = self.done_us = self.latest_us = self.refunded_us = 0
        time_us = max(now_us, self.latest_us)
        oldest = time_us * SUB_WINDOWS // quota.window_us - SUB_WINDOWS
        if self.unsettled and self.eldest < oldest:
            self.unsettled = {name: held for name, held in self.unsettled.items() if held[0] >= oldest}
            self.eldest = min((held[0] for held in self.unsettled.values()), default=0)
        return time_us
