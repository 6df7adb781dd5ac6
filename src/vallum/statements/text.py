"""What statements that look at text share: each part of a field, transformed, is looked at until one hits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vallum.core.web_acl import Hit

if TYPE_CHECKING:
    from vallum.core.exchange import Exchange
    from vallum.statements.field import Field


class TextStatement:
    """A statement about text; a kind of it says what of a text hits."""

    type: ClassVar[str] = ""

    def __init__(self, field: Field) -> None:
        """Look at `field`."""
        self.field = field

    def match(self, x: Exchange) -> Hit | None:
        """Return where and how the field is as the statement says."""
        field = self.field
        verdict = field.verdict(x)
        if verdict is not None:
            over = len(x.body) > field.inspect_bytes
            detail = f"over {field.inspect_bytes} bytes" if over else "no JSON"
            return Hit(self.type, "the body", detail) if verdict == "match" else None
        for part in field.parts(x):
            found = self.find(part.value)
            if found is not None:
                done = f"after {', '.join(field.transforms)}" if field.transforms else ""
                return Hit(self.type, part.place, ": ".join(filter(None, (done, found))))
        return None

    def find(self, value: bytes) -> str | None:
        """Return what of a text hits, in words of ours, or None."""
        raise NotImplementedError
