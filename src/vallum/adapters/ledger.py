"""What exchanges in hand have open with the counters: leases to renew, and settlements under way.

A settlement runs in a task of its own, so that it outlives a caller who has hung up; it is bounded in time, and one
that does not come through leaves the reservation charged.  Leases are renewed by the gateway's beat, all in one task.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from vallum.core.effects import RenewQuota, ask
from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from vallum.adapters.driver import Driver
    from vallum.core.effects import Steps
    from vallum.core.engine import Engine
    from vallum.core.exchange import Exchange

log = logging.getLogger("vallum")

PATIENCE_S = 5.0  # for one settlement, or one renewal
RENEWALS = 3  # in the time that a lease lasts


class Ledger:
    """The open ends of one driver's counters."""

    def __init__(self, driver: Driver) -> None:
        """Start with none."""
        self._driver = driver
        self._settling: set[asyncio.Task[None]] = set()
        self._held: dict[str, tuple[Exchange, float]] = {}  # by request id, with the time of the next renewal
        self._renewing: asyncio.Task[None] | None = None

    # --- the end of an exchange

    async def settle(self, engine: Engine, x: Exchange) -> None:
        """Settle what `x` has reserved.  A cancelled caller does not stop it, but waits: the record tells of it."""
        self._held.pop(x.request.id, None)
        settling = asyncio.get_running_loop().create_task(self._see_through(engine.settle(x)))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        left = False
        while not settling.done():
            try:
                await asyncio.wait([settling])
            except asyncio.CancelledError:
                left = True
        if left:
            raise asyncio.CancelledError

    async def _see_through(self, steps: Steps[None]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._driver.run(steps)
        except TimeoutError:
            log.warning("a settlement took over %g s; its reservation stays charged", PATIENCE_S)
        except Exception as error:  # noqa: BLE001  a fault of a store's must not end the caller's connection
            log.error("a settlement failed; its reservation stays charged: %s", type(error).__name__)

    async def drain(self) -> None:
        """Let the settlements under way end."""
        if self._settling:
            await asyncio.wait(list(self._settling), timeout=PATIENCE_S)
        if self._renewing is not None:
            self._renewing.cancel()

    # --- leases

    def hold(self, x: Exchange) -> None:
        """Renew the leases of `x` until it is settled."""
        self._held[x.request.id] = (x, asyncio.get_running_loop().time() + _pause_s(x))

    def renew(self) -> None:
        """Renew the leases that are due.  Call a few times a second."""
        if not self._held or (self._renewing is not None and not self._renewing.done()):
            return
        now = asyncio.get_running_loop().time()
        due = [x for x, at in self._held.values() if at <= now]
        if due:
            self._renewing = asyncio.get_running_loop().create_task(self._renew(due))

    async def _renew(self, due: list[Exchange]) -> None:
        loop = asyncio.get_running_loop()
        for x in due:
            if x.request.id not in self._held:  # it has ended meanwhile
                continue
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._driver.run(_renewal(x))
            except (DependencyError, TimeoutError) as error:  # tried again at the next beat
                log.warning("a lease could not be renewed: %s", error)
                return
            if x.request.id in self._held:
                self._held[x.request.id] = (x, loop.time() + _pause_s(x))


def _renewal(x: Exchange) -> Steps[Any]:
    assert x.bill is not None
    return ask(RenewQuota(x.bill.leases, x.request.id))


def _pause_s(x: Exchange) -> float:
    assert x.bill is not None
    return min(demand.quota.window_us for demand in x.bill.leases) / 1e6 / RENEWALS
