"""The SDKs of OpenAI and Anthropic behind leak checks and padding: what was held back is whole and in its order."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

    from tests.wire.conftest import Door, Opener, Raw

MARKER = "kestrel-plum-9041"
PAD_EVENT, PAD_ANSWER = 128, 1024
POLICY = """
version: 1
admin: {address: "127.0.0.1:0"}
upstreams: {model: {url: "http://127.0.0.1:9", timeout_s: 5}}
authenticators: {keys: {type: api_key}}
routes:
""" + "".join(
    f"""
  - name: {preset}
    match: {{methods: [POST], path: {path}}}
    upstream: model
    preset: {preset}
    auth: {{any_of: [keys]}}
    response:
      padding: {{events: {PAD_EVENT}, answers: {PAD_ANSWER}}}
      leaks:
        - {{type: keys, action: ACTION}}
        - {{type: canaries, strings: [{MARKER}], action: ACTION}}
        - {{type: personal, kinds: [emails, cards, phones, ibans], action: ACTION}}
        - {{type: prompt, words: 8, action: ACTION}}
"""
    for preset, path in (("openai.chat", "/v1/chat/completions"), ("anthropic.messages", "/v1/messages"))
)
# Everything in it is the beginning of a leak, and no leak.
HONEST = (
    "kestrel-plum, and sk-learn: AKIA is no key, nor ghp_xxxx; call +44 or kestrel plum 90 -----BEGIN CERTIFICATE-----"
    " \u00e9\U0001f600 1234 5678 9012, bob@ and k e s"
)
SECRET = f"it is AKIAIOSFODNN7EXAMPLE, or {MARKER}, no more"
CLEAN = "it is [redacted], or [redacted], no more"
ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PIECES = [1, 3, 7, 11, 12, 40]  # characters of an event's text, or bytes of a packet, by turns
ARGUMENTS = json.dumps({"town": "Bergen", "key": "sk-ant-api03"})


def cut(text: Any) -> list[Any]:
    """Cut a text, or bytes, in pieces of many lengths."""
    ends, at = [0], 0
    while at < len(text):
        at += PIECES[len(ends) % len(PIECES)]
        ends.append(min(at, len(text)))
    return [text[start:end] for start, end in pairwise(ends)]


def openais(text: str, *, calls: bool = False) -> bytes:
    """Write a stream as OpenAI's."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in cut(text))]
    if calls:  # as some servers do: all of a call at once
        function = {"name": "look", "arguments": ARGUMENTS[:-2]}
        deltas.append({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS[-2:]}}]})
        function = {"name": "look", "arguments": '{"id": "sk-ant-api03'}
        deltas.append({"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": function}]})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events: list[Any] = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}]} for delta in deltas
    ]
    events.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    events.append(head | {"choices": [], "usage": usage})
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def anthropics(text: str, *, calls: bool = False) -> bytes:
    """Write a stream as Anthropic's."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    blocks: list[tuple[Any, list[Any]]] = [
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in cut(text)])
    ]
    if calls:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in cut(ARGUMENTS)]
        blocks.append(({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}, deltas))
    last = {"stop_reason": None, "stop_sequence": None}
    events: list[Any] = [{"type": "message_start", "message": message | last | {"usage": usage}}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": ended, "usage": usage}, {"type": "message_stop"}]
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def whole_of(api: str, text: str) -> bytes:
    """Write an answer that is no stream."""
    document: dict[str, Any] = {"id": "m", "model": "m"}
    if api == "openai":
        message = {"role": "assistant", "content": text}
        document |= {"object": "chat.completion", "created": 1}
        document |= {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    else:
        document |= {"type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}
        document |= {"stop_reason": "end_turn", "stop_sequence": None}
        document |= {"usage": {"input_tokens": 1, "output_tokens": 2}}
    return json.dumps(document).encode()


class Upstream:
    """Says `body`: as a stream in packets of many sizes, or whole."""

    def __init__(self, body: bytes, *, ends: bool = True) -> None:
        self.body = body
        self.ends = ends

    async def __call__(self, raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await raw.request(reader)
            if self.body.startswith(b"{"):
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % len(self.body) + self.body)
                continue
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in cut(self.body):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            if not self.ends:
                await reader.read(1)
            writer.write(b"0\r\n\r\n")


async def door_before(opened: Opener, upstream: Upstream, action: str = "redact") -> Door:
    return await opened(POLICY.replace("ACTION", action), upstream=(await opened.raw(upstream)).url)


@asynccontextmanager
async def gpt(door: Door) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{door.port}/v1"
    async with openai.AsyncOpenAI(api_key=door.key, base_url=url, max_retries=0, timeout=10) as client:
        yield client


@asynccontextmanager
async def claude(door: Door) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = f"http://127.0.0.1:{door.port}"
    async with anthropic.AsyncAnthropic(api_key=door.key, base_url=url, max_retries=0, timeout=10) as client:
        yield client


async def last_message(client: anthropic.AsyncAnthropic) -> Any:
    async with client.messages.stream(**ASK, max_tokens=10) as stream:
        return await stream.get_final_message()


SAID = [(HONEST, HONEST), (SECRET, CLEAN)]


@pytest.mark.parametrize(("text", "expected"), SAID, ids=["honest", "leaking"])
async def test_openais_sdk(opened: Opener, text: str, expected: str) -> None:
    upstream = Upstream(openais(text))
    door = await door_before(opened, upstream)
    async with gpt(door) as client:
        pieces, usage = [], None
        async for chunk in await client.chat.completions.create(**ASK, stream=True):
            pieces += [choice.delta.content or "" for choice in chunk.choices]
            usage = chunk.usage or usage
        assert "".join(pieces) == expected
        assert usage is not None
        assert usage.total_tokens == 3
        upstream.body = whole_of("openai", text)
        raw = await client.chat.completions.with_raw_response.create(**ASK)
        assert len(raw.content) % PAD_ANSWER == 0
        assert raw.parse().choices[0].message.content == expected


async def test_openais_sdk_puts_calls_of_tools_together(opened: Opener) -> None:
    door = await door_before(opened, Upstream(openais(HONEST, calls=True)))
    async with gpt(door) as client, client.chat.completions.stream(**ASK) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    assert message.content == HONEST
    first, second = message.tool_calls or []
    assert (first.id, first.function.name, first.function.arguments) == ("call_1", "look", ARGUMENTS)
    assert (second.id, second.function.name, second.function.arguments) == ("call_2", "look", '{"id": "sk-ant-api03')


@pytest.mark.parametrize(("text", "expected"), SAID, ids=["honest", "leaking"])
async def test_anthropics_sdk(opened: Opener, text: str, expected: str) -> None:
    upstream = Upstream(anthropics(text, calls=True))
    door = await door_before(opened, upstream)
    async with claude(door) as client:
        async with client.messages.stream(**ASK, max_tokens=10) as stream:
            pieces = [piece async for piece in stream.text_stream]
            said, call = (await stream.get_final_message()).content
        assert "".join(pieces) == expected
        assert (said.type, call.type) == ("text", "tool_use")
        assert said.type == "text"
        assert said.text == expected
        assert call.type == "tool_use"
        assert (call.id, call.name, call.input) == ("toolu_1", "look", json.loads(ARGUMENTS))
        upstream.body = whole_of("anthropic", text)
        raw = await client.messages.with_raw_response.create(**ASK, max_tokens=10)
        assert len(await raw.read()) % PAD_ANSWER == 0
        (block,) = (await raw.parse()).content
        assert block.type == "text"
        assert block.text == expected


async def test_every_event_has_a_padded_size(opened: Opener) -> None:
    for body, path in ((openais(HONEST), "/v1/chat/completions"), (anthropics(HONEST), "/v1/messages")):
        door = await door_before(opened, Upstream(body))
        async with gpt(door) as client:
            more = {"max_tokens": 10} if "messages" in path else {}
            answer = await client.with_options(base_url=f"http://127.0.0.1:{door.port}").post(
                path, cast_to=bytes, body=ASK | {"stream": True} | more
            )
        events = bytes(answer).split(b"\n\n")[:-1]
        assert len(events) > 10
        assert {(len(event) + 2) % PAD_EVENT for event in events} == {0}


async def test_a_refused_stream_is_an_error_of_the_sdk(opened: Opener) -> None:
    door = await door_before(opened, Upstream(openais(SECRET)), "refuse")
    async with gpt(door) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(openai.APIError) as ended:
            [chunk async for chunk in stream]
    assert "AKIA" not in str(ended.value)
    door = await door_before(opened, Upstream(anthropics(SECRET)), "refuse")
    async with claude(door) as client:
        with pytest.raises(anthropic.APIError) as broken:
            await last_message(client)
    assert "AKIA" not in str(broken.value)


async def test_a_stream_that_is_left_while_something_is_held(opened: Opener) -> None:
    body = openais("a word and AKIAIOSFODNN7EXAMPLE").split(b'data: {"id": "c", "object": "chat.completion.chunk"')
    upstream = Upstream(b'data: {"id": "c", "object": "chat.completion.chunk"'.join(body[:7]), ends=False)
    door = await door_before(opened, upstream)
    async with gpt(door) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        (record,) = await asyncio.wait_for(door.records(1), 5)
        assert record["decision"] == "cancelled"
        upstream.body, upstream.ends = openais(HONEST), True
        said = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
        assert "".join([choice.delta.content or "" for chunk in said for choice in chunk.choices]) == HONEST
