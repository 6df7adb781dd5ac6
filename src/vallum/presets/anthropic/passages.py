"""Who says what in a conversation: by the role of a message, and by the kind of a block inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Passage, Voice
from vallum.presets.passages import entries, members, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = {"user": Voice.USER, "assistant": Voice.MODEL, "system": Voice.OPERATOR}
# Whatever the role: what a tool returned or a document says is nobody's wish.
KINDS = {"document": Voice.DOCUMENT, "search_result": Voice.DOCUMENT}
RESULT = "tool_result"  # the end of the name of every kind of result
SILENT = frozenset(
    {"cache_control", "caller", "encrypted_content", "encrypted_index", "id", "media_type", "role", "signature"}
    | {"tool_use_id", "toolset_name", "transformations", "type"}
)
BYTES = SILENT | {"data"}


def passages(document: Any) -> Iterator[Passage]:
    """Yield every text of a request that reaches the model."""
    request = members(document)
    yield from spoken(Voice.OPERATOR, "/system", request.get("system"), SILENT)
    for index, message in entries(request.get("messages")):
        held = members(message)
        role = held.get("role")
        voice = ROLES.get(role, Voice.USER) if isinstance(role, str) else Voice.USER
        yield from _content(voice, f"/messages/{index}/content", held.get("content"))
    for name in ("tools", "output_config"):
        yield from spoken(Voice.OPERATOR, f"/{name}", request.get(name), frozenset({"cache_control"}))


def _content(voice: Voice, where: str, content: Any) -> Iterator[Passage]:
    if not isinstance(content, list):
        yield from spoken(voice, where, content, SILENT)
        return
    for index, block in enumerate(content):
        place = f"{where}/{index}"
        held = members(block)
        kind = str(held.get("type"))
        if kind.endswith(RESULT):
            yield from _content(Voice.TOOL, f"{place}/content", held.get("content"))
        elif kind in ("tool_use", "server_tool_use"):
            yield from spoken(voice, f"{place}/name", held.get("name"))
            yield from spoken(voice, f"{place}/input", held.get("input"))  # the caller's members, of any name
        else:
            yield from _block(KINDS.get(kind, voice), place, block)


def _block(voice: Voice, place: str, block: Any) -> Iterator[Passage]:
    """Yield the texts of one block; bytes in base64, and what only the API reads, are none."""
    held = members(block)
    source = held.get("source")
    if not isinstance(source, dict):  # of a search result it is a name, and is read out
        yield from spoken(voice, place, block, BYTES)
        return
    yield from spoken(voice, place, {name: inner for name, inner in held.items() if name != "source"}, BYTES)
    silent = BYTES | {"url"} if source.get("type") in ("base64", "url") else SILENT
    yield from spoken(voice, f"{place}/source", source, silent)
