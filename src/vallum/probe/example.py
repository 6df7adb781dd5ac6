"""Makes an honest request: from an example of the API's format, a JSON Schema, or an OpenAPI document."""

from __future__ import annotations

import copy
from typing import Any

from vallum.probe.catalogue import read_corpus

TEXT = "Where is my parcel?"
DEEP_MAX = 12
ITEMS = 4


def example_of(preset: str, model: str) -> Any:
    """Return an honest request in a format; raise ValueError, with all that are known, where there is none."""
    examples = read_corpus("examples")
    if preset not in examples:
        raise ValueError(f"no example of {preset!r}: give one with --body; known are {', '.join(examples)}")
    document = copy.deepcopy(examples[preset])
    return document | {"model": model} if "model" in document else document


def invent(schema: Any, whole: Any = None, depth: int = 0) -> Any:
    """Make a value that a schema takes, with what is required and all numbers and texts.

    `whole` is the document in which references lead.  Raises ValueError where it cannot.
    """
    whole = schema if whole is None else whole
    if depth > DEEP_MAX or not isinstance(schema, dict):
        raise ValueError("the schema is too deep, or none")
    schema = _follow(schema, whole)
    for name in ("example", "const", "default"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum"):
        if isinstance(schema.get(name), list) and schema[name]:
            return schema[name][0]
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return invent(schema[name][0], whole, depth + 1)
    if schema.get("allOf"):
        parts = [invent(part, whole, depth + 1) for part in schema["allOf"]]
        return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}
    return _invent_plain(schema, whole, depth)


def invent_for(openapi: Any, method: str, path: str) -> Any:
    """Make the body of an operation; raise ValueError where the document has none."""
    operation = (openapi.get("paths") or {}).get(path, {}).get(method.lower())
    if operation is None:
        raise ValueError(f"the document has no {method} {path}; it has {', '.join(openapi.get('paths') or {})}")
    body = _follow(operation.get("requestBody") or {}, openapi)
    media = (body.get("content") or {}).get("application/json")
    if media is None:
        raise ValueError(f"{method} {path} takes no JSON; give a body with --body")
    return media["example"] if "example" in media else invent(media.get("schema"), openapi)


def _invent_plain(schema: dict[str, Any], whole: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    least, most = schema.get("minimum"), schema.get("maximum")
    match kind:
        case "object":
            required = set(schema.get("required") or ())
            members = (schema.get("properties") or {}).items()
            return {
                name: invent(member, whole, depth + 1)
                for name, member in members
                if name in required or _follow(member, whole).get("type") in ("number", "integer", "string")
            }
        case "array":
            count = max(schema.get("minItems") or 0, min(ITEMS, schema.get("maxItems") or ITEMS))
            return [invent(schema.get("items") or {"type": "string"}, whole, depth + 1)] * count
        case "integer" | "number":
            low = least if least is not None else 0
            value = low if most is None else (low + most) / 2
            return int(value) if kind == "integer" else float(value)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return TEXT.ljust(schema.get("minLength") or 0, ".")[: schema.get("maxLength") or None]


def _follow(schema: Any, whole: Any) -> dict[str, Any]:
    for _ in range(DEEP_MAX):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            break
        if not reference.startswith("#/"):
            raise ValueError(f"a reference that leads out of the document: {reference}")
        schema = whole
        for step in reference[2:].split("/"):
            schema = schema[step.replace("~1", "/").replace("~0", "~")]
    return schema if isinstance(schema, dict) else {}
