"""The listening leg: bytes from a client become requests, strictly and within bounds.

Rule 1: parsing is llhttp's strict mode, and stricter: one Host, HTTP/1.0 or 1.1, no chunks in 1.0, no body with an
        upgrade.  A request that cannot be parsed is a request with a fault; it gets its refusal, and the connection
        ends.
Rule 2: every bound is checked before work is done: head size, field count, pipelined requests, time to the head, time
        to the body, time to read an answer.
Rule 3: one request of a connection is in hand at a time; a client that leaves cancels what is done for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import httptools

from vallum.adapters.proxy.incoming import Incoming
from vallum.core.decision import Reason
from vallum.core.exchange import Headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vallum.core.exchange import Certificate

    Handler = Callable[[Incoming], Awaitable[None]]

HIGH_WATER_BYTES = 262_144
LINGER_S = 2.0
LINGER_MAX_BYTES = 4_194_304
# Chunk framing may cost this much beside the body itself: tiny chunks are a way to make work.
FRAMING_MAX_BYTES = 65_536


class Bounds(NamedTuple):
    """What a client may take of the listener, before any policy is asked."""

    head_bytes: int = 32_768
    target_bytes: int = 8_192
    fields: int = 100
    pipelined: int = 16
    head_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 75.0
    write_s: float = 60.0
    connections: int = 10_000


class Hurried(Protocol):
    """A connection that is not made yet: its handshake is under way."""

    def abort(self) -> None:
        """End it."""


class Listener:
    """What the connections of one listening socket share: the handler, the bounds, and the list of themselves."""

    def __init__(self, handler: Handler, bounds: Bounds = Bounds()) -> None:  # noqa: B008  an immutable tuple
        """Serve requests by `handler`."""
        self.handler = handler
        self.bounds = bounds
        self.connections: set[Connection] = set()
        self.draining = False
        self.changed = asyncio.Event()  # a connection has ended
        self.handshakes: set[Hurried] = set()  # connections that are not made yet
        self.loop = asyncio.get_running_loop()

    def connect(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return Connection(self)

    @property
    def is_full(self) -> bool:
        """Say whether there is no room for one more connection."""
        held = len(self.connections) + len(self.handshakes)
        return self.draining or held >= self.bounds.connections

    def sweep(self) -> None:
        """End what has taken too long.  Call about twice a second."""
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check_time(now)

    async def drain(self, patience_s: float) -> None:
        """Let the requests in hand end, for at most `patience_s`, and close."""
        self.draining = True
        for handshake in list(self.handshakes):
            handshake.abort()
        for connection in list(self.connections):
            connection.close_if_idle()
        try:
            async with asyncio.timeout(patience_s):
                while self.connections:  # an answer is out only when the client has read it and the connection ends
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, listener: Listener) -> None:
        """Wait for the transport."""
        self.listener = listener
        self.bounds = listener.bounds
        self.loop = listener.loop
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer = ""
        self.scheme = "http"
        self.certificate: Certificate | None = None  # the peer's, verified in the handshake
        self.certificate_fault = ""  # why one that came is not believed
        self.under: asyncio.Transport | None = None  # what TLS runs on
        self.retired = False  # to end with its next answer
        self.task: asyncio.Task[None] | None = None
        self._parser: Any = None
        self._arriving: Incoming | None = None  # its head or body is not complete
        self._queue: deque[Incoming] = deque()
        self._current: Incoming | None = None
        self._url = b""
        self._fields: list[tuple[str, str]] = []
        self._head_bytes = 0  # of the head that is arriving, read but not yet parsed whole
        self._fields_bytes = 0
        self._since = 0.0  # when the present wait began
        self._unread_since: float | None = None  # when the client stopped reading
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._closing = False
        self._lingered = 0

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        self.transport = cast("asyncio.Transport", transport)
        self.peer = (transport.get_extra_info("peername") or ("",))[0]
        self._since = self.loop.time()
        if self.listener.is_full:
            self.transport.abort()
            return
        self.listener.connections.add(self)
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what is done for a client that left."""
        self.listener.connections.discard(self)
        self.listener.changed.set()
        self._closing = True
        self._can_write.set()
        self._queue.clear()
        if self.task is not None:
            self.task.cancel()

    def eof_received(self) -> bool:
        """Take a closed sending side for a client that left, as other proxies do: nothing more is done for it."""
        return False

    def pause_writing(self) -> None:
        """Hold whoever writes until the client reads."""
        self._can_write.clear()
        self._unread_since = self.loop.time()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._can_write.set()
        self._unread_since = None

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if self._closing:
            self._linger(len(data))
            return
        arriving = self._arriving
        if arriving is None:
            self._head_bytes += len(data)
            if self._head_bytes == len(data):
                self._since = self.loop.time()
        else:
            arriving.wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._decline_upgrade()
        except httptools.HttpParserCallbackError as error:
            fault = error.__context__
            if not isinstance(fault, FaultError):
                raise
            self._fail(fault.reason, str(fault))
        except httptools.HttpParserError as error:
            self._fail(Reason.MALFORMED_REQUEST, str(error))
        else:
            self._check_arriving()

    # --- the parser's events

    def on_url(self, url: bytes) -> None:
        """Collect the request target."""
        self._url += url
        if len(self._url) > self.bounds.target_bytes:
            raise FaultError(Reason.URI_TOO_LONG, f"a target over {self.bounds.target_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field, or drop a trailer's: nothing reads those."""
        self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        self._fields_bytes += len(name) + len(value) + 4
        if len(self._fields) > self.bounds.fields or self._fields_bytes > self.bounds.head_bytes:
            bounds = f"{self.bounds.fields} header fields or {self.bounds.head_bytes} bytes of them"
            raise FaultError(Reason.HEADERS_TOO_LARGE, f"over {bounds}")

    def on_headers_complete(self) -> None:
        """Put a request in the queue; its body may still be on the way."""
        parser = self._parser
        method, target = parser.get_method().decode("latin-1"), self._url.decode("latin-1")
        request = Incoming(self, method, target, Headers(self._fields))
        request.keep_alive = parser.should_keep_alive() and not parser.should_upgrade() and not self.retired
        request.version = parser.get_http_version()
        self._url, self._fields, self._head_bytes, self._fields_bytes = b"", [], 0, 0
        if len(self._queue) >= self.bounds.pipelined:
            raise FaultError(Reason.MALFORMED_REQUEST, f"over {self.bounds.pipelined} requests without waiting")
        fault = request.find_fault()
        if parser.should_upgrade() and request.announces_body():  # llhttp would leave the body unread
            fault = "an upgrade with a body"
        if fault is not None:
            raise FaultError(Reason.MALFORMED_REQUEST, fault)
        self._arriving = request
        self._since = self.loop.time()
        self._queue.append(request)
        self._next()

    def on_body(self, data: bytes) -> None:
        """Hand a piece of the body to its request."""
        if self._arriving is not None:
            self._arriving.feed(data)

    def on_message_complete(self) -> None:
        """Tell the request that its body is whole."""
        if self._arriving is not None:
            self._arriving.finish()
            self._arriving = None
        self._fields, self._fields_bytes = [], 0
        self._since = self.loop.time()

    # --- faults

    def _check_arriving(self) -> None:
        if self._head_bytes > self.bounds.head_bytes:
            self._fail(Reason.HEADERS_TOO_LARGE, f"a head over {self.bounds.head_bytes} bytes")
        elif self._arriving is not None:
            if self._arriving.wire_bytes > FRAMING_MAX_BYTES + 8 * self._arriving.body_bytes:
                self._fail(Reason.MALFORMED_REQUEST, "more framing than body")
            elif self._arriving.held_bytes > HIGH_WATER_BYTES:
                self.transport.pause_reading()
        elif len(self._queue) > 1:
            self.transport.pause_reading()

    def _decline_upgrade(self) -> None:
        # An upgrade is declined by answering as if it had not been asked for (RFC 9110 7.8).  llhttp reads no further,
        # so the connection ends with that answer.
        self._closing = True

    def _fail(self, reason: Reason, detail: str) -> None:
        """Give what cannot be read its refusal, after the answers before it, and read no more."""
        self._closing = True
        if self._arriving is not None:
            self._arriving.fail(reason, detail)
            self._arriving = None
            return
        request = Incoming(self, "", "", Headers(self._fields))
        request.fail(reason, detail)
        self._queue.append(request)
        self._next()

    def check_time(self, now: float) -> None:
        """End a wait that has lasted too long."""
        waited = now - self._since
        if self._unread_since is not None and now - self._unread_since > self.bounds.write_s:
            self.transport.abort()
        elif self.transport.is_closing():
            self._check_goodbye(waited)
        elif self._closing:
            if self.task is None and waited > LINGER_S:
                self._close()
        elif self._arriving is not None:
            if waited > self.bounds.body_s:
                self._fail(Reason.REQUEST_TIMEOUT, f"the body took over {self.bounds.body_s:g} s")
        elif self._head_bytes:
            if waited > self.bounds.head_s:
                self._fail(Reason.REQUEST_TIMEOUT, f"the head took over {self.bounds.head_s:g} s")
        elif self._current is None and waited > self.bounds.idle_s:
            self._close()

    def _check_goodbye(self, waited: float) -> None:
        # All is sent, but a TLS client that does not say goodbye in its turn would hold the connection.
        unsent = self.transport.get_write_buffer_size()
        if self.under is not None:
            unsent += self.under.get_write_buffer_size()
        if waited > LINGER_S and not unsent:
            self.transport.abort()

    # --- one request after another

    def _next(self) -> None:
        if self.task is None and self._queue:
            self._current = self._queue.popleft()
            self.task = self.loop.create_task(self._serve(self._current))

    async def _serve(self, request: Incoming) -> None:
        try:
            await self.listener.handler(request)
        finally:
            self.task = None
            self._current = None
            self._since = self.loop.time()
            self._after(request)

    def _after(self, request: Incoming) -> None:
        """Go on with the connection, or end it without losing the answer."""
        if self.transport.is_closing():
            return
        if not request.answered:
            self.transport.abort()
        elif request.keep_alive and request.complete and not self.listener.draining:
            if self._queue:
                self._next()
            elif self._closing:
                self._close()
            else:
                self.transport.resume_reading()
        elif request.complete:
            self._close()
        else:
            # The client may still be sending: closing now would reset the connection under the answer.
            self._closing = True
            self.transport.resume_reading()

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > LINGER_MAX_BYTES:
            self.transport.abort()

    def close_if_idle(self) -> None:
        """Close if no request is in hand."""
        if self.task is None:
            self._close()

    def _close(self) -> None:
        """Send what is unsent, and end."""
        self._since = self.loop.time()
        self.transport.close()

    def abort(self) -> None:
        """End at once."""
        self.transport.abort()

    # --- for the request in hand

    def read_on(self) -> None:
        """Read again after a pause."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while the client does not read."""
        if not self._can_write.is_set():
            await self._can_write.wait()
        self.transport.write(data)


class FaultError(Exception):
    """Raised inside a parser callback: the request breaks a bound."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Carry the refusal's reason."""
        super().__init__(detail)
        self.reason = reason
