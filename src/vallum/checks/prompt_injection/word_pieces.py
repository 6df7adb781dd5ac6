"""Cuts folded text into the pieces that the second tier knows: words, and the longest beginnings and rests of others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
MOST_CHARS = 40
"""Longest word that is cut; what is longer is no word, and unknown."""

_WORDS = re.compile(r"[^\W_㐀-鿿]+|[^\s]")


class WordPieces:
    """A vocabulary, with "##" before what only continues a word; pure and reentrant."""

    def __init__(self, vocabulary: Iterable[str], most: int) -> None:
        """Take the pieces, numbered as they come, and the most that a text is cut into."""
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._most = most

    def cut(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces."""
        if not text.isascii():
            text = "".join(letter for letter in normalize("NFD", text) if not combining(letter))
        numbers = [self._numbers[FIRST]]
        for match in _WORDS.finditer(text):
            numbers += self._cut_word(match[0])
            if len(numbers) >= self._most:
                break
        return [*numbers[: self._most - 1], self._numbers[LAST]]

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
