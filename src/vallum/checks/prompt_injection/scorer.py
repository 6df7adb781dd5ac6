"""The second layer: a linear model over hashed runs of characters and words, asked window by window.

What a long text says elsewhere does not dilute the stretch that attacks: the score of a text is that of its worst
window.  Time is linear in the text, and every byte of it is looked at.
"""

from __future__ import annotations

import zlib
from functools import cache
from importlib.resources import files
from math import sqrt
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np

from vallum.checks.prompt_injection.grams import MOST_BYTES, fold, hash_grams

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALES = ((400, 100), (130, 50))
"""Bytes of the windows, and from one to the next: a paragraph, and a sentence that hides in one."""

OVERLAP = SCALES[0][0] + 2
ONE_WINDOW = 180
"""Longest text, in bytes, that is one window; up to the greatest window a text is judged whole as well."""

SHORTEST = 7
"""Bytes of folded text, of which two are spaces: nothing shorter says anything."""

NOTHING = -20.0

Sensitivity = Literal["strict", "balanced", "permissive"]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least logit that refuses, by sensitivity."""

    strict: float
    balanced: float
    permissive: float

    def of(self, sensitivity: Sensitivity) -> float:
        """Return the threshold of one sensitivity."""
        return {"strict": self.strict, "balanced": self.balanced, "permissive": self.permissive}[sensitivity]


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was learnt beside the weights: `model.json`, written by the trainer."""

    scale: float  # of one unit of weight
    bias: float
    margin_weight: float
    pattern_weight: float
    offset: float
    user: Thresholds
    document: Thresholds


class Score(NamedTuple):
    """The margin of the worst window, and where it lies: bytes of the folded text."""

    margin: float
    start: int = 0
    end: int = 0


@cache
def load_model() -> Model:
    """Return what was learnt beside the weights."""
    return msgspec.json.decode(_read("model.json"), type=Model)


@cache
def load_weights() -> NDArray[np.int8]:
    """Return the table, shared by every check of the process."""
    return np.frombuffer(zlib.decompress(_read("weights.bin")), dtype=np.int8)


def _read(name: str) -> bytes:
    return files("vallum.checks.prompt_injection").joinpath("weights", name).read_bytes()


class Scorer:
    """The linear model; pure and reentrant."""

    def __init__(self, weights: NDArray[np.int8], scale: float, bias: float) -> None:
        """Take the table, and what one unit in it is worth."""
        self._weights, self._scale, self._bias = weights, scale, bias

    def score(self, text: str) -> Score:
        """Return the score of the worst window of `text`."""
        raw = fold(text)
        size = len(raw)
        if size < SHORTEST:
            return Score(self._bias)
        if size <= ONE_WINDOW:
            slots = hash_grams(np.frombuffer(raw, dtype=np.uint8)).slots
            total = int(self._weights.take(slots).sum(dtype=np.int64))
            return Score(total * self._scale / sqrt(size) + self._bias, 0, size)
        best = Score(NOTHING)
        for at in range(0, max(size - OVERLAP, 1), MOST_BYTES - OVERLAP):
            found = self._worst_window(raw if size <= MOST_BYTES else b" %b " % raw[at : at + MOST_BYTES - 2])
            if found.margin > best.margin:
                best = Score(found.margin, at + found.start, at + found.end)
        return best

    def _worst_window(self, raw: bytes) -> Score:
        data = np.frombuffer(raw, dtype=np.uint8)
        size = len(data)
        grams = hash_grams(data)
        upto = np.zeros(size + 1, dtype=np.int32)
        np.cumsum(grams.sum_by_place(self._weights.take(grams.slots), size), out=upto[1:])
        best = Score(NOTHING)
        for window, step in SCALES:
            if size <= window:
                start, end, total = 0, size, upto[size]
            else:
                sums = upto[window::step] - upto[:-window:step]
                worst = int(sums.argmax())
                end, total = window + worst * step, sums[worst]
                last = upto[size] - upto[size - window]  # which ends with the text
                if last > total:
                    end, total = size, last
                start = end - window
            margin = int(total) * self._scale / sqrt(end - start) + self._bias
            if margin > best.margin:
                best = Score(margin, start, end)
        return best
