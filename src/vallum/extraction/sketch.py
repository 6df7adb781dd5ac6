"""What is kept of one account: sums over two windows of seven days, under 1 KiB, which add up.

A sum is a line of `LINE` numbers: how many inputs were answered, their rows' squared lengths, and their rows.  Windows
begin at the same moment for everybody (Thursday, 00:00 UTC), so that sketches of the same account from several replicas
add up window by window.

Rule 1: adding up is commutative, and associative but for rounding: no order of messages makes a difference.
Rule 2: a clock that goes back moves no window; what is asked then counts for the latest one.
Rule 3: what is no sketch, or one of another scale, is refused as a whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from vallum.core.extraction import DAY_S
from vallum.extraction.facts import WIDTH

if TYPE_CHECKING:
    from vallum.extraction.facts import Floats

WINDOW_S = 7 * DAY_S
LINE = WIDTH + 2
COUNT, SQUARES, ROWS = 0, 1, slice(2, None)
COUNT_MAX = 1e9  # of inputs in one window: no account asks as many
LATEST = 1e11  # Unix seconds: of no clock
ROW_MAX = 4.0  # length of a row, and then some

HEAD = struct.Struct("<2sBBIiddd")  # mark, version, how many lines follow, scale, window, first, last, created
MARK, VERSION = b"VL", 1
PACKED_MAX_BYTES = HEAD.size + 4 * LINE + 8 + 2 * WIDTH


def window_of(at: float) -> int:
    """Return the number of the window that holds `at`."""
    return int(at // WINDOW_S)


def fade(at: float, window: int) -> float:
    """Say how much of the earlier window still counts at `at`: all as `window` begins, nothing as it ends."""
    return min(1.0, max(0.0, window + 1 - at / WINDOW_S))


def empty_line() -> Floats:
    """Return a sum of nothing."""
    return np.zeros(LINE, np.float32)


@dataclass(slots=True, eq=False)
class Sketch:
    """An account's sums."""

    scale: int  # which the rows come from: the `id` of a Scale
    window: int  # whose sum is `recent`: the number of weeks since 1970
    recent: Floats = field(default_factory=empty_line)
    earlier: Floats = field(default_factory=empty_line)  # of the window before
    first: float = inf  # Unix seconds of its first query
    last: float = -inf
    created: float = inf  # as far as anybody knows

    def add(self, other: Sketch) -> None:
        """Add what another counted of the same account; raise ValueError for one of another scale."""
        if other.scale != self.scale:
            raise ValueError("sketches of two scales do not add up")
        if other.window > self.window:
            self.rotate(other.window)
        if other.window == self.window:
            self.recent += other.recent
            self.earlier += other.earlier
        elif other.window == self.window - 1:
            self.earlier += other.recent
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.created = min(self.created, other.created)

    def rotate(self, window: int) -> None:
        """Go on to a later window."""
        if window <= self.window:
            return
        self.earlier = self.recent if window == self.window + 1 else empty_line()
        self.recent = empty_line()
        self.window = window

    def pack(self) -> bytes:
        """Write it in at most `PACKED_MAX_BYTES`; of the earlier window, to three digits."""
        lines = 2 if self.earlier[COUNT] else 1
        head = HEAD.pack(MARK, VERSION, lines, self.scale, self.window, self.first, self.last, self.created)
        parts = [head, self.recent.astype("<f4").tobytes()]
        if lines == 2:
            parts.append(self.earlier[:2].astype("<f4").tobytes())
            parts.append((self.earlier[ROWS] / self.earlier[COUNT]).astype("<f2").tobytes())
        return b"".join(parts)


def unpack(data: bytes) -> Sketch:
    """Read what `pack` wrote; raise ValueError for anything else."""
    try:
        mark, version, lines, scale, window, first, last, created = HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError("no sketch: too short") from error
    if mark != MARK or version != VERSION or lines not in {1, 2}:
        raise ValueError("no sketch, or one of another version")
    if len(data) != (PACKED_MAX_BYTES if lines == 2 else HEAD.size + 4 * LINE):
        raise ValueError("no sketch: of a wrong length")
    if not (0 <= first <= inf and -inf <= last <= LATEST and 0 <= created <= inf):  # nor where one is NaN
        raise ValueError("no sketch: times that cannot be")
    recent = np.frombuffer(data, "<f4", LINE, HEAD.size).astype(np.float32)
    _check(recent)
    earlier = empty_line()
    if lines == 2:
        at = HEAD.size + 4 * LINE
        earlier[:2] = np.frombuffer(data, "<f4", 2, at)
        _check(earlier)
        with np.errstate(all="ignore"):
            earlier[ROWS] = np.frombuffer(data, "<f2", WIDTH, at + 8).astype(np.float32) * earlier[COUNT]
    _check(earlier)
    return Sketch(scale, window, recent, earlier, first, last, created)


def _check(line: Floats) -> None:
    """Refuse sums that no rows add up to."""
    if not np.isfinite(line).all():
        raise ValueError("no sketch: numbers that cannot be")
    count, squares = float(line[COUNT]), float(line[SQUARES])
    length = float(np.linalg.norm(line[ROWS].astype(np.float64)))
    if not 0 <= count <= COUNT_MAX or not 0 <= squares <= count * ROW_MAX**2 + 1:
        raise ValueError("no sketch: counts that cannot be")
    if length > count * ROW_MAX + 1:
        raise ValueError("no sketch: sums that cannot be")
