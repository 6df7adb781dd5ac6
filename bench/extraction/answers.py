"""What leaves the gateway for each form of answer, and what a student can read in it.

The forms are those of a route's policy: `all` probabilities, all of them to two places (`all2`), the label with its
confidence to two places (`round2`), in a band (`band`), or the label alone (`label`).  A verdict's
coarsening comes on top.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bench.extraction.learners import Array

from vallum.core.coarsening import Coarsening

FORMS = ("all", "all2", "round2", "band", "label")
BANDS = {"high": (0.9, 0.97), "medium": (0.7, 0.8), "low": (0.0, 0.5)}  # lower bound, and what a student takes it for
FLOORS = {0.9: 0.97, 0.7: 0.8, 0.5: 0.6, 0.0: 0.4}  # what a student takes a coarsened confidence for
UNKNOWN = 0.9  # the confidence of a bare label
COARSENINGS = {level: Coarsening(("confidence", "probabilities"), level) for level in (1, 2, 3)}

Answer = dict[str, Any]


def say(chances: Array, form: str) -> list[Answer]:
    """Return the documents of a route's answers, a row of probabilities each."""
    labels, best = chances.argmax(axis=1).tolist(), chances.max(axis=1)
    if form == "all":
        return [{"prediction": k, "probabilities": row} for k, row in zip(labels, chances.tolist(), strict=True)]
    if form == "all2":
        rows = np.round(chances.astype(float), 2).tolist()
        return [{"prediction": k, "probabilities": row} for k, row in zip(labels, rows, strict=True)]
    if form == "label":
        return [{"prediction": k} for k in labels]
    if form == "round2":
        scores: list[Any] = np.round(best.astype(float), 2).tolist()
    else:
        scores = [next(name for name, (low, _) in BANDS.items() if score >= low) for score in best]
    return [{"prediction": k, "confidence": score} for k, score in zip(labels, scores, strict=True)]


def coarsen(answer: Answer, level: int) -> Answer:
    """Return an answer as it leaves for a caller whose answers are made coarser."""
    if not level:
        return answer
    left: Answer = COARSENINGS[level].apply({**answer}, set())
    return left


def read(answers: list[Answer], classes: int) -> Array:
    """Return what a student makes of answers: a row of probabilities each."""
    targets = np.empty((len(answers), classes), np.float32)
    for index, answer in enumerate(answers):
        chances = answer.get("probabilities")
        if chances is not None:
            known = np.maximum(chances, 1e-6)
            targets[index] = known / known.sum()
            continue
        score = _score(answer.get("confidence"))
        targets[index] = (1 - score) / (classes - 1)
        targets[index, answer["prediction"]] = score
    return targets


def _score(said: Any) -> float:
    if isinstance(said, str):
        return BANDS[said][1]
    if isinstance(said, int | float):
        return FLOORS.get(said, min(max(float(said), 0.02), 0.999))
    return UNKNOWN
