"""A cluster: accounts that ask what only they ask, as it is remembered; and how new accounts are scored for it at once.

Between sweeps an untrusted account is scored after each of its queries, in microseconds: for each count of queries up
to `COUNTS` the whitening, the cluster's mean and the precision come to one row of weights and one number.  Beside that,
each account's last queries are followed by Page's cumulative sum, in which a query counts as one of a mixture, half of
it honest: who hides among ordinary queries, or begins after a long honest while, is seen by that.

Rule 1: one odd query names nobody, however odd; `STREAK_EACH` bounds what it adds.
Rule 2: bounded: `STREAKS_MAX` accounts are followed for a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from math import exp, log, log1p
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vallum.extraction import attribution
from vallum.extraction.attribution import COUNTS
from vallum.extraction.facts import FEATURES, WIDTH, Named
from vallum.extraction.state import check_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vallum.extraction.calibration import Usual
    from vallum.extraction.facts import Floats

STREAK = 9.0  # from which an account's streak of queries names it: a streak has many chances to begin
STREAK_EACH = 4.0  # that one query may add to it
STREAKS_MAX = 10_000
LOG_2 = log(2)
GAIN_MAX = 50.0
REMEMBERED = ("id", "shift", "since", "found", "row", "thresholds", "stands", "streaks")


@dataclass(slots=True)
class Cluster:
    """Accounts that ask what only they ask."""

    id: str
    shift: Floats  # (WIDTH,) of its mean from the centre, in features
    since: float
    found: float  # last time a search led to it, or an active account belonged to it
    row: int  # sweeps in a row
    thresholds: Floats  # (COUNTS,) by how many queries an account asked
    stands: bool = False
    mean: Floats = field(default_factory=lambda: np.zeros(WIDTH, np.float32))  # the shift, whitened
    members: int = 0  # of the largest group that it was found in, in this sweep: which says most of its mean
    streaks: dict[str, float] = field(default_factory=dict)  # what untrusted accounts' last queries speak for it

    def take_mean(self, mean: Floats, shift: Floats, thresholds: Floats, members: int) -> None:
        """Go by what a group of so many members has told."""
        self.mean, self.shift, self.thresholds, self.members = mean, shift, thresholds, members

    def follow(self, name: str, gain: float) -> float:
        """Add what one more query speaks for it to an account's streak; return the streak."""
        gain = min(gain, GAIN_MAX) if gain > -GAIN_MAX else -GAIN_MAX  # a NaN too
        streak = max(0.0, self.streaks.get(name, 0.0) + min(log1p(exp(gain)) - LOG_2, STREAK_EACH))
        if streak > 0 and (name in self.streaks or len(self.streaks) < STREAKS_MAX):
            self.streaks[name] = streak
        else:
            self.streaks.pop(name, None)
        return streak

    def long_streaks(self, more: Mapping[str, float]) -> set[str]:
        """Return whose last queries alone name them, where of some `more` is needed, or less."""
        streaks = list(self.streaks.items())  # another thread may follow
        return {name for name, streak in streaks if streak >= STREAK + more.get(name, 0.0)}

    def state(self) -> list[Any]:
        """Return all that is remembered."""
        return [getattr(self, name) for name in REMEMBERED]


def read_cluster(usual: Usual | None, *state: Any) -> Cluster:
    """Return what `state` gave.  Raise ValueError for what is none."""
    name, shift, since, found, row, thresholds, stands, streaks = state
    shift = check_array(shift, np.float32, WIDTH)
    return Cluster(
        str(name),
        shift,
        float(since),
        float(found),
        int(row),
        check_array(thresholds, np.float32, COUNTS),
        stands=bool(stands),
        mean=np.zeros(WIDTH, np.float32) if usual is None else (shift @ usual.basis).astype(np.float32),
        streaks={str(account): float(streak) for account, streak in streaks.items()},
    )


class Glance(NamedTuple):
    """What turns a young account's sums into scores at once: row i of every array is cluster i."""

    clusters: tuple[Cluster, ...]
    weights: Floats  # (clusters, COUNTS, WIDTH)
    offsets: Floats  # (clusters, COUNTS)
    thresholds: Floats  # (clusters, COUNTS)
    midway: Floats  # (clusters, ANSWER_BINS) between what the clusters and what honest accounts are answered

    def say_nothing(self, count: float, sums: Floats) -> Floats:
        """Return the bins of an answer that speaks neither for nor against the cluster that an account is nearest."""
        found: Floats = self.midway[int(self._scores(count, sums).argmax())]
        return found

    def score(
        self, name: str, rows: Floats, count: float, sums: Floats, most: float, *, more: float = 0.0
    ) -> Named | None:
        """Score an untrusted account after a query of its; None: of none.

        Of it no more than `most` is needed, or `more` than of others.
        """
        if not count > 0:
            return None
        scores = self._scores(count, sums)
        gains = self.weights[:, 0] @ rows.mean(axis=0) - self.offsets[:, 0]
        streaks = [cluster.follow(name, gain) for cluster, gain in zip(self.clusters, gains.tolist(), strict=True)]
        needed = attribution.needed(self.thresholds, np.array(count, np.float32), most) + more
        less = max(0.0, attribution.LIKELY - most)
        beyond = np.maximum(scores - needed, np.array(streaks) - STREAK - more + less)
        best = int(beyond.argmax())
        if not beyond[best] >= 0:
            return None
        return Named(name, self.clusters[best].id, float(beyond[best] + needed[best]), established=False)

    def _scores(self, count: float, sums: Floats) -> Floats:
        """Return how much all that an account asked speaks for each cluster."""
        place = min(max(round(count), 1), COUNTS) - 1
        found: Floats = self.weights[:, place] @ (sums / count) - self.offsets[:, place]
        return found


def prepare(standing: Sequence[Cluster], usual: Usual, centre: Floats, drift: Floats) -> Glance:
    """Make ready what scores accounts for these clusters, against a centre; along `drift` nothing is told."""
    precision = attribution.precision(usual, np.arange(1, COUNTS + 1, dtype=np.float32))
    means = np.stack([cluster.mean for cluster in standing])
    pulls = means[:, None, :] * precision
    pulls -= (pulls @ drift) @ drift.T
    weights = pulls @ usual.basis.T
    offsets = weights @ centre + (means[:, None, :] ** 2 * precision).sum(axis=2) / 2
    thresholds = np.stack([cluster.thresholds for cluster in standing])
    midway = np.stack([(centre + cluster.shift / 2)[FEATURES:] for cluster in standing]).astype(np.float32)
    return Glance(tuple(standing), weights.astype(np.float32), offsets.astype(np.float32), thresholds, midway)


def cosine(one: Floats, other: Floats) -> float:
    """Say how alike two means are."""
    return float(one @ other) / (float(np.linalg.norm(one) * np.linalg.norm(other)) + 1e-9)


def id_of(first: str, taken: set[str]) -> str:
    """Return an id of a cluster, the same in every replica, by its first member: who may be the first of two."""
    data = first.encode("utf-8", "surrogatepass")
    while True:
        data = blake2b(data, digest_size=5).digest()
        id = f"c{data.hex()}"
        if id not in taken:
            return id
