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

from vallum.checks.prompt_injection.grams import IS_WORD, KIND_OF, MOST_BYTES, fold, hash_grams
from vallum.checks.prompt_injection.straight import MOST_STRAIGHT, Table, sum_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALES = ((400, 100), (130, 50))
"""Bytes of the windows, and from one to the next: a paragraph, and a sentence that hides in one."""

WINDOWS = (SCALES[0][0], SCALES[1][0])
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


class Upto:
    """What all features weigh that start before each byte of a stretch."""

    def __init__(self, raw: bytes, weights: NDArray[np.int8]) -> None:
        """Weigh folded text, of at most MOST_BYTES."""
        grams = hash_grams(np.frombuffer(raw, dtype=np.uint8))
        self.size = len(raw)
        self._upto = np.zeros(self.size + 1, dtype=np.int32)
        np.cumsum(grams.sum_by_place(weights.take(grams.slots), self.size), out=self._upto[1:])

    @property
    def total(self) -> int:
        """What all features weigh."""
        return int(self._upto[-1])

    def find_worst(self, window: int, step: int) -> tuple[int, int]:
        """Return where the window ends that weighs most, and what: the first of several."""
        sums = self._upto[window::step] - self._upto[:-window:step]
        worst = int(sums.argmax())
        last = self._upto[-1] - self._upto[-1 - window]  # which ends with the text
        return (self.size, int(last)) if last > sums[worst] else (window + worst * step, int(sums[worst]))


class Scorer:
    """The linear model; pure and reentrant."""

    def __init__(
        self, weights: NDArray[np.int8], scale: float, bias: float, most_straight: int = MOST_STRAIGHT
    ) -> None:
        """Take the table, what one unit in it is worth, and which length is summed byte by byte."""
        self._weights, self._scale, self._bias = weights, scale, bias
        self._most_straight = most_straight
        self._table = Table(weights.tobytes() if most_straight else b"", KIND_OF.tobytes(), IS_WORD)

    def score(self, text: str) -> Score:
        """Return the score of the worst window of `text`."""
        raw = fold(text)
        size = len(raw)
        if size < SHORTEST:
            return Score(self._bias)
        if size <= ONE_WINDOW:
            return Score(self._weigh(raw) * self._scale / sqrt(size) + self._bias, 0, size)
        best = Score(NOTHING)
        for at in range(0, max(size - OVERLAP, 1), MOST_BYTES - OVERLAP):
            found = self._worst_window(raw if size <= MOST_BYTES else b" %b " % raw[at : at + MOST_BYTES - 2])
            if found.margin > best.margin:
                best = Score(found.margin, at + found.start, at + found.end)
        return best

    def _weigh(self, raw: bytes) -> int:
        if len(raw) <= self._most_straight:
            return sum_all(raw, self._table, WINDOWS).total
        return int(self._weights.take(hash_grams(np.frombuffer(raw, dtype=np.uint8)).slots).sum(dtype=np.int64))

    def _worst_window(self, raw: bytes) -> Score:
        size = len(raw)
        sums = sum_all(raw, self._table, WINDOWS) if size <= self._most_straight else Upto(raw, self._weights)
        best = Score(NOTHING)
        for window, step in SCALES:
            end, total = sums.find_worst(window, step) if size > window else (size, sums.total)
            start = max(end - window, 0)
            margin = total * self._scale / sqrt(end - start) + self._bias
            if margin > best.margin:
                best = Score(margin, start, end)
        return best


@cache
def load_scorer() -> Scorer:
    """Return the linear model that ships, shared by every check of the process."""
    model = load_model()
    return Scorer(load_weights(), model.scale, model.bias)
