"""Finds the violation that tells most: the deepest, in the alternative that was meant.

The validator itself could tell, but collects every error of every alternative first, which takes a second for a body
of 1 MB.  Here verdicts alone are asked, part by part on the way down: the cost is the document's size for each level
of the schema, whoever wrote the document.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jsonschema_rs

from vallum.checks.schema.rules import compile_part, resolve, steps_of
from vallum.core.content import escape_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str, ...]  # of a subschema: the steps to it from the root
Violation = tuple[str, str]  # rule, and where in the document

BASE = "urn:vallum:schema"
PARTS_KEPT = 256
LEVELS_MAX = 256  # of references and alternatives followed: a schema may refer to itself
# Rules about a value alone, in the order in which they are told.
ALONE = (
    "type const enum required minProperties maxProperties dependentRequired minItems maxItems uniqueItems"
    " minLength maxLength pattern format minimum exclusiveMinimum maximum exclusiveMaximum multipleOf"
).split()
# What can be broken when no part of it that was followed is, and is told as a whole.
WHOLE = (
    "additionalProperties unevaluatedProperties propertyNames dependentSchemas dependencies contains items"
    " unevaluatedItems not then else if anyOf oneOf $ref $dynamicRef"
).split()
# A boolean beside a bound, until draft 6: told with it.
EXCLUSIVE = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}
REFUSED = "refused_field"  # a schema that is `false`
TELLING = ("type", "const", "enum")  # rules by which alternatives are told apart


class Locator:
    """Knows one schema, part by part."""

    def __init__(self, schema: Any) -> None:
        """Hold `schema`, which compiles."""
        self._root = schema
        self._dialect = {"$schema": schema["$schema"]} if isinstance(schema, dict) and "$schema" in schema else {}
        self._registry: jsonschema_rs.Registry | None = None  # made when first something is refused
        self._part = lru_cache(PARTS_KEPT)(lambda at: self._compile(self._refer(at)))
        self._each = lru_cache(PARTS_KEPT)(lambda at: self._compile({"items": self._refer(at)}))
        self._pattern = lru_cache(PARTS_KEPT)(lambda pattern: compile_part({"pattern": pattern}))
        self._rule = lru_cache(PARTS_KEPT)(self._compile_rule)

    def locate(self, document: Any) -> Violation:
        """Return the rule that `document`, which is not valid, breaks, and where: a member's place, there or not."""
        try:
            return self._locate(document)
        except (ValueError, jsonschema_rs.ValidationError):  # a part that means nothing by itself
            return "schema", ""

    def _locate(self, document: Any) -> Violation:
        at: Place = ()
        value, where = document, ""
        for _ in range(LEVELS_MAX):
            schema = self._find(at)
            if not isinstance(schema, dict):
                break
            for rule in ALONE:
                if rule in schema and not self._rule(at, rule).is_valid(value):
                    return rule, where + _missing(rule, schema, value)
            below = next((step for step in self._below(schema, at, value) if self._breaks(step[1], step[2])), None)
            if below is not None:
                name, at, value = below
                where = f"{where}/{escape_pointer(str(name))}"
                if self._find(at) is False:
                    return at[-1] if at[-1] in ("additionalProperties", "items") else REFUSED, where
                continue
            here = next((place for place in self._here(schema, at, value) if self._breaks(place, value)), None)
            if here is None:
                return next((rule for rule in WHOLE if rule in schema), "schema"), where
            at = here
        return REFUSED, where

    def _below(self, schema: dict[str, Any], at: Place, value: Any) -> Iterator[tuple[str | int, Place, Any]]:
        """Yield the parts of a value with the places of what they must hold."""
        if isinstance(value, dict):
            names, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
            for name, item in value.items():
                if name in names:
                    yield name, (*at, "properties", name), item
                matching = [pattern for pattern in patterns if self._pattern(pattern).is_valid(name)]
                yield from ((name, (*at, "patternProperties", pattern), item) for pattern in matching)
                if "additionalProperties" in schema and name not in names and not matching:
                    yield name, (*at, "additionalProperties"), item
        elif isinstance(value, list):
            first = len(schema.get("prefixItems", ()))
            for index, item in enumerate(value[:first]):
                yield index, (*at, "prefixItems", str(index)), item
            if isinstance(schema.get("items"), (dict, bool)):
                wrong = self._first_wrong((*at, "items"), value[first:])
                if wrong is not None:
                    yield first + wrong, (*at, "items"), value[first + wrong]

    def _first_wrong(self, at: Place, items: list[Any]) -> int | None:
        """Return the index of the first item that breaks the schema at a place, by halving."""
        each = self._each(at)
        if each.is_valid(items):
            return None
        good, bad = 0, len(items)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if each.is_valid(items[good:middle]) else (good, middle)
        return good

    def _here(self, schema: dict[str, Any], at: Place, value: Any) -> Iterator[Place]:
        """Yield the places of what must hold of a value itself."""
        if resolve(self._root, schema.get("$ref")) is not None:
            yield steps_of(schema["$ref"])
        for index in range(len(schema.get("allOf", ()))):
            yield (*at, "allOf", str(index))
        if "if" in schema:
            then = "else" if self._breaks((*at, "if"), value) else "then"
            if then in schema:
                yield (*at, then)
        for rule in ("anyOf", "oneOf"):
            places = [(*at, rule, str(index)) for index in range(len(schema.get(rule, ())))]
            meant = [place for place in places if self._resembles(value, place)]
            if len(meant) == 1:
                yield meant[0]

    def _resembles(self, value: Any, at: Place) -> bool:
        """Say whether a value is of the type of an alternative, and of the names by which it calls itself."""
        for _ in range(LEVELS_MAX):
            schema = self._find(at)
            if not isinstance(schema, dict) or resolve(self._root, schema.get("$ref")) is None:
                break
            at = steps_of(schema["$ref"])
        if not isinstance(schema, dict) or not self._tells(schema, at, value):
            return False
        names = schema.get("properties", {})
        return not isinstance(value, dict) or all(
            self._tells(names[name], (*at, "properties", name), item)
            for name, item in value.items()
            if isinstance(names.get(name), dict) and not isinstance(item, (dict, list))
        )

    def _tells(self, schema: dict[str, Any], at: Place, value: Any) -> bool:
        return all(self._rule(at, rule).is_valid(value) for rule in TELLING if rule in schema)

    def _find(self, at: Place) -> Any:
        found = self._root
        for step in at:
            found = found[int(step)] if isinstance(found, list) else found[step]
        return found

    def _breaks(self, at: Place, value: Any) -> bool:
        return not self._part(at).is_valid(value)

    def _compile_rule(self, at: Place, rule: str) -> jsonschema_rs.Validator:
        schema = self._find(at)
        told = {rule: schema[rule]}
        for bound, exclusive in EXCLUSIVE.items():
            if rule in (bound, exclusive) and isinstance(schema.get(exclusive), bool):
                told = {name: schema[name] for name in (bound, exclusive) if name in schema}
        return self._compile(told)

    def _refer(self, at: Place) -> dict[str, Any]:
        return {"$ref": f"{BASE}#{quote(''.join(f'/{escape_pointer(step)}' for step in at))}"}

    def _compile(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        if self._registry is None:
            self._registry = jsonschema_rs.Registry([(BASE, self._root)])
        return compile_part({**self._dialect, **schema}, self._registry)


def _missing(rule: str, schema: dict[str, Any], value: Any) -> str:
    """Return where a member should be that is not there."""
    if rule != "required":
        return ""
    return "/" + escape_pointer(next(name for name in schema["required"] if name not in value))
