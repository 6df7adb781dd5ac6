"""A fleet of replicas on one clock, each with a link of its own to a real Valkey, which can be cut."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.stores.conftest import Lab, Valkey, pytest_asyncio_loop_factories  # noqa: F401  fixtures

from vallum.core.errors import DependencyError
from vallum.core.extraction import Account
from vallum.extraction.crowd import Crowd
from vallum.extraction.facts import WIDTH
from vallum.extraction.keeping import pack_crowd, pack_notes, unpack_crowd, unpack_notes
from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters
from vallum.stores.seal import Seal
from vallum.stores.watch_log import WatchLog
from vallum.vigil.replica import Replica, Shared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

T0 = 1_700_000_000.0
SCALE = 7
SEAL = Seal(b"secret", "digits")
NAMES = [f"subject\x1fuser-{number}" for number in range(12)]


class Counting:
    """A watch that knows who asked how often, and judges nothing of it but what it is told."""

    def __init__(self, scale: int = SCALE) -> None:
        self.crowd = Crowd(scale, b"secret", 100, shared=True)
        self.judged = b""

    def note(self, name: str, times: int = 1) -> None:
        row = np.full((1, WIDTH), len(name), np.float32) / np.float32(WIDTH * len(name))
        for _ in range(times):
            self.crowd.add(Account(name, T0 - 1), row, T0)

    def counts(self) -> dict[str, int]:
        seen = self.crowd.snapshot(T0)
        return {name: int(count) for name, count in zip(seen.names, seen.counts, strict=True)}

    def take_notes(self) -> list[bytes]:
        return pack_notes(self.crowd.take(5))

    def add(self, notes: bytes) -> None:
        for account, sketch in unpack_notes(notes):
            self.crowd.merge(account, sketch, T0)

    def judgement(self, *, whole: bool = True) -> bytes:
        return self.judged

    def weigh(self, judgement: bytes) -> bytes:
        return judgement

    def adopt(self, judgement: bytes) -> None:
        self.judged = judgement

    def capture(self) -> Callable[[], bytes]:
        kept, judged = self.crowd.copy(), self.judged
        return lambda: msgspec.msgpack.encode((pack_crowd(kept), judged))

    def unpack(self, packed: bytes) -> Any:
        crowd, judged = msgspec.msgpack.decode(packed, type=tuple[bytes, bytes])
        return unpack_crowd(crowd), judged

    def restore(self, unpacked: Any) -> None:
        kept, self.judged = unpacked
        self.crowd.fill(kept)


async def at_once(function: Callable[..., Any], *words: Any) -> Any:
    return function(*words)


class Fleet:
    """Replicas of one watch, on one clock, and the way of each to the store, which can be cut."""

    def __init__(self, url: str) -> None:
        self.now = 0.0
        self.url = url
        self.members: list[Replica] = []
        self.cut: set[str] = set()
        self.lossy = 0.0  # share of replies that are lost
        self.chance = random.Random(5)
        self._stores: list[RedisCounters] = []
        self._made = 0

    def join(self, watch: Shared | None = None, seal: Seal = SEAL) -> Replica:
        """Add a replica, whose link to the store is its own."""
        self._made += 1
        name = f"replica-{self._made}"
        store = RedisCounters(replace(Address.parse(self.url), timeout_s=2.0))
        self._stores.append(store)

        async def ask(key: str, *words: Any) -> Any:
            if name in self.cut:
                raise DependencyError("cut off")
            reply = await store.ask(key, *words)
            if self.chance.random() < self.lossy:
                raise DependencyError("the reply was lost")
            return reply

        log = WatchLog(ask, "digits", name)
        member = Replica(name, watch or Counting(), log, seal, clock=lambda: self.now, aside=at_once)
        self.members.append(member)
        return member

    async def beat(self, times: int = 1, step_s: float = 1.0) -> None:
        for _ in range(times):
            self.now += step_s
            for member in self.members:
                try:
                    await member.exchange()
                except DependencyError:
                    continue

    async def settle(self) -> None:
        """Wait until all have heard of all."""
        self.lossy = 0.0
        await self.beat(4)

    def leaders(self) -> list[Replica]:
        return [member for member in self.members if member.leads]

    def close(self) -> None:
        for store in self._stores:
            store.close()


def counting(member: Replica) -> Counting:
    assert isinstance(member.watch, Counting)
    return member.watch


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    try:
        yield lab
    finally:
        await lab.close()


@pytest.fixture
def server(lab: Lab) -> Valkey:
    return lab.server()


@pytest.fixture
async def fleet(server: Valkey) -> AsyncIterator[Fleet]:
    fleet = Fleet(server.url)
    yield fleet
    fleet.close()
