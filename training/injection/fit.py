"""Logistic regression over windows, of which an attack has at least one that attacks.

Nothing here draws lots, and everything runs on one thread: the same rows give the same weights.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize

from vallum.checks.prompt_injection.grams import BITS, MOST_BYTES, fold, hash_grams
from vallum.checks.prompt_injection.scorer import NOTHING, ONE_WINDOW, SCALES, SHORTEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLACK = 3.0  # the inverse of what a squared weight costs
ITERATIONS = 40


class Windows(NamedTuple):
    """The windows of many texts: a row of features each, and the number of the text it comes from."""

    features: sp.csr_matrix
    texts: NDArray[np.int64]
    count: int  # of texts

    def of(self, chosen: NDArray[np.bool_]) -> Windows:
        """Return the windows of the chosen texts, which are numbered anew."""
        keep = chosen[self.texts]
        numbers = np.cumsum(chosen) - 1
        return Windows(self.features[keep], numbers[self.texts[keep]], int(chosen.sum()))

    def worst(self, margins: Floats) -> Floats:
        """Return the greatest margin of each text's windows."""
        worst = np.full(self.count, NOTHING)
        np.maximum.at(worst, self.texts, margins)
        return worst


class Line(NamedTuple):
    """A fitted model."""

    weights: Floats
    bias: float

    def margins(self, windows: Windows) -> Floats:
        """Return the margin of each window."""
        return np.asarray(windows.features @ self.weights) + self.bias


def make_windows(texts: Sequence[str]) -> Windows:
    """Return the windows of all texts."""
    slots: list[NDArray[np.int32]] = []
    values: list[NDArray[np.float32]] = []
    bounds, numbers = [0], []
    for number, text in enumerate(texts):
        for window in _cut(fold(text)):
            found, counts = np.unique(hash_grams(window).slots, return_counts=True)
            slots.append(found.astype(np.int32))
            values.append((counts / sqrt(len(window))).astype(np.float32))
            bounds.append(bounds[-1] + len(found))
            numbers.append(number)
    shape = (len(numbers), 1 << BITS)
    matrix = sp.csr_matrix(
        (np.concatenate(values), np.concatenate(slots), np.array(bounds, dtype=np.int32)), shape=shape
    )
    return Windows(matrix, np.array(numbers), len(texts))


def _cut(raw: bytes) -> Iterator[NDArray[np.uint8]]:
    raw = raw[:MOST_BYTES]
    if SHORTEST <= len(raw) <= SCALES[0][0]:
        yield np.frombuffer(raw, dtype=np.uint8)
    if len(raw) > ONE_WINDOW:
        for window, _ in SCALES:
            stride = window // 2
            for at in range(0, len(raw) - stride, stride) if len(raw) > window else ():
                yield np.frombuffer(b" %b " % raw[at : at + window], dtype=np.uint8)


def fit(windows: Windows, labels: NDArray[np.int64], weights: Floats, rounds: int = 1) -> Line:
    """Fit all windows first; then, `rounds` times, of each attack only the one that looks most like one."""
    counts = np.maximum(np.bincount(windows.texts, minlength=windows.count), 1)[windows.texts]
    is_attack = labels[windows.texts] > 0
    heavy = weights[windows.texts]
    line = _fit(windows.features, is_attack, np.where(is_attack, heavy / counts, heavy / np.sqrt(counts)))
    for _ in range(rounds):
        margins = line.margins(windows)
        keep = ~is_attack | (margins >= windows.worst(margins)[windows.texts] - 1e-9)
        line = _fit(windows.features[keep], is_attack[keep], np.where(is_attack, heavy, heavy / np.sqrt(counts))[keep])
    return line


def _fit(features: sp.csr_matrix, is_attack: NDArray[np.bool_], weights: Floats) -> Line:
    signs = np.where(is_attack, 1.0, -1.0)
    transposed = features.T.tocsr()

    def loss(point: Floats) -> tuple[float, Floats]:
        slopes = point[:-1]
        margins = signs * (features @ slopes.astype(np.float32) + point[-1])
        pull = -signs * weights * np.exp(-np.logaddexp(0, margins))
        gradient = np.empty_like(point)
        gradient[:-1] = transposed @ pull.astype(np.float32) + slopes / SLACK
        gradient[-1] = pull.sum()
        return float(weights @ np.logaddexp(0, -margins) + slopes @ slopes / SLACK / 2), gradient

    start = np.zeros(features.shape[1] + 1)
    point = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "maxcor": 6}).x
    return Line(point[:-1], float(point[-1]))


def fit_logistic(features: Floats, labels: NDArray[np.int64], weights: Floats) -> Floats:
    """Return slopes and, last, the offset of a plain logistic regression with no slope below zero."""
    signs = np.where(labels > 0, 1.0, -1.0)
    columns = np.column_stack((features, np.ones(len(features))))

    def loss(point: Floats) -> tuple[float, Floats]:
        margins = signs * (columns @ point)
        pull = -signs * weights * np.exp(-np.logaddexp(0, margins))
        return float(weights @ np.logaddexp(0, -margins)), columns.T @ pull

    bounds = [(0.0, None)] * features.shape[1] + [(None, None)]
    return np.asarray(minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x)
