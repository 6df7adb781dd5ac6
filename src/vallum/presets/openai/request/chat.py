"""Chat completions: POST /v1/chat/completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Attachment, Takes
from vallum.presets.openai.passages import chat_passages
from vallum.presets.openai.request.members import (
    ANSWERS,
    BIAS_BOUNDS,
    BREAKPOINT,
    CHARACTERS,
    DATA,
    DETAILS,
    ECHOED,
    EFFORTS,
    ID,
    LOCATION,
    NAME,
    NUDGED,
    OUTPUT_TOKENS,
    PAIRS,
    SCHEMA_DEPTH,
    STOPS,
    common,
    function,
    grammar,
    optional,
    sampling,
)
from vallum.presets.preset import Bound, Input, RequestForm, counts
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
    "messages": Bound(1000, "messages of a conversation"),
    "parts": Bound(256, "parts of one message"),
    "images": Bound(16, "images of one message"),
    "chars": CHARACTERS,
    "data_chars": DATA,
    "tools": Bound(128, "tools, and functions"),
    "tool_calls": Bound(128, "calls of tools in one message"),
    "max_tokens": OUTPUT_TOKENS,
    "n": ANSWERS,
    "stop": STOPS,
    **BIAS_BOUNDS,
    "metadata": PAIRS,
    "schema_depth": SCHEMA_DEPTH,
}

DANGEROUS: Mapping[str, str] = {
    "store": "true keeps the exchange at the upstream, where whoever shares its account can read it",
    "file_id": "names a file at the upstream, which may be another caller's",
    "audio.id": "names an earlier answer at the upstream, which may be another caller's",
}

PART = "messages.*.content.*"
ATTACHMENTS = (
    Attachment(f"{PART}.image_url.url", "image", Takes.URL),
    Attachment(f"{PART}.input_audio.data", "audio", Takes.BASE64),
    Attachment(f"{PART}.file.file_data", "file", Takes.BASE64),
)

CALL: Mapping[str, Any] = {"name": text(128, 1), "arguments": text(1_048_576)}


def schema(bounds: Bounds) -> Mapping[str, Any]:
    """Write the schema of a chat."""
    return {"$defs": definitions(bounds), **record("messages model", **members(bounds))}


def members(bounds: Bounds) -> dict[str, Any]:
    """Return all members of a request."""
    schema_name = {"name": NAME, "description": or_null(text(bounds["chars"])), "strict": or_null(FLAG)}
    tool = {
        "function": record("function", function=record("name", **function(bounds))),
        "custom": record("custom", custom=_custom(bounds)),
    }
    return {
        "messages": listed({"$ref": "#/$defs/message"}, bounds["messages"], 1),
        "model": ID,
        **common(bounds),
        **sampling(bounds),
        "tools": or_null(listed(by_kind("type", tool), bounds["tools"])),
        "tool_choice": or_null(_tool_choice(bounds)),
        "functions": or_null(listed(record("name", **function(bounds)), bounds["tools"])),
        "function_call": or_null(either({"type": "string", "maxLength": 64}, record("name", name=NAME))),
        "response_format": by_kind(
            "type",
            {
                "text": record(),
                "json_object": record(),
                "json_schema": record("json_schema", json_schema=record("name", **schema_name, schema=ANY_OBJECT)),
            },
        ),
        "store": one_of(False, None),
        **optional(
            audio=record("voice format", voice=_voice(), format=one_of("wav", "aac", "mp3", "flac", "opus", "pcm16")),
            logprobs=FLAG,
            max_completion_tokens=whole(1, bounds["max_tokens"]),
            modalities=listed(one_of("text", "audio"), 2),
            parallel_tool_calls=FLAG,
            prediction=record("type content", type=one_of("content"), content=_texts(bounds)),
            reasoning_effort=one_of(*EFFORTS),
            top_logprobs=whole(0, 20),
            verbosity=one_of("low", "medium", "high"),
            web_search_options=record(
                search_context_size=one_of("low", "medium", "high"),
                user_location=or_null(
                    record("type approximate", type=one_of("approximate"), approximate=record(**LOCATION))
                ),
            ),
        ),
    }


def definitions(bounds: Bounds, more: Mapping[str, Shape] | None = None) -> dict[str, Any]:
    """Return what the members refer to: a message, by its role; `more` are parts that a user's may have besides."""
    content = _texts(bounds)
    many = listed(by_kind("type", parts(bounds) | dict(more or {})), bounds["parts"], 1)
    asked = either(text(bounds["chars"]), fewer(many, "image_url", bounds["images"]))
    name = text(128)
    answered = either(
        text(bounds["chars"]),
        listed(
            by_kind(
                "type",
                {
                    "text": record("text", text=text(bounds["chars"]), prompt_cache_breakpoint=BREAKPOINT),
                    "refusal": record("refusal", refusal=text(bounds["chars"])),
                },
            ),
            bounds["parts"],
        ),
    )
    calls = by_kind(
        "type",
        {
            "function": record("id function", id=ID, function=record("name arguments", **CALL)),
            "custom": record("id custom", id=ID, custom=record("name input", name=text(128, 1), input=text(1_048_576))),
        },
    )
    roles = {
        "user": record("content", content=asked, name=name),
        "assistant": record(
            content=or_null(answered),
            name=or_null(name),
            tool_calls=or_null(listed(calls, bounds["tool_calls"])),
            function_call=or_null(record("name arguments", **CALL)),
            audio=or_null(record("id", id=REFUSED)),
            # What answers hold and is sent back with them, by SDKs and by servers of models that reason.
            refusal=or_null(text(bounds["chars"])),
            annotations=or_null(listed(ANYTHING, 256)),
            reasoning=or_null(text(bounds["chars"])),
            reasoning_content=or_null(text(bounds["chars"])),
        ),
        "tool": record("content tool_call_id", content=content, tool_call_id=ID, name=or_null(name)),
        "system": record("content", content=content, name=name),
        "developer": record("content", content=content, name=name),
        "function": record("content name", content=or_null(text(bounds["chars"])), name=name),
    }
    return {"message": by_kind("role", roles), **nested(bounds["schema_depth"])}


def parts(bounds: Bounds) -> dict[str, Shape]:
    """Return the parts of what a user says."""
    data = text(bounds["data_chars"], 1)
    return {
        "text": record("text", text=text(bounds["chars"]), prompt_cache_breakpoint=BREAKPOINT),
        "image_url": record(
            "image_url", image_url=record("url", url=data, detail=one_of(*DETAILS)), prompt_cache_breakpoint=BREAKPOINT
        ),
        "input_audio": record(
            "input_audio",
            input_audio=record("data format", data=data, format=one_of("wav", "mp3")),
            prompt_cache_breakpoint=BREAKPOINT,
        ),
        "file": record(
            "file", file=record(file_data=data, filename=text(256), file_id=REFUSED), prompt_cache_breakpoint=BREAKPOINT
        ),
    }


def _texts(bounds: Bounds) -> Shape:
    part = by_kind("type", {"text": record("text", text=text(bounds["chars"]), prompt_cache_breakpoint=BREAKPOINT)})
    return either(text(bounds["chars"]), listed(part, bounds["parts"], 1))


def _custom(bounds: Bounds) -> Shape:
    return record("name", name=NAME, description=text(bounds["chars"]), format=grammar(flat=False))


def _voice() -> Shape:
    return either(text(64, 1), record("id", id=ID))


def _tool_choice(bounds: Bounds) -> Shape:
    chosen = by_kind(
        "type",
        {
            "function": record("function", function=record("name", name=NAME)),
            "custom": record("custom", custom=record("name", name=NAME)),
            "allowed_tools": record(
                "allowed_tools",
                allowed_tools=record(
                    "mode tools", mode=one_of("auto", "required"), tools=listed(ANY_OBJECT, bounds["tools"])
                ),
            ),
        },
    )
    return either({"type": "string", "pattern": "^(none|auto|required)$"}, chosen)


WEIGHTS = (counts("n", "best_of"), NUDGED, ECHOED)
CHAT = RequestForm(
    bounds=BOUNDS,
    schema=schema,
    refused=DANGEROUS,
    weights=WEIGHTS,
    passages=chat_passages,
    attachments=ATTACHMENTS,
    inputs=(
        Input("messages.*.content", "text"),
        Input("messages.*.content.*.text", "text"),
        Input("messages.*.content.*.image_url.url", "image"),
    ),
)
