"""The registry of a gateway: the keyring, and what is kept of it in memory.

The promise: with the database up, a revocation is obeyed by every node within a second, and never later than STALE_S.

- A message wakes the other nodes (PostgreSQL), and each looks twice a second in any case (`refresh`).
- What has changed since the last look is forgotten; everything is read again after 30 s.
- When no look has succeeded for STALE_S, nothing in memory is believed: the database is asked for every request, and
  if it cannot answer, the route's `on_error` decides.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from vallum.core.errors import DependencyError
from vallum.stores.registry.database import ANSWER_S, CONNECTIONS
from vallum.stores.registry.keyring import Keyring
from vallum.stores.registry.known import Known
from vallum.stores.registry.schema import keys, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.principal import Credential

T = TypeVar("T")
log = logging.getLogger("vallum")

STALE_S = 5.0
WAITING_MAX = 1024  # look-ups in hand at once: a flood of unknown keys waits no longer than this takes
CHANGED_MAX = 1000  # more changes than this at once, and everything is forgotten
USED_MAX = 65_536


class SqlRegistry(Keyring):
    """Credentials by digest, for the request path; everything else is the keyring's."""

    def __init__(self, url: str, clock: Callable[[], float] = monotonic) -> None:
        """Open the database at `url`.  Raise DependencyError if that fails."""
        super().__init__(url)
        self._known = Known()
        self._clock = clock
        self._fresh_at = clock()
        self._seen: int | None = None
        self._asking: dict[bytes, asyncio.Future[Credential | None]] = {}
        self._used: dict[str, float] = {}
        self._looking = asyncio.Lock()
        # A look must not wait behind a flood of look-ups: it has a thread of its own.
        self._look_thread = ThreadPoolExecutor(1, thread_name_prefix="vallum-registry-look")
        self._threads = ThreadPoolExecutor(CONNECTIONS - 1, thread_name_prefix="vallum-registry")

    # --- the request path

    async def find(self, digest: bytes) -> Credential | None:
        """Return the credential with this digest.  Raise DependencyError when the database cannot be asked."""
        now = self._clock()
        if now - self._fresh_at <= STALE_S:
            credential = self._known.good(digest, now)
            if credential is not None:
                return credential
            if self._known.is_bad(digest, now):
                return None
        # Of many requests with one key, one asks.
        asking = self._asking.get(digest)
        if asking is None:
            if len(self._asking) >= WAITING_MAX:
                raise DependencyError("the registry is asked for too many unknown keys at once")
            asking = asyncio.ensure_future(self._look_up(digest))
            self._asking[digest] = asking
            asking.add_done_callback(lambda done: self._end_asking(digest, done))
        return await asyncio.shield(asking)  # whoever leaves first must not end it for the others

    def note_use(self, key_id: str, now: float) -> None:
        """Remember that a key was used at `now`, Unix seconds, until it is written down."""
        if not key_id.startswith("key_"):
            return  # of another kind than the registry's
        if key_id in self._used or len(self._used) < USED_MAX:
            self._used[key_id] = now

    async def withdraw(self, digests: tuple[bytes, ...], now: float, quarantine: bool) -> frozenset[bytes]:
        """Revoke or quarantine from `now` on; return the digests that are known."""
        known = await self._ask(self._threads, lambda: self.withdraw_now(digests, now, quarantine))
        for key_id in known.values():
            log.error("the key %s was reported as leaked: %s", key_id, "quarantined" if quarantine else "revoked")
        return frozenset(known)

    # --- the beat

    async def refresh(self) -> None:
        """Forget what has changed since the last look.  Called twice a second, and on every message."""
        async with self._looking:
            asked_at = self._clock()
            changes, changed = await self._ask(self._look_thread, lambda: self._look(self._seen))
            self._fresh_at = asked_at
            if changes == self._seen:
                return
            self._asking.clear()  # who comes now must not be told what was read before
            if changed is None:
                self._known.forget_all()
            else:
                self._known.forget(changed)
            self._seen = changes

    async def follow(self) -> None:
        """Refresh on every message of another node, until cancelled; return at once where there are no messages."""
        bus = self._database.bus
        if bus is None:
            return
        from vallum.stores.registry.postgresql import listen  # noqa: PLC0415  an extra

        await listen(bus, self._refresh_if_possible)

    async def write_uses(self) -> None:
        """Write down when keys were last used: one batch, called once a minute.  A batch that fails is tried again."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._ask(self._threads, lambda: self.note_uses(used))
        except DependencyError:
            self._used = used | self._used
            raise

    def close(self) -> None:
        """Write down the last uses and let go of the database."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._look_thread.shutdown(wait=True, cancel_futures=True)
        if self._used:
            try:
                self.note_uses(self._used)
            except DependencyError as error:
                log.warning("when keys were last used could not be written: %s", error)
        super().close()

    # --- inside

    def _forget_all(self) -> None:
        self._asking.clear()
        self._known.forget_all()

    async def _look_up(self, digest: bytes) -> Credential | None:
        generation, now = self._known.generation, self._clock()
        credential = await self._ask(self._threads, lambda: self.find_now(digest))
        if generation == self._known.generation:  # else something has changed meanwhile: this may be of before
            self._known.keep(digest, credential, now)
        return credential

    def _end_asking(self, digest: bytes, done: asyncio.Future[Credential | None]) -> None:
        if self._asking.get(digest) is done:
            del self._asking[digest]
        if not done.cancelled():
            done.exception()  # everybody who waited may have left: then nobody else looks at it

    def _look(self, seen: int | None) -> tuple[int, list[bytes] | None]:
        """Return the number of changes, and the digests of what has changed since `seen`; None for everything."""
        with self._database.reading() as connection:
            changes: int = connection.execute(select(state.c.value).where(state.c.name == "changes")).scalar_one()
            if seen is None or changes < seen:  # the first look, or a database that was put back to an older state
                return changes, None
            if changes == seen:
                return changes, []
            query = select(keys.c.digest).where(keys.c.change > seen).limit(CHANGED_MAX)
            changed = list(connection.execute(query).scalars())
        return changes, changed if len(changed) < CHANGED_MAX else None

    async def _refresh_if_possible(self) -> None:
        try:
            await self.refresh()
        except DependencyError as error:
            log.info("a message of the registry could not be followed: %s", error)

    async def _ask(self, threads: ThreadPoolExecutor, question: Callable[[], T]) -> T:
        # The database answers in microseconds or not at all: never on the event loop.
        asked = asyncio.get_running_loop().run_in_executor(threads, question)
        try:
            return await asyncio.wait_for(asked, ANSWER_S)
        except TimeoutError as late:
            raise DependencyError(f"the registry {self._database.name} does not answer") from late
