"""The same exchange twice: through the conversation alone, and through sockets.

`inner` hands a request to `conduct` with a caller and a service that are lists in memory; `outer` sends it to a running
gateway over TCP.  Both stand before the same made-up model and hold the same policy and keys.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
import uvloop
from tests.parity.envoy_filter import Filter, Reply

from vallum.adapters.client_certificate import ClientCertificates
from vallum.adapters.conduct import BodyError, conduct
from vallum.adapters.driver import Driver
from vallum.adapters.envoy.facts import Facts
from vallum.adapters.envoy.processing import Processing
from vallum.adapters.gates import Gates
from vallum.adapters.proxy.server import Listener
from vallum.adapters.requestids import RequestIds
from vallum.cli.keys import issue
from vallum.config.compile import load_policy
from vallum.config.source import Source, parse_source
from vallum.core import record
from vallum.core.address import parse_networks
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.core.decision import Deny, Reason
from vallum.core.engine import Engine
from vallum.core.errors import UpstreamError
from vallum.core.exchange import Headers, Request, ResponseHead
from vallum.core.policy import Policy
from vallum.core.target import parse_target
from vallum.gateway import Gateway
from vallum.stores.memory import MemoryCounters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from vallum.adapters.proxy.incoming import Incoming
    from vallum.config.model import Config
    from vallum.core.exchange import Exchange
    from vallum.core.policy import Upstream
    from vallum.core.record import Timing
    from vallum.extraction.watchers import Watchers
    from vallum.stores.registry import SqlRegistry

PATIENCE_S = 10.0
Fields = list[tuple[str, str]]
JSON = ("content-type", "application/json")
ORIGIN = "http://a"
# Fields of the connection, which only one of the two has.
OF_THE_WIRE = {"connection", "content-length", "transfer-encoding"}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the loop that `vallum serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


def read_clock() -> float:
    return time.time()  # noqa: TID251  the gateway's own clock, which keys and records are stamped by


class Outcome(NamedTuple):
    """All that two ways of asking must agree on."""

    decision: str
    reason: str | None
    control: str | None
    status: int | None
    fields: tuple[str, ...]
    body: bytes
    received: tuple[str, str, bytes] | None  # what the model was asked


# --- the model


TALK = [("server", "canary"), ("x-internal", "canary")]
PREDICTION = {"prediction": "spam", "confidence": 0.93, "logits": [1, 2], "model_version": "7"}
EVENT = b"data: " + json.dumps(PREDICTION).encode() + b"\n\n"
ANSWERS: dict[str, tuple[int, Fields, bytes]] = {
    "error": (500, [JSON], b'{"traceback": "canary"}'),
    "moved": (302, [("location", "http://canary/")], b""),
    "gone": (404, [JSON], b'{"detail": "canary"}'),
    "invalid": (422, [JSON], b'{"detail": "canary"}'),
    "busy": (429, [JSON], b'{"detail": "canary"}'),
    "text": (200, [("content-type", "text/plain")], b"canary"),
    "broken": (200, [JSON], b'{"prediction": "canary'),
    "large": (200, [JSON], b'["' + b"canary" * 1000 + b'"]'),
    "empty": (204, [], b""),
    "stream": (200, [("content-type", "text/event-stream")], EVENT * 2 + b"data: [DONE]\n\n"),
}


# Whole answers, status line and all, that only a socket can carry.
RAW: dict[str, bytes] = {}


def answer_of(target: str) -> tuple[int, Fields, bytes]:
    """Answer as the model does: the last word of the path says how."""
    word = target.partition("?")[0].rpartition("/")[2]
    status, fields, body = ANSWERS.get(word, (200, [JSON], json.dumps(PREDICTION).encode()))
    return status, [*fields, *TALK], body


class Model:
    """The model behind a socket."""

    def __init__(self) -> None:
        self.received: tuple[str, str, bytes] | None = None

    async def serve(self, incoming: Incoming) -> None:
        body = await incoming.read_body(1_000_000)
        assert isinstance(body, bytes)
        self.received = (incoming.method, incoming.target, body)
        raw = RAW.get(incoming.target.rpartition("/")[2])
        if raw is not None:
            await incoming._connection.write(raw)
            incoming.answered = True
            return
        await incoming.answer(*answer_of(incoming.target))


class Answer:
    """The model's answer, in memory."""

    def __init__(self, status: int, fields: Fields, body: bytes) -> None:
        length = [] if status == 204 else [("content-length", str(len(body)))]
        self.head = ResponseHead(status, Headers([*fields, *length]))
        self._pieces = [body[at : at + 7] for at in range(0, len(body), 7)]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def release(self) -> None:
        pass


class Service:
    """The model in memory."""

    def __init__(self) -> None:
        self.received: tuple[str, str, bytes] | None = None

    async def call(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> Answer:
        if upstream.name == "nobody":
            raise UpstreamError("no connection")
        pieces = [body or b""] if body is None or isinstance(body, bytes) else [piece async for piece in body]
        self.received = (method, target, b"".join(pieces))
        return Answer(*answer_of(target))


# --- the caller in memory


class Caller:
    """Who asks, in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.status: int | None = None
        self.fields: Fields = []
        self.body = b""
        self.received_bytes = len(body)
        self.sent_bytes = 0

    async def read_body(self, max_bytes: int) -> bytes | Deny:
        if len(self._body) > max_bytes:
            return Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes")
        return self._body

    async def read_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 5):
            if at > max_bytes:
                raise BodyError(Deny(Reason.BODY_TOO_LARGE, "max_bytes", f"over {max_bytes} bytes"))
            yield self._body[at : at + 5]

    async def answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        await self.start(status, fields, len(body))
        await self.send(body)

    async def start(self, status: int, fields: Sequence[tuple[str, str]], length: int | None) -> None:
        assert self.status is None
        self.status, self.fields = status, list(fields)

    async def send(self, data: bytes) -> None:
        self.body += data
        self.sent_bytes += len(data)

    async def end(self) -> None:
        pass


class House:
    """What `conduct` is handed."""

    def __init__(self, policy: Policy, registry: SqlRegistry, watchers: Watchers) -> None:
        self.engine = Engine(policy)
        self.driver = Driver(MemoryCounters(), registry, watcher=watchers)
        self.watchers = watchers
        self.service = Service()
        self.gates = Gates(self.clock)
        self.new_id = RequestIds()
        self.records: list[dict[str, Any]] = []
        self.seen = b""  # all that the caller got last

    def clock(self) -> float:
        return time.monotonic()

    def finish(self, x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
        self.records.append(record.compose(x, status, timing, sent_bytes))
        self.watchers.note(x)

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Conduct one exchange."""
        now = read_clock()
        headers = Headers((name.lower(), value) for name, value in fields)
        request = Request(self.new_id(now), method, *parse_target(target), headers, "127.0.0.1", now, ORIGIN)
        caller = Caller(body)
        self.service.received = None
        await conduct(self, request, caller)
        shown = b"" if method == "HEAD" else caller.body
        self.seen = repr(caller.fields).encode() + shown
        return _outcome(self.records[-1], caller.status, caller.fields, shown, self.service.received)


# --- the caller on a socket


class Outer:
    """A running gateway."""

    def __init__(self, gateway: Gateway, model: Model) -> None:
        self.gateway = gateway
        self._model = model
        self.records: list[dict[str, Any]] = []
        self.seen = b""
        finish = gateway.finish

        def keep(x: Exchange, status: int | None, timing: Timing, sent_bytes: int) -> None:
            self.records.append(record.compose(x, status, timing, sent_bytes))
            finish(x, status, timing, sent_bytes)

        gateway.finish = keep  # type: ignore[method-assign]  # to hear of every exchange

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Send one request and read its answer to the end of the connection."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"
        self._model.received = None
        host, _, port = self.gateway.addresses[0].rpartition(":")
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head.encode("latin-1") + body)
            raw = await reader.read(-1)
            writer.close()
            await writer.wait_closed()
        self.seen = raw
        start, _, rest = raw.partition(b"\r\n")
        block, _, data = rest.partition(b"\r\n\r\n")
        got: Fields = []
        for line in block.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            got.append((name, value))
        if ("transfer-encoding", "chunked") in got:
            data = _unchunk(data)
        return _outcome(self.records[-1], int(start.split()[1]), got, data, self._model.received)


# --- the caller of an Envoy


class Processed:
    """An Envoy whose filter asks the service what it may do."""

    def __init__(self, house: House) -> None:
        self._house = house
        facts = Facts(read_clock, house.new_id, (), ClientCertificates())
        self._filter = Filter(Processing(house, facts, parse_networks(["127.0.0.1"])), reply_of)
        self.records = house.records
        self.seen = b""

    async def ask(self, method: str, target: str, fields: Fields, body: bytes) -> Outcome:
        """Take one exchange through the filter."""
        told = await self._filter.ask(method, target, fields, body)
        shown = b"" if method == "HEAD" else told.body
        self.seen = repr(told.fields).encode() + shown
        return _outcome(self._house.records[-1], told.status, told.fields, shown, told.received)


def reply_of(method: str, target: str, body: bytes) -> Reply:
    """Answer as the model does, or as Envoy does where there is none."""
    if target.startswith("/dead"):
        refused = "upstream_reset_before_response_started{remote_connection_failure}"
        return Reply(503, [("content-type", "text/plain")], b"canary", refused)
    return Reply(*answer_of(target))


def _unchunk(data: bytes) -> bytes:
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole, data = whole + data[:length], data[length + 2 :]


def _outcome(
    written: dict[str, Any], status: int | None, fields: Fields, body: bytes, received: tuple[str, str, bytes] | None
) -> Outcome:
    request_id = written["request_id"]
    assert dict(fields)["x-request-id"] == request_id
    shown = tuple(sorted(f"{name}: {value}" for name, value in fields if name not in OF_THE_WIRE))
    return Outcome(
        written["decision"],
        written.get("reason"),
        written.get("control"),
        status,
        tuple(field.replace(request_id, "-") for field in shown),
        body.replace(request_id.encode(), b"-"),
        received,
    )


# --- both


class Both:
    """The two ways of asking."""

    def __init__(self, inner: House, outer: Outer, processed: Processed) -> None:
        self.inner = inner
        self.outer = outer
        self.ways: dict[str, House | Outer | Processed] = {
            "in memory": inner,
            "over a socket": outer,
            "ext_proc": processed,
        }  # another adapter joins by a line here

    def issue(self, subject: str, *scopes: str, **more: Any) -> str:
        """Make a key that both know."""
        registry = self.outer.gateway.registry
        return issue(registry, DEFAULT_PREFIX, read_clock(), subject=subject, scopes=scopes, **more)[0]

    def revoke(self, subject: str) -> None:
        """Revoke a subject's keys."""
        registry = self.outer.gateway.registry
        for credential in registry.list(subject):
            registry.revoke(credential.id, read_clock() - 1)


@cache
def _compile(text: str, path: Path) -> tuple[Config, Policy]:
    return load_policy(parse_source(path, text.encode(), {}))


def _aim(policy: Policy, url: str) -> Policy:
    aimed = {name: replace(one, url=url) if name == "model" else one for name, one in policy.upstreams.items()}
    routes = tuple(replace(route, upstream=aimed.get(route.upstream.name, route.upstream)) for route in policy.routes)
    return replace(policy, routes=routes, upstreams=aimed)


@asynccontextmanager
async def _run(text: str, folder: Path) -> AsyncIterator[Both]:
    loop = asyncio.get_running_loop()
    model = Model()
    listener = Listener(model.serve)
    server = await loop.create_server(listener.connect, "127.0.0.1", 0)
    path = folder / "policy.yaml"
    path.write_text(text)
    config, policy = _compile(text, path)
    listen = msgspec.structs.replace(config.listen, address="127.0.0.1:0", drain_s=0.2)
    config = msgspec.structs.replace(config, listen=listen, registry=f"sqlite:///{folder}/vallum.db")
    aimed = _aim(policy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    gateway = Gateway(config, aimed, Source(path, text.encode()))
    await gateway.start()
    inner, house = (House(aimed, gateway.registry, gateway.vigil.watchers) for _ in range(2))
    try:
        yield Both(inner, Outer(gateway, model), Processed(house))
    finally:
        await gateway.stop()
        server.close()
        await listener.drain(0.2)
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def answers() -> Iterator[dict[str, tuple[int, Fields, bytes]]]:
    """The model's answers, to add to."""
    before = dict(ANSWERS)
    yield ANSWERS
    ANSWERS.clear()
    ANSWERS.update(before)


@pytest.fixture
def raw_answers() -> Iterator[dict[str, bytes]]:
    """The model's answers as bytes, to add to."""
    yield RAW
    RAW.clear()


@pytest.fixture
async def both(tmp_path: Path, policy_text: str) -> AsyncIterator[Both]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(_run(policy_text, tmp_path))
