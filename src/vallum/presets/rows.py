"""Rows of numbers and short texts: the bounds that every format of them has.

The values themselves are the check `rows`' to look at: a schema cannot add up elements or compare rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Bound, Bounds
from vallum.presets.shape import listed

if TYPE_CHECKING:
    from vallum.presets.shape import Shape

BOUNDS = {
    "rows": Bound(256, "rows of a batch"),
    "elements": Bound(1_000_000, "numbers and texts of all rows together"),
    "rank": Bound(6, "lists inside one another"),
    "text_chars": Bound(10_000, "length of a text"),
    "ragged": Bound(0, "1: lists side by side may differ in length"),
    "mixed": Bound(0, "1: a column may hold numbers and texts"),
}
COLUMNS = {"columns": Bound(2_000, "values, or members, of a row")}
BASE64 = {"base64_chars": Bound(1_048_576, 'length of bytes in base64: `{"b64": "..."}`')}


def batch(bounds: Bounds) -> Shape:
    """Take rows, or one row of values: which of the two it is, the check sees."""
    return listed(True, max(bounds["rows"], bounds.get("columns", bounds["elements"])), 1)
