"""An upstream that lies about its answers, and real SDKs that must be able to read what is left of honest ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable

    from tests.wire.conftest import Door, Opener, Raw

    Compose = Callable[..., bytes]

CANARY = b"canary-51505150"
TABLES = Path(__file__).parents[1] / "presets" / "answers"
ROUTES = {
    "/v1/messages": "anthropic.messages",
    "/v1/chat/completions": "openai.chat",
    "/v1/responses": "openai.responses",
    "/v1/embeddings": "openai.embeddings",
    "/predict": "predict.json",
    "/v2/models/digits/infer": "kserve.infer",
    "/plain": "json",
}
POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9", timeout_s: 5}}
authenticators: {keys: {type: api_key}}
routes:
""" + "".join(
    f"  - {{name: {preset}, match: {{methods: [GET, POST], path: {path}}}, upstream: model, preset: {preset},"
    " auth: {any_of: [keys]}, response: {max_bytes: 65536}}\n"
    for path, preset in ROUTES.items()
)
JSON = b"Content-Type: application/json\r\n"
HONEST = b'{"label":"cat"}'
GOOD: dict[str, dict[str, Any]] = {
    "/predict": {"inputs": [[1.0]]},
    "/plain": {},
    "/v2/models/digits/infer": {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]},
}


def whole(fields: bytes, body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


async def door_before(opened: Opener, answer: bytes) -> Door:
    """Open a gateway before an upstream that always gives the same bytes."""

    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await raw.request(reader)
            writer.write(answer)
            await writer.drain()

    return await opened(POLICY, upstream=(await opened.raw(script)).url)


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"Content-Type: text/plain\r\n", b'{"logits": "' + CANARY + b'"}'),
        whole(b"", b'{"logits": "' + CANARY + b'"}'),
        whole(b"Content-Type: text/html; charset=utf-8\r\n", CANARY),
        whole(b"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: 2\r\n", b"{}" + CANARY),
        whole(JSON, b'{"label": 1, "logits": "' + CANARY),
        whole(JSON + b"Content-Encoding: gzip\r\n", gzip.compress(b'{"label": 1}' + CANARY)),
        whole(JSON + b"Content-Encoding: gzip\r\n", gzip.compress(b'{"label": 1}' + CANARY)[:-6]),
        whole(JSON, gzip.compress(b'{"label": 1}')),
        whole(JSON, b'data: {"logits": "' + CANARY + b'"}\n\n'),
        whole(JSON, b'{"label": "' + CANARY * 5000 + b'"}'),
        whole(b"Location: http://10.0.0.7/" + CANARY + b"\r\n", CANARY, b"302 Found"),
        whole(b"Location: http://10.0.0.7/" + CANARY + b"\r\n" + JSON, HONEST, b"307 Temporary Redirect"),
        whole(JSON + b"X-A: 1\r\n\tX-" + CANARY + b": 2\r\n", HONEST),
        whole(JSON + b"X-A: 1\n" + CANARY + b": 2\r\n", HONEST),
    ],
    ids=range(14),
)
async def test_what_cannot_be_read_is_withheld_and_recorded(
    opened: Opener, request_bytes: Compose, answer: bytes
) -> None:
    door = await door_before(opened, answer)
    got = await door.exchange(request_bytes("POST", "/predict", door.key, **GOOD["/predict"]))
    got.check_refusal(502, "upstream_error")
    assert CANARY not in got.raw
    assert "10.0.0.7" not in got.raw.decode()
    record = await door.record(got.id)
    assert (record["status"], record["reason"]) == (502, "upstream_error")


async def test_an_answer_without_end_is_bounded(opened: Opener, request_bytes: Compose) -> None:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        await raw.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + JSON + b"\r\n")
        for _ in range(4000):
            writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
            await writer.drain()

    raw = await opened.raw(script)
    door = await opened(POLICY, upstream=raw.url)
    got = await door.exchange(request_bytes("POST", "/predict", door.key, **GOOD["/predict"]))
    got.check_refusal(502, "upstream_error")


async def test_fields_that_tell_do_not_leave(opened: Opener, request_bytes: Compose) -> None:
    told = "Server ETag Last-Modified X-Powered-By Openai-Version Openai-Processing-Ms X-Envoy-Upstream-Service-Time"
    told += (
        " X-Ratelimit-Remaining-Tokens X-Model-Version Via Location Link Set-Cookie Triton-Grpc-Error X-Compute-Time"
    )
    fields = b"".join(name.encode() + b": " + CANARY + b"\r\n" for name in told.split())
    answer = whole(fields + b"Content-Type: application/json; p=" + CANARY + b"\r\n", HONEST)
    door = await door_before(opened, answer)
    got = await door.exchange(request_bytes("POST", "/predict", door.key, **GOOD["/predict"]))
    assert (got.status, got.body, got.get("content-type")) == (200, HONEST, "application/json")
    assert CANARY not in got.raw
    assert "header etag" in (await door.record(got.id))["removed"]


async def test_a_stream_with_data_in_all_the_wrong_places(opened: Opener, request_bytes: Compose) -> None:
    body = b"".join(
        [
            b': {"logits": "' + CANARY + b'"}\n\n',
            b"event: " + CANARY + b'\nid: 0.93 \nretry: x\ndata: {"label":1}\n\n',
            b'data: {"label":2,\ndata: "\\u006cogits": "' + CANARY + b'"}\n\n',
            b'logits: "' + CANARY + b'"\n\n',
            b'data: {"label": "' + CANARY + b"\n\n",
            b'data: {"Logits":"' + CANARY + b'","label":3}',
        ]
    )
    door = await door_before(opened, whole(b"Content-Type: text/event-stream\r\n", body))
    got = await door.exchange(request_bytes("POST", "/predict", door.key, **GOOD["/predict"]))
    assert got.status == 200
    assert CANARY not in got.raw
    assert got.body == (b':\n\ndata: {"label":1}\n\ndata: {"label":2}\n\ndata: {"label":3}\n\n')
    assert "event (unreadable)" in (await door.record(got.id))["removed"]


async def test_a_route_that_withholds_nothing_streams_every_byte(opened: Opener, request_bytes: Compose) -> None:
    body = b': hi\nevent: 0.93\ndata: {"logits" : 1}\n\nwhatever\x00'
    door = await door_before(opened, whole(b"Content-Type: text/event-stream; x=y\r\n", body))
    got = await door.exchange(request_bytes("POST", "/plain", door.key))
    assert got.body == body
    assert got.get("content-type") == "text/event-stream; x=y"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/chat/completions", {"logprobs": True}),
        ("/v1/chat/completions", {"LOGPROBS": True}),
        ("/v1/chat/completions", {"top_logprobs": 5}),
        ("/v1/chat/completions", {"logit_bias": {"5": 100}}),
        ("/v1/chat/completions", {"n": 2}),
        ("/v1/chat/completions", {"prompt_logprobs": 0}),
        ("/v1/chat/completions", {"echo": True}),
        ("/v1/chat/completions", {"return_token_ids": True}),
        ("/v1/responses", {"include": ["message.output_text.logprobs"]}),
        ("/v1/responses", {"top_logprobs": 2}),
        ("/v2/models/digits/infer", {"outputs": [{"name": "label"}, {"name": "Logits"}]}),
    ],
)
async def test_what_opens_a_side_door_is_refused(
    opened: Opener, request_bytes: Compose, path: str, document: dict[str, Any]
) -> None:
    door = await opened(POLICY)
    messages = [{"role": "user", "content": "hi"}]
    usual: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"model": "m", "messages": messages},
        "/v1/responses": {"model": "m", "input": "x"},
    }
    body = usual.get(path) or GOOD[path]
    got = await door.exchange(request_bytes("POST", path, door.key, **(body | document)))
    problem = got.json()
    assert (got.status, problem["code"]) == (400, "invalid_request"), problem
    assert door.model.calls == 0


async def test_defaults_that_sdks_write_out_are_not_refused(opened: Opener, request_bytes: Compose) -> None:
    door = await opened(POLICY)
    document = {"model": "m", "n": 1, "logprobs": False, "top_logprobs": None, "logit_bias": None}
    messages = [{"role": "user", "content": "hi"}]
    got = await door.exchange(request_bytes("POST", "/v1/chat/completions", door.key, messages=messages, **document))
    assert got.status == 200, got.raw


# --- SDKs -------------------------------------------------------------------------------------------------------------


def case(preset: str, name: str) -> dict[str, Any]:
    """Return one row of a preset's table of answers."""
    rows = json.loads((TABLES / f"{preset}.json").read_text())
    return next(row for row in rows if row["name"] == name)


def stream(events: list[Any], *, named: bool, done: bytes = b"") -> bytes:
    body = b"".join(
        [
            (b"event: " + event["type"].encode() + b"\n" if named else b"")
            + b"data: "
            + json.dumps(event).encode()
            + b"\n\n"
            for event in events
        ]
    )
    return whole(b"Content-Type: text/event-stream\r\n", body + done)


@pytest.fixture
async def anthropic_client(opened: Opener) -> AsyncIterator[Any]:
    clients = []

    async def make(answer: bytes) -> anthropic.AsyncAnthropic:
        door = await door_before(opened, answer)
        client = anthropic.AsyncAnthropic(api_key=door.key, base_url=f"http://127.0.0.1:{door.port}", max_retries=0)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


ASK: Any = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


async def test_anthropics_sdk_reads_a_message(anthropic_client: Any) -> None:
    document = case("anthropic.messages", "a message with thinking and a tool")["in"]
    client = await anthropic_client(whole(JSON, json.dumps(document).encode()))
    message = await client.messages.create(**ASK)
    thinking, redacted, text, tool = message.content
    assert (thinking.type, thinking.thinking, thinking.signature) == ("thinking", "", "")
    assert (redacted.type, redacted.data) == ("redacted_thinking", "")
    assert (text.text, tool.name) == ("Hi", "get")
    assert (message.usage.output_tokens, message.usage.cache_read_input_tokens) == (6, None)


async def test_anthropics_sdk_reads_a_stream_and_its_blocks_stay_in_their_places(anthropic_client: Any) -> None:
    events = [e for e in case("anthropic.messages", "a stream with thinking")["events"] if e["type"] != "error"]
    client = await anthropic_client(stream(events, named=True))
    async with client.messages.stream(**ASK) as events_of:
        seen = [event.type async for event in events_of]
        final = await events_of.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "redacted_thinking", "text"]
    assert final.content[0].thinking == ""
    assert final.content[2].text == "Hi"
    assert "thinking" not in seen
    assert final.stop_reason == "end_turn"


async def test_anthropics_sdk_is_told_of_a_failure_in_a_stream(anthropic_client: Any) -> None:
    client = await anthropic_client(stream(case("anthropic.messages", "a stream with thinking")["events"], named=True))
    async with client.messages.stream(**ASK) as events_of:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await events_of.get_final_message()
    assert "10.0.0.7" not in str(caught.value)
    assert "10.0.0.7" not in str(caught.value.body)


@pytest.fixture
async def openai_client(opened: Opener) -> AsyncIterator[Any]:
    clients = []

    async def make(answer: bytes) -> openai.AsyncOpenAI:
        door = await door_before(opened, answer)
        client = openai.AsyncOpenAI(api_key=door.key, base_url=f"http://127.0.0.1:{door.port}/v1", max_retries=0)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


async def test_openais_sdk_reads_a_response(openai_client: Any) -> None:
    document = case("openai.responses", "an answer with reasoning")["in"]
    client = await openai_client(whole(JSON, json.dumps(document).encode()))
    response = await client.responses.create(model="m", input="hi")
    assert response.output_text == "Hello"
    assert response.instructions is None
    assert response.output[0].summary == []
    assert response.usage.total_tokens == 380


async def test_openais_sdk_reads_a_stream_of_a_response(openai_client: Any) -> None:
    item = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    at = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    events = case("openai.responses", "a stream with reasoning")["events"]
    events[5:5] = [
        {"type": "response.output_item.added", "sequence_number": 5, "output_index": 1, "item": item},
        {"type": "response.content_part.added", "sequence_number": 5, "part": part, **at},
    ]
    done = {**item, "status": "completed", "content": [{**part, "text": "Hi"}]}
    events.insert(-1, {"type": "response.output_item.done", "sequence_number": 6, "output_index": 1, "item": done})
    client = await openai_client(stream(events, named=True))
    text = ""
    async with client.responses.stream(model="m", input="hi") as events_of:
        async for event in events_of:
            assert "reasoning_text" not in event.type
            if event.type == "response.output_text.delta":
                text += event.delta
                assert event.logprobs == []
    assert text == "Hi"


async def test_openais_sdk_reads_a_chat_stream_with_its_reasoning_withheld(openai_client: Any) -> None:
    events = case("openai.chat", "a stream")["events"]
    client = await openai_client(stream(events, named=False, done=b"data: [DONE]\n\n"))
    answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
    text = ""
    async for chunk in answer:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            assert choice.logprobs is None
            assert not hasattr(choice.delta, "reasoning_content")
    assert text == "Hi"


async def test_openais_sdk_reads_vectors_in_base64(openai_client: Any) -> None:
    document = case("openai.embeddings", "a vector in base64")["in"]
    client = await openai_client(whole(JSON, json.dumps(document).encode()))
    answer = await client.embeddings.create(model="m", input="hi")
    assert list(answer.data[0].embedding) == [1.0, 2.0]


async def test_an_error_inside_of_a_200_is_an_error(openai_client: Any) -> None:
    body = b'{"error": {"message": "CUDA error at /srv/model.py", "code": 500}}'
    client = await openai_client(whole(JSON, body))
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert "/srv" not in str(caught.value)
