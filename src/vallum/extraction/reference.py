"""What calibration fixed of the inputs: where they lie, how far apart, and the secret map from them to features.

An input is standardised, column by column; projected at random to 32 numbers where there are more; and mapped to
cosines and sines of random frequencies (random Fourier features), whose inner products are a Gaussian kernel of the
inputs.  Half of the frequencies look as far as the median distance between two inputs of the reference, half of them
half as far.

Rule 1: who does not know the secret does not know the map, and cannot ask what leaves a sketch where it was.
Rule 2: every row has the length 1, whatever the input: no query weighs more than another.
Rule 3: the reference is robust: a tenth of its inputs on either side says nothing about where the middle lies.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from vallum.extraction.chance import draw_normals, draw_signs
from vallum.extraction.facts import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vallum.extraction.facts import Floats

    Numbers = NDArray[np.float64]

PROJECTED = 32  # numbers that are left of a longer input
NUMBERS_MAX = 1024  # of one input; a longer one is sampled
FARTHEST = np.array(8.0, np.float32)  # deviations from the middle, beyond which an input is as far as any
NEAREST = -FARTHEST  # arrays, as numpy takes longer to make one of a number than to compare with it
TRIMMED = 0.1  # of each column's values, on either side, that say nothing
UNTRIMMED = 1.51  # deviation of a normal column, over that of its middle eight tenths
SELDOM, SELDOM_AT = 0.975, 2.24  # of a normal column's values that share lies within so many deviations
FLAT = 0.25  # of the columns' middle deviation: what a column that never changed is taken to change
PAIRED = 512  # inputs whose distances give the bandwidth
LARGEST = 1e20  # of a number of an input: what is larger is taken for that
SMALLEST = 1e-12  # of a deviation
AMPLITUDE = np.array((2 / FEATURES) ** 0.5, np.float32)
# Shares of answers below the edges of the histogram's bins: those that the model is least sure of are told apart best.
EDGES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)

HEAD = struct.Struct("<4sBId8s")  # mark, version, columns, bandwidth, digest of the secret
MARK, VERSION = b"VLsc", 1


@dataclass(frozen=True, eq=False)
class Scale:
    """Where inputs of one kind lie, and the map to their features."""

    middle: Floats  # (columns,)
    deviation: Floats  # (columns,)
    bandwidth: float  # median distance between two inputs, standardised and projected
    edges: Floats  # (7,) of the bins of what was answered
    secret: bytes

    @property
    def columns(self) -> int:
        """How many numbers an input has."""
        return len(self.middle)

    @cached_property
    def id(self) -> int:
        """What tells this scale from another: sketches of different ones cannot be added."""
        return int.from_bytes(blake2b(self.pack(), digest_size=4).digest(), "little")

    @cached_property
    def _standard(self) -> tuple[Numbers, Numbers]:
        return self.middle.astype(np.float64), 1 / self.deviation.astype(np.float64)

    @cached_property
    def _projection(self) -> Floats | None:
        return _project_from(self.columns, self.secret)

    @cached_property
    def _frequencies(self) -> Floats:
        return _frequencies(min(self.columns, PROJECTED), self.bandwidth, self.secret)

    def place(self, inputs: Numbers) -> Floats:
        """Map inputs (any number, columns) to features (any number, FEATURES); a gap (NaN) lies in the middle."""
        features = np.empty((len(inputs), FEATURES), np.float32)
        self.turn(self.standardise(inputs), features)
        return features

    def standardise(self, inputs: Numbers) -> Floats:
        """Return inputs (any number, columns) in deviations from the middle; a gap lies in it."""
        near = _standardise(inputs, *self._standard)
        if isnan(np.vdot(near, near)):  # a third of the time of looking at each
            near[np.isnan(near)] = 0
        return near

    def turn(self, near: Floats, features: Floats) -> None:
        """Write the features (any number, FEATURES) of standardised inputs."""
        if self._projection is not None:
            near = near.dot(self._projection)  # half the time of @, for one input
        phase = near.dot(self._frequencies)
        np.cos(phase, out=features[:, : FEATURES // 2])
        np.sin(phase, out=features[:, FEATURES // 2 :])
        features *= AMPLITUDE

    def pack(self) -> bytes:
        """Write all but the secret."""
        head = HEAD.pack(MARK, VERSION, self.columns, self.bandwidth, _digest(self.secret))
        return head + b"".join(part.astype("<f4").tobytes() for part in (self.edges, self.middle, self.deviation))


def unpack(data: bytes, secret: bytes) -> Scale:
    """Read what `pack` wrote; raise ValueError for anything else, and for another secret's."""
    try:
        mark, version, columns, bandwidth, digest = HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError("no scale: too short") from error
    if mark != MARK or version != VERSION or not 0 < columns <= NUMBERS_MAX:
        raise ValueError("no scale, or one of another version")
    if digest != _digest(secret):
        raise ValueError("a scale that was made with another secret")
    if len(data) != HEAD.size + 4 * (len(EDGES) + 2 * columns):
        raise ValueError("no scale: of a wrong length")
    numbers = np.frombuffer(data, "<f4", offset=HEAD.size).astype(np.float32)
    edges, middle, deviation = np.split(numbers, [len(EDGES), len(EDGES) + columns])
    if not (np.isfinite(numbers).all() and (deviation >= SMALLEST / 2).all() and SMALLEST < bandwidth < LARGEST):
        raise ValueError("no scale: numbers that cannot be")
    return Scale(middle, deviation, bandwidth, edges, secret)


def fit(inputs: NDArray[np.floating], answers: NDArray[np.floating], secret: bytes) -> Scale:
    """Fit a scale to inputs (any number, columns) and to numbers that stand for answers (any number).

    Raise ValueError where there are too few.  A tenth of them may be anything.
    """
    if inputs.ndim != 2 or len(inputs) < 2 or not 0 < inputs.shape[1] <= NUMBERS_MAX:
        raise ValueError("a scale needs inputs, all of one length")
    bounded = _fill_gaps(np.clip(inputs.astype(np.float64), -LARGEST, LARGEST))
    middle, deviation = _measure(bounded)
    near = _standardise(bounded, middle, 1 / deviation)
    projection = _project_from(inputs.shape[1], secret)
    if projection is not None:
        near = near @ projection
    answers = np.clip(answers[np.isfinite(answers)], -LARGEST, LARGEST)
    edges = np.quantile(answers, EDGES) if len(answers) else np.zeros(len(EDGES))
    return Scale(middle, deviation, _median_distance(near), edges.astype(np.float32), secret)


def _fill_gaps(inputs: Numbers) -> Numbers:
    """Put each column's median into its gaps."""
    for column in np.flatnonzero(np.isnan(inputs).any(axis=0)).tolist():
        gaps = np.isnan(inputs[:, column])
        inputs[gaps, column] = 0.0 if gaps.all() else np.median(inputs[~gaps, column])
    return inputs


def _measure(inputs: Numbers) -> tuple[Floats, Floats]:
    """Return each column's middle and deviation; a column without any gets a share of what the others have."""
    ordered = np.sort(inputs, axis=0)
    cut = int(len(ordered) * TRIMMED)
    kept = ordered[cut : len(ordered) - cut]
    deviation = kept.std(axis=0) * (UNTRIMMED if cut else 1)
    moving = deviation[deviation > SMALLEST]
    flat = FLAT * float(np.median(moving)) if len(moving) else 1.0
    # What most inputs have alike and a few have not is as wide as it goes, not as often as it does: up to a bound.
    middle = kept.mean(axis=0)
    rare = np.quantile(np.abs(ordered - middle), SELDOM, axis=0) / SELDOM_AT
    deviation = np.maximum(deviation, np.minimum(rare, flat))
    deviation = np.where(deviation > SMALLEST, deviation, flat)
    return middle.astype(np.float32), np.clip(deviation, SMALLEST, LARGEST).astype(np.float32)


def _standardise(inputs: Numbers, middle: NDArray[np.floating], inverse: NDArray[np.floating]) -> Floats:
    apart = inputs - middle
    apart *= inverse
    near = apart.astype(np.float32)
    np.minimum(near, FARTHEST, out=near)  # half the time of np.clip
    return np.maximum(near, NEAREST, out=near)


def _median_distance(points: Floats) -> float:
    """Return the median distance between two of some points, spread evenly over all."""
    some = points[:: max(1, len(points) // PAIRED)][:PAIRED].astype(np.float64)
    squares = (some * some).sum(axis=1)
    apart = squares[:, None] + squares[None, :] - 2 * (some @ some.T)
    distance = float(np.sqrt(np.median(np.maximum(apart[np.triu_indices(len(some), 1)], 0))))
    return distance if distance > 1e-6 else 1.0  # half of the inputs are one and the same


def _project_from(columns: int, secret: bytes) -> Floats | None:
    if columns <= PROJECTED:
        return None
    return draw_signs(secret, f"projection of {columns}", columns, PROJECTED) * np.float32(PROJECTED**-0.5)


def _frequencies(columns: int, bandwidth: float, secret: bytes) -> Floats:
    normals = draw_normals(secret, f"frequencies of {columns}", columns, FEATURES // 2)
    normals[:, FEATURES // 4 :] *= 2  # half the bandwidth
    return (normals / bandwidth).astype(np.float32)


def _digest(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=8, person=b"vallum scale").digest()
