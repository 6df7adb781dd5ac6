"""Rows of a table, as lists or as objects, of numbers, words and gaps -> one line of numbers.

A number goes to its column's place, on a scale of logarithms (age and income alike); a word to places that hang on the
column and the word; a gap leaves its column in the middle and has a place of its own.  No column need be declared.

Misses: rows of over 256 columns share places, and objects' members may, where their names' hashes agree.
"""

from __future__ import annotations

from itertools import islice
from math import copysign, log1p, nan
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from vallum.extraction.features.vector import number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

COLUMNS = 256  # places of numbers
WORDS = 64  # places of words and gaps
CELLS_MAX = 1024  # of a row that are looked at
CHARS_MAX = 256  # of a word, or of a column's name


def read_row(row: Any) -> NDArray[np.float64] | None:
    """Return a line of COLUMNS and WORDS; None for what is no row, or an empty one.  Never raises."""
    cells: Iterable[tuple[Any, Any]]
    if isinstance(row, dict):
        cells = row.items()
    elif isinstance(row, list | tuple):
        cells = enumerate(row)
    else:
        return None
    line = [0.0] * (COLUMNS + WORDS)
    for column, cell in islice(cells, CELLS_MAX):
        place = column if type(column) is int else _hash(str(column))
        if isinstance(cell, int | float) and cell == cell:  # noqa: PLR0124  not a NaN; isnan fails on huge integers
            line[place % COLUMNS] += _compress(cell)
            continue
        if not isinstance(cell, str):
            line[place % COLUMNS] = nan
        code = _hash(f"{column}={cell if isinstance(cell, str) else '?'}")
        line[COLUMNS + code % WORDS] += 1.0 if code & 0x8000_0000 else -1.0
    return np.array(line) if row else None


def _compress(cell: float) -> float:
    value = number(cell)
    return copysign(log1p(abs(value)), value)


def _hash(word: str) -> int:
    return crc32(word[:CHARS_MAX].encode("utf-8", "surrogatepass"))
