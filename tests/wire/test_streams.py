"""Streams: events pass as they come, cleaned; who leaves stops the model; who reads slowly holds it back."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable

    from tests.wire.conftest import Client, Door, Opener, Raw

    Compose = Callable[..., bytes]

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9", timeout_s: 5}}
authenticators: {keys: {type: api_key}}
routes:
  - name: chat
    match: {methods: [POST], path: /v1/chat/completions}
    upstream: model
    preset: openai.chat
    auth: {any_of: [keys]}
    request: {deny_fields: [logprobs]}
    response: {drop_fields: [logprobs, system_fingerprint, service_tier], allow_fields: [n, text, nested, x]}
  - name: plain
    match: {methods: [GET, POST], path: /plain}
    upstream: model
    auth: {any_of: [keys]}
  - name: upload
    match: {methods: [POST, PUT], path: /upload}
    upstream: model
    preset: raw
    auth: {any_of: [keys]}
    request: {max_bytes: 67108864}
"""
CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
MIB = 1 << 20
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(**document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def events_of(stream: bytes) -> list[Any]:
    """Read the events of a stream as an SDK does."""
    assert stream.endswith(b"\n\n"), stream[-40:]
    found = []
    for block in stream.split(b"\n\n")[:-1]:
        assert block.startswith(b"data: "), block
        data = block.removeprefix(b"data: ")
        found.append(data.decode() if data == b"[DONE]" else json.loads(data))
    return found


def held_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def begin(door: Door, request_bytes: Compose, target: str = CHAT, **connection: Any) -> Client:
    client = await door.connect(**connection)
    await client.send(request_bytes("POST", target, door.key, **HELLO, stream=True))
    status, fields, _ = await client.head()
    assert status == 200
    assert ("transfer-encoding", "chunked") in fields
    return client


@pytest.mark.parametrize("target", [CHAT, "/plain"])
async def test_an_event_reaches_the_client_before_the_next_is_there(
    opened: Opener, request_bytes: Compose, target: str
) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(chunk(event(n=number)))
            await turns[number].wait()
        writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await reader.read(1)

    turns = [asyncio.Event() for _ in range(3)]
    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await begin(door, request_bytes, target)
    for number, turn in enumerate(turns):
        assert events_of(await client.chunk()) == [{"n": number}]
        turn.set()
    assert events_of(await client.chunk()) == ["[DONE]"]
    assert await client.chunk() == b""
    client.close()


async def test_fields_are_dropped_in_every_event(opened: Opener, request_bytes: Compose) -> None:
    """The real sample model: it puts a fingerprint and a tier into every chunk."""
    door = await opened(POLICY)
    messages = [{"role": "user", "content": "Tell me about the server"}]
    document = {"model": "m", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    answer = await door.exchange(request_bytes("POST", CHAT, door.key, **document))
    assert answer.status == 200
    assert answer.get("content-type") == "text/event-stream"
    *events, last = events_of(answer.body)
    assert last == "[DONE]"
    assert len(events) > 5
    assert events[-1]["usage"]["total_tokens"] > 0
    assert "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])
    for name in ("logprobs", "system_fingerprint", "service_tier"):
        assert name not in answer.body.decode()
    record = await door.record(answer.id)
    assert {"logprobs", "system_fingerprint", "service_tier"} <= set(record["removed"])
    assert record["status"] == 200


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
async def test_any_cut_of_the_bytes_gives_the_same_events(
    opened: Opener, request_bytes: Compose, ending: bytes
) -> None:
    blocks = [
        b": a comment with canary-51505150\n\n",
        b"event: message\nid: 7\nretry: 10\ndata: " + b'{"n": 1, "logprobs": "canary-51505150"}\n\n',
        b'data: {"n":\ndata: 2, "logprobs": "canary-51505150"}\n\n',
        b'data:{"text": "\xc3\xa9\xf0\x9f\x98\x80", "nested": [{"logprobs": "canary-51505150"}]}\n\n',
        b"unknown: canary-51505150\ndata: [DONE]\n\n",
    ]
    stream = b"".join(blocks).replace(b"\n", ending)
    random = Random(5150)
    cuts = [[1] * len(stream), [len(stream)], [random.randint(1, 9) for _ in stream], [2] * len(stream)]

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await raw.request(reader)
            writer.write(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
            at = 0
            for size in cuts[len(raw.requests) - 1]:
                if at >= len(stream):
                    break
                writer.write(chunk(stream[at : at + size]))
                await writer.drain()
                await asyncio.sleep(0)
                at += size
            writer.write(b"0\r\n\r\n")

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    bodies = set()
    for _ in cuts:
        answer = await door.exchange(request_bytes("POST", CHAT, door.key, **HELLO, stream=True))
        assert b"51505150" not in answer.body
        bodies.add(answer.body)
    (body,) = bodies
    datas = [
        line.removeprefix(b"data: ") for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data")
    ]
    assert datas[-1] == b"[DONE]"
    assert [json.loads(data) for data in datas[:-1]] == [{"n": 1}, {"n": 2}, {"text": "é😀", "nested": [{}]}]
    assert b"id: 7\n" in body


@pytest.mark.parametrize(
    ("last", "seen"),
    [
        (b'data: {"n": 2, "logprobs": "canary-51505150"}', [{"n": 1}, {"n": 2}]),
        (b'data: {"n": 2, "logpr', [{"n": 1}]),
    ],
)
async def test_the_last_event_is_cleaned_even_without_its_end(
    opened: Opener, request_bytes: Compose, last: bytes, seen: list[Any]
) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(STREAM + b"Connection: close\r\n\r\n" + event(n=1) + last)
        await writer.drain()
        writer.close()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    answer = await door.exchange(request_bytes("POST", CHAT, door.key, **HELLO, stream=True))
    assert events_of(answer.body) == seen
    assert b"51505150" not in answer.body


async def test_an_event_without_end_is_bounded_and_passes_not(opened: Opener, request_bytes: Compose) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(event(n=1)) + chunk(b"data: canary-51505150"))
        while True:
            writer.write(chunk(b"a" * 65536))
            await writer.drain()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    before = held_bytes()
    client = await begin(door, request_bytes)
    assert events_of(await client.chunk()) == [{"n": 1}]
    assert b"51505150" not in await client.ended()
    assert held_bytes() - before < 24 * MIB
    client.close()


@pytest.mark.parametrize("target", [CHAT, "/plain"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_who_leaves_stops_the_model(opened: Opener, request_bytes: Compose, target: str, how: str) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(event(n=1)))
        assert await reader.read(1) == b""
        raw.lost[0].set()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await begin(door, request_bytes, target)
    assert events_of(await client.chunk()) == [{"n": 1}]
    if how == "close":
        client.writer.close()
    else:
        client.reset()
    async with asyncio.timeout(5):
        await raw.lost[0].wait()
    (record,) = await door.records(1)
    assert record["status"] is None or record["decision"] == "cancelled", record
    assert record["sent_bytes"] > 0
    metrics = door.gateway.render_metrics().decode()
    assert 'decision="cancelled"' in metrics, metrics


async def test_who_leaves_before_the_first_word_stops_the_model(
    opened: Opener, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    async def script(raw: Raw, reader: StreamReader, _: StreamWriter) -> None:
        await raw.request(reader)
        assert await reader.read(1) == b""
        raw.lost[0].set()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    await client.send(request_bytes("POST", CHAT, door.key, **HELLO, stream=True))
    await eventually(lambda: raw.requests)
    client.close()
    async with asyncio.timeout(5):
        await raw.lost[0].wait()
    (record,) = await door.records(1)
    assert (record["status"], record["sent_bytes"]) == (None, 0)
    assert 'decision="cancelled"' in door.gateway.render_metrics().decode()


@pytest.mark.parametrize("target", [CHAT, "/plain"])
async def test_who_reads_slowly_holds_the_model_back(opened: Opener, request_bytes: Compose, target: str) -> None:
    sent = 0

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal sent
        await raw.request(reader)
        writer.write(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
        one = chunk(event(text="a" * 16_000))
        for _ in range(4096):  # 64 MiB
            writer.write(one)
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")
        await reader.read(1)

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    before = held_bytes()
    client = await begin(door, request_bytes, target, buffer_bytes=65536)
    last, same = -1, 0
    async with asyncio.timeout(10):
        while same < 10:  # until nothing more goes
            await asyncio.sleep(0.01)
            same, last = (same + 1, last) if sent == last else (0, sent)
    assert 0 < sent < 2048
    assert held_bytes() - before < 24 * MIB
    while sent == last:
        assert await client.chunk()  # and on it goes
    client.close()


async def test_who_never_reads_is_let_go(opened: Opener, request_bytes: Compose) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(chunk(event(text="a" * 16_000)))
            await writer.drain()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url, write_timeout_s=0.2)
    client = await begin(door, request_bytes, buffer_bytes=4096)
    client.pause()
    async with asyncio.timeout(8):
        await raw.lost[0].wait()
    client.close()


async def test_lines_of_json_are_cleaned_one_by_one(opened: Opener, request_bytes: Compose) -> None:
    lines = b'{"n": 1, "logprobs": "canary-51505150"}\n\n{"n": 2, "x": {"logprobs": "canary-51505150"}}\r\n'
    lines += b'[{"logprobs": 1}]\n'
    lines += b'not json canary-51505150\n{"n": 3, "logprobs": "canary-51505150"}'
    for size in (1, 7, len(lines)):

        async def script(raw: Raw, reader: StreamReader, writer: StreamWriter, size: int = size) -> None:
            await raw.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(lines), size):
                writer.write(chunk(lines[at : at + size]))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            await reader.read(1)

        raw = await opened.raw(script)
        door = await opened(POLICY, upstream=raw.url)
        answer = await door.exchange(request_bytes("POST", CHAT, door.key, **HELLO, stream=True))
        assert [json.loads(line) for line in answer.body.splitlines()] == [
            {"n": 1},
            {"n": 2, "x": {}},
            [{}],
            {"n": 3},
        ]
        assert answer.get("content-type") == "application/x-ndjson"


async def test_a_stream_to_http_1_0_ends_with_the_connection(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    data = request_bytes("POST", CHAT, door.key, **HELLO, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    answer = await door.exchange(data)
    assert answer.get("connection") == "close"
    assert not answer.all("transfer-encoding")
    assert events_of(answer.body)[-1] == "[DONE]"


# --- uploads


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_upload_passes_piece_by_piece(opened: Opener, request_bytes: Compose, framing: str) -> None:
    """The upstream has the first piece before the client has sent the last."""
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        raw.requests.append(head)
        left = 30
        while left:
            if framing == "chunks":
                size = int(await reader.readuntil(b"\r\n"), 16)
                piece = (await reader.readexactly(size + 2))[:-2]
            else:
                piece = await reader.readexactly(10)
            left -= len(piece)
            got.put_nowait(piece)
        if framing == "chunks":
            assert await reader.readexactly(5) == b"0\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read(1)

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    declared = ("Content-Length", "30") if framing == "length" else ("Transfer-Encoding", "chunked")
    headers = (("Content-Type", "image/png"), declared)
    await client.send(request_bytes("POST", "/upload", door.key, headers=headers))
    for number in range(3):
        piece = b"%010d" % number
        await client.send(piece if framing == "length" else chunk(piece))
        async with asyncio.timeout(5):
            assert await got.get() == piece
    if framing == "chunks":
        await client.send(b"0\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"ok")
    head = raw.requests[0].lower()
    assert (b"content-length: 30" in head) == (framing == "length")
    assert (b"transfer-encoding: chunked" in head) == (framing == "chunks")
    assert (await door.record(answer.id))["unscanned"] == ["body"]
    client.close()


async def test_a_large_upload_is_whole_and_never_held_whole(opened: Opener, request_bytes: Compose) -> None:
    received = 0

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        while received < 48 * MIB:
            received += len(await reader.read(MIB))
            if received % (4 * MIB) == 0:
                await asyncio.sleep(0.001)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read(1)

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    await client.send(request_bytes("POST", "/upload", door.key, headers=(("Content-Length", str(48 * MIB)),)))
    before, worst = held_bytes(), 0
    for _ in range(48 * 4):
        await client.send(b"a" * (MIB // 4))
        worst = max(worst, held_bytes() - before)
    assert (await client.answer()).body == b"ok"
    assert received == 48 * MIB
    assert worst < 24 * MIB
    client.close()


async def test_an_upstream_that_does_not_read_holds_the_upload_back(opened: Opener, request_bytes: Compose) -> None:
    async def script(raw: Raw, reader: StreamReader, _: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    raw = await opened.raw(script)
    door = await opened(POLICY.replace("timeout_s: 5", "timeout_s: 0.5"), upstream=raw.url)
    client = await door.connect()
    await client.send(request_bytes("POST", "/upload", door.key, headers=(("Content-Length", str(64 * MIB)),)))
    before = held_bytes()
    sent = 0
    answered = asyncio.ensure_future(client.answer())
    while not answered.done() and sent < 64:
        client.writer.write(b"a" * MIB)
        sent += 1
        drained = asyncio.ensure_future(client.writer.drain())
        await asyncio.wait([answered, drained], return_when=asyncio.FIRST_COMPLETED, timeout=5)
        drained.cancel()
    assert held_bytes() - before < 32 * MIB
    answer = await answered
    assert (await door.record(answer.id))["detail"] == "silent for over 0.5 s"
    answer.check_refusal(504, "upstream_timeout")
    client.close()


async def test_an_early_answer_reaches_a_client_that_waits_for_it(opened: Opener, request_bytes: Compose) -> None:
    """The upstream answers after the first piece; the client sends no more until it has heard (RFC 9110 15.5.14)."""

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(10)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await reader.read(1)

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    await client.send(request_bytes("POST", "/upload", door.key, headers=(("Content-Length", "1000"),)) + b"a" * 10)
    async with asyncio.timeout(3):
        (await client.answer()).check_refusal(413, "body_too_large")
    client.close()


async def test_the_rest_of_an_upload_after_an_early_answer_is_no_request(
    opened: Opener, request_bytes: Compose
) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        raw.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read(-1)

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    hidden = request_bytes("POST", "/upload", door.key, body=b"hidden")
    headers = (("Content-Length", str(len(hidden) + 10)),)
    await client.send(request_bytes("POST", "/upload", door.key, headers=headers) + b"a" * 10)
    answer = await client.answer()
    assert (answer.status, answer.body, answer.get("connection")) == (200, b"ok", "close")
    await client.try_send(hidden)
    assert await client.ended() == b""
    assert len(raw.requests) == 1
    client.close()


async def test_a_body_that_breaks_under_an_answer_cuts_it(opened: Opener, request_bytes: Compose) -> None:
    """Part of the answer is out when the upload turns out to be no HTTP: the record says whose fault it was."""

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        raw.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")
        await reader.read(-1)
        raw.lost[0].set()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    headers = (("Transfer-Encoding", "chunked"),)
    await client.send(request_bytes("POST", "/upload", door.key, headers=headers) + chunk(b"half"))
    assert (await client.head())[0] == 200
    await client.send(b"zz\r\n")
    assert len(await client.ended()) < 20
    async with asyncio.timeout(5):
        await raw.lost[0].wait()
    (record,) = await door.records(1)
    assert (record["decision"], record.get("reason")) == ("deny", "malformed_request"), record
    client.close()


async def test_an_upload_that_stalls_is_the_clients_fault(opened: Opener, request_bytes: Compose) -> None:
    """The upstream was never asked for anything that it could have answered: 408, not 504."""

    async def script(raw: Raw, reader: StreamReader, _: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)

    raw = await opened.raw(script)
    policy = POLICY.replace("timeout_s: 5", "timeout_s: 0.2")
    door = await opened(policy, upstream=raw.url, body_timeout_s=0.5)
    client = await door.connect()
    await client.send(request_bytes("POST", "/upload", door.key, headers=(("Content-Length", "1000"),)) + b"a" * 10)
    (await client.answer()).check_refusal(408, "request_timeout")
    client.close()


async def test_half_an_upload_is_never_a_whole_one_upstream(
    opened: Opener, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    tail = b""

    async def script(raw: Raw, reader: StreamReader, _: StreamWriter) -> None:
        nonlocal tail
        raw.requests.append(await reader.readuntil(b"\r\n\r\n"))
        while data := await reader.read(65536):
            tail += data
        raw.lost[0].set()

    for how in ("leave", "garbage"):
        tail = b""
        raw = await opened.raw(script)
        door = await opened(POLICY, upstream=raw.url)
        client = await door.connect()
        headers = (("Transfer-Encoding", "chunked"),)
        await client.send(request_bytes("POST", "/upload", door.key, headers=headers) + chunk(b"half"))
        await eventually(lambda raw=raw: raw.requests)
        if how == "leave":
            client.close()
        else:
            await client.send(b"zz\r\n")
            (await client.answer()).check_refusal(400, "malformed_request")
        async with asyncio.timeout(5):
            await raw.lost[0].wait()
        assert b"0\r\n\r\n" not in tail
        client.close()
