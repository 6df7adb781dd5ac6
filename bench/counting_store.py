"""What counting costs on a shared store: CPU of this process, and what the store says of its own work."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
import uvloop
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio import strategies
from limits.aio.storage import RedisStorage

from vallum.core.quota import SECOND_US, Demand, Quota, Strategy
from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Hit = Callable[[int], Awaitable[bool]]

CALLERS, HITS, IN_FLIGHT, ROUNDS = 100, 5_000, 50, 3
LIMIT, REFUSING = 1_000_000, 10
WINDOWS_S = {"minute": 60, "hour": 3600, "day": 86_400}
FIXED_WINDOW = """
for i = 1, #KEYS do
  local count = redis.call('INCR', KEYS[i])
  if count == 1 then redis.call('EXPIRE', KEYS[i], ARGV[2 * i]) end
  if count > tonumber(ARGV[2 * i - 1]) then return 0 end
end
return 1
"""


class Cost(NamedTuple):
    """What a decision costs: our CPU and the store's, in microseconds, and how many calls it takes."""

    client_us: float
    store_us: float
    calls: float


def vallum(store: RedisCounters, strategy: Strategy, windows: int, limit: int) -> Hit:
    """Take all quotas with one call."""
    quotas = [Quota(name, limit, s * SECOND_US, strategy=strategy) for name, s in list(WINDOWS_S.items())[:windows]]
    asked = [
        tuple(Demand(quota, f"{strategy}{limit}{windows}{quota.name}{who}", holder=str(who)) for quota in quotas)
        for who in range(CALLERS)
    ]

    async def hit(who: int) -> bool:
        return (await store.take(asked[who])).refused is None

    return hit


def flask_limiter(url: str, kind: type[strategies.RateLimiter], windows: int, limit: int) -> Hit:
    """Hit each limit in turn and stop at the first that refuses, as Flask-Limiter does, on redis-py's asyncio."""
    limiter = kind(RedisStorage(f"async+{url}", implementation="redispy"))
    every: list[RateLimitItem] = [
        RateLimitItemPerMinute(limit),
        RateLimitItemPerHour(limit),
        RateLimitItemPerDay(limit),
    ]

    async def hit(who: int) -> bool:
        for item in every[:windows]:
            if not await limiter.hit(item, kind.__name__, str(limit * 10 + windows), str(who)):
                return False
        return True

    return hit


def fixed_script(url: str, windows: int, limit: int) -> Hit:
    """Run the script that everybody writes first, with all limits in one call of redis-py."""
    client = redis.asyncio.Redis.from_url(url)
    script = client.register_script(FIXED_WINDOW)
    args = [word for seconds in list(WINDOWS_S.values())[:windows] for word in (limit, seconds)]

    async def hit(who: int) -> bool:
        keys = [f"fixed:{limit}:{windows}:{{{who}}}:{index}" for index in range(windows)]
        return bool(await script(keys=keys, args=args))

    return hit


async def check(name: str, hit: Hit) -> None:
    """End with an error unless a limit of 10 admits 10: what does not count has no cost."""
    admitted = sum(await asyncio.gather(*(hit(0) for _ in range(30))))
    if admitted != REFUSING:
        raise SystemExit(f"{name} admitted {admitted} of {REFUSING}: its figures would mean nothing")


async def measure(server: redis.Redis, hit: Hit) -> Cost:
    """Let some ask at once."""

    async def ask(first: int) -> None:
        for number in range(first, HITS, IN_FLIGHT):
            await hit(number % CALLERS)

    await hit(0)
    server.config_resetstat()
    before = time.process_time()
    await asyncio.gather(*(ask(first) for first in range(IN_FLIGHT)))
    client_us = (time.process_time() - before) * 1e6 / HITS
    said: dict[str, Any] = server.info("commandstats")
    scripts = [said[name] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in said]
    usec, calls = (sum(float(one[word]) for one in scripts) for word in ("usec", "calls"))
    return Cost(client_us, usec / HITS, calls / HITS)


def contenders(url: str, store: RedisCounters, windows: int, limit: int) -> dict[str, Hit]:
    """Name all ways to count, ours first."""
    ours = {"strict": Strategy.STRICT, "smooth": Strategy.SMOOTH, "calendar": Strategy.CALENDAR}
    theirs = {
        "fixed window": strategies.FixedWindowRateLimiter,
        "sliding counter": strategies.SlidingWindowCounterRateLimiter,
        "moving window": strategies.MovingWindowRateLimiter,
    }
    return {
        **{f"Vallum {name}": vallum(store, each, windows, limit) for name, each in ours.items()},
        **{f"limits: {name}": flask_limiter(url, kind, windows, limit) for name, kind in theirs.items()},
        "fixed-window script": fixed_script(url, windows, limit),
    }


async def compare(url: str) -> dict[str, dict[int, list[Cost]]]:
    """Check and measure all of them in turn, several times."""
    server = redis.Redis.from_url(url)
    store = RedisCounters(Address.parse(f"{url}?timeout_ms=5000"))
    await store.open()
    costs: dict[str, dict[int, list[Cost]]] = {}
    for name, hit in contenders(url, store, 1, REFUSING).items():
        if name != "Vallum smooth":  # its burst is a tenth
            await check(name, hit)
    for _ in range(ROUNDS):
        for windows in (1, 3):
            for name, hit in contenders(url, store, windows, LIMIT).items():
                costs.setdefault(name, {}).setdefault(windows, []).append(await measure(server, hit))
    store.close()
    return costs


def show(url: str) -> None:
    """Print medians."""
    costs = uvloop.run(compare(url))
    print(f"\non {url}, {IN_FLIGHT} in flight{'one limit':>24}{'three limits':>26}")
    print(f"{'':26}" + f"{'CPU us':>9}{'store us':>10}{'calls':>7}" * 2)
    for name, found in costs.items():
        row = f"{name:26}"
        for rounds in found.values():
            client_us, store_us, calls = (statistics.median(column) for column in zip(*rounds, strict=True))
            row += f"{client_us:9.1f}{store_us:10.1f}{calls:7.2g}"
        print(row)
