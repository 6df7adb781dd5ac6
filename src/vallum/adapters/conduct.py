"""One exchange from its first fact to its record, written once for every adapter.

An adapter brings a `Caller` (who asks) and a `Service` (who is asked) and this conducts the conversation: head, body,
upstream, answer.  Whatever goes wrong on the way ends in one refusal and one record.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from vallum.adapters.slots import slot_of, wait_for_slot
from vallum.core.decision import Allow, Challenge, Deny, Page, Reason
from vallum.core.engine import describe
from vallum.core.errors import UpstreamError, UpstreamTimeoutError
from vallum.core.policy import Mode
from vallum.core.problem import ID_FIELDS, media_type, problem, problem_headers
from vallum.core.record import Timing
from vallum.core.target import forwarded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.adapters.driver import Driver
    from vallum.adapters.gates import Gate, Gates, Visit
    from vallum.core.cost import Bill
    from vallum.core.decision import Decision, Refusal
    from vallum.core.engine import Engine
    from vallum.core.exchange import Exchange, Request, ResponseHead
    from vallum.core.policy import Upstream

CAPTURE_S = 0.1  # how long the beginning of a failed answer is waited for


class Caller(Protocol):
    """Who asks: a client's connection, an ASGI scope."""

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Return the whole body, or the refusal of one that cannot be read."""

    def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises BodyError for one that cannot be read."""

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer."""

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send the head of an answer that comes in pieces."""

    async def send(self, data: bytes) -> None:
        """Send a piece."""

    async def end(self) -> None:
        """End the answer."""

    @property
    def received_bytes(self) -> int:
        """How much of the request's body has come."""

    @property
    def sent_bytes(self) -> int:
        """How much of the answer's body was sent."""


class Answer(Protocol):
    """What the upstream says, as it says it."""

    head: ResponseHead

    async def read(self) -> bytes:
        """Return the next piece, empty at the end; raise UpstreamError."""

    def release(self) -> None:
        """Let go of it, read to its end or not."""


class Service(Protocol):
    """Who is asked: the upstreams of a policy."""

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Answer:
        """Send a request and return once the answer's head is there; raise UpstreamError."""


class Home(Protocol):
    """What an adapter is handed: the engine of the moment and all that it needs."""

    @property
    def engine(self) -> Engine:
        """The engine of the policy in force."""

    @property
    def driver(self) -> Driver:
        """What runs the engine's steps."""

    @property
    def gates(self) -> Gates:
        """What stands before upstreams."""

    def clock(self) -> float:
        """Return seconds of a clock that never goes back."""

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        """Record and count an exchange that has ended."""


class House(Home, Protocol):
    """The same, where one service is asked by every exchange."""

    @property
    def service(self) -> Service:
        """What calls upstreams."""


class BodyError(Exception):
    """A streamed body could not be read to its end."""

    def __init__(self, refusal: Deny) -> None:
        """Carry the refusal."""
        super().__init__(refusal.detail)
        self.refusal = refusal


async def conduct(house: House, request: Request, caller: Caller, fault: Deny | None = None) -> None:
    """Conduct one exchange.  `fault` is the refusal of a request that could not even be parsed."""
    await Conversation(house, request, caller, house.service).run(fault)


class Conversation:
    """The state of one exchange on its way through an adapter."""

    def __init__(self, house: Home, request: Request, caller: Caller, service: Service) -> None:
        """Open the exchange under the policy of this moment."""
        self._house = house
        self._service = service
        self._engine = house.engine
        self._caller = caller
        self._began = house.clock()
        self._upstream_s = self._head_s = self._body_s = self._slot_s = 0.0
        self._status: int | None = None
        self._started = False
        self.x = self._engine.open(request)

    async def run(self, fault: Deny | None = None) -> None:
        """Go from the head to the record."""
        try:
            refusal = fault or await self._ask()
            if refusal is not None:
                self.x.decision = refusal
                await self._refuse(refusal)
        except asyncio.CancelledError:
            self.x.cancelled = True  # the caller left
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours: one plain answer, and the detail in the record
            refusal = Deny(Reason.INTERNAL_ERROR, "gateway", describe(error))
            self.x.decision = refusal
            await self._refuse(refusal)
        finally:
            total_s = self._house.clock() - self._began
            try:
                if self.x.bill is not None:  # the last byte is out already
                    await self._settle(self.x.bill)
            finally:
                timing = Timing(total_s, self._upstream_s, self._head_s, self._body_s, self._slot_s)
                self._house.finish(self.x, self._status, timing, self._caller.sent_bytes)

    async def _settle(self, bill: Bill) -> None:
        if self.x.route is not None and not self.x.route.intake.codecs:
            bill.received_bytes = self._caller.received_bytes
        await self._house.driver.ledger.settle(self._engine, self.x)

    async def _ask(self) -> Refusal | None:
        """Judge the request, and pass it on if it may pass."""
        x, engine, driver = self.x, self._engine, self._house.driver
        clock = self._house.clock
        decision: Decision = await driver.run(engine.request_head(x))
        self._head_s = clock() - self._began
        if not isinstance(decision, Allow):
            return decision
        route = x.route
        assert route is not None
        max_bytes = route.intake.max_bytes
        if not route.intake.codecs and route.responder is None:
            decision = await driver.run(engine.request_body(x, None))
            return await self._forward(self._caller.read_pieces(max_bytes)) if isinstance(decision, Allow) else decision
        body = await self._caller.read_body(max_bytes)
        if isinstance(body, Deny):
            return body
        arrived = clock()
        decision = await driver.run(engine.request_body(x, body))
        self._body_s = clock() - arrived
        if not isinstance(decision, Allow):
            return decision
        if route.responder is not None:
            return await self._respond()
        return await self._forward(body if decision.body is None else decision.body)

    async def _respond(self) -> Refusal | None:
        """Answer in the upstream's place."""
        page = await self._house.driver.run(self._engine.respond(self.x))
        if not isinstance(page, Page):
            return page
        self._status = page.status
        await self._caller.answer(page.status, [*page.headers, *self._own_fields()], page.body)
        return None

    async def _forward(self, body: bytes | AsyncIterator[bytes]) -> Refusal | None:
        route = self.x.route
        assert route is not None
        gate = self._house.gates.find(route.upstream)
        return await (self._call(body, None) if gate is None else self._pass(gate, body))

    async def _pass(self, gate: Gate, body: bytes | AsyncIterator[bytes]) -> Refusal | None:
        """Call the upstream when there is room for it."""
        x = self.x
        enforce = gate.rule.mode is Mode.ENFORCE and x.route is not None and x.route.mode is Mode.ENFORCE
        visit = await gate.enter(self._engine.priority(x), waits=enforce)
        try:
            x.waited_s = visit.waited_s
            if visit.refused:
                refusal = self._engine.shed(x, visit.refused, enforce)
                if refusal is not None:
                    return refusal
            return await self._call(body, visit)
        finally:
            visit.leave()

    async def _call(self, body: bytes | AsyncIterator[bytes], visit: Visit | None) -> Refusal | None:
        x = self.x
        self._engine.call(x)
        if x.bill is not None and x.bill.leases:
            self._house.driver.ledger.hold(x)
        asked = self._house.clock()
        try:
            answer = await self._service.call(*upstream_request(x, body))
        except BodyError as broken:  # each clause names its own: the compiler gives one name one type
            return broken.refusal
        except UpstreamTimeoutError as late:
            if visit is not None:
                visit.began()  # nothing is later than never
            return Deny(Reason.UPSTREAM_TIMEOUT, "upstream", str(late))
        except UpstreamError as error:
            return Deny(Reason.UPSTREAM_ERROR, "upstream", str(error))
        finally:
            self._upstream_s = self._house.clock() - asked
        if visit is not None and isinstance(body, bytes):  # of a streamed body, the caller sets the pace
            visit.heard(answer.head)
        try:
            return await self._relay(answer)
        except BodyError as broken:
            return broken.refusal
        except UpstreamError as error:
            reason = Reason.UPSTREAM_TIMEOUT if isinstance(error, UpstreamTimeoutError) else Reason.UPSTREAM_ERROR
            return Deny(reason, "upstream", str(error))
        finally:
            answer.release()

    async def _relay(self, answer: Answer) -> Refusal | None:
        """Send what may leave of the answer, as it comes."""
        engine, x, caller = self._engine, self.x, self._caller
        judged = engine.response_head(x, answer.head)
        if isinstance(judged, Deny):
            wanted = engine.wants(x)
            return engine.explain(x, judged, await self._capture(answer, wanted)) if wanted else judged
        head, relay = judged
        fields = [*head.headers.fields, *self._own_fields()]
        self._status = head.status
        if relay.holds:
            held = await self._hold(answer)
            if isinstance(held, Deny):
                return held
            await caller.answer(head.status, fields, held)
            return None
        length = answer.head.headers.get("content-length") if relay.passes_length else None
        self._started = True
        await caller.start(head.status, fields, None if length is None else int(length))
        while piece := await answer.read():
            out = engine.response_chunk(x, piece)
            if isinstance(out, Deny):
                return await self._break_off(out)
            await caller.send(out)
            while x.bill is not None and x.bill.missing_tokens:
                ending = await self._house.driver.run(engine.overrun(x))
                if ending is not None:
                    await caller.send(ending)
                    await caller.end()
                    return None
                more = engine.response_chunk(x, b"")
                if isinstance(more, Deny):
                    return await self._break_off(more)
                await caller.send(more)
        rest = engine.response_end(x)
        if isinstance(rest, Deny):
            return await self._break_off(rest)
        await caller.send(rest)
        await caller.end()
        return None

    async def _break_off(self, refusal: Deny) -> Deny:
        """End a stream that was refused: with an error that its format has, or else by cutting it."""
        farewell = self.x.relay.farewell
        if farewell:
            await self._caller.send(farewell)
            await self._caller.end()
        return refusal

    @staticmethod
    async def _capture(answer: Answer, most: int) -> bytes:
        """Return the beginning of a failed answer, as far as it comes in time."""
        body = b""
        try:
            async with asyncio.timeout(CAPTURE_S):
                while len(body) < most and (piece := await answer.read()):
                    body += piece
        except (TimeoutError, UpstreamError, BodyError):
            pass  # what has come is what there is
        return body

    async def _hold(self, answer: Answer) -> bytes | Deny:
        while piece := await answer.read():
            out = self._engine.response_chunk(self.x, piece)
            if isinstance(out, Deny):
                return out
        return self._engine.response_end(self.x)

    async def _refuse(self, refusal: Refusal) -> None:
        """Send a refusal, unless part of an answer is out: then it can only be cut."""
        if self._started:
            return
        slot_s = slot_of(self.x, refusal)
        if slot_s:
            exact = not isinstance(refusal, Challenge)
            self._slot_s = await wait_for_slot(self._house.clock, self._began, slot_s, exact=exact)
        error_format = self.x.route.error_format if self.x.route else None
        body = problem(refusal, self.x.request.id, error_format)
        fields = [("content-type", media_type(error_format)), *problem_headers(refusal), *self._own_fields()]
        self._status = refusal.reason.status
        await self._caller.answer(self._status, fields, body)

    def _own_fields(self) -> list[tuple[str, str]]:
        x = self.x
        fields = [("x-request-id", x.request.id), *x.quota_fields, *x.proof_fields]
        if x.route is not None and x.route.error_format in ID_FIELDS:
            fields.append((ID_FIELDS[x.route.error_format], x.request.id))
        return fields


def upstream_request(
    x: Exchange, body: bytes | AsyncIterator[bytes]
) -> tuple[Upstream, str, str, list[tuple[str, str]], bytes | AsyncIterator[bytes]]:
    """Write the request to the upstream: the canonical target, and the fields that the route lets in."""
    route, request = x.route, x.request
    assert route is not None  # an allowed request has both
    assert request.path is not None
    allowed = route.intake.headers
    if route.upstream.headers:  # what the operator says to the upstream, no caller says beside it
        allowed -= {name for name, _ in route.upstream.headers}
    fields = [field for field in request.headers.fields if field[0] in allowed]
    if x.fields:  # the body was written anew: what described the old one is replaced
        replaced = {name for name, _ in x.fields}
        fields = [*(field for field in fields if field[0] not in replaced), *x.fields]
    fields.append(("x-request-id", request.id))
    fields.append(("accept-encoding", "identity"))  # what cannot be read cannot be transformed
    if not isinstance(body, bytes):
        length = request.headers.get("content-length")
        if length is not None:
            fields.append(("content-length", length))
    target = forwarded(request.path) + (f"?{request.query}" if request.query else "")
    return route.upstream, request.method, target, fields, body
