"""One connection to a Redis or Valkey server.

Rule 1: all commands of one turn of the event loop leave in one write.
Rule 2: replies belong to commands in order.  Who stops waiting leaves their place in the line, so that nobody is ever
        handed another's reply.
Rule 3: a server that is silent for `timeout_s` is taken for hung.  The link is lost with all that wait on it, and what
        it says later is not heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import hiredis

from vallum.core.errors import DependencyError, StoreSilentError

if TYPE_CHECKING:
    import ssl

    from vallum.stores.redis.address import Address, Endpoint

WAITING_MAX = 20_000
REPLY_MAX_BYTES = 4_194_304
CONNECT_S = 1.0
# After a pause of our own process the timer may come due before the replies that have arrived are read.
GRACE_S = 0.005

Reply = Any  # bytes, int, None, lists of them, or a hiredis.ReplyError


class LinkLostError(DependencyError):
    """The connection has ended, or never began."""


class SilentError(LinkLostError, StoreSilentError):
    """The server is there and does not answer."""


class LoginError(DependencyError):
    """The server answers, and does not let us in or is not what the address says: waiting does not mend it."""


class Link(asyncio.Protocol):
    """A connection, and who waits for its replies."""

    def __init__(self, name: str, timeout_s: float) -> None:
        """Call the server `name` in errors."""
        self.name = name
        self.lost: LinkLostError | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timeout_s = 0.0
        self.be_patient(timeout_s)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._outgoing: list[bytes] = []
        self._suspected: asyncio.Future[Reply] | None = None
        self._unparsed_bytes = 0

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        self.lose(LinkLostError(f"{self.name} closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Hand each reply to whoever is next in line."""
        if self.lost is not None:
            return
        reader, waiting = self._reader, self._waiting
        self._unparsed_bytes += len(data)
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self._unparsed_bytes = 0
                _, future = waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError:
            self.lose(LinkLostError(f"{self.name} does not speak Redis' protocol: is that the right port?"))
        except IndexError:
            self.lose(LinkLostError(f"{self.name} answered what it was not asked"))
        if self._unparsed_bytes > REPLY_MAX_BYTES:
            self.lose(LinkLostError(f"{self.name} sent a reply over {REPLY_MAX_BYTES} bytes"))

    def lose(self, error: LinkLostError) -> None:
        """Let go of the connection and fail all who wait on it."""
        if self.lost is not None:
            return
        self.lost = error
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever has left will not look at it
        self._waiting.clear()
        self._outgoing.clear()

    # --- commands

    def be_patient(self, timeout_s: float) -> None:
        """Take the server for hung after `timeout_s` from now on.  Call while nobody waits."""
        self._timeout_s = max(0.001, timeout_s - GRACE_S)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a packed command; the reply may be a hiredis.ReplyError.  Raise LinkLostError."""
        if self.lost is not None:
            raise self.lost
        waiting, outgoing, loop = self._waiting, self._outgoing, self._loop
        if len(waiting) >= WAITING_MAX:
            raise SilentError(f"over {WAITING_MAX} commands wait for {self.name}")
        future: asyncio.Future[Reply] = loop.create_future()
        waiting.append((loop.time(), future))
        outgoing.append(command)
        if len(outgoing) == 1:
            loop.call_soon(self._flush)
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s, self._check)
        return future

    def _flush(self) -> None:
        if self._outgoing:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def _check(self) -> None:
        """See whether who has waited longest has waited too long: one timer for all of them."""
        self._timer = None
        if not self._waiting:
            return
        since, future = self._waiting[0]
        left_s = since + self._timeout_s - self._loop.time()
        if left_s <= 0 and future is self._suspected:
            self.lose(SilentError(f"{self.name} does not answer"))
            return
        if left_s <= 0:
            self._suspected, left_s = future, GRACE_S
        self._timer = self._loop.call_later(left_s, self._check)


def pack(*words: str | int) -> bytes:
    """Write a command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(cast("Any", words))
    return packed


async def connect(endpoint: Endpoint, address: Address, context: ssl.SSLContext | None, *, login: bool = True) -> Link:
    """Open a link and be let in.  Raise LinkLostError, or LoginError where trying again will not help."""
    name = f"the counter store at {endpoint}"
    loop = asyncio.get_running_loop()
    link = Link(name, max(address.timeout_s, CONNECT_S))
    try:
        async with asyncio.timeout(CONNECT_S):
            if endpoint.port:
                await loop.create_connection(lambda: link, endpoint.host, endpoint.port, ssl=context)
            else:
                await loop.create_unix_connection(lambda: link, endpoint.host)
            if login:
                await _log_in(link, address)
    except TimeoutError:
        link.lose(SilentError(f"{name} does not answer"))
        raise SilentError(f"{name} does not answer") from None
    except OSError as error:  # refused, unreachable, unknown host, or a certificate that does not hold
        link.lose(LinkLostError(name))
        raise LinkLostError(f"{name} cannot be reached: {error.strerror or type(error).__name__}") from None
    except BaseException:
        link.lose(LinkLostError(name))
        raise
    link.be_patient(address.timeout_s)  # from here on requests wait
    return link


async def _log_in(link: Link, address: Address) -> None:
    if address.password:
        words = ("AUTH", *([address.user] if address.user else []), address.password)
        await _greet(link, words, "does not take the user and password it was given")
    if address.db:
        await _greet(link, ("SELECT", str(address.db)), f"has no database {address.db}")
    await _greet(link, ("PING",), "answers a PING with an error")


async def _greet(link: Link, words: tuple[str, ...], trouble: str) -> None:
    reply = await link.send(pack(*words))
    if isinstance(reply, hiredis.ReplyError):
        said = str(reply)
        if said.startswith(("NOAUTH", "WRONGPASS", "NOPERM", "ERR", "DENIED")):
            if said.startswith("NOAUTH"):
                trouble = "asks for a password: write it as redis://:password@host"
            raise LoginError(f"{link.name} {trouble}")
        raise LinkLostError(f"{link.name} is not ready: {said.partition(' ')[0]}")  # LOADING, MASTERDOWN, ...
