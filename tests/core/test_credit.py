"""Burst credit: what was left is there later, up to a cap; never more than N + C in a window, nor N in the long run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.core.credit import Account, accrue
from vallum.core.quota import Demand, Quota
from vallum.stores.bank import Bank
from vallum.stores.memory import MemoryCounters

MINUTE_US = 60_000_000
TEN = Quota("ten", 10, MINUTE_US, credit=5)


class Shop:
    """A bank on a clock of its own, and what it admitted."""

    def __init__(self, quota: Quota = TEN, accounts_max: int = 100) -> None:
        self.now_us = 0
        self.quota = quota
        self.counters = MemoryCounters(lambda: self.now_us)
        self.bank = Bank(self.counters, lambda: self.now_us, accounts_max)
        self.admitted: list[int] = []

    async def ask(self, times: int, key: str = "key", limit: int | None = None, other: Quota | None = None) -> int:
        demands = [Demand(self.quota, key, 1, limit)]
        if other is not None:
            demands.append(Demand(other, f"{key}-other"))
        got = 0
        for _ in range(times):
            taken = await self.bank.take(tuple(demands))
            got += taken.refused is None
        self.admitted += [self.now_us] * got
        return got


@given(
    st.integers(1, 6),
    st.integers(0, 8),
    st.lists(
        st.tuples(st.one_of(st.integers(0, MINUTE_US // 4), st.just(3 * MINUTE_US)), st.integers(1, 6)), max_size=60
    ),
)
@settings(max_examples=200)
async def test_the_promise_with_credit(limit: int, credit: int, asks: list[tuple[int, int]]) -> None:
    shop = Shop(Quota("q", limit, MINUTE_US, credit=credit))
    for gap_us, times in asks:
        shop.now_us += gap_us
        await shop.ask(times)
        window = [at for at in shop.admitted if at >= shop.now_us - MINUTE_US]
        assert len(window) <= limit + credit
        assert len(shop.admitted) <= limit * shop.now_us / MINUTE_US + limit + credit


async def test_who_paused_may_ask_for_more_once() -> None:
    shop = Shop()
    assert await shop.ask(30) == 10
    shop.now_us += 2 * MINUTE_US
    assert await shop.ask(30) == 15
    shop.now_us += MINUTE_US * 25 // 24
    assert await shop.ask(30) == 10, "it is spent"
    shop.now_us += 10 * MINUTE_US
    assert await shop.ask(30) == 15, "and never more than the cap"


async def test_who_asks_all_the_time_for_all_there_is_saves_nothing() -> None:
    shop = Shop()
    for _ in range(600):
        shop.now_us += MINUTE_US // 60
        await shop.ask(1)
    assert len(shop.admitted) <= 110


async def test_nobody_begins_with_credit_and_a_forgotten_account_has_none() -> None:
    shop = Shop(accounts_max=1)
    assert await shop.ask(1, "alice") == 1
    shop.now_us += 10 * MINUTE_US
    assert await shop.ask(1, "bob") == 1
    assert await shop.ask(30, "alice") == 10


async def test_a_lowered_limit_has_no_credit_and_saves_none() -> None:
    shop = Shop()
    await shop.ask(1)
    shop.now_us += 10 * MINUTE_US
    assert await shop.ask(30, limit=5) == 5
    shop.now_us += 2 * MINUTE_US
    assert await shop.ask(30) == 10
    assert await shop.ask(30, "raised", limit=20) == 20


async def test_a_quota_beside_it_stays_what_it_is() -> None:
    shop = Shop()
    twelve = Quota("twelve", 12, MINUTE_US)
    await shop.ask(1)
    shop.now_us += 10 * MINUTE_US
    assert await shop.ask(30, other=twelve) == 12
    plain = Shop(Quota("plain", 10, MINUTE_US))
    assert await plain.ask(30) == 10
    await plain.bank.settle((), "id")
    await plain.bank.renew((), "id")


def test_a_clock_that_goes_back_adds_nothing() -> None:
    account = Account(MINUTE_US, 3.0, 4)
    assert accrue(account, TEN, 0) == account
