"""A text, or a conversation -> one row: what its last turn says, its template, its system prompt, and how it is put.

What is fed is text (a string), or the passages of a request.  The last turn of a conversation is its row: what was said
before was a row when it was said.  Texts that stand side by side (a list of prompts, of texts to embed) are a row each.

Nothing here is fitted: how rare a word is, is left to the whitening, which knows it of all accounts together.

Bounds: of a text longer than `CHARS_MAX`, the beginning, the end, and two stretches between are looked at, at places
that hang on the secret and on its length; of more than `TEXTS_MAX` texts, as many, evenly spread, each for a share of
that length.

Misses: what is said in files and pictures; what stands in a long text between the stretches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.content import Passage, Voice
from vallum.extraction.chance import draw, draw_signs
from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.features.answer import histogram
from vallum.extraction.features.manner import Manner
from vallum.extraction.features.words import Hasher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.extraction.facts import Floats
    from vallum.extraction.features.words import Hashes

CHARS_MAX = 2400
CHARS_LEAST = 256  # of each of many texts
STRETCHES = 4
TEXTS_MAX = 16
PASSAGES_MAX = 4096  # of a request
CONVERSATIONS = frozenset(("messages", "input", "contents"))  # members whose items are messages
# Columns of a row, and what each part weighs: its length, as the squares add up to 1.
TURN, SKELETON, SYSTEM, MANNER = slice(0, 68), slice(68, 80), slice(80, 88), slice(88, FEATURES)
TURN_WEIGHT, SKELETON_WEIGHT, SYSTEM_WEIGHT, MANNER_WEIGHT = (np.float32(part**0.5) for part in (0.5, 0.1, 0.1, 0.3))
SLOTS_BITS = 12
# Bins of how long the model spoke, in tokens.
EDGES = np.array((16, 48, 96, 192, 384, 768, 1536), np.float32)

_SHIFT = np.uint32(32 - SLOTS_BITS)


class Texts:
    """Features of inputs that are text."""

    def __init__(self, secret: bytes) -> None:
        """Hash in the way that `secret` has it."""
        self._hasher = Hasher(secret)
        self._manner = Manner(secret, MANNER.stop - MANNER.start)
        self._signs = draw_signs(secret, "slots of texts", 1 << SLOTS_BITS, 1)[:, 0]
        self._places = draw(secret, "stretches of texts", 64)

    def read(self, inputs: tuple[Any, ...], answer: Any) -> Floats | None:
        """Return a row for the conversation, or for each text; None where nothing is said.  Never raises."""
        pairs = list(_pair(inputs))
        if not pairs:
            return None
        if len(pairs) > TEXTS_MAX:
            pairs = [pairs[at] for at in np.linspace(0, len(pairs) - 1, TEXTS_MAX).astype(int).tolist()]
        most = max(CHARS_LEAST, CHARS_MAX // len(pairs))
        rows = np.zeros((len(pairs), WIDTH), np.float32)
        for row, (turn, system) in zip(rows, pairs, strict=True):
            self._fill(row, self._sample(turn, most), self._sample(system, most))
        rows[:, FEATURES:] = histogram(answer, EDGES)
        return rows

    def _fill(self, row: Floats, turn: bytes, system: bytes) -> None:
        words = self._hasher.hash(turn)
        row[TURN] = self._fold((words.words, words.pairs, words.runs), TURN, TURN_WEIGHT)
        row[SKELETON] = self._fold((words.skeleton,), SKELETON, SKELETON_WEIGHT)
        row[MANNER] = self._manner.place(turn, words) * MANNER_WEIGHT
        if system:
            words = self._hasher.hash(system)
            row[SYSTEM] = self._fold((words.words, words.pairs), SYSTEM, SYSTEM_WEIGHT)

    def _fold(self, hashes: tuple[Hashes, ...], columns: slice, weight: np.float32) -> Floats:
        """Count hashes in slots, and add the slots up, with their signs, to as many numbers as there are columns."""
        width = columns.stop - columns.start
        counts = np.bincount(np.concatenate(hashes) >> _SHIFT, minlength=1 << SLOTS_BITS).astype(np.float32)
        np.log1p(counts, out=counts)  # a word said ten times is not ten words
        counts *= self._signs
        whole = len(counts) // width * width
        folded: Floats = counts[:whole].reshape(-1, width).sum(axis=0)
        folded[: len(counts) - whole] += counts[whole:]
        length = np.sqrt(folded @ folded)
        return folded * (weight / length) if length else folded

    def _sample(self, text: str, most: int) -> bytes:
        """Return a text, or stretches of it, in UTF-8; what cannot be encoded is a question mark."""
        if len(text) > most:
            length = most // STRETCHES
            free = len(text) - STRETCHES * length
            some = self._places[(len(text) * 31 + np.arange(2)) % len(self._places)]
            middle = sorted(int(place) % (free + 1) for place in some)
            starts = (0, length + middle[0], 2 * length + middle[1], len(text) - length)
            text = " ".join(text[start : start + length] for start in starts)
        return text.encode("utf-8", "replace")


def _pair(inputs: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Yield what is said last, or each text that stands by itself, and the system prompt it is said under."""
    passages = [item for item in inputs[:PASSAGES_MAX] if isinstance(item, Passage)]
    system = "\n".join(passage.text for passage in passages if passage.voice is Voice.OPERATOR)
    said = [passage for passage in passages if passage.voice is Voice.USER]
    turns = [_message(passage.where) for passage in said]
    alone = [passage.text for passage, turn in zip(said, turns, strict=True) if turn is None]
    alone += [item for item in inputs[:PASSAGES_MAX] if isinstance(item, str)]
    last = next((turn for turn in reversed(turns) if turn is not None), None)
    if last is not None:
        alone.append("\n".join(passage.text for passage, turn in zip(said, turns, strict=True) if turn == last))
    for text in alone:
        if text and not text.isspace():
            yield text, system


def _message(where: str) -> str | None:
    """Return which message of a conversation a pointer leads into: `/messages/3`; None where it leads into none."""
    parts = where.split("/", 3)
    return f"/{parts[1]}/{parts[2]}" if len(parts) == 4 and parts[1] in CONVERSATIONS else None
