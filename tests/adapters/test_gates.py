"""Gates: nobody over the limit, and every way out gives the place back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vallum.adapters.gates import Gate, Gates
from vallum.core.exchange import Headers, ResponseHead
from vallum.core.policy import Concurrency, Priority, Upstream

NORMAL = Priority.NORMAL
RULE = Concurrency(1, room=2, wait_s=5.0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def gate(rule: Concurrency = RULE) -> tuple[Gate, Clock]:
    clock = Clock()
    return Gate(rule, clock), clock


async def settled(*tasks: asyncio.Task[Any]) -> list[bool]:
    for _ in range(5):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_who_finds_no_room_waits_for_the_one_inside_to_leave() -> None:
    door, clock = gate()
    first = await door.enter(NORMAL)
    second = asyncio.create_task(door.enter(NORMAL))
    assert await settled(second) == [False]
    clock.now = 2.0
    first.leave()
    visit = await second
    assert (visit.refused, visit.waited_s) == ("", 2.0)
    visit.leave()
    visit.leave()
    assert door.pressure.inside == 0


async def test_who_waits_too_long_is_shed_and_keeps_no_place() -> None:
    door, _ = gate(Concurrency(1, room=2, wait_s=0.001))
    await door.enter(NORMAL)
    late = await door.enter(NORMAL)
    assert late.refused.startswith("no turn within")
    late.leave()
    assert (door.pressure.inside, door.pressure.waiting) == (1, 0)
    assert door.shed == {NORMAL: 1}


@pytest.mark.parametrize("called_in", [False, True], ids=["while it waits", "in the moment it is called in"])
async def test_a_caller_that_leaves_keeps_no_place(called_in: bool) -> None:
    door, _ = gate()
    first = await door.enter(NORMAL)
    second, third = (asyncio.create_task(door.enter(NORMAL)) for _ in range(2))
    await settled(second)
    if called_in:
        first.leave()
    second.cancel()
    first.leave()
    visit = await third
    assert visit.refused == ""
    assert second.cancelled()
    visit.leave()
    assert (door.pressure.inside, door.pressure.waiting) == (0, 0)


async def test_a_full_room_sheds_at_once_and_the_lowest_first() -> None:
    door, _ = gate()
    inside = await door.enter(NORMAL)
    low = [asyncio.create_task(door.enter(Priority.LOW)) for _ in range(2)]
    await settled(*low)
    high = asyncio.create_task(door.enter(Priority.HIGH))
    assert await settled(*low, high) == [False, True, False]
    assert (await low[1]).refused
    assert (await door.enter(Priority.LOW)).refused.startswith("no room: 1 inside, 2 waiting")
    inside.leave()
    await settled(high)
    assert (await high).refused == ""
    for task in low:
        task.cancel()


async def test_who_is_in_shadow_never_waits() -> None:
    door, _ = gate()
    visits = [await door.enter(NORMAL, waits=False) for _ in range(5)]
    assert [bool(visit.refused) for visit in visits] == [False, False, False, True, True]
    for visit in visits:
        visit.leave()
    assert (door.pressure.inside, door.pressure.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("status", "media_type", "streams_only", "counts"),
    [
        (200, "application/json", False, True),
        (200, "application/json", True, False),
        (200, "text/event-stream; charset=utf-8", True, True),
        (500, "application/json", False, False),
        (429, "text/event-stream", True, False),
    ],
)
async def test_only_answers_tell_of_the_load(status: int, media_type: str, streams_only: bool, counts: bool) -> None:
    door, clock = gate(Concurrency(100, 1, 0.5, streams_only=streams_only))
    visit = await door.enter(NORMAL)
    clock.now = 3.0
    visit.heard(ResponseHead(status, Headers((("content-type", media_type),))))
    assert (door.pressure.limit < 10) is counts


async def test_a_reload_keeps_what_was_learned_unless_the_rule_changed() -> None:
    gates = Gates(Clock())
    limited, free = Upstream("a", "http://a", concurrency=RULE), Upstream("b", "http://b")
    gates.keep([limited, free])
    known = gates.find(limited)
    assert known is not None
    assert gates.find(free) is None
    gates.keep([Upstream("a", "http://other", concurrency=RULE)])
    assert gates.find(limited) is known
    gates.keep([Upstream("a", "http://a", concurrency=Concurrency(2))])
    assert gates.find(limited) is not known
    gates.keep([])
    assert gates.find(limited) is None
    assert list(gates.all()) == []
