"""The model's inputs in a request's document, by the paths of the route's format or of its policy.

Kinds and what they come out as: text (str), image (bytes, or lists of numbers), vector (lists or arrays of numbers) and
table (tuples or objects).  A batch is as many inputs: the items of a list where the path ends in `*`, or the rows of a
tensor that lies flat beside its `shape`.

Bounds: `INPUTS_MAX` inputs of a request, taken evenly from all of them, and `CHARS_MAX` characters of a text.  Never
raises, whatever the document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pybase64

from vallum.core.content import Upload
from vallum.core.fieldpath import places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.fieldpath import Path

INPUTS_MAX = 256
CHARS_MAX = 65_536  # of one text
FILE_MAX_CHARS = 16_777_216  # of one file in base64
ADDRESSES = ("http://", "https://", "gs://", "s3://", "file://")  # of files that the gateway does not see


def find_inputs(document: Any, wanted: Iterable[tuple[Path, str]]) -> tuple[Any, ...]:
    """Return the inputs at the paths `wanted`, each with its kind; what two paths name is one input."""
    found: dict[int, Any] = {}  # by identity: the document outlives this call
    for path, kind in wanted:
        for container, value in _places(document, path):
            if id(value) in found:
                continue
            parts = _read(container, value, kind)
            if parts:
                found.pop(id(container), None)  # it was a batch
                found[id(value)] = parts
    inputs = [part for parts in found.values() for part in parts]
    return tuple(_some(inputs))


def _places(document: Any, path: Path) -> list[tuple[Any, Any]]:
    """Return what `path` names, with what it stands in; numbers side by side are one input, all that they stand in."""
    if path[-1] != "*":
        return [(container, container[key]) for container, key in places(document, path)]
    batches = [container[key] for container, key in places(document, path[:-1])] if path[:-1] else [document]
    found: list[tuple[Any, Any]] = []
    for batch in batches:
        items = list(batch.values()) if isinstance(batch, dict) else batch
        if not isinstance(items, list) or not items:
            found += [(None, batch)] if isinstance(batch, np.ndarray) else []
        elif all(isinstance(item, int | float) for item in items[:8]):
            found.append((None, items if items is batch else batch))
        else:
            found += [(batch, item) for item in _some(items)]
    return found


def _read(container: Any, value: Any, kind: str) -> tuple[Any, ...]:
    """Return the inputs that a value is: none where it is not of its kind."""
    if kind == "text":
        return (value[:CHARS_MAX],) if isinstance(value, str) else ()
    if kind == "table":
        return (tuple(value),) if isinstance(value, list) else (value,) if isinstance(value, dict) else ()
    if kind == "vector":
        return _read_vector(container, value)
    return _read_file(value)


def _read_vector(container: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return (list(value.values()),) if all(isinstance(item, int | float) for item in value.values()) else ()
    if isinstance(value, int | float):
        return (value,)
    if not isinstance(value, list | np.ndarray) or not len(value):
        return ()
    shape = container.get("shape") if isinstance(container, dict) else None
    rows = shape[0] if isinstance(shape, list) and len(shape) > 1 else 1
    if type(rows) is not int or not 1 < rows <= len(value) or len(value) % rows or isinstance(value[0], list):
        return (value,)
    width = len(value) // rows
    return tuple([value[at : at + width] for at in _some(range(0, len(value), width))])


def _read_file(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Upload):
        return (value.data,)
    if isinstance(value, bytes | list | np.ndarray):
        return (value,) if len(value) else ()
    if not isinstance(value, str) or value.startswith(ADDRESSES) or len(value) > FILE_MAX_CHARS:
        return ()
    data = value.partition(",")[2] if value[:5].lower() == "data:" else value
    try:
        return (pybase64.b64decode(data),) if data else ()
    except ValueError:
        return ()


def _some(items: Any) -> Any:
    """Return at most INPUTS_MAX of a sequence's items, evenly from all of it."""
    return items[:: -(-len(items) // INPUTS_MAX)] if len(items) > INPUTS_MAX else items
