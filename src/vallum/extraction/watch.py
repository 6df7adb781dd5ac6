"""The watch over one route: queries in, verdicts out, a sweep now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.core.extraction import CLEAR
from vallum.extraction.facts import Findings

if TYPE_CHECKING:
    from vallum.core.extraction import Account, Query, Verdict


class Watch:
    """All that is kept of one route's accounts."""

    def __init__(self, *, seed: bytes = b"") -> None:
        """Watch; what is random hangs on `seed`, the same on every replica and unknown to callers."""
        self._seed = seed

    def judge(self, account: Account, now: float) -> Verdict:
        """Say what holds for an account now, from memory."""
        return CLEAR

    def note(self, query: Query) -> None:
        """Take an answered query into its account's sketch."""

    def sweep_due(self, now: float) -> bool:
        """Say whether enough was asked, or enough time has passed, since the last sweep."""
        return False

    def sweep(self, now: float) -> Findings:
        """Test the cohorts, attribute members, and put the verdicts right; call off the request path."""
        return Findings(now)
