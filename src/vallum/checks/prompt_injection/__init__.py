"""Refuse text that tries to redirect the model: overrides, role tokens, prompt extraction, personas, exfiltration.

What it stops
    "Ignore all previous instructions" and its kin in some thirty languages, chat-template tokens in user text, requests
    for the system prompt or for a secret the model holds, well-known jailbreak personas, instructions hidden in
    documents and in invisible characters; also when encoded, spelled apart, written in look-alikes or cut over fields.
Config
    `sensitivity: strict | balanced | permissive`: the evidence it takes to refuse, 0.5, 1.0 or 1.5, where a plain
    override is worth 1.0 and a hint 0.5.  `mode: enforce | shadow`.
Cost
    One pass of Hyperscan for each reading: about 8 us for 1 kB on one line, 11 us on several, which have two readings.
    The patterns take two seconds to compile and 2 MB.
Misses
    More than half of what it was measured with: 44 % of attacks from sources it never saw are found at `balanced`, by
    kind 73 % of injected documents, 46 % of direct overrides, 31 % of prompt and secret extraction and 6 % of
    jailbreaks.  What it does not know: politeness (a game, a story, a hypothetical that names none of the usual words),
    shuffled letters, Morse and home-made codes, images, an attack spread over several requests, and a harmful request
    that redirects nobody.  Text that quotes an attack, such as a report about injections, is refused.
Example
    checks:
      - {type: prompt_injection, sensitivity: balanced}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from vallum.checks.patterns import MOST_PLACES, PatternSet
from vallum.checks.prompt_injection.demands import DEMANDS
from vallum.checks.prompt_injection.guises import CIPHER_CUES, GUISES
from vallum.checks.prompt_injection.languages import LANGUAGES
from vallum.core.decision import Finding
from vallum.core.policy import Mode
from vallum.core.reading import Reading, read, read_ciphers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.checks.patterns import Pattern
    from vallum.core.content import Content

Sensitivity = Literal["strict", "balanced", "permissive"]
THRESHOLDS: dict[Sensitivity, float] = {"strict": 0.5, "balanced": 1.0, "permissive": 1.5}

CONCEALING = frozenset(("base", "spaced", "leet", "rot13", "reversed"))
"""Decoders of what nobody does by accident to words such as these: worth half a point beside what they uncover."""


class PromptInjectionConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prompt_injection", kw_only=True
):
    """How much evidence refuses."""

    mode: Annotated[Mode, Meta(description="shadow: record what would be refused")] = Mode.ENFORCE
    sensitivity: Annotated[Sensitivity, Meta(description="how much evidence refuses")] = "balanced"


class Evidence(NamedTuple):
    """What one reading holds."""

    how: str
    score: float
    hits: list[Pattern]


class PromptInjection:
    """The check; pure and reentrant."""

    type: ClassVar[str] = "prompt_injection"

    def __init__(self, config: PromptInjectionConfig) -> None:
        """Compile the patterns: two seconds, once."""
        self.config = config
        self._threshold = THRESHOLDS[config.sensitivity]
        self._patterns = PatternSet((*DEMANDS, *GUISES, *LANGUAGES, *CIPHER_CUES))

    def inspect(self, content: Content) -> Finding | None:
        """Weigh every reading of the text; the first that reaches the threshold is the finding."""
        evidence = self._weigh(content.readings)
        if evidence is None:
            return None
        where = ""
        if len(content.values) + len(content.keys) <= MOST_PLACES:
            where = content.locate(lambda value: self._weigh(read(value)) is not None)
        names = ",".join(pattern.name for pattern in evidence.hits)
        return Finding(
            rule=self.type,
            where=where,
            detail=f"{names} in {evidence.how}, score {evidence.score:g}",
            score=evidence.score,
        )

    def _weigh(self, readings: Iterable[Reading]) -> Evidence | None:
        ciphers: list[Reading] = []
        evidence = self._first(readings, ciphers)
        # Once only: rot13 of rot13 is where we came from.
        return evidence or self._first(ciphers, [])

    def _first(self, readings: Iterable[Reading], ciphers: list[Reading]) -> Evidence | None:
        """Return the first evidence that suffices; put the ciphered readings that cues ask for into `ciphers`."""
        open_score = 0.0
        for how, text in readings:
            hits = self._patterns.scan(text)
            if not hits:
                continue
            score = add_up(hits)
            if how == "sent":
                open_score = score
            elif score > open_score and not CONCEALING.isdisjoint(how.split("+")):
                score += 0.5
            if score >= self._threshold:
                return Evidence(how, score, hits)
            if any(hit in CIPHER_CUES for hit in hits):
                ciphers += read_ciphers(text)
        return None


def add_up(hits: Iterable[Pattern]) -> float:
    """Return the sum of the heaviest hit of each family."""
    heaviest: dict[str, float] = {}
    for hit in hits:
        heaviest[hit.family] = max(heaviest.get(hit.family, 0.0), hit.weight)
    return sum(heaviest.values())
