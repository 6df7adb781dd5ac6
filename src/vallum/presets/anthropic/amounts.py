"""Tokens in Anthropic's format.  Facts of the API, as tables; nothing is decided here.

What is read from a cache, or written to one, is input like any other.  A stream says what went in when it begins and
what came out when it ends: one that is left or cut in between is counted by its text.
"""

from __future__ import annotations

from typing import Any

from vallum.presets.amounts import Format, FormatMeter

IMAGE_TOKENS = 1600  # the most that a picture is scaled to
DOCUMENT_TOKENS = 8000
RESULT = "tool_result"  # what the upstream's own tools return in the middle of an answer: input, and not spoken


def _texts(document: Any) -> list[Any]:
    if not isinstance(document, dict):
        return []
    found = document.get("delta") or document.get("content_block") or document.get("content")
    blocks = found if isinstance(found, list) else [found]
    return [block for block in blocks if isinstance(block, dict) and not str(block.get("type")).endswith(RESULT)]


def _end(document: Any, tokens: int) -> list[tuple[str, Any]]:
    """End the open block, if the caller has seen it begin, and the message."""
    events: list[tuple[str, Any]] = []
    if isinstance(document, dict) and document.get("type") == "content_block_delta":
        events.append(("content_block_stop", {"type": "content_block_stop", "index": document.get("index", 0)}))
    delta = {"stop_reason": "max_tokens", "stop_sequence": None}
    usage = {"output_tokens": tokens}
    events.append(("message_delta", {"type": "message_delta", "delta": delta, "usage": usage}))
    events.append(("message_stop", {"type": "message_stop"}))
    return events


MESSAGES = Format(
    prompt=("messages", "system", "tools", "output_config"),
    output=("max_tokens",),
    media={"image": ("source", IMAGE_TOKENS), "document": ("source", DOCUMENT_TOKENS)},
    usage=(("usage",),),
    begun=("message", "usage"),
    counted=(("input_tokens", "output_tokens"),),
    cached=("cache_creation_input_tokens", "cache_read_input_tokens"),
    texts=_texts,
    silent=frozenset({"caller", "citation", "citations", "id", "signature", "stop_reason", "stop_sequence", "type"}),
    end=_end,
)
METER = FormatMeter(MESSAGES)
