"""The blocks of which messages are made, each kind closed, and who may speak which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.shape import (
    ANY_OBJECT,
    FLAG,
    OPEN,
    REFUSED,
    Shape,
    by_kind,
    either,
    listed,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

URL: Shape = {"type": "string", "maxLength": 2048, "pattern": "^https?://[^\\s@]+$"}  # no credentials in it
NAME: Shape = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,128}$"}  # of a tool, a call
LABEL = text(1024)
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
CACHE = or_null(record("type", type=one_of("ephemeral"), ttl=one_of("5m", "1h")))
CITATIONS = or_null(record("enabled", enabled=FLAG))
CALLERS = ("direct", "code_execution_20250825", "code_execution_20260120", "code_execution_20260521")
CALLER = or_null(record("type", type=one_of(*CALLERS), tool_id=NAME))
CITED = ("char_location", "page_location", "content_block_location", "search_result_location")
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
FREE: Shape = {"type": ["object", "array"], "$ref": "#/$defs/nested"}
AT_UPSTREAM = record("file_id", file_id=REFUSED)
# Who may speak which kinds of blocks; the most frequent first.
SPEAKS = {
    "user": ("text", "tool_result", "image", "document", "search_result", "container_upload"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking", "server_tool_use", *SERVER_RESULTS),
    "system": ("text",),
}


def citation(chars: int) -> Shape:
    """Describe where the model says it has something from."""
    place = or_null(whole(0, OPEN))
    places = {
        f"{side}_{unit}": place for side in ("start", "end") for unit in ("char_index", "page_number", "block_index")
    }
    return record(
        "type cited_text",
        type=one_of(*CITED, "web_search_result_location"),
        cited_text=text(chars),
        document_index=place,
        document_title=or_null(LABEL),
        encrypted_index=text(chars),
        file_id=one_of(None),
        search_result_index=place,
        source=text(2048),
        title=or_null(LABEL),
        url=text(2048),
        **places,
    )


def blocks(bounds: Bounds) -> dict[str, Shape]:
    """Describe every kind of block."""
    chars, parts = bounds["chars"], bounds["parts"]
    cited = or_null(listed({"$ref": "#/$defs/cited"}, parts))
    said = record("text", text=text(chars), cache_control=CACHE, citations=cited)
    image = record(
        "source",
        source=by_kind("type", {**_sources(bounds, *IMAGE_TYPES), "file": AT_UPSTREAM}),
        cache_control=CACHE,
        transformations=or_null(record(oversized_image=one_of("downsize", "error"))),
    )
    inside = listed(by_kind("type", {"text": said, "image": image}), parts)
    sources = {
        **_sources(bounds, "application/pdf"),
        "text": record("media_type data", media_type=one_of("text/plain"), data=text(chars)),
        "content": record("content", content=either(text(chars), inside)),
        "file": AT_UPSTREAM,
    }
    page = {"cache_control": CACHE, "citations": CITATIONS}
    document = record(
        "source", source=by_kind("type", sources), context=or_null(text(chars)), title=or_null(LABEL), **page
    )
    found = listed(by_kind("type", {"text": said}), parts)
    search = record("source title content", source=text(2048), title=LABEL, content=found, **page)
    results = {
        "text": said,
        "image": image,
        "document": document,
        "search_result": search,
        "tool_reference": record("tool_name", tool_name=NAME, cache_control=CACHE),
    }
    call = {"id": NAME, "input": ANY_OBJECT, "cache_control": CACHE, "caller": CALLER, "toolset_name": or_null(LABEL)}
    returned = {"tool_use_id": NAME, "cache_control": CACHE}
    kinds = {
        "text": said,
        "image": image,
        "document": document,
        "search_result": search,
        "container_upload": AT_UPSTREAM,
        "thinking": record("thinking", thinking=text(chars), signature=or_null(text(chars))),
        "redacted_thinking": record("data", data=text(chars)),
        "tool_use": record("id name input", name=NAME, **call),
        "server_tool_use": record("id name input", name=one_of(*SERVER_TOOLS), **call),
        "tool_result": record(
            "tool_use_id",
            content=either(text(chars), listed(by_kind("type", results), parts)),
            is_error=or_null(FLAG),
            toolset_name=or_null(LABEL),
            **returned,
        ),
    }
    served = record("tool_use_id content", content=FREE, caller=CALLER, **returned)
    return kinds | dict.fromkeys(SERVER_RESULTS, served)


def _sources(bounds: Bounds, *media_types: str) -> dict[str, Shape]:
    """Describe where bytes come from: out of the request, or from an address."""
    inline: dict[str, Any] = {"media_type": one_of(*media_types), "data": text(bounds["data_chars"], 1)}
    return {"base64": record("media_type data", **inline), "url": record("url", url=URL)}


def message(role: str, kinds: dict[str, Shape], bounds: Bounds) -> Shape:
    """Describe what `role` says."""
    parts = listed(by_kind("type", {kind: kinds[kind] for kind in SPEAKS[role]}), bounds["parts"])
    return record("content", content=either(text(bounds["chars"]), parts))
