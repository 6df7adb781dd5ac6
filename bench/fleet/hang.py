"""What a store that hangs adds to a request: to those in hand, and to those that follow."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from typing import TYPE_CHECKING

from servers import run_valkey
from vallum.core.quota import SECOND_US, Demand, Quota
from vallum.stores.shared import open_shared

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.stores.near import NearCounters

ROUNDS, IN_HAND, HUNG_S = 10, 50, 2.0
PROMISED_MS = 60.0
WINDOWS_S = {"minute": 60, "hour": 3600, "day": 86_400}
DEMANDS = tuple(Demand(Quota(name, 10**9, s * SECOND_US), name, holder="a") for name, s in WINDOWS_S.items())


def clock_us() -> int:
    """Return microseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1000


async def take(counters: NearCounters, times: int) -> list[float]:
    """Take at once; return how long each waited, in milliseconds."""

    async def one() -> float:
        began = time.perf_counter()
        await counters.take(DEMANDS)
        return (time.perf_counter() - began) * 1e3

    return list(await asyncio.gather(*(one() for _ in range(times))))


async def hold_hang(folder: Path) -> bool:
    """Hang a store again and again; print what was added."""
    first, later = [], []
    with run_valkey(folder / "valkey") as server:
        for _ in range(ROUNDS):
            counters, failover, store = open_shared(f"redis://127.0.0.1:{server.port}", clock_us)
            await store.open()
            await failover.beat()
            for _ in range(5):
                await take(counters, IN_HAND)
            server.send(signal.SIGSTOP)
            first.append(max(await take(counters, IN_HAND)))
            until = time.monotonic() + HUNG_S
            beat = asyncio.ensure_future(failover.beat())
            while time.monotonic() < until:
                later += await take(counters, 5)
                await asyncio.sleep(0.01)
                if beat.done():
                    beat = asyncio.ensure_future(failover.beat())
            await beat
            server.send(signal.SIGCONT)
            store.close()
    later.sort()
    middle = statistics.median(first)
    print(f"in hand when it hangs   {middle:.1f} ms at the median of {ROUNDS}, {max(first):.1f} at most")
    usual = later[len(later) // 2]
    print(f"after that              {usual:.2f} ms at the median of {len(later)}, {later[-1]:.1f} at most")
    return middle <= PROMISED_MS and later[len(later) * 99 // 100] < 1
