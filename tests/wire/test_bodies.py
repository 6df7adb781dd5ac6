"""Files through a real gateway: what the model server gets is what was inspected, and what was not never arrives."""

from __future__ import annotations

import asyncio
import gzip
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image
from tests.checks.images import pictures as made

from vallum.codecs.multipart import Multipart
from vallum.core.content import Upload
from vallum.core.exchange import Headers

if TYPE_CHECKING:
    from collections.abc import Callable

    Compose = Callable[..., bytes]
    Opener = Any

POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams:
  model: {url: "http://127.0.0.1:9000"}
authenticators:
  keys: {type: api_key}
routes:
  - name: raw
    match: {methods: [POST], path: /raw}
    upstream: model
    auth: {any_of: [keys]}
    preset: image.raw
    request: {images: {metadata: strip}, max_bytes: 200000}
  - name: form
    match: {methods: [POST], path: /form}
    upstream: model
    auth: {any_of: [keys]}
    preset: image.multipart
    request: {max_bytes: 200000}
  - name: packed
    match: {methods: [POST], path: /packed}
    upstream: model
    auth: {any_of: [keys]}
    request: {encodings: [gzip], max_bytes: 20000, headers: [content-encoding]}
  - name: chat
    match: {methods: [POST], path: /chat}
    upstream: model
    auth: {any_of: [keys]}
    preset: openai.chat
    request: {remote_urls: {allow: [images.example.com]}}
"""
SAID = {"index": 0, "message": {"role": "assistant", "content": "a cat"}, "finish_reason": "stop"}
COMPLETION = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [SAID]}
TEXT = json.dumps(COMPLETION).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(TEXT), TEXT)
JPEG = made.saved("JPEG", exif=made.exif(1), comment=b"secret place")


async def speak(raw: Any, reader: Any, writer: Any) -> None:
    while await raw.request(reader):
        writer.write(ANSWER)


async def open_door(opened: Opener, **listen: Any) -> tuple[Any, Any]:
    raw = await opened.raw(speak)
    return await opened(POLICY, upstream=raw.url, **listen), raw


def head_and_body(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


async def test_an_image_arrives_without_its_metadata(opened: Opener, request_bytes: Compose) -> None:
    door, raw = await open_door(opened)

    data = request_bytes("POST", "/raw", door.key, body=JPEG, headers=(("Content-Type", "image/jpeg"),))
    assert (await door.exchange(data)).status == 200

    fields, body = head_and_body(raw.requests[-1])
    assert fields["content-length"] == str(len(body))
    assert b"secret place" not in body
    assert Image.open(BytesIO(body)).tobytes() == Image.open(BytesIO(JPEG)).tobytes()


async def test_a_form_arrives_under_another_boundary(opened: Opener, request_bytes: Compose) -> None:
    door, raw = await open_door(opened)
    sent = httpx.Request("POST", "http://x", data={"top_k": "3"}, files={"image": ("a.jpg", JPEG, "image/jpeg")})

    content_type = sent.headers["content-type"]
    data = request_bytes("POST", "/form", door.key, body=sent.read(), headers=(("Content-Type", content_type),))
    assert (await door.exchange(data)).status == 200

    fields, body = head_and_body(raw.requests[-1])
    assert fields["content-length"] == str(len(body))
    assert fields["content-type"] != content_type
    assert raw.requests[-1].lower().count(b"\r\ncontent-type: multipart") == 1
    document = Multipart().decode(body, Headers([("content-type", fields["content-type"])]))
    assert document == {"top_k": "3", "image": Upload("a.jpg", "image/jpeg", JPEG)}


async def test_a_packed_body_arrives_plain(opened: Opener, request_bytes: Compose) -> None:
    door, raw = await open_door(opened)
    typed = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))

    data = request_bytes("POST", "/packed", door.key, body=gzip.compress(b'{"a": 1}'), headers=typed)
    assert (await door.exchange(data)).status == 200

    fields, body = head_and_body(raw.requests[-1])
    assert body == b'{"a": 1}'
    assert "content-encoding" not in fields
    bomb = request_bytes("POST", "/packed", door.key, body=gzip.compress(b" " * 1_000_000), headers=typed)
    (await door.exchange(bomb)).check_refusal(413, "body_too_large")


@pytest.mark.parametrize(
    ("target", "content_type", "body", "status", "code", "extra"),
    [
        ("/raw", "image/png", JPEG, 400, "invalid_request", ("errors",)),
        ("/raw", "image/svg+xml", b"<svg/>", 415, "unsupported_media_type", ()),
        ("/raw", "image/jpeg", JPEG + b"PK\3\4", 403, "request_rejected", ()),
        ("/raw", "image/png", made.png_bomb(), 400, "invalid_request", ("errors",)),
        ("/form", "multipart/form-data", b"--x--", 400, "malformed_request", ()),
        ("/form", "multipart/form-data; boundary=x", b"--y--", 400, "malformed_request", ()),
    ],
)
async def test_what_is_refused_never_arrives(
    opened: Opener,
    request_bytes: Compose,
    target: str,
    content_type: str,
    body: bytes,
    status: int,
    code: str,
    extra: tuple[str, ...],
) -> None:
    door, raw = await open_door(opened)
    data = request_bytes("POST", target, door.key, body=body, headers=(("Content-Type", content_type),))

    (await door.exchange(data)).check_refusal(status, code, *extra)

    assert raw.requests == []


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("https://images.example.com/a.png", 200, ""),
        (made.data_url("jpeg", JPEG), 200, ""),
        ("https://other.example.com/a.png", 400, "invalid_request"),
        ("http://169.254.169.254/latest", 403, "request_rejected"),
        ("file:///etc/passwd", 403, "request_rejected"),
    ],
)
async def test_the_model_server_is_sent_nowhere(
    opened: Opener, request_bytes: Compose, url: str, status: int, code: str
) -> None:
    door, raw = await open_door(opened)
    content = [{"type": "image_url", "image_url": {"url": url}}]
    data = request_bytes("POST", "/chat", door.key, model="m", messages=[{"role": "user", "content": content}])

    answer = await door.exchange(data)

    assert answer.status == status
    assert (answer.json().get("code") or "") == code
    assert len(raw.requests) == (status == 200)


async def test_an_upload_that_drips_is_cut_by_the_time_it_takes(opened: Opener, request_bytes: Compose) -> None:
    door, raw = await open_door(opened, body_timeout_s=0.2)
    client = await door.connect()
    head = (("Content-Type", "image/jpeg"), ("Content-Length", "100000"))
    await client.send(request_bytes("POST", "/raw", door.key, headers=head))
    answered = asyncio.ensure_future(client.answer())
    sent = 0
    while not answered.done() and sent < 1000:
        await client.try_send(JPEG[sent : sent + 1])
        sent += 1
        await asyncio.wait([answered], timeout=0.01)

    (await answered).check_refusal(408, "request_timeout")
    client.close()
    assert raw.requests == []


async def test_an_upload_in_chunks_is_cut_as_soon_as_it_is_over(opened: Opener, request_bytes: Compose) -> None:
    door, raw = await open_door(opened)
    client = await door.connect()
    head = (("Content-Type", "image/jpeg"), ("Transfer-Encoding", "chunked"))
    await client.send(request_bytes("POST", "/raw", door.key, headers=head))
    answered = asyncio.ensure_future(client.answer())
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0
    while not answered.done() and sent < 100:
        if not await client.try_send(piece):
            break
        sent += 1
        await asyncio.wait([answered], timeout=0.01)

    (await answered).check_refusal(413, "body_too_large")
    client.close()
    assert sent < 100
    assert raw.requests == []
