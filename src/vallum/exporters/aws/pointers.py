"""Where a body may hold texts, as a closed JSON Schema tells: what AWS WAF must be told one by one.

AWS WAF takes a list of JSON pointers without wildcards, and none that are left out.  What a policy says in either way
is said to it exactly where a schema names every place; everywhere else all of the body has to be looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_PLACES = 100
MOST_LEVELS = 12
LONGEST_POINTER = 512


class _OpenError(Exception):
    """The schema does not name every place."""


def text_places(schema: Any, root: str = "") -> list[str] | None:
    """Return the pointers of all values that may be a text; None where the schema leaves some open."""
    places: list[str] = []
    try:
        for place in _places(schema, root, MOST_LEVELS):
            places.append(place)
            if len(places) > MOST_PLACES:
                return None
    except _OpenError:
        return None
    return places


def chosen(places: Iterable[str], include: list[str], exclude: list[str]) -> list[str]:
    """Return the places that a rule looks at: what is included with all below it, less what is excluded itself."""
    return [
        place
        for place in places
        if (not include or any(_covers(pointer.removesuffix("/**"), place) for pointer in include))
        and not any(_excludes(pointer, place) for pointer in exclude)
    ]


def _excludes(pointer: str, place: str) -> bool:
    if pointer.endswith("/**"):
        return _covers(pointer.removesuffix("/**"), place)
    return _covers(pointer, place) and pointer.count("/") == place.count("/")


def _covers(pointer: str, place: str) -> bool:
    """Say whether a pointer, `*` for any item or member, names a place or what it stands in."""
    wanted, parts = pointer.split("/"), place.split("/")
    return len(wanted) <= len(parts) and all(want in ("*", part) for want, part in zip(wanted, parts, strict=False))


def step(name: str) -> str:
    """Return one step of a pointer (RFC 6901 3)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _places(schema: Any, place: str, levels: int) -> Iterator[str]:
    if not isinstance(schema, dict) or not levels or len(place) > LONGEST_POINTER:
        raise _OpenError
    if {"$ref", "allOf", "anyOf", "oneOf", "not", "if", "patternProperties", "$dynamicRef"} & schema.keys():
        raise _OpenError
    kinds = _kinds(schema)
    if "string" in kinds:
        yield place
    if "object" in kinds:
        if schema.get("additionalProperties") is not False:
            raise _OpenError
        for name, member in schema.get("properties", {}).items():
            yield from _places(member, place + step(name), levels - 1)
    if "array" in kinds:
        most, items = schema.get("maxItems"), schema.get("items")
        if not isinstance(items, dict) or "prefixItems" in schema:
            raise _OpenError
        if _kinds(items) & {"string", "object", "array"}:
            if not isinstance(most, int) or most > MOST_PLACES:
                raise _OpenError
            for index in range(most):
                yield from _places(items, f"{place}/{index}", levels - 1)


def _kinds(schema: dict[str, Any]) -> set[str]:
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if values:  # one of these, none of which is the caller's to write
        return set()
    named = schema.get("type")
    if named is None:
        raise _OpenError
    return {named} if isinstance(named, str) else set(named)
