"""What was answered -> one number: how sure the model was, else how long it spoke, else which label it gave.

The number falls into one of eight bins, whose edges are quantiles of the reference's answers.  A histogram of them says
how often an account's inputs lie where the model hesitates, which is where a copy is learnt fastest.

Misses: an answer that says nothing but a label is told by its label alone.  An answer that was made coarser is not to
be read here: it would say how the gateway sees its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from vallum.extraction.facts import ANSWER_BINS
from vallum.extraction.reference import EDGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vallum.extraction.facts import Floats

WEIGHT = np.float32(0.5**0.5)  # of the histogram, beside features of length 1
VALUES_MAX = 512  # of an answer that are looked at
SURE = frozenset("confidence confidences score scores probability probabilities prob probs predictions softmax".split())
LABELS = (
    "prediction",
    "predictions",
    "label",
    "labels",
    "class",
    "class_name",
    "class_id",
    "predicted_class",
    "category",
    "result",
    "results",
    "output",
    "outputs",
    "decision",
)
SPOKEN = frozenset("completion_tokens output_tokens generated_tokens eval_count".split())
SPOKEN_MAX = NUMBER_MAX = 1_000_000_000  # tokens, or the number of a class
LABEL_MAX_CHARS = 256

# Of an answer that nobody read: what the reference's answers come to.
NEUTRAL = (np.diff(np.array((0.0, *EDGES, 1.0))) * WEIGHT).astype(np.float32)
_BINS = np.eye(ANSWER_BINS, dtype=np.float32) * WEIGHT


def histogram(answer: Any, edges: Floats) -> Floats:
    """Return the bins of one answer, ANSWER_BINS numbers."""
    number = read_answer(answer)
    if number is None:
        return NEUTRAL
    bins: Floats = _BINS[edges.searchsorted(number, "right")]
    return bins


def read_answer(answer: Any) -> float | None:
    """Return the number that stands for an answer, or None where there is nothing to go by.  Never raises."""
    sure = spoken = -1.0
    band = label = ""
    for name, value in _values(answer):
        if isinstance(value, str):
            band, label = (band or value, label) if name in SURE else (band, label or value)
        elif name in SURE and 0 <= value <= 1:
            sure = max(sure, value)
        elif name in SPOKEN and 0 <= value <= SPOKEN_MAX:
            spoken = max(spoken, value)
        elif name in LABELS and isinstance(value, int) and -NUMBER_MAX < value < NUMBER_MAX:
            label = label or str(value)
    if sure >= 0:
        return float(sure)
    if spoken >= 0:
        return float(spoken)
    return hash_label(band or label) if band or label else None


def hash_label(label: str) -> float:
    """Return a number for a label, from 0 to 1."""
    return crc32(label[:LABEL_MAX_CHARS].encode("utf-8", "surrogatepass")) / 2**32


def _values(answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield numbers and texts with the names they go by, as many as are looked at."""
    stack: list[tuple[str, Any]] = [("", answer)]
    for _ in range(VALUES_MAX):
        if not stack:
            break
        name, item = stack.pop()
        kind = type(item)
        if kind is float or kind is int or kind is str:
            yield name, item
        elif kind is dict:
            stack.extend([(_name(key, name), item[key]) for key in list(item)[:VALUES_MAX]])
        elif kind is list:
            stack.extend([(name, value) for value in item[:VALUES_MAX]])


def _name(key: Any, above: str) -> str:
    """Return the name that a member goes by: its own, or, in an object of classes and their scores, that above."""
    own = key.lower() if isinstance(key, str) else ""
    return above if above in SURE and own not in SPOKEN else own
