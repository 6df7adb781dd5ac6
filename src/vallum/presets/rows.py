"""Rows of numbers and short texts: the bounds that every format of them has, and its schema's parts.

The values themselves are the check `rows`' to look at: a schema cannot add up elements or compare rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.preset import Bound, Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def a_list(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a batch, or of one row of values."""
    return {"type": "array", "minItems": 1, "maxItems": max(bounds["rows"], bounds.get("columns", bounds["elements"]))}


def an_object(members: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": dict(members),
        "required": list(required),
        "additionalProperties": False,
    }


def one_of(names: tuple[str, ...], value: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has exactly one of the members `names`, and perhaps `others`."""
    schema = an_object({**dict.fromkeys(names, value), **others})
    del schema["required"]
    return {**schema, "oneOf": [{"required": [name]} for name in names]}
