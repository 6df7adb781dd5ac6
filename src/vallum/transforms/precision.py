"""Numbers with fewer digits, vectors with fewer components.

What it stops
    Solving for weights: an embedding to seven digits is a linear equation about the last layer, and the rank of many
    of them is its width (Carlini et al. 2024).  Rounding is deterministic: asking again and averaging gains nothing.
Config
    `response.precision.fields`: paths of numbers, or of lists of them.  `digits`: significant digits to keep.
    `dimensions`: how many components of a vector to keep, from the front.  A vector in base64 (32-bit floats, as
    OpenAI's SDKs ask for) is read and written again; any other string there is taken away.
Cost
    About 0.3 us a number.
Misses
    Many coarse answers still train a student.  A vector cut short is only as good as the model was trained for it.
Example
    response:
      precision: {fields: [data.embedding], digits: 3}
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from vallum.core.fieldpath import parse_path, places, put

if TYPE_CHECKING:
    from collections.abc import Iterable


class Precision:
    """Numbers to so many significant digits."""

    type: ClassVar[str] = "precision"

    def __init__(self, fields: Iterable[str], digits: int | None = None, dimensions: int | None = None) -> None:
        """Round what stands at `fields` to `digits`, and keep the first `dimensions` of each list of numbers."""
        if digits is None and dimensions is None:
            raise ValueError("give digits or dimensions")
        self._paths = [parse_path(field) for field in fields]
        self._form = None if digits is None else f".{digits - 1}e"
        self._dimensions = dimensions
        self._note = f"{', '.join(fields)} (coarsened)"

    def apply(self, document: Any, removed: set[str]) -> Any:
        """Return `document` with its numbers rounded; what stands there and is no number is removed."""
        for path in self._paths:
            for container, key in places(document, path):
                put(container, key, self._coarsen(container[key]))
                removed.add(self._note)
        return document

    def _coarsen(self, value: Any) -> Any:
        if isinstance(value, list):
            if self._dimensions is not None and not any(isinstance(inner, list) for inner in value):
                value = value[: self._dimensions]
            return [self._coarsen(inner) for inner in value]
        if isinstance(value, dict):
            return {key: self._coarsen(inner) for key, inner in value.items()}
        if isinstance(value, str):
            return self._vector(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return self._number(value)

    def _number(self, value: Any) -> float | None:  # compiled, a float has no room for every integer
        try:
            number = float(value)
        except OverflowError:
            return None
        if self._form is not None:
            number = float(format(number, self._form))
        return number if isfinite(number) else None  # rounding the highest number up leaves the range

    def _vector(self, text: str) -> str | None:
        try:
            floats = array("f", b64decode(text, validate=True))
        except ValueError:  # no base64, or half a float
            return None
        if sys.byteorder == "big":
            floats.byteswap()
        numbers = [self._number(number) or 0.0 for number in floats[: self._dimensions]]
        rounded = array("f", numbers)
        if sys.byteorder == "big":
            rounded.byteswap()
        return b64encode(rounded).decode()
