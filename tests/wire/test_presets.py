"""Every preset on real sockets: what is wrong meets its row of the table of refusals, and the model never sees it."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.presets.batteries import BATTERIES, compile_route, pass_through, seeds_of
from tests.presets.mutants import mutate

from vallum.core.decision import Allow
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable

    from tests.wire.conftest import Answer, Client, Door, Opener, Raw

    Compose = Callable[..., bytes]

MUTANTS = 20  # a preset
MAX_BYTES = 1_048_576
JSON_TYPE = ("Content-Type", "application/json")
BODILESS = ("openai.models", "ollama.tags")
TAKES_JSON = [name for name in BATTERIES if "application/json" in PRESETS[name].request.media_types]
NAMES = "id model model_name response generated_text text text_output label prediction prompt object type".split()
KNOWN = json.dumps(  # something that each preset lets out
    dict.fromkeys(NAMES, "x")
    | {name: [] for name in "choices data embeddings output outputs predictions results".split()}
    | {"count": 1, "input_tokens": 1, "done": True}
)
ANSWER = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(KNOWN)}\r\n\r\n{KNOWN}".encode()
POLICY = """version: 1
listen: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:0"}
upstreams:
  model: {url: "http://127.0.0.1:9"}
authenticators:
  keys: {type: api_key}
routes:
""" + "".join(
    f"  - {{name: {name}, match: {{methods: [{'GET' if name in BODILESS else 'POST'}], path: /{name}}},"
    f" upstream: model, preset: {name}, auth: {{any_of: [keys]}}}}\n"
    for name in BATTERIES
)


@pytest.fixture
async def model(opened: Opener) -> Raw:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await raw.request(reader)
            writer.write(ANSWER)

    return await opened.raw(script)


@pytest.fixture
async def door(opened: Opener, model: Raw) -> Door:
    return await opened(POLICY, upstream=model.url)


async def ask(door: Door, client: Client | None, data: bytes) -> tuple[Client | None, Answer]:
    """Ask on a connection that is kept while the gateway keeps it."""
    client = client or await door.connect()
    await client.try_send(data)
    answer = await client.answer()
    if "close" in answer.all("connection"):
        client.close()
        return None, answer
    return client, answer


async def test_of_mutants_the_model_is_sent_what_is_valid(door: Door, request_bytes: Compose, model: Raw) -> None:
    client: Client | None = None
    statuses: Counter[int] = Counter()
    for preset in BATTERIES:
        if preset in BODILESS:
            continue
        chance = random.Random(preset)
        engine = compile_route(preset, request={"max_bytes": MAX_BYTES})
        seeds = seeds_of(preset)
        others = [body for body, _ in seeds]
        for _ in range(MUTANTS):
            body, fields = mutate(chance, *chance.choice(seeds), others)
            if any(not value.isprintable() for _, value in fields):
                continue  # what a field may hold is for the tests of the wire
            named = tuple((name.title(), value) for name, value in fields if name != "content-length")
            sent = len(model.requests)
            data = request_bytes("POST", f"/{preset}", door.key, body, named)
            client, answer = await ask(door, client, data)
            statuses[answer.status] += 1
            assert answer.status < 500, str(await door.record(answer.id))
            taken = isinstance(pass_through(engine, fields, body).decision, Allow)
            assert (answer.status == 200) == taken == (len(model.requests) == sent + 1), (preset, body[:200], answer)
            if not taken:
                assert {"code", "request_id"} <= answer.json().keys(), answer
    assert statuses[200] > 50, statuses
    assert statuses[400] > 200, statuses


def first(preset: str) -> bytes:
    """Return the first body of a battery that is an object."""
    bodies = (item.get("body") for item in BATTERIES[preset])
    return json.dumps(next(body for body in bodies if body and isinstance(body, dict))).encode()


def twice(body: bytes) -> bytes:
    """Say the first key twice."""
    key = body[1 : body.index(b":")]
    return b"{" + key + b":1," + body[1:]


MALFORMED, UNSUPPORTED = (400, "malformed_request"), (415, "unsupported_media_type")
ADVERSARIES: dict[str, tuple[tuple[int, str], tuple[tuple[str, str], ...], Callable[[bytes], bytes]]] = {
    "a key twice": (MALFORMED, (JSON_TYPE,), twice),
    "UTF-16": (MALFORMED, (JSON_TYPE,), lambda body: body.decode().encode("utf-16")),
    "UTF-16 by its charset": (
        UNSUPPORTED,
        (("Content-Type", "application/json; charset=utf-16"),),
        lambda body: body.decode().encode("utf-16"),
    ),
    "two charsets": (UNSUPPORTED, (("Content-Type", "application/json; charset=utf-8; charset=utf-16"),), bytes),
    "a byte-order mark": (MALFORMED, (JSON_TYPE,), lambda body: b"\xef\xbb\xbf" + body),
    "compressed, and nobody says so": (MALFORMED, (JSON_TYPE,), gzip.compress),
    "compressed": (UNSUPPORTED, (JSON_TYPE, ("Content-Encoding", "gzip")), gzip.compress),
    "a bomb": (UNSUPPORTED, (JSON_TYPE, ("Content-Encoding", "gzip")), lambda _: gzip.compress(bytes(2_000_000))),
    "two codings": (UNSUPPORTED, (JSON_TYPE, ("Content-Encoding", "identity"), ("Content-Encoding", "br")), bytes),
    "another type": (UNSUPPORTED, (("Content-Type", "application/xml"),), bytes),
    "two types": (UNSUPPORTED, (JSON_TYPE, JSON_TYPE), bytes),
    "a list of types": (UNSUPPORTED, (("Content-Type", "application/json, text/html"),), bytes),
    "too large": ((413, "body_too_large"), (JSON_TYPE,), lambda body: body.ljust(MAX_BYTES + 1)),
    "nothing": ((400, "invalid_request"), (JSON_TYPE,), lambda _: b""),
}


async def test_every_adversary_meets_its_row(door: Door, request_bytes: Compose, model: Raw) -> None:
    for preset in TAKES_JSON:
        if preset in BODILESS:
            continue
        for words, (wanted, fields, change) in ADVERSARIES.items():
            if words == "nothing" and PRESETS[preset].request.schema is None:
                continue
            body = change(first(preset))
            answer = await door.exchange(request_bytes("POST", f"/{preset}", door.key, body, fields))
            assert (answer.status, answer.json()["code"]) == wanted, (preset, words, answer)
            assert answer.id
    assert model.requests == []


async def test_a_method_that_the_route_has_not_is_not_found(door: Door, request_bytes: Compose, model: Raw) -> None:
    for preset in TAKES_JSON:
        bodiless = preset in BODILESS
        for method in ("GET", "HEAD", "PUT") if not bodiless else ("POST", "PUT"):
            data = request_bytes(method, f"/{preset}", door.key, b'{"a": 1}', (JSON_TYPE,))
            assert (await door.exchange(data, method)).status == 404, (preset, method)
        if bodiless:
            data = request_bytes("GET", f"/{preset}", door.key, b'{"a": 1}', (JSON_TYPE,))
            answer = await door.exchange(data, "GET")
            assert (answer.status, answer.json()["code"]) == (400, "invalid_request"), preset
    assert model.requests == []


async def test_a_body_in_chunks_is_held_like_any_other(door: Door, request_bytes: Compose, model: Raw) -> None:
    count = 0
    for preset in TAKES_JSON:
        if preset in BODILESS:
            continue
        head = request_bytes("POST", f"/{preset}", door.key, headers=(JSON_TYPE, ("Transfer-Encoding", "chunked")))
        whole = first(preset)
        for body, status in ((whole, 200), (twice(whole), 400)):
            pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            answer = await door.exchange(head + chunks + b"0\r\n\r\n")
            assert answer.status == status, (preset, answer)
            count += status == 200
    assert len(model.requests) == count


async def test_a_bomb_is_refused_where_compression_is_taken(opened: Opener, request_bytes: Compose, model: Raw) -> None:
    policy = POLICY.replace("preset: openai.chat,", "preset: openai.chat, request: {encodings: [gzip]},")
    door = await opened(policy, upstream=model.url)
    fields = (JSON_TYPE, ("Content-Encoding", "gzip"))
    wanted: dict[bytes, Any] = {
        gzip.compress(first("openai.chat")): 200,
        gzip.compress(bytes(50_000_000)): 413,
        gzip.compress(b"{" + b" " * (MAX_BYTES + 1) + b"}"): 413,
        gzip.compress(twice(first("openai.chat"))): 400,
        gzip.compress(first("openai.chat"))[:-9]: 400,
        b"\x1f\x8b": 400,
        first("openai.chat"): 400,
    }
    for body, status in wanted.items():
        answer = await door.exchange(request_bytes("POST", "/openai.chat", door.key, body, fields))
        assert answer.status == status, (body[:40], answer)
    assert len(model.requests) == 1
