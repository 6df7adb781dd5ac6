"""Proofs are remembered for their time, by everybody who shares the set; a full set forgets nothing."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.core.errors import DependencyError
from vallum.core.theft import Habits, Sighting, Suspicion
from vallum.stores.proofs import MemoryProofs
from vallum.stores.sightings import MemorySightings


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


async def test_a_proof_is_new_once_in_its_time() -> None:
    clock = Clock()
    proofs = MemoryProofs(clock)
    assert await proofs.set_once("a", 100)
    assert not await proofs.set_once("a", 100)
    assert await proofs.set_once("b", 100)
    clock.now_ms = 99
    assert not await proofs.set_once("a", 100)
    clock.now_ms = 100
    assert await proofs.set_once("a", 100)


async def test_of_many_at_once_one_is_first() -> None:
    proofs = MemoryProofs(Clock())
    assert sorted(await asyncio.gather(*(proofs.set_once("a", 100) for _ in range(50)))) == [False] * 49 + [True]


async def test_a_full_set_refuses_and_forgets_nothing() -> None:
    clock = Clock()
    proofs = MemoryProofs(clock, 2)
    assert await proofs.set_once("a", 100)
    assert await proofs.set_once("b", 200)
    with pytest.raises(DependencyError, match="all 2 places"):
        await proofs.set_once("c", 100)
    assert not await proofs.set_once("a", 100)
    clock.now_ms = 100
    assert await proofs.set_once("c", 100)
    assert not await proofs.set_once("b", 100)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50), st.integers(0, 20)), max_size=60))
def test_it_agrees_with_a_plain_list(uses: list[tuple[int, int, int]]) -> None:
    async def play() -> None:
        clock = Clock()
        proofs = MemoryProofs(clock)
        ends: dict[int, int] = {}
        for key, ttl_ms, pause_ms in uses:
            clock.now_ms += pause_ms
            new = ends.get(key, 0) <= clock.now_ms
            assert await proofs.set_once(str(key), ttl_ms) is new
            if new:
                ends[key] = clock.now_ms + ttl_ms

    asyncio.run(play())


async def test_habits_are_kept_for_the_credentials_used_last() -> None:
    store = MemorySightings(Habits(0.0, 1), max_profiles=2)

    async def note(credential: str, network: str) -> Suspicion:
        return await store.note(credential, Sighting(1.0, network, "", frozenset()))

    assert await note("a", "home") == Suspicion()
    assert (await note("a", "far")).signs == ("new_network",)
    await note("b", "home")
    await note("a", "home")
    await note("c", "home")  # b was used longest ago
    assert (await note("a", "other")).signs
    assert await note("b", "elsewhere") == Suspicion()
