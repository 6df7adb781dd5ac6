"""A request that a proxy asks about before it calls the upstream itself: Envoy's ext_authz, nginx's auth_request.

The conversation is every adapter's.  Where the upstream would be called it ends with leave to call it, and what the
proxy must change in the request so that the upstream gets what `vallum serve` would send.

Rule 1: what is beyond a proxy that asks (beyond.py) is refused unless the loss was accepted.
Rule 2: a body that did not come whole is never taken for one that did.
Rule 3: what was reserved stays charged: nobody sees what the upstream does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from vallum.adapters.beyond import SAYS, Beyond, meets
from vallum.adapters.conduct import BodyError, Conversation
from vallum.adapters.gates import Gates
from vallum.core.cost import COSTS
from vallum.core.decision import Deny, Reason
from vallum.core.exchange import Headers, ResponseHead
from vallum.core.stages import has_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.adapters.driver import Driver
    from vallum.core.engine import Engine
    from vallum.core.exchange import Exchange, Request
    from vallum.core.policy import Upstream
    from vallum.core.record import Timing

Field = tuple[str, str]
# Fields that the proxy frames the request with: they are its own to keep.
FRAMING = frozenset(("host", "content-length", "content-encoding", "transfer-encoding"))
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
NO_CONTENT = ResponseHead(204, Headers())


class House(Protocol):
    """What is in force: a household, without upstreams."""

    @property
    def engine(self) -> Engine:
        """The engine of the policy in force."""

    @property
    def driver(self) -> Driver:
        """What runs the engine's steps."""

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        """Record and count an exchange that has ended."""


class Leave(NamedTuple):
    """The request may go on, changed so: `target` and `fields` take the place of what it has, `removed` goes."""

    target: str
    fields: tuple[Field, ...]
    removed: tuple[str, ...]
    answer_fields: tuple[Field, ...]  # for the answer that the caller gets


class Refused(NamedTuple):
    """The caller gets this, and the upstream nothing.  The gateway's own pages are such answers too."""

    status: int
    fields: tuple[Field, ...]
    body: bytes


class Body(NamedTuple):
    """What came of a request's body.  `fault` refuses one that is not whole, where it would have to be read."""

    data: bytes = b""
    fault: Deny | None = None


class Asking:
    """One such request: who asks, who is asked, and the house that the conversation is conducted in."""

    def __init__(self, house: House, request: Request, body: Body, accepted: frozenset[Beyond] = frozenset()) -> None:
        """Ask `house` about a request; the losses in `accepted` do not refuse it."""
        self._house = house
        self._body = body
        self._accepted = accepted
        self.engine = house.engine
        self.driver = house.driver
        self.gates = Gates(house.clock)  # none: who calls the upstream is who knows whether it has room
        self.head = NO_CONTENT
        self.received_bytes = len(body.data)
        self.sent_bytes = 0
        self._leave: Leave | None = None
        self._refused: Refused | None = None
        self._talk = Conversation(self, request, self, self)

    async def decide(self, fault: Deny | None = None) -> Leave | Refused:
        """Return what becomes of the request.  `fault` refuses one that could not even be read."""
        if fault is None and self._talk.x.request.headers.get("upgrade") is not None:
            fault = Deny(Reason.INVALID_REQUEST, "ext_authz", "an upgrade: a tunnel that nothing reads")
        await self._talk.run(fault)
        if self._refused is not None:
            return self._refused
        assert self._leave is not None  # the conversation ends in one of the two
        return self._leave

    # --- the house (conduct.Home)

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""
        return self._house.clock()

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        """Record the exchange as what it is: nobody here saw an answer."""
        if self._leave is not None:
            x.upstream_status, status = None, 200  # what the proxy was told
            x.unscanned.append("response (the proxy that asked has it)")
        self._house.finish(x, status, timing, sent_bytes)

    # --- who is asked (conduct.Service)

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Sequence[Field],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Asking:
        """Give leave, unless what the policy says is beyond that; then raise BodyError with the refusal."""
        x, came = self._talk.x, self._body.data
        assert x.route is not None
        if not isinstance(body, bytes):
            body = came if body is None else b"".join([piece async for piece in body])
        needs = sorted(meets(x, x.route, came, body) - self._accepted)
        if needs:
            raise BodyError(_beyond(needs[0]))
        x.unscanned.extend(f"{need} (an accepted loss)" for need in sorted(meets(x, x.route, came, body)))
        kept, given = x.route.intake.headers, {name for name, _ in upstream.headers}
        written = [*upstream.headers, *[field for field in fields if field[0] in WRITTEN and field[0] not in given]]
        stays = kept | FRAMING | {name for name, _ in written}
        removed = dict.fromkeys(name for name, _ in x.request.headers.fields if name not in stays)
        base = urlsplit(upstream.url).path.rstrip("/")
        self._leave = Leave(base + target, tuple(written), tuple(removed), ())
        return self

    # --- its answer, of which nothing is known (conduct.Answer)

    async def read(self) -> bytes:
        """Return nothing."""
        return b""

    def release(self) -> None:
        """Hold nothing."""

    # --- who asks (conduct.Caller)

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Return the body, if all of it is here."""
        if len(self._body.data) > max_bytes:
            return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes")
        return self._body.fault or self._body.data

    async def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Yield a body that nobody reads; raise BodyError for one whose size nobody knows."""
        length = self._talk.x.request.headers.get("content-length")
        if length is None:
            body = await self.read_body(max_bytes)
            if isinstance(body, Deny):
                raise BodyError(body)
        else:  # the head has said how large it is, and was held to that
            self.received_bytes = int(length)
        yield self._body.data

    async def answer(self, status: int, fields: Sequence[Field], body: bytes) -> None:
        """Take a refusal, or a page of the gateway's own."""
        self._leave = None
        self.sent_bytes = len(body)
        self._refused = Refused(status, tuple(fields), body)

    async def start(self, status: int, fields: Sequence[Field], length: int | None) -> None:
        """Take the fields that go with the answer, whatever it will be, and let what was reserved stay charged."""
        assert self._leave is not None
        self._leave = self._leave._replace(answer_fields=tuple(fields))
        bill = self._talk.x.bill
        if bill is not None:
            bill.sent_bytes = bill.tariff.answer_bytes
            bill.named = {demand.quota.unit: 1 for demand in bill.demands if demand.quota.unit not in COSTS}

    async def send(self, data: bytes) -> None:
        """Send nothing: an answer of which nothing is known has no body."""

    async def end(self) -> None:
        """End it."""


WRITTEN = frozenset(("x-request-id", "accept-encoding"))  # what an adapter adds to every request (conduct.py)


def _beyond(need: Beyond) -> Deny:
    detail = f"{SAYS[need]}, which a proxy that only asks cannot see to (--accept-loss {need})"
    reason = Reason.REQUEST_REJECTED if need is Beyond.REWRITES else Reason.UNAVAILABLE
    return Deny(reason, "ext_authz", detail, should_retry=False)


def body_of(method: str, headers: Headers, data: bytes, *, partial: Sequence[str]) -> Body:
    """Say what came of a body.  `partial` are the proxy's words on whether it cut one off, and what callers forged.

    A proxy that was not told to pass bodies on looks like a request without one, and Envoy does not tell of chunks.
    """
    length, fault = headers.get("content-length"), None
    if any(word != "false" for word in partial):
        fault = Deny(Reason.BODY_TOO_LARGE, "ext_authz", "the proxy cut the body off: raise its max_request_bytes")
    elif length is not None and int(length) != len(data):
        fault = _unseen(f"{len(data)} bytes came of {length}")
    elif length is None and not data and (partial or may_have_body(method, headers)):
        fault = _unseen("no body came, and there may be one")
    return Body(data, fault)


def may_have_body(method: str, headers: Headers) -> bool:
    """Say whether a request may have a body, though its head announces none."""
    return method not in BODILESS or has_body(headers)


def _unseen(detail: str) -> Deny:
    return Deny(Reason.UNAVAILABLE, "ext_authz", f"{detail}: is the proxy told to pass bodies on?", should_retry=False)
