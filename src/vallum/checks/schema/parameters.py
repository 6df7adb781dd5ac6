"""Hold what stands in the path and in the query against a JSON Schema.

Rule 1: the wire has texts; the schema says what each is read as.  `5` is an integer where one is asked for, and
        `5.0`, `+5`, `0x5` and ` 5` are none: what two readers could read in two ways is refused.
Rule 2: a parameter that is no array stands once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vallum.checks.schema import Schema, SchemaError
from vallum.checks.schema.rules import resolve
from vallum.core.decision import Finding, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,307})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
BOOLEANS = {"true": True, "false": False}
PARTS = ("path", "query")
LEVELS_MAX = 16
ITEMS = "\0items"  # behind the name of a list, what its items are


class Parameters:
    """A compiled schema of `{path: {..}, query: {..}}`."""

    def __init__(self, schema: Any) -> None:
        """Compile `schema`; raise SchemaError that says what is wrong with it."""
        self._schema = Schema(schema)
        parts = schema.get("properties", {}) if isinstance(schema, dict) else {}
        if not parts or not set(parts) <= set(PARTS):
            raise SchemaError("it must be of an object with the properties path and query")
        self._kinds = {part: _kinds(schema, parts.get(part)) for part in PARTS}
        self.names = frozenset(name for name in self._kinds["query"] if not name.endswith(ITEMS))
        self.segments = frozenset(name for name in self._kinds["path"] if not name.endswith(ITEMS))

    def inspect(self, path: Mapping[str, str], query: Iterable[tuple[str, str]]) -> Finding | None:
        """Return the first violation, by its parameter and rule."""
        given: dict[str, Any] = {}
        for name, text in query:
            kinds = self._kinds["query"].get(name, ())
            if "array" in kinds:
                given.setdefault(name, []).append(_read(text, self._kinds["query"][name + ITEMS]))
            elif name in given:
                return Finding("once", f"query.{name}", reason=Reason.INVALID_REQUEST, public=True)
            else:
                given[name] = _read(text, kinds)
        taken = {name: _read(text, self._kinds["path"].get(name, ())) for name, text in path.items()}
        finding = self._schema.hold({"path": taken, "query": given})
        if finding is None:
            return None
        where = finding.where.removeprefix("/").replace("/", ".")
        return Finding(finding.rule, where, reason=finding.reason, public=True)


def _kinds(root: Any, part: Any) -> dict[str, frozenset[str]]:
    """Return what each parameter may be read as, and beside a list what its items may be."""
    if part is None:
        return {}
    properties = (resolve(root, part["$ref"]) if "$ref" in part else part).get("properties", {})
    kinds = {name: _types(root, schema, LEVELS_MAX) for name, schema in properties.items()}
    for name, schema in properties.items():
        if "array" in kinds[name]:
            kinds[name + ITEMS] = _item_types(root, schema)
    return kinds


def _item_types(root: Any, schema: Any) -> frozenset[str]:
    for _ in range(LEVELS_MAX):
        if not isinstance(schema, dict) or "items" in schema:
            break
        branches = [branch for rule in ("anyOf", "oneOf", "allOf") for branch in schema.get(rule, ())]
        arrays = [branch for branch in branches if "array" in _types(root, branch, LEVELS_MAX)]
        schema = resolve(root, schema["$ref"]) if "$ref" in schema else arrays[0] if arrays else {}
    return _types(root, schema.get("items", {}), LEVELS_MAX) if isinstance(schema, dict) else frozenset()


def _types(root: Any, schema: Any, levels: int) -> frozenset[str]:
    """Return every type that a schema names, through references and alternatives."""
    if not isinstance(schema, dict) or not levels:
        return frozenset()
    named = schema.get("type", [])
    found = {named} if isinstance(named, str) else set(named)
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if not found:
        found |= {TYPES.get(type(value), "string") for value in values}
    for rule in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(rule, ()):
            found |= _types(root, branch, levels - 1)
    if "$ref" in schema:
        found |= _types(root, resolve(root, schema["$ref"]), levels - 1)
    return frozenset(found)


TYPES = {bool: "boolean", int: "integer", float: "number", type(None): "null"}


def _read(text: str, kinds: Iterable[str]) -> Any:
    """Return what a text says, as the most exact of `kinds` that it can be; a text where it is none."""
    for kind, read in READERS:
        if kind in kinds:
            value = read(text)
            if value is not None:
                return value
    return text


def _integer(text: str) -> int | None:
    return int(text) if INTEGER.fullmatch(text) else None


def _number(text: str) -> float | None:
    return float(text) if NUMBER.fullmatch(text) else None


READERS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("integer", _integer),
    ("number", _number),
    ("boolean", BOOLEANS.get),
)
