"""One HTTP exchange: the app runs in its server's task, and the conversation goes on with what the app says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from vallum.adapters.app import App
from vallum.adapters.asgi.client import Client, Gone
from vallum.adapters.asgi.messages import read_fields, read_head, write_fields
from vallum.adapters.conduct import BodyError, Conversation
from vallum.adapters.reception import length_of, strip_mount
from vallum.adapters.turns import Turns
from vallum.core.decision import Allow
from vallum.core.errors import UpstreamError, UpstreamTimeoutError
from vallum.core.stages import has_body
from vallum.core.target import SAFE

if TYPE_CHECKING:
    from vallum.adapters.app import Asked
    from vallum.adapters.asgi.messages import AsgiApp, Message, Receive, Scope, Send
    from vallum.adapters.reception import Reception

KEY = "vallum"  # of the scope, and of its state
# Messages that carry a body past everybody who could read it.  No scope of ours offers them.
UNREAD = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class Doors(Protocol):
    """What opens the house in the loop that serves, and closes it."""

    @property
    def reception(self) -> Reception | None:
        """The reception, if it is open in this loop."""

    async def open(self) -> Reception:
        """Open it, if it is not open yet."""

    async def close(self) -> None:
        """Close it, and the house."""

    @property
    def visits(self) -> set[Visit]:
        """The exchanges in hand, which are looked at with every beat."""


class Visit:
    """What the app of one exchange is given: a scope, a receive and a send."""

    def __init__(self, app: AsgiApp, scope: Scope, receive: Receive, send: Send, reception: Reception) -> None:
        """Take a scope of type http."""
        self._app = app
        self._scope = scope
        head = read_head(scope)
        request, fault = reception.receive(head)
        declared = None if fault is not None else length_of(head.headers)
        if declared is None and head.version in {"1.0", "1.1"} and not has_body(head.headers):
            declared = 0
        self._client = Client(head.method, receive, send, declared)
        self._service = App()
        conversation = Conversation(reception.house, request, self._client, self._service)
        self._x = conversation.x
        self._turns = Turns(conversation.run(fault))
        self._clock = reception.house.clock
        self._task: asyncio.Task[Any] | None = None  # that the app runs in, while it does
        self._since: float | None = None  # when the app was last heard of; None: the silence is not its own
        self._given = False  # the app has its body
        self._stopped = False  # the app was told to stop
        self._cancelled = False  # its task was
        self._turn: asyncio.Future[None] | None = None  # of those who want to speak while somebody does
        self._leaving: asyncio.Task[None] | None = None  # waits for the client to leave
        self._ending: asyncio.Task[None] | None = None  # ends the exchange from outside

    # --- from the head to the end of the app

    async def serve(self, visits: set[Visit]) -> None:
        """Let the conversation begin, and call the app where it is to be asked; be found in `visits` meanwhile."""
        try:
            await self._turns
        except Gone:
            return
        asked = self._service.asked
        if self._turns.ended or asked is None:
            return
        visits.add(self)
        self._since = self._clock()
        try:
            await self._call(asked)
        finally:
            visits.discard(self)
            if self._leaving is not None:
                self._leaving.cancel()

    async def _call(self, asked: Asked) -> None:
        task = self._task = asyncio.current_task()
        try:
            await self._app(self._app_scope(asked), self.receive, self.send)
        except asyncio.CancelledError as cancelled:
            self._task = None
            await self._finish(cancelled)
            if not self._cancelled:
                raise
        except Exception as error:
            self._task = None
            await self._finish(UpstreamError(f"the app raised {type(error).__name__}"))
            if not self._stopped:  # else it met what it was told
                raise
        else:
            self._task = None
            await self._finish(UpstreamError("the app ended before its answer did"))
        if self._cancelled and task is not None and task.uncancel() > 0:  # somebody else wants it to end, too
            raise asyncio.CancelledError

    async def _finish(self, error: BaseException) -> None:
        """End the conversation, if it has not ended by itself."""
        if self._ending is not None:
            await asyncio.wait([self._ending])
        if not self._turns.ended:
            await self._go_on(error)

    async def _go_on(self, error: BaseException | None = None) -> None:
        """Resume the conversation, in the turn of whoever has something to say."""
        turns = self._turns
        while turns.busy:
            if self._turn is None:
                self._turn = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._turn)
        if turns.ended:
            return
        self._since = None
        try:
            await (turns if error is None else turns.throw(error))
        except Gone:
            self._stopped = True
        except asyncio.CancelledError:
            if not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._since = self._clock()
            if self._turn is not None:
                self._turn.set_result(None)
                self._turn = None

    # --- what the app is given

    def _app_scope(self, asked: Asked) -> Scope:
        request, whole = self._x.request, self._scope["path"]
        assert request.path is not None
        root = (self._scope.get("root_path") or "").rstrip("/")
        mount = root if strip_mount(whole, root) != whole else ""
        path, _, query = asked.target.partition("?")
        host = request.headers.get("host")
        headers = write_fields(asked.fields)
        if host is not None:
            headers.insert(0, (b"host", host.encode("latin-1")))
        scope = {
            **self._scope,
            "root_path": root,  # without a last slash, which frameworks do not read alike
            "path": mount + request.path,
            "raw_path": (quote(mount, safe=SAFE) + path).encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": headers,
            "extensions": {},
            KEY: self._x.principal,
        }
        client = scope.get("client")
        if client and client[0] != request.client:
            scope["client"] = (request.client, 0)
        if "state" in scope:
            scope["state"] = {**scope["state"], KEY: self._x.principal}
        return scope

    async def receive(self) -> Message:
        """Give the app the next message: its body, and then that the client has left."""
        asked = self._service.asked
        assert asked is not None
        if not self._stopped and not self._given:
            if not isinstance(asked.body, bytes):
                return await self._pass_piece(asked)
            self._given = True
            return {"type": "http.request", "body": asked.body, "more_body": False}
        if not self._stopped and not self._turns.ended:
            await asyncio.wait([self._watch_leaving()])
        return {"type": "http.disconnect"}

    async def _pass_piece(self, asked: Asked) -> Message:
        """Pass a piece of a body that nobody reads; over its bound, the exchange is over."""
        assert not isinstance(asked.body, bytes)
        self._since = None  # the caller sets the pace
        try:
            piece = await anext(asked.body, b"")
        except (BodyError, Gone) as error:
            self._stopped = True
            await self._go_on(error)
            return {"type": "http.disconnect"}
        finally:
            self._since = self._clock()
        self._given = self._client.complete
        return {"type": "http.request", "body": piece, "more_body": not self._given}

    async def send(self, message: Message) -> None:
        """Take what the app says, and pass on what may pass; raise OSError where nothing may any more."""
        kind, service = message["type"], self._service
        if self._stopped or self._turns.ended:
            self._stop(message)
            return
        failure: UpstreamError | None = None
        try:
            if kind == "http.response.body":
                body, more = message.get("body", b""), message.get("more_body", False)
                service.add(body, last=not more)
                if not body and more:
                    return
            elif kind == "http.response.start":
                service.begin(message["status"], read_fields(message.get("headers", ())))
            elif kind in UNREAD:
                raise UpstreamError(f"{kind}: a body that nobody can read")
            else:
                return  # hints and trailers: nothing reads those
        except UpstreamError as error:
            failure = error  # compiled, the conversation does not meet an error that is being met already
        await self._go_on(failure)
        if self._turns.ended:
            self._stop(message)

    def _stop(self, message: Message) -> None:
        """Let the app go on where its answer is out, or it has said all; else make it stop."""
        out = not self._stopped and isinstance(self._x.decision, Allow)
        if not out:
            self._stopped = True
            if message.get("more_body", False):
                raise OSError("the exchange is over")

    # --- ends that come from outside

    def check_time(self, now: float) -> None:
        """Look whether the client has left or the app is overdue.  Call a few times a second."""
        asked = self._service.asked
        if self._turns.ended or self._ending is not None or asked is None:
            return
        if self._client.complete:
            self._watch_leaving()
        if self._since is not None and now - self._since > asked.timeout_s:
            self._end_by(UpstreamTimeoutError(f"silent for over {asked.timeout_s:g} s"))

    def _watch_leaving(self) -> asyncio.Task[None]:
        """Wait for the client to leave, in a task that all share who wait for it."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._wait_gone())
        return self._leaving

    async def _wait_gone(self) -> None:
        await self._client.wait_gone()
        if not self._turns.ended:
            self._end_by(Gone())

    def _end_by(self, error: BaseException) -> None:
        if self._ending is None:
            self._stopped = True
            self._ending = asyncio.get_running_loop().create_task(self._end(error))

    async def _end(self, error: BaseException) -> None:
        """Answer what there is to answer; after that the app has nothing to do here."""
        await self._go_on(error)
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()
