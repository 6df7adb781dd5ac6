"""What the upstream is told, and what becomes of what it says: the upstreams here are written by hand, and misbehave.

CANARY stands wherever an upstream speaks of itself; it must never be in the bytes that a client reads.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from vallum.core.exchange import Exchange

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable

    from tests.wire.conftest import Answer, Client, Door, Opener, Raw

    Compose = Callable[..., bytes]
    Script = Callable[[Raw, StreamReader, StreamWriter], Awaitable[None]]

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams:
  model:
    url: "http://127.0.0.1:9"
    timeout_s: 0.3
    headers: {X-Upstream-Key: "sk-upstream", Authorization: "Bearer up"}
authenticators: {keys: {type: api_key}}
routes:
  - name: plain
    match: {methods: [GET, HEAD, POST, PUT], path: /plain/**}
    upstream: model
    auth: {any_of: [keys]}
    request: {query: [q], headers: [X-Session]}
    response: {headers: [X-Kept]}
  - name: transformed
    match: {methods: [GET, HEAD, POST], path: /transformed}
    upstream: model
    auth: {any_of: [keys]}
    request: {sanitize: {html: strip, unicode: NFKC}}
    response: {drop_fields: [logits], max_bytes: 4096}
"""
BOTH = ("/plain/x", "/transformed")
CANARY = b"canary-51505150"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def says(*pieces: bytes, close: bool = False) -> Script:
    """Answer every request on a connection with these bytes, as they stand."""

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await raw.request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if close:
                writer.close()
                return

    return script


def document(value: Any, *more: bytes) -> bytes:
    """Write a whole answer."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return OK + b"".join(line + b"\r\n" for line in more) + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(*pieces: bytes) -> bytes:
    """Write a whole answer of which nobody says how long it is."""
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b"")]
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


async def ask(door: Door, target: str = "/plain/x", method: str = "POST", **more: Any) -> Answer:
    data = door_request(door, method, target, **more)
    return await door.exchange(data, method)


def door_request(
    door: Door, method: str, target: str, text: str = "a", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    body = b"" if method in ("GET", "HEAD") else json.dumps({"input_text": text}).encode()
    fields = (("Host", "x"), ("X-API-Key", door.key), *headers)
    if body:
        fields = (*fields, ("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def read_to_the_end(client: Client) -> None:
    while await client.chunk():
        pass


def fields_of(request: bytes) -> list[tuple[str, str]]:
    head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
    return [(name, value) for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])]


# --- what the upstream is told


async def test_the_upstream_is_told_what_is_listed_and_nothing_else(opened: Opener) -> None:
    raw = await opened.raw(says(document({})))
    door = await opened(POLICY, upstream=raw.url)
    sent = {
        "Accept": "application/json",
        "Accept-Language": "de",
        "Accept-Encoding": "gzip, br",
        "User-Agent": "curl/8",
        "Cookie": "session=1",
        "Origin": "https://evil.example",
        "Referer": "https://evil.example/",
        "X-Session": "kept",
        "X-Other": "dropped",
        "X-Upstream-Key": "forged",
        "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Request-Id": "forged",
        "Proxy-Authorization": "Basic eA==",
        "Content-Language": "de",
        "Max-Forwards": "1",
        "Range": "bytes=0-1",
        "If-None-Match": '"x"',
    }
    answer = await ask(door, "/plain/x?q=1&q=%20a", headers=tuple(sent.items()))
    assert answer.status == 200
    (request,) = raw.requests
    assert request.startswith(b"POST /plain/x?q=1&q=%20a HTTP/1.1\r\n")
    got = fields_of(request)
    assert len(dict(got)) == len(got), got
    assert dict(got) == {
        "host": raw.url.removeprefix("http://"),
        "x-upstream-key": "sk-upstream",
        "authorization": "Bearer up",
        "accept": "application/json",
        "accept-language": "de",
        "content-type": "application/json",
        "x-session": "kept",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-request-id": answer.id,
        "accept-encoding": "identity",
        "content-length": "19",
    }
    assert door.key.encode() not in request


async def test_a_body_that_is_not_changed_arrives_as_it_was_sent(opened: Opener, request_bytes: Compose) -> None:
    raw = await opened.raw(says(document({})))
    door = await opened(POLICY, upstream=raw.url)
    body = b' \r\n{"b" : 1.50, "a":"\\u00e9 \xc3\xa9 \\/ 1 < 2", "n": 1e2, "big": 123456789012345678901234567890 }\t\n'
    for target in BOTH:
        data = request_bytes("POST", target, door.key, body=body, headers=(("Content-Type", "application/json"),))
        assert (await door.exchange(data)).status == 200
        assert raw.requests[-1].partition(b"\r\n\r\n")[2] == body


async def test_a_body_that_is_changed_arrives_clean_and_measured(opened: Opener, request_bytes: Compose) -> None:
    raw = await opened.raw(says(document({})))
    door = await opened(POLICY, upstream=raw.url)
    sent = {"a": "x <b>y</b>", "n": 12345678901234567890, "f": 0.1, "l": [None, True]}
    data = request_bytes("POST", "/transformed", door.key, **sent)
    assert (await door.exchange(data)).status == 200
    body = raw.requests[-1].partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"a": "x y", "n": 12345678901234567890, "f": 0.1, "l": [None, True]}
    assert ("content-length", str(len(body))) in fields_of(raw.requests[-1])
    answer = await door.exchange(request_bytes("POST", "/transformed", door.key, a="x <b>y</b>", n=10**40))
    assert answer.status in (200, 400)


async def test_a_base_path_of_the_upstream_is_kept(opened: Opener) -> None:
    raw = await opened.raw(says(document({})))
    door = await opened(POLICY, upstream=raw.url + "/base/")
    assert (await ask(door, "/plain/%C3%A9%20x")).status == 200
    assert raw.requests[0].startswith(b"POST /base/plain/%C3%A9%20x HTTP/1.1\r\n")


# --- what the client is told


async def test_the_client_is_told_what_is_listed_and_nothing_else(opened: Opener) -> None:
    lines = [
        b"Server: " + CANARY,
        b"X-Powered-By: " + CANARY,
        b"Set-Cookie: a=" + CANARY,
        b"X-Request-Id: " + CANARY,
        b"Via: 1.1 " + CANARY,
        b"Location: http://" + CANARY,
        b"WWW-Authenticate: Basic realm=" + CANARY,
        b"RateLimit: " + CANARY,
        b"Retry-After: 51505150",
        b"Connection: x-kept",
        b"Keep-Alive: timeout=" + CANARY,
        b"Alt-Svc: " + CANARY,
        b"X-Kept: kept",
        b"Cache-Control: no-cache",
        b'ETag: "x"',
    ]
    raw = await opened.raw(says(document({"a": 1}, *lines)))
    door = await opened(POLICY, upstream=raw.url)
    answer = await ask(door)
    assert answer.status == 200
    assert CANARY not in answer.raw
    assert b"51505150" not in answer.raw
    assert {name for name, _ in answer.fields} == {
        "content-type",
        "content-length",
        "cache-control",
        "etag",
        "x-kept",
        "x-request-id",
    }


TRACE = b'{"detail": "canary-51505150", "traceback": "File /srv/model.py"}'


@pytest.mark.parametrize(
    ("upstream", "status", "code"),
    [
        (b"500 Internal canary-51505150", 502, "upstream_error"),
        (b"501 Not Implemented", 502, "upstream_error"),
        (b"502 Bad Gateway", 502, "upstream_error"),
        (b"504 Gateway Timeout", 502, "upstream_error"),
        (b"599 canary-51505150", 502, "upstream_error"),
        (b"301 Moved", 502, "upstream_error"),
        (b"302 Found", 502, "upstream_error"),
        (b"304 Not Modified", 502, "upstream_error"),
        (b"307 Temporary Redirect", 502, "upstream_error"),
        (b"401 Unauthorized", 502, "upstream_error"),
        (b"402 Payment Required", 502, "upstream_error"),
        (b"403 Forbidden", 502, "upstream_error"),
        (b"407 Proxy Authentication Required", 502, "upstream_error"),
        (b"400 Bad Request", 400, "invalid_request"),
        (b"404 Not Found", 404, "not_found"),
        (b"413 Content Too Large", 413, "body_too_large"),
        (b"415 Unsupported Media Type", 415, "unsupported_media_type"),
        (b"422 Unprocessable", 400, "invalid_request"),
        (b"429 Too Many Requests", 503, "unavailable"),
        (b"503 Service Unavailable", 502, "upstream_error"),
    ],
)
async def test_an_upstreams_refusal_becomes_ours(opened: Opener, upstream: bytes, status: int, code: str) -> None:
    lines = b"Location: http://canary-51505150.internal/\r\nWWW-Authenticate: Basic realm=canary-51505150\r\n"
    lines += b"Retry-After: 51505150\r\n"
    body = b"" if upstream.startswith(b"304") else TRACE
    text = b"HTTP/1.1 " + upstream + b"\r\nContent-Type: application/json\r\n" + lines
    raw = await opened.raw(says(text + b"Content-Length: %d\r\n\r\n" % len(body) + body))
    door = await opened(POLICY, upstream=raw.url)
    for target in BOTH:
        for method in ("GET", "POST"):
            answer = await ask(door, target, method)
            answer.check_refusal(status, code)
            assert b"51505150" not in answer.raw
            assert b"/srv" not in answer.raw
            record = await door.record(answer.id)
            assert record["upstream_status"] == int(upstream[:3])


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("text", "close"),
    [
        (b"", True),
        (b"H", True),
        (b"canary-51505150 is no HTTP\r\n\r\n", False),
        (b"SSH-2.0-canary-51505150\r\n", False),
        (b"\x16\x03\x01\x02\x00canary-51505150", False),
        (b"HTTP/1.1 200 OK\r\nX: canary-51505150\r\n", True),
        (b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\ncanary-51505150", False),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (HEAD + b"Content-Length: x\r\n\r\n", False),
        (HEAD + b"X: a\r\n canary-51505150\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"X : canary-51505150\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"no colon canary-51505150\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"X: a\nContent-Length: 0\n\n", False),
        (HEAD + b"Content-Type: a\rX-Kept: b\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"X: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n", False),
        (HEAD + b"X: a\r\n" * 20_000 + b"Content-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: canary-51505150\r\nConnection: Upgrade\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
async def test_an_answer_that_breaks_http_is_an_upstream_error(opened: Opener, text: bytes, close: bool) -> None:
    raw = await opened.raw(says(text, close=close))
    door = await opened(POLICY, upstream=raw.url)
    for target in BOTH:
        answer = await ask(door, target)
        answer.check_refusal(502, "upstream_error")
        assert b"51505150" not in answer.raw
    assert len(raw.requests) == 2


async def test_a_post_is_not_repeated_when_the_upstream_hangs_up(opened: Opener) -> None:
    raw = await opened.raw(says(b"", close=True))
    door = await opened(POLICY, upstream=raw.url)
    (await ask(door)).check_refusal(502, "upstream_error")
    assert len(raw.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        OK + b'Content-Length: 100\r\n\r\n{"a": "canary-51505150',
        OK + b'Transfer-Encoding: chunked\r\n\r\n12\r\n{"a": "canary-51505150\r\n',
        OK + b'Transfer-Encoding: chunked\r\n\r\n12\r\n{"a": "canary-51505150\r\n0\r\n',
        OK + b'Transfer-Encoding: chunked\r\n\r\n12\r\n{"a": "canary-51505150\r\nzz\r\n',
    ],
)
async def test_an_answer_that_ends_early_is_never_taken_for_a_whole_one(opened: Opener, text: bytes) -> None:
    raw = await opened.raw(says(text, close=True))
    door = await opened(POLICY, upstream=raw.url)
    held = await ask(door, "/transformed")
    held.check_refusal(502, "upstream_error")  # nothing was out yet
    assert CANARY not in held.raw
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await ask(door)  # part of it was out: it can only be cut
    (record,) = [r for r in await door.records(2) if r["route"] == "plain"]
    assert (record["decision"], record["reason"]) == ("deny", "upstream_error")


@pytest.mark.parametrize(
    "text",
    [b"", b"HTTP/1.1 200", OK, b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"Content-Length: 10\r\n\r\n", OK + b"\r\n{"],
    ids=["nothing", "half a line", "half a head", "an interim head", "a head", "half a body"],
)
async def test_a_silent_upstream_is_a_timeout(opened: Opener, text: bytes) -> None:
    raw = await opened.raw(says(text))
    door = await opened(POLICY, upstream=raw.url)
    (await ask(door, "/transformed")).check_refusal(504, "upstream_timeout")
    if b"\r\n\r\n" in text and not text.startswith(b"HTTP/1.1 100"):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask(door)
        reasons = {record.get("reason") for record in await door.records(2)}
        assert reasons == {"upstream_timeout"}
    else:
        (await ask(door)).check_refusal(504, "upstream_timeout")
    assert not door.gateway.service._pools or all(not pool._busy for pool in door.gateway.service._pools.values())


async def test_an_upstream_that_drips_is_no_timeout(opened: Opener) -> None:
    """The bound is on silence: a model may think aloud for as long as it likes."""

    async def drip(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        for piece in (OK, b"Content-Length: 7\r\n\r\n", b"{", b'"a', b'":', b"1"):
            writer.write(piece)
            await asyncio.sleep(0.12)
        writer.write(b"}")
        await reader.read(1)

    raw = await opened.raw(drip)
    door = await opened(POLICY, upstream=raw.url)
    assert (await ask(door)).body == b'{"a":1}'


async def test_two_answers_to_one_request_are_one_answer_at_most(opened: Opener) -> None:
    """The second must reach nobody: not this client as a body, not the next as an answer."""
    second = document({"for": "somebody else canary-51505150"})
    for first in (
        document({"a": 1}),
        OK + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n0\r\n\r\n',
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ):
        raw = await opened.raw(says(first + second))
        door = await opened(POLICY, upstream=raw.url)
        for target in BOTH:
            client = await door.connect()
            for _ in range(2):
                await client.send(door_request(door, "POST", target))
                answer = await client.answer()
                assert CANARY not in answer.raw
                if answer.status == 200:
                    assert answer.json() == {"a": 1}
                elif answer.status != 204:
                    answer.check_refusal(502, "upstream_error")
                    break
            client.writer.write_eof()
            assert CANARY not in await client.ended()
            client.close()


async def test_more_body_than_was_promised_does_not_reach_the_client(opened: Opener) -> None:
    raw = await opened.raw(says(OK + b"Content-Length: 8\r\n\r\n" + b'{"a": 1}' + CANARY))
    door = await opened(POLICY, upstream=raw.url)
    for target in BOTH:
        client = await door.connect()
        await client.send(door_request(door, "POST", target))
        answer = await client.answer()
        assert (answer.status, answer.json()) == (200, {"a": 1})
        await client.send(door_request(door, "POST", "/nowhere"))
        (await client.answer()).check_refusal(404, "not_found")
        client.close()
    assert raw.connections == 2  # such a connection is not used again


async def test_an_unasked_answer_on_a_resting_connection_answers_nobody(
    opened: Opener, eventually: Callable[..., Awaitable[Any]]
) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(document({"a": 1}))
        await writer.drain()
        await released.wait()
        writer.write(document({"for": "nobody canary-51505150"}))
        assert await reader.read(1) == b""
        raw.lost[raw.connections - 1].set()

    released = asyncio.Event()
    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    assert (await ask(door)).status == 200
    released.set()
    async with asyncio.timeout(5):
        await raw.lost[0].wait()
    released.clear()
    assert (await ask(door)).json() == {"a": 1}
    assert raw.connections == 2
    released.set()


async def test_interim_answers_are_swallowed(opened: Opener) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <canary-51505150>\r\n\r\n"
    raw = await opened.raw(says(interim + document({"a": 1}), interim))
    door = await opened(POLICY, upstream=raw.url)
    raw2 = await opened.raw(says(interim, interim, document({"a": 1})))
    door2 = await opened(POLICY, upstream=raw2.url)
    for one in (door, door2):
        for target in BOTH:
            answer = await ask(one, target)
            assert (answer.status, answer.json()) == (200, {"a": 1})
            assert CANARY not in answer.raw


async def test_answers_without_a_body(opened: Opener) -> None:
    raw = await opened.raw(says(b"HTTP/1.1 204 No Content\r\nX-Kept: a\r\n\r\n"))
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    for target in BOTH:
        await client.send(door_request(door, "POST", target))
        answer = await client.answer()
        assert (answer.status, answer.body) == (204, b"")
        assert not answer.all("content-length")
        assert not answer.all("transfer-encoding")
        if answer.all("connection"):
            client.close()
            client = await door.connect()
    client.close()


async def test_head_has_the_length_and_no_body(opened: Opener) -> None:
    raw = await opened.raw(says(OK + b"Content-Length: 1000\r\n\r\n"))
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    for _ in range(3):
        await client.send(door_request(door, "HEAD", "/plain/x"))
        answer = await client.answer("HEAD")
        assert (answer.status, answer.get("content-length")) == (200, "1000")
        assert raw.requests[-1].startswith(b"HEAD ")
    client.close()


async def test_a_body_after_head_reaches_nobody(opened: Opener) -> None:
    raw = await opened.raw(says(document({"canary": "canary-51505150"})))
    door = await opened(POLICY, upstream=raw.url)
    for target in BOTH:
        client = await door.connect()
        await client.send(door_request(door, "HEAD", target))
        assert (await client.answer("HEAD")).status == 200
        await client.send(door_request(door, "POST", "/nowhere"))
        (await client.answer()).check_refusal(404, "not_found")
        client.close()


async def test_a_body_that_ends_with_the_connection(opened: Opener) -> None:
    for start in (OK, OK.replace(b"1.1", b"1.0")):
        raw = await opened.raw(says(start + b'\r\n{"a": 1, "logits": [1]}', close=True))
        door = await opened(POLICY, upstream=raw.url)
        assert (await ask(door)).json() == {"a": 1, "logits": [1]}
        assert (await ask(door, "/transformed")).json() == {"a": 1}
        assert raw.connections == 2


async def test_a_body_that_ends_with_a_reset_is_not_whole(opened: Opener) -> None:
    """A length was never promised, but a crash is no end (RFC 9112 8)."""

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(OK + b'\r\n{"a": 1')
        await writer.drain()
        await sent.wait()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    sent = asyncio.Event()
    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    await client.send(door_request(door, "POST", "/plain/x"))
    status, _, _ = await client.head()
    assert status == 200
    assert await client.chunk() == b'{"a": 1'
    sent.set()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_to_the_end(client)
    client.close()


async def test_a_stream_without_a_length_that_falls_silent_is_not_whole(opened: Opener) -> None:
    raw = await opened.raw(says(OK + b'\r\n{"a": 1'))
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    await client.send(door_request(door, "POST", "/plain/x"))
    assert (await client.head())[0] == 200
    assert await client.chunk() == b'{"a": 1'
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_to_the_end(client)
    client.close()


# --- bodies that transforms must read


@pytest.mark.parametrize(
    "text",
    [
        document(gzip.compress(b'{"logits": "canary-51505150"}'), b"Content-Encoding: gzip"),
        document(b'{"logits": "canary-51505150"}').replace(b"application/json", b"text/plain"),
        document(b'{"logits": "canary-51505150"}').replace(b"application/json", b"text/html"),
        document(b'{"logits": "canary-51505150"}').replace(b"Content-Type: application/json\r\n", b""),
        document(b"a: canary-51505150").replace(b"application/json", b"application/x-msgpack"),
        document(b"canary-51505150"),
        document(b'{"a": "canary-51505150"'),
        document(b'{"logits": "canary-51505150"}{"logits": "canary-51505150"}'),
        document(b'\xef\xbb\xbf{"logits": "canary-51505150"}'),
        document(b'{"logits": "\xff canary-51505150"}'),
        document(b"[" * 3000),
        document(b""),
        document(b'{"a": "' + b"canary-51505150" * 400 + b'"}'),
        chunked(b" " * 1024, b"x" * 1024, CANARY.ljust(4096)),
    ],
    ids=lambda text: repr(text[-40:]),
)
async def test_what_a_transform_cannot_read_does_not_pass(opened: Opener, text: bytes) -> None:
    raw = await opened.raw(says(text))
    door = await opened(POLICY, upstream=raw.url)
    answer = await ask(door, "/transformed")
    answer.check_refusal(502, "upstream_error")
    assert b"51505150" not in answer.raw
    assert (await ask(door)).status == 200  # where nothing is read, nothing must be readable


async def test_numbers_that_json_has_no_name_for_still_come_through(opened: Opener) -> None:
    big = 10**30
    raw = await opened.raw(says(document(b'{"a": NaN, "b": 1e400, "big": %d, "logits": [1]}' % big)))
    door = await opened(POLICY, upstream=raw.url)
    answer = await ask(door, "/transformed")
    assert (answer.status, answer.json()) == (200, {"a": None, "b": None, "big": big})


async def test_a_field_twice_is_dropped_twice(opened: Opener) -> None:
    raw = await opened.raw(says(document(b'{"logits": "canary-51505150", "a": 1, "logit\\u0073": "canary-51505150"}')))
    door = await opened(POLICY, upstream=raw.url)
    assert (await ask(door, "/transformed")).json() == {"a": 1}


async def test_a_large_answer_passes_where_nothing_reads_it(opened: Opener) -> None:
    body = b"[" + b"1," * 2_000_000 + b"1]"
    raw = await opened.raw(says(document(body)))
    door = await opened(POLICY, upstream=raw.url)
    assert (await ask(door)).body == body
    (await ask(door, "/transformed")).check_refusal(502, "upstream_error")


# --- connections


async def test_a_connection_is_used_again(opened: Opener) -> None:
    raw = await opened.raw(says(document({"a": 1})))
    door = await opened(POLICY, upstream=raw.url)
    for _ in range(5):
        assert (await ask(door)).status == 200
    assert (raw.connections, len(raw.requests)) == (1, 5)


@pytest.mark.parametrize(
    "text",
    [
        document({}, b"Connection: close"),
        document({}).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_connection_that_is_to_end_is_not_used_again(opened: Opener, text: bytes) -> None:
    raw = await opened.raw(says(text))
    door = await opened(POLICY, upstream=raw.url)
    for _ in range(3):
        assert (await ask(door)).status == 200
    assert raw.connections == 3


class Stale:
    """Answers the first request on a connection, and hangs up on the second before a word."""

    async def __call__(self, raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(document({"a": 1}))
        await writer.drain()
        await raw.request(reader)
        writer.transport.abort()


async def test_a_get_on_a_stale_connection_is_sent_again(opened: Opener) -> None:
    raw = await opened.raw(Stale())
    door = await opened(POLICY, upstream=raw.url)
    for _ in range(4):
        assert (await ask(door, method="GET")).status == 200
    assert raw.connections == 4
    assert len(raw.requests) == 7


async def test_a_post_on_a_stale_connection_is_not_sent_again(opened: Opener) -> None:
    """It may have been done; who asked is told that it failed, and decides."""
    raw = await opened.raw(Stale())
    door = await opened(POLICY, upstream=raw.url)
    assert (await ask(door)).status == 200
    (await ask(door)).check_refusal(502, "upstream_error")
    assert (raw.connections, len(raw.requests)) == (1, 2)
    assert (await ask(door)).status == 200


async def test_a_connection_that_the_upstream_closed_in_its_rest_harms_no_post(
    opened: Opener, eventually: Callable[..., Awaitable[Any]]
) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(document({"a": 1}))
        await writer.drain()
        writer.close()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    for _ in range(5):
        assert (await ask(door)).status == 200
        (pool,) = door.gateway.service._pools.values()
        await eventually(lambda pool=pool: all(not call.reusable for call in pool._idle))
    assert len(raw.requests) == 5


async def test_nobody_listens(opened: Opener) -> None:
    raw = await opened.raw(says(document({})))
    door = await opened(POLICY, upstream="http://127.0.0.1:1")
    for target in BOTH:
        (await ask(door, target)).check_refusal(502, "upstream_error")
        (await ask(door, target, "GET")).check_refusal(502, "upstream_error")
    assert not raw.requests


async def test_a_name_that_no_one_has(opened: Opener) -> None:
    door = await opened(POLICY.replace("timeout_s: 0.3", "timeout_s: 5"), upstream="http://model.invalid:9000")
    (await ask(door)).check_refusal(502, "upstream_error")


async def test_tls_to_a_server_without_it(opened: Opener) -> None:
    raw = await opened.raw(says(document({})))
    door = await opened(POLICY, upstream=raw.url.replace("http:", "https:"))
    answer = await ask(door)
    assert answer.status in (502, 504)


async def test_many_clients_share_the_connections_and_never_each_others_answers(opened: Opener) -> None:
    async def echo(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            request = await raw.request(reader)
            text = json.loads(request.partition(b"\r\n\r\n")[2])["input_text"]
            await asyncio.sleep(0)
            writer.write(document({"text": text, "logits": 1}))

    raw = await opened.raw(echo)
    door = await opened(POLICY.replace("timeout_s: 0.3", "timeout_s: 5"), upstream=raw.url)

    async def talk(number: int) -> None:
        client: Client = await door.connect()
        for turn in range(20):
            text = f"client {number}, turn {turn}"
            await client.send(door_request(door, "POST", BOTH[turn % 2], text))
            assert (await client.answer()).json()["text"] == text
        client.close()

    await asyncio.gather(*(talk(number) for number in range(25)))
    assert len(raw.requests) == 500
    assert raw.connections <= 25


# --- what is left


def count_exchanges() -> int:
    return sum(isinstance(held, Exchange) for held in gc.get_objects())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/transformed", document({"prediction": "a", "logits": [1]})),
        ("/plain/x", document({"prediction": "a"})),
        ("/transformed", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        ("/elsewhere", b""),
    ],
    ids=["transformed", "passed on", "failed", "refused"],
)
async def test_an_exchange_that_has_ended_is_let_go_of_without_a_search_for_garbage(
    opened: Opener, eventually: Callable[[Callable[[], Any]], Awaitable[Any]], target: str, said: bytes
) -> None:
    raw = await opened.raw(says(said))
    door = await opened(POLICY, upstream=raw.url)
    gc.collect()
    others = count_exchanges()  # what other tests hold on to
    gc.disable()
    try:
        for _ in range(3):
            await ask(door, target)
        await eventually(lambda: count_exchanges() <= others)
    finally:
        gc.enable()
