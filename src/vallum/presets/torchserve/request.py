"""What may come in for TorchServe, in JSON.  A handler sees the body as it is, so the members are those usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.presets.preset import Input, RequestForm
from vallum.presets.rows import BASE64, BOUNDS, COLUMNS, a_list, one_of

if TYPE_CHECKING:
    from vallum.presets.preset import Bounds

MEMBERS = ("instances", "inputs", "data", "body", "input", "text")


def predict(bounds: Bounds) -> dict[str, Any]:
    """Return the schema of a request: a batch of instances, or one input."""
    value = a_list(bounds) | {"type": ["array", "string", "object"], "minLength": 1, "maxLength": bounds["text_chars"],
                              "minProperties": 1, "maxProperties": bounds["columns"]}  # fmt: skip
    schema = one_of(MEMBERS, value, {})
    schema["properties"]["instances"] = a_list(bounds)
    return {"anyOf": [a_list(bounds), schema]}


PREDICT = RequestForm(
    # Lists of token ids differ in length, and handlers pad them.
    bounds=BOUNDS | COLUMNS | BASE64 | {"ragged": BOUNDS["ragged"]._replace(default=1)},
    schema=predict,
    checks=("rows",),
    inputs=(Input("instances.*", "vector"), Input("data", "vector"), Input("data", "text")),
)
