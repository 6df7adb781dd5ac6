"""Paths to fields of a document: `confidence`, `choices.*.logprobs`, `outputs.name=logits.data`.

`*` is every item or every member; `name=value` is every item (or the object itself) whose member `name` has that value.
Names and values are compared without regard to case: a client that ignores case would read `Logits` as `logits`.
"""

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
    if isinstance(document, dict):
        yield from _members(document, path)
    elif isinstance(document, list):
        yield from _items(document, path)


def _members(document: dict[str, Any], path: Path) -> Iterator[tuple[Any, Any]]:
    name, rest = path[0], path[1:]
    if "=" in name:  # the object itself is meant, and it is not taken out of itself
        if rest and is_chosen(document, name):
            yield from places(document, rest)
        return
    for key in list(document) if name == "*" else spellings(document, name):
        if rest:
            yield from places(document[key], rest)
        else:
            yield document, key


def _items(document: list[Any], path: Path) -> Iterator[tuple[Any, Any]]:
    name, rest = path[0], path[1:]
    if name != "*" and "=" not in name:
        for item in document:
            if isinstance(item, (dict, list)):  # a list of a hundred thousand numbers costs little
                yield from places(item, path)
        return
    for index, item in enumerate(document):
        if name != "*" and not is_chosen(item, name):
            continue
        if rest:
            yield from places(item, rest)
        else:
            yield document, index


def spellings(document: dict[str, Any], name: str) -> list[str]:
    """Return the keys of `document` that are `name` in any case."""
    folded = name.casefold()
    return [key for key in document if key == name or key.casefold() == folded]


def is_chosen(item: Any, segment: str) -> bool:
    """Say whether `item` is an object whose member has the value that `segment`, a `name=value`, asks for."""
    name, equals, wanted = segment.partition("=")
    if not equals or not isinstance(item, dict):
        return False
    values = [item[key] for key in spellings(item, name)]
    return any(isinstance(value, str) and value.casefold() == wanted.casefold() for value in values)


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
