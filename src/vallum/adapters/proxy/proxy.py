"""Between the two legs: a request that arrived becomes facts, and the facts are conducted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.adapters.client_certificate import ClientCertificates
from vallum.adapters.conduct import conduct
from vallum.adapters.proxy.upstream import Pool
from vallum.core.address import client_address
from vallum.core.exchange import Request
from vallum.core.target import parse_target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from vallum.adapters.conduct import House
    from vallum.adapters.proxy.incoming import Incoming
    from vallum.adapters.proxy.upstream import Call
    from vallum.core.address import Network
    from vallum.core.exchange import ResponseHead
    from vallum.core.policy import Upstream


class Proxy:
    """Serves what arrives on a listener."""

    def __init__(
        self,
        house: House,
        now: Callable[[], float],
        new_id: Callable[[float], str],
        trusted: Sequence[Network] = (),
        *,
        certificates: ClientCertificates | None = None,
        origin: str | None = None,
    ) -> None:
        """Judge by `house`; stamp requests with `now` (Unix seconds) and `new_id`; believe `trusted` proxies.

        `certificates` finds whose certificate a request comes with; `origin` is what callers call, where it is not
        what the Host field says.
        """
        self._house = house
        self._now = now
        self._new_id = new_id
        self._trusted = trusted
        self._certificates = certificates or ClientCertificates(trusted=trusted)
        self._origin = origin

    async def serve(self, incoming: Incoming) -> None:
        """Conduct one exchange."""
        now = self._now()
        headers, client = incoming.headers, incoming.peer
        if self._trusted:
            client = client_address(client, headers.all("x-forwarded-for"), self._trusted)
        path, query = parse_target(incoming.target)
        origin = self._origin or f"{incoming.scheme}://{headers.get('host') or ''}"
        certificate, fault_of_it = self._certificates.find(incoming, now)
        request_id = self._new_id(now)
        request = Request(
            request_id, incoming.method, path, query, headers, client, now, origin, certificate, fault_of_it
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
