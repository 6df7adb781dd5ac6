"""Refuse text that tries to redirect the model: overrides, role tokens, prompt extraction, personas, exfiltration.

What it stops
    "Ignore all previous instructions" and its kin in some thirty languages, chat-template tokens in user text, requests
    for the system prompt or for a secret the model holds, well-known jailbreak personas, instructions hidden in
    documents and invisible characters; also when encoded, spelled apart, written in look-alikes or cut over fields.
Config
    `sensitivity: strict | balanced | permissive`: the evidence it takes, 0.5, 1.0 or 1.5, where a plain override is 1.0
    and a hint is 0.5.  `mode: enforce | shadow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from vallum.checks.patterns import PatternSet
from vallum.checks.prompt_injection.grammar import CIPHER_CUES, ENGLISH
from vallum.checks.prompt_injection.languages import LANGUAGES
from vallum.core.decision import Finding
from vallum.core.policy import Mode
from vallum.core.reading import Reading, read, read_ciphers

if TYPE_CHECKING:
    from vallum.checks.patterns import Pattern
    from vallum.core.content import Content

THRESHOLDS = {"strict": 0.5, "balanced": 1.0, "permissive": 1.5}
CONCEALING = frozenset(("base", "spaced", "leet", "rot13", "reversed"))
"""What nobody does by accident to words such as these: worth half a point beside what was found underneath."""


class PromptInjectionConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prompt_injection", kw_only=True
):
    """How much evidence refuses."""

    mode: Mode = Mode.ENFORCE
    sensitivity: Literal["strict", "balanced", "permissive"] = "balanced"


class PromptInjection:
    """The check; pure and reentrant.  Compiling its patterns takes about a second."""

    type: ClassVar[str] = "prompt_injection"

    def __init__(self, config: PromptInjectionConfig) -> None:
        """Compile the patterns."""
        self.config = config
        self._threshold = THRESHOLDS[config.sensitivity]
        self._patterns = PatternSet((*ENGLISH, *LANGUAGES, *CIPHER_CUES))

    def inspect(self, content: Content) -> Finding | None:
        """Weigh every reading of the text; the first that reaches the threshold is the finding."""
        weighed = self._weigh(content.readings)
        if weighed is None:
            return None
        how, score, hits = weighed
        where = content.locate(lambda value: self._weigh(read(value)) is not None)
        names = ",".join(pattern.name for pattern in hits)
        return Finding(rule=self.type, where=where, detail=f"{names} in {how}, score {score:g}", score=score)

    def _weigh(self, readings: tuple[Reading, ...]) -> tuple[str, float, list[Pattern]] | None:
        open_score = 0.0
        for how, text in readings:
            hits = self._patterns.scan(text)
            if not hits:
                continue
            score = _score(hits)
            if how == "sent":
                open_score = score
            elif score > open_score and not CONCEALING.isdisjoint(how.split("+")):
                score += 0.5
            if score >= self._threshold:
                return how, score, hits
            if any(pattern in CIPHER_CUES for pattern in hits):
                found = self._weigh(read_ciphers(text))
                if found is not None:
                    return found
        return None


def _score(hits: list[Pattern]) -> float:
    """Add up the heaviest hit of each family."""
    heaviest: dict[str, float] = {}
    for pattern in hits:
        family = pattern.name.partition(".")[0]
        heaviest[family] = max(heaviest.get(family, 0.0), pattern.weight)
    return sum(heaviest.values())
