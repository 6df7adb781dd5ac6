"""Calls of commands and scripts, to whoever serves their key.

Rule 1: a call whose reply was lost with its connection is made once more.  It may then have been charged twice, and
        never not at all.  A server that was silent is not asked again.
Rule 2: an error that says "not here" or "not now" has the servers looked up again, and the call is made once more.
Rule 3: both tries together take no longer than one that is not answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import hiredis

from vallum.core.errors import DependencyError
from vallum.stores.redis.link import LinkLostError, SilentError, pack
from vallum.stores.redis.topology import open_topology

if TYPE_CHECKING:
    from vallum.stores.redis.address import Address
    from vallum.stores.redis.link import Reply
    from vallum.stores.redis.scripts import Call
    from vallum.stores.redis.topology import Topology

ELSEWHERE = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING")


class Calls:
    """The way to the servers of one address."""

    def __init__(self, address: Address) -> None:
        """Connect with the first call.  Raise DependencyError if the TLS authorities cannot be read."""
        self.address = address
        self.topology: Topology = open_topology(address)
        self._refreshing: asyncio.Future[None] | None = None

    async def run(self, call: Call) -> Reply:
        """Run a script by its digest, and by its text where the server does not have it.  Raise DependencyError."""
        script, keys, args = call
        reply = await self.ask(keys[0], "EVALSHA", script.sha1, len(keys), *keys, *args)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = await self.ask(keys[0], "EVAL", script.text, len(keys), *keys, *args)
        return self.sound(reply)

    async def ask(self, key: str, *words: str | int) -> Reply:
        """Send a command to the server of `key`; the reply may be an error.  Raise DependencyError."""
        command = pack(*words)
        try:
            reply = await self.topology.serving(key).send(command)
        except SilentError:
            raise
        except LinkLostError:
            return await self._ask_again(key, command, "")
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith(ELSEWHERE):
            return await self._ask_again(key, command, str(reply))
        return reply

    async def _ask_again(self, key: str, command: bytes, said: str) -> Reply:
        try:
            async with asyncio.timeout(self.address.timeout_s):
                server = self.topology.redirected(said)
                if server is not None:
                    return await server.send(command, asking=True)
                await self.refresh()
                return await self.topology.serving(key).send(command)
        except TimeoutError:
            raise SilentError(f"the counter store at {self.address} does not answer in time") from None

    async def refresh(self) -> None:
        """Look the servers up again, once for all who wait."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.ensure_future(self.topology.refresh())
        await asyncio.shield(self._refreshing)

    def sound(self, reply: Reply) -> Reply:
        """Return a reply that is no error; raise DependencyError for one that is."""
        if isinstance(reply, hiredis.ReplyError):  # its first word only: what follows may quote what was sent
            raise DependencyError(f"the counter store at {self.address} says {str(reply).partition(' ')[0]}")
        return reply

    def close(self) -> None:
        """End all links."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        for server in self.topology.servers:
            server.close()
