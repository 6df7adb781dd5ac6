"""The composition root: a policy file becomes a running gateway.

Everything is wired here, by constructor arguments; nothing is global.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vallum.adapters.driver import Driver
from vallum.adapters.gates import Gates
from vallum.adapters.issuer import HttpIssuers
from vallum.adapters.proxy.admin import Admin
from vallum.adapters.proxy.proxy import Pools, Proxy
from vallum.adapters.proxy.server import Bounds, Listener
from vallum.config.compile import load_policy
from vallum.config.source import PolicyFileError, Source, read_source
from vallum.core import record
from vallum.core.address import join_address, parse_networks, split_address
from vallum.core.engine import Engine
from vallum.core.errors import DependencyError
from vallum.core.requestid import compose_id
from vallum.core.standing import describe_standing
from vallum.metrics import Metrics
from vallum.stores.bank import Bank
from vallum.stores.memory import MemoryCounters
from vallum.stores.raises import SqlRaises
from vallum.stores.records import Records
from vallum.stores.registry import SqlRegistry
from vallum.stores.standings import MemoryStandings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vallum.config.model import Config, ListenConfig
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy
    from vallum.core.standing import Standing

log = logging.getLogger("vallum")

BEAT_S = 0.25
WATCH_EVERY = 4  # beats between two looks at the policy file
REFRESH_EVERY = 2  # beats between two looks at the registry
AGREE_EVERY = 2  # beats between two exchanges with other processes and with operators
FIXED = ("listen", "admin", "counters", "registry", "records", "workers", "trusted_proxies")


class Gateway:
    """One process of the gateway: the policy in force, its stores, its two listeners."""

    def __init__(self, config: Config, policy: Policy, source: Source) -> None:
        """Open the stores.  Raises DependencyError when one cannot be reached."""
        self.config = config
        self.metrics = Metrics()
        self.registry = SqlRegistry(config.registry)
        self.records = Records(records_folder(config), config.records.max_file_bytes, config.records.max_files)
        self.raises = SqlRaises(config.registry)
        self.standings = MemoryStandings()
        self.issuers = HttpIssuers(time.monotonic)
        self.driver = Driver(Bank(MemoryCounters()), self.registry, self.issuers, self.standings)
        self.service = Pools()
        self.gates = Gates(self.clock)
        self.engine = Engine(policy)
        self._source = source
        self._stamp = _stamp(source)
        self._listener: Listener | None = None
        self._admin: Listener | None = None
        self._servers: list[asyncio.Server] = []
        self._beats = 0
        self._reload_due = False
        self._reloading: asyncio.Future[bool] | None = None
        self._healthy = True
        self._agreeing: asyncio.Future[None] | None = None
        self._troubles: set[str] = set()

    # --- what adapters are handed (conduct.House)

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()

    def finish(self, x: Exchange, status: int | None, timing: record.Timing, sent_bytes: int) -> None:
        """Record and count an exchange that has ended, and remember what it told about its caller."""
        self.records.add(record.compose(x, status, timing, sent_bytes))
        self.metrics.count(x, status, timing)
        self.standings.note(x)

    # --- life

    async def start(self) -> None:
        """Listen.  Raises OSError when an address cannot be had."""
        loop = asyncio.get_running_loop()
        config = self.config
        self.service.keep(self.engine.policy.upstreams.values())
        self.gates.keep(self.engine.policy.upstreams.values())
        await self._agree()
        proxy = Proxy(self, time.time, RequestIds(), parse_networks(config.trusted_proxies))
        self._listener = Listener(proxy.serve, bounds(config.listen))
        host, port = split_address(config.listen.address)
        self._servers.append(await loop.create_server(self._listener.connect, host, port, backlog=1024))
        if config.admin is not None:
            admin = Admin(self.render_metrics, self.is_ready, self.show_standings)
            self._admin = Listener(admin.serve, Bounds(connections=100))
            host, port = split_address(config.admin.address)
            self._servers.append(await loop.create_server(self._admin.connect, host, port))

    @property
    def addresses(self) -> list[str]:
        """Where it listens: the door, then the operators' listener."""
        return [join_address(*server.sockets[0].getsockname()[:2]) for server in self._servers]

    async def beat(self) -> None:
        """Do what is due: ends of waits, records to disk, revocations, a changed policy file.  Call every BEAT_S."""
        loop = asyncio.get_running_loop()
        self._beats += 1
        self.service.sweep()
        self.driver.ledger.renew()
        self.issuers.sweep()
        for listener in (self._listener, self._admin):
            if listener is not None:
                listener.sweep()
        await loop.run_in_executor(None, self.records.write, self.records.take())
        if self._beats % REFRESH_EVERY == 0:
            await self._refresh()
        if self._beats % AGREE_EVERY == 0 and (self._agreeing is None or self._agreeing.done()):
            self._agreeing = asyncio.ensure_future(self._agree())  # may wait for a store: the beat goes on
        if self._beats % WATCH_EVERY == 0 and _stamp(self._source) != self._stamp:
            self._reload_due = True
        if self._reload_due and (self._reloading is None or self._reloading.done()):
            self._reload_due = False
            self._reloading = asyncio.ensure_future(self.reload())  # a second's work: the beat goes on

    async def _refresh(self) -> None:
        try:
            await self.registry.refresh()
        except DependencyError as error:
            if self._healthy:
                log.error("the registry cannot be asked; routes go by their on_error: %s", error)
            self._healthy = False
        else:
            if not self._healthy:
                log.info("the registry answers again")
            self._healthy = True

    async def _agree(self) -> None:
        """Agree with other processes and with operators; while that fails, go by what is known."""
        for trouble, act in (
            ("raised limits cannot be read; those that are known stay in force", self._find_raises),
            ("standings cannot be shared; each process goes by its own", self._exchange_standings),
        ):
            try:
                await act()
            except DependencyError as error:
                if trouble not in self._troubles:
                    log.warning("%s: %s", trouble, error)
                self._troubles.add(trouble)
            else:
                self._troubles.discard(trouble)

    async def _find_raises(self) -> None:
        self.standings.raise_limits(await self.raises.find(time.time()))

    async def _exchange_standings(self) -> None:
        if self.engine.policy.throttle is not None:
            await self.standings.exchange(self.engine.policy.throttle, time.time())

    async def reload(self) -> bool:
        """Read the policy file again and swap the policy whole; keep the last good one if the file does not hold."""
        self._stamp = before = _stamp(self._source)
        try:
            # Compiling can take a second: not on the event loop.
            source, config, policy = await asyncio.get_running_loop().run_in_executor(None, self._load)
        except PolicyFileError as error:
            log.error("the policy file does not hold; the last good one stays in force\n%s", error)
            self.metrics.count_reload("kept")
            return False
        for key in FIXED:
            if getattr(config, key) != getattr(self.config, key):
                log.warning("%s has changed: that takes a restart", key)
        changed_again = _stamp(self._source) != before
        self._source, self._stamp = source, _stamp(source)
        self._reload_due = self._reload_due or changed_again
        self.service.keep(policy.upstreams.values())
        self.gates.keep(policy.upstreams.values())
        self.engine = Engine(policy)
        self.metrics.count_reload("swapped")
        log.info("policy %s is in force", policy.digest)
        return True

    def reload_soon(self) -> None:
        """Reload with the next beat: for signal handlers."""
        self._reload_due = True

    def _load(self) -> tuple[Source, Config, Policy]:
        source = read_source(self._source.path)
        return source, *load_policy(source)

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
        if self._admin is not None:
            await self._admin.drain(0.1)
        await self.driver.ledger.drain()
        self.service.close()
        self.issuers.close()
        self.records.close()
        if self._agreeing is not None:
            await self._agreeing
        await self._agree()  # what was seen last
        self.raises.close()
        self.registry.close()

    def is_ready(self) -> bool:
        """Say whether requests are welcome here."""
        return self._healthy and self._listener is not None and not self._listener.draining

    def render_metrics(self) -> bytes:
        """Return the metrics' exposition."""
        if self._listener is not None:
            self.metrics.open = sum(1 for c in self._listener.connections if c.task is not None)
        self.metrics.records_lost = self.records.lost
        self.metrics.callers_below = len(self._below())
        self.metrics.gates = self.gates.all()
        return self.metrics.render()

    def show_standings(self) -> bytes:
        """Return the callers below their plan, as JSON: for operators."""
        now, throttle = time.time(), self.engine.policy.throttle
        if throttle is None:
            return b"[]\n"
        shown = [describe_standing(whose, standing, throttle, now) for whose, standing in self._below()]
        return msgspec.json.encode(shown) + b"\n"

    def _below(self) -> list[tuple[str, Standing]]:
        throttle = self.engine.policy.throttle
        return [] if throttle is None else self.standings.below(throttle, time.time())


async def run(gateway: Gateway, stopped: asyncio.Event, ready: Callable[[Gateway], None]) -> None:
    """Serve until `stopped` is set, then drain."""
    await gateway.start()
    ready(gateway)
    waiting = asyncio.ensure_future(stopped.wait())
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=BEAT_S)
            await gateway.beat()
    finally:
        waiting.cancel()
        await gateway.stop()


class RequestIds:
    """Makes request ids; asks the system for randomness in bulk."""

    def __init__(self) -> None:
        """Start with none at hand."""
        self._entropy: Iterator[bytes] = iter(())

    def __call__(self, now: float) -> str:
        """Return a new id for a request that arrived at `now`, Unix seconds."""
        entropy = next(self._entropy, None)
        if entropy is None:
            block = os.urandom(10 * 256)
            self._entropy = iter([block[at : at + 10] for at in range(0, len(block), 10)])
            entropy = next(self._entropy)
        return compose_id(now, entropy)


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


def records_folder(config: Config) -> Path | None:
    """Return where records go: as configured, or beside the registry; None for standard output."""
    if config.records.path == "-":
        return None
    if config.records.path is not None:
        return Path(config.records.path)
    return Path(config.registry.removeprefix("sqlite:///")).with_suffix(".records")


def _stamp(source: Source) -> tuple[tuple[int, int, int], ...]:
    stamps = []
    for path in (source.path, *source.files):
        try:
            stat = path.stat()
        except OSError:
            stamps.append((0, 0, 0))
        else:
            stamps.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
    return tuple(stamps)
