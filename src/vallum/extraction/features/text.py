"""A text, or a conversation -> one row: what its last turn says, its template, its system prompt, and how it is put.

An input is a string, or the last turn of a conversation with its system prompt (`core.inputs.Turn`): what was said
before was a row when it was said.

Nothing here is fitted: how rare a word is, is left to the whitening, which knows it of all accounts together.

Bounds: of a text longer than `CHARS_MAX`, the beginning, the end, and two stretches between are looked at, at places
that hang on the secret and on its length; of more than `TEXTS_MAX` texts, as many, evenly spread, each for a share of
that length.

Misses: what is said in files and pictures; what stands in a long text between the stretches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vallum.core.inputs import Turn
from vallum.extraction.chance import draw, draw_signs
from vallum.extraction.facts import FEATURES, WIDTH
from vallum.extraction.features.answer import histogram
from vallum.extraction.features.manner import Manner
from vallum.extraction.features.words import Hasher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.extraction.facts import Floats
    from vallum.extraction.features.words import Hashes

VERSION = 1  # of all that a row hangs on
CHARS_MAX = 2400
CHARS_LEAST = 256  # of each of many texts
STRETCHES = 4
TEXTS_MAX = 16
INPUTS_MAX = 256  # that are looked at for texts
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
        self.id = int(draw(secret, f"texts, version {VERSION}", 1)[0])  # as a scale's: other texts' rows do not add up

    def read(self, inputs: Sequence[Any], answer: Any) -> Floats | None:
        """Return a row for each text; None where nothing is said.  Never raises."""
        values = [Turn(value) if isinstance(value, str) else value for value in _some(inputs, INPUTS_MAX)]
        said = [turn for turn in values if isinstance(turn, Turn) and turn.text and not turn.text.isspace()]
        if not said:
            return None
        turns = _some(said, TEXTS_MAX, self._start(said))
        most = max(CHARS_LEAST, CHARS_MAX // len(turns))
        rows: Floats = np.zeros((len(turns), WIDTH), np.float32)
        for row, turn in zip(rows, turns, strict=True):
            self._fill(row, self._sample(turn.text, most), self._sample(turn.system, most))
        rows[:, FEATURES:] = histogram(answer, EDGES)
        return rows

    def _start(self, said: Sequence[Turn]) -> int:
        """Return where among many texts to begin: nobody can tell which will be looked at."""
        return int(self._places[sum(len(turn.text) for turn in said) % len(self._places)]) % len(said)

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


def _some(values: Sequence[Any], most: int, start: int = 0) -> Sequence[Any]:
    """Return at most so many values, evenly over all; `start` is less than there are."""
    if len(values) <= most:
        return values
    return [values[(start + index * len(values)) // most] for index in range(most)]
