"""Tokens in Ollama's formats.  A stream is a document a line, and its last one states the usage.

`prompt_eval_count` is left out where all of the prompt was in the cache: the estimate stands then.
"""

from __future__ import annotations

from typing import Any

from vallum.presets.amounts import Format, FormatMeter

IMAGE_TOKENS = 3000  # LLaVA 1.6 takes up to 2,880
USAGE: tuple[tuple[str, ...], ...] = ((),)  # beside everything else
COUNTED = (("prompt_eval_count", "eval_count"),)
OUTPUT = ("options.num_predict",)
SILENT = frozenset({"id", "images", "index", "role", "type"})


def _message(document: Any) -> list[Any]:
    return [document.get("message")] if isinstance(document, dict) else []


def _response(document: Any) -> list[Any]:
    return [document.get("response"), document.get("thinking")] if isinstance(document, dict) else []


def _end(document: Any, tokens: int, **said: Any) -> list[tuple[str, Any]]:
    names = ("model", "created_at")
    head = {name: document[name] for name in names if name in document} if isinstance(document, dict) else {}
    return [("", head | said | {"done": True, "done_reason": "length", "eval_count": tokens})]


def _end_chat(document: Any, tokens: int) -> list[tuple[str, Any]]:
    return _end(document, tokens, message={"role": "assistant", "content": ""})


def _end_generate(document: Any, tokens: int) -> list[tuple[str, Any]]:
    return _end(document, tokens, response="")


CHAT = Format(
    prompt=("messages", "tools", "format"),
    output=OUTPUT,
    images=("images", IMAGE_TOKENS),
    usage=USAGE,
    counted=COUNTED,
    texts=_message,
    silent=SILENT,
    end=_end_chat,
    lines=True,
)
GENERATE = Format(
    prompt=("prompt", "suffix", "system", "template", "context", "format"),
    output=OUTPUT,
    images=("images", IMAGE_TOKENS),
    usage=USAGE,
    counted=COUNTED,
    texts=_response,
    end=_end_generate,
    lines=True,
)
EMBED = Format(prompt=("input",), usage=USAGE, counted=COUNTED)
EMBEDDINGS = Format(prompt=("prompt",))

METERS = {
    "ollama.chat": FormatMeter(CHAT),
    "ollama.generate": FormatMeter(GENERATE),
    "ollama.embed": FormatMeter(EMBED),
    "ollama.embeddings": FormatMeter(EMBEDDINGS),
}
