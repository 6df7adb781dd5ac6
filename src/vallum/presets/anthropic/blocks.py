"""The blocks of which messages are made, each kind closed, and who may speak which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.shapes import FLAG, FREE, NAME, NAME_MAX, by, closed, listed, nullable, one_of, text, text_or, whole

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds
    from vallum.presets.shapes import Shape

URL = {"type": "string", "maxLength": 2048, "pattern": "^https?://[^\\s@]+$"}  # no credentials in it
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
CACHE = nullable(closed(["type"], type=one_of("ephemeral"), ttl=one_of("5m", "1h")))
CITATIONS = nullable(closed(["enabled"], enabled=FLAG))
CALLERS = "code_execution_20250825", "code_execution_20260120", "code_execution_20260521"
CALLER = nullable(closed(["type"], type=one_of("direct", *CALLERS), tool_id=NAME))
SERVER_TOOLS = (
    "bash_code_execution",
    "code_execution",
    "text_editor_code_execution",
    "tool_search_tool_bm25",
    "tool_search_tool_regex",
    "web_fetch",
    "web_search",
)
SERVER_RESULTS = (
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "web_fetch_tool_result",
    "web_search_tool_result",
)
ANY = {"$ref": "#/$defs/free", "type": ["object", "array"]}
# Who may speak which kinds of blocks.
SPEAKS = {
    "user": ("text", "image", "document", "search_result", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", *SERVER_RESULTS),
    "system": ("text",),
}


def citation(chars: int) -> Shape:
    """Describe where the model says it has something from."""
    place = nullable(whole(0, 2**31 - 1))
    ends = ("char_index", "page_number", "block_index")
    places = {f"{side}_{end}": place for side in ("start", "end") for end in ends}
    kinds = ("char_location", "page_location", "content_block_location", "web_search_result_location")
    title = nullable(text(NAME_MAX * 4))
    return closed(
        ["type", "cited_text"],
        type=one_of(*kinds, "search_result_location"),
        cited_text=text(chars),
        document_index=place,
        document_title=title,
        file_id=nullable(text(NAME_MAX)),
        search_result_index=place,
        encrypted_index=text(chars),
        source=text(2048),
        title=title,
        url=text(2048),
        **places,
    )


def block(kind: str, /, *required: str, **members: Any) -> Shape:
    """Describe an object by its `type`."""
    return closed(["type", *required], type={"const": kind}, **members)


def blocks(bounds: Bounds) -> dict[str, Shape]:
    """Describe every kind of block."""
    chars, parts = bounds["chars"], bounds["parts"]
    data, title = text(bounds["data_chars"], 1), nullable(text(NAME_MAX * 4))
    said = block(
        "text",
        "text",
        text=text(chars),
        cache_control=CACHE,
        citations=nullable(listed({"$ref": "#/$defs/cited"}, parts)),
    )
    image = block(
        "image",
        "source",
        source=by(
            "type",
            {
                "base64": block("base64", "media_type", "data", media_type=one_of(*IMAGE_TYPES), data=data),
                "url": block("url", "url", url=URL),
            },
        ),
        cache_control=CACHE,
        transformations=nullable(closed(oversized_image=one_of("downsize", "error"))),
    )
    inside = listed(by("type", {"text": said, "image": image}), parts)
    document = block(
        "document",
        "source",
        source=by(
            "type",
            {
                "base64": block("base64", "media_type", "data", media_type=one_of("application/pdf"), data=data),
                "text": block("text", "media_type", "data", media_type=one_of("text/plain"), data=text(chars)),
                "content": block("content", "content", content=text_or(inside, chars)),
                "url": block("url", "url", url=URL),
            },
        ),
        cache_control=CACHE,
        citations=CITATIONS,
        context=nullable(text(chars)),
        title=title,
    )
    search = block(
        "search_result",
        *("source", "title", "content"),
        source=text(2048),
        title=text(NAME_MAX * 4),
        content=listed(said, parts),
        cache_control=CACHE,
        citations=CITATIONS,
    )
    reference = block("tool_reference", "tool_name", tool_name=NAME, cache_control=CACHE)
    results = {"text": said, "image": image, "document": document, "search_result": search, "tool_reference": reference}
    toolset = nullable(text(NAME_MAX))
    served = {
        kind: block(kind, "tool_use_id", "content", tool_use_id=NAME, content=ANY, cache_control=CACHE, caller=CALLER)
        for kind in SERVER_RESULTS
    }
    call = {"id": NAME, "input": FREE, "cache_control": CACHE, "caller": CALLER}
    return {
        "text": said,
        "image": image,
        "document": document,
        "search_result": search,
        "tool_result": block(
            "tool_result",
            "tool_use_id",
            tool_use_id=NAME,
            content=text_or(listed(by("type", results), parts), chars),
            is_error=nullable(FLAG),
            cache_control=CACHE,
            toolset_name=toolset,
        ),
        "thinking": block("thinking", "thinking", thinking=text(chars), signature=nullable(text(chars))),
        "redacted_thinking": block("redacted_thinking", "data", data=text(chars)),
        "tool_use": block("tool_use", "id", "name", "input", name=NAME, toolset_name=toolset, **call),
        "server_tool_use": block("server_tool_use", "id", "name", "input", name=one_of(*SERVER_TOOLS), **call),
        **served,
    }


def message(role: str, kinds: dict[str, Shape], bounds: Bounds) -> Shape:
    """Describe what `role` says."""
    parts = listed(by("type", {kind: kinds[kind] for kind in SPEAKS[role]}), bounds["parts"])
    return closed(["role", "content"], role={"const": role}, content=text_or(parts, bounds["chars"]))
