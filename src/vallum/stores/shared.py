"""The shared counters as a gateway uses them: refusals remembered, failures met, and the store behind both."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.stores.failover import FailoverCounters
from vallum.stores.memory import MemoryCounters
from vallum.stores.near import NearCounters
from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters

if TYPE_CHECKING:
    from collections.abc import Callable


class Shared(NamedTuple):
    """What takes, from the outside in."""

    counters: NearCounters
    failover: FailoverCounters
    store: RedisCounters


def open_shared(url: str, clock_us: Callable[[], int], workers: int = 1) -> Shared:
    """Make the counters behind `url`, which `workers` of this host use.  Raise DependencyError."""
    store = RedisCounters(Address.parse(url))
    failover = FailoverCounters(store, MemoryCounters(clock_us), clock_us, workers)
    return Shared(NearCounters(failover, clock_us), failover, store)
