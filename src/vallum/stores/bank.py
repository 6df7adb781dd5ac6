"""Burst credit on top of any counters: the limit in force of a quota with `burst_credit` is the limit plus the credit.

Accounts are this process's own, computed from what the counters say is in use.  With shared counters N + C holds for
all processes together; a process that saw little of a caller's traffic may believe in more credit than another does.
A caller whose limit is lowered has no credit, and saves none.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from vallum.core.credit import Account, accrue

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.protocols import Counters
    from vallum.core.quota import Demand, Taken

ACCOUNTS_MAX = 100_000  # an account that is forgotten begins again with no credit


class Bank:
    """Counters with credit."""

    def __init__(
        self,
        counters: Counters,
        clock_us: Callable[[], int] = lambda: monotonic_ns() // 1000,
        accounts_max: int = ACCOUNTS_MAX,
    ) -> None:
        """Count in `counters`; keep accounts by `clock_us`, microseconds of a clock that never goes back."""
        self._counters = counters
        self._clock_us = clock_us
        self._accounts_max = accounts_max
        self._accounts: dict[str, Account] = {}

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        """Take all demands or none.  Raise DependencyError when the counters cannot answer."""
        for demand in demands:
            if demand.quota.credit:
                break
        else:
            return await self._counters.take(demands, id)
        now_us = self._clock_us()
        demands = tuple([self._credited(demand, now_us) for demand in demands])
        taken = await self._counters.take(demands, id)
        for demand, (quota, remaining, _) in zip(demands, taken.levels, strict=True):
            account = self._accounts.get(demand.key) if quota.credit else None
            if account is not None and demand.limit is not None:
                self._accounts[demand.key] = account._replace(used=demand.limit - remaining)
        return taken

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        """Put what was used in the place of what was reserved under `id`."""
        await self._counters.settle(demands, id)

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        """Keep the leases under `id` for another while."""
        await self._counters.renew(demands, id)

    def _credited(self, demand: Demand, now_us: int) -> Demand:
        quota = demand.quota
        limit = quota.limit if demand.limit is None else demand.limit
        if not quota.credit:
            return demand
        if limit < quota.limit:
            self._accounts.pop(demand.key, None)
            return demand
        account = accrue(self._accounts.pop(demand.key, Account(now_us, 0.0, quota.limit)), quota, now_us)
        while len(self._accounts) >= self._accounts_max:
            del self._accounts[next(iter(self._accounts))]
        self._accounts[demand.key] = account
        return demand._replace(limit=limit + int(account.units))
