"""Match text that is, begins or ends with, or holds a string.

What it stops
    Requests that are known by a string: a tool's name in `user-agent`, an internal path, a value that must not come.
Config
    `field`, `transforms`, `oversize`; `search`, the string, up to 200 characters; `position: exactly | starts_with |
    ends_with | contains | contains_word`.
Cost
    Under 1 us a value; linear in it.
Misses
    The same thing written in another way: letter case counts unless `transforms` has `lowercase`, and an encoding is
    undone only if it is listed.  A header that a caller writes is the caller's to choose.
Example
    statement: {byte_match: {field: {header: user-agent}, search: sqlmap, transforms: [lowercase]}}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from vallum.statements.text import TextStatement

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.statements.field import Field

WORD = re.compile(rb"\w+", re.ASCII)


class ByteMatch(TextStatement):
    """The statement; pure."""

    type: ClassVar[str] = "byte_match"

    def __init__(self, field: Field, search: bytes, position: str) -> None:
        """Compile."""
        super().__init__(field)
        self._is_there = POSITIONS[position](search)
        self._found = position.replace("_", " ")

    def find(self, value: bytes) -> str | None:
        """Say in what position the string stands."""
        return self._found if self._is_there(value) else None


def _contains_word(search: bytes) -> Callable[[bytes], bool]:
    word = re.compile(rb"(?<!\w)" + re.escape(search) + rb"(?!\w)", re.ASCII)
    return lambda value: word.search(value) is not None


POSITIONS: dict[str, Callable[[bytes], Callable[[bytes], bool]]] = {
    "exactly": lambda search: lambda value: value == search,
    "starts_with": lambda search: lambda value: value.startswith(search),
    "ends_with": lambda search: lambda value: value.endswith(search),
    "contains": lambda search: lambda value: search in value,
    "contains_word": _contains_word,
}
