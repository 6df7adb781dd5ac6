"""The composition root of `vallum envoy`: a household that is asked instead of being called.

Two listeners: gRPC for Envoy (ext_authz, ext_proc, limits, health), HTTP for Envoy's `http_service` and nginx.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vallum.adapters.client_certificate import XFCC
from vallum.adapters.envoy import server
from vallum.adapters.envoy.authorization import Authorization
from vallum.adapters.envoy.facts import Facts
from vallum.adapters.envoy.health import Health
from vallum.adapters.envoy.limits import Limits
from vallum.adapters.envoy.processing import Processing
from vallum.adapters.inquiry import Inquiry
from vallum.adapters.proxy.admin import Admin
from vallum.adapters.proxy.server import Bounds, Listener
from vallum.adapters.requestids import RequestIds
from vallum.adapters.requests import Requests
from vallum.core.address import join_address, parse_networks, split_address
from vallum.gateway import bounds
from vallum.household import BEAT_S, Household
from vallum.tls_files import TlsFiles

if TYPE_CHECKING:
    import grpc.aio

    from vallum.adapters.beyond import Beyond
    from vallum.config.model import Config
    from vallum.config.source import Source
    from vallum.core.policy import Policy

LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])
MESSAGE_SPARE_BYTES = 1_048_576  # of a message, beside the body: header fields, metadata
PIECE_MAX_BYTES = 4_194_304  # of a body in one message of ext_proc: an Envoy holds 1 MiB unless it is told otherwise


class Terms(NamedTuple):
    """Where a mesh is listened to, and what it is let off."""

    grpc: str = "127.0.0.1:9002"
    http: str | None = None
    accepted: frozenset[Beyond] = frozenset()
    passes_unknown: bool = False  # limits that the policy does not know


class Mesh(Household):
    """One process that Envoys and nginxes ask."""

    def __init__(self, config: Config, policy: Policy, source: Source, terms: Terms) -> None:
        """Open the stores.  Raises DependencyError when one cannot be reached."""
        super().__init__(config, policy, source)
        self._terms = terms
        plain = msgspec.structs.replace(config, listen=msgspec.structs.replace(config.listen, tls=None))
        self._tls = TlsFiles(plain, self._resolve, self.metrics, time.time)
        self._server: grpc.aio.Server | None = None
        self._processing: Processing | None = None
        self._listener: Listener | None = None
        self._admin: Listener | None = None
        self._servers: list[asyncio.Server] = []
        self._draining = False
        self.addresses: list[str] = []  # of gRPC, then of HTTP, then the operators' listener: those there are

    # --- life

    async def start(self) -> None:
        """Listen.  Raises OSError when an address cannot be had, DependencyError when the counters cannot."""
        await self.open()
        config, terms = self.config, self._terms
        trusted, origin = parse_networks(config.trusted_proxies), config.listen.public_url
        peers, new_id, accepted = (*LOOPBACK, *trusted), RequestIds(), terms.accepted
        certificates = self._tls.certificates
        xfcc = config.client_certificate is not None and config.client_certificate.header == XFCC
        near = Requests(time.time, new_id, (*peers, *trusted), certificates=certificates, origin=origin)
        inquiry = Inquiry(self, near, peers, accepted=accepted)
        self._listener = self._tls.listen(inquiry.serve, bounds(config.listen))
        requests = Requests(time.time, new_id, trusted, certificates=certificates, origin=origin)
        facts = Facts(requests, trusted, xfcc=xfcc)
        limits = Limits(self, time.time, new_id, peers, passes_unknown=terms.passes_unknown)
        self._processing = Processing(self, facts, peers)
        services = (  # all that Envoy may ask: another service joins by a line here
            server.authorization_service(Authorization(self, facts, peers, accepted)),
            server.limits_service(limits),
            server.processing_service(self._processing),
        )
        health = Health(self.is_ready, [service.name for service in services])
        await self._listen_for_grpc((*services, server.health_service(health)))
        if terms.http is not None:
            await self._listen(self._listener, terms.http)
        if config.admin is not None:
            self._admin = Listener(Admin(self).serve, Bounds(connections=100))
            await self._listen(self._admin, config.admin.address)

    async def _listen_for_grpc(self, services: tuple[server.Service, ...]) -> None:
        most = max(PIECE_MAX_BYTES, *(route.intake.max_bytes for route in self.engine.policy.routes))
        self._server = server.make_server(services, most + MESSAGE_SPARE_BYTES, self.config.listen.max_connections)
        address = self._terms.grpc
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:  # what gRPC raises for an address that is taken
            raise OSError(f"cannot listen on {address}: {error}") from None
        if not port:
            raise OSError(f"cannot listen on {address}")
        await self._server.start()
        unix = address.startswith("unix:")
        self.addresses.append(address if unix else join_address(split_address(address)[0], port))

    async def _listen(self, listener: Listener, address: str) -> None:
        host, port = split_address(address)
        one = await asyncio.get_running_loop().create_server(listener.connect, host, port, backlog=1024)
        self._servers.append(one)
        self.addresses.append(join_address(*one.sockets[0].getsockname()[:2]))

    async def beat(self) -> None:
        """Do what is due: ends of waits, and all that a household does.  Call every BEAT_S."""
        for listener in (self._listener, self._admin):
            if listener is not None:
                listener.sweep()
        await super().beat()

    async def watch(self) -> None:
        """Look whether the policy or a revocation list has changed."""
        await super().watch()
        await self._tls.watch()

    def _resolve(self, name: str) -> Path:
        return self.source.path.parent / name

    async def stop(self) -> None:
        """Take no more, let what is in hand end, write the last records."""
        self._draining = True  # health checks say so while what is in hand ends
        drain_s = self.config.listen.drain_s
        ending = [
            asyncio.ensure_future(listener.drain(drain_s)) for listener in (self._listener,) if listener is not None
        ]
        if self._server is not None:
            ending.append(asyncio.ensure_future(self._server.stop(drain_s)))
        for one in self._servers:
            one.close()
        while ending and not all(one.done() for one in ending):
            await asyncio.wait(ending, timeout=BEAT_S)
            await self.beat()
        if self._processing is not None:
            await self._processing.drain()
        if self._admin is not None:
            await self._admin.drain(0.1)
        await self.close()

    def is_ready(self) -> bool:
        """Say whether questions are welcome here."""
        return super().is_ready() and not self._draining
