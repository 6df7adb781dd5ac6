"""Envoy's external processing service (envoy.service.ext_proc.v3): every exchange through `conduct`, all five phases.

Rule: a filter that would send on what was not looked at is refused, with a log line that says what to set.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from vallum.adapters.conduct import conduct
from vallum.adapters.envoy.messages_pb2 import ProcessingMode, ProcessingRequest, ProcessingResponse
from vallum.adapters.envoy.stream import LeftError, Stream, read_attribute
from vallum.core.exchange import Headers, Request
from vallum.core.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.adapters.conduct import House
    from vallum.adapters.driver import Driver
    from vallum.adapters.gates import Gates
    from vallum.core.engine import Engine
    from vallum.core.exchange import Exchange
    from vallum.core.record import Timing

log = logging.getLogger("vallum")

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED


class Inside(NamedTuple):
    """The house as one exchange finds it, with its own stream to call upstreams by."""

    engine: Engine
    driver: Driver
    service: Stream
    gates: Gates
    clock: Callable[[], float]
    finish: Callable[[Exchange, int | None, Timing, int], None]


class Wire:
    """A gRPC stream; whoever uses one that is gone has left."""

    def __init__(self, context: Any) -> None:
        """Speak by gRPC's own words."""
        self._context = context

    async def read(self) -> Any:
        """Return the next message, or `grpc.aio.EOF`."""
        try:
            return await self._context.read()
        except grpc.aio.BaseError as gone:
            raise LeftError from gone

    async def write(self, message: ProcessingResponse) -> None:
        """Send a message, once there is room for it."""
        try:
            await self._context.write(message)
        except grpc.aio.BaseError as gone:
            raise LeftError from gone


class Processing:
    """Serves Envoy's external processing filter."""

    def __init__(self, house: House, now: Callable[[], float], new_id: Callable[[float], str]) -> None:
        """Judge by `house`; stamp requests with `now` (Unix seconds) and `new_id`."""
        self._house = house
        self._now = now
        self._new_id = new_id
        self._warned: set[str] = set()
        self._under_way: set[asyncio.Future[None]] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a gRPC server is to be given."""
        method = grpc.stream_stream_rpc_method_handler(
            self.process,
            request_deserializer=ProcessingRequest.FromString,
            response_serializer=ProcessingResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Process": method})

    async def process(self, _: Any, context: Any) -> None:
        """Conduct one exchange.  However it fails, the stream ends with an error, which no filter takes for leave."""
        first = await context.read()
        fault = find_fault(first)
        if fault:
            self._warn(fault)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, fault)
        stream = Stream(Wire(context), first.request_headers)
        house = self._house
        inside = Inside(house.engine, house.driver, stream, house.gates, house.clock, house.finish)
        # In a task of its own: Envoy closes the stream upon the last word, and what was used is still to be settled.
        exchange = asyncio.ensure_future(conduct(inside, self._read_request(first, stream), stream))
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

    def _read_request(self, first: ProcessingRequest, stream: Stream) -> Request:
        now = self._now()
        told = stream.request
        path, query = parse_target(told.value(":path"))
        authority = told.value(":authority")
        fields = [("host", authority), *(field for field in told.fields if field[0][:1] != ":")]
        client = (read_attribute(first, "source.address") or "").rpartition(":")[0].strip("[]")
        origin = f"{told.value(':scheme')}://{authority}"
        return Request(
            self._new_id(now), told.value(":method"), path, query, Headers(fields), client, now, origin
        )

    def _warn(self, fault: str) -> None:
        if fault not in self._warned:
            self._warned.add(fault)
            log.error("Envoy's ext_proc filter is refused: %s", fault)


def find_fault(first: Any) -> str:
    """Say why an exchange that begins so cannot be judged; nothing where it can."""
    if not isinstance(first, ProcessingRequest) or first.WhichOneof("request") != "request_headers":
        return "an exchange begins with its request_headers: set request_header_mode: SEND"
    if first.observability_mode:
        return "nothing can be refused: set observability_mode: false"
    config = first.protocol_config
    if config.request_body_mode != DUPLEX or config.response_body_mode != DUPLEX:
        return "bodies may pass unseen: set request_body_mode and response_body_mode: FULL_DUPLEX_STREAMED"
    return ""
