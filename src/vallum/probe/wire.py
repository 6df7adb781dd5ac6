"""A small HTTP/1.1 client that sends any bytes and reads answers leniently, within bounds.

A library would refuse to write what a probe must write: two lengths, a bare line feed, half a chunk.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

Fields = tuple[tuple[str, str], ...]
HEAD_MAX_BYTES = 65_536
REST_MAX_BYTES = 4_096
REST_S = 0.25  # how long to wait for a second answer that nobody should send


class Place(NamedTuple):
    """Where the endpoint listens."""

    host: str
    port: int
    context: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        """What stands in Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.context is not None else 80
        return host if self.port == usual else f"{host}:{self.port}"


class Bounds(NamedTuple):
    """How much of an answer is read, and for how long."""

    body_bytes: int = 1_048_576
    answer_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.  `status` 0: nothing that is an answer; `ended` says how it ended."""

    status: int
    fields: Fields = ()
    body: bytes = b""
    ended: str = "whole"  # whole, cut (by our bounds), closed, silent, refused (no connection)
    took_s: float = 0.0
    rest: bytes = b""  # what came after the answer, where we listened on

    @property
    def ok(self) -> bool:
        """Whether the endpoint served the request."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether it said no, and did not break."""
        return 400 <= self.status < 500

    def get(self, name: str) -> str:
        """Return a field's first value, or nothing."""
        return next((value for field, value in self.fields if field == name), "")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parse the body; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def __str__(self) -> str:
        """Say it in a few words."""
        if not self.status:
            return {"silent": "no answer in time", "refused": "no connection"}.get(self.ended, "connection closed")
        return f"{self.status} {self.get('content-type').partition(';')[0]}".rstrip()


def compose(method: str, target: str, fields: Iterable[tuple[str, str]], body: bytes | None) -> bytes:
    """Write a request; the length is added where there is a body."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b"")


async def exchange(place: Place, data: bytes, bounds: Bounds, *, head: bool = False, listen_on: bool = False) -> Answer:
    """Send bytes on a connection of their own and read the answer.  `listen_on`: and what comes after it."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(bounds.answer_s):
            reader, writer = await asyncio.open_connection(
                place.host, place.port, ssl=place.context, limit=HEAD_MAX_BYTES
            )
    except (OSError, TimeoutError) as error:
        return Answer(0, ended="silent" if isinstance(error, TimeoutError) else "refused")
    answer = _Reading(reader, bounds, head)
    try:
        async with asyncio.timeout(bounds.answer_s):
            with suppress(ConnectionError):  # it may have answered before it hung up
                writer.write(data)
                await writer.drain()
            await answer.read()
    except TimeoutError:
        answer.ended = "cut" if answer.status else "silent"
    except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        answer.ended = "closed"
    took_s = time.monotonic() - began
    rest = await _listen_on(reader) if listen_on and answer.ended == "whole" else b""
    writer.transport.abort()
    return Answer(answer.status, tuple(answer.fields), bytes(answer.body), answer.ended, took_s, rest)


async def trickle(place: Place, pieces: Iterable[bytes], every_s: float, most_s: float) -> float | None:
    """Send a request piece by piece; return after how many seconds the other side had enough, or None if it did not."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(place.host, place.port, ssl=place.context)
    try:
        for piece in pieces:
            try:
                writer.write(piece)
                await writer.drain()
                await asyncio.wait_for(reader.read(1), every_s)
            except TimeoutError:
                if time.monotonic() - began > most_s:
                    return None
            except ConnectionError:
                return time.monotonic() - began
            else:
                return time.monotonic() - began
        return None
    finally:
        writer.transport.abort()


class _Reading:
    """An answer while it comes in: what was read stays when time is up."""

    def __init__(self, reader: asyncio.StreamReader, bounds: Bounds, head: bool) -> None:
        self.status = 0
        self.fields: list[tuple[str, str]] = []
        self.body = bytearray()
        self.ended = "whole"
        self._reader = reader
        self._most = bounds.body_bytes
        self._head = head

    async def read(self) -> None:
        status = await self._read_head()
        while 100 <= status < 200:
            status = await self._read_head()
        self.status = status
        length = next((value for name, value in self.fields if name == "content-length"), None)
        coding = next((value for name, value in self.fields if name == "transfer-encoding"), "")
        if self._head or status in (204, 304):
            return
        if "chunked" in coding.lower():
            await self._read_chunks()
        elif length is not None:
            await self._take(int(length))
        else:
            while piece := await self._reader.read(65_536):
                self._keep(piece)

    async def _read_head(self) -> int:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError("no HTTP/1")
        pairs = (line.partition(":") for line in lines[1:] if ":" in line)
        self.fields = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        return int(rest[:3])

    async def _read_chunks(self) -> None:
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await self._take(size)
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")

    async def _take(self, count: int) -> None:
        while count:
            piece = await self._reader.read(min(count, 65_536))
            if not piece:
                raise ConnectionResetError
            count -= len(piece)
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self.body += piece
        if len(self.body) > self._most:
            raise TimeoutError  # as much as we read of anything


async def _listen_on(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(REST_MAX_BYTES), REST_S)
    except (TimeoutError, ConnectionError):
        return b""
