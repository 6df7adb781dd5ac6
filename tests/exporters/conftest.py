"""A model behind a real gateway, and a client before it, all on loopback."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

EVENT_GAP_S = 0.15
WORDS = ("word0 ", "word1 kestrel-", "plum-9041 ", "word3 ")  # a secret between two events


class Model:
    """A model server that tells what it was asked; below /stream it answers event by event."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
                body = await self._body(reader, fields)
                self.asked.append((head[0], fields, body))
                await self._answer(head[0].split()[1], body, writer)
        writer.close()

    async def _body(self, reader: StreamReader, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(fields.get("content-length", 0)))
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body

    async def _answer(self, target: str, body: bytes, writer: StreamWriter) -> None:
        talk = "server: canary/1.0\r\nx-powered-by: canary\r\nx-version: canary\r\n"
        if "/stream" in target or b'"stream":true' in body.replace(b" ", b""):
            writer.write(
                f"HTTP/1.1 200 OK\r\n{talk}content-type: text/event-stream\r\nconnection: close\r\n\r\n".encode()
            )
            for word in WORDS:
                writer.write(_event(word))
                await writer.drain()
                await asyncio.sleep(EVENT_GAP_S)
            writer.write(b"data: [DONE]\n\n")
            await writer.drain()
            writer.close()
            raise ConnectionResetError
        answer = json.dumps({"prediction": "spam", "confidence": 0.91, "logits": [3.1], "target": target}).encode()
        head = f"HTTP/1.1 200 OK\r\n{talk}content-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        writer.write(head.encode() + answer)
        await writer.drain()


def _event(word: str) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    """Run a model server."""
    model = Model()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    model.port = server.sockets[0].getsockname()[1]
    yield model
    server.close()
