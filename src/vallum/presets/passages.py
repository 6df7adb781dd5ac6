"""Finding the texts of a request: the walks that every format's passages are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import Passage, escape_pointer

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
            stack.extend((f"{pointer}/{escape_pointer(key)}", item[key]) for key in reversed(item) if key not in silent)
        elif isinstance(item, list):
            stack.extend((f"{pointer}/{index}", item[index]) for index in reversed(range(len(item))))
