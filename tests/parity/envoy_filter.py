"""Envoy's external processing filter, as far as a table of exchanges goes, in memory.

It sends both bodies in small pieces as they come (FULL_DUPLEX_STREAMED), does to heads and bodies what it is told, and
believes an error of the stream to be a refusal.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf.struct_pb2 import Struct
from tests.clock import read_clock
from tests.parity.memory import Outcome, answer_of, outcome_of

from vallum.adapters.envoy.facts import Facts
from vallum.adapters.envoy.messages_pb2 import (
    HeaderMap,
    HeaderMutation,
    HeaderValue,
    HttpBody,
    HttpHeaders,
    HttpTrailers,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
)
from vallum.adapters.envoy.processing import Processing
from vallum.adapters.requests import Requests
from vallum.core.address import parse_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.parity.memory import House

Fields = list[tuple[str, str]]
DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED
CONFIG = ProtocolConfiguration(request_body_mode=DUPLEX, response_body_mode=DUPLEX)
REQUEST_PIECE, RESPONSE_PIECE = 5, 7
PATIENCE_S = 10.0
LOCAL = "127.0.0.1"


class Reply(NamedTuple):
    """What a model answers, or Envoy in its place."""

    status: int
    fields: Fields
    body: bytes = b""
    details: str = "via_upstream"
    trailers: Sequence[tuple[str, str]] = ()


class Told(NamedTuple):
    """What a caller was told, and what the model was."""

    status: int | None
    fields: Fields
    body: bytes
    received: tuple[str, str, bytes] | None
    sent: Fields  # to the model
    trailers: Fields  # that went on, in either direction
    code: grpc.StatusCode | None = None  # how the stream ended


class Context:
    """The service's side of a gRPC stream, in memory: no message is lost or waits."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.said: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.code = grpc.StatusCode.OK
        self.details = ""

    async def read(self) -> bytes | None:
        return await self.asked.get()

    async def write(self, message: bytes) -> None:
        self.said.put_nowait(message)

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.code, self.details = code, details
        raise grpc.aio.AbortError


class Filter:
    """A filter before a service."""

    def __init__(self, processing: Processing, model: Callable[[str, str, bytes], Reply]) -> None:
        self._processing = processing
        self._model = model

    async def ask(self, method: str, target: str, fields: Fields, body: bytes, trailers: Fields | None = None) -> Told:
        """Take one exchange through the filter; return once it is recorded."""
        context = Context()
        serving = asyncio.ensure_future(self._processing.process(context, LOCAL))
        serving.add_done_callback(lambda _: context.said.put_nowait(None))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await Passage(context, self._model).run(method, target, fields, body, trailers or [])
        finally:
            await asyncio.gather(serving, return_exceptions=True)
            await self._processing.drain()


class Passage:
    """One exchange on its way through the filter."""

    def __init__(self, context: Context, model: Callable[[str, str, bytes], Reply]) -> None:
        self._context = context
        self._model = model
        self._request: Fields = []
        self._response: Fields = []
        self._asked = b""
        self._answered = b""
        self._received: tuple[str, str, bytes] | None = None
        self._trailers: Fields = []  # that went on, in either direction
        self._bodiless = False
        self._reply = Reply(500, [])

    async def run(self, method: str, target: str, fields: Fields, body: bytes, trailers: Fields) -> Told:
        self._trailers = trailers
        authority = "a"
        if target.startswith("http://"):  # Envoy tells the target of an absolute one, and its authority
            authority, _, rest = target.removeprefix("http://").partition("/")
            target = f"/{rest}"
        pseudo = [(":method", method), (":path", target), (":scheme", "http"), (":authority", authority)]
        self._request = [*pseudo, *((name.lower(), value) for name, value in fields)]
        bodiless = not body and not trailers
        told = HttpHeaders(headers=header_map(self._request), end_of_stream=bodiless)
        attributes = attribute("source.address", "127.0.0.1:40000")
        self._say(ProcessingRequest(request_headers=told, attributes=attributes, protocol_config=CONFIG))
        for piece, last in pieces(body, REQUEST_PIECE, ended=not trailers) if not bodiless else ():
            self._say(ProcessingRequest(request_body=HttpBody(body=piece, end_of_stream=last)))
        if trailers:
            self._say(ProcessingRequest(request_trailers=HttpTrailers(trailers=header_map(trailers))))
        while True:
            said = await self._context.said.get()
            if said is None:  # before the last word
                return self._told(self._context.code)
            if self._obey(ProcessingResponse.FromString(said), bodiless):
                return self._told(None)

    def _obey(self, message: ProcessingResponse, bodiless: bool) -> bool:
        """Do what a message says; say whether it was the last."""
        kind = message.WhichOneof("response")
        if kind == "immediate_response":
            immediate = message.immediate_response
            self._response = [(":status", str(immediate.status.code))]
            self._response = mutate(self._response, immediate.headers)
            self._answered = immediate.body
            return True
        if kind == "request_headers":
            self._request = mutate(self._request, message.request_headers.response.header_mutation)
            if bodiless:
                self._answer()
        elif kind == "request_body":
            piece = message.request_body.response.body_mutation.streamed_response
            self._asked += piece.body
            if piece.end_of_stream:
                self._answer()
        elif kind == "request_trailers":
            self._trailers = mutate(self._trailers, message.request_trailers.header_mutation)
            self._answer()
        elif kind == "response_headers":
            self._response = mutate(self._response, message.response_headers.response.header_mutation)
            return self._bodiless
        elif kind == "response_body":
            piece = message.response_body.response.body_mutation.streamed_response
            self._answered += piece.body
            return piece.end_of_stream
        elif kind == "response_trailers":
            self._trailers += mutate(self._reply.trailers, message.response_trailers.header_mutation)
            return True
        else:
            raise AssertionError(message)
        return False

    def _answer(self) -> None:
        """Ask the model, and tell what it answers."""
        found = dict(self._request)
        reply = self._model(found[":method"], found[":path"], self._asked)
        self._reply = reply
        if reply.details == "via_upstream":
            self._received = (found[":method"], found[":path"], self._asked)
        self._bodiless = not reply.body or found[":method"] == "HEAD"
        length = [] if reply.status == 204 else [("content-length", str(len(reply.body)))]
        self._response = [(":status", str(reply.status)), *reply.fields, *length]
        told = HttpHeaders(headers=header_map(self._response), end_of_stream=self._bodiless)
        attributes = attribute("response.code_details", reply.details)
        self._say(ProcessingRequest(response_headers=told, attributes=attributes))
        for piece, last in pieces(reply.body, RESPONSE_PIECE, ended=not reply.trailers) if not self._bodiless else ():
            self._say(ProcessingRequest(response_body=HttpBody(body=piece, end_of_stream=last)))
        if reply.trailers:
            self._say(ProcessingRequest(response_trailers=HttpTrailers(trailers=header_map(reply.trailers))))

    def _say(self, message: ProcessingRequest) -> None:
        self._context.asked.put_nowait(message.SerializeToString())

    def _told(self, code: grpc.StatusCode | None) -> Told:
        status = dict(self._response).get(":status")
        fields = [field for field in self._response if field[0] != ":status"]
        sent = [field for field in self._request if field[0][:1] != ":"]
        number = None if status is None else int(status)
        return Told(number, fields, self._answered, self._received, sent, self._trailers, code)


class InEnvoy:
    """An Envoy whose filter asks the service what it may do."""

    def __init__(self, house: House) -> None:
        facts = Facts(Requests(read_clock, house.new_id))
        self._filter = Filter(Processing(house, facts, parse_networks([LOCAL])), reply_of)
        self.records = house.records
        self.seen = b""

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Take one exchange through the filter."""
        told = await self._filter.ask(method, target, fields, body)
        shown = b"" if method == "HEAD" else told.body
        self.seen = repr(told.fields).encode() + shown
        return outcome_of(self.records[-1], told.status, told.fields, shown, told.received)


def reply_of(method: str, target: str, body: bytes) -> Reply:
    """Answer as the model does, or as Envoy does where there is none."""
    if target.startswith("/dead"):
        refused = "upstream_reset_before_response_started{remote_connection_failure}"
        return Reply(503, [("content-type", "text/plain")], b"canary", refused)
    return Reply(*answer_of(target))


def pieces(body: bytes, size: int, *, ended: bool) -> Sequence[tuple[bytes, bool]]:
    """Cut a body into pieces, of which the last one is marked unless trailers follow."""
    starts = range(0, len(body) or 1, size)
    return [(body[at : at + size], ended and at + size >= len(body)) for at in starts]


def header_map(fields: Sequence[tuple[str, str]]) -> HeaderMap:
    """Write header fields as Envoy tells them."""
    return HeaderMap(headers=[HeaderValue(key=name, raw_value=value.encode("latin-1")) for name, value in fields])


def attribute(name: str, value: str) -> dict[str, Struct]:
    """Write an attribute as Envoy tells it."""
    told = Struct()
    told[name] = value
    return {"envoy.filters.http.ext_proc": told}


def mutate(fields: Sequence[tuple[str, str]], mutation: HeaderMutation) -> Fields:
    """Do to header fields what Envoy 1.40 does: remove, then set, each by `raw_value` and its `append_action`."""
    fields = [field for field in fields if field[0] not in mutation.remove_headers or field[0][:1] == ":"]
    for option in mutation.set_headers:
        assert not option.header.value
        name, value = option.header.key, option.header.raw_value.decode("latin-1")
        if option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD:
            fields = [field for field in fields if field[0] != name]
        fields.append((name, value))
    return fields
