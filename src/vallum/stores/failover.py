"""What quotas do while the shared store cannot be asked: each by its own `on_store_failure`.

    local   this node's share of the limit, counted here: the limit by the number of nodes last known, at least 1
    deny    refused as unavailable
    allow   let through, and recorded as unscanned

Rule 1: after one silence, or five failures within a second, the store is not asked for what is in hand any more; no
        request waits.  One probe a second finds out when it is back.
Rule 2: what was counted here meanwhile is charged to the shared store before it is asked again, as far as it has room.
Rule 3: a reservation is settled where it was taken.  What the shared store may have charged for it before its answer
        was lost is given back there.
Rule 4: a bucket in which the shared store had no room has none here, until the time that it gave.

Bound: all nodes' shares together are no more than the limit, as long as no more nodes live than were last known.  What
the shared store had admitted before it fell is not known here but by its refusals, so in a span across that moment up
to twice the limit can pass, to a caller whom this node had not refused; where a limit is smaller than the number of
nodes, one a node.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vallum.core.errors import DependencyError, StoreSilentError
from vallum.core.protocols import Counters
from vallum.core.quota import SECOND_US, Demand, OnStoreFailure, Strategy, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("vallum")

FAILURES = 5
BEAT_US = SECOND_US
COUNTS_KEPT = 10  # beats whose highest number of nodes counts: nodes come back one by one after an outage
RESERVED_MAX = 100_000
FULL_MAX = 65_536
OWED_MAX = 100_000
PAID_AT_ONCE = 50


class SharedCounters(Counters, Protocol):
    """Counters that several nodes share."""

    async def set_once(self, key: str, ttl_ms: int) -> bool:
        """Note `key`; False if it was noted already.  Raise DependencyError."""

    async def beat(self) -> int:
        """Tell the others that this node lives; return how many do.  Raise DependencyError."""


class Condition(NamedTuple):
    """How the shared store stands, for metrics."""

    up: bool
    nodes: int
    failures: int
    settlements_lost: int


class Full(NamedTuple):
    """A demand for which the shared store had no room, and until when."""

    demand: Demand
    until_us: int


class FailoverCounters:
    """A shared store, and another in this process's memory for when it fails."""

    def __init__(
        self, shared: SharedCounters, local: Counters, clock_us: Callable[[], int], least_nodes: int = 1
    ) -> None:
        """Share limits among `least_nodes` at the least, the workers of this host."""
        self._shared = shared
        self._local = local
        self._clock_us = clock_us
        self._up = True
        self._failed: deque[int] = deque(maxlen=FAILURES)  # when
        self._next_beat_us = 0
        self._nodes = deque([least_nodes], maxlen=COUNTS_KEPT)
        self._least_nodes = least_nodes
        self._reserved: dict[str, dict[str, int]] = {}  # what was taken here: by id, oldest first, and bucket
        self._full: dict[str, Full] = {}  # by bucket
        self._owed: dict[str, Demand] = {}  # what was counted here and not there, by bucket
        self._failures = self._settlements_lost = 0

    @property
    def condition(self) -> Condition:
        """How the shared store stands."""
        return Condition(self._up, max(self._nodes), self._failures, self._settlements_lost)

    async def take(self, demands: tuple[Demand, ...], id: str = "") -> Taken:
        """Take all demands or none, from the shared store or as each quota says."""
        if self._up:
            try:
                taken = await self._shared.take(demands, id)
            except DependencyError as error:
                self._note(error)
            else:
                self._note_room(demands, taken)
                return taken
        return await self._take_here(demands, id)

    async def settle(self, demands: tuple[Demand, ...], id: str) -> None:
        """Settle where it was taken.  Raise DependencyError for what cannot be settled: it stays charged."""
        self._forget_full(demands)  # there may be room again
        here = self._reserved.pop(id, {})
        if here:
            mine = tuple([demand for demand in demands if demand.key in here])
            await self._local.settle(_shared_out(mine, max(self._nodes)), id)
            self._correct(mine, here)
            demands = tuple([demand._replace(cost=0) if demand.key in here else demand for demand in demands])
        is_done = all(demand.key in here for demand in demands)
        if is_done and not self._up:
            return
        try:
            if not self._up:
                raise DependencyError("the counter store is out")
            await self._shared.settle(demands, id)
        except DependencyError as error:
            if self._up:
                self._note(error)
            if not is_done:
                self._settlements_lost += 1
                raise

    async def renew(self, demands: tuple[Demand, ...], id: str) -> None:
        """Renew where it was taken.  What cannot be renewed ends by itself."""
        here = self._reserved.get(id, {})
        if here:
            await self._local.renew(_shared_out(demands, max(self._nodes)), id)
        elsewhere = tuple([demand for demand in demands if demand.key not in here])
        if elsewhere and self._up:
            try:
                await self._shared.renew(elsewhere, id)
            except DependencyError as error:
                self._note(error)

    async def set_once(self, key: str, ttl_ms: int) -> bool:
        """Note `key` in the shared store; False if it was noted already.  Raise DependencyError, at once while out.

        Nothing here can take its place: another node may have seen the key.
        """
        if not self._up:
            raise DependencyError("the counter store is out")
        try:
            return await self._shared.set_once(key, ttl_ms)
        except DependencyError as error:
            self._note(error)
            raise

    async def beat(self) -> None:
        """Once a second: be heard of by the other nodes; find out whether a store that was out is back."""
        now_us = self._clock_us()
        if now_us < self._next_beat_us:
            return
        self._next_beat_us = now_us + BEAT_US
        try:
            nodes = await self._shared.beat()
            await self._pay()
        except DependencyError as error:
            if self._up:
                self._note(error)
            return
        self._nodes.append(max(nodes, self._least_nodes))
        if not self._up:
            self._up = True
            self._failed.clear()
            log.warning("the counter store answers again, and counts again")

    def _note(self, error: DependencyError) -> None:
        """Count a failure; stop asking after too many."""
        now_us = self._clock_us()
        self._failures += 1
        self._failed.append(now_us)
        many = len(self._failed) == FAILURES and now_us - self._failed[0] <= SECOND_US
        if self._up and (many or isinstance(error, StoreSilentError)):
            self._up = False
            self._next_beat_us = now_us + BEAT_US
            log.error("%s: quotas go by their on_store_failure, with limits shared among %d", error, max(self._nodes))

    async def _take_here(self, demands: tuple[Demand, ...], id: str) -> Taken:
        for demand in demands:
            if demand.quota.on_store_failure is OnStoreFailure.DENY:
                levels = tuple([(quota, 0, SECOND_US) for quota, *_ in demands])
                return Taken(levels, demand.quota, SECOND_US, unavailable=True)
        skipped = tuple([d.quota for d in demands if d.quota.on_store_failure is OnStoreFailure.ALLOW])
        counted = tuple([d for d in demands if d.quota.on_store_failure is OnStoreFailure.LOCAL])
        for demand in counted:
            wait_us = self._full_for_us(demand)
            if wait_us > 0:
                levels = tuple([(quota, 0, wait_us) for quota, *_ in demands])
                return Taken(levels, demand.quota, wait_us, nodes=max(self._nodes))
        shares = _shared_out(counted, max(self._nodes))
        taken = (await self._local.take(shares, id))._replace(nodes=max(self._nodes)) if shares else Taken(())
        if taken.refused is None:
            self._owe(counted)
            if id:
                if len(self._reserved) >= RESERVED_MAX:
                    del self._reserved[next(iter(self._reserved))]
                self._reserved.setdefault(id, {}).update({demand.key: demand.cost for demand in demands})
        if skipped:
            known = iter(taken.levels)
            together = [
                next(known) if d.quota.on_store_failure is OnStoreFailure.LOCAL else (d.quota, _limit(d), 0)
                for d in demands
            ]
            taken = taken._replace(levels=tuple(together), skipped=skipped)
        return taken

    def _note_room(self, demands: tuple[Demand, ...], taken: Taken) -> None:
        """Remember which bucket was full, and until when, as long as the store says so."""
        if taken.refused is None:
            self._forget_full(demands)
        elif taken.refused.strategy is not Strategy.LEASES and not taken.never:  # leases come back at any moment
            if len(self._full) >= FULL_MAX:
                self._full.clear()
            demand = next(demand for demand in demands if demand.quota is taken.refused)
            self._full[demand.key] = Full(demand, self._clock_us() + taken.retry_after_us)

    def _forget_full(self, demands: tuple[Demand, ...]) -> None:
        if self._full:
            for demand in demands:
                self._full.pop(demand.key, None)

    def _full_for_us(self, demand: Demand) -> int:
        """Return how long there is no room for a demand, as far as the shared store said so."""
        full = self._full.get(demand.key)
        if full is None or _limit(demand) > _limit(full.demand) or demand.cost < full.demand.cost:
            return 0
        return full.until_us - self._clock_us()

    def _owe(self, demands: tuple[Demand, ...]) -> None:
        for demand in demands:
            before = self._owed.get(demand.key)
            if before is not None:
                self._owed[demand.key] = demand._replace(cost=before.cost + demand.cost)
            elif len(self._owed) < OWED_MAX and demand.quota.strategy is not Strategy.LEASES:
                self._owed[demand.key] = demand

    def _correct(self, demands: tuple[Demand, ...], reserved: dict[str, int]) -> None:
        """Owe what was used in the place of what was reserved, where that is not paid yet."""
        for demand in demands:
            owed = self._owed.get(demand.key)
            if owed is not None:
                self._owed[demand.key] = owed._replace(cost=max(0, owed.cost + demand.cost - reserved[demand.key]))

    async def _pay(self) -> None:
        """Charge the shared store with what was counted here; what is counted meanwhile is paid with the next beat."""
        owed, self._owed = list(self._owed.values()), {}
        while owed:
            batch, owed = owed[:PAID_AT_ONCE], owed[PAID_AT_ONCE:]
            try:
                await asyncio.gather(*(self._charge(demand) for demand in batch))
            except DependencyError:
                self._owe((*batch, *owed))  # some of it may be paid twice, and none never
                raise

    async def _charge(self, demand: Demand) -> None:
        """Charge what was counted here, or as much of it as there is room for."""
        taken = await self._shared.take((demand,))
        room = taken.levels[0][1]
        if taken.refused is not None and 0 < room < demand.cost:
            await self._shared.take((demand._replace(cost=room),))


def _limit(demand: Demand) -> int:
    return demand.quota.limit if demand.limit is None else demand.limit


def _shared_out(demands: tuple[Demand, ...], nodes: int) -> tuple[Demand, ...]:
    return tuple([demand._replace(limit=max(1, _limit(demand) // nodes)) for demand in demands])
