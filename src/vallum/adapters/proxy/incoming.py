"""A request as it arrives, and the answer to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vallum.adapters.conduct import BodyError
from vallum.adapters.proxy import wire
from vallum.core.decision import Deny, Reason
from vallum.core.stages import has_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.adapters.proxy.server import Connection
    from vallum.core.exchange import Certificate, Headers


class Incoming:
    """One request on a connection: its head, its body as it comes in, its answer as it goes out."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_pieces",
        "_waiter",
        "answered",
        "body_bytes",
        "complete",
        "fault",
        "headers",
        "held_bytes",
        "keep_alive",
        "method",
        "sent_bytes",
        "target",
        "version",
        "wire_bytes",
    )

    def __init__(self, connection: Connection, method: str, target: str, headers: Headers) -> None:
        """Begin with a head."""
        self._connection = connection
        self.method = method
        self.target = target
        self.headers = headers
        self.version = "1.1"
        self.keep_alive = False
        self.fault: Deny | None = None
        self.complete = False  # the body is whole
        self.answered = False  # the answer is whole
        self.body_bytes = 0
        self.held_bytes = 0
        self.wire_bytes = 0
        self.sent_bytes = 0
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._chunked = False

    @property
    def peer(self) -> str:
        """The address of the connection's other end."""
        return self._connection.peer

    @property
    def received_bytes(self) -> int:
        """How much of the body has come."""
        return self.body_bytes

    @property
    def scheme(self) -> str:
        """How the client speaks to us: http or https."""
        return self._connection.scheme

    @property
    def certificate(self) -> Certificate | None:
        """The certificate of the connection's other end, verified when the connection was made."""
        return self._connection.certificate

    @property
    def certificate_fault(self) -> str:
        """Why the certificate of the connection's other end is not believed, if so."""
        return self._connection.certificate_fault

    # --- as it arrives

    def find_fault(self) -> str | None:
        """Say what is wrong with the head beyond the grammar that the parser holds, or None."""
        if self.version not in ("1.0", "1.1"):
            return f"HTTP/{self.version}"
        hosts = len(self.headers.all("host"))
        if hosts > 1 or (hosts == 0 and self.version == "1.1"):  # RFC 9112 3.2
            return f"{hosts} Host fields"
        codings = self.headers.all("transfer-encoding")
        if codings and self.version == "1.0":  # RFC 9112 6.1
            return "chunks in HTTP/1.0"
        if codings and (len(codings) > 1 or codings[0].lower() != "chunked"):  # the one coding that all read alike
            return f"transfer-encoding {', '.join(codings)[:80]}"
        return None

    def announces_body(self) -> bool:
        """Say whether the head promises a body."""
        return has_body(self.headers)

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.body_bytes += len(data)
        self.held_bytes += len(data)
        self._pieces.append(data)
        self._wake()

    def finish(self) -> None:
        """Mark the body as whole."""
        self.complete = True
        self._wake()

    def fail(self, reason: Reason, detail: str) -> None:
        """Mark the request as one that cannot be read."""
        if self.fault is None and not self.complete:
            self.fault = Deny(reason, "listen", detail)
            self.keep_alive = False
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- for the adapter

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Return the whole body, or why there is none; never holds much over `max_bytes`."""
        self._invite_body()
        while not self.complete and self.fault is None and self.body_bytes <= max_bytes:
            self._connection.read_on()
            await self._wait()
        if self.fault is not None:
            return self.fault
        if self.body_bytes > max_bytes:
            return _too_large(max_bytes)
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_pieces(self, max_bytes: int) -> Pieces:
        """Iterate over the body as it comes; raises BodyError for one that cannot be read to its end."""
        self._invite_body()
        return Pieces(self, max_bytes)

    async def read_piece(self, max_bytes: int) -> bytes:
        """Return what has come of the body since the last call, empty at its end; raise BodyError."""
        while not self._pieces and not self.complete and self.fault is None:
            self._connection.read_on()
            await self._wait()
        if self.fault is not None:
            raise BodyError(self.fault)
        if self.body_bytes > max_bytes:
            raise BodyError(_too_large(max_bytes))
        data = b"".join(self._pieces)
        self._pieces.clear()
        self.held_bytes = 0
        return data

    def _invite_body(self) -> None:
        if not self.complete and not self.body_bytes and self._expects_continue():
            self._connection.transport.write(wire.CONTINUE)

    def _expects_continue(self) -> bool:
        # RFC 9110 10.1.1: the client waits for leave, which the head has just earned.
        return (self.headers.get("expect") or "").lower() == "100-continue"

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- the answer

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer."""
        head = wire.head(wire.status_line(status), [*fields, *self._framing(len(body), status)])
        self.sent_bytes += len(body)
        await self._connection.write(head if self.method == "HEAD" else head + body)
        self.answered = True

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send the head of an answer whose body follows in pieces; `length` None if unknown."""
        bodiless = self.method == "HEAD" or status in (204, 304)
        self._chunked = length is None and self.version == "1.1" and not bodiless
        if length is None and not self._chunked and not bodiless:
            self.keep_alive = False  # the end of the connection is the end of the body
        await self._connection.write(wire.head(wire.status_line(status), [*fields, *self._framing(length, status)]))

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        if data and self.method != "HEAD":
            self.sent_bytes += len(data)
            await self._connection.write(wire.chunk(data) if self._chunked else data)

    async def end(self) -> None:
        """End the answer's body."""
        if self._chunked:
            await self._connection.write(wire.LAST_CHUNK)
        self.answered = True

    def _framing(self, length: int | None, status: int) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        if self._chunked:
            fields.append(("transfer-encoding", "chunked"))
        elif length is not None and status not in (204, 304):
            fields.append(("content-length", str(length)))
        if not self.keep_alive or not self.complete or self._connection.listener.draining:
            self.keep_alive = False
            fields.append(("connection", "close"))
        elif self.version == "1.0":
            fields.append(("connection", "keep-alive"))
        return fields


class Pieces:
    """A body, piece by piece."""

    def __init__(self, incoming: Incoming, max_bytes: int) -> None:
        """Read from `incoming`, up to `max_bytes`."""
        self._incoming = incoming
        self._max_bytes = max_bytes

    def __aiter__(self) -> Pieces:
        """Return the iterator: itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        piece = await self._incoming.read_piece(self._max_bytes)
        if not piece:
            raise StopAsyncIteration
        return piece


def _too_large(max_bytes: int) -> Deny:
    return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes")
