"""What may come in for a plain predictor, which most of those who wrap a model in a web framework agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.rows import BOUNDS, COLUMNS, batch
from vallum.presets.shape import NULL, Shape, either, listed, record, text

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

MEMBERS = ("instances", "inputs", "features", "data", "rows")


def json(bounds: Bounds) -> Shape:
    """Return the schema of rows in JSON: a list of them, or one member of the usual names that holds it."""
    wrapped = {**record(**dict.fromkeys(MEMBERS, batch(bounds))), "minProperties": 1, "maxProperties": 1}
    return either(batch(bounds), wrapped)


def csv(bounds: Bounds) -> Shape:
    """Return the schema of a table as its codec reads it."""
    cell = either(text(bounds["text_chars"]), {"type": "number"}, NULL)
    return record(
        "rows",
        header=listed(text(bounds["header_chars"]), bounds["columns"], 1),
        rows=listed(listed(cell, bounds["columns"], 1), bounds["rows"], 1),
    )


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
    inputs=(Input("rows.*", "table"),),
)
