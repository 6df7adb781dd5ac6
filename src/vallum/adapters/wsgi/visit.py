"""One exchange in a thread: the app runs in it, and the conversation in the event loop of the process."""

from __future__ import annotations

import asyncio
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from vallum.adapters.app import App
from vallum.adapters.conduct import Conversation
from vallum.adapters.reception import length_of, malformed
from vallum.adapters.turns import Turns
from vallum.adapters.wsgi.client import Body, Client
from vallum.adapters.wsgi.environ import read_head, write_environ
from vallum.core.errors import UpstreamError
from vallum.core.stages import has_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vallum.adapters.reception import Reception

    Environ = dict[str, Any]
    Write = Callable[[bytes], object]
    StartResponse = Callable[..., Write]
    WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Desk(Protocol):
    """The event loop of the process, from the threads of requests."""

    def open(self) -> Reception:
        """Open the house, if it is not open yet."""

    def wait(self, turns: Turns) -> None:
        """Wait for a turn that the loop takes; one that was cancelled is one that has ended."""


class Wsgi:
    """A WSGI app behind the policy."""

    def __init__(self, app: WsgiApp, desk: Desk) -> None:
        """Stand before `app`, with the house at `desk`."""
        self._app = app
        self._desk = desk

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        return Visit(self._app, environ, start_response, self._desk).serve()


class Visit:
    """One exchange: what the app is called with, and the iterable that its server is given."""

    def __init__(self, app: WsgiApp, environ: Environ, start_response: StartResponse, desk: Desk) -> None:
        """Take a request."""
        self._app = app
        self._environ = environ
        self._start_response = start_response
        self._desk = desk
        reception = desk.open()
        head = read_head(environ)
        request, fault = reception.receive(head)
        length = None if fault is not None else length_of(head.headers)
        if length is None and not environ.get("wsgi.input_terminated"):
            length = 0  # nobody says where such a body ends
            if has_body(head.headers):
                fault = fault or malformed("a body in chunks, from a server that does not undo them")
        self._body = Body(environ["wsgi.input"], length)
        self._client = Client(head.method, self._body)
        self._service = App()
        conversation = Conversation(reception.house, request, self._client, self._service)
        self._x = conversation.x
        self._turns = Turns(conversation.run(fault))
        self._iterable: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self._answer: tuple[int, list[tuple[str, str]]] | None = None  # that the app has started
        self._begun = False  # the conversation knows of it
        self._write: Write | None = None  # the server's, once the client's answer has started
        self._closed = False

    # --- the exchange

    def serve(self) -> Iterable[bytes]:
        """Go on until the client's answer begins; return what the server is to iterate over."""
        try:
            self._go_on()
            if self._client.wanted is not None:
                self._client.given = self._body.read_whole(self._client.wanted)
                self._go_on()
            if not self._turns.ended:
                self._call()
                while self._client.head is None and not self._turns.ended:
                    self._step()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _call(self) -> None:
        asked = self._service.asked
        assert asked is not None
        body = asked.body if isinstance(asked.body, bytes) else self._body
        try:
            self._iterable = self._app(write_environ(self._environ, asked, self._x, body), self._take_head)
            self._pieces = iter(self._iterable)
        except Exception as error:  # noqa: BLE001  what an app raises is an answer that failed
            self._fail(error)

    def _step(self) -> None:
        """Take the next piece of the app, and go on with it."""
        try:
            piece = next(self._pieces, None)
        except Exception as error:  # noqa: BLE001  the same
            self._fail(error)
            return
        if self._body.error is not None:
            self._go_on(self._body.error)
        elif piece is None:
            self._say(b"", last=True)
        elif piece:
            self._say(piece, last=False)

    def _fail(self, error: Exception) -> None:
        """Go on with an app that raised; its server's log has why."""
        if self._body.error is not None:
            self._go_on(self._body.error)
            return
        if not self._turns.ended:
            traceback.print_exception(error, file=self._environ["wsgi.errors"])
        self._go_on(UpstreamError(f"the app raised {type(error).__name__}"))

    def _say(self, data: bytes, *, last: bool) -> None:
        """Hand what the app says to the conversation: its head first."""
        if not self._begun:
            if self._answer is None:
                self._go_on(UpstreamError("the app did not start its answer"))
                return
            self._begun = True
            try:
                self._service.begin(*self._answer)
            except UpstreamError as error:
                self._go_on(error)
                return
            self._go_on()
        if not self._turns.ended:
            self._service.add(data, last=last)
            self._go_on()

    def _go_on(self, error: BaseException | None = None) -> None:
        if not self._turns.ended:
            self._desk.wait(self._turns if error is None else self._turns.throw(error))

    # --- what the app is given

    def _take_head(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Write:
        """Be `start_response`."""
        if exc_info:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no circle of references
        elif self._answer is not None:
            raise AssertionError("start_response was called twice")
        self._answer = int(status[:3]), [(name.lower(), value) for name, value in headers]
        return self._take_piece

    def _take_piece(self, data: bytes) -> None:
        """Be `write`, as old apps have it: send now what may leave."""
        if data:
            self._say(data, last=False)
        if self._client.head is not None:
            self._start()
            assert self._write is not None
            for piece in self._take_out():
                self._write(piece)

    # --- what the server is given

    def _start(self) -> None:
        if self._write is None:
            assert self._client.head is not None  # every conversation ends in an answer
            status, fields = self._client.head
            self._write = self._start_response(f"{status} {PHRASES.get(status, 'Unknown')}", fields)

    def _take_out(self) -> list[bytes]:
        out, self._client.out = self._client.out, []
        return out

    def __iter__(self) -> Visit:
        """Return the iterator: itself."""
        return self

    def __next__(self) -> bytes:
        """Return what may leave of the app's next pieces; raises OSError for an answer that may not go on."""
        while not self._client.out:
            if self._turns.ended:
                if not self._client.whole:
                    raise OSError("the answer was cut off")  # so that the server does not end it as if it were whole
                raise StopIteration
            self._step()
        return b"".join(self._take_out())

    def close(self) -> None:
        """Close the app's iterable, and end an exchange that was left."""
        if self._closed:
            return
        self._closed = True
        try:
            close = getattr(self._iterable, "close", None)
            if close is not None:
                close()
        finally:
            if not self._turns.ended:
                self._go_on(asyncio.CancelledError())
