"""A text -> hashes of its words, their pairs, runs of its characters, and its skeleton: passes of numpy over bytes.

The skeleton is what a template leaves alike in all that is made from it: short words in their order.  Numbers, names
and long words, which the template's gaps are filled with, are each a mark, and marks of one kind in a row are one.

Every hash depends on a secret, so that nobody can look for words that fall together.
"""

from __future__ import annotations

from string import ascii_uppercase, digits
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vallum.extraction.chance import draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint32]

BYTES_MAX = 1 << 14
"""Longest text that is hashed."""
SHORT = 5  # bytes of a word that a skeleton keeps
RUN = 4  # bytes in a run of characters
SHINGLE = 4  # words of a skeleton in a row

_SPACE = 32
_FOLD = bytes(
    {
        **dict.fromkeys(range(33), _SPACE),
        **{ord(letter): ord(letter.lower()) for letter in ascii_uppercase},
        **dict.fromkeys(digits.encode(), ord("0")),
    }.get(code, code)
    for code in range(256)
)
_IS_WORD = np.array([code >= 128 or chr(code).isalnum() for code in range(256)])
_IS_CAPITAL = np.array([chr(code) in ascii_uppercase for code in range(256)])
_NUMBER, _NAME, _LONG = (np.uint32(mark) for mark in (1, 2, 3))
_SHIFT, _SHIFT_AGAIN = np.uint32(15), np.uint32(13)
_PAIR, _RUN, _SPREAD = np.uint32(0x27D4EB2F), np.uint32(0x01000193), np.uint32(0x9E3779B1)


class Words(NamedTuple):
    """What a text consists of."""

    words: Hashes
    pairs: Hashes
    runs: Hashes
    skeleton: Hashes  # of so many of its words in a row


class Hasher:
    """Hashes texts in the way that one secret has it."""

    def __init__(self, secret: bytes) -> None:
        """Draw the multipliers; odd ones only rearrange the numbers of 32 bits."""
        self._base, self._mixer, self._other = draw(secret, "words of texts", 3) | np.uint32(1)
        self._powers = _powers(int(self._base))
        self._inverse = _powers(pow(int(self._base), -1, 1 << 32))

    def hash(self, text: bytes) -> Words:
        """Return the hashes of a text in UTF-8, of which `BYTES_MAX` bytes are looked at."""
        raw = np.frombuffer(b" %b " % text[:BYTES_MAX], np.uint8)
        data = np.frombuffer(raw.tobytes().translate(_FOLD), np.uint8)
        edges = np.flatnonzero(np.diff(_IS_WORD[data]))
        starts, ends = edges[::2] + 1, edges[1::2] + 1
        words = self._hash_words(data, starts, ends)
        pairs = words[:-1] * _PAIR + words[1:]
        runs = self._hash_runs(data)
        skeleton = self._hash_skeleton(words, ends - starts, raw[starts], data[starts])
        mixed = self._mix(np.concatenate((pairs, runs, skeleton)))  # at once: the calls take longer than the work
        two = len(pairs) + len(runs)
        return Words(words, mixed[: len(pairs)], mixed[len(pairs) : two], mixed[two:])

    def _hash_words(self, data: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Hashes:
        # The sum of byte times power up to each place; a word is a difference, brought back to power zero.
        sums = np.cumsum(data * self._powers[: len(data)], dtype=np.uint32)
        return self._mix((sums[ends - 1] - sums[starts - 1]) * self._inverse[starts])

    @staticmethod
    def _hash_runs(data: NDArray[np.uint8]) -> Hashes:
        run = codes = data.astype(np.uint32)
        for place in range(1, RUN):
            run = run[:-1] * _RUN + codes[place:]
        return run

    @staticmethod
    def _hash_skeleton(
        words: Hashes, lengths: NDArray[np.intp], first: NDArray[np.uint8], folded: NDArray[np.uint8]
    ) -> Hashes:
        kept = np.where(lengths > SHORT, _LONG, words)
        kept[_IS_CAPITAL[first]] = _NAME
        kept[folded == ord("0")] = _NUMBER
        news = np.ones(len(kept), np.bool_)
        news[1:] = (kept[1:] != kept[:-1]) | (kept[1:] > _LONG)
        run = kept = kept[news]
        for place in range(1, SHINGLE):
            run = run[:-1] * _SPREAD + kept[place:]
        return run

    def _mix(self, hashes: Hashes) -> Hashes:
        """Let every bit of a number, and of the secret, have a say in the upper ones of the result."""
        hashes = hashes * self._mixer
        hashes ^= hashes >> _SHIFT
        hashes *= self._other
        hashes ^= hashes >> _SHIFT_AGAIN
        hashes *= _SPREAD
        return hashes


def _powers(base: int) -> Hashes:
    powers = np.full(BYTES_MAX + 2, base, dtype=np.uint32)
    powers[0] = 1
    return np.multiply.accumulate(powers, dtype=np.uint32)
