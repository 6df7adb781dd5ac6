"""Who says what in OpenAI's requests.

Rules:
- A message speaks with the voice of its role.
- Files are documents, by whoever they are sent.
- What a tool returned is the tool's.
- Definitions of tools and schemas of answers are the operator's: chat templates write them into the system prompt, and
  whoever wrote the system prompt wrote them.  A definition that was fetched from a third party says so nowhere.
- Base64 is no text, and neither are ids and the names of kinds.

Documents come here before their schema is checked as well as after it, so nothing is assumed of their shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Passage, Voice
from vallum.presets.passages import spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROLES = {
    "system": Voice.OPERATOR,
    "developer": Voice.OPERATOR,
    "user": Voice.USER,
    "assistant": Voice.MODEL,
    "tool": Voice.TOOL,
    "function": Voice.TOOL,
}
# Kinds of parts and items that are neither the message's own words nor a tool's definition.
KINDS = {
    "file": Voice.DOCUMENT,
    "input_file": Voice.DOCUMENT,
    "function_call": Voice.MODEL,
    "custom_tool_call": Voice.MODEL,
    "reasoning": Voice.MODEL,
}
# Names of members whose strings are data, addresses, ids or words of the format.
SILENT = frozenset(
    "audio call_id data detail encrypted_content file_data file_id file_url format id image_url"
    " input_audio logprobs result role status strict syntax tool_call_id type".split()
)
SAID_BEFORE = SILENT | {"content"}
OPERATORS = ("instructions", "tools", "functions", "response_format", "text")


def chat_passages(document: Any) -> Iterator[Passage]:
    """Yield the texts of a chat."""
    if isinstance(document, dict):
        yield from _messages(document.get("messages"), "/messages")
        yield from _spoken_by(document, {"prediction": Voice.MODEL, "documents": Voice.DOCUMENT})


def response_passages(document: Any) -> Iterator[Passage]:
    """Yield the texts of a request for a response."""
    if isinstance(document, dict):
        said = document.get("input")
        if isinstance(said, str):
            yield from spoken(Voice.USER, "/input", said)
        yield from _messages(said, "/input")
        yield from _spoken_by(document, {})


def prompt_passages(*names: str) -> Callable[[Any], Iterable[Passage]]:
    """Make the passages of a request whose texts are the user's, in these members."""

    def passages(document: Any) -> Iterator[Passage]:
        if isinstance(document, dict):
            for name in names:
                yield from spoken(Voice.USER, f"/{name}", document.get(name))

    return passages


def _spoken_by(document: dict[str, Any], others: dict[str, Voice]) -> Iterator[Passage]:
    for name, voice in (*others.items(), *((name, Voice.OPERATOR) for name in OPERATORS)):
        if name in document:
            yield from spoken(voice, f"/{name}", document[name], SILENT)


def _messages(messages: Any, where: str) -> Iterator[Passage]:
    if not isinstance(messages, list):
        return
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            yield from spoken(Voice.USER, f"{where}/{index}", message)
            continue
        voice = _voice_of(message)
        content = message.get("content")
        if isinstance(content, str):
            if content:
                yield Passage(voice, f"{where}/{index}/content", content)
        elif isinstance(content, list):
            yield from _parts(content, voice, f"{where}/{index}/content")
        rest = {name: value for name, value in message.items() if name not in SAID_BEFORE}
        if rest:
            yield from spoken(voice, f"{where}/{index}", rest, SILENT)


def _parts(parts: list[Any], voice: Voice, where: str) -> Iterator[Passage]:
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        speaker = KINDS.get(kind, voice) if isinstance(kind, str) else voice
        yield from spoken(speaker, f"{where}/{index}", part, SILENT)


def _voice_of(message: dict[str, Any]) -> Voice:
    """Return who speaks: by the role, else by the kind, and the user where neither says."""
    role, kind = message.get("role"), message.get("type")
    if isinstance(role, str):
        return ROLES.get(role, Voice.USER)
    if not isinstance(kind, str):
        return Voice.USER
    return KINDS.get(kind, Voice.TOOL if kind.endswith(("_output", "_call")) else Voice.USER)
