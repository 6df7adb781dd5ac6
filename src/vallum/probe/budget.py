"""How much a run may take: requests in all and a second, bytes read, time.  It ends by itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from vallum.probe.finding import StoppedError


@dataclass
class Budget:
    """What is left of a run."""

    requests: int = 2_000
    per_second: float = 100.0
    bytes: int = 64 * 1_048_576
    seconds: float = 120.0
    began: float = field(default_factory=time.monotonic)
    sent: int = 0
    received: int = 0
    _next: float = 0.0

    @property
    def left_s(self) -> float:
        """Seconds until the run ends."""
        return self.began + self.seconds - time.monotonic()

    async def spend(self) -> None:
        """Wait for the turn of one more request; raise StoppedError where none is left."""
        if self.sent >= self.requests:
            raise StoppedError(f"the budget of {self.requests} requests is spent; give more with --max-requests")
        if self.received >= self.bytes:
            raise StoppedError(f"the budget of {self.bytes} bytes read is spent")
        if self.left_s <= 0:
            raise StoppedError(f"the time of {self.seconds:g} s is up; give more with --max-time")
        self.sent += 1
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + 1.0 / self.per_second
        if turn > now:
            await asyncio.sleep(turn - now)

    def afford(self, requests: int) -> bool:
        """Say whether so many requests more are within the budget."""
        return self.sent + requests <= self.requests
