"""Counters in memory: exact, on a clock that never goes back, and bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vallum.core.effects import TakeQuota
from vallum.core.errors import DependencyError
from vallum.core.quota import Demand, Quota
from vallum.stores.memory import SWEEP_EVERY, MemoryCounters

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.quota import Taken

MINUTE = Quota("minute", 3, 60_000_000)
HOUR = Quota("hour", 100, 3_600_000_000)
START_US = 1_700_000_000_000_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def take(counters: MemoryCounters, key: str = "alice", quota: Quota = MINUTE) -> Taken:
    return await counters.take((Demand(quota, key),))


async def admitted(counters: MemoryCounters, times: int, key: str = "alice") -> int:
    return sum([(await take(counters, key)).refused is None for _ in range(times)])


async def test_a_limit_of_n_admits_n(clock: Clock) -> None:
    counters = MemoryCounters(clock)
    assert await admitted(counters, 10) == 3
    assert await admitted(counters, 10, "bob") == 3


async def test_a_limit_of_n_admits_n_of_those_that_come_at_once(clock: Clock) -> None:
    counters = MemoryCounters(clock)
    answers = await asyncio.gather(*(take(counters) for _ in range(50)))
    assert sum(taken.refused is None for taken in answers) == 3


async def test_capacity_is_back_when_the_refusal_said(clock: Clock) -> None:
    counters = MemoryCounters(clock)
    await admitted(counters, 3)
    wait_us = (await take(counters)).retry_after_us
    clock.now_us += wait_us - 1
    assert await admitted(counters, 1) == 0
    clock.now_us += 1
    assert await admitted(counters, 1) == 1


async def test_a_clock_that_goes_back_admits_nobody_twice(clock: Clock) -> None:
    counters = MemoryCounters(clock)
    clock.now_us += 3_600_000_000
    assert await admitted(counters, 3) == 3
    clock.now_us -= 3_600_000_000
    assert await admitted(counters, 3) == 0
    assert await admitted(counters, 1, "bob") == 1
    clock.now_us += 3_600_000_000 + 59_000_000
    assert await admitted(counters, 3) == 0
    clock.now_us += 4_000_000
    assert await admitted(counters, 4) == 3


async def test_several_quotas_are_taken_together_or_not_at_all(clock: Clock) -> None:
    counters = MemoryCounters(clock)
    demands = (Demand(HOUR, "alice-hour"), Demand(MINUTE, "alice-minute"))
    answers = [await counters.take(demands) for _ in range(5)]
    assert [taken.refused for taken in answers] == [None, None, None, MINUTE, MINUTE]
    assert answers[-1].levels[0][1] == 97


async def test_buckets_are_bounded_and_a_store_without_room_fails_closed(clock: Clock) -> None:
    counters = MemoryCounters(clock, max_buckets=3)
    for name in ("a", "b", "c"):
        await take(counters, name)
    with pytest.raises(DependencyError, match="all 3 buckets"):
        await take(counters, "d")
    assert (await take(counters, "a")).refused is None, "who has a bucket keeps it"


async def test_the_engine_denies_where_there_is_no_room(clock: Clock, kit: Kit) -> None:
    engine = kit.engine(kit.route(limits=(kit.limit(MINUTE),)))
    x = engine.open(kit.request())
    kit.talk(engine.request_head(x))
    steps = engine.request_body(x, b"{}")
    effect = next(steps)
    assert isinstance(effect, TakeQuota)
    counters = MemoryCounters(clock, max_buckets=0)
    with pytest.raises(DependencyError) as caught:
        await counters.take(effect.demands)
    with pytest.raises(StopIteration) as stopped:
        steps.throw(caught.value)
    assert stopped.value.value.reason == "unavailable"


async def test_a_failed_take_charges_nothing(clock: Clock) -> None:
    counters = MemoryCounters(clock, max_buckets=2)
    await take(counters, "other")
    demands = (Demand(MINUTE, "alice"), Demand(HOUR, "alice-hour"))
    for _ in range(5):
        with pytest.raises(DependencyError):
            await counters.take(demands)
    assert await admitted(counters, 5) == 3


async def test_buckets_that_no_longer_count_make_room(clock: Clock) -> None:
    counters = MemoryCounters(clock, max_buckets=2)
    await take(counters, "a")
    clock.now_us += 10_000_000
    await take(counters, "b")
    clock.now_us += 53_000_000  # a no longer counts, b still does
    await take(counters, "c")
    assert await admitted(counters, 3, "b") == 2
    with pytest.raises(DependencyError):
        await take(counters, "d")


@pytest.mark.parametrize("before", range(SWEEP_EVERY - 3, SWEEP_EVERY + 1))
async def test_a_sweep_takes_away_no_bucket_that_is_being_filled(clock: Clock, before: int) -> None:
    counters = MemoryCounters(clock)
    for number in range(before):
        await take(counters, f"other-{number}")
    demands = (Demand(MINUTE, "alice-minute"), Demand(HOUR, "alice-hour"))
    answers = [(await counters.take(demands)).refused is None for _ in range(6)]
    assert answers == [True] * 3 + [False] * 3


async def test_a_sweep_for_want_of_room_takes_away_no_bucket_that_is_being_filled(clock: Clock) -> None:
    counters = MemoryCounters(clock, max_buckets=3)
    await take(counters, "old-1")
    await take(counters, "old-2")
    clock.now_us += 63_000_000
    demands = (Demand(MINUTE, "alice-minute"), Demand(HOUR, "alice-hour"))
    answers = [(await counters.take(demands)).refused is None for _ in range(6)]
    assert answers == [True] * 3 + [False] * 3


async def test_its_own_clock_is_a_real_one() -> None:
    assert await admitted(MemoryCounters(), 5) == 3
