"""Reads an OpenAPI document (3.0, 3.1) into a draft: one strict route an operation.

Rule 1: everything is in the document.  A reference that leads out of it is an error, and nothing is fetched.
Rule 2: strict.  An object takes the members that it names and no others, unless it says so itself.
Rule 3: what cannot be held is left out and told, never let through: an operation that is not understood is no route.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vallum.core.target import Pattern
from vallum.drafts.draft import RouteDraft, name_of
from vallum.drafts.translate import OpenApiError, Translator, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
JSON = "application/json"
OPERATIONS_MAX = 1_000
# Fields of a request that OpenAPI does not describe as parameters (OpenAPI 3.1 4.8.12.1), or that never pass.
UNSAID = frozenset({"accept", "content-type", "authorization", "cookie"})


@dataclass
class Reading:
    """What was read: routes, and what was left out and why."""

    title: str
    routes: list[RouteDraft] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_openapi(document: Any, *, loose: bool = False) -> Reading:
    """Read a document; raise OpenApiError if it is none.  `loose` lets members through that no schema names."""
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith(("3.0", "3.1", "3.2")):
        raise OpenApiError("this is no OpenAPI document of version 3.0 to 3.2")
    reading = Reading(str(_mapping(document.get("info")).get("title", "an API")))
    reader = _Reader(document, version.startswith("3.0"), loose)
    taken: set[str] = set()
    for path, method, item in _operations(document):
        operation = item[method]
        label = f"{method.upper()} {path}"
        try:
            route = reader.route(path, method, item, operation)
        except (OpenApiError, ValueError, TypeError, KeyError, AttributeError) as error:
            reading.left_out.append(f"{label}: {error if isinstance(error, ValueError) else 'it cannot be read'}")
            continue
        route.name = name_of(str(operation.get("operationId") or f"{method}{path}"), taken)
        reading.routes.append(route)
        if len(reading.routes) > OPERATIONS_MAX:
            raise OpenApiError(f"over {OPERATIONS_MAX} operations")
    return reading


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, written in _mapping(document.get("paths")).items():
        item = resolve(document, written)
        for method in METHODS:
            if isinstance(item, dict) and isinstance(item.get(method), dict):
                yield path, method, item


class _Reader:
    def __init__(self, document: dict[str, Any], is_3_0: bool, loose: bool) -> None:
        self._document = document
        self._is_3_0, self._loose = is_3_0, loose

    def route(self, path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any]) -> RouteDraft:
        """Read one operation; raise ValueError that says why it cannot be a route."""
        full = self._base(item, operation) + path
        Pattern.parse(full)
        route = RouteDraft(name="", method=method.upper(), path=full)
        summary = operation.get("summary")
        route.notes = [summary] if isinstance(summary, str) else []
        self._read_parameters(route, item, operation)
        if "requestBody" in operation:
            self._read_body(route, resolve(self._document, operation["requestBody"]))
        return route

    def _base(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
        servers = operation.get("servers") or item.get("servers") or self._document.get("servers") or [{"url": "/"}]
        url = servers[0]["url"]
        return "" if "{" in url else urlsplit(url).path.rstrip("/")

    def _read_parameters(self, route: RouteDraft, item: Mapping[str, Any], operation: Mapping[str, Any]) -> None:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for written in (*item.get("parameters", ()), *operation.get("parameters", ())):
            parameter = resolve(self._document, written)
            found[parameter["in"], parameter["name"]] = parameter
        translator = Translator(self._document, is_3_0=self._is_3_0, loose=self._loose)
        parts: dict[str, dict[str, Any]] = {}
        headers = []
        for (where, name), parameter in found.items():
            if where in ("path", "query"):
                part = parts.setdefault(where, {"type": "object", "properties": {}, "additionalProperties": False})
                part["properties"][name] = _held(translator, name, parameter)
                if parameter.get("required") or where == "path":
                    part.setdefault("required", []).append(name)
            elif where == "header" and name.lower() not in UNSAID:
                headers.append(name.lower())
            elif where == "cookie":
                route.notes.append(f"The cookie {name} never reaches the upstream.")
        route.headers = tuple(sorted(headers))
        if headers:
            route.notes.append("Header fields pass as they are; they are not held against their schemas.")
        if parts:
            schema = {"type": "object", "properties": parts}
            route.parameters = {**schema, "$defs": translator.definitions} if translator.definitions else schema

    def _read_body(self, route: RouteDraft, body: Mapping[str, Any]) -> None:
        content = body["content"]
        types = [name for name in content if name.partition(";")[0].strip().lower() == JSON]
        if not types:
            raise OpenApiError(f"its body is {' or '.join(content)}, which needs a preset of its own")
        if len(content) > 1:
            route.notes.append(f"Of its body's types, {JSON} alone is taken.")
        translator = Translator(self._document, is_3_0=self._is_3_0, loose=self._loose)
        schema = translator.translate(content[types[0]].get("schema", True))
        if not body.get("required"):
            schema = {"anyOf": [schema, {"type": "null"}]}  # a body that is not there
        definitions = {"$defs": translator.definitions} if translator.definitions else {}
        route.body = {"allOf": [schema], **definitions} if isinstance(schema, bool) else {**schema, **definitions}


def _held(translator: Translator, name: str, parameter: Mapping[str, Any]) -> Any:
    """Return the schema of a parameter; raise OpenApiError where its texts are not read as the gateway reads them."""
    if "schema" not in parameter:
        raise OpenApiError(f"the parameter {name} is described by its content")
    schema = translator.translate(parameter["schema"])
    usual = "form" if parameter["in"] == "query" else "simple"
    kinds = translator.types_of(schema)
    if kinds & {"object"}:
        raise OpenApiError(f"the parameter {name} is an object")
    if "array" in kinds and (parameter["in"] == "path" or parameter.get("explode") is False):
        raise OpenApiError(f"the parameter {name} is a list in one text")
    if parameter.get("style", usual) != usual:
        raise OpenApiError(f"the parameter {name} is of style {parameter['style']}")
    return translator.without_null(schema)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
