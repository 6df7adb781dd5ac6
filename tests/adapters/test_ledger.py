"""The ledger: settlements outlive their callers and are bounded; leases are renewed while they are held."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from vallum.adapters import ledger as room
from vallum.adapters.driver import Driver
from vallum.core import record
from vallum.core.errors import DependencyError
from vallum.core.quota import Demand, Quota, Strategy, Taken

if TYPE_CHECKING:
    from tests.conftest import Kit

    from vallum.core.engine import Engine
    from vallum.core.exchange import Exchange

SLOTS = Quota("slots", 4, 60_000_000, unit="concurrent", strategy=Strategy.LEASES)


class Store:
    """Counters that take everything, and settle when they are let."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, int]] = []
        self.renewed: list[str] = []
        self.may_settle = asyncio.Event()
        self.down: Exception | None = None

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        return Taken(tuple((demand.quota, 3, 0) for demand in demands))

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        await self.may_settle.wait()
        if self.down is not None:
            raise self.down
        self.settled += [(id, demand.cost) for demand in demands]

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        if self.down is not None:
            raise self.down
        assert [demand.quota for demand in demands] == [SLOTS]
        self.renewed.append(id)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def driver(store: Store) -> Driver:
    return Driver(store, cast("Any", None))


async def admit(kit: Kit, driver: Driver) -> tuple[Engine, Exchange]:
    engine = kit.engine(kit.route(limits=(kit.limit(SLOTS),)))
    x = engine.open(kit.request())
    await driver.run(engine.request_head(x))
    await driver.run(engine.request_body(x, json.dumps({}).encode()))
    return engine, x


async def test_a_caller_who_leaves_does_not_stop_a_settlement(kit: Kit, store: Store, driver: Driver) -> None:
    engine, x = await admit(kit, driver)
    waiting = asyncio.ensure_future(driver.ledger.settle(engine, x))
    await asyncio.sleep(0)
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
    assert store.settled == []
    store.may_settle.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert store.settled == [("req-1", 0)]
    told = record.compose(x, 200, record.Timing(0.0, 0.0), 0)
    assert told["spent"]["slots"]["settled"] == 0, "who hangs up with the last byte does not make it look lost"
    assert "unscanned" not in told


async def test_a_settlement_that_hangs_is_given_up(
    kit: Kit, store: Store, driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 0.01)
    engine, x = await admit(kit, driver)
    await driver.ledger.settle(engine, x)
    assert store.settled == []
    assert "its reservation stays charged" in caplog.text
    told = record.compose(x, 200, record.Timing(0.0, 0.0), 0)
    assert told["spent"]["slots"] == {"reserved": 1, "settled": None}
    assert told["unscanned"] == ["settle"]


@pytest.mark.parametrize("error", [DependencyError("down"), ZeroDivisionError("a fault of the store's")])
async def test_a_settlement_that_fails_harms_nobody(kit: Kit, store: Store, driver: Driver, error: Exception) -> None:
    engine, x = await admit(kit, driver)
    store.may_settle.set()
    store.down = error
    await driver.ledger.settle(engine, x)
    assert store.settled == []
    assert record.compose(x, 200, record.Timing(0.0, 0.0), 0)["spent"]["slots"]["settled"] is None
    await driver.ledger.drain()


async def renew(driver: Driver, later_s: float) -> None:
    """Beat once, as if that much time had passed."""
    ledger = driver.ledger
    ledger._held = {name: (x, at - later_s) for name, (x, at) in ledger._held.items()}
    ledger.renew()
    if ledger._renewing is not None:
        await asyncio.wait([ledger._renewing])


async def test_a_lease_is_renewed_when_a_third_of_it_is_over_until_it_is_settled(
    kit: Kit, store: Store, driver: Driver
) -> None:
    engine, x = await admit(kit, driver)
    await renew(driver, 100)
    assert store.renewed == [], "nothing is held"
    driver.ledger.hold(x)
    await renew(driver, 19)
    assert store.renewed == []
    await renew(driver, 2)
    assert store.renewed == ["req-1"]
    await renew(driver, 19)
    assert store.renewed == ["req-1"]
    await renew(driver, 2)
    assert store.renewed == ["req-1", "req-1"]
    store.may_settle.set()
    await driver.ledger.settle(engine, x)
    await renew(driver, 100)
    assert len(store.renewed) == 2


async def test_a_lease_that_ends_while_others_are_renewed_is_left_alone(kit: Kit, store: Store, driver: Driver) -> None:
    _, x = await admit(kit, driver)
    await driver.ledger._renew([x])
    assert store.renewed == []


async def test_a_renewal_that_fails_is_tried_again(kit: Kit, store: Store, driver: Driver) -> None:
    _, x = await admit(kit, driver)
    driver.ledger.hold(x)
    store.down = DependencyError("down")
    await renew(driver, 21)
    assert store.renewed == []
    store.down = None
    await renew(driver, 0)
    assert store.renewed == ["req-1"]
    await driver.ledger.drain()


async def test_renewals_do_not_pile_up(kit: Kit, store: Store, driver: Driver) -> None:
    _, x = await admit(kit, driver)
    driver.ledger.hold(x)
    ledger = driver.ledger
    ledger._held = {name: (x, 0.0) for name, (x, _) in ledger._held.items()}
    ledger.renew()
    first = ledger._renewing
    ledger.renew()
    assert ledger._renewing is first
    await ledger.drain()
