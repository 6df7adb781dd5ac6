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


def holders(document: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Yield every object that has the last name of `path` as a member.

    A list met where a name is wanted is looked through item by item, so a path holds for one answer and for a batch.
    """
    if isinstance(document, list):
        rest = path[1:] if path[0] == "*" else path
        for item in document:
            if rest:
                yield from holders(item, rest)
    elif isinstance(document, dict):
        name, rest = path[0], path[1:]
        if not rest:
            if name == "*" or name in document:
                yield document
        elif name == "*":
            for value in document.values():
                yield from holders(value, rest)
        elif name in document:
            yield from holders(document[name], rest)
