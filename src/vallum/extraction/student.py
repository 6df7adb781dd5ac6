"""What somebody could have learnt from answers: a small model trained on them, as a thief would train it.

A network with one hidden layer, soft targets, cross-entropy, Adam (Kingma and Ba 2015) with a rate that falls to
nothing, and weights that shrink.  A lesson can be taken in pieces, so that it holds up nobody for long.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

HIDDEN = 64
BATCH = 128
STEPS = 700
RATE = 1e-2
DECAY = 0.6  # of 1e-4 and 0.3 to 1 it comes nearest to thieves' copies: of few answers a network learns less by heart
FIRST, SECOND, TINY = 0.9, 0.999, 1e-8  # Adam's
SPREAD_MIN = 1e-2


class Lesson:
    """A student and what it is to learn."""

    def __init__(self, inputs: Floats, targets: Floats, hidden: int = HIDDEN, seed: int = 0) -> None:
        """Begin to learn `targets`, a row of probabilities for each row of `inputs`; a seed is a beginning."""
        self._middle = inputs.mean(axis=0)
        self._spread = np.maximum(inputs.std(axis=0), np.float32(SPREAD_MIN))
        self._inputs = (inputs - self._middle) / self._spread
        self._targets = targets
        self._chance = np.random.default_rng(seed)
        self._weights: list[Floats] = []
        for wide, narrow in pairwise((inputs.shape[1], hidden, targets.shape[1])):
            start = self._chance.standard_normal((wide, narrow), np.float32) * np.float32((2 / wide) ** 0.5)
            self._weights += [start, np.zeros(narrow, np.float32)]
        self._firsts = [np.zeros_like(part) for part in self._weights]
        self._seconds = [np.zeros_like(part) for part in self._weights]
        self._step = 0

    def go_on(self, steps: int) -> int:
        """Take up to `steps` steps; return how many of them were left when it had learnt all it will."""
        while steps and self._step < STEPS:
            self._learn()
            steps -= 1
        return steps

    def choose(self, inputs: Floats) -> NDArray[np.intp]:
        """Return the class that the student gives each input."""
        scores = self._score((inputs - self._middle) / self._spread)[1]
        best: NDArray[np.intp] = scores.argmax(axis=1)
        return best

    def _learn(self) -> None:
        self._step += 1
        some = self._chance.integers(len(self._inputs), size=min(BATCH, len(self._inputs)))
        slopes = self._slopes(self._inputs[some], self._targets[some])
        unbiased = (1 - SECOND**self._step) ** 0.5 / (1 - FIRST**self._step)
        pace = np.float32(RATE * (1 - (self._step - 1) / STEPS) * unbiased)
        for weights, first, second, slope in zip(self._weights, self._firsts, self._seconds, slopes, strict=True):
            np.add(first, (1 - FIRST) * (slope - first), out=first)
            np.add(second, (1 - SECOND) * (slope * slope - second), out=second)
            np.subtract(weights, pace * (first / (np.sqrt(second) + TINY) + DECAY * weights), out=weights)

    def _score(self, inputs: Floats) -> tuple[Floats, Floats]:
        """Return what goes into the last layer, and what comes out of it."""
        inner = np.maximum(inputs @ self._weights[0] + self._weights[1], 0)
        return inner, inner @ self._weights[-2] + self._weights[-1]

    def _slopes(self, inputs: Floats, targets: Floats) -> list[Floats]:
        """Return the slope of the cross-entropy by each part of the weights."""
        inner, scores = self._score(inputs)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        error = (powers / powers.sum(axis=1, keepdims=True) - targets) / np.float32(len(inputs))
        last = [inner.T @ error, error.sum(axis=0)]
        back = (error @ self._weights[-2].T) * (inner > 0)
        return [inputs.T @ back, back.sum(axis=0), *last]
