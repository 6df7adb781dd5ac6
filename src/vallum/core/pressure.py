"""How much an upstream is given at once, as pure arithmetic: who is let in, who waits, who is shed.

The limit adapts by the time to the first byte, never by the time an answer takes: long answers are work, a late first
byte is a queue.  Additive increase while it is in use, multiplicative decrease, at most once per round (AIMD).

Who finds no room waits in a room of bounded size for a bounded time.  The room is left by priority, in shares and not
strictly, so that nobody starves.  When it is full, the lowest class over its share of places makes room for a higher
one, and for one that is under its share.

Times are seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from vallum.core.policy import Priority

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.policy import Concurrency

CUT = 0.9  # what a late first byte leaves of the limit
SHARES = {Priority.HIGH: 9, Priority.NORMAL: 3, Priority.LOW: 1}  # of turns, and of places in the room
SHARES_SUM = sum(SHARES.values())


class Place(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    INSIDE = "inside"
    SHED = "shed"
    GONE = "gone"


class Ticket:
    """One request before an upstream."""

    __slots__ = ("arrived", "changed", "entered", "place", "priority")

    def __init__(self, arrived: float, priority: Priority) -> None:
        """Arrive."""
        self.arrived = arrived
        self.priority = priority
        self.entered = arrived
        self.place = Place.WAITING
        self.changed: Callable[[], None] | None = None  # called when its turn has come, or it is shed


class Pressure:
    """The state of one upstream."""

    def __init__(self, concurrency: Concurrency) -> None:
        """Start with the whole limit, or where it adapts, with a tenth of it."""
        self._rule = concurrency
        adapts = concurrency.target_ttfb_s is not None
        self.limit = float(max(concurrency.least, concurrency.most // 10) if adapts else concurrency.most)
        self.inside = 0
        self._room: dict[Priority, deque[Ticket]] = {priority: deque() for priority in Priority}
        self._turns = dict.fromkeys(Priority, 0.0)  # the virtual time at which each class is served next
        self._turn = 0.0
        self._cut_at = float("-inf")
        self._starting = adapts  # until the first late byte the limit doubles by the round

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._room.values()))

    def arrive(self, now: float, priority: Priority) -> Ticket:
        """Let a request in, have it wait, or shed it, or another one in its favour: see the ticket's place."""
        ticket = Ticket(now, priority)
        if self.inside < int(self.limit) and not self.waiting:
            self._let_in(ticket, now)
        elif self._make_room(priority):
            line = self._room[priority]
            if not line:  # a class that was away has saved up no turns
                self._turns[priority] = max(self._turns[priority], self._turn)
            line.append(ticket)
        else:
            ticket.place = Place.SHED
        return ticket

    def began(self, ticket: Ticket, ttfb_s: float) -> None:
        """Learn from the time that the first byte of an answer took, since the request was let in."""
        rule = self._rule
        if rule.target_ttfb_s is None:
            return
        if ttfb_s > rule.target_ttfb_s:
            if ticket.entered >= self._cut_at:  # who was let in before the last cut says nothing about it
                self.limit = max(float(rule.least), self.limit * CUT)
                self._starting = False
                self._cut_at = ticket.entered + ttfb_s
        elif self.inside * 2 >= self.limit:  # a limit that nobody needs proves nothing
            self.limit = min(float(rule.most), self.limit + (1.0 if self._starting else 1.0 / self.limit))

    def leave(self, ticket: Ticket, now: float) -> None:
        """Let go of a ticket, wherever it stands, and give its room to the next.  Leaving twice does nothing."""
        if ticket.place is Place.WAITING:
            self._room[ticket.priority].remove(ticket)
        elif ticket.place is Place.INSIDE:
            self.inside -= 1
        ticket.place = Place.GONE
        self._call_in(now)

    def _call_in(self, now: float) -> None:
        while self.inside < int(self.limit):
            lines = [priority for priority, line in self._room.items() if line]
            if not lines:
                return
            first = min(lines, key=lambda priority: (self._turns[priority], priority))
            self._turn = self._turns[first]
            self._turns[first] += 1.0 / SHARES[first]
            ticket = self._room[first].popleft()
            self._let_in(ticket, now)
            if ticket.changed is not None:
                ticket.changed()

    def _let_in(self, ticket: Ticket, now: float) -> None:
        ticket.place, ticket.entered = Place.INSIDE, now
        self.inside += 1

    def _make_room(self, priority: Priority) -> bool:
        """Say whether one more may wait, shedding the newest of the lowest class over its share."""
        if self.waiting < self._rule.room:
            return True
        entitled = len(self._room[priority]) < self._share(priority)
        for other in sorted(Priority, reverse=True):
            line = self._room[other]
            if (other > priority or entitled) and len(line) > self._share(other):
                _shed(line.pop())
                return True
        return False

    def _share(self, priority: Priority) -> int:
        """Return the places in the room that nobody takes from a class: one at least."""
        return max(1, self._rule.room * SHARES[priority] // SHARES_SUM)


def _shed(ticket: Ticket) -> None:
    ticket.place = Place.SHED
    if ticket.changed is not None:
        ticket.changed()
