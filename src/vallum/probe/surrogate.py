"""A small copy of a tabular model, made from its answers alone: how well it agrees is what a thief gets for so much.

The student is simple: a logistic regression on the numbers and their products.  A thief's is better, so what this one
reaches is the least that such answers give away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vallum.probe.target import walk

HELD_BACK = 0.25  # of the answers, on which the copy is measured
RIDGE, STEPS = 1e-2, 300
PRODUCTS_MAX = 16  # numbers of an input up to which all products of two are features


class Copy(NamedTuple):
    """How good a copy is: shares of the answers held back."""

    agreement: float
    commonest: float  # what one gets who always gives the commonest answer
    answers: int


def make_copy(inputs: Sequence[Sequence[float]], documents: Sequence[Any]) -> Copy | None:
    """Learn from three quarters of the answers, measure on the rest; None where they have no label, or only one."""
    labels = _labels(documents)
    if labels is None:
        return None
    learnt = len(labels) - int(len(labels) * HELD_BACK)
    names = sorted(set(labels[:learnt]), key=str)
    features = _features(np.asarray(inputs, dtype=np.float64), learnt)
    wanted = np.array([[label == name for name in names] for label in labels[:learnt]], dtype=np.float64)
    weights = _learn(features[:learnt], wanted)
    guessed = [names[index] for index in np.argmax(features[learnt:] @ weights, axis=1)]
    rest = labels[learnt:]
    commonest = Counter(labels[:learnt]).most_common(1)[0][0]
    agreed = sum(guess == label for guess, label in zip(guessed, rest, strict=True))
    return Copy(agreed / len(rest), rest.count(commonest) / len(rest), len(labels))


def _learn(features: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Climb the likelihood by steps of one size, bounded by its curvature wherever it is (Boehning, 1992)."""
    weights = np.zeros((features.shape[1], wanted.shape[1]))
    curvature = features.T @ features / 2 + RIDGE * np.eye(features.shape[1])
    for _ in range(STEPS):
        logits = features @ weights
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = features.T @ (wanted - odds / odds.sum(axis=1, keepdims=True)) - RIDGE * weights
        weights += np.linalg.solve(curvature, slope)
    return weights


def _features(inputs: np.ndarray[Any, Any], learnt: int) -> np.ndarray[Any, Any]:
    spread = inputs[:learnt].std(axis=0)
    scaled = (inputs - inputs[:learnt].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    first, second = np.triu_indices(scaled.shape[1]) if scaled.shape[1] <= PRODUCTS_MAX else (np.arange(0),) * 2
    return np.hstack([np.ones((len(scaled), 1)), scaled, scaled[:, first] * scaled[:, second]])


def _labels(documents: Sequence[Any]) -> list[Any] | None:
    """Return each answer's label: a member of few values, else the place of the largest number, else its side."""
    columns = [_members(document) for document in documents]
    names = [name for name in columns[0] if all(name in column for column in columns)]
    for name in names:
        values = [column[name] for column in columns]
        if 2 <= len(set(values)) <= max(2, len(values) // 8):
            return values
    for name in names:
        values = [column[name] for column in columns]
        if not all(isinstance(item, float) for value in values for item in value):
            continue
        several = min(map(len, values)) > 1
        middle = float(np.median([value[0] for value in values]))
        sides = [int(np.argmax(value)) if several else value[0] > middle for value in values]
        if len(set(sides)) > 1:
            return sides
    return None


def _members(document: Any) -> dict[str, tuple[Any, ...]]:
    members: dict[str, tuple[Any, ...]] = {}
    for name, value in walk(document):
        if isinstance(value, (str, bool, int, float)):
            members[name] = (*members.get(name, ()), value)
    return members
