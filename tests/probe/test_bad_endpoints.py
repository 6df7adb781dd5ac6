"""An endpoint that hangs, lies, streams for ever, sends elsewhere or bans: the run ends and claims nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.probe.weak import BODY, KEYS, PATH, run_server

from vallum.probe.wire import Bounds

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.probe.conftest import Prober

    Script = Callable[[StreamReader, StreamWriter], Awaitable[None]]

SHORT = Bounds(body_bytes=65_536, answer_s=0.3)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def run_script(script: Script) -> AsyncIterator[str]:
    async def speak(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
    finally:
        server.close()


async def hang(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read(-1)


async def babble(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


async def redirect(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://198.51.100.1/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def stream(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(OK + b"\r\n")
    while True:
        writer.write(b"a" * 65_536)
        await writer.drain()


async def lie(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 999999999999\r\n\r\n{}")
    await writer.drain()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (hang, "no answer in time"),
        (babble, "connection closed"),
        (redirect, "it redirects to 'http://198.51.100.1/'"),
        (stream, "has no end within the bounds"),
        (lie, "has no end within the bounds"),
    ],
)
async def test_without_an_honest_answer_nothing_is_tested(probed: Prober, script: Script, why: str) -> None:
    async with run_script(script) as url:
        seen = await probed(url, BODY, keys=KEYS[:2], bounds=SHORT)
    assert not seen.held
    assert not seen.weak
    assert all(why in finding.outcome.sentence for finding in seen.findings.values())
    assert seen.session.budget.sent == 1
    assert seen.session.budget.received <= 1 << 18


@pytest.mark.parametrize("after", [3, 10])
async def test_a_ban_is_not_a_control_that_held(probed: Prober, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The endpoint serves a while, then refuses whatever comes: what was refused since is no evidence."""
    async with run_server() as server:
        decide, count = server.decide, 0

        async def ban(*request: Any) -> Any:
            nonlocal count
            count += 1
            reply = await decide(*request)
            return reply if count <= after else reply._replace(status=403, document={"error": "banned"})

        monkeypatch.setattr(server, "decide", ban)
        seen = await probed(f"{server.url}{PATH}", BODY, keys=KEYS, patience_s=0.2, only=["authentication.wrong_keys"])
    assert not seen.held, seen.why()


async def test_an_endpoint_that_goes_away_ends_the_run(probed: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    async with run_server() as server:
        decide = server.decide

        async def leave(*request: Any) -> Any:
            if server.calls >= 20:
                await asyncio.sleep(3600)
            return await decide(*request)

        monkeypatch.setattr(server, "decide", leave)
        seen = await probed(f"{server.url}{PATH}", BODY, keys=KEYS, bounds=SHORT)
    assert time.monotonic() - began < 20
    assert any("is down, or has banned us" in finding.outcome.sentence for finding in seen.findings.values())
    assert "malformed.bodies" in seen.untested


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"requests": 25}, "25 requests is spent"),
        ({"seconds": 0.05}, "time of 0.05 s is up"),
        ({"bytes": 800}, "800 bytes read is spent"),
    ],
)
async def test_a_budget_ends_the_run(probed: Prober, limits: dict[str, float], why: str) -> None:
    async with run_server() as server:
        seen = await probed(f"{server.url}{PATH}", BODY, keys=KEYS, limits=limits)
    assert server.calls <= limits.get("requests", 60)
    assert any(why in finding.outcome.sentence for finding in seen.findings.values()), seen.why()
    assert "flood.number" in seen.untested


async def test_too_few_keys_are_told(probed: Prober) -> None:
    async with run_server() as server:
        seen = await probed(f"{server.url}{PATH}", BODY, keys=KEYS[:1], patience_s=0.1)
    assert not seen.weak, seen.why()
    assert any("give more keys" in finding.outcome.sentence for finding in seen.findings.values())
