"""The composition root: a policy file becomes a running gateway.

A household, with listeners before it and connections to upstreams behind it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from vallum.adapters.proxy.admin import Admin
from vallum.adapters.proxy.proxy import Pools, Proxy
from vallum.adapters.proxy.server import Bounds, Listener
from vallum.adapters.proxy.siblings import Siblings, socket_path
from vallum.adapters.proxy.tls import TlsListener
from vallum.adapters.requestids import RequestIds
from vallum.adapters.requests import Requests
from vallum.core.address import join_address, parse_networks, split_address
from vallum.household import BEAT_S, Household
from vallum.tls_files import TlsFiles

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from vallum.config.model import Config
    from vallum.config.model.doors import ListenConfig
    from vallum.config.source import Source
    from vallum.core.policy import Policy


class Seat(NamedTuple):
    """One worker's place among several: its number, the sockets it was handed, and where the others are found."""

    number: int
    folder: Path
    counters: str
    door: socket.socket
    admin: socket.socket | None
    again: bool = False  # in the place of one that died


class Gateway(Household):
    """One process of the gateway: a household and its two listeners."""

    def __init__(self, config: Config, policy: Policy, source: Source, seat: Seat | None = None) -> None:
        """Open the stores.  Raises DependencyError when one cannot be reached."""
        super().__init__(config, policy, source, None if seat is None else seat.counters)
        self._seat = seat
        self.service = Pools()
        self._tls = TlsFiles(config, self._resolve, self.metrics, time.time)
        self._listener: Listener | None = None
        self._admin: Listener | None = None
        self._own: Listener | None = None  # of one worker among several, for the others
        self._servers: list[asyncio.Server] = []

    # --- life

    async def start(self) -> None:
        """Listen.  Raises OSError when an address cannot be had, DependencyError when the counters cannot."""
        loop = asyncio.get_running_loop()
        config, seat = self.config, self._seat
        await self.open(even_without=seat is not None and seat.again)
        trusted, origin = parse_networks(config.trusted_proxies), config.listen.public_url
        certificates = self._tls.certificates
        proxy = Proxy(self, Requests(time.time, RequestIds(), trusted, certificates=certificates, origin=origin))
        self._listener = self._tls.listen(proxy.serve, bounds(config.listen))
        if seat is not None:
            await self._take_seat(seat)
            return
        host, port = split_address(config.listen.address)
        self._servers.append(await loop.create_server(self._listener.connect, host, port, backlog=1024))
        if config.admin is not None:
            self._admin = Listener(Admin(self).serve, Bounds(connections=100))
            host, port = split_address(config.admin.address)
            self._servers.append(await loop.create_server(self._admin.connect, host, port))

    def admit(self, policy: Policy) -> None:
        """Hold connections to a policy's upstreams, too."""
        super().admit(policy)
        self.service.keep(policy.upstreams.values())

    async def _take_seat(self, seat: Seat) -> None:
        """Serve on the sockets that were handed over; operators are answered by any worker, for all of them."""
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        self._servers.append(await loop.create_server(self._listener.connect, sock=seat.door, backlog=1024))
        if seat.admin is not None:
            siblings = Siblings(seat.folder, self.config.workers)
            self._admin = Listener(Admin(siblings).serve, Bounds(connections=100))
            self._servers.append(await loop.create_server(self._admin.connect, sock=seat.admin))
        self._own = Listener(Admin(self).serve, Bounds(connections=100))
        path = socket_path(seat.folder, seat.number)
        self._servers.append(await loop.create_unix_server(self._own.connect, path))

    @property
    def addresses(self) -> list[str]:
        """Where it listens: the door, then the operators' listener."""
        return [join_address(*server.sockets[0].getsockname()[:2]) for server in self._servers]

    async def beat(self) -> None:
        """Do what is due: ends of waits, and all that a household does.  Call every BEAT_S."""
        self.service.sweep()
        for listener in (self._listener, self._admin, self._own):
            if listener is not None:
                listener.sweep()
        await super().beat()

    async def watch(self) -> None:
        """Look whether the policy or a certificate has changed."""
        await super().watch()
        await self._tls.watch()

    def _resolve(self, name: str) -> Path:
        return self.source.path.parent / name

    async def stop(self) -> None:
        """Take no more, let what is in hand end, write the last records."""
        if self._servers:
            self._servers[0].close()
        if self._listener is not None:
            draining = asyncio.ensure_future(self._listener.drain(self.config.listen.drain_s))
            while not draining.done():  # slow clients and upstreams are still ended, and probes still answered
                await asyncio.wait([draining], timeout=BEAT_S)
                await self.beat()
        for server in self._servers[1:]:
            server.close()
        for listener in (self._admin, self._own):
            if listener is not None:
                await listener.drain(0.1)
        await self.close()
        self.service.close()

    def is_ready(self) -> bool:
        """Say whether requests are welcome here."""
        return super().is_ready() and self._listener is not None and not self._listener.draining

    def render_metrics(self) -> bytes:
        """Return the metrics' exposition."""
        if self._listener is not None:
            self.metrics.open = sum(1 for c in self._listener.connections if c.task is not None)
        if isinstance(self._listener, TlsListener):
            self.metrics.handshakes_failed = self._listener.failures
        return super().render_metrics()


class Serving(Protocol):
    """What is run: a gateway, or what a mesh asks."""

    async def start(self) -> None:
        """Listen."""

    async def beat(self) -> None:
        """Do what is due."""

    async def stop(self) -> None:
        """Take no more, and let what is in hand end."""


G = TypeVar("G", bound=Serving)
YOUNG_OBJECTS = 10_000  # made and not yet let go of, between two searches for circles: some hundred exchanges' in hand


async def run(gateway: G, stopped: asyncio.Event, ready: Callable[[G], None]) -> None:
    """Serve until `stopped` is set, then drain."""
    try:
        await gateway.start()
    except BaseException:
        await gateway.stop()  # what was opened before the fault
        raise
    ready(gateway)
    freeze_loaded()
    waiting = asyncio.ensure_future(stopped.wait())
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=BEAT_S)
            await gateway.beat()
    finally:
        waiting.cancel()
        await gateway.stop()


def freeze_loaded() -> None:
    """Leave what was loaded out of every search for garbage from here on.

    It stays as long as the process, and is a hundred thousand objects: to walk over them takes tens of milliseconds, in
    which nobody is answered.  Exchanges are let go of without such a search.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def bounds(listen: ListenConfig) -> Bounds:
    """Return what a client may take of the listener."""
    return Bounds(
        head_bytes=listen.max_header_bytes,
        target_bytes=listen.max_uri_bytes,
        fields=listen.max_headers,
        head_s=listen.header_timeout_s,
        body_s=listen.body_timeout_s,
        idle_s=listen.idle_timeout_s,
        write_s=listen.write_timeout_s,
        connections=listen.max_connections,
    )
