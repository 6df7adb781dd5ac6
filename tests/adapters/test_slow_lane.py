"""The slow lane: bounded in texts and in time, and nobody's leaving holds it up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event

import pytest

from vallum.adapters.driver import Driver
from vallum.adapters.slow_lane import SlowLane
from vallum.core.effects import Classify, Steps, ask
from vallum.core.errors import DependencyError
from vallum.stores.memory import MemoryCounters
from vallum.testing import Nobody


class Held:
    """A model that answers as long as its text is, once it may; a text that is a fault is one."""

    def __init__(self) -> None:
        self.may_answer, self.has_begun = Event(), Event()
        self.asked: list[str] = []

    def classify(self, text: str) -> float:
        self.asked.append(text)
        self.has_begun.set()
        assert self.may_answer.wait(10)
        if text == "fault":
            raise ArithmeticError("a secret in the text")
        return float(len(text))


@pytest.fixture
def held() -> Iterator[Held]:
    model = Held()
    yield model
    model.may_answer.set()


async def begun(model: Held) -> None:
    """Wait until the thread is at work."""
    assert await asyncio.get_running_loop().run_in_executor(None, model.has_begun.wait, 10)


async def test_others_are_served_while_a_model_is_at_work(held: Held) -> None:
    lane = SlowLane(wait_s=30)
    asked = asyncio.ensure_future(lane.ask(Classify(held, "four")))
    await begun(held)
    assert not asked.done()
    held.may_answer.set()
    assert await asked == 4.0
    lane.close()


async def test_what_finds_no_room_fails_at_once_and_there_is_room_again_afterwards(held: Held) -> None:
    lane = SlowLane(waiting_max=2, wait_s=30)
    both = [asyncio.ensure_future(lane.ask(Classify(held, text))) for text in ("a", "bb")]
    await begun(held)
    with pytest.raises(DependencyError, match="2 texts are waiting"):
        await lane.ask(Classify(held, "ccc"))
    held.may_answer.set()
    assert await asyncio.gather(*both) == [1.0, 2.0]
    assert await lane.ask(Classify(held, "ccc")) == 3.0
    lane.close()


async def test_an_answer_is_not_waited_for_without_end(held: Held) -> None:
    lane = SlowLane(waiting_max=1, wait_s=0.0)
    with pytest.raises(DependencyError, match="no answer within 0 s"):
        await lane.ask(Classify(held, "slow"))
    held.may_answer.set()
    lane.close()


async def test_who_leaves_leaves_no_work_behind(held: Held) -> None:
    lane = SlowLane(waiting_max=2, wait_s=30)
    first = asyncio.ensure_future(lane.ask(Classify(held, "first")))
    await begun(held)
    second = asyncio.ensure_future(lane.ask(Classify(held, "second")))
    await asyncio.sleep(0)
    for task in (first, second):
        task.cancel()
    assert [type(end) for end in await asyncio.gather(first, second, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]
    third = asyncio.ensure_future(lane.ask(Classify(held, "third")))  # in the room of the second
    await asyncio.sleep(0)
    held.may_answer.set()
    assert await third == 5.0
    assert held.asked == ["first", "third"]
    lane.close()


async def test_a_fault_is_told_by_its_kind_alone(held: Held) -> None:
    lane = SlowLane(wait_s=30)
    held.may_answer.set()
    with pytest.raises(DependencyError) as caught:
        await lane.ask(Classify(held, "fault"))
    assert str(caught.value) == "the model failed: ArithmeticError"
    lane.close()


@pytest.mark.parametrize("with_lane", [True, False])
async def test_the_driver_asks_in_the_lane_or_in_place(held: Held, with_lane: bool) -> None:
    held.may_answer.set()
    lane = SlowLane(wait_s=30) if with_lane else None

    def steps() -> Steps[float]:
        return (yield from ask(Classify(held, "text")))

    assert await Driver(MemoryCounters(), Nobody(), slow_lane=lane).run(steps()) == 4.0
    if lane is not None:
        lane.close()
