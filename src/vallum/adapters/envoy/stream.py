"""One exchange as Envoy's external processing filter tells it: who asks and who is asked, on one gRPC stream.

Rule 1: Envoy tells everything and sends on nothing but what it is given: both bodies are FULL_DUPLEX_STREAMED.  So a
        request waits here until it was judged, and an answer leaves as its relay lets it.
Rule 2: a stream that ends cleanly before all was said tells Envoy to go on without us.  So it ends cleanly only after
        the last word; in every other case with an error, which Envoy takes for a refusal or for a cut.
Rule 3: no message is asked for before there is room for it, so that Envoy waits and nothing piles up here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from vallum.adapters.conduct import BodyError
from vallum.adapters.envoy.facts import Head
from vallum.adapters.envoy.messages_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeadersResponse,
    HttpStatus,
    ImmediateResponse,
    ProcessingRequest,
    ProcessingResponse,
    StreamedBodyResponse,
    TrailersResponse,
)
from vallum.adapters.envoy.mutation import amend
from vallum.core.decision import Deny, Reason
from vallum.core.errors import UpstreamError, UpstreamTimeoutError
from vallum.core.exchange import Headers, ResponseHead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.adapters.envoy.messages_pb2 import HeaderMap, HttpBody, HttpHeaders, HttpTrailers
    from vallum.core.policy import Upstream

PIECE_BYTES = 65_536  # of a body in one message: Envoy's advice
FRAMING = frozenset({"content-length", "transfer-encoding"})
CHUNKED = ("transfer-encoding", "chunked")
DETAIL = "vallum"  # what Envoy's access log says of an answer that took the upstream's place
OF_ENVOY = frozenset({"x-forwarded-proto"})  # Envoy writes it, and without it finds no route again
DETAILS = "response.code_details"  # the attribute that says whose answer it is
VIA_UPSTREAM = "via_upstream"
LATE = "timeout"  # stands in all of its details that tell of one


class Talk(Protocol):
    """A gRPC stream, from the side that serves; whoever uses one that is gone has left."""

    async def read(self) -> ProcessingRequest:
        """Return the next message; raises LeftError and OrderError."""

    async def write(self, message: ProcessingResponse) -> None:
        """Send a message, once there is room for it; raises LeftError."""


class LeftError(asyncio.CancelledError):
    """Envoy has closed the stream: the caller left, or the upstream broke off."""


class OrderError(Exception):
    """Envoy said something that cannot be said now."""


class Half:
    """One direction of an exchange, as far as it was told."""

    __slots__ = ("bodiless", "body_bytes", "ended", "fields", "head", "name", "pieces", "trailers")

    def __init__(self, name: str) -> None:
        """Know nothing yet of the `request` or the `response`."""
        self.name = name
        self.head = False
        self.fields: list[tuple[str, str]] = []  # pseudo-header fields among them
        self.bodiless = False
        self.pieces: list[bytes] = []
        self.body_bytes = 0
        self.ended = False  # all of it was told
        self.trailers: list[tuple[str, str]] | None = (
            None  # even empty ones are an end, in the place of the last piece's
        )

    def begin(self, told: HttpHeaders) -> None:
        """Take the head."""
        if self.head:
            raise OrderError(f"a second head of the {self.name}")
        self.head = True
        self.fields = read_fields(told.headers)
        self.bodiless = self.ended = told.end_of_stream

    def feed(self, told: HttpBody) -> None:
        """Take a piece of the body."""
        self._expect()
        if told.body:
            self.pieces.append(told.body)
            self.body_bytes += len(told.body)
        self.ended = told.end_of_stream

    def end(self, told: HttpTrailers) -> None:
        """Take the trailers, after which nothing comes."""
        self._expect()
        self.trailers = read_fields(told.trailers)
        self.ended = True

    def take(self) -> bytes:
        """Return what has come of the body since the last call."""
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def value(self, name: str) -> str:
        """Return the one value of a pseudo-header field, or nothing."""
        values = [value for field, value in self.fields if field == name]
        return values[0] if len(values) == 1 else ""

    def read_head(self, source: str) -> Head:
        """Return the head of a request from `source`, an address."""
        method, target, scheme = self.value(":method"), self.value(":path"), self.value(":scheme")
        fields = self.fields
        if not self.bodiless and not any(name in FRAMING for name, _ in fields):
            fields = [*fields, CHUNKED]  # HTTP/2 needs no field to announce a body; whoever judges the head does
        return Head(method, target, scheme, self.value(":authority"), fields, source)

    def _expect(self) -> None:
        if self.ended or not self.head:
            raise OrderError(f"a piece of the {self.name} {'after its end' if self.ended else 'before its head'}")


class Stream:
    """One exchange: `conduct`'s caller, and its service."""

    def __init__(self, talk: Talk, head: HttpHeaders) -> None:
        """Begin with the request's head."""
        self._talk = talk
        self.request = Half("request")
        self._response = Half("response")
        self.request.begin(head)
        self._max_bytes: int | None = None  # of a request's body that is passed on as it comes
        self._timeout_s = 0.0
        self._status = 0
        self._started = False  # the answer's head is out
        self._last = b""  # of an answer that was told to its end: it goes out with the end
        self.over = False  # all was said
        self.sent_bytes = 0

    # --- who asks (conduct.Caller)

    @property
    def received_bytes(self) -> int:
        """How much of the request's body has come."""
        return self.request.body_bytes

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Return the whole body, or why there is none."""
        request = self.request
        while not request.ended and request.body_bytes <= max_bytes:
            await self._receive()
        return _too_large(max_bytes) if request.body_bytes > max_bytes else request.take()

    def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Iterate over the body as it comes; raises BodyError for one that cannot be read to its end.

        `call` does not iterate: it passes on what is told, whenever that is.
        """
        self._max_bytes = max_bytes
        return Pieces(self)

    async def read_piece(self) -> bytes:
        """Return what has come of the request's body since the last call, empty at its end; raise BodyError."""
        while not self.request.pieces and not self.request.ended:
            await self._receive()
        return self._take_piece()

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer: the upstream's own where it was told to its end, or one in its place."""
        if self._response.ended and status == self._status:
            await self.start(status, fields, None)
            await self.send(body)
            await self.end()
            return
        self.sent_bytes += len(body)
        self.over = True
        reply = ImmediateResponse(status=HttpStatus(code=status), headers=amend((), fields), body=body, details=DETAIL)
        await self._talk.write(ProcessingResponse(immediate_response=reply))

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send the head of the upstream's answer, amended."""
        wanted = [*fields] if length is None else [*fields, ("content-length", str(length))]
        wanted.append((":status", str(status)))
        await self._write_head(self._response, CommonResponse(header_mutation=amend(self._response.fields, wanted)))
        self._started = True

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer."""
        if not data or self._response.bodiless:
            return
        self.sent_bytes += len(data)
        if self._response.ended and not self._response.pieces:
            self._last += data  # the end follows at once: one message for both
        else:
            await self._write_body(self._response, data)

    async def end(self) -> None:
        """End the answer, which may be before the upstream's own end."""
        self.over = True
        await self._write_end(self._response, self._last)

    # --- who is asked (conduct.Service)

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Answer:
        """Let the request through as it is to be, and return once the answer's head was told."""
        wanted = [(":path", base_path(upstream) + target), *upstream.headers, *fields]
        present = [field for field in self.request.fields if field[0] not in OF_ENVOY]
        common = CommonResponse(header_mutation=amend(present, wanted))
        common.clear_route_cache = True  # it was chosen by a head that the policy had not judged
        await self._write_head(self.request, common)
        if isinstance(body, bytes):
            await self._write_end(self.request, body)
        else:
            await self._pass_on()
        self._timeout_s = upstream.timeout_s
        while not self._response.head:
            await self._listen()
        fields = [field for field in self._response.fields if field[0][:1] != ":"]
        return Answer(self, ResponseHead(self._status, Headers(fields)))

    async def read_answer(self) -> bytes:
        """Return the next piece of the upstream's answer, empty at its end; raise UpstreamError."""
        while not self._response.pieces and not self._response.ended:
            await self._listen()
        return self._response.take()

    async def _listen(self) -> None:
        """Take what is told next, and pass on what it brings of the request."""
        if self._started or not self.request.ended:  # then it may be the caller who is waited for
            await self._receive()
        else:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._receive()
            except TimeoutError as late:
                raise UpstreamTimeoutError(f"silent for over {self._timeout_s:g} s") from late
        await self._pass_on()

    async def _pass_on(self) -> None:
        """Send on what has come of a body that nobody reads; raise BodyError."""
        if self._max_bytes is None:
            return
        data = self._take_piece()
        if self.request.ended:
            self._max_bytes = None
            await self._write_end(self.request, data)
        elif data:
            await self._write_body(self.request, data)

    def _take_piece(self) -> bytes:
        if self._max_bytes is not None and self.request.body_bytes > self._max_bytes:
            raise BodyError(_too_large(self._max_bytes))
        return self.request.take()

    # --- what is told and said

    async def _receive(self) -> None:
        """Take Envoy's next message.  Raises LeftError, OrderError, and UpstreamError for an answer of Envoy's own."""
        message = await self._talk.read()
        kind = message.WhichOneof("request")
        if kind == "request_body":
            self.request.feed(message.request_body)
        elif kind == "response_body":
            self._response.feed(message.response_body)
        elif kind == "response_headers":
            self._response.begin(message.response_headers)
            self._status = read_status(self._response)
            details = read_attribute(message, DETAILS)
            if details not in (None, VIA_UPSTREAM):
                raise (UpstreamTimeoutError if LATE in details else UpstreamError)(f"Envoy: {details[:100]}")
        elif kind == "request_trailers":
            self.request.end(message.request_trailers)
        elif kind == "response_trailers":
            self._response.end(message.response_trailers)
        else:
            raise OrderError(f"{kind or 'nothing'} in the place of more")

    async def _write_head(self, half: Half, common: CommonResponse) -> None:
        said = HeadersResponse(response=common)
        if half is self.request:
            await self._talk.write(ProcessingResponse(request_headers=said))
        else:
            await self._talk.write(ProcessingResponse(response_headers=said))

    async def _write_body(self, half: Half, data: bytes, *, ended: bool = False) -> None:
        for at in range(0, len(data) or 1, PIECE_BYTES):
            last = ended and at + PIECE_BYTES >= len(data)
            piece = StreamedBodyResponse(body=data[at : at + PIECE_BYTES], end_of_stream=last)
            said = BodyResponse(response=CommonResponse(body_mutation=BodyMutation(streamed_response=piece)))
            if half is self.request:
                await self._talk.write(ProcessingResponse(request_body=said))
            else:
                await self._talk.write(ProcessingResponse(response_body=said))

    async def _write_end(self, half: Half, data: bytes) -> None:
        """Send the rest of a body, and its end: of trailers, none goes on."""
        if half.bodiless:
            return
        if half.trailers is None:
            await self._write_body(half, data, ended=True)
            return
        if data:
            await self._write_body(half, data)
        said = TrailersResponse(header_mutation=amend(half.trailers, ()))
        if half is self.request:
            await self._talk.write(ProcessingResponse(request_trailers=said))
        else:
            await self._talk.write(ProcessingResponse(response_trailers=said))


class Answer:
    """What the upstream says (conduct.Answer)."""

    def __init__(self, stream: Stream, head: ResponseHead) -> None:
        """Read from `stream`, which has told the head."""
        self._stream = stream
        self.head = head

    async def read(self) -> bytes:
        """Return the next piece, empty at the end; raise UpstreamError."""
        return await self._stream.read_answer()

    def release(self) -> None:
        """Let go of it: there is nothing to give back."""


class Pieces:
    """A request's body, piece by piece."""

    def __init__(self, stream: Stream) -> None:
        """Read from `stream`."""
        self._stream = stream

    def __aiter__(self) -> Pieces:
        """Return the iterator: itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        piece = await self._stream.read_piece()
        if not piece:
            raise StopAsyncIteration
        return piece


def read_fields(told: HeaderMap) -> list[tuple[str, str]]:
    """Return header fields as they were told, names in lower case."""
    return [(one.key.lower(), (one.raw_value or one.value).decode("latin-1")) for one in told.headers]


def read_attribute(message: ProcessingRequest, name: str) -> str | None:
    """Return one of the attributes that Envoy was asked to tell, in words; None where it did not."""
    for found in message.attributes.values():
        if name in found.fields:
            return found.fields[name].string_value
    return None


def read_status(response: Half) -> int:
    """Return an answer's status; raises UpstreamError for what is none."""
    status = response.value(":status")
    if len(status) != 3 or not status.isdecimal() or not status.isascii():
        raise UpstreamError("an answer without a status")
    return int(status)


def base_path(upstream: Upstream) -> str:
    """Return what stands before every target of an upstream."""
    return urlsplit(upstream.url).path.rstrip("/")


def _too_large(max_bytes: int) -> Deny:
    return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes")
