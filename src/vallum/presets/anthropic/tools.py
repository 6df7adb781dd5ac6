"""The tools that a request offers: the caller's own, and kinds that the API knows by a dated name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.anthropic.blocks import CACHE, CALLERS, CITATIONS, LABEL, NAME
from vallum.presets.shape import (
    ANY_OBJECT,
    COMPILED_SCHEMA,
    FLAG,
    OPEN,
    Shape,
    listed,
    one_of,
    or_null,
    record,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# Run by the caller (bash, computer), or by the upstream (web_search).
KNOWN: Shape = {
    "type": "string",
    "pattern": "^(bash|browser_toolset|code_execution|computer(_toolset)?|memory|text_editor|web_fetch|web_search"
    "|tool_search_tool_(bm25|regex))_[0-9]{8}$|^tool_search_tool_(bm25|regex)$",
}
COMMON: Mapping[str, Shape] = {
    "name": NAME,
    "cache_control": CACHE,
    "allowed_callers": listed(one_of(*CALLERS), 4),
    "defer_loading": FLAG,
    "strict": or_null(FLAG),
    "input_examples": listed(ANY_OBJECT, 32),
}
MOST = or_null(whole(1, OPEN))
DOMAINS = or_null(listed(text(253), 64))
LOCATION: Mapping[str, Any] = {name: or_null(LABEL) for name in ("city", "country", "region", "timezone")}


def tool(chars: int) -> Shape:
    """Describe a tool that is offered."""
    own = record(
        "name input_schema",
        type=one_of("custom", None),
        description=text(chars),
        input_schema=COMPILED_SCHEMA,
        eager_input_streaming=or_null(FLAG),
        **COMMON,
    )
    known = record(
        "type",
        type=KNOWN,
        allowed_domains=DOMAINS,
        blocked_domains=DOMAINS,
        citations=CITATIONS,
        configs=or_null(ANY_OBJECT),
        display_height_px=whole(1, 16_384),
        display_number=or_null(whole(0, 1024)),
        display_width_px=whole(1, 16_384),
        enable_zoom=FLAG,
        max_characters=MOST,
        max_content_tokens=MOST,
        max_uses=MOST,
        response_inclusion=one_of("full", "excluded"),
        url_sources=or_null(ANY_OBJECT),
        use_cache=FLAG,
        user_location=or_null(record("type", type=one_of("approximate"), **LOCATION)),
        **COMMON,
    )
    is_own = {"type": "object", "properties": {"type": {"enum": ["custom", None]}}}
    return {"type": "object", "if": is_own, "then": own, "else": known}
