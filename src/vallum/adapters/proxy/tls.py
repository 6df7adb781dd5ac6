"""TLS on the listening leg: a handshake first, then a connection like any other.

Rule 1: a handshake is a connection from its first byte: it counts among them, has as long as a head has, and is cut
        when there is no room.
Rule 2: the context of new connections is replaced whole; connections that are made keep theirs.
Rule 3: the peer's certificate is read once, when the connection is made.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from typing import TYPE_CHECKING, cast

from vallum.adapters.proxy.server import Connection, Listener
from vallum.codecs.certificate import issued_by, read_certificate

if TYPE_CHECKING:
    from collections.abc import Generator

    from vallum.adapters.proxy.server import Bounds, Handler
    from vallum.config.tls import Material

# What OpenSSL calls a failure -> what the metric calls it; labels are bounded.
FAILURES = {
    "CERTIFICATE_VERIFY_FAILED": "certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "HTTP_REQUEST": "plain_http",
    "UNSUPPORTED_PROTOCOL": "version",
    "NO_SHARED_CIPHER": "cipher",
}


class TlsListener(Listener):
    """A listener whose connections begin with a handshake."""

    def __init__(self, handler: Handler, bounds: Bounds, material: Material) -> None:
        """Serve requests by `handler`, with `material` until other is put in force."""
        super().__init__(handler, bounds)
        self.material = material
        self.failures: Counter[str] = Counter()

    def connect(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        return Handshake(self)

    def put_in_force(self, material: Material) -> None:
        """Make new connections with `material`, and look again at those that are made."""
        before, self.material = self.material, material
        for connection in self.connections:
            self.reconsider(connection, before)

    def reconsider(self, connection: Connection, before: Material) -> None:
        """Believe a connection's certificate no more if what it was verified with has been withdrawn."""
        certificate, now = connection.certificate, self.material
        if certificate is None or before.authorities <= now.authorities:
            return
        if not issued_by(certificate, before.authorities & now.authorities):
            connection.certificate = None
            connection.certificate_fault = "is of an authority that was withdrawn"
            connection.retired = True  # a new connection may fare better


class Handshake(asyncio.Protocol):
    """A connection that is not made yet."""

    def __init__(self, listener: TlsListener) -> None:
        """Wait for the transport."""
        self._listener = listener
        self._material = listener.material
        self._connection = Connection(listener)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._steps: Generator[asyncio.Future[None], None, asyncio.Transport | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there is no room."""
        self._transport = cast("asyncio.Transport", transport)
        listener, context = self._listener, self._material.context
        assert context is not None
        if listener.is_full:
            listener.failures["full"] += 1
            self._transport.abort()
            return
        listener.handshakes.add(self)
        # Stepped by hand: a task would begin a turn later, and by then the first bytes may have come to nobody.
        self._steps = listener.loop.start_tls(
            self._transport,
            self._connection,
            context,
            server_side=True,
            ssl_handshake_timeout=listener.bounds.head_s,
            ssl_shutdown_timeout=listener.bounds.write_s,
        ).__await__()
        next(self._steps).add_done_callback(self._end)

    def abort(self) -> None:
        """End it."""
        self._transport.abort()

    def _end(self, _: asyncio.Future[None]) -> None:
        """Go on as a connection, or count what went wrong."""
        listener, connection = self._listener, self._connection
        listener.handshakes.discard(self)
        made = None
        try:
            if self._steps is not None:
                next(self._steps)
        except StopIteration as end:
            made = end.value
        except OSError as error:  # ssl.SSLError is one, and so are a timeout and a client that left
            listener.failures[_name(error)] += 1
            self._transport.abort()
        if made is None or made.is_closing():
            return
        # The first data comes after this turn: the connection is made by then.
        connection.scheme = "https"
        connection.under = self._transport
        _read_peer(connection, made.get_extra_info("ssl_object"))
        listener.reconsider(connection, self._material)
        connection.connection_made(made)


def _read_peer(connection: Connection, tls: ssl.SSLObject) -> None:
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return
    try:
        connection.certificate = read_certificate(der)
    except ValueError as error:  # OpenSSL took what we cannot read
        connection.certificate_fault = f"cannot be read: {error}"


def _name(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return FAILURES.get(error.reason or "", "protocol")
    return "left" if isinstance(error, ConnectionResetError) else "timeout"
