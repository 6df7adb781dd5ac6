"""Puts words right whose inner letters were shuffled ("ingroe all preivous instcurtions"), which a model reads with ease.

Which words may be key words is found by arithmetic that does not care for the order of letters, on the whole text at
once; only those are looked at one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY_WORDS = (
    "above access admin administrator after again agent allowed answer anything assistant authorized before behave beginning"
    " bypass character chatbot code command commands complete confidential configuration content context conversation"
    " credentials data debug default delete developer directions directive directives disable disclose display disregard"
    " document earlier email enable encode every everything exactly execute fictional filter filters first follow"
    " following forget forgot former from given guidelines hacked hidden hypothetical ignore immediately important initial"
    " initialization input instead instruction instructions internal language letter limitations list longer make message"
    " messages mode model must never obey only original other output override password persona play please policies policy"
    " pretend previous previously print prior programming prompt prompts provide question read rebel regardless remember"
    " repeat reply request respond response restrictions reveal roleplay rule rules safety said secret security send"
    " sentence show simulate speak spell start stop story summarize system task tell text that their these this those told"
    " token tasks training translate under unfiltered unlimited unrestricted until user verbatim what with without nothing sentences paste entire correctly knowledge search assume word words"
    " write written your"
).split()
MOST_BITS = 18
FEWEST = 2
"""Shuffled key words that are no accident."""
SURE = 4
"""Letters of a word that may be a misprint: only longer ones are counted."""

_SHIFT = np.uint32(32 - MOST_BITS)
_SPREAD = np.uint32(0x9E3779B1)
_FIRST, _LAST, _LENGTH = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35), np.uint32(0x27D4EB2F)
# A number for each letter; sums of them tell sets of letters apart.  Zero is no letter.
_LETTERS = np.zeros(256, dtype=np.uint32)
for _code in range(ord("a"), ord("z") + 1):
    _LETTERS[_code] = _LETTERS[_code - 32] = pow(2654435769, _code, (1 << 32) - 5) | 1
_KEYS = {word[:1] + bytes(sorted(word[1:-1])) + word[-1:]: word for word in map(str.encode, KEY_WORDS)}


def unshuffle(text: str) -> str:
    """Return the text with its shuffled key words put right; the same object where there are not enough of them."""
    raw = b" %b " % text.encode("utf-8", "replace")
    found = find_shuffled(raw)
    if sum(len(word.right) > SURE for word in found) < FEWEST:
        return text
    pieces: list[bytes] = []
    at = 1
    for start, right in found:
        pieces += (raw[at:start], right)
        at = start + len(right)
    return b"".join((*pieces, raw[at:-1])).decode("utf-8", "replace")


class Shuffled(NamedTuple):
    """A shuffled word: where it starts, and the key word that it is."""

    start: int
    right: bytes


def find_shuffled(raw: bytes) -> list[Shuffled]:
    """Return the words that have the letters of a key word, its ends in place, and are none."""
    letters = _LETTERS[np.frombuffer(raw, dtype=np.uint8)]
    edges = np.flatnonzero(np.diff(letters != 0))
    starts, ends = edges[::2] + 1, edges[1::2]
    sums = np.cumsum(letters, dtype=np.uint32)
    first, last = letters[starts], letters[ends]
    unordered = (sums[ends] - sums[starts - 1]) + first * _FIRST + last * _LAST
    slots = (unordered * _SPREAD) >> _SHIFT
    likely = np.flatnonzero(_IS_KEY[slots] & (ends - starts > 2))
    found = []
    for start, end in zip(starts[likely].tolist(), (ends[likely] + 1).tolist(), strict=True):
        word = raw[start:end].lower()
        right = _KEYS.get(word[:1] + bytes(sorted(word[1:-1])) + word[-1:], word)
        if right != word and word not in _PLAIN:
            found.append(Shuffled(start, right))
    return found


def _mark_keys() -> NDArray[np.bool_]:
    marks = np.zeros(1 << MOST_BITS, dtype=np.bool_)
    for word in KEY_WORDS:
        letters = _LETTERS[np.frombuffer(word.encode(), dtype=np.uint8)]
        total = np.sum(letters, dtype=np.uint32) + letters[:1] * _FIRST + letters[-1:] * _LAST
        marks[(total * _SPREAD) >> _SHIFT] = True
    return marks


_IS_KEY = _mark_keys()
_PLAIN = frozenset(word.encode() for word in KEY_WORDS)
