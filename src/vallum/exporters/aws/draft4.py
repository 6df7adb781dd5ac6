"""A JSON Schema in the words that API Gateway's models know: draft 4, less what AWS says it does not check.

Rule: what has no word there is left out, so that the model takes more than the schema and never refuses what the
      schema takes; each keyword that was left out or weakened is a loss.
"""

from __future__ import annotations

from typing import Any

SAME = frozenset(
    """type enum multipleOf maximum minimum maxLength minLength pattern additionalItems maxItems minItems uniqueItems
    maxProperties minProperties required title description""".split()
)
OF_SCHEMAS = frozenset(("allOf", "anyOf", "oneOf"))
OF_NAMES = frozenset(("properties", "patternProperties"))
OF_ONE = frozenset(("not", "additionalProperties"))
SILENT = frozenset(("$schema", "$id", "id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"))
# AWS: "not included in simple request validation", "not supported".
UNSURE = {"minItems": "minItems may not be checked", "maxItems": "maxItems may not be checked"}
DRAFT = "http://json-schema.org/draft-04/schema#"


def converted(schema: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the model of a schema, and what it does not hold, in words."""
    losses: dict[str, None] = {}
    model = _schema(schema, losses)
    definitions = schema.get("definitions", schema.get("$defs")) if isinstance(schema, dict) else None
    if isinstance(definitions, dict):
        model["definitions"] = {name: _schema(one, losses) for name, one in definitions.items()}
    return {"$schema": DRAFT, **model}, list(losses)


def _schema(schema: Any, losses: dict[str, None]) -> dict[str, Any]:
    if schema is True:
        return {}
    if schema is False:
        return {"not": {}}
    model: dict[str, Any] = {}
    if "$ref" in schema:
        return _reference(schema, losses)
    # Open bounds last: for whole numbers they are written as closed ones, which may be there already.
    for name, value in sorted(schema.items(), key=lambda item: item[0].startswith("exclusive")):
        if name == "required" and value == []:  # draft 4 wants one at least
            continue
        if name in SAME:
            model[name] = value
            if name in UNSURE:
                losses[UNSURE[name]] = None
        elif name in OF_SCHEMAS:
            model[name] = [_schema(one, losses) for one in value]
        elif name in OF_NAMES:
            model[name] = {key: _schema(one, losses) for key, one in value.items()}
        elif name in OF_ONE:
            model[name] = value if isinstance(value, bool) else _schema(value, losses)
        elif name not in SILENT | {"definitions", "$defs"}:
            _other(name, value, schema, model, losses)
    return model


def _reference(schema: dict[str, Any], losses: dict[str, None]) -> dict[str, Any]:
    """Return a reference: in draft 4 nothing stands beside it."""
    target = str(schema["$ref"]).replace("#/$defs/", "#/definitions/", 1)
    if not target.startswith("#/definitions/") or target.count("/") != 2:
        losses[f"$ref to {schema['$ref']!r} is not followed"] = None
        return {}
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    rest = _schema(beside, losses)
    return {"allOf": [{"$ref": target}, rest]} if rest else {"$ref": target}


def _other(name: str, value: Any, schema: dict[str, Any], model: dict[str, Any], losses: dict[str, None]) -> None:
    """Write a keyword of a later draft, or one that AWS takes in its own way."""
    if name == "const":
        model["enum"] = [value]
    elif name in {"exclusiveMinimum", "exclusiveMaximum"}:
        _exclusive(name, value, schema, model, losses)
    elif name == "items" and isinstance(value, list):
        model["items"] = [_schema(one, losses) for one in value]
    elif name == "items" and "prefixItems" in schema:
        model["additionalItems"] = value if isinstance(value, bool) else _schema(value, losses)
    elif name == "items" and value is False:
        model["maxItems"] = 0
    elif name == "items":
        model["items"] = _schema(value, losses)
    elif name == "prefixItems":
        model["items"] = [_schema(one, losses) for one in value]
    elif name == "dependentRequired":
        model.setdefault("dependencies", {}).update(value)
    elif name == "dependentSchemas":
        model.setdefault("dependencies", {}).update({key: _schema(one, losses) for key, one in value.items()})
    elif name == "dependencies":
        held = {key: one if isinstance(one, list) else _schema(one, losses) for key, one in value.items()}
        model.setdefault("dependencies", {}).update(held)
    else:
        losses[f"{name} is not checked"] = None


def _exclusive(name: str, value: Any, schema: dict[str, Any], model: dict[str, Any], losses: dict[str, None]) -> None:
    """Write an open bound: exactly for whole numbers, else with a flag that AWS may not read."""
    if isinstance(value, bool):  # as draft 4 itself has it
        model[name] = value
        losses[f"{name} may not be checked"] = None
        return
    low = name == "exclusiveMinimum"
    bound = "minimum" if low else "maximum"
    if schema.get("type") == "integer":
        whole = (int(value // 1) + 1) if low else (-int(-value // 1) - 1)
        kept = model.get(bound)
        model[bound] = whole if kept is None else max(kept, whole) if low else min(kept, whole)
        return
    kept = model.get(bound)
    if kept is None or (value >= kept if low else value <= kept):
        model[bound], model[name] = value, True
        losses[f"{name} may not be checked"] = None
