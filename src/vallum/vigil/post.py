"""One watch on duty, and what it takes: a file, or a part among others, or both."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters
from vallum.stores.seal import Seal
from vallum.stores.watch_file import WatchFile
from vallum.stores.watch_log import WatchLog
from vallum.vigil.replica import Replica, Shared

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from vallum.core.extraction import Extraction
    from vallum.vigil.replica import Aside

STORE_TIMEOUT_S = 2.0  # no request waits for it


class Swept(Shared, Protocol):
    """A watch, as far as it is shared and swept."""

    def sweep_due(self, now: float) -> bool:
        """Say whether enough was asked, or enough time has passed, since the last sweep."""

    def begin_sweep(self, now: float) -> Callable[[], Any]:
        """Return what finds, in any thread, what there is to be found at this moment."""

    def end_sweep(self, found: Any) -> Iterable[None]:
        """Put the verdicts right."""


@dataclass
class Post:
    """One watch on duty."""

    name: str
    watch: Swept
    seal: Seal
    rule: Extraction | None = None
    replica: Replica | None = None  # None: nobody shares it
    file: WatchFile | None = None
    duty: asyncio.Task[None] | None = None
    has_learnt: bool = False
    exchange_due: float = 0.0
    keep_due: float = 0.0
    sweep_after: float = 0.0
    trouble: str = ""


class Posts:
    """Makes posts: those of one process, on one link to the store of their own, which requests do not wait for."""

    def __init__(self, url: str | None, folder: Path | None, clock: Callable[[], float]) -> None:
        """Share by the store at `url`, keep in `folder`; None: do not.  Raise DependencyError."""
        self._store = None if url is None else RedisCounters(replace(Address.parse(url), timeout_s=STORE_TIMEOUT_S))
        self._folder = folder
        self._clock = clock

    @property
    def are_shared(self) -> bool:
        """Say whether other processes keep the same watches."""
        return self._store is not None

    def make(self, rule: Extraction, watch: Any, aside: Aside) -> Post:
        """Make the post of a watch by a route's rule."""
        name, secret = f"{rule.model}.{rule.kind}", rule.seed()
        post = Post(rule.model, watch, Seal(secret, name), rule)
        if self._folder is not None:
            post.file = WatchFile(self._folder / f"{quote(name, safe='')}.watch")
        if self._store is not None:
            who = os.urandom(8).hex()
            # Those who do not know the secret have another log.
            shared_as = blake2b(name.encode(), key=secret[:64], digest_size=16).hexdigest()
            log = WatchLog(self._store.ask, shared_as, who)
            post.replica = Replica(who, watch, log, post.seal, clock=self._clock, aside=aside)
        return post

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
