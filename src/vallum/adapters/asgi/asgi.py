"""An ASGI app behind the policy: its requests, its life, and the web sockets that it does not get."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vallum.adapters.app import App
from vallum.adapters.asgi.messages import read_head, write_fields
from vallum.adapters.asgi.visit import Visit
from vallum.adapters.conduct import Conversation
from vallum.core.decision import Deny, Reason
from vallum.core.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vallum.adapters.asgi.messages import AsgiApp, Message, Receive, Scope, Send
    from vallum.adapters.asgi.visit import Doors
    from vallum.adapters.reception import Reception

log = logging.getLogger("vallum")

POLICY_VIOLATION = 1008  # RFC 6455 7.4.1
SOCKET_ANSWER = "websocket.http.response"  # the extension by which a handshake is answered like a request


class Asgi:
    """An ASGI app behind the policy."""

    def __init__(self, app: AsgiApp, doors: Doors) -> None:
        """Stand before `app`; open `doors` with the app's life, or with the first request."""
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope; raises ValueError for one of a kind that no policy speaks of."""
        kind = scope["type"]
        if kind == "http":
            reception = self._doors.reception or await self._doors.open()
            await Visit(self._app, scope, receive, send, reception).serve(self._doors.visits)
        elif kind == "lifespan":
            await Life(self._app, self._doors).live(scope, receive, send)
        elif kind == "websocket":
            reception = self._doors.reception or await self._doors.open()
            await refuse_socket(scope, receive, send, reception)
        else:
            raise ValueError(f"the policy does not speak of {kind}")


class Life:
    """The lifespan of an app, in which the house is open: from before its startup until after its shutdown."""

    def __init__(self, app: AsgiApp, doors: Doors) -> None:
        """Follow the life of `app`."""
        self._app = app
        self._doors = doors
        self._heard = self._said = False

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Live with the app, or alone where the app knows nothing of lifespans."""

        async def hear() -> Message:
            message = await receive()
            self._heard = True
            return message

        async def say(message: Message) -> None:
            self._said = True
            if message["type"] != "lifespan.startup.complete":
                await self._doors.close()
            await send(message)

        try:
            await self._doors.open()
        except (DependencyError, OSError) as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"Vallum: {error}"})
            return
        try:
            await self._app(scope, hear, say)
        except Exception:
            if self._said:
                await self._doors.close()
                raise
        if not self._said:
            await self._live_alone(receive, send)

    async def _live_alone(self, receive: Receive, send: Send) -> None:
        if not self._heard:
            await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._doors.close()
        await send({"type": "lifespan.shutdown.complete"})


async def refuse_socket(scope: Scope, receive: Receive, send: Send, reception: Reception) -> None:
    """Refuse a web socket's handshake, and record it."""
    await receive()
    request, fault = reception.receive(read_head(scope))
    caller = SocketCaller(send, answers=SOCKET_ANSWER in (scope.get("extensions") or {}))
    refusal = fault or Deny(Reason.REQUEST_REJECTED, "websocket", "no route takes web sockets")
    await Conversation(reception.house, request, caller, App()).run(refusal)


class SocketCaller:
    """Who asks for a web socket, and is told no."""

    received_bytes = 0

    def __init__(self, send: Send, *, answers: bool) -> None:
        """Answer like a request where the server can."""
        self._send = send
        self._answers = answers
        self.sent_bytes = 0

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        """Refuse."""
        if not self._answers:
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "no route"})
            return
        await self._send({"type": f"{SOCKET_ANSWER}.start", "status": status, "headers": write_fields(fields)})
        self.sent_bytes = len(body)
        await self._send({"type": f"{SOCKET_ANSWER}.body", "body": body})

    # What no refusal needs.

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        """Read nothing."""
        return b""

    def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Read nothing."""
        raise NotImplementedError

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send nothing."""

    async def send(self, data: bytes) -> None:
        """Send nothing."""

    async def end(self) -> None:
        """Send nothing."""
