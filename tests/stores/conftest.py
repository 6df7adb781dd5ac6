"""Real Valkey servers, and what can go wrong on the way to them: all on loopback, all ended with the test."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from tests.ports import find_port

from vallum.stores.embedded import find_server
from vallum.stores.redis.address import Address
from vallum.stores.redis.counters import RedisCounters

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

PATIENCE_S = 10.0


class Valkey:
    """One server process on a port of its own."""

    def __init__(self, folder: Path, *options: str, port: int = 0, tls: bool = False) -> None:
        self.port = port or find_port()
        self._folder = folder / f"valkey-{self.port}"
        self._folder.mkdir()
        listen = ("--port", "0", "--tls-port", str(self.port)) if tls else ("--port", str(self.port))
        self._words = [find_server(), *listen, "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._words += ["--appendonly", "no", *options]
        self._stopped = False
        self.process = self._launch()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _launch(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return process
            time.sleep(0.01)

    def say(self, *words: str) -> bytes:
        """Send one command and return the reply as it came."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as sock:
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words))
            return sock.recv(65_536)

    def pause(self) -> None:
        """Leave it hung: connections are taken and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        self.process = self._launch()


class Faults:
    """A proxy before a server that does to connections what networks do."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0
        self.passing = asyncio.Event()  # unset: a black hole
        self.passing.set()
        self.delay_s = 0.0

    async def open(self, context: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(there[1])
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self.passing.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(data)
        writer.transport.abort()

    def reset(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        assert self._server is not None
        self.reset()
        self.passing.set()
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Lab:
    """Makes servers, faults and stores, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: list[Valkey] = []
        self._faults: list[Faults] = []
        self._stores: list[RedisCounters] = []

    def server(self, *options: str, **more: Any) -> Valkey:
        self._servers.append(Valkey(self.folder, *options, **more))
        return self._servers[-1]

    async def faults(self, server: Valkey, context: ssl.SSLContext | None = None) -> Faults:
        faults = Faults(server.port)
        await faults.open(context)
        self._faults.append(faults)
        return faults

    def store(self, url: str) -> RedisCounters:
        self._stores.append(RedisCounters(Address.parse(url)))
        return self._stores[-1]

    def cluster(self) -> list[Valkey]:
        """Start three masters that share the slots."""
        nodes = [self.server("--cluster-enabled", "yes", "--cluster-node-timeout", "2000") for _ in range(3)]
        bounds = [0, 5461, 10923, 16384]
        for index, node in enumerate(nodes):
            assert node.say("CLUSTER", "ADDSLOTSRANGE", str(bounds[index]), str(bounds[index + 1] - 1)) == b"+OK\r\n"
            assert node.say("CLUSTER", "SET-CONFIG-EPOCH", str(index + 1)) == b"+OK\r\n"
            node.say("CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port))
        deadline = time.monotonic() + PATIENCE_S
        while not all(
            b"cluster_state:ok" in n.say("CLUSTER", "INFO") and b"cluster_known_nodes:3" in n.say("CLUSTER", "INFO")
            for n in nodes
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return nodes

    async def close(self) -> None:
        for store in self._stores:
            store.close()
        for faults in self._faults:
            await faults.close()
        for server in self._servers:
            server.resume()
            server.kill()
        await asyncio.sleep(0)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on the loop that `vallum serve` runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    try:
        yield lab
    finally:
        await lab.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    async def wait(look: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen = look()
                if seen:
                    return seen
                await asyncio.sleep(0.01)

    return wait
