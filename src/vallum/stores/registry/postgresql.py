"""PostgreSQL by psycopg 3 (`vallum[postgres]`): connections that do not hang, and the bus that wakes other nodes.

A message says only: look.  What has changed is read from the table, so that a message that is lost, doubled or forged
costs one look at most.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from vallum.stores.registry.database import ANSWER_S, CHANNEL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

log = logging.getLogger("vallum")

BACKOFF_S = (0.1, 5.0)  # between two attempts to reach the bus: from, to, doubled each time
SETTINGS: dict[str, Any] = {
    "connect_timeout": int(ANSWER_S),
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


class Connection(psycopg.Connection[Any]):
    """A connection that gives up, where libpq would wait for a server that hangs for as long as it hangs."""

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for an answer for ANSWER_S; then drop the connection and raise OperationalError."""
        return super().wait(self._bounded(gen, monotonic() + ANSWER_S), *args, **options)

    def _bounded(self, gen: Any, until: float) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > until:
                    self.close()
                    raise psycopg.OperationalError("no answer in time")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


def connect(conninfo: str) -> Connection:
    """Connect."""
    return Connection.connect(conninfo, **SETTINGS)


async def listen(conninfo: str, wake: Callable[[], Awaitable[None]]) -> None:
    """Call `wake` on every message, and after each reconnection, as some may have been missed; until cancelled."""
    pause_s, longest_s = BACKOFF_S
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True, **SETTINGS) as connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                pause_s = BACKOFF_S[0]
                await wake()
                async for _ in connection.notifies():
                    await wake()
        except psycopg.Error as error:
            log.info("the registry's bus is away, looking goes on: %s", type(error).__name__)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)
