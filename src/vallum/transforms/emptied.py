"""Empty the fields that a preset withholds and an SDK must find: the member stays, its content does not.

What it stops
    Hidden reasoning, its signatures, log-probabilities of tokens, in formats whose clients fail without the member:
    a block of thinking that is taken out of a stream would move the index of every block after it.
Config
    None of its own: a preset says which members of a group are emptied; `response.disclose` grants the group.
Cost
    Under 1 us an answer.
Misses
    That there was something: a client sees an empty block of thinking, and how many there were.
Example
    response:
      disclose: [reasoning]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.fieldpath import parse_path, places

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY: dict[type, Any] = {str: "", list: [], dict: {}}


class Emptied:
    """Members that stay without their content."""

    type: ClassVar[str] = "emptied"

    def __init__(self, paths: Iterable[str]) -> None:
        """Empty what stands at `paths`."""
        self._paths = [parse_path(path) for path in paths]

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with each value at the paths replaced by an empty one of its kind, or by null."""
        for path in self._paths:
            for container, key in places(document, path):
                empty = EMPTY.get(type(container[key]))
                if container[key] != empty:
                    removed.add(f"{'.'.join(path)} (emptied)")
                    container[key] = None if empty is None else type(empty)()
        return document
