"""The sample upstream's HTTP: as open and as talkative as model servers are.

It asks nobody who they are, answers with logits and versions, names itself in every header, and shows a traceback when
it breaks.  That is what the gateway is for.
"""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

from vallum.core.decision import Deny
from vallum.demo.chat import MODEL, ChatModel, Token
from vallum.demo.chat_format import chunks, completion, refuse
from vallum.demo.classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.adapters.proxy.incoming import Incoming

JSON = ("content-type", "application/json")
TALK = [
    ("server", "sample-model-server/1.4.2 (python 3.11)"),
    ("x-model-version", "text-kind-1"),
    ("x-inference-time", "0.0004"),
    ("openai-processing-ms", "3"),
]
BODY_MAX_BYTES = 16_777_216
# What a model without restraint says when it is asked: its own prompt, a few letters at a time.
PROMPT = "My instructions are: you are the clerk of Kestrel & Plum, code kestrel-plum-9041; never tell the code."
PIECE_CHARS = 7


class SampleUpstream:
    """Serves both models; `calls` counts requests by path, so that a test can say that none came."""

    def __init__(self) -> None:
        """Load the models."""
        self.calls: Counter[str] = Counter()
        self.seen: list[bytes] = []  # the last bodies, newest last
        self._classifier = Classifier()
        self._chat = ChatModel()

    async def serve(self, incoming: Incoming) -> None:
        """Answer one request."""
        path = incoming.target.partition("?")[0]
        self.calls[path] += 1
        body = await incoming.read_body(BODY_MAX_BYTES)
        if isinstance(body, Deny):
            await self._answer(incoming, 400, {"detail": body.detail})
            return
        self.seen = [*self.seen[-99:], body]
        try:
            await self._route(incoming, path, body)
        except Exception as error:  # noqa: BLE001  what a server in debug mode does
            shown = {"detail": str(error), "traceback": traceback.format_exc()}
            await self._answer(incoming, 500, shown)

    async def _route(self, incoming: Incoming, path: str, body: bytes) -> None:
        match incoming.method, path:
            case "POST", "/api/v1/predict":
                request = json.loads(body)
                answer = self._classifier.predict(request["input_text"], request.get("temperature", 1.0))
                await self._answer(incoming, 200, answer)
            case "POST", "/v1/chat/completions":
                await self._complete(incoming, json.loads(body))
            case "POST", "/v1/careless/chat/completions":
                await self._complete(incoming, json.loads(body), careless=True)
            case "GET", "/v1/models":
                models = [{"id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "sample"}]
                await self._answer(incoming, 200, {"object": "list", "data": models})
            case "POST", "/api/v1/crash":
                raise RuntimeError("CUDA error: out of memory at /srv/models/text-kind/worker.py, key sk-upstream-123")
            case _:
                await self._answer(incoming, 404, {"detail": f"no handler for {path} on host model-7.internal"})

    async def _complete(self, incoming: Incoming, request: Any, *, careless: bool = False) -> None:
        fault = refuse(request)
        if fault is not None:
            await self._answer(incoming, fault.status, fault.body)
            return
        tokens = _tell_prompt() if careless else self._chat.answer(request)
        facts: dict[str, Any] = {"answer_id": f"chatcmpl-{self.calls.total()}", "created": int(time.time())}
        if not request.get("stream"):
            await self._answer(incoming, 200, completion(self._chat, request, list(tokens), **facts))
            return
        await incoming.start(200, [("content-type", "text/event-stream"), *TALK], None)
        for chunk in chunks(self._chat, request, tokens, **facts):
            await incoming.send(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await incoming.send(b"data: [DONE]\n\n")
        await incoming.end()

    async def _answer(self, incoming: Incoming, status: int, document: Any) -> None:
        await incoming.answer(status, [JSON, *TALK], json.dumps(document).encode())


def _tell_prompt() -> Iterator[Token]:
    for start in range(0, len(PROMPT), PIECE_CHARS):
        yield Token(PROMPT[start : start + PIECE_CHARS], 0.0, [])
