"""The defences that are compared: none, the usual stack, and the watch, of which only its public face is known here."""

from __future__ import annotations

from typing import Any, Protocol

from vallum.core.extraction import CLEAR, Account, Grade, Query, Terms, Verdict
from vallum.extraction.watch import Watch

USUAL_A_DAY = 100


class Defence(Protocol):
    """What the gateway asks about an account, and tells of its answers."""

    def judge(self, account: Account, now: float) -> Verdict:
        """Say what holds for an account now."""

    def note(self, query: Query) -> None:
        """Take an answered query."""

    def sweep_due(self, now: float) -> bool:
        """Say whether it is time for a sweep."""

    def sweep(self, now: float) -> Any:
        """Look at all accounts together."""


class Undefended:
    """No defence."""

    def judge(self, account: Account, now: float) -> Verdict:
        """Let everybody pass."""
        return CLEAR

    def note(self, query: Query) -> None:
        """Forget it."""

    def sweep_due(self, now: float) -> bool:
        """Never sweep."""
        return False

    def sweep(self, now: float) -> Any:
        """Find nothing."""
        return None


class Usual(Undefended):
    """A hundred answers a day for each account; the bands are the route's form of answer."""

    def judge(self, account: Account, now: float) -> Verdict:
        """Give each account a budget of its own."""
        return Verdict(cluster=account.name, answers_a_day=USUAL_A_DAY)


TERMS = {
    "graduated": Terms(),
    "proof": Terms(grades=frozenset(Grade), probation=True),  # every grade, and work for cohorts that stand out
}


def watch(seed: int, terms: str) -> Any:
    """Return a watch over a route; the one place that knows how one is made."""
    return Watch(seed=seed.to_bytes(8, "big"), terms=TERMS[terms])
