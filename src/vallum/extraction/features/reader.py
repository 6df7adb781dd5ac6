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
from typing import TYPE_CHECKING, Any, NamedTuple

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
    str: TEXT,
    Turn: TEXT,
    bytes: "image",
    tuple: "table",
    dict: "table",
    list: "vector",
    np.ndarray: "vector",
    int: "vector",
    float: "vector",
}
READERS: Mapping[str, Callable[[Any], Line | None]] = {"image": read_file, "table": read_row, "vector": read_numbers}


class Seen(NamedTuple):
    """One query, as it is compared with others."""

    rows: Floats  # (inputs, WIDTH)
    near: Floats | None  # (inputs, columns), standardised; None where not each input is one line of the first kind


class Vectors:
    """Features of inputs that are numbers, or can be read as such: of one kind."""

    def __init__(self, scale: Scale, kind: str = "vector") -> None:
        """Place inputs on `scale`."""
        self._scale = scale
        self._read = READERS[kind]

    def read(self, inputs: Sequence[Any], answer: Any) -> Floats | None:
        """Return a row for each input that has numbers."""
        seen = self.see(inputs, answer)
        return None if seen is None else seen.rows

    def see(self, inputs: Sequence[Any], answer: Any) -> Seen | None:
        """Return a row for each input that has numbers, and what it was made of; None where none has."""
        columns, is_each = self._scale.columns, True
        lines: list[Line] = []
        for value in inputs:
            if _is_batch(value, columns):
                is_each = False
                lines += [line for line in map(self._read, value[:BATCH_MAX]) if line is not None]
            elif (line := self._read(value)) is not None:
                lines.append(line)
        if not lines:
            return None
        alike = [stretch(line, columns) for line in lines]
        near = self._scale.standardise(alike[0].reshape(1, -1) if len(alike) == 1 else np.array(alike))
        rows: Floats = np.empty((len(lines), WIDTH), np.float32)
        self._scale.turn(near, rows[:, :FEATURES])
        for row, line in zip(rows, lines, strict=True):
            if len(line) != columns:
                row[:FEATURES] = (row[:FEATURES] + _unlike(self._scale.secret, len(line))) / 2
        rows[:, FEATURES:] = histogram(answer, self._scale.edges)
        return Seen(rows, near if is_each and len(lines) == len(inputs) else None)


class Features:
    """Features of inputs of any kind."""

    def __init__(self, scales: Mapping[str, Scale], text: Featuriser | None = None) -> None:
        """Place each kind on its scale, and texts by `text`; what has neither has no features."""
        numbers = {kind: Vectors(scale, kind) for kind, scale in scales.items()}
        self._readers: dict[str, Featuriser] = {**numbers}
        self._kind = next(iter(numbers), "")
        self._first = numbers.get(self._kind)
        if text is not None:
            self._readers[TEXT] = text

    def read(self, inputs: tuple[Any, ...], answer: Any) -> Floats | None:
        """Return the rows of all inputs, those of one kind together."""
        seen = self.see(inputs, answer)
        return None if seen is None else seen.rows

    def see(self, inputs: tuple[Any, ...], answer: Any) -> Seen | None:
        """Return the rows of all inputs, and what they were made of where all are of the first kind."""
        if self._first is not None and {KINDS.get(type(value)) for value in inputs} == {self._kind}:
            return self._first.see(inputs, answer)
        rows = self._read_apart(inputs, answer)
        return None if rows is None else Seen(rows, None)

    def _read_apart(self, inputs: tuple[Any, ...], answer: Any) -> Floats | None:
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
