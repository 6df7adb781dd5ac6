"""Four gateways of two workers each on one Valkey and one PostgreSQL, all in processes of their own: exact together.

`examples/fleet.yaml` serves, with windows of seconds and two more routes.  The clock of one gateway is an hour fast.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio
from tests.wire.test_workers import workers

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import Postgres, Valkey
    from tests.wire.conftest import Client, Served, Server

    Compose = Callable[..., bytes]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "examples" / "fleet.yaml"
LIMIT, WINDOW_S, WINDOWS = 20, 2, 3
PATIENCE_S = 20.0
MORE = """
  - name: at-once
    match: {methods: [POST], path: /at-once}
    upstream: model
    auth: {any_of: [keys]}
    quotas: [{limit: 4, unit: concurrent}]
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    quotas:
      - {limit: 1000 per 4 seconds, unit: tokens}
      - {limit: 1, unit: concurrent, lease_s: 2}
"""
FAST_CLOCK = "import time\n_time = time.time\ntime.time = lambda: _time() + 3600\n"


class Seen(NamedTuple):
    """A request that was admitted: when it was sent, and when it arrived."""

    sent: float
    arrived: float


ANSWER = b'{"object":"chat.completion","id":"1"}'


class Model:
    """An upstream that notes what reaches it, and answers or waits to be told to."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.now = self.most = self.open = 0
        self.released = asyncio.Event()
        self.url = ""

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.open += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                asked = json.loads(await reader.readexactly(length))
                if asked.get("stream"):
                    await self._begin_stream(writer)
                    break
                if "sent" in asked:
                    self.seen.append(Seen(asked["sent"], time.monotonic()))
                else:
                    self.now += 1
                    self.most = max(self.most, self.now)
                    await self.released.wait()
                    self.now -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))
        writer.transport.abort()
        self.open -= 1

    async def _begin_stream(self, writer: StreamWriter) -> None:
        event = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a "}}]}
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.released.wait()


class Fleet(NamedTuple):
    """The gateways, and the upstream of all."""

    members: list[Served]
    model: Model

    def key(self, subject: str) -> str:
        return self.members[0].issue(subject, "predict:read", tenant=subject)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(
    make_server: type[Server], tmp_path_factory: pytest.TempPathFactory, valkey: Valkey, postgres: Postgres
) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "sitecustomize.py").write_text(FAST_CLOCK)
    text = FLEET.read_text().replace("100 per minute", f"{LIMIT} per {WINDOW_S} seconds") + MORE
    model = Model()
    settings = {"VALLUM_COUNTERS": f"{valkey.url}?timeout_ms=5000", "VALLUM_REGISTRY": postgres.make()}
    fast = {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    async with AsyncExitStack() as stack:
        listening = await asyncio.start_server(model.serve, "127.0.0.1", 0)
        stack.callback(listening.close)
        model.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        servers = [make_server(stack, tmp_path_factory.mktemp(f"gateway-{n}")) for n in range(4)]
        each = [settings, settings, settings, settings | fast]
        members = await asyncio.gather(
            *(server(text, upstream=model.url, **own) for server, own in zip(servers, each, strict=True))
        )
        yield Fleet(members, model)
        model.released.set()
        await asyncio.gather(*(member.stop() for member in members))
        await until(lambda: model.open == 0)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not look():  # noqa: ASYNC110  what it looks at is in other processes
            await asyncio.sleep(0.01)


def most_for_certain(seen: list[Seen], window_s: float) -> int:
    """Return the most that were sent and had arrived within one span of the window."""
    return max(sum(first.sent <= one.sent and one.arrived < first.sent + window_s for one in seen) for first in seen)


async def test_a_limit_of_n_admits_n_to_all_gateways_together_in_every_window(
    fleet: Fleet, request_bytes: Compose
) -> None:
    key = fleet.key("alice")
    done = asyncio.Event()
    statuses: set[int] = set()

    async def ask(member: Served) -> None:
        client = await member.connect()
        while not done.is_set():
            await client.send(request_bytes(key=key, sent=time.monotonic()))
            answer = await client.answer()
            statuses.add(answer.status)
            if answer.status != 200:
                await asyncio.sleep(0.2)
        client.close()

    asking = [asyncio.ensure_future(ask(fleet.members[n % 4])) for n in range(40)]
    await until(lambda: len(fleet.model.seen) >= LIMIT * WINDOWS)
    done.set()
    await asyncio.gather(*asking)
    seen = fleet.model.seen
    assert most_for_certain(seen, WINDOW_S) == LIMIT
    late_s = seen[LIMIT * WINDOWS - 1].arrived - seen[0].arrived - WINDOW_S * 25 / 24 * (WINDOWS - 1)
    assert late_s < 3, "room comes back up to a 24th of the window late"
    assert statuses == {200, 429}


def are_refused(asking: list[asyncio.Task[Any]]) -> bool:
    """Say whether all but the four that run have their answer."""
    return sum(task.done() for task in asking) == 28


async def test_four_at_once_are_four_at_once_over_all_gateways(fleet: Fleet, request_bytes: Compose) -> None:
    key = fleet.key("bob")
    model = fleet.model
    asked = request_bytes(target="/at-once", key=key, text="a")
    for _ in range(3):
        model.released.clear()
        asking = [asyncio.ensure_future(fleet.members[n % 4].exchange(asked)) for n in range(32)]
        await until(partial(are_refused, asking))
        model.released.set()
        answers = await asyncio.gather(*asking)
        assert sorted(answer.status for answer in answers) == [200] * 4 + [429] * 28
        await until(lambda: model.now == 0)
    assert model.most == 4


async def left(member: Served, ask: bytes) -> tuple[int, dict[str, int]]:
    """Ask, and return the status and what is left of each quota."""
    answer = await member.exchange(ask)
    levels = dict(level.split(";")[:2] for level in answer.get("ratelimit").split(", "))
    return answer.status, {name.strip('"'): int(rest[2:]) for name, rest in levels.items()}


async def begin_stream(member: Served, ask: bytes) -> Client:
    client = await member.connect()
    await client.send(ask)
    assert (await client.head())[0] == 200
    assert await client.chunk()
    return client


async def test_what_a_killed_gateway_had_reserved_comes_back_with_time(fleet: Fleet, request_bytes: Compose) -> None:
    fleet.model.released.clear()
    key = fleet.key("carol")

    def asked(tokens: int, **more: Any) -> bytes:
        document = {"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": tokens, **more}
        return request_bytes(target="/v1/chat/completions", key=key, **document)

    dying, living = fleet.members[0], fleet.members[1]
    began = time.monotonic()
    stream = await begin_stream(dying, asked(600, stream=True))
    status, levels = await left(living, asked(10))
    assert (status, levels["concurrent"]) == (429, 0)
    children = workers(dying)
    dying.signal(signal.SIGKILL)  # first the supervisor, who would start others
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    await stream.ended()
    stream.close()
    async with asyncio.timeout(PATIENCE_S):
        while levels["concurrent"] == 0:  # the lease ends by itself
            status, levels = await left(living, asked(900))
            await asyncio.sleep(0.1)
    if time.monotonic() - began < 4:
        assert status == 429, "tokens of a stream that nobody settles stay reserved"
    fleet.model.released.set()
    async with asyncio.timeout(PATIENCE_S):
        while status == 429:
            status, levels = await left(living, asked(900))
            await asyncio.sleep(0.1)
    assert status == 200, "after the window all is as before"
