"""Counters that all workers and nodes share, on Redis or Valkey.

Rule 1: one call of a script a request, with all its demands; time is the store's own.
Rule 2: in a cluster, demands of several holders lie in several slots.  They are taken at once, each slot as a whole;
        where one refuses or fails, what the others took is given back.  So nothing is admitted over a limit and a
        refusal costs nothing, but for a moment others may be refused by what is about to come back.  What need not be
        settled is taken under an id all the same, to be given back by, and that is forgotten at once when all is taken.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

from vallum.core.errors import DependencyError
from vallum.core.quota import Taken
from vallum.stores.redis import life
from vallum.stores.redis.calls import Calls
from vallum.stores.redis.scripts import decode_taken, encode_renew, encode_settle, encode_take, key_name
from vallum.stores.redis.topology import Cluster, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.quota import Demand, Level
    from vallum.stores.redis.address import Address
    from vallum.stores.redis.link import Reply

log = logging.getLogger("vallum")


class Group(NamedTuple):
    """Demands that one server can take as a whole, and their places among all of a request's."""

    places: list[int]
    demands: tuple[Demand, ...]


class RedisCounters:
    """Counters behind one address."""

    def __init__(self, address: Address, new_id: Callable[[], str] = lambda: os.urandom(12).hex()) -> None:
        """Connect with the first call.  Raise DependencyError if the TLS authorities cannot be read."""
        self.calls = Calls(address)
        self._clustered = isinstance(self.calls.topology, Cluster)
        self._new_id = new_id
        self._node = new_id()
        self._settling: set[asyncio.Task[None]] = set()

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        """Take all demands or none.  Raise DependencyError when the store cannot answer."""
        groups = self._groups(demands)
        if len(groups) == 1:
            return decode_taken(demands, await self.calls.run(encode_take(demands, id)))
        if id:
            return await self._take_groups(demands, groups, id)
        own_id = self._new_id()
        taken = await self._take_groups(demands, groups, own_id)
        if taken.refused is None:
            for group in groups:  # taken for good: a bucket remembers only so many ids
                self._settle_soon(group.demands, own_id)
        return taken

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        """Put what was used in the place of what was reserved.  Raise DependencyError: it may all stay charged."""
        await asyncio.gather(*(self.calls.run(encode_settle(group.demands, id)) for group in self._groups(demands)))

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        """Keep the leases under `id` for another while.  Raise DependencyError."""
        calls = [encode_renew(group.demands, id) for group in self._groups(demands)]
        await asyncio.gather(*(self.calls.run(call) for call in calls if call is not None))

    async def set_once(self, key: str, ttl_ms: int) -> bool:
        """Note `key` for `ttl_ms`; False if it was noted already, be it by a first try whose reply was lost."""
        name = f"vlm:once:{key}"
        reply = await self.calls.ask(name, "SET", name, "1", "PX", ttl_ms, "NX")
        return self.calls.sound(reply) is not None

    async def ask(self, key: str, *words: str | int) -> Reply:
        """Send a command to the server of `key`.  Raise DependencyError, also for a reply that is an error."""
        return self.calls.sound(await self.calls.ask(key, *words))

    async def open(self) -> None:
        """Connect.  Raise DependencyError with a sentence for the operator."""
        await life.see_fitness(self.calls)
        await self.beat()

    async def beat(self) -> int:
        """Tell the others that this node lives; return how many do.  Raise DependencyError unless all answer."""
        return await life.beat(self.calls, self._node)

    def close(self) -> None:
        """End all links."""
        for task in self._settling:
            task.cancel()
        self.calls.close()

    def _groups(self, demands: tuple[Demand, ...]) -> list[Group]:
        if not self._clustered or len(demands) == 1:
            return [Group([], demands)]
        slots: dict[int, list[int]] = {}
        for place, demand in enumerate(demands):
            slots.setdefault(slot_of(key_name(demand.holder, demand.key)), []).append(place)
        return [Group(places, tuple([demands[place] for place in places])) for places in slots.values()]

    async def _take_groups(self, demands: tuple[Demand, ...], groups: list[Group], id: str) -> Taken:
        replies = await asyncio.gather(
            *(self.calls.run(encode_take(group.demands, id)) for group in groups), return_exceptions=True
        )
        failure = next((reply for reply in replies if isinstance(reply, BaseException)), None)
        answers = [
            None if isinstance(reply, BaseException) else decode_taken(group.demands, reply)
            for group, reply in zip(groups, replies, strict=True)
        ]
        refused = max(filter(None, answers), key=lambda taken: taken.retry_after_us, default=None)
        if failure is not None or (refused is not None and refused.refused is not None):
            for group, answer in zip(groups, answers, strict=True):
                if answer is None or answer.refused is None:  # who failed may have taken it all the same
                    self._settle_soon(tuple([demand._replace(cost=0) for demand in group.demands]), id)
        if failure is not None:
            raise failure
        assert refused is not None
        levels: dict[int, Level] = {}
        for group, answer in zip(groups, answers, strict=True):
            assert answer is not None
            levels.update(zip(group.places, answer.levels, strict=True))
        return refused._replace(levels=tuple([levels[place] for place in range(len(demands))]))

    def _settle_soon(self, demands: tuple[Demand, ...], id: str) -> None:
        task = asyncio.ensure_future(self._settle_group(demands, id))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_group(self, demands: tuple[Demand, ...], id: str) -> None:
        try:
            await self.calls.run(encode_settle(demands, id))
        except DependencyError as error:
            log.warning("what a request had taken stays as it is: %s", error)
