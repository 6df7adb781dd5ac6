"""Finds the texts inside a part of a request, for the passages of a format (core's `Passage`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import NAME_MAX_CHARS, Passage, Voice, escape_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator


def texts(voice: Voice, where: str, value: Any, silent: frozenset[str] = frozenset()) -> Iterator[Passage]:
    """Yield every string in `value`, and every key that could say something, but for the members in `silent`."""
    waiting: list[tuple[str, Any]] = [(where, value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, str):
            if item:
                yield Passage(voice, place, item)
        elif isinstance(item, dict):
            for key in item:
                if len(key) > NAME_MAX_CHARS or not key.isidentifier():
                    yield Passage(voice, f"{place} (a key)", key)
            inner = [(f"{place}/{escape_pointer(key)}", item[key]) for key in item if key not in silent]
            waiting.extend(reversed(inner))
        elif isinstance(item, list):
            waiting.extend((f"{place}/{index}", item[index]) for index in reversed(range(len(item))))


def members(value: Any) -> dict[str, Any]:
    """Return an object's members; none of anything else, so that no shape of a request makes a reader fail."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> Iterator[tuple[int, Any]]:
    """Return a list's entries with their places; none of anything else."""
    return iter(enumerate(value)) if isinstance(value, list) else iter(())
