"""Plays a log through a policy: each line at its time, on a virtual clock, against an answer of the log's.

Rule 1: bounded.  Lines are read one by one; as many wait to be put in order as `WINDOW`, of `WINDOW_BYTES` together,
        and as many are in hand as `IN_HAND`.
Rule 2: a line that cannot be read is counted and passed over, and so is one that makes a control fail.
Rule 3: the clock never goes back.  A line that is late by more than the window puts right is played at once.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.replay.lines import Line, LineError, read_line
from vallum.testing import Call, MemoryGateway, Reply, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vallum.core.exchange import Exchange
    from vallum.core.extraction import Change
    from vallum.core.policy import Policy
    from vallum.core.protocols import Sightings

WINDOW = 2048  # lines that wait to be put in order
WINDOW_BYTES = 134_217_728  # of them together
IN_HAND = 1000  # exchanges at once
BROKEN_SHOWN = 20
EMPTY = Reply(204, (), b"")


class Played(NamedTuple):
    """What came of one line."""

    number: int
    line: Line
    record: dict[str, Any]
    late_s: float  # how far back in time it would have been


class Log:
    """A log that is read once, line by line, and what was found wrong with it."""

    def __init__(self, lines: Iterable[bytes], most: int = WINDOW) -> None:
        """Read `lines`, and put them in order within `most` of them."""
        self._lines = lines
        self._most = most
        self.read = 0
        self.broken = 0
        self.faults: list[tuple[int, str]] = []  # of the first that were broken

    def __iter__(self) -> Iterator[tuple[int, Line]]:
        """Yield number and line of what can be read, the earliest in the window first."""
        waiting: list[tuple[float, int, int, Line]] = []
        held_bytes = 0
        for number, text in enumerate(self._lines, 1):
            if not text.strip():
                continue
            self.read += 1
            try:
                line = read_line(text)
            except LineError as error:
                self._note(number, str(error))
                continue
            except Exception as error:  # noqa: BLE001  no line, however hostile, ends a replay
                self._note(number, type(error).__name__)
                continue
            heappush(waiting, (line.at, number, len(text), line))
            held_bytes += len(text)
            while len(waiting) >= self._most or held_bytes > WINDOW_BYTES:
                _, first, size, earliest = heappop(waiting)
                held_bytes -= size
                yield first, earliest
        while waiting:
            _, first, _, earliest = heappop(waiting)
            yield first, earliest

    def _note(self, number: int, why: str) -> None:
        self.broken += 1
        if len(self.faults) < BROKEN_SHOWN:
            self.faults.append((number, why))


def play(
    log: Log,
    policy: Policy,
    note: Callable[[Played], None],
    *,
    sightings: Sightings | None = None,
    finish: Callable[[Exchange, dict[str, Any]], None] | None = None,
) -> list[tuple[str, Change]]:
    """Play a log through `policy`, and tell `note` what came of each line; return whom the watch found, by model."""
    return run(_play(log, policy, note, sightings, finish))


async def _play(
    log: Log,
    policy: Policy,
    note: Callable[[Played], None],
    sightings: Sightings | None,
    finish: Callable[[Exchange, dict[str, Any]], None] | None,
) -> list[tuple[str, Change]]:
    gateway: MemoryGateway | None = None
    in_hand: set[asyncio.Task[None]] = set()
    for number, line in log:
        if gateway is None:  # the first line says what time it is
            gateway = MemoryGateway(policy, _answer, epoch_s=line.at, sightings=sightings, finish=finish)
        wait_s = line.at - gateway.now
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        asking = _ask(gateway, number, line, max(0.0, -wait_s), note)
        if line.reply is None or not line.reply.after_s:
            await asking
            continue
        if len(in_hand) >= IN_HAND:
            await asyncio.wait(in_hand, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.get_running_loop().create_task(asking)
        in_hand.add(task)
        task.add_done_callback(in_hand.discard)
        await asyncio.sleep(0)
    if in_hand:
        await asyncio.wait(in_hand)
    return [] if gateway is None else gateway.changes


async def _ask(gateway: MemoryGateway, number: int, line: Line, late_s: float, note: Callable[[Played], None]) -> None:
    try:
        told = await gateway.ask(
            line.method,
            line.target,
            line.body or b"",
            line.fields,
            who=line.who,
            client=line.client,
            reply=line.reply,
            unread=line.body is None,
        )
        record = told.record
    except Exception as error:  # noqa: BLE001  it is what the gateway would have failed at, and the next line goes on
        record = {"at": line.at, "decision": "failed", "reason": type(error).__name__, "route": None}
    note(Played(number, line, record, late_s))


def _answer(_: Call) -> Reply:
    """Stand for an answer that the log does not hold."""
    return EMPTY
