"""Small models in numpy: softmax regressions and networks with one hidden layer; victims and students alike.

Single precision, Adam, soft targets: 3,000 rows of 24 numbers train in well under a second on one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of single precision
Rng = np.random.Generator

BATCH = 64
FIRST, SECOND, TINY = 0.9, 0.999, 1e-8  # Adam's decays


@dataclass(frozen=True)
class Model:
    """Weights; without a hidden layer, a softmax regression.  Inputs are scaled by `middle` and `spread` first."""

    weights: tuple[Array, ...]  # (w, b) or (w1, b1, w2, b2)
    middle: Array
    spread: Array

    def logits(self, inputs: Array) -> Array:
        """Return the scores before the softmax, a row for each input."""
        scaled = (inputs - self.middle) / self.spread
        if len(self.weights) == 2:
            return scaled @ self.weights[0] + self.weights[1]
        return np.maximum(scaled @ self.weights[0] + self.weights[1], 0) @ self.weights[2] + self.weights[3]

    def probabilities(self, inputs: Array) -> Array:
        """Return the probabilities of all classes, a row for each input."""
        return softmax(self.logits(inputs))

    def classes(self, inputs: Array) -> NDArray[np.int64]:
        """Return the best class of each input."""
        return self.logits(inputs).argmax(axis=1)

    def slopes(self, inputs: Array, classes: NDArray[np.int64]) -> Array:
        """Return how each input's probability of its class in `classes` grows with the input."""
        chances = self.probabilities(inputs)
        inner = -chances * np.take_along_axis(chances, classes[:, None], axis=1)
        inner[np.arange(len(classes)), classes] += chances[np.arange(len(classes)), classes]
        if len(self.weights) == 2:
            return (inner @ self.weights[0].T) / self.spread
        scaled = (inputs - self.middle) / self.spread
        awake = (scaled @ self.weights[0] + self.weights[1]) > 0
        return (((inner @ self.weights[2].T) * awake) @ self.weights[0].T) / self.spread


def softmax(logits: Array) -> Array:
    """Return probabilities, row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Array = powers / powers.sum(axis=1, keepdims=True)
    return chances


def one_hot(labels: NDArray[Any], classes: int) -> Array:
    """Return a row for each label, 1 at it."""
    return np.eye(classes, dtype=np.float32)[labels]


def fit(
    inputs: Array,
    targets: Array,
    rng: Rng,
    *,
    hidden: int = 0,
    steps: int = 3000,
    rate: float = 3e-3,
    decay: float = 1e-4,
) -> Model:
    """Train a model on soft targets: `steps` batches with a rate that falls to zero."""
    middle, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-3)
    scaled = ((inputs - middle) / spread).astype(np.float32)
    layers = [inputs.shape[1], *([hidden] if hidden else []), targets.shape[1]]
    weights: list[Array] = []
    for wide, narrow in pairwise(layers):
        scale = np.sqrt((2 if hidden else 1) / wide)
        weights += [
            (rng.standard_normal((wide, narrow)) * scale).astype(np.float32),
            np.zeros(narrow, np.float32),
        ]
    means, squares = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step in range(1, steps + 1):
        some = rng.integers(len(scaled), size=min(BATCH, len(scaled)))
        slope = _slopes(weights, scaled[some], targets[some])
        pace = rate * (1 - (step - 1) / steps) * np.sqrt(1 - SECOND**step) / (1 - FIRST**step)
        for index, change in enumerate(slope):
            means[index] += (1 - FIRST) * (change - means[index])
            squares[index] += (1 - SECOND) * (change * change - squares[index])
            weights[index] -= pace * (means[index] / (np.sqrt(squares[index]) + TINY) + decay * weights[index])
    return Model(tuple(weights), middle.astype(np.float32), spread.astype(np.float32))


def _slopes(weights: list[Array], inputs: Array, targets: Array) -> list[Array]:
    """Return the cross-entropy's gradient by each weight."""
    if len(weights) == 2:
        error = (softmax(inputs @ weights[0] + weights[1]) - targets) / len(inputs)
        return [inputs.T @ error, error.sum(axis=0)]
    inner = np.maximum(inputs @ weights[0] + weights[1], 0)
    error = (softmax(inner @ weights[2] + weights[3]) - targets) / len(inputs)
    back = (error @ weights[2].T) * (inner > 0)
    return [inputs.T @ back, back.sum(axis=0), inner.T @ error, error.sum(axis=0)]
