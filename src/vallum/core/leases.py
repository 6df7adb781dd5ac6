"""Leases: never more than N at once.  A lease ends when it is settled, or by itself when nobody renews it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.bucket import Bucket

if TYPE_CHECKING:
    from vallum.core.quota import Demand, Level, Quota


class Leases(Bucket):
    """Who holds a lease, and until when."""

    def __init__(self, quota: Quota) -> None:
        """Start with none."""
        self.ends_us = 0
        self.held: dict[str, int] = {}  # id -> end

    def wait_us(self, demand: Demand, id: str, now_us: int) -> int:
        """Return how long until a lease is free, if those that are held end by themselves."""
        if not id:
            raise ValueError(f"{demand.quota.name}: a lease needs an id, to be settled by")
        self._forget(now_us)
        excess = len(self.held) - demand.in_force
        if id in self.held or excess < 0:
            return 0
        return sorted(self.held.values())[excess] - now_us

    def charge(self, demand: Demand, id: str, now_us: int) -> Level:
        """Begin a lease."""
        if id not in self.held:
            self._hold(demand, id, now_us)
        return self.level(demand, now_us)

    def level(self, demand: Demand, now_us: int) -> Level:
        """Say how many are free, and when the first of the others ends by itself."""
        reset_us = min(self.held.values()) - now_us if self.held else 0
        return demand.quota, max(0, demand.in_force - len(self.held)), reset_us

    def settle(self, demand: Demand, id: str, now_us: int) -> None:
        """End a lease."""
        self._forget(now_us)
        self.held.pop(id, None)

    def renew(self, demand: Demand, id: str, now_us: int) -> None:
        """Keep a lease that has not ended for another while."""
        self._forget(now_us)
        if id in self.held:
            self._hold(demand, id, now_us)

    def _hold(self, demand: Demand, id: str, now_us: int) -> None:
        end_us = now_us + demand.quota.window_us
        self.held[id] = max(self.held.get(id, 0), end_us)
        self.ends_us = max(self.ends_us, end_us)

    def _forget(self, now_us: int) -> None:
        held = self.held
        for name in [name for name, end_us in held.items() if end_us <= now_us]:
            del held[name]
