"""Outages of the shared store: what each quota does meanwhile, who waits, and what is known afterwards."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.errors import DependencyError, StoreSilentError
from vallum.core.quota import Demand, OnStoreFailure, Quota, Strategy
from vallum.stores import failover
from vallum.stores.failover import FailoverCounters
from vallum.stores.memory import MemoryCounters
from vallum.stores.near import NearCounters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stores.conftest import Lab

    from vallum.core.quota import Taken
    from vallum.stores.redis.counters import RedisCounters

HOUR_US = 3_600_000_000
TEN = Quota("ten", 10, HOUR_US)
SECOND_US = 1_000_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_us = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def pass_s(self, seconds: float) -> None:
        self.now_us += int(seconds * SECOND_US)


class Store(MemoryCounters):
    """A shared store that fails when it is told to, and counts how often it is asked."""

    def __init__(self, clock: Clock, nodes: int) -> None:
        super().__init__(clock)
        self.nodes = nodes
        self.asked = self.beats = 0
        self.failure: Exception | None = None

    def _fail(self) -> None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        self._fail()
        return await super().take(demands, id)

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        self._fail()
        await super().settle(demands, id)

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        self._fail()
        await super().renew(demands, id)

    async def set_once(self, key: str, ttl_ms: int) -> bool:
        self._fail()
        return True

    async def beat(self) -> int:
        self.beats += 1
        if self.failure is not None:
            raise self.failure
        return self.nodes


class House:
    """A gateway's counters before a shared store of `nodes` nodes."""

    def __init__(self, nodes: int = 1) -> None:
        self.clock = Clock()
        self.store = Store(self.clock, nodes)
        self.failover = FailoverCounters(self.store, MemoryCounters(self.clock), self.clock)

    async def take(self, quota: Quota = TEN, cost: int = 1, id: str = "", key: str = "k") -> Taken:
        return await self.failover.take((Demand(quota, f"{quota.name}{key}", cost),), id)

    async def admitted(self, times: int, quota: Quota = TEN) -> int:
        return sum([(await self.take(quota)).refused is None for _ in range(times)])

    async def beat(self, seconds: float = 1) -> None:
        self.clock.pass_s(seconds)
        await self.failover.beat()


LOST, SILENT = DependencyError("lost"), StoreSilentError("silent")


# --- the breaker


async def test_one_silence_is_enough_and_then_nobody_asks() -> None:
    house = House()
    house.store.failure = SILENT
    await house.admitted(20)
    assert house.store.asked == 1
    assert not house.failover.condition.up


async def test_five_failures_within_a_second_are_enough() -> None:
    house = House()
    house.store.failure = LOST
    for _ in range(4):
        await house.take()
        house.clock.pass_s(0.2)
    assert house.failover.condition.up
    await house.take()
    assert not house.failover.condition.up
    await house.admitted(20)
    assert house.store.asked == 5


async def test_failures_now_and_then_are_met_one_by_one() -> None:
    house = House()
    house.store.failure = LOST
    for _ in range(20):
        await house.take()
        house.clock.pass_s(0.3)
    assert house.failover.condition.up
    assert house.failover.condition.failures == 20


async def test_one_probe_a_second_finds_out_and_the_log_says_each_change_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "vallum")
    house = House()
    house.store.failure = SILENT
    await house.admitted(50)
    for _ in range(30):
        await house.beat(0.1)
    assert house.store.beats == 3
    house.store.failure = None
    assert not house.failover.condition.up
    await house.beat()
    assert house.failover.condition.up
    await house.beat()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"], caplog.text


async def test_a_store_that_falls_silent_while_nobody_asks_is_found_out_by_the_beat() -> None:
    house = House()
    house.store.failure = SILENT
    await house.beat()
    await house.take()
    assert house.store.asked == 0


# --- what quotas do


@pytest.mark.parametrize(("nodes", "share"), [(1, 10), (2, 5), (3, 3), (10, 1), (100, 1)])
async def test_local_admits_this_nodes_share(nodes: int, share: int) -> None:
    house = House(nodes)
    await house.beat()
    assert (await house.take(key="another")).nodes == 0
    house.store.failure = SILENT
    assert await house.admitted(30) == share
    assert (await house.take()).nodes == nodes


async def test_nodes_that_come_back_one_by_one_are_all_counted() -> None:
    """After an outage the first node to be back hears of no other yet."""
    house = House(5)
    await house.beat()
    house.store.nodes = 1
    await house.beat()
    house.store.failure = SILENT
    assert await house.admitted(30) == 2
    house.store.failure = None
    for _ in range(12):
        await house.beat()
    assert house.failover.condition.nodes == 1


async def test_who_was_refused_stays_refused_until_the_time_that_the_store_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House(nodes=2)
    await house.beat()
    assert await house.admitted(20) == 10
    wait_us = (await house.take()).retry_after_us
    house.store.failure = SILENT
    refused = await house.take()
    assert (refused.refused, refused.retry_after_us) == (TEN, wait_us)
    assert await house.admitted(20) == 0
    assert (await house.take(key="other")).refused is None, "whom nobody has refused has a share"
    assert (await house.take(cost=0)).refused is None, "what costs less may fit"
    assert (await house.take(replace(TEN, limit=20))).refused is None, "so may what has a higher limit"
    house.clock.pass_s(wait_us / SECOND_US)
    assert await house.admitted(20) > 0

    house.store.failure = None
    house.failover._up = True
    monkeypatch.setattr(failover, "FULL_MAX", 2)
    for key in "abcd":
        assert [(await house.take(cost=10, key=key)).refused for _ in range(2)] == [None, TEN]
    assert len(house.failover._full) <= 2


async def test_room_that_was_given_back_is_room_again() -> None:
    house = House()
    assert (await house.take(cost=10, id="a")).refused is None
    assert (await house.take()).refused is TEN
    await house.failover.settle((Demand(TEN, "tenk", 0),), "a")
    house.store.failure = SILENT
    assert (await house.take()).refused is None


async def test_deny_refuses_as_unavailable_and_charges_nothing() -> None:
    house = House()
    house.store.failure = SILENT
    deny = Quota("deny", 10, HOUR_US, on_store_failure=OnStoreFailure.DENY)
    taken = await house.failover.take((Demand(TEN, "a"), Demand(deny, "b")))
    assert (taken.refused, taken.unavailable, taken.retry_after_us) == (deny, True, SECOND_US)
    assert len(taken.levels) == 2
    assert (await house.failover.take((Demand(TEN, "a"),))).levels[0][1] == 9


async def test_allow_lets_through_and_says_so_in_the_place_of_its_level() -> None:
    house = House(2)
    await house.beat()
    house.store.failure = SILENT
    allow = Quota("allow", 7, HOUR_US, on_store_failure=OnStoreFailure.ALLOW)
    other = Quota("other", 4, HOUR_US)
    demands = (Demand(allow, "a"), Demand(TEN, "b"), Demand(allow, "c", limit=3), Demand(other, "d"))
    taken = [await house.failover.take(demands) for _ in range(3)]
    assert [each.refused for each in taken] == [None, None, other]
    assert [level[:2] for level in taken[0].levels] == [(allow, 7), (TEN, 4), (allow, 3), (other, 1)]
    assert taken[0].skipped == (allow, allow)
    alone = await house.failover.take((Demand(allow, "a", 1000),))
    assert (alone.refused, alone.skipped) == (None, (allow,))


async def test_what_may_happen_once_cannot_happen_without_the_store_and_nobody_waits_for_it() -> None:
    house = House()
    assert await house.failover.set_once("jti", 1000)
    house.store.failure = SILENT
    for _ in range(5):
        with pytest.raises(DependencyError):
            await house.failover.set_once("jti", 1000)
    assert house.store.asked == 2


# --- settling


async def test_settling_and_renewing_go_to_whoever_took() -> None:
    house = House()
    lease = Quota("lease", 1, 60 * SECOND_US, strategy=Strategy.LEASES)
    assert (await house.take(cost=8, id="there")).refused is None
    house.store.failure = SILENT
    assert (await house.take(cost=8, id="here")).refused is None
    assert (await house.take(lease, id="leased")).refused is None
    await house.failover.renew((Demand(lease, "leasek"),), "leased")
    asked = house.store.asked
    await house.failover.settle((Demand(TEN, "tenk", 1),), "here")
    assert house.store.asked == asked
    assert (await house.take(cost=9)).refused is None, "7 were given back here"
    with pytest.raises(DependencyError):
        await house.failover.settle((Demand(TEN, "tenk", 1),), "there")
    assert house.failover.condition.settlements_lost == 1, "it stays charged there"
    house.store.failure = None
    await house.beat()
    await house.failover.renew((Demand(lease, "leasek"),), "another")
    house.store.failure = LOST
    await house.failover.renew((Demand(lease, "leasek"),), "another")
    with pytest.raises(DependencyError):
        await house.failover.settle((Demand(TEN, "tenk", 1),), "another")
    assert house.failover.condition.settlements_lost == 2


async def test_reservations_taken_here_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vallum.stores.failover.RESERVED_MAX", 3)
    monkeypatch.setattr("vallum.stores.failover.OWED_MAX", 3)
    house = House()
    house.store.failure = SILENT
    for number in range(9):
        await house.take(id=str(number), key=str(number))
    assert list(house.failover._reserved) == ["6", "7", "8"]
    assert len(house.failover._owed) == 3


# --- and afterwards


async def test_what_was_counted_here_is_charged_when_the_store_is_back() -> None:
    house = House()
    await house.admitted(4)
    house.store.failure = SILENT
    assert await house.admitted(3) == 3
    house.store.failure = None
    await house.beat()
    assert await house.admitted(10) == 3


async def test_what_was_settled_here_is_charged_as_it_was_settled() -> None:
    house = House()
    house.store.failure = SILENT
    for number in range(3):
        assert (await house.take(cost=8, id=str(number))).refused is None
        await house.failover.settle((Demand(TEN, "tenk", 1),), str(number))
    house.store.failure = None
    await house.beat()
    assert await house.admitted(10) == 7, "3 were used, and 24 reserved"


async def test_what_was_charged_before_the_answer_was_lost_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request, charged in both places: the shared store forgets its part when the request is settled."""
    house = House()
    take = house.store.take

    async def loses_its_answer(demands: tuple[Demand, ...], id: str = "") -> Taken:
        await take(demands, id)
        raise LOST

    with monkeypatch.context() as losing:
        losing.setattr(house.store, "take", loses_its_answer)
        assert (await house.take(cost=8, id="one")).refused is None
    await house.failover.settle((Demand(TEN, "tenk", 2),), "one")
    await house.beat()
    assert await house.admitted(10) == 8


async def test_what_was_settled_here_is_not_lost_when_the_store_fails_meanwhile() -> None:
    house = House()
    house.store.failure = LOST
    assert (await house.take(cost=8, id="one")).refused is None
    await house.failover.settle((Demand(TEN, "tenk", 2),), "one")
    assert (house.failover.condition.failures, house.failover.condition.settlements_lost) == (2, 0)


async def test_each_lease_of_a_request_is_renewed_where_it_was_taken() -> None:
    house = House()
    lease = Quota("lease", 1, 60 * SECOND_US, strategy=Strategy.LEASES)
    shadow = Quota("shadow", 1, 60 * SECOND_US, strategy=Strategy.LEASES)
    await house.take(lease, id="one")
    house.store.failure = LOST
    await house.take(shadow, id="one")
    house.store.failure = None
    house.clock.pass_s(40)
    await house.failover.renew((Demand(lease, "leasek"), Demand(shadow, "shadowk")), "one")
    house.clock.pass_s(40)
    assert (await house.take(lease, id="two")).refused is lease


async def test_each_part_of_a_request_is_settled_where_it_was_taken() -> None:
    """A quota in shadow is asked for after the others: the store may have fallen in between."""
    house = House()
    shadow = Quota("shadow", 10, HOUR_US)
    assert (await house.take(cost=8, id="one")).refused is None
    house.store.failure = LOST
    assert (await house.take(shadow, cost=8, id="one")).refused is None
    house.store.failure = None
    await house.failover.settle((Demand(TEN, "tenk", 2), Demand(shadow, "shadowk", 2)), "one")
    await house.beat()
    assert [await house.admitted(10), await house.admitted(10, shadow)] == [8, 8]


async def test_as_much_as_there_is_room_for_is_charged_and_leases_are_not() -> None:
    house = House()
    lease = Quota("lease", 3, 60 * SECOND_US, strategy=Strategy.LEASES)
    await house.admitted(6)
    house.store.failure = SILENT
    assert await house.admitted(9) == 9
    await house.take(lease, id="here")
    house.store.failure = None
    await house.beat()
    assert await house.admitted(10) == 0
    assert (await house.store.take((Demand(lease, "leasek", 1),), "x")).levels[0][1] == 2


async def test_a_store_that_falls_again_while_it_is_paid_is_paid_later(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.store.failure = SILENT
    await house.admitted(3)

    async def beat() -> int:
        return 1

    monkeypatch.setattr(house.store, "beat", beat)
    await house.beat()
    assert not house.failover.condition.up
    house.store.failure = None
    await house.beat()
    assert house.failover.condition.up
    assert await house.admitted(10) == 7


# --- refusals that are remembered


def near(house: House) -> NearCounters:
    return NearCounters(house.failover, house.clock)


async def test_a_flood_over_its_limit_costs_the_store_nothing() -> None:
    house = House()
    counters = near(house)
    answers = [await counters.take((Demand(TEN, "k"),)) for _ in range(100)]
    assert [taken.refused for taken in answers] == [None] * 10 + [TEN] * 90
    assert (house.store.asked, counters.spared) == (11, 89)


async def test_a_remembered_refusal_counts_down_and_ends_when_it_said() -> None:
    house = House()
    counters = near(house)
    quota = Quota("q", 1, 24_000)  # sub-windows of a millisecond
    await counters.take((Demand(quota, "k"),))
    first = await counters.take((Demand(quota, "k"),))
    house.clock.now_us += 1000
    second = await counters.take((Demand(quota, "k"),))
    assert (second.retry_after_us, second.levels[0][2]) == (first.retry_after_us - 1000, first.levels[0][2] - 1000)
    house.clock.now_us += second.retry_after_us - 1
    assert (await counters.take((Demand(quota, "k"),))).refused is quota
    house.clock.now_us += 1
    assert (await counters.take((Demand(quota, "k"),))).refused is None


@pytest.mark.parametrize(
    "changed", [{"limit": 20}, {"cost": 0}, {"key": "other"}], ids=["a raised limit", "a lower cost", "another bucket"]
)
async def test_what_may_be_admitted_is_asked_for(changed: dict[str, Any]) -> None:
    house = House()
    counters = near(house)
    demand = Demand(TEN, "k")
    for _ in range(11):
        await counters.take((demand,))
    assert (await counters.take((demand._replace(**changed),))).refused is None


async def test_a_refusal_is_remembered_for_a_second_and_until_something_is_given_back() -> None:
    house = House()
    counters = near(house)
    demand = Demand(TEN, "k", 10)
    assert (await counters.take((demand,), "id")).refused is None
    assert (await counters.take((Demand(TEN, "k"),))).refused is TEN
    await counters.settle((demand._replace(cost=9),), "id")
    assert (await counters.take((Demand(TEN, "k"),))).refused is None
    assert (await counters.take((Demand(TEN, "k"),))).refused is TEN
    asked = house.store.asked
    house.clock.pass_s(1)
    assert (await counters.take((Demand(TEN, "k"),))).refused is TEN
    assert house.store.asked == asked + 1


async def test_leases_and_unavailability_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    counters = near(house)
    lease = Demand(Quota("lease", 1, HOUR_US, strategy=Strategy.LEASES), "l")
    assert [(await counters.take((lease,), str(n))).refused is None for n in range(3)] == [True, False, False]
    await counters.renew((lease,), "0")
    house.store.failure = SILENT
    deny = Demand(Quota("deny", 1, HOUR_US, on_store_failure=OnStoreFailure.DENY), "d")
    assert (await counters.take((deny,))).unavailable
    assert (counters.spared, counters._refusals) == (0, {})
    monkeypatch.setattr("vallum.stores.near.REFUSALS_MAX", 2)
    for number in range(9):
        for _ in range(11):
            await counters.take((Demand(TEN, f"k{number}"),))
    assert len(counters._refusals) <= 2


# --- before a real store


def real_clock_us() -> int:
    return time.monotonic_ns() // 1000


def before(store: RedisCounters) -> FailoverCounters:
    return FailoverCounters(store, MemoryCounters(real_clock_us), real_clock_us)


async def waits_ms(counters: FailoverCounters, times: int) -> list[float]:
    async def one() -> float:
        started = time.perf_counter()
        await counters.take((Demand(Quota("many", 10**6, HOUR_US), "k"),))
        return (time.perf_counter() - started) * 1000

    return [wait for _ in range(times) for wait in await asyncio.gather(*(one() for _ in range(20)))]


async def test_a_hung_store_makes_requests_wait_once_and_then_not_at_all(
    lab: Lab, eventually: Callable[..., Awaitable[Any]]
) -> None:
    server = lab.server()
    counters = before(lab.store(server.url))
    await counters.beat()
    await waits_ms(counters, 2)
    server.pause()
    first = await waits_ms(counters, 1)
    later = await waits_ms(counters, 20)
    assert max(first) < 250, max(first)  # 60, where nothing else runs
    assert sorted(later)[len(later) // 2] < 10
    assert counters.condition.failures <= 20
    server.resume()
    await back(counters)


async def back(counters: FailoverCounters) -> None:
    async with asyncio.timeout(10):
        while not counters.condition.up:
            await counters.beat()
            await asyncio.sleep(0.02)


async def test_a_store_that_is_killed_and_comes_back_counts_again_what_passed_meanwhile(lab: Lab) -> None:
    server = lab.server()
    counters = before(lab.store(server.url))
    demands = (Demand(TEN, "k"),)
    await counters.beat()
    assert sum([(await counters.take(demands)).refused is None for _ in range(4)]) == 4
    server.kill()
    passed = sum([(await counters.take(demands)).refused is None for _ in range(30)])
    assert passed == 10, "this node alone: all of the limit once more, and no more"
    assert not counters.condition.up
    server.start()
    await back(counters)
    assert sum([(await counters.take(demands)).refused is None for _ in range(30)]) == 0


async def test_a_black_hole_between_us_is_a_silent_store(lab: Lab) -> None:
    faults = await lab.faults(lab.server())
    counters = before(lab.store(f"redis://127.0.0.1:{faults.port}"))
    await counters.beat()
    faults.passing.clear()
    assert max(await waits_ms(counters, 1)) < 250
    assert not counters.condition.up
    faults.passing.set()
    await back(counters)


async def test_a_slow_store_is_waited_for_within_its_time(lab: Lab) -> None:
    faults = await lab.faults(lab.server())
    counters = before(lab.store(f"redis://127.0.0.1:{faults.port}?timeout_ms=2000"))
    faults.delay_s = 0.03
    assert min(await waits_ms(counters, 1)) > 25
    assert counters.condition.up


async def test_nodes_hear_of_each_other(lab: Lab) -> None:
    url = lab.server().url
    nodes = [before(lab.store(url)) for _ in range(3)]
    for node in (*nodes, *nodes):
        node._next_beat_us = 0
        await node.beat()
    assert [node.condition.nodes for node in nodes] == [3, 3, 3]


async def test_a_store_without_memory_left_refuses_to_count_and_forgets_nothing(lab: Lab) -> None:
    server = lab.server("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    store = lab.store(f"{server.url}?timeout_ms=9000")
    takes = [store.take((Demand(TEN, str(number)),)) for number in range(5000)]
    with pytest.raises(DependencyError, match="OOM"):
        await asyncio.gather(*takes)
