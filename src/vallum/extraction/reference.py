"""What calibration fixed of the inputs: where they lie, how far apart, and the secret map from them to features.

An input is standardised, column by column; projected at random to 32 numbers where there are more; and mapped to cosines
and sines of random frequencies (random Fourier features), whose inner products are a Gaussian kernel of the inputs.  Half
of the frequencies look as far as the median distance between two inputs of the reference, half of them half as far.

Rule 1: who does not know the secret does not know the map, and cannot ask what leaves a sketch where it was.
Rule 2: every row has the length 1, whatever the input: no query weighs more than another.
Rule 3: the reference is robust: a tenth of its inputs on either side says nothing about where the middle lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from struct import Struct, error as StructError
from typing import TYPE_CHECKING

import numpy as np

from vallum.extraction.chance import draw_normals, draw_signs
from vallum.extraction.facts import ANSWER_BINS, FEATURES

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats

PROJECTED = 32  # numbers that are left of a longer input
NUMBERS_MAX = 1024  # of one input; `features` samples longer ones
FARTHEST = 8.0  # deviations from the middle, beyond which an input is as far as any
TRIMMED = 0.1  # of each column's values, on either side, that say nothing
UNTRIMMED = 1.51  # deviation of a normal column, over that of its middle eight tenths
FLAT = 0.25  # of the columns' mean deviation: a column that never changed is taken to do so that much
PAIRED = 512  # inputs whose distances give the bandwidth
LARGEST = 1e20  # of a number of an input: what is larger is taken for that
SMALLEST = 1e-12  # of a deviation
AMPLITUDE = np.float32((2 / FEATURES) ** 0.5)
# Shares of answers below the edges of the histogram's bins: those that the model is least sure of are told apart best.
EDGES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)

HEAD = Struct("<4sBIf8s")  # mark, version, columns, bandwidth, digest of the secret
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
    def _inverse(self) -> Floats:
        return (1 / self.deviation).astype(np.float32)

    @cached_property
    def _projection(self) -> Floats | None:
        return _project_from(self.columns, self.secret)

    @cached_property
    def _frequencies(self) -> Floats:
        return _frequencies(min(self.columns, PROJECTED), self.bandwidth, self.secret)

    def place(self, inputs: Floats) -> Floats:
        """Map inputs (any number, columns), finite, to features (any number, FEATURES)."""
        near = _standardise(inputs, self.middle, self._inverse)
        if self._projection is not None:
            near = near @ self._projection
        phase = near @ self._frequencies
        features = np.empty((len(phase), FEATURES), np.float32)
        np.cos(phase, out=features[:, : FEATURES // 2])
        np.sin(phase, out=features[:, FEATURES // 2 :])
        features *= AMPLITUDE
        return features

    def pack(self) -> bytes:
        """Write all but the secret."""
        head = HEAD.pack(MARK, VERSION, self.columns, self.bandwidth, _digest(self.secret))
        return head + b"".join(part.astype("<f4").tobytes() for part in (self.edges, self.middle, self.deviation))


def unpack(data: bytes, secret: bytes) -> Scale:
    """Read what `pack` wrote; raise ValueError for anything else, and for another secret's."""
    try:
        mark, version, columns, bandwidth, digest = HEAD.unpack_from(data)
    except StructError as error:
        raise ValueError("no scale: too short") from error
    if mark != MARK or version != VERSION or not 0 < columns <= NUMBERS_MAX:
        raise ValueError("no scale, or one of another version")
    if digest != _digest(secret):
        raise ValueError("a scale that was made with another secret")
    if len(data) != HEAD.size + 4 * (len(EDGES) + 2 * columns):
        raise ValueError("no scale: of a wrong length")
    numbers = np.frombuffer(data, "<f4", offset=HEAD.size).astype(np.float32)
    edges, middle, deviation = np.split(numbers, [len(EDGES), len(EDGES) + columns])
    if not (np.isfinite(numbers).all() and (deviation > 0).all() and 0 < bandwidth < np.inf):
        raise ValueError("no scale: numbers that cannot be")
    return Scale(middle, deviation, bandwidth, edges, secret)


def fit(inputs: Floats, answers: Floats, secret: bytes) -> Scale:
    """Fit a scale to inputs (any number, columns) and to numbers that stand for answers (any number).

    Raise ValueError where there are none.  A tenth of them may be anything.
    """
    if inputs.ndim != 2 or len(inputs) < 2 or not 0 < inputs.shape[1] <= NUMBERS_MAX:
        raise ValueError("a scale needs inputs, all of one length")
    clipped = np.clip(np.nan_to_num(inputs.astype(np.float64)), -LARGEST, LARGEST)
    middle, deviation = _measure(clipped)
    near = _standardise(clipped, middle, (1 / deviation).astype(np.float32))
    projection = _project_from(inputs.shape[1], secret)
    if projection is not None:
        near = near @ projection
    answers = answers[np.isfinite(answers)]
    edges = np.quantile(answers, EDGES) if len(answers) else np.zeros(len(EDGES))
    return Scale(middle, deviation, _median_distance(near), edges.astype(np.float32), secret)


def neutral_answer() -> Floats:
    """Return the histogram of an answer that nobody read: what answers of the reference come to."""
    return np.diff(np.array((0.0, *EDGES, 1.0))).astype(np.float32)


def _measure(inputs: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> tuple[Floats, Floats]:
    """Return each column's middle and deviation; a column without any gets a share of what the others have."""
    ordered = np.sort(inputs, axis=0)
    cut = int(len(ordered) * TRIMMED)
    kept = ordered[cut : len(ordered) - cut]
    deviation = kept.std(axis=0) * (UNTRIMMED if cut else 1)
    # A column that is nearly always the same is as wide as its values go, not as often.
    deviation = np.maximum(deviation, (ordered[-1 - cut // 4] - ordered[cut // 4]) / 8)
    moving = deviation[deviation > SMALLEST]
    flat = FLAT * float(moving.mean()) if len(moving) else 1.0
    deviation = np.where(deviation > SMALLEST, deviation, flat)
    return kept.mean(axis=0).astype(np.float32), np.clip(deviation, SMALLEST, LARGEST).astype(np.float32)


def _standardise(inputs: Floats, middle: Floats, inverse: Floats) -> Floats:
    near = ((inputs - middle) * inverse).astype(np.float32)
    return np.clip(near, -FARTHEST, FARTHEST, out=near)


def _median_distance(points: Floats) -> float:
    """Return the median distance between two of some points, spread evenly over all."""
    some = points[:: max(1, len(points) // PAIRED)][:PAIRED]
    squares = (some * some).sum(axis=1)
    apart = squares[:, None] + squares[None, :] - 2 * (some @ some.T)
    distance = float(np.sqrt(np.median(np.maximum(apart[np.triu_indices(len(some), 1)], 0))))
    return distance if distance > SMALLEST else 1.0  # half of the inputs are one and the same


def _project_from(columns: int, secret: bytes) -> Floats | None:
    if columns <= PROJECTED:
        return None
    return draw_signs(secret, f"projection of {columns}", columns, PROJECTED) / np.float32(PROJECTED**0.5)


def _frequencies(columns: int, bandwidth: float, secret: bytes) -> Floats:
    normals = draw_normals(secret, f"frequencies of {columns}", columns, FEATURES // 2)
    normals[:, FEATURES // 4 :] *= 2  # half the bandwidth
    return normals / np.float32(bandwidth)


def _digest(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=8, person=b"vallum scale").digest()


assert len(EDGES) == ANSWER_BINS - 1
