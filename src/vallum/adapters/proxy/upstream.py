"""The calling leg: pooled connections to an upstream.

Rule 1: an answer that breaks HTTP, or ends early, is an UpstreamError; silence over the upstream's `timeout_s` is an
        UpstreamTimeoutError.
Rule 2: a connection returns to the pool only after a whole answer to a whole request.
Rule 3: a request is sent once.  Only one that may be repeated (RFC 9110 9.2.2) is sent again, when a pooled
        connection turns out to be closed before a byte of the answer came.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httptools

from vallum.adapters.proxy import wire
from vallum.core.errors import UpstreamError, UpstreamTimeoutError
from vallum.core.exchange import Headers, ResponseHead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.core.policy import Upstream

HIGH_WATER_BYTES = 262_144
HEAD_MAX_BYTES = 65_536
FIELDS_MAX = 200
IDLE_S = 4.0  # common servers close an idle connection after 5 s: be first
IDLE_MAX = 256
CONNECT_S = 5.0
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Pool:
    """Connections to one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        """Prepare; connects on first use."""
        url = urlsplit(upstream.url)
        self.upstream = upstream
        self.base = url.path.rstrip("/")
        self._host = url.hostname or ""
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._authority = url.netloc.rpartition("@")[2]
        self._ssl = ssl.create_default_context() if url.scheme == "https" else None
        self._idle: deque[Call] = deque()
        self._busy: set[Call] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def call(
        self,
        method: str,
        path: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Call:
        """Send a request and return the call once the answer's head is there."""
        start = f"{method} {self.base}{path} HTTP/1.1\r\n"
        framing = _framing(fields, body, method)
        head = wire.head(start, [("host", self._authority), *self.upstream.headers, *fields, *framing])
        while True:
            call, reused = await self._acquire()
            call.begin(method, self.upstream.timeout_s)
            try:
                call.send(head, body, chunked=framing == CHUNKED)
                await call.wait_head()
            except StaleError:
                self.release(call)
                if reused and method in REPEATABLE and not hasattr(body, "__aiter__"):
                    continue
                raise
            except BaseException:
                self.release(call)
                raise
            return call

    def release(self, call: Call) -> None:
        """Take a call back: into the pool if its connection is clean, closed if not."""
        self._busy.discard(call)
        if call.reusable and not self._closed and len(self._idle) < IDLE_MAX:
            call.rest()
            self._idle.append(call)
        else:
            call.close()

    def sweep(self) -> None:
        """End what has been silent for too long.  Call about four times a second."""
        now = self._loop.time()
        for call in list(self._busy):
            call.check_time(now)
        while self._idle and now - self._idle[0].since > IDLE_S:
            self._idle.popleft().close()

    def close(self) -> None:
        """Close the idle connections now, and the others when they come back."""
        self._closed = True
        while self._idle:
            self._idle.popleft().close()

    async def _acquire(self) -> tuple[Call, bool]:
        while self._idle:
            call = self._idle.pop()
            if call.reusable and self._loop.time() - call.since <= IDLE_S:
                self._busy.add(call)
                return call, True
            call.close()
        try:
            async with asyncio.timeout(min(CONNECT_S, self.upstream.timeout_s)):
                _, call = await self._loop.create_connection(
                    lambda: Call(self._loop), self._host, self._port, ssl=self._ssl
                )
        except TimeoutError as late:
            raise UpstreamTimeoutError(f"no connection within {CONNECT_S:g} s") from late
        except OSError as error:  # ssl.SSLError is one
            raise UpstreamError(f"no connection: {type(error).__name__}") from error
        self._busy.add(call)
        return call, False


CHUNKED = [("transfer-encoding", "chunked")]


def _framing(
    fields: Sequence[tuple[str, str]], body: bytes | AsyncIterator[bytes] | None, method: str
) -> list[tuple[str, str]]:
    if isinstance(body, bytes):
        return [("content-length", str(len(body)))] if body or method in ("POST", "PUT", "PATCH") else []
    if body is None or any(name == "content-length" for name, _ in fields):
        return []
    return CHUNKED


class StaleError(UpstreamError):
    """The connection was closed before a byte of the answer came."""


class Call(asyncio.Protocol):
    """One connection to an upstream, and the call that it carries now."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the transport."""
        self._loop = loop
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser: Any = None
        self._method = ""
        self._timeout_s = 0.0
        self.since = loop.time()
        self.head: ResponseHead | None = None
        self._fields: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._fields_bytes = 0
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._paused = False
        self._complete = True
        self._sent = True
        self._lost = False
        self._keep_alive = True
        self._error: UpstreamError | None = None
        self._starved = False  # the caller is slow with its body, which is not the upstream's silence
        self._feeder: asyncio.Task[None] | None = None
        self._feed_error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        return (
            self._complete
            and self._sent
            and not self._lost
            and self._error is None
            and not self._transport.is_closing()
            and self._keep_alive
        )

    # --- for the pool and the adapter

    def begin(self, method: str, timeout_s: float) -> None:
        """Make ready for a request."""
        self._method, self._timeout_s = method, timeout_s
        self.head, self._fields, self._head_bytes, self._fields_bytes = None, [], 0, 0
        self._pieces, self._held_bytes = [], 0
        self._complete = self._sent = False
        self.since = self._loop.time()

    def send(self, head: bytes, body: bytes | AsyncIterator[bytes] | None, *, chunked: bool) -> None:
        """Send a request whole, or begin to send its body as it comes."""
        if body is None or isinstance(body, bytes):
            self._transport.write(head + (body or b""))
            self._sent = True
            return
        self._transport.write(head)
        # In a task of its own: an answer may come before the body is whole, and a client may wait for it.
        self._feeder = self._loop.create_task(self._feed(body, chunked))
        self._feeder.add_done_callback(self._fed)

    async def _feed(self, body: AsyncIterator[bytes], chunked: bool) -> None:
        pieces = aiter(body)
        while True:
            self._starved = True
            piece = await anext(pieces, None)
            self._starved = False
            self.since = self._loop.time()
            if piece is None:
                break
            await self._can_write.wait()
            if self._lost or self._error is not None:
                return
            self._transport.write(wire.chunk(piece) if chunked else piece)
        if chunked:
            self._transport.write(wire.LAST_CHUNK)
        self._sent = True
        self.since = self._loop.time()

    def _fed(self, feeder: asyncio.Task[None]) -> None:
        if not feeder.cancelled() and feeder.exception() is not None:
            self._feed_error = feeder.exception()
            self._wake()

    async def wait_head(self) -> ResponseHead:
        """Return the answer's head."""
        while self.head is None:
            self._raise()
            await self._wait()
        return self.head

    async def read(self) -> bytes:
        """Return what has come of the answer's body, empty at its end."""
        while not self._pieces and not self._complete:
            self._raise()
            await self._wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held_bytes = 0
        if self._paused:
            self._paused = False
            self.since = self._loop.time()
            self._transport.resume_reading()
        return data

    def rest(self) -> None:
        """Wait in the pool."""
        self.since = self._loop.time()

    def close(self) -> None:
        """End the connection; an answer that is still coming is not wanted."""
        if self._feeder is not None:
            self._feeder.cancel()
        self._transport.abort()

    def check_time(self, now: float) -> None:
        """Give up on an upstream that has been silent for too long; while we hold it back, silence is ours."""
        patient = self._complete or self._paused or self._starved
        if not patient and now - self.since > self._timeout_s:
            self._fail(UpstreamTimeoutError(f"silent for over {self._timeout_s:g} s"))

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to parse what will come."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; anything between two answers ends the connection."""
        self.since = self._loop.time()
        if self._complete:
            self._fail(UpstreamError("bytes after the answer"))
            return
        if self.head is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(UpstreamError(f"not HTTP: {type(error).__name__} {error}"))
        if self._error is not None and not self._complete:
            self._fail(self._error)
        if self.head is None and self._head_bytes > HEAD_MAX_BYTES:
            self._fail(UpstreamError(f"a head over {HEAD_MAX_BYTES} bytes"))
        if self._held_bytes > HIGH_WATER_BYTES and not self._complete:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, where the end of the connection is its end (RFC 9112 6.3)."""
        self._lost = True
        self._can_write.set()
        if self._complete:
            return
        if self.head is not None and exc is None and self._error is None and not self._framed():
            self._complete = True
            self._wake()
        elif self.head is None and not self._head_bytes:
            self._fail(StaleError("the connection was closed before an answer"))
        else:
            self._fail(UpstreamError("the answer ended early"))

    def pause_writing(self) -> None:
        """Hold whoever sends."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """Go on sending."""
        self._can_write.set()

    # --- the parser's events

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field."""
        if self.head is None:
            self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))
            self._fields_bytes += len(name) + len(value) + 4
            if len(self._fields) > FIELDS_MAX or self._fields_bytes > HEAD_MAX_BYTES:
                self._error = UpstreamError(f"over {FIELDS_MAX} header fields or {HEAD_MAX_BYTES} bytes of them")

    def on_headers_complete(self) -> None:
        """Hand over the head, unless it is an interim one."""
        status = self._parser.get_status_code()
        if self._error is not None:
            return
        if self.head is not None:
            self._error = UpstreamError("two answers to one request")
        elif self._parser.get_http_version() not in {"1.0", "1.1"}:
            self._error = UpstreamError(f"HTTP/{self._parser.get_http_version()}")
        elif status >= 200:
            self.head = ResponseHead(status, Headers(self._fields))
            if self._method == "HEAD":  # the parser cannot know that no body follows
                self._complete, self._sent = True, False
            self._wake()
        self._fields = []

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body; what follows a whole answer is nobody's."""
        if self._complete:
            return
        self._pieces.append(data)
        self._held_bytes += len(data)
        self._wake()

    def on_message_complete(self) -> None:
        """Mark the answer as whole; an interim head (RFC 9110 15.2) is no answer."""
        if self.head is not None:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()
            self._wake()

    def _framed(self) -> bool:
        headers = cast("ResponseHead", self.head).headers
        return headers.get("content-length") is not None or headers.get("transfer-encoding") is not None

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None:
            self._error = error
        self._transport.abort()
        self._wake()

    def _raise(self) -> None:
        if self._feed_error is not None:
            raise self._feed_error
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
