"""The same exchange in every way: through the conversation alone, through sockets, and through each other adapter.

`inner` hands a request to `conduct` with a caller and a service that are lists in memory; `outer` sends it to a running
gateway over TCP.  All stand before the same made-up model and hold the same policy and keys.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import uvloop
from tests.clock import read_clock
from tests.parity.apps import InAsgi, InWsgi
from tests.parity.envoy_filter import InEnvoy
from tests.parity.memory import ANSWERS, RAW, Fields, House, Outcome, Way, answer_of, outcome_of

from vallum.adapters.proxy.server import Listener
from vallum.cli.keys import issue
from vallum.config.compile import load_policy
from vallum.config.source import Source, parse_source
from vallum.core import record
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.core.policy import Policy
from vallum.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from vallum.adapters.proxy.incoming import Incoming
    from vallum.config.model import Config
    from vallum.core.exchange import Exchange
    from vallum.core.record import Timing

PATIENCE_S = 10.0


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the loop that `vallum serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


# --- the model


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
        return outcome_of(self.records[-1], int(start.split()[1]), got, data, self._model.received)


def _unchunk(data: bytes) -> bytes:
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole, data = whole + data[:length], data[length + 2 :]


# --- both


class Both:
    """The ways of asking."""

    def __init__(self, new_house: Callable[[], House], outer: Outer) -> None:
        inner = new_house()
        self.inner = inner
        self.outer = outer
        self.ways: dict[str, Way] = {
            "in memory": inner,
            "over a socket": outer,
            "in an Envoy, by ext_proc": InEnvoy(new_house()),
            "in an ASGI app": InAsgi(new_house()),
            "in a WSGI app": InWsgi(new_house()),
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
def _compile(text: str) -> tuple[Config, Policy]:
    return load_policy(parse_source(Path("policy.yaml"), text.encode(), {}))


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
    config, policy = _compile(text)
    listen = msgspec.structs.replace(config.listen, address="127.0.0.1:0", drain_s=0.2)
    config = msgspec.structs.replace(config, listen=listen, registry=f"sqlite:///{folder}/vallum.db")
    aimed = _aim(policy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    gateway = Gateway(config, aimed, Source(path, text.encode()))
    await gateway.start()
    try:
        yield Both(lambda: House(aimed, gateway.registry, gateway.vigil.watchers), Outer(gateway, model))
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
