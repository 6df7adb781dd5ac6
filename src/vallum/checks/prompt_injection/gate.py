"""The first layer: patterns.  What they say is evidence, each family counted once; it is certain of little else.

A weight of 1.0 is a plain override, 0.5 a hint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vallum.checks.prompt_injection.demands import DEMANDS
from vallum.checks.prompt_injection.guises import CIPHER_CUES, GUISES
from vallum.checks.prompt_injection.languages import LANGUAGES
from vallum.checks.prompt_injection.words import DROP
from vallum.signatures.patterns import Pattern, PatternSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.reading import Reading

ENOUGH = 4.0
"""Evidence, added up over the pieces of a text, after which no more is asked for: repeating itself costs nothing."""

FLOOD = Pattern("flood.verbs", 1.5 * ENOUGH, rf"\b{DROP}\b")
"""Words with which many patterns begin: hundreds close together say nothing and are there to cost time."""


class Evidence(NamedTuple):
    """What the patterns found: in which reading, how much it weighs, by which names; and whether a cipher was hinted at."""

    how: str = ""
    weight: float = 0.0
    names: str = ""
    is_ciphered: bool = False


class Gate:
    """The compiled patterns; safe to share."""

    def __init__(self) -> None:
        """Compile: four seconds of CPU, once a process."""
        self._patterns = PatternSet((*DEMANDS, *GUISES, *LANGUAGES, *CIPHER_CUES), FLOOD)

    def weigh(self, readings: Iterable[Reading]) -> Evidence:
        """Return the heaviest evidence of all readings."""
        best = Evidence()
        is_ciphered = False
        for how, text in readings:
            hits = self._search(text)
            if not hits:
                continue
            weight = add_up(hits)
            is_ciphered = is_ciphered or any(hit in CIPHER_CUES for hit in hits)
            if weight > best.weight:
                best = Evidence(how, weight, ",".join(pattern.name for pattern in hits))
        return best._replace(is_ciphered=is_ciphered)

    def _search(self, text: str) -> list[Pattern]:
        """Return the patterns in `text`, or as many as are ENOUGH, each once."""
        found: list[Pattern] = []
        total = 0.0
        for hits in self._patterns.scan_pieces(text):
            if hits:
                found += [hit for hit in hits if hit not in found]
                total += add_up(hits)
                if total >= ENOUGH:
                    break
        return found


def add_up(hits: Iterable[Pattern]) -> float:
    """Return the sum of the heaviest hit of each family."""
    heaviest: dict[str, float] = {}
    for hit in hits:
        heaviest[hit.family] = max(heaviest.get(hit.family, 0.0), hit.weight)
    return sum(heaviest.values())
