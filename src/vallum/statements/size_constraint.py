"""Match a part by its size in bytes.

What it stops
    Parts longer than an honest caller has a use for: a query of kilobytes, a cookie that fills a buffer.
Config
    `field`, `transforms`, `oversize`; `comparison: eq | ne | le | lt | ge | gt` and `size`, in bytes.  Of the whole
    body, without transformations, the size is known however large it is, so `oversize` does not matter there.
Cost
    Under 1 us.
Misses
    Everything but the size.  A field that is absent has none: it does not match, whatever the comparison.
Example
    statement: {size_constraint: {field: query_string, comparison: gt, size: 2048}}
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, ClassVar

from vallum.core.web_acl import Hit
from vallum.statements.text import TextStatement

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.exchange import Exchange
    from vallum.statements.field import Field

COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "le": operator.le,
    "lt": operator.lt,
    "ge": operator.ge,
    "gt": operator.gt,
}


class SizeConstraint(TextStatement):
    """The statement; pure."""

    type: ClassVar[str] = "size_constraint"

    def __init__(self, field: Field, comparison: str, size: int) -> None:
        """Compile."""
        super().__init__(field)
        self._compare = COMPARISONS[comparison]
        self._size = size
        self._knows_all = field.name == "body" and not field.transforms

    def match(self, x: Exchange) -> Hit | None:
        """Compare every part; of a body as it came, all of it."""
        if not self._knows_all:
            return super().match(x)
        return Hit(self.type, "the body", f"{len(x.body)} bytes") if self._compare(len(x.body), self._size) else None

    def find(self, value: bytes) -> str | None:
        """Say how long the value is."""
        return f"{len(value)} bytes" if self._compare(len(value), self._size) else None
