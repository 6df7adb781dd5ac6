"""Clients who never stop, the upstream that notes what reached it, and the judge over both."""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAUSE_S = 0.25  # of a client that was refused: 200 clients ask 800 times a second
LOST = 0  # in the place of a status: the connection broke
ANSWER = b'{"prediction":"banking"}'


class Admitted(NamedTuple):
    """A request that reached the upstream: when the client sent it, and when it arrived."""

    sent: float
    arrived: float


class Waited(NamedTuple):
    """An answer: when it was asked for, how long it took, its status."""

    began: float
    took_s: float
    status: int


class Upstream:
    """Answers everything, and notes when."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.admitted: dict[str, list[Admitted]] = {}  # by the run that a request names
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Upstream]:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                body = (await read_message(reader))[1]
                asked = json.loads(body)
                self.admitted.setdefault(asked["run"], []).append(Admitted(asked["sent"], time.monotonic()))
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                writer.write(head % len(ANSWER) + ANSWER)
        writer.transport.abort()


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a head and the body that it announces."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head, await reader.readexactly(lengths[0] if lengths else 0)


@dataclass
class Load:
    """Clients of one key, and what they saw."""

    key: str
    run: str
    path: str = "/api/v1/predict"
    always_pause: bool = False  # for latencies: nobody may keep the machine busy
    waits: list[Waited] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)  # by what broke the connection

    async def flood(self, ports: list[int], clients: int, until: asyncio.Event) -> None:
        """Let `clients` ask, spread over `ports`, until told to stop."""
        await asyncio.gather(*(self._ask_on(ports, first, until) for first in range(clients)))

    async def _ask_on(self, ports: list[int], turn: int, until: asyncio.Event) -> None:
        """Ask again and again over one connection; move on to the next port when it breaks."""
        while not until.is_set():
            began = time.monotonic()
            turn += 1
            writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", ports[turn % len(ports)])
                while not until.is_set():
                    began = time.monotonic()
                    status = await asyncio.wait_for(self._ask(reader, writer), 20)
                    self.waits.append(Waited(began, time.monotonic() - began, status))
                    if status != 200 or self.always_pause:
                        await asyncio.sleep(PAUSE_S)
            except (OSError, EOFError) as error:
                self.losses[repr(error)] += 1
                self.waits.append(Waited(began, time.monotonic() - began, LOST))
                await asyncio.sleep(PAUSE_S)
            finally:
                if writer is not None:
                    writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        body = json.dumps({"run": self.run, "sent": time.monotonic()}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return int((await read_message(reader))[0][9:12])

    def statuses(self) -> dict[int, int]:
        """Count the answers by status; 0 are broken connections."""
        return dict(sorted(Counter(wait.status for wait in self.waits).items()))


def most_at_upstream(admitted: list[Admitted], window_s: float) -> int:
    """Return the most that arrived in any span shorter than the window."""
    times = sorted(one.arrived for one in admitted)
    return max((index + 1 - bisect_left(times, at - window_s + 1e-6) for index, at in enumerate(times)), default=0)


def most_for_certain(admitted: list[Admitted], window_s: float) -> int:
    """Return the most that were counted in any span of the window, however long each was on its way.

    A request was counted between its sending and its arrival: all that were sent after a moment and arrived before the
    window from it had passed were counted within that window.
    """
    ordered = sorted(admitted)
    most = 0
    for index, first in enumerate(ordered):
        end = first.sent + window_s
        last = bisect_left(ordered, Admitted(end, 0.0), index)
        most = max(most, sum(one.arrived < end for one in ordered[index:last]))
    return most


def lateness(admitted: list[Admitted], limit: int, window_s: float, windows: int) -> list[float]:
    """Return how late each window's last admission was, in seconds after the window's begin; missing ones are inf."""
    times = sorted(one.arrived for one in admitted) or [0.0]
    ends = [times[limit * (n + 1) - 1] if len(times) >= limit * (n + 1) else float("inf") for n in range(windows)]
    return [end - times[0] - n * window_s for n, end in enumerate(ends)]
