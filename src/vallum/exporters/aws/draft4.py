"""A JSON Schema in the words that API Gateway's models know: draft 4, less what AWS says it does not check.

Rule: what has no word there is left out, so that the model takes more than the schema and never refuses what the
      schema takes; each keyword that was left out or weakened is a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Writer = Callable[["_Draft", str, Any, dict[str, Any], dict[str, Any]], None]
SILENT = frozenset(("$schema", "$id", "id", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"))
DEFINITIONS = frozenset(("definitions", "$defs"))
DRAFT = "http://json-schema.org/draft-04/schema#"


def converted(schema: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the model of a schema, and what it does not hold, in words."""
    draft = _Draft()
    model = draft.write(schema)
    definitions = schema.get("definitions", schema.get("$defs")) if isinstance(schema, dict) else None
    if isinstance(definitions, dict):
        model["definitions"] = {name: draft.write(one) for name, one in definitions.items()}
    return {"$schema": DRAFT, **model}, list(draft.losses)


class _Draft:
    """One schema on its way; `losses` keep their order and are said once."""

    def __init__(self) -> None:
        self.losses: dict[str, None] = {}

    def lose(self, detail: str) -> None:
        self.losses[detail] = None

    def write(self, schema: Any) -> dict[str, Any]:
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if "$ref" in schema:
            return self._reference(schema)
        model: dict[str, Any] = {}
        # Open bounds last: for whole numbers they are written as closed ones, which may be there already.
        for name, value in sorted(schema.items(), key=lambda item: item[0].startswith("exclusive")):
            writer = WRITERS.get(name)
            if writer is not None:
                writer(self, name, value, schema, model)
            elif name not in SILENT | DEFINITIONS:
                self.lose(f"{name} is not checked")
        return model

    def _reference(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a reference: in draft 4 nothing stands beside it."""
        target = str(schema["$ref"]).replace("#/$defs/", "#/definitions/", 1)
        beside = {name: value for name, value in schema.items() if name not in {"$ref", *DEFINITIONS}}
        rest = self.write(beside)
        if not target.startswith("#/definitions/") or target.count("/") != 2:
            self.lose(f"$ref to {schema['$ref']!r} is not followed")
            return rest
        return {"allOf": [{"$ref": target}, rest]} if rest else {"$ref": target}

    def same(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        if name == "required" and not value:  # draft 4 wants one at least
            return
        model[name] = value
        if name in {"minItems", "maxItems"}:  # by AWS's own list of what is not validated
            self.lose(f"{name} may not be checked")

    def of_schemas(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        model[name] = [self.write(one) for one in value]

    def of_names(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        model[name] = {key: self.write(one) for key, one in value.items()}

    def of_one(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        model[name] = value if isinstance(value, bool) and name != "not" else self.write(value)

    def const(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        model["enum"] = [value]

    def items(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        if isinstance(value, list):
            model["items"] = [self.write(one) for one in value]
        elif "prefixItems" in schema:
            model["additionalItems"] = value if isinstance(value, bool) else self.write(value)
        elif value is False:
            model["maxItems"] = 0
        else:
            model["items"] = self.write(value)

    def prefix_items(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        model["items"] = [self.write(one) for one in value]

    def dependencies(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        held = {key: one if isinstance(one, list) else self.write(one) for key, one in value.items() if one != []}
        if held:
            model.setdefault("dependencies", {}).update(held)

    def exclusive(self, name: str, value: Any, schema: dict[str, Any], model: dict[str, Any]) -> None:
        """Write an open bound: exactly for whole numbers, else with a flag that AWS may not read."""
        if isinstance(value, bool):  # as draft 4 itself has it
            model[name] = value
            self.lose(f"{name} may not be checked")
            return
        low = name == "exclusiveMinimum"
        bound = "minimum" if low else "maximum"
        kept = model.get(bound)
        if schema.get("type") == "integer":
            whole = (int(value // 1) + 1) if low else (-int(-value // 1) - 1)
            model[bound] = whole if kept is None else max(kept, whole) if low else min(kept, whole)
        elif kept is None or (value >= kept if low else value <= kept):
            model[bound], model[name] = value, True
            self.lose(f"{name} may not be checked")


SAME = """type enum multipleOf maximum minimum maxLength minLength pattern additionalItems maxItems minItems uniqueItems
    maxProperties minProperties required title description""".split()
WRITERS: dict[str, Writer] = {
    **dict.fromkeys(SAME, _Draft.same),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _Draft.of_schemas),
    **dict.fromkeys(("properties", "patternProperties"), _Draft.of_names),
    **dict.fromkeys(("not", "additionalProperties"), _Draft.of_one),
    **dict.fromkeys(("dependencies", "dependentRequired", "dependentSchemas"), _Draft.dependencies),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _Draft.exclusive),
    "const": _Draft.const,
    "items": _Draft.items,
    "prefixItems": _Draft.prefix_items,
}
