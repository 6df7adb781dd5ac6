"""Finding the texts of a request: the walks that every format's passages are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import NAME_MAX_CHARS, Passage, escape_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.core.content import Voice


def spoken(voice: Voice, where: str, value: Any, silent: frozenset[str] = frozenset()) -> Iterator[Passage]:
    """Yield every text inside `value`, in order, but for members called `silent`; nothing is assumed of its shape."""
    stack: list[tuple[str, Any]] = [(where, value)]
    while stack:
        pointer, item = stack.pop()
        if isinstance(item, str):
            if item:
                yield Passage(voice, pointer, item)
        elif isinstance(item, dict):
            for key in item:
                if len(key) > NAME_MAX_CHARS or not key.isidentifier():  # one that could say something
                    yield Passage(voice, f"{pointer} (a key)", key)
            stack.extend((f"{pointer}/{escape_pointer(key)}", item[key]) for key in reversed(item) if key not in silent)
        elif isinstance(item, list):
            stack.extend((f"{pointer}/{index}", item[index]) for index in reversed(range(len(item))))


def members(value: Any) -> dict[str, Any]:
    """Return an object's members; none of anything else, so that no shape of a request makes a reader fail."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> Iterator[tuple[int, Any]]:
    """Return a list's entries with their places; none of anything else."""
    return iter(enumerate(value)) if isinstance(value, list) else iter(())
