"""What a probe found, and what is kept of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vallum.probe.catalogue import Facts

EVIDENCE_CHARS = 400
UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u024f]+")


class Verdict(StrEnum):
    """What may be said of a control."""

    HELD = "held"
    WEAK = "weak"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one probe says: its verdict in a sentence, and the lines that show it."""

    verdict: Verdict
    sentence: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """An outcome and what it is about."""

    facts: Facts
    outcome: Outcome
    requests: int = 0
    took_s: float = 0.0

    @property
    def name(self) -> str:
        """The probe's name, with its family's."""
        return self.facts.name

    @property
    def verdict(self) -> Verdict:
        """The outcome's verdict."""
        return self.outcome.verdict

    def as_json(self) -> dict[str, Any]:
        """Return what reports and baselines hold of it."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "severity": self.facts.severity,
            "asks": self.facts.asks,
            "sentence": self.outcome.sentence,
            "evidence": list(self.outcome.evidence),
            "requests": self.requests,
            "took_s": round(self.took_s, 3),
            "fix": {"vallum": self.facts.vallum, "elsewhere": self.facts.elsewhere},
            "standards": self.facts.standards,
        }


class UntestableError(Exception):
    """A probe cannot say anything; the message says why."""


class StoppedError(Exception):
    """The whole run ends here: a budget is spent, or the endpoint is gone; the message says which."""


def held(sentence: str, *evidence: str) -> Outcome:
    """Say that the control held."""
    return Outcome(Verdict.HELD, sentence, tuple(map(snip, evidence)))


def weak(sentence: str, *evidence: str) -> Outcome:
    """Say that it did not."""
    return Outcome(Verdict.WEAK, sentence, tuple(map(snip, evidence)))


def untested(why: str) -> Outcome:
    """Say that nothing can be said, and why."""
    return Outcome(Verdict.UNTESTED, why)


def snip(text: str) -> str:
    """Keep what a report shows of a text: one line of printable characters, bounded."""
    plain = UNPRINTABLE.sub(" ", text[: 4 * EVIDENCE_CHARS]).strip()
    return plain if len(plain) <= EVIDENCE_CHARS else plain[: EVIDENCE_CHARS - 3] + "..."
