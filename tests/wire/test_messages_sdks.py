"""The real SDKs of Anthropic and Ollama, and plain HTTP for TGI, through a gateway: what they send is taken, what it
answers they can read, and what a stream used is settled."""

from __future__ import annotations

import asyncio
import json
import struct
from base64 import b64encode
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import compress, crc32

import anthropic
import ollama
import pytest
from tests.wire.talkers import WORDS, Talker

from vallum.adapters.proxy.server import Bounds, Listener
from vallum.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.wire.conftest import Answer, Door, Opener

ROUTES = {
    "anthropic.messages": "/v1/messages",
    "anthropic.count_tokens": "/v1/messages/count_tokens",
    "ollama.chat": "/api/chat",
    "ollama.generate": "/api/generate",
    "ollama.embed": "/api/embed",
    "ollama.embeddings": "/api/embeddings",
    "tgi.generate": "/generate",
    "tgi.generate_stream": "/generate_stream",
}
POLICY = """
version: 1
listen: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:0"}
upstreams:
  model: {url: "http://127.0.0.1:9000"}
authenticators:
  keys: {type: api_key}
routes:
"""
TEXT = "".join(WORDS)
NOBODY: Any = [{"role": "tool", "content": "x"}]
HELLO: Any = [{"role": "user", "content": "How do tides work?"}]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))


PIXEL = b64encode(
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", compress(b"\0\x20\x80\xc0"))
    + chunk(b"IEND", b"")
).decode()
TOOL: Any = {
    "name": "get_weather",
    "description": "Look up the weather of a town.",
    "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
}


def write_policy(quotas: list[Any] | None = None, *, disclosed: bool = False, **more: Any) -> str:
    """Write a policy with every route, each as `more` says."""
    text = POLICY
    for preset, path in ROUTES.items():
        route: dict[str, Any] = {
            "name": preset,
            "match": {"methods": ["POST"], "path": path},
            "upstream": "model",
            "preset": preset,
            "auth": {"any_of": ["keys"]},
            **more,
        }
        route["quotas"] = quotas or ["1000 per minute"]
        if preset == "anthropic.count_tokens":
            route = {"quotas": ["1000 per minute"]} | {key: route[key] for key in route if key not in ("quotas", *more)}
        if disclosed:  # requests that ask for what is withheld have tests of their own
            route["response"] = {"disclose": list(PRESETS[preset].answer.withheld)}
        text += f"  - {json.dumps(route)}\n"
    return text


TOKENS: list[Any] = [{"limit": "100000 per minute", "unit": "tokens", "name": "tokens"}]


@pytest.fixture
async def talker() -> AsyncIterator[tuple[Talker, str]]:
    talker = Talker()
    listener = Listener(talker.serve, Bounds(fields=1000))
    server = await asyncio.get_running_loop().create_server(listener.connect, "127.0.0.1", 0)
    try:
        yield talker, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await listener.drain(0.5)


@pytest.fixture
async def llama(door: Door) -> AsyncIterator[ollama.AsyncClient]:
    async with connect(door) as client:
        yield client


@pytest.fixture
async def door(opened: Opener, talker: tuple[Talker, str]) -> Door:
    return await opened(write_policy(TOKENS), upstream=talker[1])


def claude(door: Door, **more: Any) -> anthropic.AsyncAnthropic:
    settings: dict[str, Any] = {"api_key": door.key, "max_retries": 0, "timeout": 10}
    return anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{door.port}", **(settings | more))


@asynccontextmanager
async def connect(door: Door) -> AsyncIterator[ollama.AsyncClient]:
    client = ollama.AsyncClient(f"http://127.0.0.1:{door.port}", headers={"authorization": f"Bearer {door.key}"})
    try:
        yield client
    finally:
        await client.close()  # type: ignore[no-untyped-call]  # the library has no type for it


async def tokens_of(door: Door, count: int = 1) -> Any:
    """Return the tokens of the last record of so many."""
    record = (await door.records(count))[-1]["tokens"]
    said_input, said_output = record.get("usage") or (None, None)
    return {
        "input": record["estimated_input"] if said_input is None else said_input,
        "output": record["counted_output"] if said_output is None else said_output,
    }


# --- Anthropic --------------------------------------------------------------------------------------------------------


async def test_a_message(door: Door, talker: tuple[Talker, str]) -> None:
    async with claude(door) as client:
        answer = await client.messages.create(
            model="house", max_tokens=64, messages=HELLO, system="Be brief.", metadata={"user_id": "u-1"}
        )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == TEXT
    assert answer._request_id == (await door.records(1))[0]["request_id"]
    (target, fields, _) = talker[0].seen[0]
    assert target == "/v1/messages"
    assert fields["anthropic-version"]
    assert door.key not in str(fields)
    assert await tokens_of(door) == {"input": 42, "output": len(WORDS)}, "what a cache held is input too"


async def test_a_streamed_message(door: Door) -> None:
    async with claude(door) as client, client.messages.stream(model="house", max_tokens=64, messages=HELLO) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        whole = await stream.get_final_message()
    assert text == TEXT
    assert whole.stop_reason == "end_turn"
    assert await tokens_of(door) == {"input": 42, "output": len(WORDS)}


async def test_a_stream_that_is_left_early_pays_for_what_came(door: Door) -> None:
    async with claude(door) as client:
        stream = await client.messages.create(model="house", max_tokens=64, messages=HELLO, stream=True)
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()
    spent = await tokens_of(door)
    assert spent["input"] == 42
    assert 1 <= spent["output"] <= len(WORDS)


async def test_tools_thoughts_pictures_and_what_was_answered(door: Door, talker: tuple[Talker, str]) -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    async with claude(door) as client:
        asked: Any = [{"role": "user", "content": [image, {"type": "text", "text": "Is it raining?"}]}]
        options: dict[str, Any] = {
            "model": "house",
            "max_tokens": 2000,
            "tools": [TOOL],
            "tool_choice": {"type": "auto"},
        }
        options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        first = await client.messages.create(messages=asked, **options)
        call = first.content[-1]
        assert call.type == "tool_use"
        result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
        asked += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        await client.messages.create(messages=asked, extra_headers={"anthropic-beta": "x-2025-01-01"}, **options)
    assert len(talker[0].seen) == 2
    assert talker[0].seen[1][1]["anthropic-beta"] == "x-2025-01-01"


async def test_a_count_of_tokens(door: Door) -> None:
    async with claude(door) as client:
        counted = await client.messages.count_tokens(model="house", messages=HELLO, tools=[TOOL], system="x")
    assert counted.input_tokens == 42


async def test_betas_and_the_path_that_sdks_call_them_on(door: Door, talker: tuple[Talker, str]) -> None:
    async with claude(door) as client:
        asked: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": HELLO, "betas": ["some-2025-05-05"]}
        await client.beta.messages.create(**asked)
        await client.beta.messages.create(**asked, extra_query={"beta": "true"})
    assert [target for target, _, _ in talker[0].seen] == ["/v1/messages", "/v1/messages?beta=true"]
    assert talker[0].seen[0][1]["anthropic-beta"] == "some-2025-05-05"


async def test_refusals_are_the_sdks_own_errors(door: Door, talker: tuple[Talker, str]) -> None:
    async with claude(door, api_key="sk-ant-wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as wrong:
            await client.messages.create(model="house", max_tokens=5, messages=HELLO)
    assert wrong.value.type == "authentication_error"
    assert wrong.value.request_id
    assert "sk-ant-wrong" not in str(wrong.value)
    async with claude(door) as client:
        with pytest.raises(anthropic.BadRequestError) as bad:
            await client.messages.create(model="house", max_tokens=5, messages=NOBODY)
        with pytest.raises(anthropic.BadRequestError) as dangerous:
            await client.messages.create(
                model="house", max_tokens=5, messages=HELLO, extra_body={"mcp_servers": [{"url": "http://10.0.0.1"}]}
            )
        with pytest.raises(anthropic.NotFoundError) as missing:
            await client.models.list()
    assert (bad.value.type, dangerous.value.type) == ("invalid_request_error", "invalid_request_error")
    body: Any = bad.value.body
    assert body["error"]["message"].endswith(": /messages/0/role (enum)")
    assert "/messages/0/role (enum)" in bad.value.message
    assert "/mcp_servers" in dangerous.value.message
    assert (body["code"], body["request_id"]) == ("invalid_request", bad.value.request_id)
    assert missing.value.status_code == 404
    assert not talker[0].seen


async def test_a_quota_is_waited_for(opened: Opener, talker: tuple[Talker, str]) -> None:
    door = await opened(write_policy(["1 per second"]), upstream=talker[1])
    async with claude(door, max_retries=3) as client:
        for _ in range(2):
            await client.messages.create(model="house", max_tokens=5, messages=HELLO)
    refused = [record for record in await door.records(3) if record["status"] == 429]
    assert refused
    assert len(talker[0].seen) == 2

    async def ask(times: int) -> None:
        async with claude(door) as client:
            for _ in range(times):
                await client.messages.create(model="house", max_tokens=5, messages=HELLO)

    with pytest.raises(anthropic.RateLimitError) as raised:
        await ask(3)
    assert raised.value.type == "rate_limit_error"
    assert int(raised.value.response.headers["retry-after"]) >= 1


def budget(limit: int) -> str:
    quota = {"limit": f"{limit} per hour", "unit": "tokens", "name": "tokens"}
    return write_policy([quota], response={"on_overrun": "cut"})


async def test_a_message_that_is_cut_can_be_read_to_its_end(opened: Opener, talker: tuple[Talker, str]) -> None:
    babble(talker[0], "on_v1_messages")
    door = await opened(budget(20), upstream=talker[1])
    async with claude(door) as client, client.messages.stream(model="m", max_tokens=3, messages=HELLO) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        whole = await stream.get_final_message()
    assert TEXT.startswith(text)
    assert len(text) < len(TEXT)
    assert whole.stop_reason == "max_tokens"
    assert whole.usage.output_tokens == text.count(" ")
    (record,) = await door.records(1)
    assert record["cut_by"] == "tokens"


def babble(talker: Talker, name: str) -> None:
    """Make the model ignore every bound on its answer where it handles this."""
    handle = getattr(talker, name)

    async def handler(incoming: Any, request: Any) -> None:
        request |= {"max_tokens": 100}
        if "options" in request:
            request["options"] = {}
        if "parameters" in request:
            request["parameters"] = {"details": True}
        await handle(incoming, request)

    setattr(talker, name, handler)


# --- Ollama -----------------------------------------------------------------------------------------------------------


async def test_ollamas_chat(door: Door, llama: ollama.AsyncClient, talker: tuple[Talker, str]) -> None:
    answer = await llama.chat("llama3.2", messages=HELLO, options={"temperature": 0, "seed": 1}, keep_alive="5m")
    assert answer.message.content == TEXT
    assert (answer.prompt_eval_count, answer.eval_count) == (9, len(WORDS))
    pieces = [part async for part in await llama.chat("llama3.2", messages=HELLO, stream=True)]
    assert "".join(part.message.content or "" for part in pieces) == TEXT
    assert pieces[-1].done
    assert await tokens_of(door, 2) == {"input": 9, "output": len(WORDS)}
    assert talker[0].seen[1][2]["options"] == {"num_predict": 4096}, "the bound that was reserved"


async def test_ollamas_tools_pictures_and_thoughts(llama: ollama.AsyncClient) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: the first
            b: the second

        Returns:
            int: their sum
        """
        return a + b

    messages: list[Any] = [{"role": "user", "content": "what is this?", "images": [PIXEL]}]
    first = await llama.chat("m", messages=messages, tools=[add], think=False, format={"type": "object"})
    called = {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}]}
    messages += [first.message, called, {"role": "tool", "content": "3", "tool_name": "add"}]
    assert (await llama.chat("m", messages=messages, format="json", think="low")).message.content == TEXT


async def test_ollamas_other_calls(door: Door, llama: ollama.AsyncClient) -> None:
    answer = await llama.generate(
        "m", "why?", suffix="x", system="be brief", images=[PIXEL], options={"num_predict": 3}
    )
    assert answer.response == "".join(WORDS[:3])
    pieces = [part async for part in await llama.generate("m", "why?", stream=True)]
    assert "".join(part.response or "" for part in pieces) == TEXT
    assert await tokens_of(door, 2) == {"input": 9, "output": len(WORDS)}
    assert len((await llama.embed("m", ["a", "b"], truncate=True)).embeddings) == 2
    assert await tokens_of(door, 3) == {"input": 10, "output": 0}
    assert len((await llama.embeddings("m", "a")).embedding) == 3


async def test_ollamas_client_reads_why_it_was_refused(llama: ollama.AsyncClient, talker: tuple[Talker, str]) -> None:
    for asked, place in (
        (llama.chat("m", messages=HELLO, keep_alive=-1), "/keep_alive (minimum)"),
        (llama.chat("m", messages=HELLO, options={"num_predict": -1}), "/options/num_predict (range)"),
        (llama.chat("m", messages=HELLO, options={"num_ctx": 10**9}), "/options/num_ctx (maximum)"),
        (llama.generate("m", "x", template="{{ .Prompt }}"), "/template (refused_field)"),
        (llama.generate("m", "x", raw=True), "/raw (refused_field)"),
        (llama.generate("m", "x", context=[1, 2]), "/context (refused_field)"),
        (llama.generate("m"), "/prompt (required)"),
    ):
        with pytest.raises(ollama.ResponseError) as raised:
            await asked
        assert raised.value.status_code == 400
        assert place in raised.value.error
    assert not talker[0].seen


async def test_what_manages_models_has_no_route(llama: ollama.AsyncClient, talker: tuple[Talker, str]) -> None:
    managing: list[Any] = [llama.pull("m"), llama.push("m"), llama.delete("m"), llama.create("n", from_="m")]
    managing += [llama.copy("m", "n"), llama.show("m"), llama.ps(), llama.list()]
    for asked in managing:
        with pytest.raises(ollama.ResponseError) as raised:
            await asked
        assert raised.value.status_code == 404
    assert not talker[0].seen


async def test_a_chat_in_lines_that_is_cut_can_be_read_to_its_end(opened: Opener, talker: tuple[Talker, str]) -> None:
    babble(talker[0], "on_api_chat")
    door = await opened(budget(20), upstream=talker[1])
    async with connect(door) as client:
        stream = await client.chat("m", messages=HELLO, stream=True, options={"num_predict": 3})
        parts = [part async for part in stream]
    said = [part.message.content for part in parts if part.message.content]
    assert 3 <= len(said) < len(WORDS)
    assert (parts[-1].done, parts[-1].done_reason, parts[-1].eval_count) == (True, "length", len(said))
    (record,) = await door.records(1)
    assert record["cut_by"] == "tokens"


# --- TGI --------------------------------------------------------------------------------------------------------------


async def post(door: Door, request_bytes: Any, path: str, **document: Any) -> Answer:
    return await door.exchange(request_bytes(target=path, key=door.key, **document))


async def test_tgi(door: Door, request_bytes: Any, talker: tuple[Talker, str]) -> None:
    plain = await post(door, request_bytes, "/generate", inputs="How do tides work?")
    assert plain.json() == {"generated_text": TEXT}
    assert talker[0].seen[0][2]["parameters"] == {"max_new_tokens": 4096}
    detailed = await post(
        door, request_bytes, "/generate", inputs="x", parameters={"max_new_tokens": 3, "details": True}
    )
    assert detailed.json()["details"]["generated_tokens"] == 3
    assert (await tokens_of(door, 2))["output"] == 3
    stream = await post(door, request_bytes, "/generate_stream", inputs="x", parameters={"details": True})
    events = [json.loads(part.removeprefix(b"data: ")) for part in stream.body.split(b"\n\n") if part]
    assert "".join(event["token"]["text"] for event in events) == TEXT
    assert await tokens_of(door, 3) == {"input": 7, "output": len(WORDS)}


async def test_tgi_refuses_in_a_sentence(door: Door, request_bytes: Any, talker: tuple[Talker, str]) -> None:
    remote = await post(door, request_bytes, "/generate", inputs="![](http://169.254.169.254/)what?")
    problem = remote.check_refusal(400, "invalid_request", "errors", "error")
    assert problem["error"].endswith(": /inputs (not)")
    many = await post(door, request_bytes, "/generate_stream", inputs="x", parameters={"stop": ["x"] * 5})
    assert many.json()["error"].endswith(": /parameters/stop (maxItems)")
    assert not talker[0].seen


async def test_a_tgi_stream_that_is_cut(opened: Opener, request_bytes: Any, talker: tuple[Talker, str]) -> None:
    babble(talker[0], "on_generate_stream")
    door = await opened(budget(6), upstream=talker[1])
    stream = await post(door, request_bytes, "/generate_stream", inputs="x", parameters={"max_new_tokens": 2})
    events = [json.loads(part.removeprefix(b"data: ")) for part in stream.body.split(b"\n\n") if part]
    assert 3 <= len(events) < len(WORDS)
    assert events[-1]["details"]["finish_reason"] == "length"
    assert events[-1]["details"]["generated_tokens"] == len(events) - 1


# --- the whole battery ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ROUTES)
async def test_every_request_of_the_battery_reaches_the_model(
    opened: Opener, request_bytes: Any, talker: tuple[Talker, str], preset: str
) -> None:
    door = await opened(write_policy(TOKENS, disclosed=True), upstream=talker[1])
    folder = Path(__file__).parents[1] / "presets" / "battery"
    apart = {"refused", "request", "withhold"}  # of these, some are not taken where all is disclosed
    battery = [case for case in json.loads((folder / f"{preset}.json").read_text()) if not apart & case.keys()]
    for case in battery:
        answer = await post(door, request_bytes, ROUTES[preset], **case["body"])
        assert answer.status == 200, (case["name"], answer.body)
    assert len(talker[0].seen) == len(battery)


async def test_a_key_twice_is_refused(door: Door, request_bytes: Any, talker: tuple[Talker, str]) -> None:
    for path, body in (
        ("/v1/messages", b'{"model":"m","max_tokens":1,"max_tokens":99,"messages":[{"role":"user","content":"x"}]}'),
        ("/api/generate", b'{"model":"m","prompt":"x","options":{"num_predict":1,"num_predict":-1}}'),
        ("/generate", b'{"inputs":"x","parameters":{"best_of":1,"best_of":9}}'),
    ):
        data = request_bytes(target=path, key=door.key, body=body, headers=(("Content-Type", "application/json"),))
        assert (await door.exchange(data)).json()["code"] == "malformed_request"
    assert not talker[0].seen
