"""The model as an app: ASGI and WSGI middleware around it, called as their servers call it."""

from __future__ import annotations

import asyncio
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from tests.clock import read_clock
from tests.parity.memory import Fields, House, Outcome, answer_of, outcome_of

from vallum.adapters.asgi.asgi import Asgi
from vallum.adapters.reception import Reception
from vallum.adapters.requests import Requests
from vallum.adapters.wsgi.visit import Wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vallum.adapters.asgi.messages import Message, Receive, Scope, Send
    from vallum.adapters.asgi.visit import Visit
    from vallum.adapters.turns import Turns

PEER = "127.0.0.1"
PIECE_BYTES = 7


class NobodyThereError(Exception):
    """What an app whose model is out raises."""


def split(target: str) -> tuple[str, bytes, str]:
    """Return the raw path, the path decoded, and the query, as servers tell them."""
    raw, _, query = target.partition("?")
    path = raw.partition("://")[2].partition("/") if raw.startswith("http") else ("", "", raw.removeprefix("/"))
    return raw, unquote_to_bytes("/" + path[2]), query


class InAsgi:
    """The ASGI middleware, in memory."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._received: tuple[str, str, bytes] | None = None
        self.visits: set[Visit] = set()
        self.reception = Reception(house, Requests(read_clock, house.new_id))
        self.records = house.records
        self.seen = b""
        self._app = Asgi(self._serve, self)

    async def open(self) -> Reception:
        return self.reception

    async def close(self) -> None:
        pass

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be the model."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        target = scope["raw_path"].decode() + (f"?{query.decode()}" if (query := scope["query_string"]) else "")
        if target == "/dead":
            raise NobodyThereError
        self._received = (scope["method"], target, body)
        status, fields, data = answer_of(target)
        length = [] if status == 204 else [("content-length", str(len(data)))]
        headers = [(name.encode(), value.encode()) for name, value in [*fields, *length]]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for at in range(0, len(data), PIECE_BYTES):
            await send({"type": "http.response.body", "body": data[at : at + PIECE_BYTES], "more_body": True})
        await send({"type": "http.response.body"})

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Call the app for one exchange."""
        raw, path, query = split(target)
        said: list[Any] = []
        pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)] or [b""]
        self._received = None

        async def receive() -> Message:
            if not pieces:
                await asyncio.Event().wait()  # a client that stays
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Message) -> None:
            said.append(message)

        sent = [("Host", "a"), *fields]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.decode("utf-8", "replace"),
            "raw_path": raw.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent],
            "client": (PEER, 1),
        }
        with suppress(NobodyThereError):
            await self._app(scope, receive, send)
        start = said[0]
        got = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        data = b"".join(message.get("body", b"") for message in said[1:])
        self.seen = repr(got).encode() + data
        return outcome_of(self.records[-1], start["status"], got, data, self._received)


class InWsgi:
    """The WSGI middleware, in memory: the app in a thread, the house in the loop of the test."""

    def __init__(self, house: House) -> None:
        self._received: tuple[str, str, bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._reception = Reception(house, Requests(read_clock, house.new_id))
        self.records = house.records
        self.seen = b""
        self._app = Wsgi(self._serve, self)

    def open(self) -> Reception:
        return self._reception

    def wait(self, turns: Turns) -> None:
        async def take() -> None:
            await turns

        asyncio.run_coroutine_threadsafe(take(), self._loop).result()

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Be the model."""
        body = environ["wsgi.input"].read()
        target = environ["REQUEST_URI"]
        if target == "/dead":
            raise NobodyThereError
        self._received = (environ["REQUEST_METHOD"], target, body)
        status, fields, data = answer_of(target)
        length = [] if status == 204 else [("content-length", str(len(data)))]
        start_response(f"{status} So", [*fields, *length])
        return (data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES))

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Call the app for one exchange, in a thread."""
        return await asyncio.to_thread(self._ask, method, target, fields, body)

    def _ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        raw, path, query = split(target)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": query,
            "REQUEST_URI": raw + (f"?{query}" if query else ""),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": PEER,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
        }
        for name, value in [("Host", "a"), *fields]:
            key = name.upper().replace("-", "_")
            key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        said: list[Any] = []
        self._received = None

        def start_response(status: str, headers: Fields) -> Callable[[bytes], object]:
            said.extend((status, headers))
            return said.append

        answer = self._app(environ, start_response)
        data = b"".join(answer)
        answer.close()  # type: ignore[attr-defined]  # as servers do where there is one
        status, got = int(said[0][:3]), said[1]
        self.seen = repr(got).encode() + data
        return outcome_of(self.records[-1], status, got, data, self._received)
