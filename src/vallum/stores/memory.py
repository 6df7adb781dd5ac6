"""Counters in this process's memory: exact, fast, and lost on restart.

For one process.  Its clock is the monotonic one, so that a wall clock set back admits nobody twice.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from vallum.core.errors import DependencyError
from vallum.core.quota import SUB_WINDOWS, Demand, Quota, Taken, Window, take

if TYPE_CHECKING:
    from collections.abc import Callable

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

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:  # noqa: A002
        """Take all demands or none.  Raise DependencyError when there is no room for another bucket."""
        self._now_us = max(self._now_us, self._clock_us())  # a clock that goes back stands still here
        buckets = self._buckets
        try:
            windows = [buckets[demand.key] for demand in demands]
        except KeyError:
            self._make_room(demands)
            windows = [buckets.setdefault(demand.key, Bucket(demand.quota)) for demand in demands]
        return take(windows, demands, self._now_us)

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:  # noqa: A002
        """Leave what was taken as it is: requests cost what they cost."""

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:  # noqa: A002
        """Keep nothing: there are no leases yet."""

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
            bucket.forget(self._now_us * SUB_WINDOWS // bucket.quota.window_us - SUB_WINDOWS)
            if not bucket.total:
                del self._buckets[key]


class Bucket(Window):
    """A window, and the quota that it was made for."""

    def __init__(self, quota: Quota) -> None:
        """Start empty."""
        super().__init__()
        self.quota = quota
