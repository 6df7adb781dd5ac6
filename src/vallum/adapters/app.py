"""An app as the service that a conversation asks: what it is asked, and what it says.

Rule: an answer that ends early, or runs over the length that it declared, is an UpstreamError, as on a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.adapters.reception import is_length
from vallum.adapters.turns import PARK
from vallum.core.errors import UpstreamError
from vallum.core.exchange import Headers, ResponseHead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.core.policy import Upstream

    Fields = Sequence[tuple[str, str]]

BODILESS = frozenset({204, 304})


class Asked(NamedTuple):
    """A request as the policy lets it through to the app; a body that nobody reads comes in pieces."""

    target: str
    fields: list[tuple[str, str]]
    body: bytes | AsyncIterator[bytes]
    timeout_s: float


class App:
    """The app in one exchange: the conversation's service, and its answer."""

    __slots__ = ("_complete", "_left", "_pieces", "asked", "head", "released")

    def __init__(self) -> None:
        """Begin unasked."""
        self.asked: Asked | None = None
        self.head: ResponseHead
        self.released = False  # nothing that it says is wanted any more
        self._pieces: list[bytes] = []
        self._left: int | None = None  # of the declared length
        self._complete = False

    # --- for the conversation: it parks until the app has said something

    async def call(
        self, upstream: Upstream, method: str, target: str, fields: Fields, body: bytes | AsyncIterator[bytes] | None
    ) -> App:
        """Have the app called, and return once it has begun to answer."""
        own = [(name.lower(), value) for name, value in upstream.headers]
        if isinstance(body, bytes) and (body or method in ("POST", "PUT", "PATCH")):
            own.append(("content-length", str(len(body))))
        self.asked = Asked(target, [*own, *fields], b"" if body is None else body, upstream.timeout_s)
        await PARK
        if method == "HEAD" or self.head.status in BODILESS:
            self._complete, self._left = True, None
        return self

    async def read(self) -> bytes:
        """Return what the app has said of its body since, empty at its end."""
        while not self._pieces:
            if self._complete:
                if self._left:
                    raise UpstreamError("the answer ended early")
                return b""
            await PARK
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise UpstreamError("bytes after the answer")
        return data

    def release(self) -> None:
        """Want no more of it."""
        self.released = True

    # --- for the adapter

    def begin(self, status: int, fields: Fields) -> None:
        """Take the head of its answer; raise UpstreamError for one that could be read in two ways."""
        headers = Headers(fields)
        lengths = headers.all("content-length")
        if len(lengths) > 1 or (lengths and not is_length(lengths[0])):
            raise UpstreamError("an answer whose length is not one number")
        if any("\n" in value or "\r" in value for field in fields for value in field):
            raise UpstreamError("a header field holds a line break")
        if not 200 <= status <= 999:
            raise UpstreamError(f"a status of {status}")
        self._left = int(lengths[0]) if lengths else None
        self.head = ResponseHead(status, headers)

    def add(self, data: bytes, *, last: bool) -> None:
        """Take a piece of its body, and whether it was the last."""
        if data and not self._complete:
            self._pieces.append(data)
        if last:
            self._complete = True
