"""Words in which the schemas of requests are written: each returns a piece of JSON Schema (2020-12).

Objects are closed: what is not named is refused.  Choices are told apart by one member and `if`, so that a finding
names the place inside the choice that was made, and not "none of these fit".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Shape = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FLAG = {"type": "boolean"}
NAME_MAX = 256  # characters in names of models, tools and calls
KEYS_MAX = 256  # members, or items, on one level of what a caller shapes freely
PATTERN_MAX = 200  # characters of a pattern in a schema that the model server compiles
MODEL = {"type": "string", "minLength": 1, "maxLength": NAME_MAX, "pattern": r"^[^\x00-\x20\x7f]+$"}
NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_.:-]{1,128}$"}  # of tools and calls: what every server takes


def closed(required: Iterable[str] = (), /, **members: Any) -> Shape:
    """Describe an object that has these members and no other."""
    return {
        "type": "object",
        "properties": members,
        "required": list(required),
        "additionalProperties": False,
    }


def text(most: int, least: int = 0) -> Shape:
    """Describe a string by its length in characters."""
    return {"type": "string", "maxLength": most} | ({"minLength": least} if least else {})


def whole(low: int, high: int) -> Shape:
    """Describe a whole number, both ends in."""
    return {"type": "integer", "minimum": low, "maximum": high}


def number(low: float, high: float) -> Shape:
    """Describe a number, both ends in."""
    return {"type": "number", "minimum": low, "maximum": high}


def one_of(*values: Any) -> Shape:
    """Describe one of a few values."""
    return {"enum": list(values)}


def listed(item: Shape, most: int, least: int = 0) -> Shape:
    """Describe a list."""
    return {"type": "array", "items": item, "maxItems": most} | ({"minItems": least} if least else {})


def text_or(shape: Shape, most: int) -> Shape:
    """Describe a string, or in its place what `shape` describes."""
    return shape | {"type": ["string", shape["type"]], "maxLength": most}


def nullable(shape: Shape) -> Shape:
    """Let null stand in the place of what `shape` describes."""
    if "enum" in shape:
        return shape | {"enum": [*shape["enum"], None]}
    kinds = shape["type"]
    return shape | {"type": [*(kinds if isinstance(kinds, list) else [kinds]), "null"]}


def by(member: str, choices: Mapping[str, Shape], default: str | None = None) -> Shape:
    """Describe an object whose shape follows from one of its members; `default` is meant where that is left out."""
    branches = []
    for name, shape in choices.items():
        asks: Shape = {"type": "object", "properties": {member: {"const": name}}}
        if name != default:
            asks["required"] = [member]
        branches.append({"if": asks, "then": shape})
    head: Shape = {"type": "object", "properties": {member: {"enum": list(choices)}}, "allOf": branches}
    return head if default is not None else head | {"required": [member]}


def free(chars: int) -> Shape:
    """Describe any JSON, each level of it bounded; the route's `max_depth` bounds the levels."""
    return {
        "maxLength": chars,
        "maxItems": KEYS_MAX,
        "maxProperties": KEYS_MAX,
        "propertyNames": {"maxLength": NAME_MAX},
        "items": {"$ref": "#/$defs/free"},
        "additionalProperties": {"$ref": "#/$defs/free"},
    }


def schema(chars: int) -> Shape:
    """Describe a JSON Schema that the model server compiles: no reference leaves it, and its patterns are short."""
    return {
        "maxLength": chars,
        "maxItems": KEYS_MAX,
        "maxProperties": KEYS_MAX,
        "propertyNames": {"maxLength": NAME_MAX},
        "items": {"$ref": "#/$defs/schema"},
        "properties": {
            # As values of keywords these are strings; as names of members they are schemas, and `pattern` says nothing.
            "$ref": {"pattern": "^#", "$ref": "#/$defs/schema"},
            "$dynamicRef": {"pattern": "^#", "$ref": "#/$defs/schema"},
            "pattern": {"maxLength": PATTERN_MAX, "$ref": "#/$defs/schema"},
        },
        "additionalProperties": {"$ref": "#/$defs/schema"},
    }


def whole_of(body: Shape, chars: int, **definitions: Shape) -> Shape:
    """Put a request's schema together with what it refers to."""
    return {
        "$schema": DIALECT,
        "$defs": {"free": free(chars), "schema": schema(chars), **definitions},
    } | body


FREE = {"$ref": "#/$defs/free", "type": "object"}
SCHEMA = {"$ref": "#/$defs/schema", "type": "object"}
