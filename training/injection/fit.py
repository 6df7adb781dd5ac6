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
FEW = 12  # windows of one text that are looked at in one round
FEWEST = 3  # windows in which a feature occurs that is learnt at all


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
    """Fit some windows of each text first; then, `rounds` times, those that look most like an attack.

    Of an attack that is the one window by which it is known, of honest text the FEW hardest.
    """
    counts = np.bincount(windows.texts, minlength=windows.count)
    is_attack = labels > 0
    # What a text weighs is shared among those of its windows that are looked at.
    heavy = weights * np.where(is_attack, 1, np.sqrt(np.maximum(counts, 1)))
    places = np.arange(len(windows.texts)) - np.searchsorted(windows.texts, windows.texts)
    scattered = places * 7919 % np.maximum(counts, 1)[windows.texts]
    line = _fit_some(windows, _least(windows, scattered, np.full(windows.count, FEW)), is_attack, heavy)
    for _ in range(rounds):
        hardest = _least(windows, -line.margins(windows), np.where(is_attack, 1, FEW))
        line = _fit_some(windows, hardest, is_attack, heavy)
    return line


def _least(windows: Windows, values: Floats, most: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return, of each text, the windows with the least values, no more than `most` of them."""
    order = np.lexsort((values, windows.texts))
    texts = windows.texts[order]
    ranks = np.arange(len(texts)) - np.searchsorted(texts, texts)
    return np.sort(order[ranks < most[texts]])


def _fit_some(windows: Windows, chosen: NDArray[np.intp], is_attack: NDArray[np.bool_], heavy: Floats) -> Line:
    texts = windows.texts[chosen]
    shares = heavy / np.maximum(np.bincount(texts, minlength=windows.count), 1)
    return _fit(windows.features[chosen], is_attack[texts], shares[texts])


def _fit(every: sp.csr_matrix, is_attack: NDArray[np.bool_], weights: Floats) -> Line:
    # What occurs in one or two windows teaches nothing that holds elsewhere.
    used = np.flatnonzero(np.bincount(every.indices, minlength=every.shape[1]) >= FEWEST)
    features = every[:, used]
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
    slopes = np.zeros(every.shape[1])
    slopes[used] = point[:-1]
    return Line(slopes, float(point[-1]))


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
