"""Strict and calendar quotas: what was taken is counted by the sub-window in which it was.

The promise of a strict quota: **never more than N in any span of the window's length.**  The window is cut into 24
sub-windows; what was taken in a sub-window counts in full until its last instant is a whole window old.  So capacity
comes back up to a 24th of the window late and never early.  (Fixed windows, weighted sliding counters and a token
bucket with full burst all let about 2 N through in some window.)

A calendar quota is the same with a single sub-window that counts while it lasts: never more than N in one aligned
window, in UTC.

What is reserved is charged at once and remembered with its sub-window, until it is settled or that sub-window no longer
counts.  A refund goes there.  What was used beyond the reservation is charged as far as there is room; the rest is a
debt, and nothing is admitted that does not fit beside it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vallum.core.bucket import Bucket
from vallum.core.months import month_of, start_of_month_us
from vallum.core.quota import BUSY_US, LONGEST_US, MAX_UNITS, MAX_UNSETTLED, Strategy

if TYPE_CHECKING:
    from vallum.core.quota import Demand, Level, Quota

SUB_WINDOWS = 24
# strategy -> sub-windows of a window, and for how many of them what was taken counts, its own among them
GRIDS = {Strategy.STRICT: (SUB_WINDOWS, SUB_WINDOWS + 1), Strategy.CALENDAR: (1, 1)}


def sub_window(quota: Quota, now_us: int) -> int:
    """Return the number of the sub-window in which `now_us` lies."""
    if quota.months:
        return month_of(now_us) // quota.months
    return now_us * GRIDS[quota.strategy][0] // quota.window_us


def expiry_us(quota: Quota, sub: int) -> int:
    """Return the first instant at which what was taken in the sub-window `sub` no longer counts."""
    parts, kept = GRIDS[quota.strategy]
    if quota.months:
        return start_of_month_us((sub + kept) * quota.months)
    return -((sub + kept) * -quota.window_us // parts)


class Window(Bucket):
    """What was taken in each sub-window that still counts, what of it is unsettled, and what is owed."""

    def __init__(self, quota: Quota) -> None:
        """Start with nothing taken."""
        self.ends_us = 0
        self.kept = GRIDS[quota.strategy][1]
        # The sub-window of this bucket's time, and the span for which that holds.
        self.sub = -1
        self.from_us = self.until_us = 0
        self.counts: deque[list[int]] = deque()  # [sub-window, units], oldest first, none of them 0
        self.total = 0
        self.latest = -1  # the sub-window of the last charge
        self.dropped = -1  # and the one in which something last ceased to count: time is before neither
        self.debt = 0
        self.unsettled: dict[str, tuple[int, int]] = {}  # id -> sub-window, units

    def wait_us(self, demand: Demand, id: str, now_us: int) -> int:
        """Return how long until the demand fits beside the debt."""
        if not self.from_us <= now_us < self.until_us:
            self._advance(demand.quota, now_us)
        if id:
            if self._holds(id):
                return 0
            if len(self.unsettled) >= MAX_UNSETTLED and self._drop() >= MAX_UNSETTLED:
                return BUSY_US
        limit = demand.quota.limit if demand.limit is None else demand.in_force
        excess = self.total + self.debt + demand.cost - limit
        return 0 if excess <= 0 else self._wait_us(demand, now_us, excess)

    def charge(self, demand: Demand, id: str, now_us: int) -> Level:
        """Take the cost, and pay the debt."""
        if id:
            if id in self.unsettled:
                return self.level(demand, now_us)
            self.unsettled[id] = self.sub, demand.cost
        owed, self.debt = self.debt, 0
        if owed or self.sub != self.latest:
            self.latest = self.sub
            self.ends_us = expiry_us(demand.quota, self.sub)
        self._add(demand.cost + owed)
        return self.level(demand, now_us)

    def level(self, demand: Demand, now_us: int) -> Level:
        """Say what is left, and when the oldest comes back."""
        quota = demand.quota
        left = (quota.limit if demand.limit is None else demand.in_force) - self.total - self.debt
        reset_us = expiry_us(quota, self.counts[0][0]) - now_us if self.counts else 0
        return quota, max(0, left), reset_us

    def settle(self, demand: Demand, id: str, now_us: int) -> None:
        """Refund in the sub-window of the reservation, or charge what there is room for and owe the rest."""
        self._advance(demand.quota, now_us)
        if not self._holds(id):
            return
        sub, reserved = self.unsettled.pop(id)
        if demand.cost < reserved:
            self._refund(sub, reserved - demand.cost)
        owed = self.debt + max(0, demand.cost - reserved)
        if not owed:
            return
        paid = min(owed, max(0, demand.in_force - self.total))
        self.debt = min(owed - paid, MAX_UNITS)
        self.latest = self.sub
        self._add(paid)
        # Were there never another call, a limit's worth would be paid in each window to come.
        ahead = min(-(-self.debt // demand.in_force), 1 + LONGEST_US // demand.quota.window_us)
        self.ends_us = expiry_us(demand.quota, self.latest + ahead * self.kept)

    def _advance(self, quota: Quota, now_us: int) -> None:
        """Find the sub-window of this bucket's time, and drop what no longer counts in it."""
        if self.ends_us <= now_us:
            self.counts.clear()
            self.unsettled.clear()
            self.total = self.debt = 0
            self.latest = self.dropped = -1
        self.sub, self.from_us = sub_window(quota, now_us), now_us
        if self.sub < max(self.latest, self.dropped):  # the clock went back
            self.sub, self.from_us = max(self.latest, self.dropped), 0
        self.until_us = expiry_us(quota, self.sub - self.kept + 1)
        oldest = self.sub - self.kept + 1
        if self.counts and self.counts[0][0] < oldest:
            while self.counts and self.counts[0][0] < oldest:
                self.total -= self.counts.popleft()[1]
            self._drop()

    def _drop(self) -> int:
        """Drop the reservations that no longer count, and return how many are left."""
        self.dropped = self.sub
        for name in [name for name, (sub, _) in self.unsettled.items() if sub <= self.sub - self.kept]:
            del self.unsettled[name]
        return len(self.unsettled)

    def _holds(self, id: str) -> bool:
        """Say whether `id` is unsettled; one that no longer counts is dropped."""
        held = self.unsettled.get(id)
        if held is None:
            return False
        if held[0] <= self.sub - self.kept:
            del self.unsettled[id]
            return False
        return True

    def _wait_us(self, demand: Demand, now_us: int, excess: int) -> int:
        """Return how long until `excess` units have come back.  A cost over the limit in force: a whole window."""
        if demand.cost > demand.in_force:
            return demand.quota.window_us
        for sub, units in self.counts:
            excess -= units
            if excess <= 0:
                return expiry_us(demand.quota, sub) - now_us
        return self.ends_us - now_us  # a debt for which one window is not enough

    def _add(self, units: int) -> None:
        """Charge `units` now."""
        if not units:
            return
        counts = self.counts
        if counts and counts[-1][0] == self.sub:
            counts[-1][1] += units
        else:
            counts.append([self.sub, units])
        self.total += units

    def _refund(self, sub: int, units: int) -> None:
        """Give back units that were charged in `sub`."""
        self.total -= units
        entry = next(entry for entry in self.counts if entry[0] == sub)
        entry[1] -= units
        if not entry[1]:
            self.counts.remove(entry)
