"""`chat.yaml` on a fleet: four at once over all gateways, and what a gateway killed in a stream leaves behind."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from load import read_message

from servers import create_key, run_gateways, run_postgresql, run_valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
PATH = "/v1/chat/completions"
AT_ONCE, MAX_TOKENS = 4, 20_000
PATIENCE_S = 120.0
WORDS = json.dumps(
    {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a "}}]}
)
WHOLE = {"id": "1", "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


class Model:
    """An upstream that streams without an end, or answers after a while; it counts how many it serves at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self.now = self.most = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Model]:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                asked = json.loads((await read_message(reader))[1])
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    await (self._stream(reader, writer) if asked.get("stream") else self._answer(writer))
                finally:
                    self.now -= 1
        writer.transport.abort()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = f"data: {WORDS}\n\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await reader.read(1)  # until whoever asked is gone

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        body = json.dumps(WHOLE).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)


def write_request(key: str, tokens: int, *, stream: bool = False) -> bytes:
    """Write a request for at most `tokens`."""
    document = {"model": "m", "messages": [{"role": "user", "content": "a"}], "max_tokens": tokens, "stream": stream}
    body = json.dumps(document).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
    return (head + f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n").encode() + body


async def ask(port: int, request: bytes) -> tuple[int, dict[str, int]]:
    """Return the status, and what is left of each quota."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = (await read_message(reader))[0].decode()
    writer.close()
    said = next((line[11:] for line in head.lower().split("\r\n") if line.startswith("ratelimit: ")), "")
    levels = (level.split(";")[:2] for level in said.split(", ") if level)
    return int(head[9:12]), {name.strip('"'): int(rest[2:]) for name, rest in levels}


async def wait_until_left(port: int, key: str, name: str, units: int) -> float:
    """Ask twice a second until `units` are left; return the moment."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status, levels = await ask(port, write_request(key, 1))
        if levels.get(name, 0) + (1 if status == 200 and name == "concurrent" else 0) >= units:
            return time.monotonic()
        await asyncio.sleep(2.5)  # 60 requests a minute are one of the quotas
    raise TimeoutError(f"{units} of {name} did not come back")


async def hold_chat(gateways: int, folder: Path) -> bool:
    """Hold that four are four, and that all comes back; print the figures."""
    policy = folder / "chat.yaml"
    policy.write_text((ROOT / "examples" / "chat.yaml").read_text() + "workers: 2\n")
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(Model().running())
        settings = {
            "VALLUM_COUNTERS": f"redis://127.0.0.1:{stack.enter_context(run_valkey(folder / 'valkey')).port}/0",
            "VALLUM_REGISTRY": stack.enter_context(run_postgresql(folder / "postgresql")),
            "VALLUM_UPSTREAM": f"http://127.0.0.1:{model.port}",
        }
        keys = [create_key(policy, settings, name, "chat:write") for name in ("crowd", "stream")]
        fleet = stack.enter_context(run_gateways(policy, folder, [settings] * gateways))
        request = write_request(keys[0], 5)
        answers = await asyncio.gather(*(ask(fleet[n % gateways].port, request) for n in range(200)))
        statuses = [status for status, _ in answers]
        print(f"200 at once            {statuses.count(200)} served, {statuses.count(429)} refused;", end=" ")
        print(f"at most {model.most} of {AT_ONCE} at once at the upstream")

        dying, living = fleet[0], fleet[1]
        _, fresh = await ask(living.port, write_request(keys[1], 1))
        reader, writer = await asyncio.open_connection("127.0.0.1", dying.port)
        writer.write(write_request(keys[1], MAX_TOKENS, stream=True))
        await reader.readuntil(b"data: ")
        killed = time.monotonic()
        await asyncio.to_thread(dying.kill)
        _, after = await ask(living.port, write_request(keys[1], 1))
        print(f"killed in a stream     tokens left: {fresh['minute-tokens']} before, {after['minute-tokens']} after")
        print(f"                       at once left: {fresh['concurrent']} before, {after['concurrent']} after")
        leased = await wait_until_left(living.port, keys[1], "concurrent", AT_ONCE) - killed
        tokens = await wait_until_left(living.port, keys[1], "minute-tokens", 39_000) - killed
        print(f"as before              the lease after {leased:.1f} s, the tokens after {tokens:.1f} s")
        writer.close()
    return model.most == AT_ONCE and after["minute-tokens"] < 40_000 - MAX_TOKENS and leased > 0 and tokens < 70
