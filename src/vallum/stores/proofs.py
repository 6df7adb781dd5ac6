"""Proofs that were seen, in this process's memory: each may be used once.

For one process.  Several nodes share one set in Redis or Valkey (`SET key 1 NX PX ttl`), by any client that has the
same one method.
"""

from __future__ import annotations

from heapq import heappop, heappush
from time import monotonic_ns
from typing import TYPE_CHECKING

from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PROOFS = 1_000_000  # about 200 MB; one core checks some 3,000 proofs a second, and each is held for two minutes


class MemoryProofs:
    """A set whose members expire.  No await between looking and adding: atomic on one event loop."""

    def __init__(
        self, clock_ms: Callable[[], int] = lambda: monotonic_ns() // 1_000_000, max_proofs: int = MAX_PROOFS
    ) -> None:
        """Expire by `clock_ms`, milliseconds of a clock that never goes back; hold at most `max_proofs`."""
        self._clock_ms = clock_ms
        self._max_proofs = max_proofs
        self._seen: set[str] = set()
        self._ends: list[tuple[int, str]] = []  # a heap: what expires next is first

    async def set_once(self, key: str, ttl_ms: int) -> bool:
        """Say whether `key` is new, and hold it.  Raise DependencyError when there is no room: nothing is forgotten."""
        now = self._clock_ms()
        while self._ends and self._ends[0][0] <= now:
            self._seen.discard(heappop(self._ends)[1])
        if key in self._seen:
            return False
        if len(self._seen) >= self._max_proofs:
            raise DependencyError(f"all {self._max_proofs} places for proofs are in use")
        self._seen.add(key)
        heappush(self._ends, (now + ttl_ms, key))
        return True
