"""Counters in this process's memory: exact, fast, and lost on restart.

For one process.  Its clock is the monotonic one, so that a wall clock set back admits nobody twice.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from vallum.core.counting import new_bucket, renew, settle, take
from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.bucket import Bucket
    from vallum.core.quota import Demand, Taken

MAX_BUCKETS = 1_000_000  # about 400 MB when every one is in use
SWEEP_EVERY = 4096  # new buckets between two sweeps of those that no longer count
SWEEP_PAUSE_US = 1_000_000  # between two sweeps of a full store, which are dear


class MemoryCounters:
    """Buckets in a dictionary.  No await between reading and writing: takes are atomic on one event loop."""

    def __init__(
        self, clock_us: Callable[[], int] = lambda: monotonic_ns() // 1000, max_buckets: int = MAX_BUCKETS
    ) -> None:
        """Count by `clock_us`, microseconds of a clock; hold at most `max_buckets`."""
        self._clock_us = clock_us
        self._max_buckets = max_buckets
        self._buckets: dict[str, Bucket] = {}
        self._now_us = 0
        self._new = 0
        self._sweep_again_us = 0

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        """Take all demands or none.  Raise DependencyError when there is no room for another bucket."""
        now_us = self._tick()
        buckets = self._buckets
        try:
            held = [buckets[demand.key] for demand in demands]
        except KeyError:
            self._make_room(demands)
            held = [self._bucket(demand) for demand in demands]
        return take(held, demands, now_us, id)

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        """Put what was used in the place of what was reserved under `id`."""
        settle(self._kept(demands), self._tick(), id)

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        """Keep the leases under `id` for another while."""
        renew(self._kept(demands), self._tick(), id)

    def _tick(self) -> int:
        self._now_us = max(self._now_us, self._clock_us())  # a clock that goes back stands still here
        return self._now_us

    def _bucket(self, demand: Demand) -> Bucket:
        bucket = self._buckets.get(demand.key)
        if bucket is None:
            bucket = self._buckets[demand.key] = new_bucket(demand.quota)
        return bucket

    def _kept(self, demands: tuple[Demand, ...]) -> list[tuple[Bucket, Demand]]:
        """Pair the demands with their buckets; what has none holds nothing under any id."""
        return [(self._buckets[demand.key], demand) for demand in demands if demand.key in self._buckets]

    def _make_room(self, demands: tuple[Demand, ...]) -> None:
        """Sweep where it is due, before any bucket of this take is made; raise DependencyError if all stay in use."""
        missing = sum(demand.key not in self._buckets for demand in demands)
        self._new += missing
        full = len(self._buckets) + missing > self._max_buckets
        if self._new >= SWEEP_EVERY or (full and self._now_us >= self._sweep_again_us):
            self._sweep()
            full = len(self._buckets) + missing > self._max_buckets
        if full:
            raise DependencyError(f"all {self._max_buckets} buckets of the in-memory counters are in use")

    def _sweep(self) -> None:
        """Let go of the buckets in which nothing counts any more."""
        self._new = 0
        self._sweep_again_us = self._now_us + SWEEP_PAUSE_US
        for key, bucket in list(self._buckets.items()):
            if bucket.ends_us <= self._now_us:
                del self._buckets[key]
