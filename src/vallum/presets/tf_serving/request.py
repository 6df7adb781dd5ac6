"""What may come in for TensorFlow Serving: rows (`instances`), columns (`inputs`), or examples of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.rows import BASE64, BOUNDS, batch
from vallum.presets.shape import Shape, either, listed, named, record, text

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

NAME_CHARS = 128
SIGNATURE = {**text(NAME_CHARS, 1), "pattern": r"^[A-Za-z_][A-Za-z0-9_.:/-]*$"}


def predict(bounds: Bounds) -> Shape:
    """Return the schema of a prediction's request: `instances` or `inputs`, never both."""
    columns = {**named(True, bounds["inputs"], NAME_CHARS), "minProperties": 1}
    request = record(signature_name=SIGNATURE, instances=batch(bounds), inputs=either(batch(bounds), columns))
    return {
        **request,
        "if": {"required": ["instances"]},
        "then": {"properties": {"inputs": False}},
        "else": {"required": ["inputs"]},
    }


def examples(bounds: Bounds) -> Shape:
    """Return the schema of a request to classify or regress."""
    value = {"type": ["number", "string", "boolean", "array", "object"]}
    features = {**named(value, bounds["inputs"], NAME_CHARS), "minProperties": 1}
    return record("examples", signature_name=SIGNATURE, context=features, examples=listed(features, bounds["rows"], 1))


TENSORS = BASE64 | {"inputs": Bound(256, "named inputs, or features of an example")}
PREDICT = RequestForm(
    bounds=BOUNDS | TENSORS,
    schema=predict,
    checks=("rows",),
    inputs=(Input("instances.*", "vector"), Input("inputs", "vector")),
)
EXAMPLES = RequestForm(
    # Features hold as many values as there are, from one example to the next.
    bounds=BOUNDS | TENSORS | {"ragged": BOUNDS["ragged"]._replace(default=1)},
    schema=examples,
    checks=("rows",),
    inputs=(Input("examples.*", "vector"),),
)
