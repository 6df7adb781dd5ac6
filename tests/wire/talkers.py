"""A model that speaks the formats of Anthropic, Ollama and TGI: it says the words it is given, and counts them.

It takes what servers of these formats take and no more, as far as the tests need it; `seen` is what reached it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vallum.adapters.proxy.incoming import Incoming

JSON = ("content-type", "application/json")
WORDS = ["The ", "tide ", "comes ", "and ", "goes ", "twice ", "a ", "day."]
NOW = "2025-01-01T00:00:00.000000Z"


class Talker:
    """Serves every path that the three APIs have, the dangerous ones too."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.spends = 0  # tokens more than the words, as an upstream that thinks would

    async def serve(self, incoming: Incoming) -> None:
        """Answer one request."""
        path = incoming.target.partition("?")[0]
        body: Any = await incoming.read_body(16_777_216)
        request = json.loads(body) if body else {}
        self.seen.append((incoming.target, dict(incoming.headers.fields), request))
        handle = getattr(self, "on" + path.replace("/", "_"), None)
        if handle is None:
            await self._answer(incoming, {"managed": path})
        else:
            await handle(incoming, request)

    async def on_v1_messages(self, incoming: Incoming, request: Any) -> None:
        words = WORDS[: request["max_tokens"]]
        usage = {"input_tokens": 12, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 0}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"]}
        message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage | {"output_tokens": 1}}
        last = {"stop_reason": "end_turn", "stop_sequence": None}
        used = {"output_tokens": len(words) + self.spends}
        if not request.get("stream"):
            content: list[Any] = [{"type": "text", "text": "".join(words)}]
            if request.get("tools"):
                content.append(
                    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"town": "Bergen"}}
                )
                last["stop_reason"] = "tool_use"
            await self._answer(incoming, message | last | {"content": content, "usage": usage | used})
            return
        events: list[Any] = [{"type": "message_start", "message": message}]
        events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        events.append({"type": "ping"})
        events += [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words
        ]
        events.append({"type": "content_block_stop", "index": 0})
        events.append({"type": "message_delta", "delta": last, "usage": used})
        events.append({"type": "message_stop"})
        await self._stream(
            incoming,
            [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events],
            "text/event-stream",
        )

    async def on_v1_messages_count_tokens(self, incoming: Incoming, _: Any) -> None:
        await self._answer(incoming, {"input_tokens": 42})

    async def on_api_chat(self, incoming: Incoming, request: Any) -> None:
        def part(word: str) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": word}}

        await self._lines(incoming, request, part)

    async def on_api_generate(self, incoming: Incoming, request: Any) -> None:
        await self._lines(incoming, request, lambda word: {"response": word})

    async def on_api_embed(self, incoming: Incoming, request: Any) -> None:
        count = len(request["input"]) if isinstance(request["input"], list) else 1
        vectors = [[0.25, -0.5, 0.125]] * count
        await self._answer(incoming, {"model": request["model"], "embeddings": vectors, "prompt_eval_count": 5 * count})

    async def on_api_embeddings(self, incoming: Incoming, _: Any) -> None:
        await self._answer(incoming, {"embedding": [0.25, -0.5, 0.125]})

    async def on_generate(self, incoming: Incoming, request: Any) -> None:
        asked = request.get("parameters") or {}
        words = WORDS[: asked.get("max_new_tokens", 100)]
        answer: dict[str, Any] = {"generated_text": "".join(words)}
        if asked.get("details"):
            answer["details"] = {"finish_reason": "length", "generated_tokens": len(words), "tokens": []}
        await self._answer(incoming, answer)

    async def on_generate_stream(self, incoming: Incoming, request: Any) -> None:
        asked = request.get("parameters") or {}
        words = WORDS[: asked.get("max_new_tokens", 100)]
        details = {"finish_reason": "length", "generated_tokens": len(words) + self.spends, "input_length": 7}
        events = [
            {
                "index": index + 1,
                "token": {"id": index, "text": word, "logprob": -0.5, "special": False},
                "generated_text": "".join(words) if index + 1 == len(words) else None,
                "details": details if index + 1 == len(words) and asked.get("details") else None,
            }
            for index, word in enumerate(words)
        ]
        await self._stream(incoming, [f"data:{json.dumps(event)}\n\n" for event in events], "text/event-stream")

    async def _lines(self, incoming: Incoming, request: Any, part: Any) -> None:
        head = {"model": request["model"], "created_at": NOW}
        options = request.get("options") or {}
        words = WORDS[: options.get("num_predict", 100)]
        last = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": len(words) + self.spends}
        if request.get("stream") is False:
            await self._answer(incoming, head | part("".join(words)) | last)
            return
        lines = [head | part(word) | {"done": False} for word in words]
        lines.append(head | part("") | last)
        await self._stream(incoming, [json.dumps(line) + "\n" for line in lines], "application/x-ndjson")

    async def _stream(self, incoming: Incoming, pieces: list[str], media_type: str) -> None:
        await incoming.start(200, [("content-type", media_type)], None)
        for piece in pieces:
            await incoming.send(piece.encode())
        await incoming.end()

    async def _answer(self, incoming: Incoming, document: Any) -> None:
        await incoming.answer(200, [JSON, ("request-id", "upstream-1")], json.dumps(document).encode())
