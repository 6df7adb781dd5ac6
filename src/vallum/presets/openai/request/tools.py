"""The tools of a request for a response: the caller's own functions, and those that the upstream runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.openai.request.items import LOCAL
from vallum.presets.openai.request.members import LOCATION, NAME, function, grammar
from vallum.presets.shape import (
    ANY_OBJECT,
    ANYTHING,
    FLAG,
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

SEARCHES = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")


def tools(bounds: Bounds) -> Shape:
    """Take a tool by its kind.  Those that reach what is not the caller's need a member that is refused."""
    words = text(bounds["chars"])
    search = record(
        search_context_size=one_of("low", "medium", "high"),
        external_web_access=or_null(FLAG),
        search_content_types=listed(text(16), 4),
        filters=or_null(record(allowed_domains=or_null(listed(text(256), 100)))),
        user_location=or_null(record(type=one_of("approximate"), **LOCATION)),
    )
    callers = {"allowed_callers": or_null(listed(one_of("direct", "programmatic"), 2))}
    called = {"async": or_null(FLAG), "defer_loading": FLAG, "output_schema": or_null(ANY_OBJECT), **callers}
    own = {
        "function": record("name", **function(bounds), **called),
        "custom": record("name", name=NAME, description=words, format=grammar(flat=True), **called),
    }
    kinds = {
        **own,
        "namespace": record(
            "name description tools",
            name=NAME,
            description=words,
            tools=listed(by_kind("type", own), bounds["tools"]),
        ),
        "tool_search": record(
            description=or_null(words), execution=one_of("server", "client"), parameters=or_null(ANY_OBJECT)
        ),
        **dict.fromkeys(SEARCHES, search),
        "file_search": record(
            "vector_store_ids",
            vector_store_ids=REFUSED,
            filters=or_null(ANY_OBJECT),
            max_num_results=whole(1, 50),
            ranking_options=ANY_OBJECT,
        ),
        "code_interpreter": record("container", container=REFUSED, **callers),
        "mcp": record(
            "server_label",
            server_label=REFUSED,
            server_url=text(2048),
            connector_id=text(128),
            authorization=text(8192),
            headers=or_null(ANY_OBJECT),
            allowed_tools=ANYTHING,
            require_approval=ANYTHING,
            server_description=words,
            defer_loading=FLAG,
            **callers,
        ),
        "computer_use_preview": record(
            "display_height display_width environment",
            display_height=whole(1, 16_384),
            display_width=whole(1, 16_384),
            environment=one_of("windows", "mac", "linux", "ubuntu", "browser"),
        ),
        "image_generation": record(
            action=one_of("generate", "edit", "auto"),
            background=one_of("transparent", "opaque", "auto"),
            input_fidelity=one_of("high", "low", None),
            input_image_mask=record(image_url=text(bounds["data_chars"]), file_id=REFUSED),
            model=text(128),
            moderation=one_of("auto", "low"),
            output_compression=whole(0, 100),
            output_format=one_of("png", "webp", "jpeg"),
            partial_images=whole(0, 3),
            quality=one_of("low", "medium", "high", "auto"),
            size=one_of("1024x1024", "1024x1536", "1536x1024", "auto"),
        ),
        "local_shell": record(),
        "apply_patch": record(**callers),
        "shell": record(environment=LOCAL, **callers),
        "computer": record(),
    }
    return by_kind("type", kinds)


def tool_choice(bounds: Bounds) -> Shape:
    """Take how a tool is chosen: by a word, or by a tool's kind and name."""
    hosted = (
        "file_search",
        "web_search_preview",
        "computer_use_preview",
        "code_interpreter",
        "image_generation",
        "computer",
    )
    chosen = by_kind(
        "type",
        {
            "function": record("name", name=NAME),
            "custom": record("name", name=NAME),
            "allowed_tools": record(
                "mode tools", mode=one_of("auto", "required"), tools=listed(ANY_OBJECT, bounds["tools"])
            ),
            "mcp": record("server_label", server_label=REFUSED, name=or_null(text(128))),
            **dict.fromkeys((*hosted, "web_search_preview_2025_03_11", "apply_patch", "shell"), record()),
        },
    )
    return either({"type": "string", "pattern": "^(none|auto|required)$"}, chosen)
