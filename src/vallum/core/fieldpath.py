"""Paths to fields of a document: `confidence`, `choices.*.logprobs`; `*` is every item or every member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.core.content import escape_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]


def parse_path(text: str) -> Path:
    """Split a dotted path; raise ValueError on an empty segment."""
    path = tuple(text.split("."))
    if not all(path):
        raise ValueError("a field path is names joined by dots, such as choices.*.logprobs")
    return path


def places(document: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the container and the key or index of every value that `path` names; list them before changing any.

    A list met where a name is wanted is looked through item by item, so a path holds for one answer and for a batch.
    """
    name, rest = path[0], path[1:]
    if isinstance(document, dict):
        keys = list(document) if name == "*" else [name] if name in document else []
        for key in keys:
            if rest:
                yield from places(document[key], rest)
            else:
                yield document, key
    elif isinstance(document, list):
        for index, item in enumerate(document):
            if name != "*":
                yield from places(item, path)
            elif rest:
                yield from places(item, rest)
            else:
                yield document, index


def find_pointer(document: Any, holder: Any, key: Any) -> str:
    """Return the JSON pointer (RFC 6901) of `key` in the container `holder`, which `document` holds; else empty.

    Walks the whole document: called after a finding, never before one.
    """
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        pointer, item = stack.pop()
        if item is holder:
            return f"{pointer}/{escape_pointer(str(key))}"
        if isinstance(item, dict):
            stack.extend((f"{pointer}/{escape_pointer(name)}", value) for name, value in item.items())
        elif isinstance(item, list):
            stack.extend((f"{pointer}/{index}", value) for index, value in enumerate(item))
    return ""
