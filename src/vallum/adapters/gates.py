"""The gates before upstreams: whoever finds no room waits here for a turn, or is shed.

Rule: who was let in leaves on every path, so that a cancelled or failed request never keeps its place.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from vallum.core.pressure import Place, Pressure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vallum.core.exchange import ResponseHead
    from vallum.core.policy import Concurrency, Priority, Upstream
    from vallum.core.pressure import Ticket


STREAM = "text/event-stream"


class Gate:
    """The gate before one upstream."""

    def __init__(self, rule: Concurrency, clock: Callable[[], float]) -> None:
        """Let in what `rule` lets in, by `clock`, seconds of a clock that never goes back."""
        self.rule = rule
        self.pressure = Pressure(rule)
        self.shed: dict[Priority, int] = {}
        self._clock = clock

    async def enter(self, priority: Priority, *, waits: bool = True) -> Visit:
        """Return once there is room, or there will be none: see `Visit.refused`.  Who is in shadow never waits."""
        ticket = self.pressure.arrive(self._clock(), priority)
        visit = Visit(self, ticket, self._clock)
        if ticket.place is Place.WAITING and waits:
            await self._wait(visit, ticket)
        elif ticket.place is Place.SHED:
            visit.refused = f"no room: {self.pressure.inside} inside, {self.pressure.waiting} waiting"
        if visit.refused:
            self.shed[priority] = self.shed.get(priority, 0) + 1
        return visit

    async def _wait(self, visit: Visit, ticket: Ticket) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not turn.done():
                turn.set_result(None)

        ticket.changed = wake
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.rule.wait_s):
                    await turn
        except BaseException:
            self.pressure.leave(ticket, self._clock())
            raise
        visit.waited_s = self._clock() - ticket.arrived
        if ticket.place is not Place.INSIDE:
            visit.refused = f"no turn within {visit.waited_s:.3g} s, {self.pressure.inside} inside"
            self.pressure.leave(ticket, self._clock())


class Visit:
    """One request at a gate."""

    __slots__ = ("_clock", "_gate", "_ticket", "refused", "waited_s")

    def __init__(self, gate: Gate, ticket: Ticket, clock: Callable[[], float]) -> None:
        """Stand at the gate."""
        self._gate = gate
        self._ticket = ticket
        self._clock = clock
        self.refused = ""  # why there is no room
        self.waited_s = 0.0

    def heard(self, head: ResponseHead) -> None:
        """Tell that the answer has begun, now.  Failures come fast, and say nothing."""
        is_stream = (head.headers.get("content-type") or "").startswith(STREAM)
        if head.status < 400 and (is_stream or not self._gate.rule.streams_only):
            self.began()

    def began(self) -> None:
        """Tell that there is an answer, or that there will be none in time."""
        self._gate.pressure.began(self._ticket, self._clock() - self._ticket.entered)

    def leave(self) -> None:
        """Give the place to the next; once is enough, twice does no harm."""
        self._gate.pressure.leave(self._ticket, self._clock())


class Gates:
    """The gates of the policy in force, by upstream."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with none; `clock` gives seconds and never goes back."""
        self._clock = clock
        self._gates: dict[str, Gate] = {}

    def keep(self, upstreams: Iterable[Upstream]) -> None:
        """Hold gates for these and no others; a gate whose rule stays keeps what it has learned."""
        wanted = {one.name: one.concurrency for one in upstreams if one.concurrency is not None}
        self._gates = {
            name: kept if (kept := self._gates.get(name)) is not None and kept.rule == rule else Gate(rule, self._clock)
            for name, rule in wanted.items()
        }

    def find(self, upstream: Upstream) -> Gate | None:
        """Return the gate before `upstream`, or None where everybody is let in."""
        return None if upstream.concurrency is None else self._gates.get(upstream.name)

    def all(self) -> Iterable[tuple[str, Gate]]:
        """Return every gate with its upstream's name."""
        return self._gates.items()
