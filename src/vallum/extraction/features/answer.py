"""What was answered -> one number: how sure the model was, else how long it spoke, else which label it gave.

The number falls into one of eight bins, whose edges are quantiles of the reference's answers.  A histogram of them says
how often an account's inputs lie where the model hesitates, which is where a copy is learnt fastest.

Misses: an answer that says nothing but a label is told by its label alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from vallum.extraction.facts import ANSWER_BINS
from vallum.extraction.reference import neutral_answer

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats

WEIGHT = np.float32(0.5**0.5)  # of the histogram, beside features of length 1
STEPS_MAX = 512  # values of an answer that are looked at
SURE = frozenset("confidence confidences score scores probability probabilities prob probs predictions softmax".split())
SPOKEN = frozenset("completion_tokens output_tokens generated_tokens eval_count".split())
LABEL_MAX_CHARS = 256

_NEUTRAL = neutral_answer() * WEIGHT


def histogram(answer: Any, edges: Floats) -> Floats:
    """Return the bins of one answer; of one that nobody read, those of the reference's answers together."""
    number = read_answer(answer)
    if number is None:
        return _NEUTRAL
    bins = np.zeros(ANSWER_BINS, np.float32)
    bins[int(edges.searchsorted(number, "right"))] = WEIGHT
    return bins


def read_answer(answer: Any) -> float | None:
    """Return the number that stands for an answer, or None where there is nothing to go by.  Never raises."""
    best = spoken = label = None
    stack: list[tuple[str, Any]] = [("", answer)]
    for _ in range(STEPS_MAX):
        if not stack:
            break
        name, item = stack.pop()
        kind = type(item)
        if kind is float or kind is int:
            if name in SURE and 0 <= item <= 1:
                best = item if best is None else max(best, item)
            elif name in SPOKEN and 0 <= item < 1e9:
                spoken = float(item)
        elif kind is str:
            if label is None:
                label = item
        elif kind is dict:
            stack.extend([(_name(key, name), value) for key, value in list(item.items())[:STEPS_MAX]])
        elif kind is list:
            stack.extend([(name, value) for value in item[:STEPS_MAX]])
    if best is not None:
        return float(best)
    if spoken is not None:
        return spoken
    return None if label is None else _hash(label)


def _name(key: Any, above: str) -> str:
    """Return the name that a member goes by: its own, or, in an object of classes and their scores, that above."""
    own = key.lower() if isinstance(key, str) else ""
    return above if above in SURE and own not in SPOKEN else own


def _hash(label: str) -> float:
    return crc32(label[:LABEL_MAX_CHARS].encode("utf-8", "surrogatepass")) / 2**32
