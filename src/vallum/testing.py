"""A gateway in memory, on a clock of its own: for replays, benchmarks, and the tests of whoever embeds Vallum.

    def answer(call):
        return Reply(200, [("content-type", "application/json")], b'{"label": "cat"}')

    async def main():
        gateway = MemoryGateway(policy, answer)
        told = await gateway.ask("POST", "/predict", b"{}", who=Principal("alice"))

    run(main())

What runs is the engine, the conversation and the counters of `vallum serve`; what is missing is sockets, files and
waiting.  Time passes only where the program sleeps, and then at once: a week of traffic takes as long as its work.
"""

from __future__ import annotations

import asyncio
from copy import copy
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from vallum.adapters.conduct import BodyError, conduct
from vallum.adapters.driver import Driver
from vallum.adapters.gates import Gates
from vallum.authenticators.anonymous import Anonymous
from vallum.config.extraction import plant
from vallum.core import record
from vallum.core.decision import Deny, Reason
from vallum.core.engine import Engine
from vallum.core.errors import UpstreamTimeoutError
from vallum.core.exchange import Headers, Request, ResponseHead
from vallum.core.requestid import compose_id
from vallum.core.target import parse_target
from vallum.extraction.watchers import Watchers
from vallum.stores.bank import Bank
from vallum.stores.memory import MemoryCounters
from vallum.stores.proofs import MemoryProofs
from vallum.stores.standings import MemoryStandings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from selectors import SelectorKey

    from vallum.core.effects import Steps
    from vallum.core.exchange import Exchange
    from vallum.core.extraction import Change
    from vallum.core.policy import Policy, Route, Upstream
    from vallum.core.principal import Credential, Principal
    from vallum.core.protocols import Sightings
    from vallum.core.record import Timing

    Fields = Sequence[tuple[str, str]]
    Finish = Callable[[Exchange, dict[str, Any]], None]

T = TypeVar("T")
EPOCH_S = 1_700_000_000.0  # what the wall clock says when a virtual loop starts, unless it is told
CHANGES_MAX = 10_000
BEAT_S = 5.0  # between two looks at leases, while an answer takes its time


# --- time -------------------------------------------------------------------------------------------------------------


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never sleeps: where all wait, its clock goes on to the next that is due."""

    def __init__(self) -> None:
        """Start at 0."""
        super().__init__()
        self._passed_s = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]  # the library declares no such member
        select = selector.select

        def skip(timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
            if timeout is None:
                raise RuntimeError("all wait for something that will never happen on a virtual loop")
            self._passed_s += max(timeout, 0.0)
            ready: list[tuple[SelectorKey, int]] = select(0)
            return ready

        selector.select = skip

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._passed_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program on a virtual loop, and return what it returns."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


# --- who asks ---------------------------------------------------------------------------------------------------------


class StandIn:
    """Takes who asks on trust: the principal that was named with the request.  Never for a door to the world."""

    type: ClassVar[str] = "stand_in"
    challenge: ClassVar[str] = "Bearer"

    def __init__(self, scopes: frozenset[str], vouched: dict[str, Principal]) -> None:
        """Vouch for the principals in `vouched`, by request id; who is named without scopes has these."""
        self._scopes = scopes
        self._vouched = vouched

    def authenticate(self, request: Request) -> Steps[Principal | None]:
        """Return who was named with the request, if anybody was."""
        who = self._vouched.get(request.id)
        if who is None or who.scopes:
            return who
        return who._replace(scopes=self._scopes)
        yield  # it asks nothing


def stand_in(policy: Policy, vouched: dict[str, Principal]) -> Policy:
    """Return a policy that takes who asks on trust, and is otherwise the same; no refusal waits for its slot."""
    return replace(policy, routes=tuple([_trusting(route, vouched) for route in policy.routes]))


def _trusting(route: Route, vouched: dict[str, Principal]) -> Route:
    others = tuple([one for one in route.authenticators if isinstance(one, Anonymous)])
    outlet = replace(route.outlet, failure_slot_s=0.0)
    return replace(route, authenticators=(StandIn(route.scopes, vouched), *others), bound=False, outlet=outlet)


def _unreading(policy: Policy) -> Policy:
    """Return a policy that judges no body, and is otherwise the same."""
    routes = [replace(route, intake=replace(route.intake, codecs={})) for route in policy.routes]
    return replace(policy, routes=tuple(routes))


class Nobody:
    """A registry that knows nobody, and changes nothing."""

    async def find(self, digest: bytes) -> Credential | None:
        """Know no digest."""

    async def find_id(self, key_id: str) -> Credential | None:
        """Know no id."""

    async def withdraw(self, digests: tuple[bytes, ...], now: float, quarantine: bool) -> frozenset[bytes]:
        """Know none of them."""
        return frozenset()


class Asker:
    """A caller in memory."""

    def __init__(self, body: bytes) -> None:
        """Send `body`, and keep what is answered."""
        self._body = body
        self.status: int | None = None
        self.fields: Fields = ()
        self.pieces: list[bytes] = []
        self.received_bytes = len(body)
        self.sent_bytes = 0

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Return the body, or the refusal of one that is too large."""
        if len(self._body) > max_bytes:
            return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes")
        return self._body

    async def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Yield the body; raises BodyError for one that is too large."""
        body = await self.read_body(max_bytes)
        if isinstance(body, Deny):
            raise BodyError(body)
        yield body

    async def answer(self, status: int, fields: Fields, body: bytes) -> None:
        """Take a whole answer."""
        await self.start(status, fields, len(body))
        await self.send(body)

    async def start(self, status: int, fields: Fields, length: int | None) -> None:
        """Take the head of an answer."""
        self.status, self.fields = status, fields

    async def send(self, data: bytes) -> None:
        """Take a piece."""
        self.pieces.append(data)
        self.sent_bytes += len(data)

    async def end(self) -> None:
        """Take the end."""


# --- who is asked -----------------------------------------------------------------------------------------------------


class Reply(NamedTuple):
    """A whole answer of an upstream, and how long it takes."""

    status: int
    fields: Fields
    body: bytes
    after_s: float = 0.0


class _Answer:
    def __init__(self, reply: Reply) -> None:
        self.head = ResponseHead(reply.status, Headers(reply.fields))
        self._rest = reply.body

    async def read(self) -> bytes:
        body, self._rest = self._rest, b""
        return body

    def release(self) -> None:
        pass


class Call(NamedTuple):
    """A request as an upstream is sent it."""

    upstream: str
    method: str
    target: str
    fields: Fields
    body: bytes


class Upstreams:
    """Upstreams that are one function."""

    def __init__(self, answer: Callable[[Call], Reply], beat: Callable[[], None]) -> None:
        """Answer by `answer`; call `beat` a few times in the life of a lease while an answer takes its time."""
        self._answer = answer
        self._beat = beat
        self.replies: dict[str, Reply] = {}  # by request id, in the place of `answer`

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Fields,
        body: bytes | AsyncIterator[bytes] | None,
    ) -> _Answer:
        """Answer a request; raises UpstreamTimeoutError after the upstream's `timeout_s`."""
        if not isinstance(body, bytes):
            body = b"" if body is None else b"".join([piece async for piece in body])
        reply = self.replies.get(dict(fields).get("x-request-id", ""))
        if reply is None:
            reply = self._answer(Call(upstream.name, method, target, fields, body))
        left_s = min(reply.after_s, upstream.timeout_s)
        while left_s > 0:
            await asyncio.sleep(min(left_s, BEAT_S))
            left_s -= BEAT_S
            self._beat()
        if reply.after_s > upstream.timeout_s:
            raise UpstreamTimeoutError(f"no answer in {upstream.timeout_s:g} s")
        return _Answer(reply)


# --- the gateway ------------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What a caller was told, and the record of it."""

    status: int | None
    fields: Fields
    body: bytes
    record: dict[str, Any]


class MemoryGateway:
    """A gateway in memory.  It has counters of its own, and touches no store, registry or upstream of the policy's."""

    def __init__(
        self,
        policy: Policy,
        answer: Callable[[Call], Reply],
        *,
        epoch_s: float = EPOCH_S,
        sightings: Sightings | None = None,
        finish: Finish | None = None,
    ) -> None:
        """Hold `policy`, with whoever is named taken on trust; ask `answer` as the upstreams.

        The wall clock says `epoch_s`, Unix seconds, when the loop starts.  `finish` sees every exchange at its end.
        """
        self._vouched: dict[str, Principal] = {}
        trusting = stand_in(policy, self._vouched)
        self.engine = Engine(trusting)
        self._unread = Engine(_unreading(trusting))
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.epoch_s = epoch_s
        counters = Bank(MemoryCounters(self._clock_us), self._clock_us)
        self.standings = MemoryStandings()
        plant(trusting, sha256(trusting.digest.encode()).digest)  # no secret: nobody sees what is compared
        self.watchers = Watchers()
        self.watchers.keep(trusting)
        self.changes: list[tuple[str, Change]] = []  # of grades, each with its model
        proofs = MemoryProofs(lambda: int(self.clock() * 1000))
        self.driver = Driver(
            counters,
            Nobody(),
            proofs=proofs,
            sightings=sightings,
            standings=self.standings,
            watcher=self.watchers,
        )
        self.service = Upstreams(answer, self.driver.ledger.renew)
        self.gates = Gates(self.clock)
        self.gates.keep(policy.upstreams.values())
        self._finish = finish
        self._records: dict[str, dict[str, Any]] = {}
        self._asked = 0

    @property
    def now(self) -> float:
        """What the wall clock says, in Unix seconds."""
        return self.epoch_s + self.clock()

    def _clock_us(self) -> int:
        return int(self.now * 1e6)

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        """Keep the record of an exchange that has ended, and remember what it told about its caller."""
        told = record.compose(x, status, timing, sent_bytes)
        self.standings.note(x)
        self._watch(x)
        self._records[x.request.id] = told
        if self._finish is not None:
            self._finish(x, told)

    def _watch(self, x: Exchange) -> None:
        """Show an exchange to the watch for extraction, and let it sweep where that is due."""
        if x.account is None:
            return
        self.watchers.note(x)
        for _, watch in self.watchers.all():
            if watch.sweep_due(self.now):
                watch.sweep(self.now)
                self.changes += self.watchers.take_changes(self.now)[: CHANGES_MAX - len(self.changes)]

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        fields: Fields = (("content-type", "application/json"),),
        *,
        who: Principal | None = None,
        client: str = "192.0.2.1",
        reply: Reply | None = None,
        unread: bool = False,
    ) -> Told:
        """Conduct one exchange, now, of a caller who is taken for `who`; None: for nobody that is known.

        The upstream answers with `reply`, where there is one.  `unread`: the body is not known, and judged by nothing.
        """
        self._asked += 1
        request_id = compose_id(self.now, self._asked.to_bytes(10, "big"))
        head = [(name.lower(), value) for name, value in fields]
        if body and not any(name == "content-length" for name, _ in head):
            head.append(("content-length", str(len(body))))
        path, query = parse_target(target)
        request = Request(request_id, method, path, query, Headers(head), client, self.now, "http://memory")
        if who is not None:
            self._vouched[request_id] = who
        if reply is not None:
            self.service.replies[request_id] = reply
        house = self
        if unread:
            house = copy(self)
            house.engine = self._unread
        asker = Asker(body)
        try:
            await conduct(house, request, asker)
        finally:
            self._vouched.pop(request_id, None)
            self.service.replies.pop(request_id, None)
            told = self._records.pop(request_id, {})
        return Told(asker.status, asker.fields, b"".join(asker.pieces), told)
