"""What may come in for a plain predictor, which most of those who wrap a model in a web framework agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.rows import BOUNDS, COLUMNS, a_list, an_object, one_of

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

MEMBERS = ("instances", "inputs", "features", "data", "rows")


def json(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of rows in JSON: a list of them, or one member of the usual names that holds it."""
    return {"anyOf": [a_list(bounds), one_of(MEMBERS, a_list(bounds), {})]}


def csv(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a table as its codec reads it."""
    row = {
        "type": "array",
        "maxItems": bounds["columns"],
        "items": {"type": ["number", "string", "null"], "maxLength": bounds["text_chars"]},
    }
    header = {"type": "array", "maxItems": bounds["columns"],
              "items": {"type": "string", "minLength": 1, "maxLength": bounds["header_chars"]}}  # fmt: skip
    rows = {"type": "array", "minItems": 1, "maxItems": bounds["rows"], "items": row}
    return an_object({"header": header, "rows": rows}, "rows")


JSON = RequestForm(
    bounds=BOUNDS | COLUMNS,
    schema=json,
    checks=("rows",),
    inputs=(Input("*", "vector"), Input("*.*", "vector")),
)
CSV = RequestForm(
    media_types=("text/csv",),
    bounds={
        "rows": Bound(1_000, "rows of a table, its header not counted"),
        **COLUMNS,
        "text_chars": Bound(1_000, "length of a cell"),
        "header_chars": Bound(128, "length of a column's name"),
    },
    schema=csv,
    inputs=(Input("rows.*", "vector"),),
)
