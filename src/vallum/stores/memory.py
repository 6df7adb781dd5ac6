"""Counters in this process's memory: exact, fast, and lost on restart.

For one process.  Its clock is the monotonic one, so that a wall clock set back admits nobody twice.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from vallum.core.errors import DependencyError
from vallum.core.quota import SUB_WINDOWS, Demand, Taken, Window, take

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BUCKETS = 1_000_000  # about 400 MB when every one is in use
SWEEP_EVERY = 4096  # new buckets between two sweeps of those that no longer count


class MemoryCounters:
    """Buckets in a dictionary.  No await between reading and writing: takes are atomic on one event loop."""

    def __init__(
        self, clock_us: Callable[[], int] = lambda: monotonic_ns() // 1000, max_buckets: int = MAX_BUCKETS
    ) -> None:
        """Count by `clock_us`, microseconds of a clock; hold at most `max_buckets`."""
        self._clock_us = clock_us
        self._max_buckets = max_buckets
        self._buckets: dict[str, tuple[Window, Demand]] = {}
        self._now_us = 0
        self._new = 0

    async def take(self, demands: tuple[Demand, ...]) -> Taken:
        """Take all demands or none.  Raise DependencyError when there is no room for another bucket."""
        self._now_us = max(self._now_us, self._clock_us())  # a clock that goes back stands still here
        return take([self._window(demand) for demand in demands], demands, self._now_us)

    def _window(self, demand: Demand) -> Window:
        bucket = self._buckets.get(demand.key)
        if bucket is not None:
            return bucket[0]
        self._new += 1
        if self._new >= SWEEP_EVERY or len(self._buckets) >= self._max_buckets:
            self._sweep()
        if len(self._buckets) >= self._max_buckets:
            raise DependencyError(f"all {self._max_buckets} buckets of the in-memory counters are in use")
        window = Window()
        self._buckets[demand.key] = (window, demand)
        return window

    def _sweep(self) -> None:
        self._new = 0
        for key, (window, demand) in list(self._buckets.items()):
            window.forget(self._now_us * SUB_WINDOWS // demand.quota.window_us - SUB_WINDOWS)
            if not window.total:
                del self._buckets[key]
