"""What a schema may be: compiled offline, bounded in size, and cheap to hold a body against.

Rule 1: nothing is fetched.  What is not in the document is not there.
Rule 2: patterns run on an automaton, in time that grows with the text alone; large repetitions, which make the
        automaton large and slow, are refused.
Rule 3: a schema is refused if one value could be held against too many subschemas: alternatives of alternatives
        multiply, in a few lines, to billions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBSCHEMAS_MAX = 20_000
DEPTH_MAX = 100
VISITS_MAX = 100_000  # of subschemas, for one value and what is below it on one path: a millisecond
REPEAT_MAX = 1_000
PATTERN_BYTES_MAX = 262_144  # of one automaton

LOOKS_AROUND = re.compile(r"(?<!\\)\(\?<?[=!]")
REFERS_BACK = re.compile(r"(?<!\\)(?:\\\\)*\\(?:[1-9]|k<)")
REPEAT = re.compile(r"(?<!\\)\{(\d+)(?:,(\d*))?\}")
# Members that hold values and no schemas.
VALUES = frozenset({"const", "default", "enum", "example", "examples"})
# Applied to the value itself; all other subschemas to what is below it.
IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
NO_REGEX = ' is not a "regex"'
INSIDE = re.compile(r"#(?:/.*)?")


class SchemaError(ValueError):
    """The schema itself is not valid, or not one that may stand in the path of requests."""


def compile_schema(schema: Any) -> jsonschema_rs.Validator:
    """Compile `schema`; raise SchemaError that says what is wrong with it, and what to write instead."""
    _measure(schema)
    for pattern in _patterns(schema):
        _check_pattern(pattern)
    try:
        validator = compile_part(schema)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise SchemaError(_explain(schema, error)) from error
    _count_visits(schema)
    return validator


def compile_part(schema: Any, registry: jsonschema_rs.Registry | None = None) -> jsonschema_rs.Validator:
    """Compile what was checked before, or refers to it in `registry`."""
    options = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX)
    return jsonschema_rs.validator_for(
        schema, validate_formats=True, offline=True, pattern_options=options, registry=registry
    )


def resolve(root: Any, reference: Any) -> Any:
    """Return what a reference within `root` points to (RFC 6901 6), or None if it is not of that form or misses."""
    if not isinstance(reference, str) or not INSIDE.fullmatch(reference):
        return None
    found = root
    for name in steps_of(reference):
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def steps_of(reference: str) -> tuple[str, ...]:
    """Return the steps of a reference within a document."""
    steps = unquote(reference).split("/")[1:]
    return tuple([step.replace("~1", "/").replace("~0", "~") for step in steps])


def _measure(schema: Any) -> None:
    """Bound size and depth before anything recurses."""
    level, count, depth = [schema], 0, 0
    while level:
        depth += 1
        count += len(level)
        if depth > DEPTH_MAX:
            raise SchemaError(f"nested over {DEPTH_MAX} levels")
        if count > SUBSCHEMAS_MAX:
            raise SchemaError(f"over {SUBSCHEMAS_MAX} subschemas; split it over several routes")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(value for value in item.values() if isinstance(value, (dict, list)))
            elif isinstance(item, list):
                below.extend(value for value in item if isinstance(value, (dict, list)))
        level = below


def _walk(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping that could be a schema, or a map of names to schemas."""
    stack = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(value for name, value in item.items() if name not in VALUES)
        elif isinstance(item, list):
            stack.extend(item)


def _patterns(schema: Any) -> Iterator[str]:
    for item in _walk(schema):
        if isinstance(item.get("pattern"), str):
            yield item["pattern"]
        if isinstance(item.get("patternProperties"), dict):
            yield from item["patternProperties"]


def _check_pattern(pattern: str) -> None:
    shown = f"the pattern {pattern[:80]!r}"
    if LOOKS_AROUND.search(pattern):
        raise SchemaError(
            f"{shown} looks around, which no linear-time engine does; write each condition as a pattern of its own "
            "under allOf, and what must not be there as not: {pattern: ...}"
        )
    if REFERS_BACK.search(pattern):
        raise SchemaError(f"{shown} refers back, which no linear-time engine does; write the alternatives out as enum")
    for least, most in REPEAT.findall(pattern):
        if max(int(least), int(most or 0)) > REPEAT_MAX:
            raise SchemaError(f"{shown} repeats over {REPEAT_MAX} times; write lengths as minLength and maxLength")


def _explain(schema: Any, error: Exception) -> str:
    """Say what the compiler meant; its own words are those of the pattern or the reference alone."""
    text = str(error).partition("\n")[0]
    for item in _walk(schema):
        reference = item.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#") and reference in text.replace("\\", ""):
            return f"$ref to {reference!r} is not followed: copy what it names under $defs"
        if isinstance(reference, str) and INSIDE.fullmatch(reference) and resolve(schema, reference) is None:
            return f"$ref to {reference!r}, which is not in this document"
    if text.endswith(NO_REGEX):
        pattern = text.removesuffix(NO_REGEX)
        return f"the pattern {pattern} is none, or its automaton has over {PATTERN_BYTES_MAX} bytes"
    return text


def _count_visits(root: Any) -> None:
    """Refuse a schema whose alternatives multiply.  What refers to itself is counted once: its verdicts are kept."""
    known: dict[int, int] = {}
    open_now: set[int] = set()

    def visits(schema: Any) -> int:
        if not isinstance(schema, dict) or id(schema) in open_now:
            return 1
        if id(schema) in known:
            return known[id(schema)]
        open_now.add(id(schema))
        here = visits(schema.get("if")) + max(visits(schema.get("then")), visits(schema.get("else")))
        here += sum(visits(part) for name in ("not", "dependentSchemas") for part in _parts(schema.get(name)))
        for name in ("allOf", "anyOf", "oneOf"):
            parts = list(_parts(schema.get(name)))
            counts = [visits(part) for part in parts]
            here += max(counts, default=0) + len(parts) if _are_told_apart(root, parts) else sum(counts)
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            here += visits(resolve(root, schema[name])) if name in schema else 0
        below = [
            visits(part)
            for name, value in schema.items()
            if name not in VALUES and name not in IN_PLACE and name not in ("$defs", "definitions", "components")
            for part in _parts(value)
        ]
        open_now.discard(id(schema))
        known[id(schema)] = total = 1 + here + max(below, default=0)
        if total > VISITS_MAX:
            raise SchemaError(
                f"its alternatives multiply: over {VISITS_MAX} subschemas for one value; "
                "tell them apart by the type or by a const, or leave some out"
            )
        return total

    visits(root)


def _are_told_apart(root: Any, parts: list[Any]) -> bool:
    """Say whether a value can be of one alternative alone, by its type or by a member that names its kind."""
    named = [_kind(root, part.get("if", part)) for part in parts]
    return len(named) > 1 and None not in named and len(set(named)) == len(named)


def _kind(root: Any, schema: Any) -> str | None:
    for _ in range(DEPTH_MAX):
        if not isinstance(schema, dict) or "$ref" not in schema:
            break
        schema = resolve(root, schema["$ref"])
    if not isinstance(schema, dict):
        return None
    for name, part in sorted(schema.get("properties", {}).items()):
        if isinstance(part, dict) and ("const" in part or "enum" in part):
            return f"{name} {part.get('const')!r} {part.get('enum')!r}"
    return next((f"{rule} {schema[rule]!r}" for rule in ("const", "enum", "type") if rule in schema), None)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from (part for part in value if isinstance(part, dict))
    elif isinstance(value, dict):
        yield value
        yield from (part for part in value.values() if isinstance(part, dict))
