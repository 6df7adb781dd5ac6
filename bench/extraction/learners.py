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
STUDENT_DECAY = 0.3  # which copies best of 0.0001 to 0.3, from few answers above all
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
    shapes = [shape for wide, narrow in pairwise(layers) for shape in ((wide, narrow), (narrow,))]
    flat, weights = _views(shapes)
    for weight in weights[::2]:
        weight[:] = rng.standard_normal(weight.shape) * np.sqrt((2 if hidden else 1) / len(weight))
    change, slopes = _views(shapes)
    mean, square = np.zeros_like(flat), np.zeros_like(flat)
    for step in range(1, steps + 1):
        some = rng.integers(len(scaled), size=min(BATCH, len(scaled)))
        _slope(weights, scaled[some], targets[some], slopes)
        mean += np.float32(1 - FIRST) * (change - mean)
        square += np.float32(1 - SECOND) * (change * change - square)
        pace = np.float32(rate * (1 - (step - 1) / steps) * np.sqrt(1 - SECOND**step) / (1 - FIRST**step))
        flat -= pace * (mean / (np.sqrt(square) + np.float32(TINY)) + np.float32(decay) * flat)
    return Model(tuple(weights), middle.astype(np.float32), spread.astype(np.float32))


def _views(shapes: list[tuple[int, ...]]) -> tuple[Array, list[Array]]:
    """Return one row of zeros, and views of its parts in these shapes."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    flat = np.zeros(sum(sizes), np.float32)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return flat, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _slope(weights: list[Array], inputs: Array, targets: Array, slopes: list[Array]) -> None:
    """Put the cross-entropy's gradient by each weight into `slopes`."""
    inner = np.maximum(inputs @ weights[0] + weights[1], 0) if len(weights) == 4 else inputs
    error = (softmax(inner @ weights[-2] + weights[-1]) - targets) / np.float32(len(inputs))
    np.matmul(inner.T, error, out=slopes[-2])
    error.sum(axis=0, out=slopes[-1])
    if len(weights) == 4:
        back = (error @ weights[2].T) * (inner > 0)
        np.matmul(inputs.T, back, out=slopes[0])
        back.sum(axis=0, out=slopes[1])
