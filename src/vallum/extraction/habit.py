"""What is usual of accounts' habits: how far they lie apart, how far one strays from its own, and how seldom it does.

An account's last queries have the mean r, those before, n of them, the mean p.  Both are taken from the crowd's middle,
in coordinates in which chance gives r of a usual number of queries the variance 1, of fewer more, v, and habits differ
between accounts by the variance b.  Whoever keeps its habit is expected at a p, where a = b / (b + c / n); whoever has
none of its own, at the middle:

    strangeness = sum of (r - a p)^2 / (v + b (1 - a)) - 1/2 sum of r^2 / (v + b)

The first sum grows with the distance from one's own history.  The second, which takes half of the likelihood of any
other account's asking so, tells a stranger from an owner who once asks about something that nobody else asks about.

How rare a strangeness is, is counted: over accounts, of each the largest of a week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vallum.extraction.calibration import shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

TYPICAL = 0.5  # weight of how usual the last queries are for anybody
LEAST = 1e-6
TAIL = 0.1  # share of the largest values that tell how the rarest ones fall off


class Pair(NamedTuple):
    """An account's last queries, and those before."""

    recent: Floats  # (WIDTH,) their mean
    past: Floats  # (WIDTH,)
    before: float  # how many those are
    chance: float = 1.0  # variance that chance gives `recent`: 1 with as many queries as usual, of half of them 2


class Habit(NamedTuple):
    """The coordinates of habits."""

    middle: Floats  # (WIDTH,)
    basis: Floats  # (WIDTH, WIDTH)
    spread: Floats  # (WIDTH,) b
    noise: float  # c

    def strangeness(self, pair: Pair) -> float:
        """Say how far an account's last queries are from its own."""
        recent, past = (np.stack((pair.recent, pair.past)) - self.middle) @ self.basis
        kept = self.spread / (self.spread + self.noise / max(pair.before, 1.0))
        strayed = recent - kept * past
        own = (strayed * strayed / (pair.chance + self.spread * (1 - kept))).sum()
        return float(own - TYPICAL * (recent * recent / (pair.chance + self.spread)).sum())


def fit(pairs: list[Pair]) -> Habit:
    """Fit to pairs of many accounts, some of each at most."""
    recent = np.array([pair.recent for pair in pairs], np.float64)
    past = np.array([pair.past for pair in pairs], np.float64)
    counts = np.array([pair.before for pair in pairs])
    middle = np.median(past, axis=0)
    recent -= middle
    past -= middle
    scale, turn = np.linalg.eigh(shrink(recent - past))
    whiten = turn / np.sqrt(np.maximum(scale, LEAST))
    both = whiten.T @ (recent.T @ past) @ whiten / len(pairs)
    spread, turn = np.linalg.eigh((both + both.T) / 2)
    spread = np.maximum(spread, LEAST)
    basis = whiten @ turn
    noise = float(np.maximum((past @ basis).var(axis=0) - spread, 0).mean() * np.median(counts))
    return Habit(middle.astype(np.float32), basis.astype(np.float32), spread.astype(np.float32), noise)


class Rarity:
    """How seldom an honest account is as strange within a week."""

    def __init__(self, largest: NDArray[np.float64]) -> None:
        """Count the largest values of accounts' weeks; beyond those seen, they are taken to fall off exponentially."""
        self._largest = np.sort(largest)
        self._from = float(np.quantile(largest, 1 - TAIL))
        beyond = largest[largest > self._from] - self._from
        self._scale = max(float(beyond.mean()) if len(beyond) else 0.0, LEAST)

    def of(self, strangeness: float) -> float:
        """Return the share of accounts' weeks that hold anything as strange."""
        if strangeness > self._from:
            return TAIL * float(np.exp(-(strangeness - self._from) / self._scale))
        return 1 - float(self._largest.searchsorted(strangeness)) / len(self._largest)
