"""All features of one route's queries: each input by what it is, and the answer beside it.

    str, Turn      text, by a featuriser of its own
    bytes          image (or any other file)
    tuple, dict    table: a row
    list, array    vector; lists of as many numbers as the reference's inputs have are a batch of them

An input of another length than the reference's is looked at as if it had that length, and half of its row says what
length it has: who sends what nobody else sends is seen by that alone.

Every row of an input has at most the length 1, and with the answer's histogram at most 1.23.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.inputs import Turn
from vallum.extraction.chance import draw_signs
from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.features.answer import histogram
from vallum.extraction.features.image import read_file
from vallum.extraction.features.table import read_row
from vallum.extraction.features.vector import read_numbers, stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vallum.extraction.facts import Featuriser, Floats
    from vallum.extraction.reference import Scale

    Line = NDArray[np.float64]

BATCH_MAX = 256  # inputs in one list that are looked at
TEXT = "text"
KINDS: dict[type, str] = {
    str: TEXT, Turn: TEXT, bytes: "image", tuple: "table", dict: "table", list: "vector", np.ndarray: "vector",
    int: "vector", float: "vector",
}  # fmt: skip
READERS: Mapping[str, Callable[[Any], Line | None]] = {"image": read_file, "table": read_row, "vector": read_numbers}


class Vectors:
    """Features of inputs that are numbers, or can be read as such: of one kind."""

    def __init__(self, scale: Scale, kind: str = "vector") -> None:
        """Place inputs on `scale`."""
        self._scale = scale
        self._read = READERS[kind]

    def read(self, inputs: Sequence[Any], answer: Any) -> Floats | None:
        """Return a row for each input that has numbers."""
        lines: list[Line] = []
        for value in inputs:
            batch = value[:BATCH_MAX] if _is_batch(value, self._scale.columns) else (value,)
            lines += [line for line in map(self._read, batch) if line is not None]
        if not lines:
            return None
        rows: Floats = np.empty((len(lines), WIDTH), np.float32)
        rows[:, :FEATURES] = self._place(lines)
        rows[:, FEATURES:] = histogram(answer, self._scale.edges)
        return rows

    def _place(self, lines: list[Line]) -> Floats:
        columns = self._scale.columns
        if len(lines) == 1 and len(lines[0]) == columns:
            return self._scale.place(lines[0].reshape(1, -1))
        features = self._scale.place(np.array([stretch(line, columns) for line in lines]))
        for index, line in enumerate(lines):
            if len(line) != columns:
                features[index] = (features[index] + _unlike(self._scale.secret, len(line))) / 2
        return features


class Features:
    """Features of inputs of any kind."""

    def __init__(self, scales: Mapping[str, Scale], text: Featuriser | None = None) -> None:
        """Place each kind on its scale, and texts by `text`; what has neither has no features."""
        self._readers: dict[str, Featuriser] = {kind: Vectors(scale, kind) for kind, scale in scales.items()}
        if text is not None:
            self._readers[TEXT] = text

    def read(self, inputs: tuple[Any, ...], answer: Any) -> Floats | None:
        """Return the rows of all inputs, those of one kind together."""
        kinds: dict[str, list[Any]] = {}
        for value in inputs:
            kinds.setdefault(KINDS.get(type(value), ""), []).append(value)
        found = [self._readers[kind].read(tuple(some), answer) for kind, some in kinds.items() if kind in self._readers]
        rows = [part for part in found if part is not None]
        if len(rows) <= 1:
            return rows[0] if rows else None
        return np.concatenate(rows)


def _is_batch(value: Any, columns: int) -> bool:
    """Say whether a value is a list whose every item has as many numbers as an input."""
    if type(value) is not list or not value or type(value[0]) is not list:
        return False
    return all(type(item) is list and len(item) == columns for item in value[:BATCH_MAX])


@lru_cache(maxsize=64)
def _unlike(secret: bytes, length: int) -> Floats:
    """Return a row of length 1 that says about how long an input is."""
    row = draw_signs(secret, f"unlike: {length.bit_length()} bits", 1, FEATURES).reshape(FEATURES)
    row *= np.float32(FEATURES**-0.5)
    return row
