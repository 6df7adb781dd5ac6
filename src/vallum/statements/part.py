"""One value of a request, and where it stands."""

from __future__ import annotations

from typing import Any, NamedTuple

from vallum.core.content import escape_pointer

SHOWN_CHARS = 200  # of a place: its names are the caller's, and as long as it likes

# A step of a JSON pointer after the trail that leads to it, and words for what of it is meant; None: the whole.
Trail = tuple[Any, ...] | None


class Part(NamedTuple):
    """One value, and where it stands: in words, or in a document."""

    where: str | Trail
    value: bytes

    @property
    def place(self) -> str:
        """Where it stands, for the record."""
        where, steps = self.where, list[str]()
        if isinstance(where, str):
            return where
        words = where[2] if where is not None and len(where) > 2 else ""
        while where is not None:
            steps.append(escape_pointer(str(where[1])[:SHOWN_CHARS]))
            where = where[0]
        return f"/{'/'.join(reversed(steps))}{words}"[:SHOWN_CHARS] if steps else "the whole document"
