"""The tools that a request offers: the caller's own, and kinds that the API knows by a dated name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.anthropic.blocks import CACHE, CALLERS, CITATIONS
from vallum.presets.shapes import FLAG, FREE, NAME, NAME_MAX, SCHEMA, closed, listed, nullable, one_of, text, whole

if TYPE_CHECKING:
    from vallum.presets.shapes import Shape

# Tools of a kind the API knows: run by the caller (bash, computer), or by the upstream (web_search).
KNOWN_TOOL = {
    "type": "string",
    "pattern": "^(bash|browser_toolset|code_execution|computer(_toolset)?|memory|text_editor|web_fetch|web_search"
    "|tool_search_tool_(bm25|regex))_[0-9]{8}$|^tool_search_tool_(bm25|regex)$",
}


def tool(chars: int) -> Shape:
    """Describe a tool that is offered."""
    common = {
        "cache_control": CACHE,
        "allowed_callers": listed(one_of("direct", *CALLERS), 4),
        "defer_loading": FLAG,
        "strict": nullable(FLAG),
        "input_examples": listed(FREE, 32),
    }
    own = closed(
        ["name", "input_schema"],
        type=nullable(one_of("custom")),
        name=NAME,
        description=text(chars),
        input_schema=SCHEMA,
        eager_input_streaming=nullable(FLAG),
        **common,
    )
    domains = nullable(listed(text(NAME_MAX), 64))
    place = nullable(text(NAME_MAX))
    most = nullable(whole(1, 2**31 - 1))
    known = closed(
        ["type"],
        type=KNOWN_TOOL,
        name=NAME,
        max_characters=most,
        max_uses=most,
        max_content_tokens=most,
        allowed_domains=domains,
        blocked_domains=domains,
        citations=CITATIONS,
        display_width_px=whole(1, 16_384),
        display_height_px=whole(1, 16_384),
        display_number=nullable(whole(0, 1024)),
        user_location=nullable(
            closed(["type"], type=one_of("approximate"), city=place, country=place, region=place, timezone=place)
        ),
        response_inclusion=one_of("full", "excluded"),
        use_cache=FLAG,
        enable_zoom=FLAG,
        configs=nullable(FREE),
        url_sources=nullable(FREE),
        **common,
    )
    of_our_own = {"properties": {"type": {"enum": ["custom", None]}}}
    return {"type": "object", "if": of_our_own, "then": own, "else": known}
