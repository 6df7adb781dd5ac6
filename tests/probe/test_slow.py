"""Slow senders, and answers without measure: what the other tests have no time or no format for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.probe.weak import BODY, PATH

from vallum.probe.example import example_of
from vallum.probe.families import malformed

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

    from tests.probe.conftest import Guard, Prober

POLICY = """
version: 1
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
admin: {address: "127.0.0.1:0"}
routes:
  - {name: predict, match: {methods: [POST], path: /api/v1/predict}, upstream: model, auth: {any_of: [keys]}}
"""
SLOW = ["malformed.slow_head", "malformed.slow_body"]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(malformed, "SLOW_S", 1.5)
    monkeypatch.setattr(malformed, "SLOW_EVERY_S", 0.05)
    monkeypatch.setattr(malformed, "SLOW_LEAST_S", 0.1)


async def answer(reader: StreamReader, writer: StreamWriter) -> None:
    """Wait for a whole request, however long it takes, and serve whatever is asked."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or b"0"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


@pytest.mark.usefixtures("hurry")
async def test_a_gateway_ends_what_is_slow(probed: Prober, guard: Guard) -> None:
    async with guard(POLICY, header_timeout_s=0.2, body_timeout_s=0.2) as door:
        seen = await probed(f"http://127.0.0.1:{door.port}{PATH}", BODY, keys=(door.key,), only=SLOW)
    assert seen.held == set(SLOW), seen.why()


@pytest.mark.usefixtures("hurry")
async def test_a_gateway_without_its_timeouts(probed: Prober, guard: Guard) -> None:
    async with guard(POLICY, header_timeout_s=600.0, body_timeout_s=600.0) as door:
        seen = await probed(f"http://127.0.0.1:{door.port}{PATH}", BODY, keys=(door.key,), only=SLOW)
    assert seen.weak == set(SLOW), seen.why()


@pytest.mark.usefixtures("hurry")
async def test_a_server_that_waits_for_what_is_slow(probed: Prober) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        seen = await probed(f"http://127.0.0.1:{port}{PATH}", BODY, only=SLOW)
    finally:
        server.close()
    assert seen.weak == set(SLOW), seen.why()


async def test_a_server_that_answers_without_measure(probed: Prober) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        document = example_of("openai.chat", "m")
        seen = await probed(f"http://127.0.0.1:{port}{PATH}", document, only=["flood.amplification"])
    finally:
        server.close()
    assert seen.weak == {"flood.amplification"}, seen.why()
