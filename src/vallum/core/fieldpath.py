"""Paths to fields of a document: `confidence`, `choices.*.logprobs`; `*` is every item or every member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
