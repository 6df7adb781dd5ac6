"""The first layer: patterns.  What they say is evidence, each family counted once; it is certain of little else.

A weight of 1.0 is a plain override, 0.5 a hint.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from vallum.checks.prompt_injection.demands import DEMANDS
from vallum.checks.prompt_injection.guises import CIPHER_CUES, GUISES
from vallum.checks.prompt_injection.languages import LANGUAGES, LATIN, OTHER
from vallum.checks.prompt_injection.words import DROP, IGNORE, SECRET, SECRET_FILE
from vallum.signatures.patterns import PIECE_BYTES, Pattern, PatternSet, cut, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.core.reading import Reading

    Known = dict[tuple[bytes, float], list[Pattern]]

ENOUGH = 4.0
"""Evidence, added up over the pieces of a text, after which no more is asked for: repeating itself costs nothing."""

FLOOD = Pattern("flood.verbs", 1.5 * ENOUGH, rf"\b{DROP}\b")
"""Words with which many patterns begin: hundreds close together say nothing and are there to cost time."""


# To look for an override is dear where half of one abounds.  So it is looked for where the verb stands that it begins with;
# in other languages, where it may also end with it, where both verb and object stand.
_HEADS = (DROP, IGNORE, "(?:ignore|disregard|forget)", "(?:ignore|disregard)")
_OVERRIDES = (
    *(pattern for pattern in DEMANDS if pattern.expression.startswith(_HEADS)),
    *(pattern for pattern in LANGUAGES if pattern.family == "override"),
)
_SURE = max(pattern.weight for pattern in _OVERRIDES)
# What asks for a secret begins like most questions: it is looked for where one is named.
_SECRETS = tuple(pattern for pattern in DEMANDS if SECRET in pattern.expression or SECRET_FILE in pattern.expression)
_OTHERS = tuple(
    pattern
    for pattern in (*DEMANDS, *GUISES, *LANGUAGES, *CIPHER_CUES)
    if pattern not in _OVERRIDES and pattern not in _SECRETS
)
_VERB = Pattern("cue.verb", 0.0, DROP)
_STEM = Pattern("cue.stem", 0.0, "|".join(language.ignore for language in (*LATIN, *OTHER)))
_OBJECT = Pattern("cue.object", 0.0, "|".join(language.orders for language in (*LATIN, *OTHER)))
_SECRET = Pattern("cue.secret", 0.0, rf"{SECRET}|secret$|{SECRET_FILE}")
_CUES = (_VERB, _STEM, _OBJECT, _SECRET)


class Evidence(NamedTuple):
    """What the patterns found: in which reading, how much it weighs, by which names; and which ciphers were hinted at."""

    how: str = ""
    weight: float = 0.0
    names: str = ""
    ciphers: frozenset[str] = frozenset()


class Gate:
    """The compiled patterns; safe to share."""

    def __init__(self) -> None:
        """Compile: four seconds of CPU, once a process."""
        self.patterns = (*_OVERRIDES, *_SECRETS, *_OTHERS)
        self._others = PatternSet((*_OTHERS, *_CUES), FLOOD)
        self._overrides = PatternSet(_OVERRIDES)
        self._secrets = PatternSet(_SECRETS)

    def weigh(self, readings: Iterable[Reading], known: Known | None = None) -> Evidence:
        """Return the heaviest evidence of all readings, or of those up to a flood; `known` is what was found before."""
        best = Evidence()
        ciphers: set[str] = set()
        known = {} if known is None else known
        for how, text in readings:
            hits = self._search(text, known)
            if not hits:
                continue
            weight = add_up(hits)
            ciphers.update(hit.name.removeprefix("cipher.") for hit in hits if hit in CIPHER_CUES)
            if weight > best.weight:
                best = Evidence(how, weight, ",".join(pattern.name for pattern in hits))
            if FLOOD in hits:
                break
        return best._replace(ciphers=frozenset(ciphers))

    def _search(self, text: str, known: Known) -> list[Pattern]:
        """Return the patterns in `text`, or as many as are ENOUGH, each once."""
        found: list[Pattern] = []
        total = 0.0
        raw = encode(text)
        # Of a family the heaviest counts: a long text, which may be a flood, is searched for no override after one.
        enough = _SURE if len(raw) > PIECE_BYTES else inf
        for piece in cut(raw):
            # Much of a text is the same in several readings, and many floods are the same all over.
            if (hits := known.get((piece, enough))) is None:
                hits = known[piece, enough] = self._search_piece(piece, enough)
            if hits:
                found += [hit for hit in hits if hit not in found]
                total += add_up(hits)
                if total >= ENOUGH:
                    break
        return found

    def _search_piece(self, piece: bytes, enough: float) -> list[Pattern]:
        hits = self._others.scan_piece(piece)
        if not hits:
            return hits
        found = [hit for hit in hits if hit not in _CUES]
        if _SECRET in hits:
            found += self._secrets.scan_piece(piece)
        is_cued = _VERB in hits or (_STEM in hits and _OBJECT in hits)
        return [*self._overrides.scan_piece(piece, enough), *found] if is_cued and FLOOD not in hits else found


def add_up(hits: Iterable[Pattern]) -> float:
    """Return the sum of the heaviest hit of each family."""
    heaviest: dict[str, float] = {}
    for hit in hits:
        heaviest[hit.family] = max(heaviest.get(hit.family, 0.0), hit.weight)
    return sum(heaviest.values())
