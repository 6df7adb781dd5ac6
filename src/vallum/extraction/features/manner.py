"""A text -> numbers that say how it is put, not what it is about: its length, its signs, its lines, its words.

Prompts of one machine are alike in them where people's are not, whatever they are about.  The numbers are mapped to
cosines and sines of random frequencies (random Fourier features), so that an account's mean tells how they are spread,
and not only where their middle lies.
"""

from __future__ import annotations

from math import log, log1p, sqrt
from typing import TYPE_CHECKING

import numpy as np

from vallum.extraction.chance import draw_normals

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats
    from vallum.extraction.features.words import Words

# Asking for the way to an answer, and not for the answer alone: what trains a student best.
ELICITING = tuple(
    phrase.encode()
    for phrase in (
        "step by step",
        "step-by-step",
        "every step",
        "show your",
        "reasoning",
        "chain of thought",
        "think ",
        "let's ",
        "explain your",
        "justify",
        "derive",
        "final answer",
        "answer:",
        "solution:",
        "####",
        "boxed",
        "schritt für schritt",
        "étape par étape",
        "paso a paso",
        "passo a passo",
        "шаг за шагом",
        "一步一步",
        "逐步",
        "ステップ",
    )
)
SIGNS = ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", ".,;:!", "?", "(){}[]<>=+*/_\\|`#$%^&~@-", "\"'", "\n", " \t")
# What the numbers are of people's prompts, about: middle and deviation, in the order of `_measure`.
MIDDLE = (5.0, 0.21, 0.85, 0.55, 0.17, 0.37, 0.18, 0.23, 1.19, 0.09, 0.05, 4.7, 0.84, 0.23, 0.36, 0.73)
DEVIATION = (1.12, 0.41, 0.4, 0.38, 0.31, 0.56, 0.34, 0.34, 0.22, 0.35, 0.2, 1.1, 0.11, 0.42, 0.48, 1.2)
FARTHEST = 4.0  # deviations from the middle, beyond which a text is as far as any
BANDWIDTH = 4.0

_IS_SIGN = np.zeros((256, len(SIGNS) + 1), np.float32)
for _column, _signs in enumerate(SIGNS):
    _IS_SIGN[list(_signs.encode()), _column] = 1
_IS_SIGN[128:, -1] = 1  # of a letter beyond ASCII
_OFTEN = np.array([5, 5, 5, 5, 5, 5, 5, 3, 2], np.float32)  # of the root of a share


class Manner:
    """Maps how texts are put to `count` numbers, a row of length 1."""

    def __init__(self, secret: bytes, count: int) -> None:
        """Draw the frequencies, half of them of half the bandwidth."""
        frequencies = draw_normals(secret, "manner of texts", len(MIDDLE), count // 2) / np.float32(BANDWIDTH)
        frequencies[:, count // 4 :] *= 2
        self._frequencies = frequencies / np.array(DEVIATION, np.float32)[:, None]
        self._least, self._most = (
            np.array(
                [middle + side * deviation for middle, deviation in zip(MIDDLE, DEVIATION, strict=True)], np.float32
            )
            for side in (-FARTHEST, FARTHEST)
        )
        self._amplitude = np.float32(sqrt(2 / count))

    def place(self, text: bytes, words: Words) -> Floats:
        """Return the row of a text in UTF-8 that has these words."""
        measured = np.minimum(np.maximum(_measure(text, words), self._least), self._most)
        phase = measured.dot(self._frequencies)
        return np.concatenate((np.cos(phase), np.sin(phase))) * self._amplitude


def _measure(text: bytes, words: Words) -> Floats:
    size, count = max(len(text), 1), max(len(words.words), 1)
    signs = np.bincount(np.frombuffer(text, np.uint8), minlength=256).astype(np.float32) @ _IS_SIGN
    shares = np.sqrt(signs / size) * _OFTEN
    low = text.lower()
    eliciting = sum([phrase in low for phrase in ELICITING])
    letters = size - float(signs[2:8].sum())
    different = len(set(words.words.tolist()))
    end = text[-32:].rstrip()[-1:]
    lines = log1p(float(signs[6]))
    rest = (min(1.0, eliciting / 3), letters / count, different / count, float(end == b"?"), float(end == b"."), lines)
    return np.array((log(size + 4), *shares.tolist(), *rest), np.float32)
