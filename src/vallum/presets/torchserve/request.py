"""What may come in for TorchServe, in JSON.  A handler sees the body as it is, so the members are those usual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Input, RequestForm
from vallum.presets.rows import BASE64, BOUNDS, COLUMNS, batch
from vallum.presets.shape import Shape, either, named, record, text

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

MEMBERS = ("inputs", "data", "body", "input", "text")


def predict(bounds: Bounds) -> Shape:
    """Return the schema of a request: a batch of instances, or one input."""
    one = either(batch(bounds), text(bounds["text_chars"], 1), {**named(True, bounds["columns"]), "minProperties": 1})
    wrapped = record(instances=batch(bounds), **dict.fromkeys(MEMBERS, one))
    return either(batch(bounds), {**wrapped, "minProperties": 1, "maxProperties": 1})


PREDICT = RequestForm(
    # Lists of token ids differ in length, and handlers pad them.
    bounds=BOUNDS | COLUMNS | BASE64 | {"ragged": BOUNDS["ragged"]._replace(default=1)},
    schema=predict,
    checks=("rows",),
    inputs=(Input("instances.*", "vector"), Input("data", "vector"), Input("data", "text")),
)
