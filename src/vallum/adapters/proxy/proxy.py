"""Between the two legs: a request that arrived becomes facts, and the facts are conducted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.adapters.conduct import conduct
from vallum.adapters.proxy.upstream import Pool
from vallum.core.target import parse_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from vallum.adapters.conduct import House
    from vallum.adapters.proxy.incoming import Incoming
    from vallum.adapters.proxy.upstream import Call
    from vallum.adapters.requests import Requests
    from vallum.core.exchange import ResponseHead
    from vallum.core.policy import Upstream


class Proxy:
    """Serves what arrives on a listener."""

    def __init__(self, house: House, requests: Requests) -> None:
        """Judge by `house` what `requests` makes of what arrives."""
        self._house = house
        self._requests = requests

    async def serve(self, incoming: Incoming) -> None:
        """Conduct one exchange."""
        request = self._requests.make(
            incoming,
            incoming.method,
            parse_target(incoming.target),
            incoming.headers,
            peer=incoming.peer,
            scheme=incoming.scheme,
        )
        # A fault before there was a route is the head's; one inside the body is met when the body is read.
        fault = incoming.fault if not incoming.method else None
        await conduct(self._house, request, incoming, fault)


class Pools:
    """The upstreams of the policy in force, each with its connections."""

    def __init__(self) -> None:
        """Start with none."""
        self._pools: dict[Upstream, Pool] = {}

    def keep(self, upstreams: Iterable[Upstream]) -> None:
        """Hold pools for these and no others; calls under way on the others end in their own time."""
        wanted = set(upstreams)
        for upstream in wanted - self._pools.keys():
            self._pools[upstream] = Pool(upstream)
        for upstream in self._pools.keys() - wanted:
            self._pools.pop(upstream).close()

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> PooledAnswer:
        """Send a request to `upstream` and return its answer once the head is there."""
        pool = self._pools.get(upstream)
        if pool is None:  # the policy changed under a request in hand
            pool = self._pools[upstream] = Pool(upstream)
        return PooledAnswer(pool, await pool.call(method, target, fields, body))

    def sweep(self) -> None:
        """End what has been silent for too long."""
        for pool in list(self._pools.values()):
            pool.sweep()

    def close(self) -> None:
        """Close every idle connection."""
        self.keep(())


class PooledAnswer:
    """An upstream's answer, whose connection goes back to its pool."""

    __slots__ = ("_call", "_pool", "head")

    def __init__(self, pool: Pool, call: Call) -> None:
        """Take a call whose head is there."""
        self._pool = pool
        self._call = call
        head = call.head
        assert head is not None
        self.head: ResponseHead = head

    async def read(self) -> bytes:
        """Return the next piece, empty at the end."""
        return await self._call.read()

    def release(self) -> None:
        """Give the connection back."""
        self._pool.release(self._call)
