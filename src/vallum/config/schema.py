"""The JSON Schema of the policy file, generated from the structs."""

from __future__ import annotations

from typing import Any

import msgspec

from vallum.config.model import Config


def config_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    schema = msgspec.json.schema(Config)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vallum policy",
        **{name: _with_variables(part) for name, part in schema.items()},
    }


VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
NARROW = {"enum", "maximum", "minimum", "exclusiveMinimum", "pattern"}


def _with_variables(schema: Any) -> Any:
    """Let `${NAME}` stand wherever a value is narrower than any text: what it becomes is checked when it is known."""
    if isinstance(schema, list):
        return [_with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("boolean", "integer", "number") or ("type" in schema and NARROW & schema.keys()):
        about = {name: schema[name] for name in ("description", "default") if name in schema}
        return {"anyOf": [schema, VARIABLE], **about}
    return {name: _with_variables(part) for name, part in schema.items()}
