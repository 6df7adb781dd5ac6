"""The client's side of one exchange in a thread: its body is read, and its answer written, by the request's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.adapters.app import BODILESS
from vallum.adapters.conduct import BodyError
from vallum.adapters.reception import malformed
from vallum.adapters.turns import PARK
from vallum.core.decision import Deny, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

READ_BYTES = 65_536


class Body:
    """A request's body as the server gives it, within bounds; a file to whoever may read it unread by us."""

    def __init__(self, stream: Any, length: int | None) -> None:
        """Read `stream`: so many bytes, or None: until its end."""
        self._stream = stream
        self._left = length
        self.max_bytes = 0
        self.received_bytes = 0
        self.error: BodyError | None = None

    def read_whole(self, max_bytes: int) -> bytes | Deny:
        """Return the whole body, or why there is none; never holds much over `max_bytes`."""
        self.max_bytes = max_bytes
        pieces = []
        try:
            while piece := self._take(READ_BYTES):
                pieces.append(piece)
        except BodyError as error:
            return error.refusal
        return b"".join(pieces)

    def _take(self, size: int) -> bytes:
        """Return up to `size` bytes, empty at the end; raise BodyError."""
        left = self._left
        piece: bytes = b"" if left == 0 else self._stream.read(size if left is None else min(size, left))
        if left is not None:
            if not piece and left:
                raise BodyError(malformed("a body of another length than it declared"))
            self._left = left - len(piece)
        self.received_bytes += len(piece)
        if self.received_bytes > self.max_bytes:
            raise BodyError(Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {self.max_bytes} bytes"))
        return piece

    # --- wsgi.input, where the policy lets a body stream by

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, or all; raises OSError for a body that may not be read to its end."""
        pieces, missing = [], size
        while missing and (piece := self._guarded(READ_BYTES if missing < 0 else min(missing, READ_BYTES))):
            pieces.append(piece)
            missing = missing if missing < 0 else missing - len(piece)
        return b"".join(pieces)

    def readline(self, size: int = -1) -> bytes:
        """Return a line, or so many bytes of it."""
        line = bytearray()
        while len(line) != size and not line.endswith(b"\n") and (piece := self._guarded(1)):
            line += piece
        return bytes(line)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Return all lines."""
        return list(self)

    def __iter__(self) -> Body:
        """Return the iterator: itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next line."""
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _guarded(self, size: int) -> bytes:
        if self.error is None:
            try:
                return self._take(size)
            except BodyError as error:
                self.error = error
        raise OSError("the body is refused")


class Client:
    """Who asks, in the conversation's words; what it says is taken from `out` by the request's thread."""

    def __init__(self, method: str, body: Body) -> None:
        """Ask with `body`."""
        self._method = method
        self._body = body
        self.wanted: int | None = None  # the conversation waits for the body, of at most so many bytes
        self.given: bytes | Deny = b""
        self.head: tuple[int, list[tuple[str, str]]] | None = None
        self.out: list[bytes] = []
        self.whole = False  # the answer has ended
        self.sent_bytes = 0

    @property
    def received_bytes(self) -> int:
        """How much of the body has come."""
        return self._body.received_bytes

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Have the request's thread read the whole body."""
        self.wanted = max_bytes
        await PARK
        self.wanted = None
        return self.given

    def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Let the body stream by: the app reads it, in its thread."""
        self._body.max_bytes = max_bytes
        return Unread()

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        """Say a whole answer."""
        await self.start(status, fields, len(body))
        await self.send(body if status not in BODILESS else b"")
        await self.end()

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        """Say the head of an answer; raise ValueError for a field that would end early."""
        if any("\n" in value or "\r" in value for field in fields for value in field):
            raise ValueError("a header field holds a line break")
        own = [] if length is None or status in BODILESS else [("content-length", str(length))]
        self.head = status, [*fields, *own]

    async def send(self, data: bytes) -> None:
        """Say a piece."""
        if data and self._method != "HEAD":
            self.sent_bytes += len(data)
            self.out.append(data)

    async def end(self) -> None:
        """Say that it has ended."""
        self.whole = True


class Unread:
    """A body that only the app reads."""

    def __aiter__(self) -> Unread:
        """Return the iterator: itself."""
        return self

    async def __anext__(self) -> bytes:
        """Yield nothing."""
        raise StopAsyncIteration
