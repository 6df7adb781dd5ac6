"""What a limiter on a shared store costs: CPU of this process per take, on a Valkey server of its own on loopback.

    python bench/shared_store.py [--takes N] [--in-flight N]

Compared, each taking three strict quotas of one caller by the same script:

    vallum            RedisCounters: our own link, commands of one turn of the loop in one write
    redis-py          redis.asyncio, one EVALSHA a take on a pool of connections
    redis-py batched  the same, with a pipeline for every batch in flight: what batching by hand could reach
    near cache        a caller over the limit, answered from what is remembered
    embedded          MemoryCounters, in this process

Each is checked before it is measured: a limit of 10 must admit 10 of 50 that come at once.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis.asyncio
import uvloop

from vallum.core.quota import Demand, Quota
from vallum.stores.embedded import EmbeddedStore
from vallum.stores.failover import FailoverCounters
from vallum.stores.memory import MemoryCounters
from vallum.stores.near import NearCounters
from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters
from vallum.stores.redis.scripts import decode_taken, encode_take

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Take = Callable[[tuple[Demand, ...]], Awaitable[Any]]

ROUNDS = 5
WINDOWS_S = {"minute": 60, "hour": 3600, "day": 86_400}


def demands(limit: int, who: str) -> tuple[Demand, ...]:
    """Return what one caller asks of three quotas."""
    quotas = [Quota(name, limit, seconds * 1_000_000) for name, seconds in WINDOWS_S.items()]
    return tuple(Demand(quota, f"predict\x1f{quota.name}\x1f{who}", holder=who) for quota in quotas)


def clock_us() -> int:
    """Return microseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1000


class Plain:
    """redis-py as it comes."""

    def __init__(self, path: str) -> None:
        """Connect to a Unix socket."""
        self.client = redis.asyncio.Redis(unix_socket_path=path)

    async def take(self, wanted: tuple[Demand, ...]) -> Any:
        """Take with one EVALSHA."""
        call = encode_take(wanted)
        reply = await self.client.evalsha(call.script.sha1, len(call.keys), *call.keys, *call.args)
        return decode_taken(wanted, reply)

    async def take_batch(self, wanted: tuple[Demand, ...], size: int) -> Any:
        """Take `size` times in one pipeline."""
        async with self.client.pipeline(transaction=False) as pipeline:
            for _ in range(size):
                call = encode_take(wanted)
                pipeline.evalsha(call.script.sha1, len(call.keys), *call.keys, *call.args)
            return [decode_taken(wanted, reply) for reply in await pipeline.execute()]


async def check(name: str, take: Take) -> None:
    """End with an error unless a limit of 10 admits 10."""
    answers = await asyncio.gather(*(take(demands(10, f"check-{name}")) for _ in range(50)))
    admitted = sum(taken.refused is None for taken in answers)
    if admitted != 10:
        raise SystemExit(f"{name} admitted {admitted} of 10: its figures would mean nothing")


async def measure(take: Take, takes: int, in_flight: int, limit: int = 10**9) -> float:
    """Return CPU microseconds per take."""
    wanted = demands(limit, "alice")

    async def ask() -> None:
        for _ in range(takes // in_flight):
            await take(wanted)

    await take(wanted)
    before = time.process_time()
    await asyncio.gather(*(ask() for _ in range(in_flight)))
    return (time.process_time() - before) * 1e6 / (takes // in_flight * in_flight)


async def compare(url: str, takes: int, in_flight: int) -> dict[str, list[float]]:
    """Measure all of them in turn, several times."""
    store = RedisCounters(Address.parse(f"{url}?timeout_ms=5000"))
    await store.open()
    plain = Plain(url.removeprefix("unix://"))
    memory = MemoryCounters(clock_us)
    whole = NearCounters(FailoverCounters(store, MemoryCounters(clock_us), clock_us), clock_us)
    for name, contender in (("vallum", store), ("redis-py", plain), ("whole", whole), ("memory", memory)):
        await check(name, contender.take)

    async def batch(wanted: tuple[Demand, ...]) -> Any:
        return await plain.take_batch(wanted, in_flight)

    figures: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, figure in (
            ("vallum", await measure(store.take, takes, in_flight)),
            ("vallum, with near cache and failover", await measure(whole.take, takes, in_flight)),
            ("vallum, one in flight", await measure(store.take, takes // 5, 1)),
            ("redis-py", await measure(plain.take, takes // 2, in_flight)),
            ("redis-py, one in flight", await measure(plain.take, takes // 5, 1)),
            ("redis-py batched", await measure(batch, takes // in_flight, 1) / in_flight),
            ("near cache", await measure(whole.take, takes, in_flight, limit=1)),
            ("embedded", await measure(memory.take, takes, in_flight)),
        ):
            figures.setdefault(name, []).append(figure)
    await plain.client.aclose()
    store.close()
    return figures


def main() -> None:
    """Print medians, and ratios taken within a round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--takes", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder))
        try:
            figures = uvloop.run(compare(store.url, options.takes, options.in_flight))
        finally:
            store.stop()
    for name, found in figures.items():
        print(f"{name:40} {statistics.median(found):7.1f} us  ({min(found):.1f}..{max(found):.1f})")
    ratios = [theirs / ours for theirs, ours in zip(figures["redis-py"], figures["vallum"], strict=True)]
    print(f"{'redis-py / vallum':40} {statistics.median(ratios):7.1f}     ({min(ratios):.1f}..{max(ratios):.1f})")


if __name__ == "__main__":
    main()
