"""The second tier: a small transformer, asked only where its answer can turn the verdict of the first two layers.

What it says is added to their logit, within bounds: far from the threshold it could change nothing, and is not asked.
So every verdict is the one that asking always would give.  It is asked about users' words alone: of a document
it takes the mean, in which one sentence that attacks is lost.  It reads what the linear model took for the worst stretch,
in that model's own letters: a text of any size costs it the same.

What ships is the head, which was learnt; the encoder is the operator's to bring.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from vallum.checks.prompt_injection.encoder import Base, Encoder, read_base
from vallum.checks.prompt_injection.grams import fold
from vallum.checks.prompt_injection.scorer import Thresholds, load_model, load_scorer

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.checks.prompt_injection.judge import Judgement
    from vallum.checks.prompt_injection.scorer import Score, Scorer

MOST_BYTES = 400
"""Of folded text that is read: a window of the linear model, and what stands around it."""

_ENDS = re.compile(rb"(?<=[.!?:;]) ")


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was learnt of an encoder's means, and users' thresholds with it: `deep.json`, by the trainer."""

    base: Base
    slopes: tuple[float, ...]
    bias: float
    reach: float  # the most that it adds or takes away
    user: Thresholds


class SecondTier:
    """An encoder and what was learnt of it: a `Classifier`."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        """Take both."""
        self.head = head
        self._encoder = encoder
        self._slopes = np.array(head.slopes, dtype=np.float32)

    def classify(self, text: str) -> float:
        """Return what to add to the logit of a text that `excerpt` took out."""
        said = float(self._encoder.encode(text) @ self._slopes) + self.head.bias
        return max(min(said, self.head.reach), -self.head.reach)

    def can_turn(self, logit: float, least: float) -> bool:
        """Say whether an answer could lift a logit to a threshold, or bring it below."""
        return abs(logit - least) <= self.head.reach

    def weigh(self, judgement: Judgement, opinion: float) -> Judgement:
        """Return a judgement that takes the tier's answer into account, and what the worst sentences weigh alone."""
        opinion = min(opinion + focus(judgement.text, judgement.score, load_scorer()), self.head.reach)
        return judgement._replace(logit=judgement.logit + opinion, opinion=opinion)


@cache
def load_head() -> Head:
    """Return what ships."""
    path = files("vallum.checks.prompt_injection").joinpath("weights", "deep.json")
    return msgspec.json.decode(path.read_bytes(), type=Head)


_loaded: dict[Head, SecondTier] = {}  # each of them once a process


def load_second_tier(folder: Path) -> SecondTier:
    """Return the second tier with the encoder in a folder.  Raise ValueError that says what to do where it is no such."""
    head = load_head()
    weights, vocabulary = read_base(folder, head.base)  # every time: what is there may no longer be what was
    if head not in _loaded:
        _loaded[head] = SecondTier(Encoder(weights, vocabulary, head.base.heads, head.base.layers), head)
    return _loaded[head]


def excerpt(text: str, score: Score) -> str:
    """Return the stretch around a text's worst window."""
    raw = fold(text)
    if len(raw) > MOST_BYTES:
        start = max(min((score.start + score.end - MOST_BYTES) // 2, len(raw) - MOST_BYTES), 0)
        raw = raw[start : start + MOST_BYTES]
    return raw.decode("utf-8", "ignore")


def focus(text: str, score: Score, scorer: Scorer) -> float:
    """Return how much more of a logit the worst sentences of a long text are by themselves than within the worst window.

    A window is blind to where a sentence begins: what stands around one that attacks makes it look like less.
    """
    raw = fold(text)
    if len(raw) <= MOST_BYTES:
        return 0.0
    near = _ENDS.finditer(raw, max(score.start - MOST_BYTES, 0), score.end + MOST_BYTES)
    ends = [0, *(match.end() for match in near), len(raw)]
    start = min(ends, key=lambda at: abs(at - score.start))
    end = min(ends, key=lambda at: abs(at - score.end))
    if not start < end <= start + MOST_BYTES:
        return 0.0
    alone = scorer.score(raw[start:end].decode("utf-8", "ignore"))
    return load_model().margin_weight * max(alone.margin - score.margin, 0.0)
