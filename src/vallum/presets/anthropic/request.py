"""Requests of Anthropic's Messages API, which vLLM, SGLang, llama.cpp and Ollama speak as well.

What it stops
    Members and kinds of blocks that the API does not have; blocks in the wrong mouth (a result of a tool spoken by the
    model, a tool's call or a thought spoken by the user, a result inside a result); more of anything than the bounds.
    Refused although the API has them: REFUSALS.
Config
    `request.bounds`: BOUNDS.
Cost
    About 3 us for a conversation of ten messages.
Misses
    That `max_tokens` is over `thinking.budget_tokens`, and that each result follows its call: the upstream says so.
    What is in a picture or a PDF.
Example
    preset: anthropic.messages
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.anthropic.blocks import CACHE, NAME, SPEAKS, blocks, citation, message
from vallum.presets.anthropic.tools import tool
from vallum.presets.preset import Bound, Input
from vallum.presets.shape import (
    COMPILED_SCHEMA,
    FLAG,
    OPEN,
    REFUSED,
    Shape,
    by_kind,
    compiled_schema,
    either,
    listed,
    nested,
    number,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

BOUNDS = {
    "messages": Bound(1000, "messages in a conversation"),
    "parts": Bound(256, "blocks in one message, and in one result of a tool"),
    "chars": Bound(1_000_000, "characters of one text"),
    "data_chars": Bound(14_000_000, "characters of one picture or document in base64"),
    "tools": Bound(128, "tools that are offered"),
    "schema_depth": Bound(16, "levels of a call's arguments, and of other free JSON"),
    "max_tokens": Bound(131_072, "tokens of an answer that may be asked for"),
    "stop_sequences": Bound(16, "texts that end an answer"),
}
COUNTED_BOUNDS = {name: bound for name, bound in BOUNDS.items() if name not in ("max_tokens", "stop_sequences")}
SHARED_ACCOUNT = "names what is kept at the upstream, where all callers share one account"
REFUSALS = {
    "container": SHARED_ACCOUNT,
    "context_management": "deletes from what was said after the checks have read it",
    "diagnostics": SHARED_ACCOUNT,
    "file_id": SHARED_ACCOUNT,
    "inference_geo": "where the model runs is its owner's to choose",
    "mcp_servers": "makes the upstream connect to any address",
    "speed": "what an answer costs is the owner's to choose",
    "user_profile_id": SHARED_ACCOUNT,
    "workspace_id": SHARED_ACCOUNT,
}
# A block lies in a message, in a tool's result, or in a document of blocks in either.
SOURCES = [
    f"messages.*.content.*.{inner}source"
    for inner in ("", "content.*.", "source.content.*.", "content.*.source.content.*.")
]
ATTACHMENTS = (
    *(Attachment(f"{source}.data", "image", Takes.BASE64, "image/") for source in SOURCES),
    *(Attachment(f"{source}.url", "file", Takes.URL) for source in SOURCES),
)
INPUTS = (
    Input("messages.*.content", "text"),
    Input("messages.*.content.*.text", "text"),
    Input("messages.*.content.*.source.data", "image"),
)
HEADERS = frozenset({"anthropic-version", "anthropic-beta"})
QUERY = frozenset({"beta"})  # what SDKs put behind the path of a call that uses a beta

MODEL: Shape = {"type": "string", "pattern": "^[!-~]{1,256}$"}
THINKING_LEAST = 1024
SHOWN = {"display": one_of("summarized", "omitted", None)}
PARALLEL = {"disable_parallel_tool_use": FLAG}
CHOICE = by_kind(
    "type",
    {
        "auto": record(**PARALLEL),
        "any": record(**PARALLEL),
        "tool": record("name", name=NAME, **PARALLEL),
        "none": record(),
    },
)
THINKING = by_kind(
    "type",
    {
        "enabled": record("budget_tokens", budget_tokens=whole(THINKING_LEAST, OPEN), **SHOWN),
        "adaptive": record(**SHOWN),
        "between_tools": record(**SHOWN),
        "disabled": record(),
    },
)
OUTPUT = record(
    effort=one_of("low", "medium", "high", "xhigh", "max", None),
    format=or_null(record("type schema", type=one_of("json_schema"), schema=COMPILED_SCHEMA)),
)


def _members(bounds: Bounds) -> dict[str, Any]:
    """Return the members that a call and a count of its tokens share."""
    kinds = blocks(bounds)
    roles = {role: message(role, kinds, bounds) for role in SPEAKS}
    system = listed(by_kind("type", {"text": kinds["text"]}), bounds["parts"])
    return {
        "model": MODEL,
        "messages": listed(by_kind("role", roles), bounds["messages"], 1),
        "system": either(text(bounds["chars"]), system),
        "tools": listed(tool(bounds["chars"]), bounds["tools"]),
        "tool_choice": CHOICE,
        "thinking": THINKING,
        "output_config": OUTPUT,
        "cache_control": CACHE,
        **{name: REFUSED for name in REFUSALS if name != "file_id"},
    }


def _definitions(bounds: Bounds) -> Mapping[str, Any]:
    chars = bounds["chars"]
    return nested(bounds["schema_depth"], chars=chars) | compiled_schema(chars) | {"cited": citation(chars)}


def count_tokens(bounds: Bounds) -> Shape:
    """Write the schema of POST /v1/messages/count_tokens."""
    return {"$defs": _definitions(bounds), **record("model messages", **_members(bounds))}


def messages(bounds: Bounds) -> Shape:
    """Write the schema of POST /v1/messages."""
    body = record(
        "model messages max_tokens",
        max_tokens=whole(1, bounds["max_tokens"]),
        metadata=record(user_id=or_null(text(512))),
        service_tier=one_of("auto", "standard_only"),
        stop_sequences=listed(text(256, 1), bounds["stop_sequences"]),
        stream=FLAG,
        temperature=number(0, 1),
        top_k=whole(0, OPEN),
        top_p=number(0, 1),
        **_members(bounds),
    )
    return {"$defs": _definitions(bounds), **body}
