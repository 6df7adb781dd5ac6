"""Responses: POST /v1/responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.openai.passages import response_passages
from vallum.presets.openai.request.items import item
from vallum.presets.openai.request.members import (
    CHARACTERS,
    DATA,
    EFFORTS,
    ID,
    NAME,
    OUTPUT_TOKENS,
    PAIRS,
    SCHEMA_DEPTH,
    common,
    optional,
)
from vallum.presets.openai.request.tools import tool_choice, tools
from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.shape import (
    ANY_OBJECT,
    FLAG,
    OPEN,
    Shape,
    by_kind,
    either,
    listed,
    nested,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.presets.preset import Bounds

BOUNDS: Mapping[str, Bound] = {
    "items": Bound(1000, "messages and other items of the input"),
    "parts": Bound(256, "parts of one message"),
    "images": Bound(16, "images of one message"),
    "chars": CHARACTERS,
    "data_chars": DATA,
    "tools": Bound(128, "tools"),
    "max_output_tokens": OUTPUT_TOKENS,
    "max_tool_calls": Bound(128, "calls of built-in tools that one answer may make"),
    "metadata": PAIRS,
    "schema_depth": SCHEMA_DEPTH,
}
ELSEWHERE = "at the upstream, which may be another caller's"
DANGEROUS: Mapping[str, str] = {
    "approval_request_id": f"names a call of a tool server {ELSEWHERE}",
    "background": "the answer outlives the exchange: nobody counts it, and whoever knows its id can fetch it",
    "container": f"runs the caller's code at the upstream; its id names one {ELSEWHERE}",
    "conversation": f"names a conversation {ELSEWHERE}",
    "file_id": f"names a file {ELSEWHERE}",
    "file_url": "the upstream fetches it: a way into the network that it stands in",
    "item_reference.id": f"names an item {ELSEWHERE}",
    "previous_response_id": f"names an answer {ELSEWHERE}",
    "prompt": f"names a template {ELSEWHERE}",
    "server_label": "the upstream calls a tool server of the caller's choice, or one of its own",
    "store": "true keeps the exchange at the upstream, where whoever shares its account can read it",
    "vector_store_ids": f"names documents {ELSEWHERE}",
}
INCLUDED = (
    "web_search_call.action.sources",
    "web_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
)


COUNT = or_null(whole(0, OPEN))


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for a response."""
    words = text(bounds["chars"])
    return {
        "$defs": {"item": item(bounds), **nested(bounds["schema_depth"])},
        **record(
            "model input",
            model=ID,
            input=either(words, listed({"$ref": "#/$defs/item"}, bounds["items"], 1)),
            **common(bounds),
            **dict.fromkeys(("background", "store"), one_of(False, None)),
            **dict.fromkeys(("background_options", "conversation", "previous_response_id", "prompt"), one_of(None)),
            tools=or_null(listed(tools(bounds), bounds["tools"])),
            tool_choice=or_null(tool_choice(bounds)),
            **optional(
                access_programs=record(cyber=text(32)),
                context_management=listed(record("type", type=text(32), compact_threshold=COUNT), 8),
                image=record(context_compression=one_of("auto", "enabled", "disabled")),
                include=listed(one_of(*INCLUDED), len(INCLUDED)),
                instructions=words,
                max_output_tokens=whole(1, bounds["max_output_tokens"]),
                max_tool_calls=whole(0, bounds["max_tool_calls"]),
                parallel_tool_calls=FLAG,
                reasoning=record(
                    context=one_of("auto", "current_turn", "all_turns", None),
                    mode=text(32),
                    effort=one_of(*EFFORTS, None),
                    summary=one_of("auto", "concise", "detailed", None),
                    generate_summary=one_of("auto", "concise", "detailed", None),
                ),
                stream_options=record(include_obfuscation=FLAG),
                text=record(format=_format(bounds), verbosity=one_of("low", "medium", "high", None)),
                top_logprobs=whole(0, 20),
                truncation=one_of("auto", "disabled"),
            ),
        ),
    }


def _format(bounds: Bounds) -> Shape:
    schema_format = {"name": NAME, "schema": ANY_OBJECT, "strict": or_null(FLAG)}
    described = or_null(text(bounds["chars"]))
    return by_kind(
        "type",
        {
            "text": record(),
            "json_object": record(),
            "json_schema": record("name schema", **schema_format, description=described),
        },
    )


RESPONSES = RequestForm(
    bounds=BOUNDS,
    schema=schema,
    refused=DANGEROUS,
    passages=response_passages,
    attachments=(
        Attachment("input.*.content.*.image_url", "image", Takes.URL),
        Attachment("input.*.output.image_url", "image", Takes.URL),  # of a computer's screen, or among a tool's parts
        Attachment("input.*.result", "image", Takes.BASE64),
        Attachment("tools.*.input_image_mask.image_url", "image", Takes.URL),
        Attachment("input.*.content.*.file_url", "file", Takes.URL),
        Attachment("input.*.output.file_url", "file", Takes.URL),
        Attachment("input.*.content.*.file_data", "file", Takes.BASE64),
    ),
    inputs=(
        Input("input", "text"),
        Input("input.*.content", "text"),
        Input("input.*.content.*.text", "text"),
        Input("input.*.content.*.image_url", "image"),
    ),
)
