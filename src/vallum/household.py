"""The household: a policy in force and all that keeps it so, without a door.

`gateway.py` gives it listeners and upstreams; an app and a mesh bring their own callers.  Everything is wired here, by
constructor arguments; nothing is global.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from vallum.adapters.driver import Driver
from vallum.adapters.gates import Gates
from vallum.adapters.issuer import HttpIssuers
from vallum.adapters.slow_lane import SlowLane
from vallum.agreement import Agreement
from vallum.config.compile import load_policy
from vallum.config.places import MEMORY, counters_url, records_folder, stamp, watch_folder
from vallum.config.source import PolicyFileError, Source, read_source
from vallum.config.tokens import create_signing_key
from vallum.core import record
from vallum.core.engine import Engine
from vallum.core.errors import DependencyError
from vallum.core.theft import Habits
from vallum.metrics import Metrics
from vallum.stores.bank import Bank
from vallum.stores.memory import MemoryCounters
from vallum.stores.raises import SqlRaises
from vallum.stores.records import Records
from vallum.stores.registry import SqlRegistry
from vallum.stores.shared import open_shared
from vallum.stores.shared_standings import SharedStandings
from vallum.stores.sightings import MemorySightings
from vallum.stores.standings import MemoryStandings
from vallum.stores.suspects import SqlSuspects
from vallum.vigil import Vigil
from vallum.vigil.post import Posts

if TYPE_CHECKING:
    from vallum.config.model import Config
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Policy

log = logging.getLogger("vallum")

BEAT_S = 0.25
WATCH_EVERY = 4  # beats between two looks at the policy file
REFRESH_EVERY = 2  # beats between two looks at the registry
AGREE_EVERY = 2  # beats between two exchanges with other processes and with operators
REFRESH_WAIT_S = 0.1  # how long a beat waits for such a look: connections are swept even while the registry hangs
USES_EVERY = 240  # beats between two notes of when keys were last used
FIXED = ("listen", "admin", "counters", "registry", "records", "workers", "trusted_proxies", "client_certificate")


class Household:
    """One process's policy in force, and its stores."""

    def __init__(self, config: Config, policy: Policy, source: Source, counters: str | None = None) -> None:
        """Open the stores, with `counters` in the place of the config's.  Raises DependencyError without one."""
        self.config = config
        self.metrics = Metrics()
        self.registry = SqlRegistry(config.registry)
        files = max(config.records.max_files, 2 * config.workers)  # so that every worker can keep its own
        keep_s = None if config.records.keep_days is None else config.records.keep_days * 86_400
        self.records = Records(records_folder(config), config.records.max_file_bytes, files, keep_s, time.time)
        url = counters_url(config) if counters is None else counters
        self.shared = None if url == MEMORY else open_shared(url, _monotonic_us, config.workers)
        self.issuers = HttpIssuers(time.monotonic)
        counting = MemoryCounters() if self.shared is None else self.shared.counters
        self.sightings = MemorySightings(habits(config))
        proofs = None if self.shared is None else self.shared.failover
        self.standings = MemoryStandings() if self.shared is None else SharedStandings(self.shared.store.ask)
        posts = Posts(None if url == MEMORY else url, watch_folder(config), self.clock)
        self.vigil = Vigil(posts, time.time, self.clock, config.registry)
        self.watchers = self.vigil.watchers
        self.vigil.plant(policy)
        self.vigil.follow(policy)
        self.slow_lane = SlowLane()
        self.driver = Driver(
            Bank(counting),
            self.registry,
            self.issuers,
            proofs=proofs,
            sightings=self.sightings,
            standings=self.standings,
            records=self.records,
            watcher=self.watchers,
            slow_lane=self.slow_lane,
        )
        create_signing_key(config)
        self.gates = Gates(self.clock)
        self.engine = Engine(policy)
        self.agreement = Agreement(
            self.standings,
            SqlRaises(config.registry),
            lambda: self.engine.policy.throttle,
            time.time,
            suspects=SqlSuspects(config.registry),
            watchers=self.watchers,
        )
        self.source = source
        self._stamp = stamp(source)
        self._counting: asyncio.Future[None] | None = None
        self._beats = 0
        self._reload_due = False
        self._reloading: asyncio.Future[bool] | None = None
        self._healthy = True
        self._following: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    # --- what adapters are handed (conduct.House)

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()

    def finish(self, x: Exchange, status: int | None, timing: record.Timing, sent_bytes: int) -> None:
        """Record and count an exchange that has ended, and remember what it told about its caller."""
        self.records.add(record.compose(x, status, timing, sent_bytes))
        self.metrics.count(x, status, timing)
        self.standings.note(x)
        self.watchers.note(x)
        key_id = x.principal.credential_id
        if key_id is not None:
            self.registry.note_use(key_id, x.request.now)
        if x.canary is not None:
            log.error(
                "CANARY: somebody at %s has used %s, a key that nobody was given; its record: %s",
                x.request.client,
                x.canary,
                x.request.id,
            )
        if x.suspicion is not None and x.suspicion.alert:
            who, signs = x.principal.credential_id, ", ".join(x.suspicion.signs)
            log.warning("%s may be in other hands: %s; see vallum why %s", who, signs, x.request.id)
        x.relay = None  # it knows its exchange: as a circle, both would wait for the garbage collector

    # --- what operators are shown (admin.House)

    async def show_metrics(self) -> bytes:
        """Return this process's metrics."""
        return self.render_metrics()

    async def show_standings(self) -> bytes:
        """Return the callers below their plan."""
        return self.agreement.show()

    async def check_ready(self) -> bool:
        """Say whether this process is ready."""
        return self.is_ready()

    # --- life

    async def open(self, *, even_without: bool = False) -> None:
        """Begin to follow what others decide.

        Raises DependencyError when the counters cannot be reached, unless it opens `even_without`.
        """
        await self._open_counters(even_without)
        self.admit(self.engine.policy)
        await self.agreement.seek()
        await self.vigil.start()
        self._following = asyncio.ensure_future(self.registry.follow())

    async def _open_counters(self, even_without: bool) -> None:
        if self.shared is None:
            return
        try:
            await self.shared.store.open()
            await self.shared.failover.beat()  # or shares are too large should the store fail within a second
        except DependencyError as error:
            if not even_without:
                raise
            log.error("%s: quotas go by their on_store_failure", error)  # better than one worker less

    def admit(self, policy: Policy) -> None:
        """Make room for a policy that is about to be in force."""
        self.gates.keep(policy.upstreams.values())

    async def beat(self) -> None:
        """Do what is due: records to disk, revocations, a changed policy file.  Call every BEAT_S."""
        loop = asyncio.get_running_loop()
        self._beats += 1
        self.driver.ledger.renew()
        self.issuers.sweep()
        if self.shared is not None and (self._counting is None or self._counting.done()):
            self._counting = asyncio.ensure_future(self.shared.failover.beat())  # may wait: the beat goes on
        await loop.run_in_executor(None, self.records.write, self.records.take())
        if self._beats % REFRESH_EVERY == 0 and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.ensure_future(self._refresh())
            await asyncio.wait([self._refreshing], timeout=REFRESH_WAIT_S)
        if self._beats % AGREE_EVERY == 0:
            self.agreement.beat()
        self.vigil.beat()
        if self._beats % WATCH_EVERY == 0:
            await self.watch()
        if self._reload_due and (self._reloading is None or self._reloading.done()):
            self._reload_due = False
            self._reloading = asyncio.ensure_future(self.reload())  # seconds of work, perhaps: the beat goes on

    async def watch(self) -> None:
        """Look whether a file has changed."""
        if stamp(self.source) != self._stamp:
            self._reload_due = True

    async def _refresh(self) -> None:
        try:
            await self.registry.refresh()
            if self._beats % USES_EVERY == 0:
                await self.registry.write_uses()
        except DependencyError as error:
            if self._healthy:
                log.error("the registry cannot be asked; routes go by their on_error: %s", error)
            self._healthy = False
        else:
            if not self._healthy:
                log.info("the registry answers again")
            self._healthy = True

    async def reload(self) -> bool:
        """Read the policy file again and swap the policy whole; keep the last good one if the file does not hold."""
        self._stamp = before = stamp(self.source)
        try:
            # Compiling can take seconds: not on the event loop.
            source, config, policy = await asyncio.get_running_loop().run_in_executor(None, self._load)
        except (DependencyError, PolicyFileError) as error:
            log.error("the policy file does not hold; the last good one stays in force\n%s", error)
            self.metrics.count_reload("kept")
            return False
        for key in FIXED:
            if getattr(config, key) != getattr(self.config, key):
                log.warning("%s has changed: that takes a restart", key)
        changed_again = stamp(self.source) != before
        self.source, self._stamp = source, stamp(source)
        self._reload_due = self._reload_due or changed_again
        self.admit(policy)
        self.vigil.follow(policy)
        self.engine = Engine(policy)
        self.sightings.habits = habits(config)
        self.metrics.count_reload("swapped")
        log.info("policy %s is in force", policy.digest)
        return True

    def reload_soon(self) -> None:
        """Reload with the next beat: for signal handlers."""
        self._reload_due = True

    def _load(self) -> tuple[Source, Config, Policy]:
        source = read_source(self.source.path)
        config, policy = load_policy(source, certificates=False)
        create_signing_key(config)
        self.vigil.plant(policy)
        return source, config, policy

    async def close(self) -> None:
        """Write the last records and let go of the stores."""
        await self.driver.ledger.drain()
        await self.agreement.close()
        await self.vigil.close()
        if self._counting is not None:
            self._counting.cancel()
        if self.shared is not None:
            self.shared.store.close()
        self.issuers.close()
        self.slow_lane.close()
        tasks = [task for task in (self._following, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.records.close()
        self.registry.close()

    def is_ready(self) -> bool:
        """Say whether requests are welcome here."""
        return self._healthy

    def render_metrics(self) -> bytes:
        """Return the metrics' exposition."""
        self.metrics.records_lost = self.records.lost
        self.metrics.callers_below = self.agreement.count_below()
        self.metrics.gates = self.gates.all()
        self.metrics.note_watches(self.watchers.count(time.time()), self.vigil.figures)
        if self.shared is not None:
            self.metrics.note_store(self.shared.failover.condition, self.shared.counters.spared)
        return self.metrics.render()


def habits(config: Config) -> Habits:
    """Return when a credential is known well enough to speak of its habits."""
    theft = config.theft
    return Habits() if theft is None else Habits(theft.warm_up_s, theft.warm_up_requests, theft.alert_at)


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
