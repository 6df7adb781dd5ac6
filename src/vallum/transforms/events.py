"""Leave out the events of a stream that a preset withholds.

What it stops
    Hidden reasoning that is streamed piece by piece: its text, and how much of it there is.
Config
    None of its own: a preset names the events of a group; `response.disclose` grants the group.
Cost
    Well under 1 us an event.
Misses
    The pause: a client sees that nothing came for a while.
Example
    response:
      disclose: [reasoning]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.protocols import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Events:
    """Events that do not leave, by how their type, or that of their delta, begins."""

    type: ClassVar[str] = "events"

    def __init__(self, types: Iterable[str]) -> None:
        """Leave out every event whose type begins with one of `types`."""
        self._types = tuple(name.casefold() for name in types)

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document`, or NOTHING if it is an event that may not leave."""
        if isinstance(document, dict):
            delta = document.get("delta")
            for name in (document.get("type"), delta.get("type") if isinstance(delta, dict) else None):
                if isinstance(name, str) and name.casefold().startswith(self._types):
                    removed.add(f"event {name[:64]}")
                    return NOTHING
        return document
