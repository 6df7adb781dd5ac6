"""The features of the linear model: hashed runs of characters and of words.

Everything is arithmetic on whole arrays of bytes, so that a text costs a few passes of numpy whatever it says.  The
trainer hashes with these very functions: what was learnt is what is asked.
"""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vallum.checks.prompt_injection.kinds import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 19
"""The table of weights has 2**BITS slots."""

MOST_BYTES = 1 << 15
"""Longest stretch that is hashed at once."""

LONG = 2000
"""Bytes from which on arithmetic removes spaces faster than splitting does."""

_SPACE = 32
_FOLD = bytes(
    {
        **dict.fromkeys(range(33), _SPACE),
        **dict(zip(ascii_uppercase.encode(), ascii_lowercase.encode(), strict=True)),
        **dict.fromkeys(digits.encode(), ord("0")),
    }.get(code, code)
    for code in range(256)
)
IS_WORD = bytes(code >= 128 or chr(code).isalnum() for code in range(256))

# Odd, so that multiplication only rearranges the 32-bit numbers and every power has an inverse.
_BASE = np.uint32(0x01000193)
_SPREAD = np.uint32(0x9E3779B1)
_BASE_2 = np.uint32(0x01000193**2 % (1 << 32))
_SALT4, _SALT5 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_PAIR, _TRIPLE, _SKIP = np.uint32(0x27D4EB2F), np.uint32(0x165667B1), np.uint32(0x5BD1E995)
_MIX = np.uint32(15)
_SHIFT = np.uint32(32 - BITS)
_KIND_BITS = 18
_KIND_SHIFT = np.uint32(32 - _KIND_BITS)
_KIND_SALT = np.uint32(0x7FEB352D)
_FAR = np.uint32(1 << 8)
_SKIPPED = (1, 2, 2)  # words fewer than there are, of pairs, threes and pairs apart
_NEAR = 3  # words from one of a known kind to the next


def _powers(base: int) -> NDArray[np.uint32]:
    powers = np.full(MOST_BYTES + 1, base, dtype=np.uint32)
    powers[0] = 1
    return np.multiply.accumulate(powers, dtype=np.uint32)


_POWERS = _powers(int(_BASE))
_INVERSE = _powers(pow(int(_BASE), -1, 1 << 32))


class Grams(NamedTuple):
    """All features of a stretch: runs of four bytes from each byte on, then of five; words and their kin; kinds and theirs."""

    slots: NDArray[np.uint32]
    words: NDArray[np.intp]  # where each word starts
    kinds: NDArray[np.intp]  # where each word of a known kind starts

    def sum_by_place(self, values: NDArray[np.int8], size: int) -> NDArray[np.int32]:
        """Return the sum of `values`, one a feature, of the features that start at each of `size` bytes."""
        wide = values.astype(np.int32)  # once: to widen in every sum costs more
        sums = np.zeros(size, dtype=np.int32)
        sums[: size - 3] = wide[: size - 3]
        at = 2 * size - 7
        sums[: size - 4] += wide[size - 3 : at]
        for places in (self.words, self.kinds):
            count = len(places)
            if count:
                each = wide[at : at + count]
                at += count
                for skipped in _SKIPPED:
                    rest = count - skipped
                    if rest > 0:
                        each[:rest] += wide[at : at + rest]
                        at += rest
                sums[places] += each
        return sums


def fold(text: str) -> bytes:
    """Return the text as bytes: small letters, digits alike, single spaces, and a space at either end."""
    if not text.isascii():
        text = text.lower()
    raw = b" %b " % text.encode("utf-8", "replace").translate(_FOLD)
    if b"  " not in raw:
        return raw
    return _squeeze(raw) if len(raw) > LONG else b" %b " % b" ".join(raw.split())


def _squeeze(raw: bytes) -> bytes:
    """Return one space for several."""
    codes = np.frombuffer(raw, dtype=np.uint8)
    stays = codes != _SPACE
    stays[1:] |= stays[:-1]
    stays[0] = True
    return codes[stays].tobytes() if stays.sum() > 1 else b"  "


def hash_grams(data: NDArray[np.uint8]) -> Grams:
    """Return the features of at most MOST_BYTES of folded text, no less than five, with a space at either end."""
    size = len(data)
    codes = data.astype(np.uint32)
    is_word = np.frombuffer(data.tobytes().translate(IS_WORD), dtype=np.bool_)
    edges = (is_word[1:] != is_word[:-1]).nonzero()[0]  # the last byte before each word, and of it
    starts = edges[::2] + 1
    count = len(starts)
    slots = np.empty(2 * size - 7 + 8 * count, dtype=np.uint32)
    # Runs: the polynomial of n bytes is that of n - 1, times the base, plus the next byte.
    pairs = codes[:-1] * _BASE
    pairs += codes[1:]
    run = pairs[:-2] * _BASE_2
    run += pairs[2:]
    np.multiply(run, _SALT4, out=slots[: size - 3])
    run = run[:-1] * _BASE
    run += codes[4:]
    at = 2 * size - 7
    np.multiply(run, _SALT5, out=slots[size - 3 : at])
    words = _hash_words(codes, edges, starts)
    kinds = KIND_OF.take(words >> _KIND_SHIFT)
    known = kinds.nonzero()[0]
    at = _put_kin(words, slots, at)
    if len(known):
        at = _put_kin(_name_kinds(kinds.take(known), known), slots, at)
    slots = slots[:at]
    slots >>= _SHIFT
    return Grams(slots, starts, starts.take(known))


def _hash_words(codes: NDArray[np.uint32], edges: NDArray[np.intp], starts: NDArray[np.intp]) -> NDArray[np.uint32]:
    # The sum of byte times power up to each place; a word is a difference, brought back to power zero.
    sums = (codes * _POWERS[: len(codes)]).cumsum(dtype=np.uint32).take(edges)
    words: NDArray[np.uint32] = sums[1::2] - sums[::2]
    words *= _INVERSE.take(starts)
    words *= _SPREAD
    words ^= words >> _MIX
    return words


def _put_kin(words: NDArray[np.uint32], slots: NDArray[np.uint32], at: int) -> int:
    """Put into the slots, from one on, the words: one by one, in pairs, in threes, and in pairs with one left out.

    Return the slot after the last.  Slots are spread over the table first: sums of spread numbers are spread.
    """
    count = len(words)
    alone = np.multiply(words, _SPREAD, out=slots[at : at + count])
    at += count
    if count > 1:
        pairs = np.multiply(alone[:-1], _PAIR, out=slots[at : at + count - 1])
        pairs += alone[1:]
        at += count - 1
    if count > 2:
        count -= 2
        after = alone[2:]
        threes = np.multiply(pairs[:-1], _TRIPLE, out=slots[at : at + count])
        threes += after
        at += count
        apart = np.multiply(alone[:-2], _SKIP, out=slots[at : at + count])
        apart += after
        at += count
    return at


def _name_kinds(kinds: NDArray[np.uint8], places: NDArray[np.intp]) -> NDArray[np.uint32]:
    """Return a number for each kind; it tells as well whether much stands between a word and the known one before."""
    names = kinds.astype(np.uint32)
    names[1:] += (places[1:] - places[:-1] > _NEAR) * _FAR
    names *= _KIND_SALT
    names ^= names >> _MIX
    return names


def _mark_kinds() -> NDArray[np.uint8]:
    marks = np.zeros(1 << _KIND_BITS, dtype=np.uint8)
    for number, words in enumerate(KINDS.values(), 1):
        for word in words.split():
            codes = np.frombuffer(b" %b " % word.encode(), dtype=np.uint8).astype(np.uint32)
            marks[_hash_words(codes, np.array([0, len(codes) - 2]), np.array([1])) >> _KIND_SHIFT] = number
    return marks


KIND_OF = _mark_kinds()
