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
        self.counts: deque[list[int]] = deque()  # [sub-window, units], oldest first, none of them 0
        self.total = 0
        self.latest = -1  # the sub-window of the last charge: this bucket's time is never before it
        self.debt = 0
        self.unsettled: dict[str, tuple[int, int]] = {}  # id -> sub-window, units

    def wait_us(self, demand: Demand, id: str, now_us: int) -> int:  # noqa: A002
        """Return how long until the demand fits beside the debt."""
        oldest = self._forget(demand.quota, now_us)
        if id:
            if self._holds(id, oldest):
                return 0
            if len(self.unsettled) >= MAX_UNSETTLED and self._drop(oldest) >= MAX_UNSETTLED:
                return BUSY_US
        excess = self.total + self.debt + demand.cost - demand.in_force
        return 0 if excess <= 0 else self._until(demand, now_us, excess)

    def charge(self, demand: Demand, id: str, now_us: int) -> None:  # noqa: A002
        """Take the cost, and pay the debt."""
        if id:
            if id in self.unsettled:
                return
            self.unsettled[id] = max(sub_window(demand.quota, now_us), self.latest), demand.cost
        owed, self.debt = self.debt, 0
        self._add(demand.quota, now_us, demand.cost + owed, ends=owed > 0)

    def level(self, demand: Demand, now_us: int) -> Level:
        """Say what is left, and when the oldest comes back."""
        counts = self.counts
        reset_us = expiry_us(demand.quota, counts[0][0]) - now_us if counts else 0
        return demand.quota, max(0, demand.in_force - self.total - self.debt), reset_us

    def settle(self, demand: Demand, id: str, now_us: int) -> None:  # noqa: A002
        """Refund in the sub-window of the reservation, or charge what there is room for and owe the rest."""
        oldest = self._forget(demand.quota, now_us)
        if not self._holds(id, oldest):
            return
        sub, reserved = self.unsettled.pop(id)
        self._refund(sub, max(0, reserved - demand.cost))
        owed = self.debt + max(0, demand.cost - reserved)
        if not owed:
            return
        paid = min(owed, max(0, demand.in_force - self.total))
        self.debt = min(owed - paid, MAX_UNITS)
        self._add(demand.quota, now_us, paid, ends=False)
        # Were there never another call, a limit's worth would be paid in each window to come.
        ahead = min(-(-self.debt // demand.in_force), 1 + LONGEST_US // demand.quota.window_us)
        self.ends_us = expiry_us(demand.quota, self.latest + ahead * self.kept)

    def _forget(self, quota: Quota, now_us: int) -> int:
        """Drop what no longer counts, and return the oldest sub-window that does."""
        if self.ends_us <= now_us and self.latest >= 0:
            self.counts.clear()
            self.unsettled.clear()
            self.total = self.debt = 0
            self.latest = -1
        oldest = max(sub_window(quota, now_us), self.latest) - self.kept + 1
        if self.counts and self.counts[0][0] < oldest:
            while self.counts and self.counts[0][0] < oldest:
                self.total -= self.counts.popleft()[1]
            if self.unsettled:
                self._drop(oldest)
        return oldest

    def _drop(self, oldest: int) -> int:
        """Drop the reservations from before `oldest`, and return how many are left."""
        for name in [name for name, (sub, _) in self.unsettled.items() if sub < oldest]:
            del self.unsettled[name]
        return len(self.unsettled)

    def _holds(self, id: str, oldest: int) -> bool:  # noqa: A002
        """Say whether `id` is unsettled; one that no longer counts is dropped."""
        held = self.unsettled.get(id)
        if held is None:
            return False
        if held[0] < oldest:
            del self.unsettled[id]
            return False
        return True

    def _until(self, demand: Demand, now_us: int, excess: int) -> int:
        """Return how long until `excess` units have come back.  A cost over the limit in force: a whole window."""
        if demand.cost > demand.in_force:
            return demand.quota.window_us
        for sub, units in self.counts:
            excess -= units
            if excess <= 0:
                return expiry_us(demand.quota, sub) - now_us
        return self.ends_us - now_us  # a debt for which one window is not enough

    def _add(self, quota: Quota, now_us: int, units: int, ends: bool) -> None:
        """Charge `units` now; `ends`: find out anew when nothing counts any more."""
        sub = max(sub_window(quota, now_us), self.latest)
        if ends or sub != self.latest:
            self.latest = sub
            self.ends_us = expiry_us(quota, sub)
        if not units:
            return
        counts = self.counts
        if counts and counts[-1][0] == sub:
            counts[-1][1] += units
        else:
            counts.append([sub, units])
        self.total += units

    def _refund(self, sub: int, units: int) -> None:
        """Give back units that were charged in `sub`."""
        for entry in self.counts if units else ():
            if entry[0] == sub:
                entry[1] -= units
                self.total -= units
                if not entry[1]:
                    self.counts.remove(entry)
                return
