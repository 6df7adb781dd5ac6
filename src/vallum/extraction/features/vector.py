"""Vectors, tensors, and pictures given as numbers: any nesting of lists, or an array, -> one line of numbers.

Bounds: at most `NUMBERS_MAX` numbers are looked at.  Of a longer input every so-many-th is, along each axis, so that a
large picture is looked at as a small one.

Misses: what differs only between the numbers that are looked at.
"""

from __future__ import annotations

import struct
from itertools import chain, islice
from math import nan
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from vallum.extraction.reference import LARGEST, NUMBERS_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH_MAX = 6  # lists inside one another that are told apart
WORD_MAX_CHARS = 256  # of a word among numbers that are looked at

_LARGEST, _LEAST = np.array(LARGEST), np.array(-LARGEST)


def read_numbers(value: Any) -> NDArray[np.float64] | None:
    """Return the numbers of `value`, bounded, a gap as NaN; None where there are none.  Never raises."""
    line = _line(value)
    if line is None or not line.size:
        return None
    bounded: NDArray[np.float64] = np.minimum(line, _LARGEST)  # half the time of np.clip; a gap stays one
    np.maximum(bounded, _LEAST, out=bounded)
    return bounded


def stretch(line: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return `columns` numbers of a line of any length, evenly spread over it."""
    if len(line) == columns:
        return line
    return line[np.linspace(0, len(line) - 1, columns).astype(np.intp)]


def _line(value: Any) -> NDArray[np.float64] | None:
    if type(value) is list:
        flat = value
        if value and (type(value[0]) is list or len(value) > NUMBERS_MAX):
            flat = list(chain.from_iterable(value)) if _is_grid(value) else _flatten(value)
        try:
            return np.frombuffer(struct.pack(f"{len(flat)}d", *flat))  # half the time of np.array
        except struct.error:  # not all are numbers
            return _read_mixed(flat, value)
    if isinstance(value, np.ndarray):
        return _read_array(value)
    if isinstance(value, int | float):
        return np.array([number(value)])
    return None


def _is_grid(value: list[Any]) -> bool:
    """Say whether a list holds lists of one length, and all together no more than is looked at."""
    width = len(value[0]) if type(value[0]) is list else 0
    if not 0 < width * len(value) <= NUMBERS_MAX or type(value[0][0]) is list:
        return False
    return set(map(type, value)) == {list} and set(map(len, value)) == {width}


def _flatten(value: list[Any]) -> list[Any]:
    """Return the leaves of nested lists in order, or an even sample of them; as deep as the first leaf lies."""
    steps = _steps(value)
    level = value[:: steps[0]]
    for step in steps[1:]:
        parts: Any = level[:NUMBERS_MAX]
        if step > 1 or set(map(type, parts)) != {list}:
            parts = [part[::step] if type(part) is list else (part,) for part in parts]
        level = list(islice(chain.from_iterable(parts), 2 * NUMBERS_MAX))
    return level[:NUMBERS_MAX]


def _steps(value: list[Any]) -> list[int]:
    """Say which of an axis' items are looked at, axis by axis: the longest are thinned out first."""
    sizes: list[int] = []
    part: Any = value
    while type(part) is list and part and len(sizes) < DEPTH_MAX:
        sizes.append(len(part))
        part = part[0]
    return _thin(sizes)


def _thin(sizes: list[int]) -> list[int]:
    steps = [1] * len(sizes)
    left = list(sizes)
    while _product(left) > NUMBERS_MAX:
        axis = left.index(max(left))
        steps[axis] += 1
        left[axis] = -(-sizes[axis] // steps[axis])
        if left[axis] > 2 * NUMBERS_MAX:  # no use in going there one by one
            steps[axis] = sizes[axis] // NUMBERS_MAX
    return steps


def _product(sizes: list[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _read_array(array: NDArray[Any]) -> NDArray[np.float64] | None:
    if array.dtype.kind not in "biuf" or not array.ndim:
        return None
    steps = _thin(list(array.shape[:DEPTH_MAX]))
    with np.errstate(all="ignore"):
        return array[tuple([slice(None, None, step) for step in steps])].astype(np.float64).reshape(-1)[:NUMBERS_MAX]


def _read_mixed(flat: list[Any], value: list[Any]) -> NDArray[np.float64]:
    """Read what has gaps, numbers as words, or lists among its leaves."""
    try:
        return np.array(flat, np.float64).reshape(-1)[:NUMBERS_MAX]
    except (ValueError, TypeError, OverflowError):  # ragged, words, integers of a thousand digits
        return _read_slowly(_flatten(value))


def _read_slowly(flat: list[Any]) -> NDArray[np.float64]:
    """Read leaf by leaf what is no list of numbers."""
    return np.array([number(leaf) for leaf in flat[:NUMBERS_MAX]], np.float64)


def number(leaf: Any) -> float:
    """Return a number for anything: a word's hash, within -1 and 1; NaN for a gap, and for what is no value."""
    if isinstance(leaf, int | float):
        try:
            return float(leaf)
        except OverflowError:
            return LARGEST if leaf > 0 else -LARGEST
    if isinstance(leaf, str):
        return crc32(leaf[:WORD_MAX_CHARS].encode("utf-8", "surrogatepass")) / 2**31 - 1
    return nan
