"""Cuts folded text into the pieces that the second tier knows: words, and the longest beginnings and rests of others.

Words whose inner letters were shuffled are put right first, by the vocabulary itself: cut as they stand, they are noise.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

from vallum.checks.prompt_injection.shuffled import sort_letters

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
MOST_CHARS = 40
"""Longest word that is cut; what is longer is no word, and unknown."""
SHORTEST = 4
"""Letters of a word that can be shuffled."""
FEWEST = 2
"""Shuffled words that are no accident: a single one is a misprint, or a name."""

_WORDS = re.compile(r"[^\W_㐀-鿿]+|[^\s]")


class WordPieces:
    """A vocabulary, with "##" before what only continues a word; pure and reentrant."""

    def __init__(self, vocabulary: Iterable[str], most: int) -> None:
        """Take the pieces, numbered as they come, and the most that a text is cut into."""
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._most = most
        self._shuffled: dict[bytes, int] = {}  # by the letters; of several words the first, which is the most frequent
        for piece, number in self._numbers.items():
            if _may_be_shuffled(piece):
                self._shuffled.setdefault(sort_letters(piece.encode()), number)

    def cut(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces."""
        if not text.isascii():
            text = "".join(letter for letter in normalize("NFD", text) if not combining(letter))
        words = [match[0] for match in islice(_WORDS.finditer(text), self._most)]
        rights = self._put_right(words)
        numbers = [self._numbers[FIRST]]
        for word in words:
            right = rights.get(word)
            numbers += self._cut_word(word) if right is None else [right]
            if len(numbers) >= self._most:
                break
        return [*numbers[: self._most - 1], self._numbers[LAST]]

    def _put_right(self, words: Iterable[str]) -> dict[str, int]:
        """Return what shuffled words stand for; nothing where there are not enough of them."""
        odd = {word for word in words if word not in self._numbers and _may_be_shuffled(word)}
        found = {word: self._shuffled[key] for word in odd if (key := sort_letters(word.encode())) in self._shuffled}
        return found if len(found) >= FEWEST else {}

    def _cut_word(self, word: str) -> list[int]:
        whole = self._numbers.get(word)
        if whole is not None:
            return [whole]
        numbers: list[int] = []
        start = 0
        while start < len(word) <= MOST_CHARS:
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(mark + word[start:end])
                if number is not None:
                    numbers.append(number)
                    start = end
                    break
            else:
                break
        return numbers if start == len(word) else [self._numbers[UNKNOWN]]


def _may_be_shuffled(word: str) -> bool:
    return SHORTEST <= len(word) <= MOST_CHARS and word.isascii() and word.isalpha()
