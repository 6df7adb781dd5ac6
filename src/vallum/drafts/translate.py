"""Translates schemas of OpenAPI into JSON Schema 2020-12, closed and whole.

OpenAPI 3.0 has a dialect of its own (`nullable`, `exclusiveMinimum: true`); 3.1 is JSON Schema with a few words more.
Components that are referred to move to `$defs`, each as often as it is needed: closed where it stands alone, open
where `allOf` puts it together with others.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

LEVELS_MAX = 64
WORDS = frozenset(
    {"discriminator", "xml", "externalDocs", "example", "examples", "readOnly", "writeOnly", "deprecated"}
)
PROSE = frozenset({"title", "description", "default", "$comment"})
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
ONE = ("items", "not", "if", "then", "else", "contains", "propertyNames", "additionalProperties", "unevaluatedItems")
NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs")
CLOSING = frozenset({"additionalProperties", "unevaluatedProperties"})
INTEGERS = {"int32": 2**31, "int64": 2**63}
# Formats of OpenAPI that bound nothing, or are not JSON Schema's.
UNHELD = frozenset({"int32", "int64", "float", "double", "byte", "binary", "password", "json-string"})


class OpenApiError(ValueError):
    """The document is none, or says what cannot be held."""


def resolve(document: Any, item: Any) -> Any:
    """Follow references within `document`; raise OpenApiError for one that leads out of it or nowhere."""
    for _ in range(LEVELS_MAX):
        if not isinstance(item, dict) or not isinstance(item.get("$ref"), str):
            return item
        item = find(document, item["$ref"])
    raise OpenApiError("a reference that leads to itself")


def find(document: Any, reference: str) -> Any:
    """Return what a reference points to; raise OpenApiError if it leads out of the document or nowhere."""
    if not reference.startswith("#/"):
        raise OpenApiError(f"$ref to {reference!r} leads out of the document; bundle it first")
    found = document
    for step in unquote(reference).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            raise OpenApiError(f"$ref to {reference!r} leads nowhere")
        found = found[name]
    return found


class Translator:
    """Translates the schemas of one body, and collects what they refer to in `definitions`."""

    def __init__(self, document: Any, *, is_3_0: bool, loose: bool) -> None:
        """Translate for requests: what a server alone may write is refused."""
        self._document = document
        self._is_3_0, self._loose = is_3_0, loose
        self._names: dict[tuple[str, bool], str] = {}
        self.definitions: dict[str, Any] = {}

    def translate(self, schema: Any, *, closed: bool = True, level: int = 0) -> Any:
        """Return `schema` in JSON Schema; `closed`: an object takes no members that it does not name."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict) or level > LEVELS_MAX:
            raise OpenApiError("a schema that is none, or nested too deep")
        if "$ref" in schema and (self._is_3_0 or len(schema.keys() - PROSE) == 1):
            return {"$ref": self._refer(schema["$ref"], closed)}
        composed = bool({"allOf", "$ref"} & schema.keys()) or (
            "properties" in schema and bool({"anyOf", "oneOf", "if"} & schema.keys())
        )
        out = self._words(schema, level, closed=closed and not composed)
        self._tell_apart(schema, out)
        self._mend(schema, out)
        if closed and not self._loose and not CLOSING & out.keys():
            if composed:
                out["unevaluatedProperties"] = False
            elif "properties" in out and "patternProperties" not in out:
                out["additionalProperties"] = False
        return out

    def _words(self, schema: dict[str, Any], level: int, *, closed: bool) -> dict[str, Any]:
        """Translate a schema word by word."""
        out: dict[str, Any] = {}
        for word, value in schema.items():
            if word == "$ref":
                out[word] = self._refer(value, closed)
            elif word in MANY:
                whole = closed or word == "prefixItems"
                out[word] = [self.translate(part, closed=whole, level=level + 1) for part in value]
            elif word in ONE:  # `not` and `if` only ask: closed, they would say something else
                out[word] = self.translate(value, closed=word not in ("not", "if"), level=level + 1)
            elif word in NAMED:
                out[word] = {name: self._member(part, level) for name, part in value.items()}
            elif word not in WORDS and not word.startswith("x-"):
                out[word] = value
        return out

    def without_null(self, schema: Any) -> Any:
        """Return a parameter's schema without null, which no text of a query says."""
        if not isinstance(schema, dict):
            return schema
        out = dict(schema)
        for rule in ("anyOf", "oneOf"):
            if rule in out:
                out[rule] = [part for part in out[rule] if part != {"type": "null"}]
        if isinstance(out.get("type"), list):
            out["type"] = [kind for kind in out["type"] if kind != "null"]
        return out

    def types_of(self, schema: Any, level: int = 0) -> set[str]:
        """Return the types that a translated schema names."""
        if not isinstance(schema, dict) or level > LEVELS_MAX:
            return set()
        named = schema.get("type", [])
        found = {named} if isinstance(named, str) else set(named)
        for part in (part for rule in ("anyOf", "oneOf", "allOf") for part in schema.get(rule, ())):
            found |= self.types_of(part, level + 1)
        if "$ref" in schema:
            found |= self.types_of(find({"$defs": self.definitions}, schema["$ref"]), level + 1)
        return found

    def _member(self, schema: Any, level: int) -> Any:
        """Translate one property: what is readOnly is the server's to write (OpenAPI 3.0 4.7.24.1)."""
        meant = resolve(self._document, schema)
        if isinstance(meant, dict) and meant.get("readOnly") is True:
            return False
        return self.translate(schema, level=level + 1)

    def _refer(self, reference: str, closed: bool) -> str:
        key = (reference, closed)
        if key not in self._names:
            stem = reference.rpartition("/")[2].replace("~1", "-").replace("~0", "-").replace("%", "-")
            name = stem if closed else f"{stem}.open"
            while name in self._names.values():
                name += "-"
            self._names[key] = name
            self.definitions[name] = self.translate(find(self._document, reference), closed=closed)
        return f"#/$defs/{self._names[key]}"

    def _tell_apart(self, schema: dict[str, Any], out: dict[str, Any]) -> None:
        """Hold each alternative to the name that the discriminator gives it (OpenAPI 3.1 4.8.25)."""
        said = schema.get("discriminator")
        if not isinstance(said, dict) or not isinstance(said.get("propertyName"), str):
            return
        member, mapping = said["propertyName"], said.get("mapping", {})
        for rule in ("oneOf", "anyOf"):
            for index, part in enumerate(schema.get(rule, ())):
                reference = part.get("$ref") if isinstance(part, dict) else None
                if reference is None:
                    continue
                own = reference.rpartition("/")[2]
                names = [name for name, target in mapping.items() if target in (reference, own)] or [own]
                held = {"properties": {member: {"enum": names}}, "required": [member]}
                out[rule][index] = {**out[rule][index], **held}

    def _mend(self, schema: dict[str, Any], out: dict[str, Any]) -> None:
        """Write what the dialect of 3.0 says, and what formats mean, in words of JSON Schema."""
        hidden = [name for name, part in out.get("properties", {}).items() if part is False]
        if hidden and "required" in out:
            out["required"] = [name for name in out["required"] if name not in hidden]
        if out.get("format") in UNHELD:
            size = INTEGERS.get(out.pop("format"))
            if size is not None and out.get("type") == "integer":
                out["minimum"] = max(out.get("minimum", -size), -size)
                out["maximum"] = min(out.get("maximum", size - 1), size - 1)
        if self._is_3_0:
            _mend_bounds(out)
            _mend_null(out)


def _mend_bounds(out: dict[str, Any]) -> None:
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if out.get(word) is True and bound in out:
            out[word] = out.pop(bound)
        elif isinstance(out.get(word), bool):
            del out[word]


def _mend_null(out: dict[str, Any]) -> None:
    if out.pop("nullable", False) is not True:
        return
    if isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if "enum" in out and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    for rule in ("anyOf", "oneOf"):
        if rule in out:
            out[rule] = [*out[rule], {"type": "null"}]
    if "allOf" in out:
        alone = dict(out)
        out.clear()
        out["anyOf"] = [alone, {"type": "null"}]
