"""Envoy's external processing service (envoy.service.ext_proc.v3): every exchange through `conduct`, all five phases.

Rule: a filter that would send on what was not looked at is refused, with a log line that says what to set.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from vallum.adapters.conduct import Conversation
from vallum.adapters.envoy.messages_pb2 import ProcessingMode, ProcessingRequest, ProcessingResponse
from vallum.adapters.envoy.stream import LeftError, OrderError, Stream, read_attribute
from vallum.core.address import within
from vallum.core.decision import Deny, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.adapters.conduct import Home
    from vallum.adapters.envoy.facts import Facts
    from vallum.core.address import Network
    from vallum.core.exchange import Request

log = logging.getLogger("vallum")

SOURCE = "source.address"
WARNINGS_MAX = 100  # each said once
DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED


class Wire:
    """A gRPC stream of bytes, as messages (stream.Talk)."""

    def __init__(self, context: Any) -> None:
        """Speak by gRPC's own context."""
        self._context = context

    async def read(self) -> ProcessingRequest:
        """Return the next message; raises LeftError and OrderError."""
        try:
            data = await self._context.read()
        except grpc.aio.BaseError as gone:
            raise LeftError from gone
        if not isinstance(data, bytes):  # gRPC's mark for the end
            raise LeftError
        try:
            return ProcessingRequest.FromString(data)
        except DecodeError as error:
            raise OrderError("what is no message") from error

    async def write(self, message: ProcessingResponse) -> None:
        """Send a message, once there is room for it; raises LeftError."""
        try:
            await self._context.write(message.SerializeToString())
        except grpc.aio.BaseError as gone:
            raise LeftError from gone


class Processing:
    """Serves Envoy's external processing filter."""

    def __init__(self, house: Home, facts: Facts, peers: Sequence[Network]) -> None:
        """Judge by `house`; only `peers` may ask."""
        self._house = house
        self._facts = facts
        self._peers = peers
        self._warned: set[str] = set()
        self._under_way: set[asyncio.Future[None]] = set()

    async def process(self, context: Any, asker: str) -> None:
        """Conduct one exchange.  However it fails, the stream ends with an error, which no filter takes for leave."""
        wire = Wire(context)
        fault = "" if within(asker, self._peers) else f"{asker} may not ask: it is not in trusted_proxies"
        try:
            first = await wire.read()
            fault = fault or find_fault(first)
        except OrderError as error:
            fault = f"an exchange began with {error}"
        if fault:
            self._warn(fault)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, fault)
        stream = Stream(wire, first.request_headers)
        asked = self._facts.read_head(stream.request.read_head(source_of(first)), asker, "ext_proc")
        # In a task of its own: Envoy closes the stream upon the last word, and what was used is still to be settled.
        exchange = asyncio.ensure_future(
            Conversation(self._house, asked.request, stream, stream).run(asked.fault or find_tunnel(asked.request))
        )
        self._under_way.add(exchange)
        exchange.add_done_callback(self._end)
        try:
            await asyncio.shield(exchange)
        except asyncio.CancelledError:
            if not exchange.done():
                if not stream.over:
                    exchange.cancel()
                raise
        if not stream.over:
            await context.abort(grpc.StatusCode.ABORTED, "the answer was cut")

    def _end(self, exchange: asyncio.Future[None]) -> None:
        self._under_way.discard(exchange)
        if not exchange.cancelled() and exchange.exception() is not None:
            log.error("an exchange could not be ended", exc_info=exchange.exception())

    async def drain(self) -> None:
        """Wait until what was begun is settled: after the server has stopped."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _warn(self, fault: str) -> None:
        if fault not in self._warned and len(self._warned) < WARNINGS_MAX:
            self._warned.add(fault)
            log.error("Envoy's ext_proc filter is refused: %s", fault)


def find_fault(first: ProcessingRequest) -> str:
    """Say why an exchange that begins so cannot be judged; nothing where it can."""
    if first.WhichOneof("request") != "request_headers":
        return "an exchange begins with its request_headers: set request_header_mode: SEND"
    if first.observability_mode:
        return "nothing can be refused: set observability_mode: false"
    config = first.protocol_config
    if config.request_body_mode != DUPLEX or config.response_body_mode != DUPLEX:
        return "bodies may pass unseen: set request_body_mode and response_body_mode: FULL_DUPLEX_STREAMED"
    return ""


def find_tunnel(request: Request) -> Deny | None:
    """Refuse an upgrade: what goes through a tunnel has no end to be judged at."""
    if request.headers.get("upgrade") is None and request.method != "CONNECT":
        return None
    return Deny(Reason.INVALID_REQUEST, "ext_proc", "an upgrade: a tunnel that nothing reads")


def source_of(first: ProcessingRequest) -> str:
    """Return the address of whoever asks Envoy; nothing where it was not asked to tell."""
    return (read_attribute(first, SOURCE) or "").rpartition(":")[0].strip("[]")
