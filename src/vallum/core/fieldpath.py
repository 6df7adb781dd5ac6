"""Paths to fields of a document: `confidence`, `choices.*.logprobs`, `outputs.name=logits.data`.

`*` is every item or every member; `name=value` is every item (or the object itself) whose member `name` has that value.
Names and values are compared without regard to case: a client that ignores case would read `Logits` as `logits`.
"""

from __future__ import annotations

from typing import Any

from vallum.core.content import escape_pointer

Path = tuple[str, ...]


def parse_path(text: str) -> Path:
    """Split a dotted path; raise ValueError on an empty segment."""
    path = tuple(text.split("."))
    if not all(path):
        raise ValueError("a field path is names joined by dots, such as choices.*.logprobs")
    return path


def places(document: Any, path: Path) -> list[tuple[Any, Any]]:
    """Return the container and the key or index of every value that `path` names.

    A list met where a name is wanted is looked through item by item, so a path holds for one answer and for a batch.
    """
    found: list[tuple[Any, Any]] = []
    _find(found, document, path, 0)
    return found


def _find(found: list[tuple[Any, Any]], item: Any, path: Path, at: int) -> None:
    """Add what the rest of `path`, from segment `at` on, names in `item`."""
    if isinstance(item, dict):
        _find_members(found, item, path, at)
    elif isinstance(item, list):
        _find_items(found, item, path, at)


def _find_members(found: list[tuple[Any, Any]], document: dict[str, Any], path: Path, at: int) -> None:
    name, last = path[at], at + 1 == len(path)
    if "=" in name:  # the object itself is meant, and it is not taken out of itself
        if not last and is_chosen(document, name):
            _find(found, document, path, at + 1)
        return
    for key in list(document) if name == "*" else spellings(document, name):
        if last:
            found.append((document, key))
        else:
            _find(found, document[key], path, at + 1)


def _find_items(found: list[tuple[Any, Any]], document: list[Any], path: Path, at: int) -> None:
    name, last = path[at], at + 1 == len(path)
    if name != "*" and "=" not in name:
        for item in document:
            if isinstance(item, (dict, list)):  # a list of a hundred thousand numbers costs little
                _find(found, item, path, at)
        return
    for index, item in enumerate(document):
        if name != "*" and not is_chosen(item, name):
            continue
        if last:
            found.append((document, index))
        else:
            _find(found, item, path, at + 1)


def put(container: Any, key: Any, value: Any) -> None:
    """Put `value` in the place of what stands at `key`; None takes the member of an object away."""
    if value is None and isinstance(container, dict):
        del container[key]
    else:
        container[key] = value


def spellings(document: dict[str, Any], name: str) -> list[str]:
    """Return the keys of `document` that are `name` in any case."""
    folded = name.casefold()
    size = len(folded)  # of ASCII, case changes no length
    return [key for key in document if (len(key) == size or not key.isascii()) and key.casefold() == folded]


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
