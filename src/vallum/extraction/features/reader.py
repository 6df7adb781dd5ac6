"""All features of one route's queries, by what an input is: numbers, a file, a row, a text.

An input of another length than the reference's is looked at as if it had that length, and half of its row says what
length it has: who sends what nobody else sends is seen by that alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.extraction.chance import draw_signs
from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.features.answer import histogram
from vallum.extraction.features.vector import read_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats
    from vallum.extraction.reference import Scale


class Vectors:
    """Features of inputs that are numbers."""

    def __init__(self, scale: Scale) -> None:
        """Place inputs on `scale`."""
        self._scale = scale

    def read(self, inputs: tuple[Any, ...], answer: Any) -> Floats | None:
        """Return a row for each input that has numbers; each of length 1, and the answer's histogram beside it."""
        lines = [line for line in map(read_numbers, inputs) if line is not None]
        if not lines:
            return None
        rows = np.empty((len(lines), WIDTH), np.float32)
        rows[:, :FEATURES] = self._place(lines)
        rows[:, FEATURES:] = histogram(answer, self._scale.edges)
        return rows

    def _place(self, lines: list[NDArray[np.float64]]) -> Floats:
        columns = self._scale.columns
        if len(lines) == 1 and len(lines[0]) == columns:
            return self._scale.place(lines[0].reshape(1, -1))
        features = self._scale.place(np.array([_stretch(line, columns) for line in lines]))
        for row, line in zip(features, lines, strict=True):
            if len(line) != columns:
                row += _unlike(self._scale.secret, len(line))
                row /= 2
        return features


def _stretch(line: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return `columns` numbers of a line of any length, evenly spread over it."""
    if len(line) == columns:
        return line
    return line[np.linspace(0, len(line) - 1, columns).astype(np.intp)]


@lru_cache(maxsize=64)
def _unlike(secret: bytes, length: int) -> Floats:
    """Return a row of length 1 that says about how long an input is."""
    return draw_signs(secret, f"unlike: {length.bit_length()} bits", 1, FEATURES)[0] / np.float32(FEATURES**0.5)
