"""Who belongs together: the mean that a group of accounts shares, and how much each account's queries speak for it.

The mean y of an account's n queries, whitened, is near 0 for honest accounts, with the variance v = b + (1 - b) / n in
each coordinate (calibration.py).  For members of a cluster it is near the cluster's own m, with the same variance:

    score = log N(y; m, v) / N(y; 0, v) = sum over coordinates of (m y - m^2 / 2) / v

which is Wald's sequential likelihood ratio when it is taken again after each query: past a threshold A, chance brings
an honest account there with a probability below exp(-A).  What m is, is found by expectation and maximisation over two
components, members and others, from the cohort's own mean, which is drawn towards 0 as far as noise would make as much
of it (the positive part of James and Stein's rule): a mean of few queries, taken as it is, lies near those alone.

Rule 1: what the model of chance promises is not believed alone: a score must also be beyond what single queries, and
whole accounts, of established customers get for the same m.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.calibration import Usual
    from vallum.extraction.facts import Floats

ROUNDS = 8
DRAWN = 1.2  # times what noise alone would make of a mean, that it is drawn towards 0 by: members are picked by it
SHARE_MIN, SHARE_MAX = 0.02, 0.9  # of a cohort that its cluster is taken for
SURE = 4.6  # log odds of 99 to 1
LIKELY = 2.2  # log odds of 9 to 1, which are enough for who came with many others
TOGETHER = 3.0  # odds from which somebody did
ALONE_MAX = 4.0  # log odds that are needed more of who came alone, where members come together
SCORE_MIN, SCORE_MAX = 2.0, 40.0  # of a threshold
TAIL = 2.0  # times what habits vary: some are odder than a normal distribution has them
EACH = 0.3  # that each query adds to what is enough for who came with many others: members soon speak for themselves
LONGER = 1.2  # that twice as many queries add to a threshold: habits are less normal than chance
CHANCE = 0.995  # share of established customers' queries and accounts that a threshold lies above
CAUGHT, POISONED = 8.0, 0.03  # where more of those taken for honest score as much, they are members themselves
MEMBERS_MIN = 5
COUNTS = 32  # queries up to which each count has its own threshold
FEW = 100  # scores that a quantile is taken of at least
COUNT_MAX = 256.0  # queries beyond which an account's mean says no more


class Evidence(NamedTuple):
    """What each account's mean says: row i is account i."""

    precision: Floats  # (accounts, WIDTH) 1 / v
    pull: Floats  # (accounts, WIDTH) y / v

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Evidence:
        """Return the evidence of some accounts."""
        return Evidence(self.precision[rows], self.pull[rows])


def weigh(usual: Usual, centre: Floats, counts: Floats, sums: Floats, drift: Floats) -> Evidence:
    """Return what accounts' sums say, against a centre; what lies along `drift` (WIDTH, some) says nothing."""
    near = (sums / np.maximum(counts, np.float32(1e-3))[:, None] - centre) @ usual.basis
    near = near - (near @ drift) @ drift.T
    weight = precision(usual, counts)
    return Evidence(weight, (near * weight).astype(np.float32, copy=False))


def precision(usual: Usual, counts: Floats) -> Floats:
    """Return one over the variance of honest accounts' means, for each number of queries."""
    spread = 1 / np.clip(counts, 1.0, COUNT_MAX)
    found = 1 / (TAIL * usual.habit + spread[:, None] * (1 - usual.habit))
    return found.astype(np.float32, copy=False)


def score(evidence: Evidence, mean: Floats) -> Floats:
    """Return how much each account speaks for a cluster's mean: log likelihood ratios."""
    scores = evidence.pull @ mean - evidence.precision @ (mean * mean / 2)
    return scores.astype(np.float32, copy=False)


class Gathered(NamedTuple):
    """A group of accounts with one mean."""

    mean: Floats  # (WIDTH,) whitened, without what may be noise
    share: float  # of the cohort, by weight
    raw: Floats  # (WIDTH,) the mean as it is
    noise: Floats  # (WIDTH,) its variance by chance


def gather(evidence: Evidence, weights: Floats, start: Floats, ways: Floats) -> Gathered:
    """Find the mean that a part of a cohort shares, beginning at `start`.

    Along `ways` (any number, WIDTH) the mean is believed as it is; what is left of it only as far as it stands out of
    the noise.
    """
    plane, _ = np.linalg.qr(ways.T)
    mean, share = start.astype(np.float32), 0.3
    raw, noise = mean, np.ones_like(mean)
    for _ in range(ROUNDS):
        odds = score(evidence, mean) + np.log(share / (1 - share))
        weight = (weights / (1 + np.exp(-np.clip(odds, -30, 30)))).astype(np.float32)
        mass = weight @ evidence.precision + 1e-9
        raw = ((weight @ evidence.pull) / mass).astype(np.float32)
        noise = (((weight * weight) @ evidence.precision) / (mass * mass)).astype(np.float32)
        along = plane @ (plane.T @ raw)
        rest = raw - along
        mean = along + rest * max(0.0, 1 - DRAWN * float(noise.sum()) / max(float(rest @ rest), 1e-12))
        share = float(np.clip(weight.sum() / max(float(weights.sum()), 1e-9), SHARE_MIN, SHARE_MAX))
    return Gathered(mean.astype(np.float32), share, raw, noise)


def thresholds(share: float, sizes: tuple[float, ...], honest: tuple[Floats, ...]) -> Floats:
    """Return the scores from which an untrusted account is a member, after 1, 2, .. `COUNTS` queries.

    `honest` is what established customers score for the same mean, in groups of queries of the given sizes.
    """
    least = SURE - float(np.log(share / (1 - share)))
    beyond = [max(least, _highest(scores)) for scores in honest]
    steps = np.interp(np.log2(np.arange(1, COUNTS + 1)), np.log2(sizes), beyond)
    longer = LONGER * np.log2(np.arange(1, COUNTS + 1))
    return np.clip(np.maximum(steps, longer), SCORE_MIN, SCORE_MAX).astype(np.float32)


def _highest(scores: Floats) -> float:
    """Return what nearly no honest score reaches, though a part of those who are taken for honest be none."""
    caught = scores > CAUGHT
    if len(scores) and caught.mean() > POISONED:
        scores = scores[~caught]
    return float(np.quantile(scores, CHANCE)) if len(scores) >= FEW else -np.inf


def needed_of(odds: Floats) -> Floats:
    """Return the score that is enough for who came with many others, by its odds (arrivals.py)."""
    with np.errstate(divide="ignore"):
        return np.where(odds > TOGETHER, LIKELY - np.log(odds), np.inf).astype(np.float32)


def more_of_alone(members: NDArray[np.bool_], alone: NDArray[np.bool_]) -> Floats:
    """Return what each cluster needs more of who came alone, by how seldom its members (clusters, accounts) did."""
    count, lone = members.sum(axis=-1), (members & alone).sum(axis=-1)
    found: Floats = np.minimum(np.log(np.maximum(count, 1) / np.maximum(lone, 1)), ALONE_MAX).astype(np.float32)
    return found


def needed(thresholds: Floats, counts: Floats, enough: Floats | float = np.inf) -> Floats:
    """Return the threshold for each account, by how many queries it asked, and by what is enough for a single one."""
    found = thresholds[..., np.clip(counts, 1, COUNTS).astype(np.intp) - 1]
    longer = LONGER * np.log2(np.maximum(counts / COUNTS, 1))
    return np.minimum(found + longer, enough + EACH * np.maximum(counts - 1, 0)).astype(np.float32)
