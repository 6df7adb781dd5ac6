"""Refusals that are remembered here, so that a flood over its limit costs the shared store nothing.

A bucket that was refused stays so until the time the refusal gave, as nothing but time gives capacity back; what is
settled by this process is looked up anew.  No refusal is remembered for over a second, so that a raised limit, or
what another node gave back, shows within one.  Leases come back at any moment and are always asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.core.quota import SECOND_US, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.protocols import Counters
    from vallum.core.quota import Demand, Taken

REFUSALS_MAX = 65_536
REMEMBERED_US = SECOND_US


class Remembered(NamedTuple):
    """What was refused, and when."""

    demands: tuple[Demand, ...]
    taken: Taken
    at_us: int


class NearCounters:
    """Counters behind a memory of refusals."""

    def __init__(self, counters: Counters, clock_us: Callable[[], int]) -> None:
        """Remember what `counters` refuse."""
        self._counters = counters
        self._clock_us = clock_us
        self._refusals: dict[str, Remembered] = {}  # by the key of the refused bucket
        self.spared = 0

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        """Refuse what is known to be refused; ask for all else."""
        refusals = self._refusals
        if refusals:
            for demand in demands:
                refusal = refusals.get(demand.key)
                if refusal is not None and (known := self._recall(refusal, demands, demand.key)) is not None:
                    return known
        taken = await self._counters.take(demands, id)
        refused = taken.refused
        if refused is not None and not taken.unavailable and refused.strategy is not Strategy.LEASES:
            if len(refusals) >= REFUSALS_MAX:
                refusals.clear()
            key = next(demand.key for demand in demands if demand.quota is refused)
            refusals[key] = Remembered(demands, taken, self._clock_us())
        return taken

    def _recall(self, refusal: Remembered, demands: tuple[Demand, ...], key: str) -> Taken | None:
        passed_us = self._clock_us() - refusal.at_us
        taken = refusal.taken
        if passed_us >= min(taken.retry_after_us, REMEMBERED_US):
            self._refusals.pop(key, None)
            return None
        if demands is not refusal.demands and demands != refusal.demands:
            return None  # another cost or another limit: this may well be admitted
        self.spared += 1
        levels = tuple([(quota, left, max(0, reset_us - passed_us)) for quota, left, reset_us in taken.levels])
        return taken._replace(levels=levels, retry_after_us=taken.retry_after_us - passed_us)

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        """Settle, and forget refusals of these buckets: there may be room again."""
        await self._counters.settle(demands, id)
        for demand in demands:
            self._refusals.pop(demand.key, None)

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        """Renew."""
        await self._counters.renew(demands, id)
