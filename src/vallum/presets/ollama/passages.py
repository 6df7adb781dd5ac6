"""Who says what in Ollama's formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Passage, Voice
from vallum.presets.passages import entries, members, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = {"system": Voice.OPERATOR, "user": Voice.USER, "assistant": Voice.MODEL, "tool": Voice.TOOL}
SILENT = frozenset({"images", "role", "tool_call_id"})
# A template is the operator's word, by whoever it is written; numbers of tokens are no text at all.
MEMBERS = {
    "system": Voice.OPERATOR,
    "template": Voice.OPERATOR,
    "prompt": Voice.USER,
    "suffix": Voice.USER,
    "input": Voice.USER,
    "tools": Voice.OPERATOR,
    "format": Voice.OPERATOR,
}


def passages(document: Any) -> Iterator[Passage]:
    """Yield every text of a request that reaches the model."""
    request = members(document)
    for index, message in entries(request.get("messages")):
        role = members(message).get("role")
        voice = ROLES.get(role, Voice.USER) if isinstance(role, str) else Voice.USER
        yield from spoken(voice, f"/messages/{index}", message, SILENT)
    for name, voice in MEMBERS.items():
        yield from spoken(voice, f"/{name}", request.get(name))
