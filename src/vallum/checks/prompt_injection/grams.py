"""The features of the linear model: hashed runs of characters and of words.

Everything is arithmetic on whole arrays of bytes, so that a text costs a few passes of numpy whatever it says.  The
trainer hashes with these very functions: what was learnt is what is asked.
"""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 19
"""The table of weights has 2**BITS slots."""

MOST_BYTES = 1 << 15
"""Longest stretch that is hashed at once."""

_SPACE = 32
_FOLD = bytes(
    {
        **dict.fromkeys(range(33), _SPACE),
        **dict(zip(ascii_uppercase.encode(), ascii_lowercase.encode(), strict=True)),
        **dict.fromkeys(digits.encode(), ord("0")),
    }.get(code, code)
    for code in range(256)
)
_IS_WORD = np.array([code >= 128 or chr(code).isalnum() for code in range(256)])

# Odd, so that multiplication only rearranges the 32-bit numbers and every power has an inverse.
_BASE = np.uint32(0x01000193)
_SPREAD = np.uint32(0x9E3779B1)
_SALT4, _SALT5 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_PAIR, _TRIPLE, _SKIP = np.uint32(0x27D4EB2F), np.uint32(0x165667B1), np.uint32(0x5BD1E995)
_MIX = np.uint32(15)
_SHIFT = np.uint32(32 - BITS)


def _powers(base: int) -> NDArray[np.uint32]:
    powers = np.full(MOST_BYTES + 1, base, dtype=np.uint32)
    powers[0] = 1
    return np.multiply.accumulate(powers, dtype=np.uint32)


_POWERS = _powers(int(_BASE))
_INVERSE = _powers(pow(int(_BASE), -1, 1 << 32))


class Grams(NamedTuple):
    """All features of a stretch: first runs of four bytes from each byte on, then of five, then words and their kin."""

    slots: NDArray[np.uint32]
    words: NDArray[np.intp]  # where each word starts

    def sum_by_place(self, values: NDArray[np.int8], size: int) -> NDArray[np.int32]:
        """Return the sum of `values`, one a feature, of the features that start at each of `size` bytes."""
        sums = np.zeros(size, dtype=np.int32)
        at = 0
        for count in (size - 3, size - 4):
            sums[:count] += values[at : at + count]
            at += count
        for skipped in (0, 1, 2, 2):
            starts = self.words[: max(len(self.words) - skipped, 0)]
            sums[starts] += values[at : at + len(starts)]
            at += len(starts)
        return sums


def fold(text: str) -> bytes:
    """Return the text as bytes: small letters, digits alike, single spaces, and a space at either end."""
    if not text.isascii():
        text = text.lower()
    raw = b" %b " % text.encode("utf-8", "replace").translate(_FOLD)
    return b" %b " % b" ".join(raw.split()) if b"  " in raw else raw


def hash_grams(data: NDArray[np.uint8]) -> Grams:
    """Return the features of at most MOST_BYTES of folded text, no less than five, with a space at either end."""
    size = len(data)
    codes = data.astype(np.uint32)
    edges = np.flatnonzero(np.diff(_IS_WORD[data]))
    starts, ends = edges[::2] + 1, edges[1::2] + 1
    count = len(starts)
    slots = np.empty(2 * size - 7 + count + max(count - 1, 0) + 2 * max(count - 2, 0), dtype=np.uint32)
    # Runs: the polynomial of n bytes is that of n - 1, times the base, plus the next byte.
    run = codes[:-1] * _BASE
    run += codes[1:]
    run = run[:-1] * _BASE
    run += codes[2:]
    run = run[:-1] * _BASE
    run += codes[3:]
    np.multiply(run, _SALT4, out=slots[: size - 3])
    run = run[:-1] * _BASE
    run += codes[4:]
    at = 2 * size - 7
    np.multiply(run, _SALT5, out=slots[size - 3 : at])
    # Words: the sum of byte times power up to each place; a word is a difference, brought back to power zero.
    sums = np.cumsum(codes * _POWERS[:size], dtype=np.uint32)
    words = (sums[ends - 1] - sums[starts - 1]) * _INVERSE[starts]
    words *= _SPREAD
    words ^= words >> _MIX
    pairs = words[:-1] * _PAIR + words[1:]
    for hashes in (words, pairs, pairs[:-1] * _TRIPLE + words[2:], words[:-2] * _SKIP + words[2:]):
        np.multiply(hashes, _SPREAD, out=slots[at : at + len(hashes)])
        at += len(hashes)
    slots >>= _SHIFT
    return Grams(slots, starts)
