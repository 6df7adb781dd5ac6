"""Hold the body against a JSON Schema.

What it stops
    Everything that the model was not built for: unknown fields, wrong types, numbers out of range, strings too long.
Config
    `request.schema`: a file with a JSON Schema (draft 4 to 2020-12), beside the policy.  References to other files or
    hosts are not followed.  `pattern` runs on a linear-time engine, so look-arounds and back-references are refused
    when the policy is loaded.  `format` is asserted.
Cost
    Compiled once; about 1 us for a body of 1 KB.
Misses
    What is well-formed and harmful.  A schema without `additionalProperties: false` lets unknown fields through.
Example
    request:
      schema: predict.schema.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import jsonschema_rs

from vallum.core.content import escape_pointer
from vallum.core.decision import Finding, Reason

if TYPE_CHECKING:
    from vallum.core.content import Content

Kind = jsonschema_rs.ValidationErrorKind
POINTER_MAX_CHARS = 200  # keys are the caller's, and may be long


class SchemaError(ValueError):
    """The schema itself is not valid."""


class Schema:
    """A compiled JSON Schema."""

    type: ClassVar[str] = "schema"

    def __init__(self, schema: Any) -> None:
        """Compile `schema`; raise SchemaError that says what is wrong with it."""
        try:
            self._validator = jsonschema_rs.validator_for(
                schema, validate_formats=True, offline=True, pattern_options=jsonschema_rs.RegexOptions()
            )
        except (ValueError, jsonschema_rs.ValidationError) as error:
            raise SchemaError(str(error).partition("\n")[0]) from error

    def inspect(self, content: Content) -> Finding | None:
        """Return the first violation by its place and rule; never the value."""
        if self._validator.is_valid(content.outline):
            return None
        try:
            self._validator.validate(content.outline)  # ends at the first error: to list all of 100,000 takes seconds
        except jsonschema_rs.ValidationError as error:
            return _find(error)
        return None  # pragma: no cover  the two agree


def _find(error: jsonschema_rs.ValidationError) -> Finding:
    kind = error.kind
    steps = list(error.instance_path)
    rule = str(error.schema_path[-1]) if error.schema_path else "false"
    if isinstance(kind, Kind.FalseSchema) and steps:
        rule = "refused_field"
    elif isinstance(kind, Kind.Required):
        steps.append(kind.property)  # the place where it should be, and where it should not
    elif isinstance(kind, Kind.AdditionalProperties):
        steps.append(kind.unexpected[0])
    where = "".join(f"/{escape_pointer(str(step))}" for step in steps)
    return Finding(rule, where[:POINTER_MAX_CHARS], reason=Reason.INVALID_REQUEST, public=True)
