"""The ground that established customers cover, and what of a cluster's mean lies beyond it.

Many new accounts that ask of a few things what everybody asks of them now and then (a launch, a tutorial, a customer
with one product) have a mean that is far from everybody's: these things may be ones that the model is less sure of, or
that few ask about.  Such a mean is one of established customers' queries in other shares.  What a copy needs is not:
it lies where nobody asks, or gets less sure answers than others get in the same place.

The rows of established customers are parted into groups of like inputs (k-means).  Of the inputs in a cluster's mean
the nearest mixture of groups is found (least squares over shares, none below 0, 1 in all, each drawn back as far as a
small group's own mean is uncertain), by the features alone.  What the mixture would be answered is then taken away
with it: what is left, along the ways towards doubt and towards what is strange, is what no shares explain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vallum.extraction.contemporaries import PLACES, PLACES_EACH
from vallum.extraction.facts import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

GROUPS = 128
GROUP_USUAL = 16  # rows of a group, where there are too few for so many
GROUP_MIN = 2 * PLACES_EACH + 1  # rows of one: more than two accounts can lay, or few planted ones would explain a raid
ROUNDS = 5  # of parting rows
STEPS = 200  # towards the nearest mixture
ROWS_MIN = 256  # fewer are no ground
RANKS, ZERO = np.arange(1.0, PLACES + 1), np.array(0.0)


class Ground(NamedTuple):
    """Groups of established customers' queries: row i of every array is group i."""

    means: Floats  # (groups, WIDTH) whitened
    places: Floats  # (groups, FEATURES) from the centre
    loose: Floats  # (groups,) variance of each place

    def beyond(self, mean: Floats, place: Floats) -> Floats:
        """Return what no shares of the groups explain of a mean, whitened, whose inputs lie at `place`."""
        found: Floats = mean - _mix(self.places, self.loose, place) @ self.means
        return found


def survey(rows: Floats, whitened: Floats, places: Floats) -> Ground | None:
    """Part rows (any number, WIDTH) into groups; None: too few.

    `whitened` and `places` are the same rows as a mean is, and as its inputs lie from the centre.
    """
    if len(rows) < ROWS_MIN:
        return None
    near = rows[:, :FEATURES]
    group = _part(near)
    sizes = np.bincount(group)
    kept = np.flatnonzero(sizes >= GROUP_MIN)  # some group always has as many as groups have on average
    belongs = (group == kept[:, None]).astype(np.float32)
    count = sizes[kept].astype(np.float32)[:, None]
    middles = belongs @ near / count
    squares = belongs @ (near * near).sum(axis=1) / count[:, 0] - (middles * middles).sum(axis=1)
    loose = (np.maximum(squares, 0) / count[:, 0]).astype(np.float32)
    return Ground(belongs @ whitened / count, belongs @ places / count, loose)


def _part(rows: Floats) -> NDArray[np.intp]:
    """Return each row's group: those of the middles that, moved `ROUNDS` times, lie nearest."""
    middles = rows[:: max(-(-len(rows) // GROUPS), GROUP_USUAL)].copy()
    group = np.zeros(len(rows), np.intp)
    for _ in range(ROUNDS):
        group = ((middles * middles).sum(axis=1) - 2 * (rows @ middles.T)).argmin(axis=1)
        belongs = (group == np.arange(len(middles))[:, None]).astype(np.float32)
        sizes = belongs.sum(axis=1)[:, None]
        middles = np.where(sizes > 0, belongs @ rows / np.maximum(sizes, 1), middles)
    return group


def _mix(places: Floats, loose: Floats, wanted: Floats) -> Floats:
    """Return the shares of places whose mixture is nearest to the wanted one: accelerated projected gradients."""
    inner = (places @ places.T + np.diag(loose)).astype(np.float64)
    pull = (places @ wanted).astype(np.float64)
    step = 1 / max(float(np.linalg.eigvalsh(inner)[-1]), 1e-12)
    shares = ahead = np.full(len(places), 1 / len(places))
    pace = 1.0
    for _ in range(STEPS):
        later = _project(ahead - step * (inner @ ahead - pull))
        faster = (1 + (1 + 4 * pace * pace) ** 0.5) / 2
        ahead = later + (pace - 1) / faster * (later - shares)
        shares, pace = later, faster
    return shares.astype(np.float32)


def _project(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest shares: none below 0, and 1 in all."""
    numbers = numbers - numbers.max()  # which changes no shares, and keeps 1 from being lost beside large numbers
    falling = np.sort(numbers)[::-1]
    over = (falling.cumsum() - 1) / RANKS[: len(numbers)]
    last = (falling > over).nonzero()[0][-1]
    found: NDArray[np.float64] = np.maximum(numbers - over[last], ZERO)
    return found
