"""The client's side of one HTTP exchange: who asks, in the conversation's words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vallum.adapters.app import BODILESS
from vallum.adapters.asgi.messages import write_fields
from vallum.adapters.conduct import BodyError
from vallum.adapters.reception import malformed
from vallum.core.decision import Deny, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.adapters.asgi.messages import Message, Receive, Send


class Gone(asyncio.CancelledError):
    """The caller has left."""


class Client:
    """Reads a request's body from the server, and writes the answer to it."""

    __slots__ = ("_declared", "_method", "_receive", "_send", "complete", "received_bytes", "sent_bytes")

    def __init__(self, method: str, receive: Receive, send: Send, declared: int | None) -> None:
        """Speak through `receive` and `send`; the head has declared so many bytes of body, None: it did not say."""
        self._method = method
        self._receive = receive
        self._send = send
        self._declared = declared
        self.complete = declared == 0  # the body has come whole
        self.received_bytes = 0
        self.sent_bytes = 0

    # --- the body

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Return the whole body, or why there is none; never holds much over `max_bytes`."""
        pieces: list[bytes] = []
        try:
            while not self.complete:
                pieces.append(await self.read_piece(max_bytes))
        except BodyError as error:
            return error.refusal
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_pieces(self, max_bytes: int) -> Pieces:
        """Iterate over the body as it comes; raises BodyError for one that cannot be read to its end."""
        return Pieces(self, max_bytes)

    async def read_piece(self, max_bytes: int) -> bytes:
        """Return the next piece of the body, which may be empty; raise BodyError, or Gone."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise Gone
        piece: bytes = message.get("body", b"")
        self.received_bytes += len(piece)
        if self.received_bytes > max_bytes:
            raise BodyError(Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes"))
        self.complete = not message.get("more_body", False)
        declared = self._declared
        if (
            declared is not None
            and declared != self.received_bytes
            and (self.complete or declared < self.received_bytes)
        ):
            raise BodyError(malformed("a body of another length than it declared"))
        return piece

    async def wait_gone(self) -> None:
        """Return when the client has left; only after its body is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # --- the answer

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer."""
        await self.start(status, fields, len(body))
        if self._method == "HEAD" or status in BODILESS:
            body = b""
        self.sent_bytes += len(body)
        await self._tell({"type": "http.response.body", "body": body})

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send the head of an answer."""
        headers = write_fields(fields)
        if length is not None and status not in BODILESS:
            headers.append((b"content-length", b"%d" % length))
        await self._tell({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        if data and self._method != "HEAD":
            self.sent_bytes += len(data)
            await self._tell({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End the answer."""
        await self._tell({"type": "http.response.body", "body": b""})

    async def _tell(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError as error:  # what servers raise whose client has left
            raise Gone from error


class Pieces:
    """A body, piece by piece."""

    def __init__(self, client: Client, max_bytes: int) -> None:
        """Read from `client`, up to `max_bytes`."""
        self._client = client
        self._max_bytes = max_bytes

    def __aiter__(self) -> Pieces:
        """Return the iterator: itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        if self._client.complete:
            raise StopAsyncIteration
        return await self._client.read_piece(self._max_bytes)
