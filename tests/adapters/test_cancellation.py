"""A caller who leaves, at every point at which the conversation can wait, once or twice: nothing is held afterwards."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from vallum.adapters.conduct import conduct
from vallum.adapters.driver import Driver
from vallum.adapters.gates import Gates
from vallum.core.cost import OutputBound
from vallum.core.exchange import Headers, ResponseHead
from vallum.core.leases import Leases
from vallum.core.policy import Concurrency, Mode, OnOverrun, Priority, Upstream
from vallum.core.quota import Quota, Strategy
from vallum.core.windows import Window
from vallum.presets.openai.amounts import METERS
from vallum.stores.memory import MemoryCounters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Kit

    from vallum.adapters.conduct import House
    from vallum.adapters.gates import Gate
    from vallum.core.engine import Engine
    from vallum.core.exchange import Exchange
    from vallum.core.quota import Demand, Taken

MINUTE_US = 60_000_000
QUOTAS = (
    Quota("minute", 1000, MINUTE_US),
    Quota("tokens", 100_000, MINUTE_US, unit="tokens"),
    Quota("smooth", 100_000, MINUTE_US, unit="bytes", strategy=Strategy.SMOOTH, burst=100_000),
    Quota("slots", 4, MINUTE_US, unit="concurrent", strategy=Strategy.LEASES),
)
MODEL = Upstream("model", "http://model", concurrency=Concurrency(1, room=5, wait_s=5.0))
EVENT = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "word"}}]}).encode() + b"\n\n"
BODY = json.dumps({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "stream": True}).encode()


async def pause() -> None:
    """Wait for one turn of the loop: a point at which a task can be cancelled."""
    await asyncio.sleep(0)


class Counters(MemoryCounters):
    """Counters that take their time, before they act and after."""

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        await pause()
        taken = await super().take(demands, id)
        await pause()
        return taken

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        await pause()
        await super().settle(demands, id)
        await pause()


class Answer:
    """A stream that runs over what was reserved for it."""

    def __init__(self) -> None:
        self.head = ResponseHead(200, Headers([("content-type", "text/event-stream")]))
        self.left = 4
        self.released = False

    async def read(self) -> bytes:
        await pause()
        self.left -= 1
        return EVENT if self.left >= 0 else b""

    def release(self) -> None:
        self.released = True


class Service:
    """The model."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    async def call(self, *_: Any) -> Answer:
        await pause()
        self.answers.append(Answer())
        return self.answers[-1]


class Caller:
    """Who asks."""

    received_bytes = len(BODY)
    sent_bytes = 0

    async def read_body(self, _: int) -> bytes:
        await pause()
        return BODY

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        await pause()

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        await pause()

    async def send(self, data: bytes) -> None:
        await pause()

    async def end(self) -> None:
        await pause()


class Gateway:
    """All that a conversation is handed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.counters = Counters()
        self.driver = Driver(self.counters, cast("Any", None))
        self.service = Service()
        self.gates = Gates(self.clock)
        self.gates.keep([MODEL])
        self.ended: list[Exchange] = []

    def clock(self) -> float:
        return asyncio.get_running_loop().time()

    def finish(self, x: Exchange, *_: Any) -> None:
        self.ended.append(x)

    @property
    def gate(self) -> Gate:
        found = self.gates.find(MODEL)
        assert found is not None
        return found

    def holds(self) -> dict[str, Any]:
        """Say what is held for exchanges in hand."""
        buckets = self.counters._buckets.values()
        return {
            "leases": sum(len(bucket.held) for bucket in buckets if isinstance(bucket, Leases)),
            "reservations": sum(len(getattr(bucket, "unsettled", ())) for bucket in buckets),
            "renewals": len(self.driver.ledger._held),
            "settlements": len(self.driver.ledger._settling),
            "inside": self.gate.pressure.inside,
            "waiting": self.gate.pressure.waiting,
            "answers": sum(not answer.released for answer in self.service.answers),
        }


NOTHING = dict.fromkeys(["leases", "reservations", "renewals", "settlements", "inside", "waiting", "answers"], 0)


def gateway(kit: Kit) -> Gateway:
    route = kit.route(
        limits=(*map(kit.limit, QUOTAS), kit.limit(replace(QUOTAS[1], name="shadow"), Mode.SHADOW)),
        meter=METERS["openai.chat"],
        output_bound=OutputBound(),
        upstream=MODEL,
        on_overrun=OnOverrun.CUT,
        outlet=kit.outlet(),
    )
    return Gateway(kit.engine(route))


async def turns(count: int, task: asyncio.Task[None]) -> bool:
    """Let the loop turn so often; say whether the task goes on."""
    for _ in range(count):
        if task.done():
            return False
        await pause()
    return not task.done()


async def leave(kit: Kit, first: int, second: int | None) -> bool:
    """Cancel an exchange after so many turns, and once more; say whether it was still in hand."""
    house = gateway(kit)
    blocking = await house.gate.enter(Priority.NORMAL)
    task = asyncio.ensure_future(conduct(cast("House", house), kit.request(), cast("Any", Caller())))
    for turn in range(first):
        if turn == 16:
            assert house.gate.pressure.waiting == 1
            blocking.leave()
        if not await turns(1, task):
            break
    in_hand = not task.done()
    task.cancel()
    if second is not None:
        await turns(second, task)
        task.cancel()
    blocking.leave()
    await asyncio.wait([task])
    await house.driver.ledger.drain()
    await pause()
    assert house.holds() == NOTHING, (first, second)
    assert len(house.ended) == (first > 0), "one record of each that began"
    return in_hand


@pytest.mark.parametrize("second", [None, 0, 1, 2, 3], ids=lambda second: f"and again {second}")
async def test_nothing_is_held_after_a_caller_has_left_at_any_point(kit: Kit, second: int | None) -> None:
    first = 0
    while await leave(kit, first, second):
        first += 1
    assert first > 25, "there are that many points"


async def test_what_is_held_meanwhile_is_seen_by_this_test(kit: Kit) -> None:
    """The test above would find nothing if nothing were ever held."""
    house = gateway(kit)
    task = asyncio.ensure_future(conduct(cast("House", house), kit.request(), cast("Any", Caller())))
    seen: dict[str, int] = dict(NOTHING)
    while await turns(1, task):
        seen = {name: max(seen[name], count) for name, count in house.holds().items()}
    assert all(seen[name] for name in NOTHING if name != "waiting"), seen
    await house.driver.ledger.drain()
    assert house.holds() == NOTHING
    assert any(isinstance(bucket, Window) and bucket.total for bucket in house.counters._buckets.values())
