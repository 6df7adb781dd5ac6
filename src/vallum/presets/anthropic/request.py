"""Requests of Anthropic's Messages API, which vLLM, SGLang, llama.cpp and Ollama speak as well.

What it stops
    Members and kinds of blocks that the API does not have; blocks in the wrong mouth (a result of a tool spoken by the
    model, a tool's call or a thought spoken by the user, a result inside a result); more of anything than the bounds.
    Refused although the API has them, as all callers share the upstream's one account: `container` and
    `container_upload`, sources of type `file`, `diagnostics`, `user_profile_id` and `workspace_id` (they name what
    another caller may have left there); `inference_geo` and `speed` (the owner's to choose); `mcp_servers` (the
    upstream would connect to any address).
Config
    `request.bounds`: see BOUNDS.
Cost
    About 15 us for a conversation of ten messages.
Misses
    That `max_tokens` is over `thinking.budget_tokens`, and that each result follows its call: the upstream says so.
    What is in a picture or a PDF.  `source.type: url` makes the upstream fetch the address: bound it with the route's
    image rules.
Example
    preset: anthropic.messages
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.anthropic.blocks import CACHE, SPEAKS, block, blocks, citation, message
from vallum.presets.anthropic.tools import tool
from vallum.presets.preset import Bound, Input
from vallum.presets.shapes import (
    FLAG,
    MODEL,
    NAME,
    NAME_MAX,
    SCHEMA,
    by,
    closed,
    listed,
    nullable,
    number,
    one_of,
    text,
    text_or,
    whole,
    whole_of,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds
    from vallum.presets.shapes import Shape

BOUNDS = {
    "messages": Bound(1000, "messages in a conversation"),
    "parts": Bound(256, "blocks in one message, and in one result of a tool"),
    "chars": Bound(1_000_000, "characters of one text"),
    "data_chars": Bound(14_000_000, "characters of one picture or document in base64"),
    "tools": Bound(128, "tools that are offered"),
    "max_tokens": Bound(131_072, "tokens of an answer that may be asked for"),
    "stop_sequences": Bound(16, "texts that end an answer"),
}
COUNTED_BOUNDS = {name: BOUNDS[name] for name in ("messages", "parts", "chars", "data_chars", "tools")}
INPUTS = (
    Input("messages.*.content", "text"),
    Input("messages.*.content.*.text", "text"),
    Input("messages.*.content.*.source.data", "image"),
)
HEADERS = frozenset({"anthropic-version", "anthropic-beta"})
QUERY = frozenset({"beta"})  # what SDKs put behind the path of a call that uses a beta

THINKING_LEAST = 1024
DISPLAY = nullable(one_of("summarized", "omitted"))


def _conversation(bounds: Bounds) -> dict[str, Shape]:
    """Describe the members that a call and a count of its tokens share."""
    chars = bounds["chars"]
    kinds = blocks(bounds)
    choice = {"disable_parallel_tool_use": FLAG}
    return {
        "model": MODEL,
        "messages": listed(
            by("role", {role: message(role, kinds, bounds) for role in SPEAKS}), bounds["messages"], least=1
        ),
        "system": text_or(listed(kinds["text"], bounds["parts"]), chars),
        "tools": listed(tool(chars), bounds["tools"]),
        "tool_choice": by(
            "type",
            {
                "auto": block("auto", **choice),
                "any": block("any", **choice),
                "tool": block("tool", "name", name=NAME, **choice),
                "none": block("none"),
            },
        ),
        "thinking": by(
            "type",
            {
                "enabled": block(
                    "enabled", "budget_tokens", budget_tokens=whole(THINKING_LEAST, 2**31 - 1), display=DISPLAY
                ),
                "adaptive": block("adaptive", display=DISPLAY),
                "between_tools": block("between_tools", display=DISPLAY),
                "disabled": block("disabled"),
            },
        ),
        "output_config": closed(
            effort=nullable(one_of("low", "medium", "high", "xhigh", "max")),
            format=nullable(closed(["type", "schema"], type=one_of("json_schema"), schema=SCHEMA)),
        ),
        "cache_control": CACHE,
    }


def count_tokens(bounds: Bounds) -> Shape:
    """Return the schema of POST /v1/messages/count_tokens."""
    body = closed(["model", "messages"], **_conversation(bounds))
    return whole_of(body, bounds["chars"], cited=citation(bounds["chars"]))


def messages(bounds: Bounds) -> Shape:
    """Return the schema of POST /v1/messages."""
    body = closed(
        ["model", "messages", "max_tokens"],
        max_tokens=whole(1, bounds["max_tokens"]),
        stop_sequences=listed(text(NAME_MAX, 1), bounds["stop_sequences"]),
        stream=FLAG,
        temperature=number(0, 1),
        top_p=number(0, 1),
        top_k=whole(0, 2**31 - 1),
        metadata=closed(user_id=nullable(text(512))),
        service_tier=one_of("auto", "standard_only"),
        **_conversation(bounds),
    )
    return whole_of(body, bounds["chars"], cited=citation(bounds["chars"]))
