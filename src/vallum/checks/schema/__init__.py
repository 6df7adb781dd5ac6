"""Hold the body against a JSON Schema.

What it stops
    Everything that the model was not built for: unknown fields, wrong types, numbers out of range, strings too long.
Config
    `request.schema`: a file with a JSON Schema (draft 4 to 2020-12), beside the policy.  References to other files or
    hosts are not followed.  `pattern` runs on a linear-time engine, so look-arounds and back-references are refused
    when the policy is loaded, as are schemas that would make an answer dear (`rules.py`).  `format` is asserted.
Cost
    Compiled once; about 1 us for a body of 1 KB.  To name what is wrong costs a few times that, whatever was sent.
Misses
    What is well-formed and harmful.  A schema without `additionalProperties: false` lets unknown fields through.
Example
    request:
      schema: predict.schema.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vallum.checks.schema.rules import SchemaError, compile_schema
from vallum.checks.schema.violation import Locator
from vallum.core.decision import Finding, Reason

if TYPE_CHECKING:
    from vallum.core.content import Content

POINTER_MAX_CHARS = 200  # keys are the caller's, and may be long

__all__ = ["POINTER_MAX_CHARS", "Schema", "SchemaError"]


class Schema:
    """A compiled JSON Schema."""

    type: ClassVar[str] = "schema"

    def __init__(self, schema: Any) -> None:
        """Compile `schema`; raise SchemaError that says what is wrong with it."""
        self._validator = compile_schema(schema)
        self._locator = Locator(schema)
        self.document = schema

    def inspect(self, content: Content) -> Finding | None:
        """Return the most telling violation by its place and rule; never the value."""
        return self.hold(content.outline)

    def hold(self, document: Any) -> Finding | None:
        """Return the most telling violation of `document`."""
        try:
            if self._validator.is_valid(document):
                return None
        except ValueError:  # it looks at numbers that came as bytes: show it lists of them
            document = _listed(document)
            if self._validator.is_valid(document):
                return None
        rule, where = self._locator.locate(document)
        return Finding(rule, where[:POINTER_MAX_CHARS], reason=Reason.INVALID_REQUEST, public=True)


def _listed(item: Any) -> Any:
    """Return a document, which is no deeper than its route's, with lists for arrays and texts for bytes."""
    if isinstance(item, dict):
        return {name: _listed(value) for name, value in item.items()}
    if isinstance(item, list):
        return [_listed(value) for value in item]
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    return item.tolist() if hasattr(item, "tolist") else item
