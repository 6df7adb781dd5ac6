"""What the real OpenAI SDK writes passes the strict presets, and reaches the upstream as it was written."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Callable

    from tests.wire.conftest import Opener, Raw

ROUTES = {
    "/v1/chat/completions": "openai.chat",
    "/v1/completions": "openai.completions",
    "/v1/embeddings": "openai.embeddings",
    "/v1/responses": "openai.responses",
    "/v1/images/generations": "openai.images",
    "/v1/images/edits": "openai.images.edits",
    "/v1/images/variations": "openai.images.variations",
    "/v1/audio/speech": "openai.audio.speech",
    "/v1/audio/transcriptions": "openai.audio.transcriptions",
    "/v1/audio/translations": "openai.audio.translations",
    "/vllm/chat/completions": "vllm.chat",
    "/vllm/completions": "vllm.completions",
}
POLICY = """version: 1
listen: {address: "127.0.0.1:0"}
admin: {address: "127.0.0.1:0"}
upstreams:
  model: {url: "http://127.0.0.1:9"}
authenticators:
  keys: {type: api_key}
routes:
  - name: models
    match: {methods: [GET], path: /v1/models}
    upstream: model
    preset: openai.models
    auth: {any_of: [keys]}
""" + "".join(
    f"  - {{name: r{index}, match: {{methods: [POST], path: {path}}}, upstream: model, preset: {preset},"
    f" auth: {{any_of: [keys]}}}}\n"
    for index, (path, preset) in enumerate(ROUTES.items())
)
ANSWER = b'{"object": "list", "data": [{"id": "m", "index": 0, "embedding": [0.5]}], "choices": [], "output": []}'
HEARD = b'{"text": "good day"}'
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNgYGBgYAAAAAYAAXKCmeoAAAAASUVORK5CYII="
)
PNG = ("a.png", base64.b64decode(PIXEL.partition(",")[2]), "image/png")
SOUND = ("a.wav", b"RIFF$\0\0\0WAVEfmt ", "audio/wav")
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "a town"}},
    "required": ["city"],
    "additionalProperties": False,
}
HELLO: Any = [{"role": "user", "content": "How warm is it in Bern?"}]
SPOKEN: dict[str, Any] = {"role": "assistant", "content": "21", "refusal": None, "annotations": []}

CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda c: c.chat.completions.create(model="m", messages=HELLO, temperature=0.1, max_tokens=20, seed=3),
    "a stream of chat": lambda c: c.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ),
    "vision": lambda c: c.chat.completions.create(
        model="m",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ],
            }
        ],
    ),
    "tools": lambda c: c.chat.completions.create(
        model="m",
        messages=[
            *HELLO,
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "21"},
        ],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}}],
        tool_choice="auto",
        parallel_tool_calls=True,
    ),
    "a function of pydantic": lambda c: c.chat.completions.create(
        model="m", messages=HELLO, tools=[openai.pydantic_function_tool(_city(), name="weather")]
    ),
    "an answer as a model of pydantic": lambda c: c.chat.completions.parse(
        model="m", messages=HELLO, response_format=_city()
    ),
    "an answer sent back": lambda c: c.chat.completions.create(
        model="m",
        messages=[*HELLO, openai.types.chat.ChatCompletionMessage.model_validate(SPOKEN), *HELLO],
    ),
    "reasoning": lambda c: c.chat.completions.create(
        model="m", messages=HELLO, reasoning_effort="high", verbosity="low", max_completion_tokens=100
    ),
    "completions": lambda c: c.completions.create(model="m", prompt=["a", "b"], max_tokens=5, stop=["\n"], echo=False),
    "embeddings": lambda c: c.embeddings.create(model="m", input=["a", "b"], dimensions=8),
    "embeddings of tokens": lambda c: c.embeddings.create(model="m", input=[[1, 2], [3]], encoding_format="float"),
    "responses": lambda c: c.responses.create(model="m", input="hello", instructions="Be brief.", max_output_tokens=50),
    "responses with tools": lambda c: c.responses.create(
        model="m",
        input=[{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        tools=[{"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}, {"type": "web_search"}],
        reasoning={"effort": "low", "summary": "auto"},
    ),
    "a stream of a response": lambda c: c.responses.create(model="m", input="hello", stream=True),
    "a response as a model of pydantic": lambda c: c.responses.parse(model="m", input="hello", text_format=_city()),
    "images": lambda c: c.images.generate(prompt="a cat", model="m", n=2, size="1024x1024", quality="low"),
    "speech": lambda c: c.audio.speech.create(
        input="hello", model="m", voice="alloy", response_format="mp3", speed=1.5
    ),
    "an edit": lambda c: c.images.edit(image=PNG, prompt="a hat", model="gpt-image-1", n=2, size="1024x1024"),
    "an edit of several": lambda c: c.images.edit(image=[PNG, PNG], mask=PNG, prompt="a hat"),
    "a variation": lambda c: c.images.create_variation(image=PNG, n=1, size="256x256"),
    "a transcription": lambda c: c.audio.transcriptions.create(
        file=SOUND,
        model="whisper-1",
        language="de",
        response_format="verbose_json",
        temperature=0.2,
        timestamp_granularities=["word"],
    ),
    "a translation": lambda c: c.audio.translations.create(file=SOUND, model="whisper-1", prompt="names"),
    "models": lambda c: c.models.list(),
    "what vLLM takes besides": lambda c: c.with_options(
        base_url=str(c.base_url).replace("/v1", "/vllm")
    ).chat.completions.create(
        model="m", messages=HELLO, extra_body={"top_k": 20, "structured_outputs": {"choice": ["yes", "no"]}}
    ),
    "what vLLM takes besides in completions": lambda c: c.with_options(
        base_url=str(c.base_url).replace("/v1", "/vllm")
    ).completions.create(model="m", prompt="a", extra_body={"guided_regex": "[0-9]+", "min_p": 0.1}),
}


def _city() -> Any:
    class Weather(BaseModel):
        """The weather of a town."""

        city: str = Field(description="a town")
        warm: bool | None = None

    return Weather


@pytest.fixture
async def model(opened: Opener) -> Raw:
    async def script(raw: Raw, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            request = await raw.request(reader)
            line = request.partition(b"\r\n")[0]
            kind = "audio/mpeg" if b"/audio/speech" in line else "application/json"
            answer = HEARD if b"/audio/" in line else ANSWER
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n\r\n"
            writer.write(head.encode() + answer)

    return await opened.raw(script)


@pytest.fixture
async def client(opened: Opener, model: Raw) -> AsyncIterator[openai.AsyncOpenAI]:
    door = await opened(POLICY, upstream=model.url)
    url = f"http://127.0.0.1:{door.port}/v1"
    async with openai.AsyncOpenAI(api_key=door.key, base_url=url, max_retries=0, timeout=10) as client:
        yield client


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # of a call that the API still has
async def test_nothing_that_the_sdk_writes_is_refused(client: openai.AsyncOpenAI, model: Raw) -> None:
    for name, call in CALLS.items():
        try:
            await call(client)
        except openai.APIStatusError as error:
            pytest.fail(f"{name}: {error}")
    assert len(model.requests) == len(CALLS)


async def test_what_is_not_known_is_named(client: openai.AsyncOpenAI, model: Raw) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "/top_k": {"extra_body": {"top_k": 5}},
        "/temperature": {"temperature": 3},
        "/messages/0/role": {"messages": [{"role": "System", "content": "secret"}]},
        "/messages/0/content/0/type": {
            "messages": [{"role": "user", "content": [{"type": "text_", "text": "secret"}]}]
        },
    }
    for pointer, members in wrong.items():
        body: Any = {"model": "m", "messages": HELLO} | members
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(**body)
        refusal: Any = raised.value.response.json()
        assert refusal["errors"][0]["pointer"] == pointer
        assert "secret" not in json.dumps(refusal)
    assert model.requests == []
