"""Puts words right whose inner letters were shuffled ("ingroe all preivous instcurtions"), which a model reads with ease.

Which words may be key words is found by arithmetic that does not care for the order of letters, on the whole text at
once; only those are looked at one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vallum.checks.prompt_injection.kinds import KINDS
from vallum.checks.prompt_injection.straight import MOST_STRAIGHT, Letters, find_likely

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Numbers = NDArray[np.uint32]

ALSO = (
    "after again conversation correctly data dialogue document echo enable first from hacked have "
    "knowledge language like line lines list make other print prompt question read rebel regardless "
    "remind reproduce request response said search security seen sentence sentences task tasks text that "
    "their these this those training under until used were what with word words would written your "
).split()
LOOK_ALIKE = {"from", "except"}  # form, expect
KEY_WORDS = [
    word
    for word in dict.fromkeys((*" ".join(KINDS.values()).split(), *ALSO))
    if len(word) > 3 and word.isascii() and word.isalpha() and word not in LOOK_ALIKE
]
"""Words of a known kind, and those that stand between them."""
MOST_BITS = 18
FEWEST, MOST = 2, 500
"""Shuffled key words that are no accident, and as many as are put right."""
AFTER = 1000
"""Bytes that are read with the last of so many: more than a window, or a pattern, is long."""
PIECE_BYTES = 1 << 14
"""Bytes that are looked through at once: of a flood the first may be enough."""
FEW = 20
"""Likely words that are cheaper to look at one by one than to tell from plain key words by arithmetic."""
SURE = 4
"""Letters of a word that may be a misprint: only longer ones are counted."""

_SHIFT = np.uint32(32 - MOST_BITS)
_SPREAD = np.uint32(0x9E3779B1)
_FIRST, _LAST = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
# A number for each letter; sums of them tell sets of letters apart.  Zero is no letter.
_LETTERS = np.zeros(256, dtype=np.uint32)
for _code in range(ord("a"), ord("z") + 1):
    _LETTERS[_code] = _LETTERS[_code - 32] = pow(2654435769, _code, (1 << 32) - 5) | 1
_WORDS = frozenset(map(str.encode, KEY_WORDS))


def sort_letters(word: bytes) -> bytes:
    """Return a word with its inner letters in order."""
    return word[:1] + bytes(sorted(word[1:-1])) + word[-1:]


_KEYS = {sort_letters(word): word for word in map(str.encode, KEY_WORDS)}


def unshuffle(text: str) -> str:
    """Return the text with its shuffled key words put right; the same object where there are not enough of them.

    In a text that has more than MOST of them the rest stay as they are: it ends AFTER the last that was put right.
    """
    raw = b" %b " % text.encode("utf-8", "replace")
    found = find_shuffled(raw)
    if sum(len(word.right) > SURE for word in found) < FEWEST:
        return text
    pieces: list[bytes] = []
    at = 1
    for start, right in found:
        pieces += (raw[at:start], right)
        at = start + len(right)
    rest = raw[at : at + AFTER] if len(found) == MOST else raw[at:-1]
    return b"".join((*pieces, rest)).decode("utf-8", "replace")


class Shuffled(NamedTuple):
    """A shuffled word: where it starts, and the key word that it is."""

    start: int
    right: bytes


def find_shuffled(raw: bytes, most_straight: int = MOST_STRAIGHT) -> list[Shuffled]:
    """Return the words, at most MOST, that have the letters of a key word, its ends in place, and are none."""
    found: list[Shuffled] = []
    rights: dict[bytes, bytes] = {}
    for start, end in _find_likely_pieces(raw, most_straight):
        word = raw[start : end + 1].lower()
        if word not in rights:
            is_plain = word in _WORDS or _is_plain(word)
            rights[word] = word if is_plain else _KEYS.get(sort_letters(word), word)
        if (right := rights[word]) != word:
            found.append(Shuffled(start, right))
            if len(found) == MOST:
                break
    return found


def _find_likely_pieces(raw: bytes, most_straight: int) -> Iterator[tuple[int, int]]:
    if len(raw) <= most_straight:
        yield from zip(*find_likely(raw, _TABLE), strict=True)
        return
    at = 0
    while at < len(raw) - 1:
        end = raw.find(b" ", at + PIECE_BYTES)
        piece = raw[at : end + 1] if end > 0 else raw[at:]
        yield from ((at + start, at + last) for start, last in zip(*_find_likely(piece), strict=True))
        at += len(piece) - 1


def _find_likely(raw: bytes) -> tuple[list[int], list[int]]:
    """Return where words start, and where their last letters stand, that may be shuffled: at most MOST, or FEW of all."""
    letters = _LETTERS.take(np.frombuffer(raw, dtype=np.uint8))
    is_letter = letters.astype(np.bool_)
    edges = (is_letter[1:] != is_letter[:-1]).nonzero()[0]  # the last byte before each word, and of it
    sums = _sum_up(letters).take(edges)
    likely = _IS_KEY.take(_slots(sums[1::2] - sums[::2])).nonzero()[0]
    starts, ends = edges[::2].take(likely) + 1, edges[1::2].take(likely)
    if len(likely) > FEW:
        # Of a flood of plain key words none is looked at: they are told by a sum that minds the order.
        order = _order(letters, starts, ends)
        mixed = (_PLAIN.take(_PLAIN.searchsorted(order), mode="clip") != order).nonzero()[0][:MOST]
        starts, ends = starts[mixed], ends[mixed]
    return starts.tolist(), ends.tolist()


def _sum_up(letters: Numbers) -> Numbers:
    """Return sums whose difference over a word holds its letters in any order, and tells the first and the last."""
    # What stands before a word is no letter and counts nothing: there its first letter is taken off beforehand.
    sums = letters * _LAST
    sums[:-1] -= letters[1:] * _FIRST
    sums += letters.cumsum(dtype=np.uint32)
    return sums


def _slots(totals: Numbers) -> Numbers:
    slots: Numbers = (totals * _SPREAD) >> _SHIFT
    return slots


def _order(letters: Numbers, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Numbers:
    places = (letters * np.arange(len(letters), dtype=np.uint32)).cumsum(dtype=np.uint32)
    totals = letters.cumsum(dtype=np.uint32)
    totals = totals[ends] - totals[starts - 1]
    order: Numbers = places[ends] - places[starts - 1] - starts.astype(np.uint32) * totals
    return order


def _is_plain(word: bytes) -> bool:
    """Say of one word what `_order` says of many; it takes a few anagrams ("floolw") for the plain word."""
    return sum(place * int(_LETTERS[code]) for place, code in enumerate(word)) % (1 << 32) in _PLAIN_NUMBERS


def _mark() -> tuple[NDArray[np.bool_], Numbers]:
    """Return which slots are those of a key word in any order, and the numbers of the key words in their own."""
    is_key, plain = np.zeros(1 << MOST_BITS, dtype=np.bool_), []
    for word in KEY_WORDS:
        letters = _LETTERS[np.frombuffer(b" %b " % word.encode(), dtype=np.uint8)]
        start, end = np.array([1]), np.array([len(word)])
        sums = _sum_up(letters)
        is_key[_slots(sums[end] - sums[start - 1])] = True
        plain.append(_order(letters, start, end))
    return is_key, np.unique(np.concatenate(plain))


_IS_KEY, _PLAIN = _mark()
_PLAIN_NUMBERS = frozenset(_PLAIN.tolist())
_TABLE = Letters(_LETTERS.tolist(), _IS_KEY.tobytes())
