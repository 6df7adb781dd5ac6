"""Which cohorts stand out, though nobody in them can be named: what sweeps sound, and for how long it holds.

Rule: an alarm holds once enough sweeps in a row have sounded it, and for a time after the last that did: it does not
flicker, and ends by itself.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from vallum.extraction.wave import KIND as WAVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vallum.core.extraction import Terms
    from vallum.extraction.facts import Alarm

COHORTS_MAX = 1_000


class Sounded(NamedTuple):
    """What is known of one cohort's alarm."""

    row: int = 0  # sweeps in a row
    held: float = 0.0  # the last time that there were enough of them; 0: never
    over: float = 1.0  # times the threshold

    def evidence(self, cohort: str) -> str:
        """Say what is held against the cohort."""
        if cohort.startswith(f"{WAVE}:"):
            return f"{self.over:.2g} times as many accounts as usual came together, and nothing shows what brought them"
        return f"it differs from established accounts {self.over:.2g}-fold"


class Alarms:
    """The alarms of one route, by cohort."""

    def __init__(self, known: Mapping[str, Sounded] | None = None) -> None:
        """Begin with what is known."""
        self.known = dict(known or {})

    def note(self, alarms: Iterable[Alarm], now: float, terms: Terms) -> Iterator[tuple[str, Sounded, bool]]:
        """Take in what a sweep has sounded; yield each alarm that begins (true) or ends by it."""
        sounded = {alarm.cohort: alarm for alarm in list(alarms)[:COHORTS_MAX]}
        for name, last in list(self.known.items()):
            if name in sounded:
                continue
            if now - last.held < terms.lasts_s:
                self.known[name] = last._replace(row=0)
                continue
            del self.known[name]
            if last.held:
                yield name, last, False
        for name, alarm in sounded.items():
            last = self.known.get(name, Sounded())
            over = alarm.statistic / alarm.threshold if alarm.threshold > 0 else 1.0
            enough = last.row + 1 >= terms.sweeps
            known = Sounded(last.row + 1, now if enough else last.held, over if isfinite(over) and over > 1 else 1.0)
            self.known[name] = known
            if enough and not last.held:
                yield name, known, True

    def join(self, others: Mapping[str, Sounded]) -> None:
        """Take in what another replica knows; of each alarm the later stays."""
        for name, other in others.items():
            if name not in self.known or self.known[name].held < other.held:
                self.known[name] = other

    def holding(self, cohorts: Iterable[str], now: float, lasts_s: float) -> tuple[str, Sounded] | None:
        """Return the first of these cohorts whose alarm holds."""
        found = ((name, self.known[name]) for name in cohorts if name in self.known)
        return next(((name, one) for name, one in found if one.held and now - one.held < lasts_s), None)
