"""Which server serves a key: one server, the master that Sentinels name, or a cluster's masters by slot."""

from __future__ import annotations

import asyncio
import binascii
import ssl
from typing import TYPE_CHECKING, Protocol

import hiredis

from vallum.core.errors import DependencyError
from vallum.stores.redis.address import Address, Endpoint, Kind
from vallum.stores.redis.link import Link, LinkLostError, LoginError, Reply, SilentError, connect, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOTS = 16_384
ASKING = pack("ASKING")
PING = pack("PING")


class Server:
    """One server, and the link to it while there is one."""

    def __init__(self, endpoint: Endpoint, address: Address, context: ssl.SSLContext | None) -> None:
        """Connect when something is first sent."""
        self.endpoint = endpoint
        self._address = address
        self._context = context
        self._link: Link | None = None
        self._connecting: asyncio.Future[Link] | None = None

    async def send(self, command: bytes, *, asking: bool = False) -> Reply:
        """Send a packed command and return the reply.  Raise DependencyError when there is none in time."""
        link = self._link
        if link is None or link.lost is not None:
            link = await self.connected()
        if asking:
            link.send(ASKING)  # both leave together, with nothing between them
        return await link.send(command)

    async def connected(self, *, patient: bool = False) -> Link:
        """Connect, once for all who wait, none of whom but the patient waits longer than a request may."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.ensure_future(connect(self.endpoint, self._address, self._context))
            self._connecting.add_done_callback(self._keep)
        try:
            async with asyncio.timeout(None if patient else self._address.timeout_s):
                return await asyncio.shield(self._connecting)
        except TimeoutError:
            raise SilentError(f"the counter store at {self.endpoint} does not answer") from None

    def _keep(self, connecting: asyncio.Future[Link]) -> None:
        if not connecting.cancelled() and connecting.exception() is None:
            self._link = connecting.result()

    def close(self) -> None:
        """End the link."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.lose(LinkLostError("closed"))


class Topology(Protocol):
    """Knows the servers."""

    @property
    def servers(self) -> Sequence[Server]:
        """All that count something."""

    def serving(self, key: str) -> Server:
        """Return the server of a key.  Raise DependencyError if none is known."""

    async def refresh(self) -> None:
        """Find out again.  Raise DependencyError."""

    def redirected(self, error: str) -> Server | None:
        """Return the server that an error reply points to for one command, if it does (ASK)."""


class Single:
    """One server, always the same."""

    def __init__(self, address: Address) -> None:
        """Know the server by its address."""
        self.servers: Sequence[Server] = (Server(address.endpoints[0], address, tls_context(address)),)

    def serving(self, key: str) -> Server:
        """Return the server."""
        return self.servers[0]

    async def refresh(self) -> None:
        """Know no better."""

    def redirected(self, error: str) -> Server | None:
        """Be sent nowhere."""
        return None


class Sentinel:
    """The master that the first Sentinel with an answer names.  Sentinels are asked without a login."""

    def __init__(self, address: Address) -> None:
        """Know the Sentinels."""
        self.servers: Sequence[Server] = ()
        self._address = address
        self._context = tls_context(address)

    def serving(self, key: str) -> Server:
        """Return the master."""
        if not self.servers:
            raise LinkLostError(f"no master of {self._address} is known")
        return self.servers[0]

    async def refresh(self) -> None:
        """Ask all Sentinels at once; take the first answer that holds."""
        asked = [asyncio.ensure_future(self._ask(endpoint)) for endpoint in self._address.endpoints]
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    endpoint = await answer
                except DependencyError:
                    continue
                self._adopt(endpoint)
                return
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        raise LinkLostError(f"no Sentinel of {self._address} names a master")

    async def _ask(self, sentinel: Endpoint) -> Endpoint:
        link = await connect(sentinel, self._address, self._context, login=False)
        try:
            command = pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
            reply = await link.send(command)
            if not isinstance(reply, list):
                raise LinkLostError(f"the Sentinel at {sentinel} knows no {self._address.service}")
            master = Endpoint(reply[0].decode(), int(reply[1]))
        finally:
            link.lose(LinkLostError("done"))
        # A Sentinel may still name the old one, or one that has just been made a replica: ask the server itself.
        link = await connect(master, self._address, self._context)
        try:
            role = await link.send(pack("ROLE"))
        finally:
            link.lose(LinkLostError("done"))
        if not isinstance(role, list) or role[0] != b"master":
            raise LinkLostError(f"{master} is no master yet")
        return master

    def _adopt(self, master: Endpoint) -> None:
        if self.servers and self.servers[0].endpoint == master:
            return
        for server in self.servers:
            server.close()
        self.servers = (Server(master, self._address, self._context),)

    def redirected(self, error: str) -> Server | None:
        """Be sent nowhere."""
        return None


class Cluster:
    """The masters of a cluster, by slot."""

    def __init__(self, address: Address) -> None:
        """Know where to ask."""
        self._address = address
        self._context = tls_context(address)
        self._servers: dict[Endpoint, Server] = {}
        self._slots: list[Server | None] = [None] * SLOTS

    @property
    def servers(self) -> Sequence[Server]:
        """All masters."""
        return tuple(self._servers.values())

    def serving(self, key: str) -> Server:
        """Return the master of the key's slot."""
        server = self._slots[slot_of(key)]
        if server is None:
            raise LinkLostError(f"a slot of the cluster {self._address} is served by nobody")
        return server

    async def refresh(self) -> None:
        """Ask all nodes that are known for the map, at once; take the first whole one."""
        known = dict.fromkeys((*self._servers, *self._address.endpoints))
        asked = [asyncio.ensure_future(self._ask(endpoint)) for endpoint in known]
        failure: DependencyError = LinkLostError(f"the cluster {self._address} has no node")
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    self._adopt(await answer)
                except DependencyError as error:
                    failure = error
                else:
                    return
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        raise failure

    async def _ask(self, endpoint: Endpoint) -> list[tuple[int, int, Endpoint]]:
        server = self._servers.get(endpoint) or Server(endpoint, self._address, self._context)
        try:
            reply = await server.send(pack("CLUSTER", "SLOTS"))
        finally:
            if endpoint not in self._servers:
                server.close()
        if isinstance(reply, hiredis.ReplyError):
            raise LoginError(f"the counter store at {endpoint} is no node of a cluster, or does not let us see it")
        ranges = [
            (first, last, Endpoint(node[0].decode() if node[0] else endpoint.host, node[1]))
            for first, last, node, *_ in reply
        ]
        if sum(last - first + 1 for first, last, _ in ranges) < SLOTS:
            raise LinkLostError(f"{endpoint} does not see all slots of the cluster served")
        return ranges

    def _adopt(self, ranges: list[tuple[int, int, Endpoint]]) -> None:
        wanted = {endpoint for _, _, endpoint in ranges}
        for endpoint in wanted - self._servers.keys():
            self._servers[endpoint] = Server(endpoint, self._address, self._context)
        for first, last, endpoint in ranges:
            self._slots[first : last + 1] = [self._servers[endpoint]] * (last - first + 1)
        for endpoint in self._servers.keys() - wanted:
            self._servers.pop(endpoint).close()

    def redirected(self, error: str) -> Server | None:
        """Return the node that takes a slot over, for one command."""
        word, _, rest = error.partition(" ")
        host, _, port = rest.partition(" ")[2].rpartition(":")
        if word != "ASK" or not port.isdecimal():
            return None
        return self._servers.get(Endpoint(host, int(port)))


def open_topology(address: Address) -> Topology:
    """Make what the address asks for."""
    kinds: dict[Kind, type[Single | Sentinel | Cluster]] = {
        "single": Single,
        "sentinel": Sentinel,
        "cluster": Cluster,
    }
    return kinds[address.kind](address)


def slot_of(key: str) -> int:
    """Return the cluster's slot of a key: of what stands between its first braces, if there is something."""
    start = key.find("{")
    end = key.find("}", start + 1)
    tag = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def tls_context(address: Address) -> ssl.SSLContext | None:
    """Return how TLS is spoken: always with the server's certificate verified.  Raise DependencyError."""
    if not address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca)
    except OSError as error:
        raise DependencyError(f"the counter store's authorities in {address.ca} cannot be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
