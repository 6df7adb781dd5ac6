"""What is done to a gateway on purpose: framing tricks, floods, disguises.

Each is met with a refusal of the table, or with silence where the connection is dead; the model hears nothing of what
was refused, and the next request is served.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tests.wire.conftest import Answer, Client, Door, Opener, Raw

    Compose = Callable[..., bytes]

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9"}}
authenticators: {keys: {type: api_key}}
routes:
  - name: predict
    match: {methods: [POST], path: /api/v1/predict}
    upstream: model
    auth: {any_of: [keys], scopes: ["predict:read"]}
    request: {max_bytes: 65536, max_depth: 16}
  - name: models
    match: {methods: [GET, HEAD], path: /v1/models}
    upstream: model
    auth: {any_of: [keys]}
  - name: raw
    match: {methods: [POST], path: /raw}
    upstream: model
    preset: raw
    auth: {any_of: [keys]}
    request: {max_bytes: 65536}
"""
CLEANING = POLICY.replace("max_bytes: 65536, max_depth: 16", "sanitize: {html: strip, unicode: NFKC}")
PATIENCE_S = 30
MIB = 1 << 20
JSON = ("Content-Type", "application/json")
CHUNKED = ("Transfer-Encoding", "chunked")
GOOD = b'{"input_text": "a good day"}'


@pytest.fixture
async def door(opened: Opener) -> Door:
    return await opened(POLICY)


def held_bytes() -> int:
    """Return how much memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def flood(client: Client, pieces: Iterable[bytes]) -> int:
    """Send until the other side has had enough; return how much more memory was held at the worst moment."""
    before, worst = held_bytes(), 0
    for number, piece in enumerate(pieces):
        if not await client.try_send(piece):
            break
        if number % 16 == 0:
            worst = max(worst, held_bytes() - before)
    return max(worst, held_bytes() - before)


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 32 * MIB, 9)


async def maybe_answer(client: Client) -> Answer | None:
    """Read the refusal, if the connection lived long enough to bring it."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        return await client.answer()
    return None


# --- bodies


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_text": "\xc3\x28"}',
        b'{"input_text": "\xed\xa0\x80"}',
        b'{"input_text": "\xf0\x82\x82\xac"}',
        b'{"\xff": 1}',
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": [{"a": 1, "b": {"c": 1, "c": 2}}]}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": -1e400}',
        b'{"a": [1, 2, 9e999999999]}',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": .5}',
        b'{"a": 0x10}',
        b"// x\n{}",
        b'{"a": "\\x41"}',
        b'{"a": "\\ud800\\u0041"}',
        b'{"a": "\x00"}',
        GOOD + b"\x00",
        GOOD + b"x",
        b"\x0b" + GOOD,
        b"\xa0" + GOOD,
        b"[" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"9" * 60_000 + b"x",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_two_parsers_could_read_in_two_ways(door: Door, request_bytes: Compose, body: bytes) -> None:
    await door.refuses(request_bytes(key=door.key, body=body, headers=(JSON,)), 400, "malformed_request")


async def test_a_number_of_sixty_thousand_digits_is_no_fault(door: Door, request_bytes: Compose) -> None:
    answer = await door.exchange(request_bytes(key=door.key, body=b'{"n":' + b"9" * 60_000 + b"}", headers=(JSON,)))
    assert answer.status in (400, 500) or door.model.calls == 1  # refused, or the model's to refuse
    if answer.status == 500:
        pytest.fail("an honest number is no fault of the gateway")


@pytest.mark.parametrize("tag", ["<div>", "<b><i>", "<b", "<", "<!--", "<table><tr>", "<p><a>", "&lt;b"])
async def test_a_quarter_megabyte_of_markup_costs_little(opened: Opener, request_bytes: Compose, tag: str) -> None:
    """Cleaning is linear in the text, whatever it nests."""
    door = await opened(CLEANING)
    body = json.dumps({"input_text": "a" + tag * (250_000 // len(tag))}).encode()
    client = await door.connect()
    await client.send(request_bytes(key=door.key, body=body, headers=(JSON,)))
    async with asyncio.timeout(PATIENCE_S):
        answer = await client.answer()
    assert answer.status in (200, 403)
    client.close()


async def test_deep_but_legal_is_refused_by_the_bound_on_depth(door: Door, request_bytes: Compose) -> None:
    for depth in (18, 100):
        body = b"[" * depth + b"]" * depth
        await door.refuses(request_bytes(key=door.key, body=body, headers=(JSON,)), 400, "invalid_request", "errors")


async def test_a_gigabyte_that_is_only_declared(door: Door, request_bytes: Compose) -> None:
    for size in ("1000000000", "9223372036854775807", "18446744073709551615"):
        headers = (JSON, ("Content-Length", size))
        await door.refuses(request_bytes(key=door.key, headers=headers), 413, "body_too_large")


async def test_a_length_that_no_machine_can_count(door: Door, request_bytes: Compose) -> None:
    headers = (JSON, ("Content-Length", "99999999999999999999999999"))
    await door.refuses(request_bytes(key=door.key, headers=headers), 400, "malformed_request")


@pytest.mark.parametrize("target", ["/api/v1/predict", "/raw"])
async def test_chunks_without_end_are_cut_at_the_bound(door: Door, request_bytes: Compose, target: str) -> None:
    client = await door.connect()
    async with door.untouched() if target != "/raw" else nullcontext():
        await client.send(request_bytes("POST", target, door.key, headers=(JSON, CHUNKED)))
        piece = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
        grown = await flood(client, (piece for _ in range(4096)))  # 64 MiB
        answer = await maybe_answer(client)
        if answer is not None:
            answer.check_refusal(413, "body_too_large")
        assert grown < 16 * MIB
    client.close()
    assert (await door.ask()).status == 200


@pytest.mark.parametrize("target", ["/api/v1/predict", "/nowhere"])
async def test_a_body_that_nobody_will_read_is_not_kept(door: Door, request_bytes: Compose, target: str) -> None:
    """A stranger's 64 MiB, declared: the refusal comes at once, and what follows is thrown away or cut off."""
    client = await door.connect()
    async with door.untouched():
        await client.send(request_bytes("POST", target, headers=(JSON, ("Content-Length", str(64 * MIB)))))
        grown = await flood(client, (b"a" * 65536 for _ in range(1024)))
        answer = await maybe_answer(client)
        if answer is not None:
            assert answer.status in (401, 404)
        assert grown < 16 * MIB
    client.close()


@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP", "x-gzip", "br", "deflate", "zstd", "identity, gzip", "gzip, gzip"]
)
async def test_a_compressed_body_is_not_taken(door: Door, request_bytes: Compose, encoding: str) -> None:
    bomb = _bomb()
    data = request_bytes(key=door.key, body=bomb, headers=(JSON, ("Content-Encoding", encoding)))
    answer = await door.refuses(data[: len(data) - len(bomb) + 100], 415, "unsupported_media_type")
    assert answer.get("connection") == "close"


# --- framing


def post(*lines: str, body: bytes = b"") -> Callable[[Door], bytes]:
    """Write a request to the raw route, framed as told."""

    def write(door: Door) -> bytes:
        head = [f"POST /raw HTTP/1.1\r\nHost: a\r\nX-API-Key: {door.key}\r\nContent-Type: application/json\r\n"]
        return "".join([*head, *(f"{line}\r\n" for line in lines), "\r\n"]).encode("latin-1") + body

    return write


@pytest.mark.parametrize(
    "write",
    [
        post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
        post("Content-Length: 5", "Content-Length: 5", body=b"12345"),
        post("Content-Length: 5", "Content-Length: 6", body=b"12345"),
        post("Content-Length: 5, 5", body=b"12345"),
        post("Content-Length: +5", body=b"12345"),
        post("Content-Length: 0x5", body=b"12345"),
        post("Content-Length: 5 5", body=b"12345"),
        post("Content-Length: -5", body=b"12345"),
        post("Content-Length: 5.0", body=b"12345"),
        post("Content-Length: ", body=b"12345"),
        post("Content-Length: \xb2", body=b"12"),
        post("Content-Length : 5", body=b"12345"),
        post(" Content-Length: 5", body=b"12345"),
        post("Content\tLength: 5", body=b"12345"),
        post("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: identity", body=b"12345"),
        post("Transfer-Encoding: gzip", body=b"12345"),
        post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: chunkedx", body=b"0\r\n\r\n"),
        post('Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
        post("Transfer-Encoding: chunked;a=b", body=b"0\r\n\r\n"),
        post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
        post("Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
        post("X: a\r\n b", "Content-Length: 0"),
        post("X: a\r\n\tb", "Content-Length: 0"),
        post("X: a\rContent-Length: 5", body=b"12345"),
        post("X: a\nContent-Length: 5", body=b"12345"),
        post("X: a\x00b", "Content-Length: 0"),
        post("X\x00: a", "Content-Length: 0"),
        post("X: a\x7f\x01", "Content-Length: 0"),
        post("no colon", "Content-Length: 0"),
        post(": no name", "Content-Length: 0"),
        post("X(y): a", "Content-Length: 0"),
        post("X\xe9: a", "Content-Length: 0"),
    ],
    ids=lambda write: repr(write.__closure__[1].cell_contents)[:60],
)
async def test_framing_that_could_be_read_in_two_ways(door: Door, write: Callable[[Door], bytes]) -> None:
    answer = await door.refuses(write(door), 400, "malformed_request")
    assert answer.get("connection") == "close"


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\n12345\r\n0\r\n\r\n",
        b"+5\r\n12345\r\n0\r\n\r\n",
        b"-5\r\n12345\r\n0\r\n\r\n",
        b" 5\r\n12345\r\n0\r\n\r\n",
        b"5 \r\n12345\r\n0\r\n\r\n",
        b"5\t\r\n12345\r\n0\r\n\r\n",
        b"5\n12345\r\n0\r\n\r\n",
        b"5\r\n12345\n0\r\n\r\n",
        b"5\r\n12345\r\n0\n\n",
        b"5\r12345\r\n0\r\n\r\n",
        b"5\r\n123456\r\n0\r\n\r\n",
        b"5\r\n1234\r\n0\r\n\r\n",
        b"5\r\n12345\r\n\r\n0\r\n\r\n",
        b"5\r\n1234500\r\n\r\n",
        b"\r\n5\r\n12345\r\n0\r\n\r\n",
        b"g\r\n12345\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n12345\r\n0\r\n\r\n",
        b"10000000000000005\r\n12345\r\n0\r\n\r\n",
        b"5;a\nb\r\n12345\r\n0\r\n\r\n",
        b"5;a\rb\r\n12345\r\n0\r\n\r\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\nX: a\n\r\n",
        b"0\r\n X: a\r\n\r\n",
    ],
)
@pytest.mark.parametrize("target", ["/api/v1/predict", "/raw"])
async def test_chunks_that_are_none(door: Door, request_bytes: Compose, body: bytes, target: str) -> None:
    data = request_bytes("POST", target, door.key, headers=(JSON, CHUNKED)) + body
    if target == "/raw":  # the head may have gone on before the fault was seen, the whole request never
        answer = await door.exchange(data)
        answer.check_refusal(400, "malformed_request")
        assert door.model.bodies == []
        assert (await door.ask()).status == 200
    else:
        await door.refuses(data, 400, "malformed_request")


async def test_honest_chunks_are_a_body_like_any_other(door: Door, request_bytes: Compose) -> None:
    head = request_bytes(key=door.key, headers=(JSON, CHUNKED))
    for size in (1, 3, 100):
        body = b"".join(
            b"%x;note=x\r\n%b\r\n" % (len(GOOD[at : at + size]), GOOD[at : at + size])
            for at in range(0, len(GOOD), size)
        )
        assert (await door.exchange(head + body + b"0\r\nX-Trailer: a\r\n\r\n")).status == 200
        assert door.model.bodies[-1] == GOOD


async def test_a_chunk_of_any_size_is_bounded_by_the_route(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    async with door.untouched():
        await client.send(request_bytes(key=door.key, headers=(JSON, CHUNKED)) + b"FFFFFFFFFFFFFFF\r\n")
        grown = await flood(client, (b"a" * 65536 for _ in range(256)))
        answer = await maybe_answer(client)
        if answer is not None:
            answer.check_refusal(413, "body_too_large")
        assert grown < 16 * MIB
    client.close()


@pytest.mark.parametrize(
    "piece",
    [
        b"1;" + b"a" * 4000 + b"\r\nx\r\n",
        b"1" + b";a=b" * 1000 + b"\r\nx\r\n",
        b"1;a=" + b"b" * 4000,
        b"0" * 4000,
    ],
    ids=["extensions", "many extensions", "one endless extension", "one endless size"],
)
async def test_more_framing_than_body(door: Door, request_bytes: Compose, piece: bytes) -> None:
    client = await door.connect()
    async with door.untouched():
        await client.send(request_bytes(key=door.key, headers=(JSON, CHUNKED)))
        grown = await flood(client, (piece for _ in range(2048)))  # 8 MiB
        answer = await maybe_answer(client)
        if answer is not None:
            answer.check_refusal(400, "malformed_request")
        assert grown < 16 * MIB
    client.close()


async def test_trailers_without_end(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    async with door.untouched():
        await client.send(request_bytes(key=door.key, headers=(JSON, CHUNKED)) + b"0\r\n")
        grown = await flood(client, (b"X-%d: a\r\n" % n * 100 for n in range(1000)))
        answer = await maybe_answer(client)
        if answer is not None:
            answer.check_refusal(431, "headers_too_large")
        assert grown < 16 * MIB
    client.close()


async def test_a_body_in_a_hundred_thousand_chunks(opened: Opener, request_bytes: Compose) -> None:
    """One byte a chunk costs time and memory in proportion to the bytes, and not more."""
    door = await opened(POLICY.replace("65536", "262144"))
    text = b'{"input_text": "' + b"a" * 4000 + b'"}' + b" " * 200_000
    body = b"".join(b"1\r\n%c\r\n" % sign for sign in text) + b"0\r\n\r\n"
    client, before = await door.connect(), held_bytes()
    await client.send(request_bytes(key=door.key, headers=(JSON, CHUNKED)) + body)
    answer = await client.answer()
    assert answer.status == 200
    assert held_bytes() - before < 32 * MIB
    client.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/models\r\n\r\n",
        b"GET /v1/models HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/3\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/11.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1x\r\nHost: a\r\n\r\n",
        b"GET /v1/models http/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models ICE/1.0\r\nHost: a\r\n\r\n",
        b"GET\t/v1/models\tHTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/mod els HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\nHost: a\n\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\n",
        b"GET /v1/models HTTP/1.1\r\n Host: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x00",
        b"get /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        b"FROBNICATE /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_what_is_not_http_1(door: Door, data: bytes) -> None:
    data = data.replace(b"Host: a", f"Host: a\r\nX-API-Key: {door.key}".encode(), 1)
    answer = await door.refuses(data, 400, "malformed_request", method="GET")
    assert answer.get("connection") == "close"


@pytest.mark.parametrize("protocol", ["SOURCE /v1/models ICE/1.0", "SETUP /v1/models RTSP/1.0"])
async def test_other_protocols_that_the_parser_knows(door: Door, protocol: str) -> None:
    async with door.untouched():
        answer = await door.exchange(f"{protocol}\r\nHost: a\r\nX-API-Key: {door.key}\r\n\r\n".encode())
        assert answer.status in (400, 404)


@pytest.mark.parametrize("start", ["GET  /v1/models HTTP/1.1", "GET /v1/models  HTTP/1.1"])
async def test_more_spaces_than_one_are_refused_or_no_part_of_the_path(door: Door, start: str) -> None:
    """RFC 9112 3 lets a recipient read words between any white space; what is forwarded is written afresh."""
    answer = await door.exchange(f"{start}\r\nHost: a\r\nX-API-Key: {door.key}\r\n\r\n".encode(), "GET")
    assert answer.status in (200, 400)
    assert {path for _, path, _ in door.model.heads} <= {"/v1/models"}


async def test_a_request_without_version_and_end_is_not_waited_for(opened: Opener) -> None:
    door = await opened(POLICY, header_timeout_s=0.05)
    async with door.untouched():
        answer = await door.exchange(b"GET /v1/models\r\n", "GET")
        assert answer.status in (400, 408)


async def test_chunks_in_http_1_0(door: Door) -> None:
    data = f"POST /raw HTTP/1.0\r\nHost: a\r\nX-API-Key: {door.key}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    await door.refuses(data.encode(), 400, "malformed_request")


async def test_http_1_0_is_served_and_closed(door: Door) -> None:
    client = await door.connect()
    await client.send(f"GET /v1/models HTTP/1.0\r\nX-API-Key: {door.key}\r\n\r\n".encode())
    answer = await client.answer("GET")
    assert answer.status == 200
    assert "transfer-encoding" not in dict(answer.fields)
    assert await client.ended() == b""
    client.close()


# --- heads


async def test_a_hundred_thousand_fields(door: Door) -> None:
    client = await door.connect()
    async with door.untouched():
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n")
        grown = await flood(client, (b"X-%d: a\r\n" % n * 10 for n in range(10_000)))
        answer = await maybe_answer(client)
        if answer is not None:
            answer.check_refusal(431, "headers_too_large")
        assert grown < 16 * MIB
    client.close()


@pytest.mark.parametrize(
    ("start", "status", "code"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX: ", 431, "headers_too_large"),
        (b"GET /v1/models HTTP/1.1\r\nHost: a\r\n", 431, "headers_too_large"),
        (b"GET /v1/models HTTP/1.1\r\nHost: ", 431, "headers_too_large"),
        (b"GET /", 414, "uri_too_long"),
        (b"GET /?", 414, "uri_too_long"),
        (b"GET http://", 414, "uri_too_long"),
    ],
    ids=["value", "name", "first value", "path", "query", "absolute"],
)
async def test_a_megabyte_in_one_place_of_the_head(door: Door, start: bytes, status: int, code: str) -> None:
    client = await door.connect()
    async with door.untouched():
        await client.send(start)
        grown = await flood(client, (b"a" * 4096 for _ in range(256)))
        answer = await maybe_answer(client)
        if answer is not None:
            answer.check_refusal(status, code)
        assert grown < 16 * MIB
    client.close()


async def test_empty_lines_without_end(door: Door) -> None:
    client = await door.connect()
    async with door.untouched():
        assert await flood(client, (b"\r\n" * 2048 for _ in range(1024))) < 16 * MIB
        answer = await maybe_answer(client)
        if answer is not None:
            assert answer.status in (400, 414, 431)
    client.close()


@pytest.mark.parametrize("where", ["?key={}", "?api_key={}", "?access_token={}", "?authorization=Bearer%20{}"])
async def test_a_key_in_the_query_is_no_credential(door: Door, request_bytes: Compose, where: str) -> None:
    answer = await door.refuses(
        request_bytes("GET", "/v1/models" + where.format(door.key)), 401, "unauthenticated", method="GET"
    )
    assert door.key not in json.dumps(await door.record(answer.id))


async def test_a_key_in_a_cookie_or_another_field_is_no_credential(door: Door, request_bytes: Compose) -> None:
    for name in ("Cookie", "Proxy-Authorization", "X-Auth-Token", "X_API_Key", "X-Authorization", "Authorization-"):
        data = request_bytes("GET", "/v1/models", headers=((name, f"Bearer {door.key}"),))
        await door.refuses(data, 401, "unauthenticated", method="GET")


# --- upgrades and tunnels


async def test_an_upgrade_is_declined_and_the_request_answered(door: Door, request_bytes: Compose) -> None:
    for protocol in ("h2c", "websocket", "TLS/1.0"):
        headers = (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABk"))
        client = await door.connect()
        await client.send(
            request_bytes("GET", "/v1/models", door.key, headers=headers) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        )
        answer = await client.answer("GET")
        assert answer.status == 200
        assert not {"upgrade", "http2-settings", "connection"} & door.model.heads[-1][2].keys()
        assert await client.ended() == b""
        client.close()


async def test_an_upgrade_with_a_body_is_not_read_in_two_ways(door: Door, request_bytes: Compose) -> None:
    headers = (("Connection", "Upgrade"), ("Upgrade", "h2c"))
    data = request_bytes(key=door.key, headers=headers, input_text="a good day")
    await door.refuses(data, 400, "malformed_request")


async def test_an_upgrade_hides_no_second_request(door: Door, request_bytes: Compose) -> None:
    headers = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    client = await door.connect()
    hidden = request_bytes(key=door.key, input_text="hidden")
    await client.send(request_bytes("GET", "/v1/models", door.key, headers=headers) + hidden)
    assert (await client.answer("GET")).status == 200
    assert await client.ended() == b""
    assert [path for _, path, _ in door.model.heads] == ["/v1/models"]
    client.close()


async def test_connect_opens_nothing(door: Door, request_bytes: Compose) -> None:
    for target in ("127.0.0.1:22", "model.internal:9000", "/v1/models"):
        data = request_bytes("CONNECT", target, door.key)
        async with door.untouched():
            client = await door.connect()
            await client.send(data)
            (await client.answer("GET")).check_refusal(404, "not_found")
            await client.try_send(request_bytes(key=door.key, input_text="tunnelled"))
            assert await client.ended() == b""
            client.close()


# --- pipelining


async def test_pipelined_requests_are_answered_in_order(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    texts = [f"request number {n}" for n in range(10)]
    targets = ["/api/v1/predict" if n % 3 else "/nowhere" for n in range(10)]
    await client.send(
        b"".join(request_bytes("POST", t, door.key, input_text=x) for t, x in zip(targets, texts, strict=True))
    )
    answers = [await client.answer() for _ in texts]
    assert [a.status for a in answers] == [200 if n % 3 else 404 for n in range(10)]
    assert len({a.id for a in answers}) == 10
    assert [json.loads(body)["input_text"] for body in door.model.bodies] == [
        text for n, text in enumerate(texts) if n % 3
    ]
    client.close()


async def test_a_thousand_pipelined_requests_do_not_pile_up(door: Door, request_bytes: Compose) -> None:
    """Answered in order as far as they are taken; the rest is refused once, and nothing is answered twice."""
    client = await door.connect()
    one = request_bytes(key=door.key, input_text="a")
    before = held_bytes()
    sending = asyncio.ensure_future(client.try_send(one * 1000))
    statuses: list[int] = []
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while len(statuses) < 1000:
            answer = await client.answer()
            statuses.append(answer.status)
            if answer.status != 200:
                answer.check_refusal(400, "malformed_request")
                break
    sending.cancel()
    client.close()
    assert statuses
    assert set(statuses[:-1]) <= {200}
    assert held_bytes() - before < 32 * MIB
    assert door.model.calls <= 1000
    async with door.untouched():
        pass


async def test_a_refused_body_is_no_next_request(door: Door, request_bytes: Compose) -> None:
    """What was refused unread must not be read as a request of its own (request smuggling through an early answer)."""
    hidden = request_bytes(key=door.key, input_text="hidden")
    for target, key, status in (("/nowhere", door.key, 404), ("/api/v1/predict", None, 401)):
        client = await door.connect()
        async with door.untouched():
            await client.send(request_bytes("POST", target, key, body=hidden, headers=(JSON,)))
            answer = await client.answer()
            assert answer.status == status
            await client.try_send(b"")
            if answer.all("connection") == ["close"]:
                assert await client.ended() == b""
        client.close()


async def test_a_fault_after_a_good_request_comes_after_its_answer(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    await client.send(request_bytes(key=door.key, input_text="a") + b"nonsense\r\n\r\n")
    assert (await client.answer()).status == 200
    (await client.answer()).check_refusal(400, "malformed_request")
    assert await client.ended() == b""
    client.close()


async def test_nothing_follows_connection_close(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    one = request_bytes(key=door.key, input_text="a", headers=(("Connection", "close"),))
    await client.send(one + request_bytes(key=door.key, input_text="hidden"))
    assert (await client.answer()).status == 200
    rest = await client.ended()
    assert not rest.startswith(b"HTTP/1.1 200")
    assert door.model.calls == 1
    client.close()


# --- methods and paths


async def test_head_is_answered_without_a_body(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    await client.send(request_bytes("HEAD", "/v1/models", door.key) + request_bytes("GET", "/v1/models", door.key))
    head = await client.answer("HEAD")
    got = await client.answer("GET")
    assert (head.body, got.status) == (b"", 200)
    assert got.json()["object"] == "list"
    assert door.model.heads[0][0] == "HEAD"
    client.close()


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "PROPFIND", "PURGE", "QUERY", "M-SEARCH", "LINK"])
async def test_a_method_that_no_route_names_does_not_exist(door: Door, request_bytes: Compose, method: str) -> None:
    for target in ("/api/v1/predict", "/v1/models"):
        answer = await door.refuses(request_bytes(method, target, door.key), 404, "not_found", method=method)
        assert not answer.all("allow")


async def test_options_of_everything(door: Door, request_bytes: Compose) -> None:
    await door.refuses(request_bytes("OPTIONS", "*", door.key), 404, "not_found", method="OPTIONS")


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"])
async def test_a_method_in_a_field_is_not_believed_and_not_forwarded(
    door: Door, request_bytes: Compose, name: str
) -> None:
    data = request_bytes("GET", "/api/v1/predict", door.key, headers=((name, "POST"),))
    await door.refuses(data, 404, "not_found", method="GET")
    answer = await door.exchange(request_bytes(key=door.key, input_text="a", headers=((name, "DELETE"),)))
    assert answer.status == 200
    assert name.lower() not in door.model.heads[-1][2]


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Uri"])
async def test_a_path_in_a_field_is_not_believed_and_not_forwarded(
    door: Door, request_bytes: Compose, name: str
) -> None:
    headers = ((name, "/api/v1/predict"),)
    await door.refuses(request_bytes("POST", "/", door.key, headers=headers, input_text="a"), 404, "not_found")
    answer = await door.exchange(request_bytes(key=door.key, input_text="a", headers=((name, "/admin"),)))
    assert answer.status == 200
    assert name.lower() not in door.model.heads[-1][2]


@pytest.mark.parametrize(
    "target",
    [
        "//api/v1/predict",
        "/api//v1/predict",
        "/api/./v1/predict",
        "/api/v1/../v1/predict",
        "/api/v1/x/../predict",
        "/../api/v1/predict",
        "/api/%2e%2e/api/v1/predict",
        "/api/%2E/v1/predict",
        "/api/v1/.%2e/v1/predict",
        "/api%2Fv1%2Fpredict",
        "/api/v1%2fpredict",
        "/api%5Cv1%5Cpredict",
        "/api\\v1\\predict",
        "/api/v1/predict;",
        "/api/v1;x=y/predict",
        "/api/v1/..;/v1/predict",
        "/api/v1/predict/",
        "/api/v1/predict//",
        "/api/v1/predict/.",
        "/api/v1/predict%20",
        "/api/v1/predict%00",
        "/api/v1/predict%00.json",
        "/api/v1/predict%0d%0a",
        "/api/v1/predict%23",
        "/api/v1/predict%3f",
        "/api/v1/predict.json",
        "/API/v1/predict",
        "/api/v1/Predict",
        "/api/v1/%2570redict",
        "/api/v1/%ffpredict",
        "/api/v1/%c0%afpredict",
        "/api/v1/predict#x",
        "/api/v1/\xffpredict",
        "/%61pi/v1/predict%",
        "/api/v1/predict%zz",
        "api/v1/predict",
        "*",
        "http://evil.example/nowhere",
        "http://evil.example//api/v1/predict",
        "http:///api//v1/predict",
        "https://evil.example/api/v1/predict/",
        "ftp://evil.example/api/v1/predict",
        "evil.example:80",
    ],
)
async def test_a_path_that_is_not_the_routes_is_not_found(door: Door, request_bytes: Compose, target: str) -> None:
    async with door.untouched():
        answer = await door.exchange(request_bytes("POST", target, door.key, input_text="a"))
        if answer.status == 400:  # no target at all, in llhttp's eyes
            answer.check_refusal(400, "malformed_request")
        else:
            answer.check_refusal(404, "not_found")


@pytest.mark.parametrize(
    "target",
    ["/%61pi/v1/predict", "/api/v1/predic%74", "http://evil.example/api/v1/predict", "https://a:b@evil/api/v1/predict"],
)
async def test_a_path_in_another_spelling_is_judged_and_forwarded_in_one(
    door: Door, request_bytes: Compose, target: str
) -> None:
    await door.refuses(request_bytes("POST", target, input_text="a"), 401, "unauthenticated")
    assert (await door.exchange(request_bytes("POST", target, door.key, input_text="a"))).status == 200
    assert door.model.heads[-1][1] == "/api/v1/predict"


# --- fields that lie


async def test_fields_of_one_hop_smuggle_nothing(door: Door, request_bytes: Compose) -> None:
    """`Connection: authorization` asks a proxy to take the credential away before it is looked at, or after."""
    for listed in ("authorization", "x-api-key, close", "host, content-length", "content-type", "x-request-id"):
        headers = (("Connection", listed), ("Keep-Alive", "timeout=5"), ("TE", "trailers"), ("Proxy-Connection", "x"))
        answer = await door.exchange(request_bytes(key=door.key, headers=headers, input_text="a"))
        assert answer.status == 200
        seen = door.model.heads[-1][2]
        assert not {"authorization", "x-api-key", "connection", "keep-alive", "te", "proxy-connection"} & seen.keys()
        assert seen["x-request-id"] == answer.id
        await door.refuses(request_bytes(headers=headers, input_text="a"), 401, "unauthenticated")


async def test_what_a_client_says_of_itself_is_not_believed_and_not_forwarded(
    door: Door, request_bytes: Compose
) -> None:
    forged = "01912f5e-7c3a-7d55-9a3e-3f0c5a1b2c3d"
    lies = {
        "X-Request-Id": forged,
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
        "Via": "1.1 evil",
        "X-Vallum-Subject": "admin",
        "X-Vallum-Principal": "admin",
        "Vallum-Cost": "requests=0",
        "X-Consumer-Username": "admin",
        "X-User-Id": "admin",
        "X-Scopes": "predict:read",
        "RateLimit": '"minute";r=100;t=0',
        "Cookie": "session=admin",
    }
    answer = await door.exchange(request_bytes(key=door.key, headers=tuple(lies.items()), input_text="a"))
    assert answer.status == 200
    assert answer.id != forged
    seen = door.model.heads[-1][2]
    assert seen["x-request-id"] == answer.id
    assert {name for name in seen if name in {lie.lower() for lie in lies}} == {"x-request-id"}
    record = await door.record(answer.id)
    assert (record["client"], record["subject"]) == ("127.0.0.1", "owner")
    await door.refuses(request_bytes(headers=tuple(lies.items()), input_text="a"), 401, "unauthenticated")


async def test_a_listed_proxy_is_believed_and_only_its_own_entry(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY.replace("routes:", 'trusted_proxies: ["127.0.0.1/32"]\nroutes:'))
    for value, client in (
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.1", "203.0.113.7"),
        ("nonsense", "127.0.0.1"),
        ("203.0.113.7, nonsense", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ):
        answer = await door.exchange(request_bytes(key=door.key, headers=(("X-Forwarded-For", value),), input_text="a"))
        assert (await door.record(answer.id))["client"] == client, value
    headers = (("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7"))
    answer = await door.exchange(request_bytes(key=door.key, headers=headers, input_text="a"))
    assert (await door.record(answer.id))["client"] == "203.0.113.7"


# --- bodies that wait, and clients that leave


async def test_100_continue_comes_when_the_head_has_earned_it(door: Door, request_bytes: Compose) -> None:
    client = await door.connect()
    headers = (JSON, ("Expect", "100-continue"), ("Content-Length", str(len(GOOD))))
    await client.send(request_bytes(key=door.key, headers=headers))
    assert (await client.answer()).raw == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(GOOD)
    assert (await client.answer()).status == 200
    assert "expect" not in door.model.heads[-1][2]
    client.close()


async def test_no_100_continue_for_who_is_refused(door: Door, request_bytes: Compose) -> None:
    for key, size, status, code in ((None, 10, 401, "unauthenticated"), (door.key, 10**9, 413, "body_too_large")):
        headers = (JSON, ("Expect", "100-continue"), ("Content-Length", str(size)))
        answer = await door.refuses(request_bytes(key=key, headers=headers), status, code)
        assert answer.get("connection") == "close"


@pytest.mark.parametrize("target", ["/api/v1/predict", "/raw"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_half_a_body_and_away(
    door: Door, request_bytes: Compose, target: str, how: str, eventually: Callable[..., Awaitable[Any]]
) -> None:
    client = await door.connect()
    await client.send(request_bytes("POST", target, door.key, headers=(JSON, ("Content-Length", "1000"))) + b'{"inp')
    listener = door.gateway._listener
    assert listener is not None
    await eventually(lambda: any(c.task is not None for c in listener.connections))
    if how == "close":
        client.writer.close()
    elif how == "reset":
        client.reset()
    else:
        client.writer.write_eof()
    await eventually(lambda: not any(c.task is not None for c in listener.connections))
    assert door.model.bodies == []  # half a request is none
    client.close()
    (record,) = await door.records(1)
    assert (record["status"], record["decision"]) in {(None, "none"), (None, "cancelled"), (None, "allow")}
    async with door.untouched():
        pass


async def test_a_reset_while_the_model_thinks(
    opened: Opener, request_bytes: Compose, eventually: Callable[..., Awaitable[Any]]
) -> None:
    async def hang(raw: Raw, reader: Any, _: Any) -> None:
        await raw.request(reader)
        await reader.read(1)
        raw.lost[0].set()

    raw = await opened.raw(hang)
    door = await opened(POLICY, upstream=raw.url)
    client = await door.connect()
    await client.send(request_bytes(key=door.key, input_text="a"))
    await eventually(lambda: raw.requests)
    client.reset()
    async with asyncio.timeout(5):
        await raw.lost[0].wait()
    (record,) = await door.records(1)
    assert record["status"] is None


async def test_a_thousand_connections_that_say_nothing(opened: Opener, request_bytes: Compose) -> None:
    """Over the bound, connections are refused at once; under it, others are served."""
    door = await opened(POLICY, max_connections=100, idle_timeout_s=0.2)
    idle = [await door.connect() for _ in range(99)]
    assert (await door.ask()).status == 200
    idle.append(await door.connect())
    refused = await door.connect()
    assert await refused.ended() == b""
    for client in idle:
        assert await client.ended() == b""  # each in its turn, by the idle bound
        client.close()
    refused.close()
    assert (await door.ask()).status == 200
