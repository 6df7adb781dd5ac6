"""What is usual among honest accounts of a route: fitted to the operator's own traffic, and what is far from it.

An honest account has a habit of its own, so its mean over n queries is not as near to everybody's as n queries drawn
from everybody's would be.  With rows whitened (so that one query's covariance over all accounts is I), and turned
until habits are uncorrelated, the mean y of an account with n queries has in coordinate k the variance

    b_k + (1 - b_k) / n        b_k: the share of habit in the spread of single queries (intraclass correlation)

This is the one-way random-effects model (Searle, Casella and McCulloch, Variance Components, 1992).  A direction in
which honest accounts never differ (b near 0) tells after a few queries; one in which they do (a class, a style), never.
The covariance of single queries is shrunk towards a multiple of I (Ledoit and Wolf, 2004); b comes from accounts with
several queries, by moments.

Rule 1: who is far from the rest is left out before the fit is believed, so that attackers in the weeks of calibration
(a fifth of the accounts) widen it by little.
Rule 2: a threshold is what benign sweeps reached, one after another, and a margin; but theory bounds it on both sides:
poisoned weeks cannot lift it out of reach, and quiet ones cannot bring it down into the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vallum.extraction.facts import ANSWER_BINS, FEATURES, WIDTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

HABIT_MIN, HABIT_MAX = 0.002, 0.95  # what no estimate of b may leave
COUNT_MAX = 60  # queries beyond which an account's mean says no more about its habit
ROUNDS = 4  # of leaving out
LEFT_OUT_MAX = 0.25  # of the accounts
FAR = 4.0  # robust deviations from the median, beyond which an account is left out
ROWS_MIN, ACCOUNTS_MIN = 300, 50  # fewer calibrate nothing

HEAD = Struct("<4sBHd")  # mark, version, width, time of the fit
MARK, VERSION = b"VLus", 1


class Usual(NamedTuple):
    """What honest accounts are like."""

    at: float  # of the fit, Unix seconds
    centre: Floats  # (WIDTH,) mean row
    basis: Floats  # (WIDTH, WIDTH) (row - centre) @ basis: whitened, habits uncorrelated
    habit: Floats  # (WIDTH,) b
    seeking: Floats  # (2, WIDTH) the ways towards doubt, and towards what is strange, whitened, of length 1

    def pack(self) -> bytes:
        """Write it, for other replicas and for after a restart."""
        parts = (self.centre, self.habit, self.basis)
        return HEAD.pack(MARK, VERSION, WIDTH, self.at) + b"".join(part.astype("<f4").tobytes() for part in parts)


def unpack(data: bytes) -> Usual:
    """Read what `pack` wrote; raise ValueError for anything else."""
    try:
        mark, version, width, at = HEAD.unpack_from(data)
    except struct_error as error:
        raise ValueError("no calibration: too short") from error
    if (mark, version, width) != (MARK, VERSION, WIDTH) or len(data) != HEAD.size + 4 * WIDTH * (WIDTH + 2):
        raise ValueError("no calibration, or one of another version")
    numbers = np.frombuffer(data, "<f4", offset=HEAD.size).astype(np.float32)
    habit = numbers[WIDTH : 2 * WIDTH]
    if not np.isfinite(numbers).all() or not ((habit > 0) & (habit < 1)).all():
        raise ValueError("no calibration: numbers that cannot be")
    return complete(at, numbers[:WIDTH], numbers[2 * WIDTH :].reshape(WIDTH, WIDTH), habit)


def complete(at: float, centre: Floats, basis: Floats, habit: Floats) -> Usual:
    """Return what is usual, with the ways that only who copies goes.

    Doubt is a low bin of the answer's histogram.  The inner product of a row with the centre is a kernel estimate of
    how much is asked near it, so what is strange lies where that is least.
    """
    ways = np.zeros((2, WIDTH))
    ways[0, FEATURES:] = np.linspace(1, -1, ANSWER_BINS)
    ways[1, :FEATURES] = -centre[:FEATURES]
    white = np.linalg.solve(basis.astype(np.float64), ways.T).T
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-9)
    return Usual(at, centre, basis, habit, white.astype(np.float32))


def fit(at: float, rows: Floats, owners: NDArray[np.int64], counts: Floats, sums: Floats) -> Usual | None:
    """Fit what is usual to rows of single queries (few of any one account), and to accounts' sums.

    `owners` has for each row the number of its account, -1 for one that is not among them.  None: too little to tell.
    """
    use = np.isfinite(counts) & (counts > 0) & np.isfinite(sums).all(axis=1)
    if use.sum() < ACCOUNTS_MIN:
        return None
    fine = np.isfinite(rows).all(axis=1)
    rows, owners = rows[fine], owners[fine]
    means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    kept = use.copy()
    usual: Usual | None = None
    for _ in range(ROUNDS):
        mine = (owners < 0) | kept[owners]
        if mine.sum() < ROWS_MIN or len(np.unique(owners[mine])) < ACCOUNTS_MIN // 2:
            break
        usual = _fit_once(at, rows[mine], counts[kept], means[kept])
        away = distances(usual, counts, means)
        middle = float(np.median(away[kept]))
        spread = 1.4826 * float(np.median(np.abs(away[kept] - middle))) + 1e-9
        most = float(np.quantile(away[use], 1 - LEFT_OUT_MAX))
        left = use & (away <= max(middle + FAR * spread, most))
        if (left == kept).all():
            break
        kept = left
    return usual


def distances(usual: Usual, counts: Floats, means: Floats) -> Floats:
    """Return how far each account is, per coordinate, in what is usual for as many queries; 1 is."""
    near = (means - usual.centre) @ usual.basis
    spread = usual.habit + (1 - usual.habit) / np.maximum(counts, 1)[:, None]
    far: Floats = np.log((near * near / spread).mean(axis=1) + 1e-9).astype(np.float32)
    return far


def _fit_once(at: float, rows: Floats, counts: Floats, means: Floats) -> Usual:
    centre = rows.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(shrink(rows - centre))
    white = vectors / np.sqrt(values)
    several = counts >= 4
    near, n = (means[several] - centre) @ white, np.minimum(counts[several], COUNT_MAX).astype(np.float64)
    if len(n) < 2:
        near, n = np.zeros((2, WIDTH)), np.full(2, 4.0)
    weight = (n - 1) / (n - 1).sum()
    # E[y y'] = B + (I - B) / n, so the weighted mean of y y' is B + (I - B) * inverse.
    inverse = float((weight / n).sum())
    between = ((near * weight[:, None]).T @ near - inverse * np.eye(WIDTH)) / (1 - inverse)
    habit, turn = np.linalg.eigh(between)
    return complete(
        at,
        centre.astype(np.float32),
        (white @ turn).astype(np.float32),
        np.clip(habit, HABIT_MIN, HABIT_MAX).astype(np.float32),
    )


def shrink(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of deviations from a mean, shrunk towards a multiple of I as far as noise demands."""
    count, width = deviations.shape
    raw = deviations.T @ deviations / count
    scale = max(float(np.trace(raw)) / width, 1e-9)
    apart = float(((raw - scale * np.eye(width)) ** 2).sum())
    noise = max(float(((deviations**2).sum(axis=1) ** 2).sum() / count - (raw**2).sum()) / count, 0.0)
    share = min(max(noise / max(apart, 1e-12), 1e-3), 1.0)
    shrunk: NDArray[np.float64] = (1 - share) * raw + share * scale * np.eye(width)
    return shrunk


# What a threshold may not leave, however quiet or loud the weeks of calibration were.
BOUNDS = {"seeking": (8.0, 40.0), "apart": (0.5 * WIDTH, 2.0 * WIDTH), "habit": (16.0, 60.0)}
MARGIN = 1.2  # of a threshold over what benign sweeps reached


@dataclass(slots=True)
class Limits:
    """Thresholds of the tests: what quiet sweeps have reached, one after another, and a margin."""

    calibrated: bool = False
    reached: dict[str, float] = field(default_factory=dict)

    def judge(self, test: str, where: str, statistic: float) -> float:
        """Return a test's threshold for a kind of cohort; before calibration is over, learn from the statistic."""
        least, most = BOUNDS[test]
        name = f"{test} {where}"
        limit = min(max(MARGIN * self.reached.get(name, 0.0), least), most)
        if not self.calibrated:
            self.reached[name] = max(self.reached.get(name, 0.0), min(statistic, most))
        return limit
