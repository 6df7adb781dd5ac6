"""What may come in for TensorFlow Serving: rows (`instances`), columns (`inputs`), or examples of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.preset import Bound, Input, RequestForm
from vallum.presets.rows import BASE64, BOUNDS, a_list, an_object, one_of

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

NAME = {"type": "string", "maxLength": 128, "pattern": r"^[A-Za-z_][A-Za-z0-9_.:/-]*$"}
SIGNATURE = {"signature_name": NAME}


def predict(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a prediction's request: `instances` or `inputs`, never both."""
    columns = {"type": ["array", "object"], "minItems": 1, "minProperties": 1, "maxProperties": bounds["inputs"],
               "maxItems": a_list(bounds)["maxItems"]}  # fmt: skip
    schema = one_of(("instances", "inputs"), a_list(bounds), SIGNATURE)
    schema["properties"]["inputs"] = columns
    return schema


def examples(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a request to classify or regress."""
    value = {"type": ["number", "string", "boolean", "array", "object"]}
    features = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": bounds["inputs"],
        "propertyNames": NAME,
        "additionalProperties": value,
    }
    several = {"type": "array", "minItems": 1, "maxItems": bounds["rows"], "items": features}
    return an_object({**SIGNATURE, "context": features, "examples": several}, "examples")


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
