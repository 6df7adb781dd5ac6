"""Responses: POST /v1/responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.openai import attachments
from vallum.presets.openai.passages import response_passages
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
    ANYTHING,
    FLAG,
    REFUSED,
    Shape,
    by_kind,
    either,
    fewer,
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
    "items": Bound(512, "messages and other items of the input"),
    "parts": Bound(64, "parts of one message"),
    "images": Bound(16, "images of one message"),
    "characters": CHARACTERS,
    "data": DATA,
    "tools": Bound(128, "tools"),
    "max_output_tokens": OUTPUT_TOKENS,
    "max_tool_calls": Bound(128, "calls of built-in tools that one answer may make"),
    "metadata": PAIRS,
    "schema_depth": SCHEMA_DEPTH,
}
ELSEWHERE = "at the upstream, which may be another caller's"
DANGEROUS: Mapping[str, str] = {
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
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
)
STATUS = or_null(one_of("in_progress", "completed", "incomplete"))


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a request for a response."""
    words = text(bounds["characters"])
    return {
        "$defs": {"item": _item(bounds), **nested(bounds["schema_depth"])},
        **record(
            "model input",
            model=ID,
            input=either(words, listed({"$ref": "#/$defs/item"}, bounds["items"], 1)),
            **common(bounds),
            **dict.fromkeys(("background", "store"), one_of(False, None)),
            **dict.fromkeys(("conversation", "previous_response_id", "prompt"), one_of(None)),
            tools=or_null(listed(tools(bounds), bounds["tools"])),
            tool_choice=or_null(tool_choice(bounds)),
            **optional(
                include=listed(one_of(*INCLUDED), len(INCLUDED)),
                instructions=words,
                max_output_tokens=whole(1, bounds["max_output_tokens"]),
                max_tool_calls=whole(0, bounds["max_tool_calls"]),
                parallel_tool_calls=FLAG,
                reasoning=record(
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
    described = or_null(text(bounds["characters"]))
    return by_kind("type", {
        "text": record(),
        "json_object": record(),
        "json_schema": record("name schema", **schema_format, description=described),
    })  # fmt: skip


def _item(bounds: Bounds) -> Shape:
    """Take an item of the input: a message, by its kind or without one, or what an answer held and is sent back."""
    words, result = text(bounds["characters"]), or_null(text(1_048_576))
    many = listed(by_kind("type", parts(bounds)), bounds["parts"], 1)
    message = record(
        "role content",
        role=one_of("user", "assistant", "system", "developer"),
        content=either(words, fewer(many, "input_image", bounds["images"])),
        id=ID,
        status=STATUS,
    )
    output = either(text(1_048_576), many)
    ids = {"id": or_null(ID), "status": STATUS}
    summary = by_kind("type", {"summary_text": record("text", text=words)})
    thought = by_kind("type", {"reasoning_text": record("text", text=words)})
    kinds = {
        "message": message,
        "function_call": record(
            "arguments call_id name", arguments=text(1_048_576), call_id=ID, name=text(128, 1), **ids
        ),
        "function_call_output": record("call_id output", call_id=ID, output=output, **ids),
        "custom_tool_call": record(
            "call_id input name", call_id=ID, input=text(1_048_576), name=text(128, 1), id=ID, status=STATUS
        ),
        "custom_tool_call_output": record("call_id output", call_id=ID, output=output, id=ID),
        "reasoning": record(
            "summary",
            summary=listed(summary, bounds["parts"]),
            content=or_null(listed(thought, bounds["parts"])),
            encrypted_content=result,
            **ids,
        ),
        "web_search_call": record("id", id=ID, status=text(32), action=ANY_OBJECT),
        "file_search_call": record(
            "id queries", id=ID, status=text(32), queries=listed(words, 64), results=or_null(listed(ANYTHING, 256))
        ),
        "code_interpreter_call": record(
            "id container_id",
            id=ID, code=result, container_id=ID, status=text(32), outputs=or_null(listed(ANYTHING, 256)),
        ),
        "image_generation_call": record("id", id=ID, status=text(32), result=or_null(text(bounds["data"]))),
        "computer_call": record(
            "id call_id action",
            id=ID, call_id=ID, action=ANY_OBJECT, status=STATUS, pending_safety_checks=listed(ANYTHING, 64),
        ),
        "computer_call_output": record(
            "call_id output",
            call_id=ID,
            output=by_kind("type", {"computer_screenshot": record(image_url=text(bounds["data"]), file_id=REFUSED)}),
            acknowledged_safety_checks=or_null(listed(ANYTHING, 64)),
            **ids,
        ),
        "local_shell_call": record("id call_id action", id=ID, call_id=ID, action=ANY_OBJECT, status=STATUS),
        "local_shell_call_output": record("id output", output=text(1_048_576), **ids),
        "item_reference": record("id", id=REFUSED),
    }  # fmt: skip
    return by_kind("type", kinds, default=message)


def parts(bounds: Bounds) -> dict[str, Shape]:
    """Return the parts of a message: what the user gives, and what the model gave."""
    words, data = text(bounds["characters"]), or_null(text(bounds["data"]))
    return {
        "input_text": record("text", text=words),
        "output_text": record(
            "text", text=words, annotations=listed(ANYTHING, 256), logprobs=or_null(listed(ANYTHING, 1024))
        ),
        "input_image": record(image_url=data, detail=one_of("auto", "low", "high", "original", None), file_id=REFUSED),
        "input_file": record(file_data=data, filename=text(256), file_id=REFUSED, file_url=REFUSED),
        "input_audio": record(
            "input_audio",
            input_audio=record("data format", data=text(bounds["data"], 1), format=one_of("wav", "mp3")),
        ),
        "refusal": record("refusal", refusal=words),
    }


RESPONSES = RequestForm(
    bounds=BOUNDS,
    schema=schema,
    refused=DANGEROUS,
    passages=response_passages,
    attachments=attachments.RESPONSES,
    inputs=(
        Input("input", "text"),
        Input("input.*.content", "text"),
        Input("input.*.content.*.text", "text"),
        Input("input.*.content.*.image_url", "image"),
    ),
)
