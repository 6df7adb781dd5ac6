"""When untrusted accounts came, and what that says of each: a raid's accounts come together.

Where accounts come at the rate a, and honest ones usually at the rate r, a - r of them belong to something else, and
the odds that one of them does are (a - r) to r before it has asked anything at all: a mixture of two Poisson
processes. In an hour in which a hundred times as many come as usual, an account that neither speaks for a cluster nor
against it is most likely one of its members. This says nothing without a cluster, nor of hours in which no member is
known to have come: many customers may come at once. And where a cluster's members came so, of one that came alone more
is needed (attribution.more_of_alone): of its streak too, and as much to stay named as to be named. Of the streak of one
that came with them less is.

Rule 1: who was there before the first sweep came at no known time, and nothing is said of it.
Rule 2: bounded by the accounts that are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vallum.core.extraction import DAY_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats, Snapshot

NEAR_S = 3 * 3600.0  # before and after an account's arrival, in which others are counted
USUAL_S = 14 * DAY_S  # in which the usual rate is taken
LATELY_S = 2 * DAY_S  # that do not count towards it
USUAL_MIN = 1.0  # account in the time of both: fewer are not told from none
NAMED_MIN = 3  # of those who came with an account, or it came with nobody who says anything of it
ODDS_MAX = 50.0
UNKNOWN = -np.inf


class Arrivals:
    """When each untrusted account was first seen."""

    def __init__(self) -> None:
        """Begin without any."""
        self._met: dict[str, float] = {}
        self.began = np.inf  # the first sweep

    def meet(self, snapshot: Snapshot) -> NDArray[np.float64]:
        """Take down who is new in a snapshot, and forget who is gone; return when each account came."""
        at = snapshot.at
        first = UNKNOWN if self.began == np.inf else at
        self.began = min(self.began, at)
        met = self._met
        self._met = {name: met.get(name, first) for name in snapshot.names}
        return np.array([self._met[name] for name in snapshot.names], np.float64)

    def knows(self, name: str) -> bool:
        """Say whether an account was in the last snapshot."""
        return name in self._met

    def came(self, name: str, now: float) -> float:
        """Return when an account came, as far as that is known: now, where it was in no snapshot."""
        return self._met.get(name, now)

    def odds(self, came: NDArray[np.float64], named: NDArray[np.bool_], at: NDArray[np.float64], now: float) -> Floats:
        """Return the odds that who came at some times, among those who `came`, came with others; 0: it did not.

        Among the others must be some that are `named`.
        """
        times = np.sort(came[np.isfinite(came)])
        since = max(self.began, now - USUAL_S)
        usual = np.searchsorted(times, now - LATELY_S) - np.searchsorted(times, since)
        near, known = _near(times, at), _near(np.sort(came[named & np.isfinite(came)]), at)
        rate = max(float(usual) * 2 * NEAR_S / max(now - LATELY_S - since, NEAR_S), USUAL_MIN)
        found = np.where(np.isfinite(at) & (known >= NAMED_MIN), np.clip(near / rate - 1, 0, ODDS_MAX), 0)
        return found.astype(np.float32)

    def state(self) -> tuple[float, dict[str, float]]:
        """Return what is remembered."""
        return self.began, self._met

    def take_state(self, began: float, met: Mapping[str, float]) -> None:
        """Remember what another did."""
        self.began, self._met = float(began), {str(name): float(came) for name, came in met.items()}


def _near(times: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many of some times, in their order, are near each of others."""
    return np.searchsorted(times, at + NEAR_S) - np.searchsorted(times, at - NEAR_S)
