"""Which accounts are tested together, and how far each such cohort is from established accounts of the same hours.

A cohort's mean, with each account's weight w and precision 1/v in a coordinate, is m = sum(w y / v) / sum(w / v); by
chance it has the variance sum(w^2 / v) / sum(w / v)^2, plus b (a whole cohort may share one honest habit: one
customer with many keys, a tutorial that everybody tries), plus that of the centre it is compared with. Two
statistics:

    seeking     how far m goes towards doubt, and towards what is strange: the sum of the squares of both, in
                deviations, where they are positive.  Who copies a model asks where it hesitates, or where nobody else
                asks; what is only new, or only asked more often, goes neither way.
    apart       the sum over all coordinates of m^2 over its variance: Hotelling's T^2 with a random effect for the
                cohort.  It opens a search; without a cluster it is an alarm only where nothing honest reaches.

Three views: the last hours, in which a query weighs exp(-t / 2 h), and exp(-t / 8 h); and all that is remembered of
each account, for a slow attack.

*Without a habit.*  Who copies a model with natural inputs asks about everything alike: many accounts, and each as near
to the middle as only everybody together is.  For one account the log likelihood ratio of "no habit" (variance
(1 - b) / n) against "some habit" (v) is summed over the coordinates in which habits are strong; the statistic is that
of a mixture, in which a share of the cohort has none.  This raises an alarm.  It names nobody: an honest account may be
without a habit too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vallum.extraction.attribution import Evidence, Gathered
    from vallum.extraction.calibration import Usual
    from vallum.extraction.facts import Floats, Snapshot

RECENT_S = 2 * 3600.0, 8 * 3600.0
HABITUAL = 0.05  # b of a coordinate in which habits are strong
WITHOUT = 0.3  # share of a cohort that has no habit, where some have none
ACCOUNTS_MIN = 3  # of a cohort
SEEKING = 2.0  # deviations of one account's habit that a cluster goes, to be one
COHORTS_MAX = 16  # of one kind that a sweep tests: those that asked most


class Cohort(NamedTuple):
    """Accounts that are tested together."""

    kind: str
    code: int
    members: NDArray[np.intp]


class Test(NamedTuple):
    """How far a cohort is from established accounts."""

    apart: float  # in all directions
    seeking: float  # towards doubt and towards what is strange, and no other way
    mean: Floats  # (WIDTH,)
    accounts: float  # that would tell as much, if all had the same weight


def list_cohorts(snapshot: Snapshot, active: NDArray[np.bool_], kinds: tuple[str, ...]) -> Iterator[Cohort]:
    """Yield each kind's cohorts of `active` accounts, those with most accounts."""
    for kind in kinds:
        codes = snapshot.cohorts.get(kind)
        if codes is None:
            continue
        rows = np.flatnonzero(active & (codes >= 0))
        order = rows[np.argsort(codes[rows], kind="stable")]
        values, firsts, sizes = np.unique(codes[order], return_index=True, return_counts=True)
        for index in np.argsort(-sizes, kind="stable")[:COHORTS_MAX]:
            if sizes[index] >= ACCOUNTS_MIN:
                yield Cohort(kind, int(values[index]), order[firsts[index] : firsts[index] + sizes[index]])


def compare(usual: Usual, evidence: Evidence, weights: Floats, centre_noise: Floats) -> Test:
    """Test a cohort's mean; row i of `evidence` has weight i."""
    mass = weights @ evidence.precision + 1e-9
    mean = (weights @ evidence.pull) / mass
    noise = ((weights * weights) @ evidence.precision) / (mass * mass)
    spread = noise + usual.habit + centre_noise
    ways = (usual.seeking @ mean) / np.sqrt((usual.seeking**2) @ spread)
    seeking = float((np.maximum(ways, 0) ** 2).sum())
    return Test(float((mean * mean / spread).sum()), seeking, mean.astype(np.float32), float(weights.sum()))


def without_habit(usual: Usual, evidence: Evidence, counts: Floats, weights: Floats) -> float:
    """Return by how much a cohort is likelier to be one in which some have no habit, than one in which all have."""
    strong = usual.habit >= HABITUAL
    if not strong.any():
        return 0.0
    near = evidence.pull[:, strong] / evidence.precision[:, strong]
    habit = usual.habit[strong]
    none = np.clip(counts, 1.0, None)[:, None] / (1 - habit)
    some = 1 / (habit + 1 / none)
    ratios = 0.5 * (np.log(none / some) - near * near * (none - some)).sum(axis=1)
    mixed = np.logaddexp(np.log(1 - WITHOUT), np.log(WITHOUT) + np.clip(ratios, -50, 20))
    return float((weights * mixed).sum())


def is_seeking(usual: Usual, group: Gathered, least: float = SEEKING) -> bool:
    """Say whether a group goes towards doubt or what is strange, in deviations of one honest account's habit."""
    spread = (usual.seeking**2) @ (usual.habit + group.noise)
    return bool(((usual.seeking @ group.raw) / np.sqrt(spread)).max() >= least)
