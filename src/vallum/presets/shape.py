"""The words that requests' schemas are written in: strict by themselves, quick, and wrong in the right place.

Rule: no `anyOf` and no `oneOf`.  Alternatives are told apart by their JSON type (`either`) or by a member that names
their kind (`by_kind`), so that a value is held against one of them only, and the violation found is the one that the
caller can mend.  A member that is `REFUSED` is known and dangerous: the pointer names it, and a policy may allow it by
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Shape = Mapping[str, Any]

REFUSED = False
FLAG: Shape = {"type": "boolean"}
NULL: Shape = {"type": "null"}
OPEN = 2**31 - 1
PATTERN_CHARS = 200  # of a pattern in a schema that the model server compiles


def text(most: int, least: int = 0) -> Shape:
    """Take a text of so many characters."""
    return {"type": "string", "maxLength": most} | ({"minLength": least} if least else {})


def whole(least: int, most: int) -> Shape:
    """Take a whole number within bounds."""
    return {"type": "integer", "minimum": least, "maximum": most}


def number(least: float, most: float) -> Shape:
    """Take a number within bounds."""
    return {"type": "number", "minimum": least, "maximum": most}


def one_of(*values: Any) -> Shape:
    """Take one of these values."""
    return {"enum": list(values)}


def listed(item: Shape | bool, most: int, least: int = 0) -> Shape:
    """Take a list of so many items."""
    return {"type": "array", "items": item, "maxItems": most} | ({"minItems": least} if least else {})


def fewer(lists: Shape, kind: str, most: int) -> Shape:
    """Take only so many items of a kind in these lists."""
    chosen = {"properties": {"type": {"const": kind}}, "required": ["type"]}
    return {**lists, "contains": chosen, "minContains": 0, "maxContains": most}


def record(required: str = "", /, **members: Any) -> Shape:
    """Take an object of these members and no others; `required` names those that it must have."""
    shape: dict[str, Any] = {"type": "object", "properties": members, "additionalProperties": False}
    return shape | ({"required": required.split()} if required else {})


def named(value: Shape | bool, most: int, name_chars: int = 64) -> Shape:
    """Take an object of any names, each with such a value."""
    return {
        "type": "object",
        "additionalProperties": value,
        "maxProperties": most,
        "propertyNames": {"maxLength": name_chars},
    }


def either(*shapes: Shape) -> Shape:
    """Take any of these shapes, which must differ in their JSON type."""
    types: list[str] = []
    merged: dict[str, Any] = {}
    for shape in shapes:
        kinds = shape["type"]
        types += [kinds] if isinstance(kinds, str) else kinds
        for keyword, value in shape.items():
            assert keyword == "type" or keyword not in merged, f"two shapes say {keyword}"
            merged[keyword] = value
    return merged | {"type": types}


def or_null(shape: Shape) -> Shape:
    """Take null as well, which says that the member was left out."""
    if "enum" in shape:
        return {**shape, "enum": [*shape["enum"], None]}
    return either(shape, NULL)


def by_kind(member: str, kinds: Mapping[str, Shape], default: Shape | None = None) -> Shape:
    """Take an object whose `member` names its kind, and hold it against that kind's record alone.

    Without the member it must be as `default` says, or is refused.  The most frequent kinds stand first.
    """
    chain: Any = {"properties": {member: {"enum": list(kinds)}}}  # reached by unknown kinds alone
    for kind, shape in reversed(list(kinds.items())):
        inner = {name: value for name, value in shape.items() if name != "type"}  # said once, below
        inner["properties"] = {member: True, **shape["properties"]}
        chain = {"if": {"properties": {member: {"const": kind}}}, "then": inner, "else": chain}
    if default is None:
        return {"type": "object", "required": [member], **chain}
    return {"type": "object", "if": {"required": [member]}, "then": chain, "else": default}


def nested(depth: int, members: int = 256, items: int = 1024, chars: int = 16_384) -> dict[str, Shape]:
    """Return what `ANYTHING` and `ANY_OBJECT` refer to, for a schema's `$defs`: any JSON down to `depth` levels.

    For what is the caller's own, such as a schema of a tool's arguments: it is bounded, and not read.  Names in it are
    bounded by the body alone: to look at each would double the time.
    """
    shapes: dict[str, Shape] = {"nested0": {"type": ["string", "number", "boolean", "null"], "maxLength": chars}}
    for level in range(depth):
        below = {"$ref": f"#/$defs/nested{level}"}
        shapes["nested" if level == depth - 1 else f"nested{level + 1}"] = {
            "maxLength": chars,
            "maxProperties": members,
            "additionalProperties": below,
            "maxItems": items,
            "items": below,
        }
    return shapes if depth else {"nested": shapes["nested0"]}


ANYTHING: Shape = {"$ref": "#/$defs/nested"}
ANY_OBJECT: Shape = {"type": "object", "$ref": "#/$defs/nested"}


def compiled_schema(chars: int, members: int = 256) -> dict[str, Shape]:
    """Return what `COMPILED_SCHEMA` refers to, for `$defs`: a JSON Schema that the model server will compile.

    No reference leads out of it, and its patterns are short; the route's `max_depth` bounds its levels.
    """
    below = {"$ref": "#/$defs/compiled"}
    shape = {
        "maxLength": chars,
        "maxItems": members,
        "items": below,
        "maxProperties": members,
        "propertyNames": {"maxLength": 256},
        "properties": {
            # Texts where they are keywords; where they are names of members they are schemas, held like all others.
            "$ref": {"pattern": "^#", **below},
            "$dynamicRef": {"pattern": "^#", **below},
            "pattern": {**below, "type": ["string", "object", "boolean"], "maxLength": PATTERN_CHARS},
        },
        "additionalProperties": below,
    }
    return {"compiled": shape}


COMPILED_SCHEMA: Shape = {"type": "object", "$ref": "#/$defs/compiled"}


# Of an upload a schema sees these; its data is for the control of images.
UPLOAD = record(
    "filename media_type bytes",
    filename={"type": "string"},
    media_type={"type": "string"},
    bytes={"type": "integer", "minimum": 1},
)


def loosened(schema: Any, names: frozenset[str], parent: str = "") -> Any:
    """Return `schema` with these members taken as they come, wherever they stand.

    `parent.name` is the one that stands in the member `parent`, or in an object of the kind `parent`.
    """
    if isinstance(schema, list):
        return [loosened(item, names, parent) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loose: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            loose[key] = {
                name: True if name in names or f"{parent}.{name}" in names else loosened(inner, names, name)
                for name, inner in value.items()
            }
        elif key == "then":
            kinds = [inner["const"] for inner in schema["if"].get("properties", {}).values() if "const" in inner]
            loose[key] = loosened(value, names, *kinds)
        else:
            loose[key] = loosened(value, names, parent)
    return loose
