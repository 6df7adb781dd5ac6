"""Puts the layers together: one logit for a text, by weights and thresholds that were fitted, not chosen."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, NamedTuple

from vallum.checks.prompt_injection.gate import Evidence, Gate
from vallum.checks.prompt_injection.readings import final
from vallum.checks.prompt_injection.scorer import NOTHING, Score, load_model, load_scorer
from vallum.checks.prompt_injection.shuffled import unshuffle
from vallum.core.reading import HIDDEN, Reading, read_ciphers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vallum.checks.prompt_injection.gate import Known

MOST_IN_BOTH = 1 << 14
"""Characters of a text that is read under both ciphers where one is hinted at; a longer one under those hinted at."""


class Judgement(NamedTuple):
    """What both layers say of one text."""

    logit: float
    evidence: Evidence
    score: Score
    how: str  # the reading with the worst window
    text: str = ""  # that reading
    opinion: float | None = None  # what the second tier added to the logit, if it was asked

    @property
    def probability(self) -> float:
        """The logit as a probability, of as many attacks as honest texts."""
        return 1 / (1 + exp(-max(min(self.logit, 30.0), -30.0)))

    @property
    def detail(self) -> str:
        """For the record: which layer, which reading, which span; never the text itself."""
        patterns = f"{self.evidence.names} in {self.evidence.how}" if self.evidence.names else "no pattern"
        where = f"bytes {self.score.start} to {self.score.end} of {self.how}"
        said = "" if self.opinion is None else f"; second tier {self.opinion:+.2f}"
        return f"probability {self.probability:.3f}: {patterns}; margin {self.score.margin:.2f} at {where}{said}"


class Judge:
    """Both layers and how they are put together; pure and reentrant."""

    def __init__(self) -> None:
        """Compile the patterns, four seconds of CPU, and load the weights, some milliseconds."""
        self._gate = Gate()
        self.model = load_model()
        self._scorer = load_scorer()

    def judge(self, readings: Sequence[Reading]) -> Judgement:
        """Judge a text by all of its readings, and by those under ciphers that its words ask for."""
        known: Known = {}
        evidence = self._gate.weigh(readings, known)
        last = final(readings)
        fresh: list[Reading] = []
        if evidence.ciphers:
            # Once only: rot13 of rot13 is where we came from.
            is_short = len(last.text) <= MOST_IN_BOTH
            fresh += [one for one in read_ciphers(last.text) if is_short or one.how in evidence.ciphers]
        plain = unshuffle(last.text)
        if plain is not last.text:
            fresh.append(Reading("shuffled", plain))
        chosen = [last, *fresh, *(reading for reading in readings if reading.how == HIDDEN)]
        if evidence.how.endswith("joined"):
            # Words cut by line breaks or over fields: whole for the patterns, and now for the model.
            chosen += [reading for reading in readings if reading.how == evidence.how]
        if fresh:
            evidence = max(evidence, self._gate.weigh(fresh, known), key=lambda found: found.weight)
        best, worst = Score(NOTHING), last
        for reading in chosen:
            score = self._scorer.score(reading.text)
            if score.margin > best.margin:
                best, worst = score, reading
        model = self.model
        logit = model.margin_weight * best.margin + model.pattern_weight * evidence.weight + model.offset
        return Judgement(logit, evidence, best, worst.how, worst.text)
