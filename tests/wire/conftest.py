"""A gateway between a raw client and a model, all with real sockets on loopback.

`opened` starts a gateway in this process for a policy text, `served` starts the real command in another.  The client
is our own: it writes any bytes, and reads answers so strictly that a gateway which wrote a wrong one would be seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import struct
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
import pytest
import uvloop
from tests.clock import read_clock

from vallum.adapters.proxy.server import Bounds, Listener
from vallum.cli.keys import issue
from vallum.config.compile import load_policy
from vallum.config.source import Source, parse_source
from vallum.core.apikey import DEFAULT_PREFIX
from vallum.core.policy import Policy
from vallum.demo.upstream import SampleUpstream
from vallum.gateway import Gateway
from vallum.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from vallum.adapters.proxy.incoming import Incoming
    from vallum.config.model import Config

    Script = Callable[[StreamReader, StreamWriter], Awaitable[None]]

PATIENCE_S = 10.0
BEAT_S = 0.02
ROOT = Path(__file__).parents[2]
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MEMBERS = {"type", "title", "status", "code", "request_id"}
QUOTA_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on the loop that `vallum serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


# --- the client


class Answer(NamedTuple):
    """One answer, as it was read from the wire."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]

    def get(self, name: str) -> str:
        """Return the one value of a field."""
        values = self.all(name)
        assert len(values) == 1, (name, values, self.raw)
        return values[0]

    @property
    def id(self) -> str:
        value = self.get("x-request-id")
        assert UUID7.fullmatch(value), value
        return value

    def json(self) -> Any:
        return json.loads(self.body)

    def anonymous(self) -> bytes:
        """Return every byte of the answer, with the request id blanked."""
        return self.raw.replace(self.id.encode(), b"-")

    def check_refusal(self, status: int, code: str, *extra: str) -> dict[str, Any]:
        """Hold that this is the refusal `code`, whole and with nothing beside it but the members `extra`."""
        assert (self.status, self.get("content-type")) == (status, "application/problem+json"), self.raw
        problem: dict[str, Any] = self.json()
        assert problem.get("code") == code, problem
        assert set(problem) == MEMBERS | set(extra), problem
        assert problem["status"] == status
        assert problem["request_id"] == self.id
        assert problem["type"] == (QUOTA_TYPE if status == 429 else "about:blank")
        assert isinstance(problem["title"], str)
        assert problem["title"]
        assert self.get("cache-control") == "no-store"
        assert self.get("content-length") == str(len(self.body))
        assert bool(self.all("www-authenticate")) == (status == 401 or code == "insufficient_scope")
        assert bool(self.all("retry-after")) == (status in (429, 503))
        known = {
            *"content-type content-length cache-control connection x-request-id date".split(),
            *"www-authenticate dpop-nonce retry-after x-should-retry ratelimit ratelimit-policy".split(),
        }
        names = {name for name, _ in self.fields if not name.startswith("x-ratelimit-")}  # on routes for OpenAI's SDK
        assert names <= known, self.fields
        return problem


class Client:
    """One connection to the gateway."""

    alive: ClassVar[list[Client]] = []

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.alive.append(self)

    @classmethod
    async def connect(
        cls,
        port: int,
        source: str | None = None,
        buffer_bytes: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Client:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        if source is not None:
            sock.bind((source, 0))
        sock.setblocking(False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        limit = 2**24 if buffer_bytes is None else buffer_bytes
        name = None if context is None else "localhost"
        async with asyncio.timeout(PATIENCE_S):
            return cls(*await asyncio.open_connection(sock=sock, limit=limit, ssl=context, server_hostname=name))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    def pause(self) -> None:
        """Read nothing more, not even that the connection has ended."""
        transport: Any = self.writer.transport
        transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        transport: Any = self.writer.transport
        transport.resume_reading()

    async def try_send(self, data: bytes) -> bool:
        """Send to somebody who may have hung up; say whether it went."""
        try:
            await self.send(data)
        except ConnectionError:
            return False
        return not self.writer.is_closing()

    async def head(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """Read the head of an answer."""
        async with asyncio.timeout(PATIENCE_S):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        start, *lines = raw[:-4].split(b"\r\n")
        assert b"\n" not in raw.replace(b"\r\n", b""), raw
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]*", start)
        assert match is not None, raw
        fields = []
        for line in lines:
            name, colon, value = line.partition(b": ")
            assert colon, raw
            assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9a-z-]+", name), raw
            fields.append((name.decode(), value.decode("latin-1")))
        return int(match.group(1)), fields, raw

    async def chunk(self) -> bytes:
        """Read one chunk of a body, empty at its end."""
        async with asyncio.timeout(PATIENCE_S):
            line = await self.reader.readuntil(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+\r\n", line), line
            data = await self.reader.readexactly(int(line, 16) + 2)
        assert data.endswith(b"\r\n"), data
        return data[:-2]

    async def answer(self, method: str = "POST") -> Answer:
        """Read a whole answer to a request of `method`; raise IncompleteReadError for one that is cut."""
        status, fields, raw = await self.head()
        values = [value for name, value in fields if name in ("content-length", "transfer-encoding")]
        assert len(values) <= 1, raw
        body = b""
        if method == "HEAD" or status < 200 or status in (204, 304):
            pass
        elif values == ["chunked"]:
            while data := await self.chunk():
                body += data
        elif values:
            async with asyncio.timeout(PATIENCE_S):
                body = await self.reader.readexactly(int(values[0]))
        else:
            async with asyncio.timeout(PATIENCE_S):
                body = await self.reader.read(-1)
        return Answer(status, fields, body, raw + body)

    async def ended(self) -> bytes:
        """Wait for the end of the connection and return what came before it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self.reader.read(-1)
        except ConnectionError:
            return b""

    def reset(self) -> None:
        """End the connection as a crash would: with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.transport.abort()


def compose(
    method: str = "POST",
    target: str = "/api/v1/predict",
    key: str | None = None,
    body: bytes | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    **document: Any,
) -> bytes:
    """Write an honest request; `document` is its JSON body."""
    if document:
        body = json.dumps(document).encode()
        headers = (("Content-Type", "application/json"), *headers)
    fields = [("Host", "model.example"), *headers]
    if key is not None:
        fields.append(("Authorization", f"Bearer {key}"))
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")


# --- the upstreams


class Model:
    """The sample upstream, with what reached it."""

    def __init__(self, sample: SampleUpstream) -> None:
        self.sample = sample
        self.url = ""
        self.heads: list[tuple[str, str, dict[str, str]]] = []

    async def serve(self, incoming: Incoming) -> None:
        fields = incoming.headers.fields
        assert len(dict(fields)) == len(fields), fields
        self.heads.append((incoming.method, incoming.target, dict(fields)))
        await self.sample.serve(incoming)

    @property
    def calls(self) -> int:
        return len(self.heads)

    @property
    def bodies(self) -> list[bytes]:
        return self.sample.seen


@cache
def _sample() -> SampleUpstream:
    return SampleUpstream()


@asynccontextmanager
async def run_model() -> AsyncIterator[Model]:
    sample = _sample()
    sample.calls.clear()
    sample.seen = []
    model = Model(sample)
    loop = asyncio.get_running_loop()
    listener = Listener(model.serve, Bounds(fields=1000))
    server = await loop.create_server(listener.connect, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield model
    finally:
        server.close()
        await listener.drain(0.5)


class Raw:
    """An upstream written by hand: `script` speaks on each connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.lost: list[asyncio.Event] = []  # one a connection: the gateway has ended it
        self._tasks: set[asyncio.Task[None]] = set()

    async def speak(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        lost = asyncio.Event()
        self.lost.append(lost)
        try:
            await self._script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            lost.set()
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def request(self, reader: StreamReader) -> bytes:
        """Read one request with its body, and keep it."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        length = re.search(rb"content-length: (\d+)", head)
        if length is not None:
            body = await reader.readexactly(int(length.group(1)))
        elif b"transfer-encoding: chunked" in head:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        self.requests.append(head + body)
        return head + body

    def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()


@asynccontextmanager
async def run_raw(script: Callable[[Raw, StreamReader, StreamWriter], Awaitable[None]]) -> AsyncIterator[Raw]:
    raw = Raw(lambda reader, writer: script(raw, reader, writer))
    server = await asyncio.start_server(raw.speak, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield raw
    finally:
        server.close()
        raw.stop()


# --- the gateway in this process


class Door:
    """A running gateway, the registry behind it, and the model behind that."""

    def __init__(self, gateway: Gateway, model: Model) -> None:
        self.gateway = gateway
        self.model = model
        self.port = int(gateway.addresses[0].rpartition(":")[2])
        self.admin_port = int(gateway.addresses[1].rpartition(":")[2])
        self.key = self.issue("owner", "predict:read")

    def issue(self, subject: str, *scopes: str, **more: Any) -> str:
        """Make a key."""
        return issue(self.gateway.registry, DEFAULT_PREFIX, read_clock(), subject=subject, scopes=scopes, **more)[0]

    async def connect(
        self,
        source: str | None = None,
        buffer_bytes: int | None = None,
        *,
        context: ssl.SSLContext | None = None,
        port: int | None = None,
    ) -> Client:
        """Connect, with TLS if there is a context, to `port` of a proxy before the gateway if there is one."""
        return await Client.connect(port or self.port, source, buffer_bytes, context)

    async def exchange(self, data: bytes, method: str = "POST") -> Answer:
        """Send bytes on a connection of their own and read one answer."""
        client = await self.connect()
        try:
            await client.try_send(data)
            return await client.answer(method)
        finally:
            client.close()

    async def ask(self, text: str = "a good day", *, key: str | None = None, **more: Any) -> Answer:
        """Ask the model honestly."""
        return await self.exchange(compose(key=key or self.key, input_text=text, **more))

    @asynccontextmanager
    async def untouched(self) -> AsyncIterator[None]:
        """Hold that nothing in the block reaches the model, and that the gateway serves on after it."""
        calls = self.model.calls
        yield
        assert self.model.calls == calls, self.model.heads[calls:]
        assert (await self.ask(key=self.issue("next", "predict:read"))).status == 200

    async def refuses(self, data: bytes, status: int, code: str, *extra: str, method: str = "POST") -> Answer:
        """Hold that `data` is met with a refusal, never reaches the model, and harms nobody after it."""
        async with self.untouched():
            answer = await self.exchange(data, method)
            answer.check_refusal(status, code, *extra)
        return answer

    async def record(self, request_id: str) -> dict[str, Any]:
        """Wait for the record of an exchange."""
        folder = self.gateway.records._folder
        assert folder is not None
        record: dict[str, Any] = await wait_for(lambda: _find(folder, request_id))
        return record

    async def records(self, count: int) -> list[dict[str, Any]]:
        """Wait for `count` records and return all there are."""
        folder = self.gateway.records._folder
        assert folder is not None
        await wait_for(lambda: len(list(_read(folder))) >= count)
        return list(_read(folder))


def _read(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def _find(folder: Path, request_id: str) -> dict[str, Any] | None:
    return next((record for record in _read(folder) if record["request_id"] == request_id), None)


async def wait_for(look: Callable[[], Any]) -> Any:
    """Look again and again until there is something to see."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            seen = look()
            if seen:
                return seen
            await asyncio.sleep(0.01)


@cache
def _compile(text: str, beside: Path) -> tuple[Config, Policy]:
    """Compile a policy once a session: its patterns take a second or two."""
    return load_policy(parse_source(beside / "policy.yaml", text.encode(), {}))


def _aim(policy: Policy, url: str) -> Policy:
    """Point every upstream of a compiled policy at `url`."""
    aimed = {name: replace(upstream, url=url) for name, upstream in policy.upstreams.items()}
    routes = tuple(replace(route, upstream=aimed.get(route.upstream.name, route.upstream)) for route in policy.routes)
    return replace(policy, routes=routes, upstreams=aimed)


async def _pulse(gateway: Gateway, stopped: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(stopped.wait())
    while not waiting.done():
        await gateway.beat()
        await asyncio.wait([waiting], timeout=BEAT_S)


@asynccontextmanager
async def run_gateway(
    text: str, folder: Path, model: Model, url: str, beside: Path, **listen: Any
) -> AsyncIterator[Door]:
    config, policy = _compile(text, beside)
    registry = listen.pop("registry", f"sqlite:///{folder}/vallum.db")
    settings = {"address": "127.0.0.1:0", "drain_s": 0.2, **listen}
    config = msgspec.structs.replace(
        config,
        listen=msgspec.structs.replace(config.listen, **settings),
        admin=msgspec.structs.replace(config.admin, address="127.0.0.1:0") if config.admin is not None else None,
        registry=registry,
        records=msgspec.structs.replace(config.records, path=str(folder / "vallum.records")),
    )
    path = folder / "policy.yaml"
    path.write_text(text)
    gateway = Gateway(config, _aim(policy, url), Source(path, text.encode()))
    await gateway.start()
    stopped = asyncio.Event()
    pulse = asyncio.ensure_future(_pulse(gateway, stopped))
    try:
        yield Door(gateway, model)
    finally:
        stopped.set()
        await pulse
        await gateway.stop()


class Opener:
    """Starts gateways and upstreams, and ends them with the test."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._count = 0

    async def raw(self, script: Callable[[Raw, StreamReader, StreamWriter], Awaitable[None]]) -> Raw:
        """Start an upstream written by hand."""
        return await self._stack.enter_async_context(run_raw(script))

    async def __call__(self, text: str, *, upstream: str | None = None, beside: Path = ROOT, **listen: Any) -> Door:
        """Start a gateway with a policy, before the sample model or before `upstream`."""
        self._count += 1
        folder = self._folder / f"gateway-{self._count}"
        folder.mkdir()
        model = await self._stack.enter_async_context(run_model())
        running = run_gateway(text, folder, model, upstream or model.url, beside, **listen)
        return await self._stack.enter_async_context(running)


async def settle() -> None:
    """End what a test left open, and let the loop see the ends of all connections."""
    while Client.alive:
        Client.alive.pop().close()
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(settle)
        yield Opener(stack, tmp_path)


@pytest.fixture
def request_bytes() -> Callable[..., bytes]:
    return compose


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    return wait_for


# --- the gateway in a process of its own


class Served:
    """A real `vallum serve`, and the files it runs on."""

    def __init__(self, folder: Path, policy: Path, model: Model, environ: dict[str, str]) -> None:
        self.folder = folder
        self.policy = policy
        self.model = model
        self.environ = environ
        self.port = 0
        self.admin_port = 0
        self.said = ""
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def start(self, *arguments: str) -> None:
        """Start it and wait until it has said where it listens."""
        self.said = ""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vallum",
            "serve",
            *(arguments or (str(self.policy),)),
            cwd=self.folder,
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._listening = asyncio.ensure_future(self._listen())
        async with asyncio.timeout(30):
            self.port = int(await self._find(r"call https?://127\.0\.0\.1:(\d+)"))
            self.admin_port = int(await self._find(r"http://127\.0\.0\.1:(\d+)/metrics"))

    async def _find(self, pattern: str) -> str:
        while True:
            match = re.search(pattern, self.said)
            if match is not None:
                return match.group(1)
            assert self.process.returncode is None, self.said
            await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said += line.decode()

    async def wait_said(self, words: str) -> None:
        """Wait until it has said something."""
        await wait_for(lambda: words in self.said)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end and return the exit code."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
            if self._listening is not None:
                await self._listening
        return code

    async def stop(self) -> None:
        """End it, however it is."""
        if self._process is None:
            return
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def connect(self, source: str | None = None, context: ssl.SSLContext | None = None) -> Client:
        return await Client.connect(self.port, source, context=context)

    async def exchange(
        self, data: bytes, method: str = "POST", source: str | None = None, context: ssl.SSLContext | None = None
    ) -> Answer:
        client = await self.connect(source, context)
        try:
            await client.send(data)
            return await client.answer(method)
        finally:
            client.close()

    async def ask(self, key: str, text: str = "a good day", source: str | None = None, **more: Any) -> Answer:
        return await self.exchange(compose(key=key, input_text=text, **more), source=source)

    async def look(self, path: str) -> Answer:
        """Ask the operators' listener."""
        client = await Client.connect(self.admin_port)
        try:
            await client.send(compose("GET", path))
            return await client.answer("GET")
        finally:
            client.close()

    def issue(self, subject: str, *scopes: str, **more: Any) -> str:
        """Make a key, as `vallum keys create` does, without its start-up time."""
        registry = SqlRegistry(self.environ["VALLUM_REGISTRY"])
        try:
            return issue(registry, DEFAULT_PREFIX, read_clock(), subject=subject, scopes=scopes, **more)[0]
        finally:
            registry.close()

    async def command(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str]:
        """Run another command on the same policy; return its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vallum",
            *arguments,
            cwd=self.folder,
            env={**self.environ, "VALLUM_POLICY": str(self.policy)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, errors = await process.communicate(stdin)
        return process.returncode or 0, (out or errors).decode()


class Server:
    """Starts `vallum serve` for a policy file, and ends it with the test."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.started: list[Served] = []

    async def __call__(self, policy: str | Path, *arguments: str, upstream: str | None = None, **more: str) -> Served:
        """Start with a policy text, or with a file that is not ours to change; `more` is of its environment."""
        model = await self._stack.enter_async_context(run_model())
        if isinstance(policy, Path):
            path = policy
        else:
            path = self._folder / "vallum.yaml"
            path.write_text(policy)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VALLUM_")}
        environ |= {
            "VALLUM_LISTEN": "127.0.0.1:0",
            "VALLUM_ADMIN": "127.0.0.1:0",
            "VALLUM_REGISTRY": f"sqlite:///{self._folder}/vallum.db",
            "VALLUM_UPSTREAM": upstream or model.url,
            "VALLUM_CACHE": os.environ["VALLUM_CACHE"],
            "COLUMNS": "300",
            "PYTHONWARNINGS": "error",
            **more,
        }
        served = Served(self._folder, path, model, environ)
        self._stack.push_async_callback(served.stop)
        self.started.append(served)
        await served.start(*arguments)
        return served


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(settle)
        yield Server(stack, tmp_path)


@pytest.fixture(scope="session")
def make_server() -> type[Server]:
    return Server
