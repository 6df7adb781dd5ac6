"""What a process notes that the others have to know: sums of accounts, and between them single rows and names.

Bounded: of rows and samples a replica hands in what has room in one piece, the first since the last; of sums all.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from vallum.core.extraction import Account
from vallum.extraction.facts import WIDTH, Named
from vallum.extraction.keeping import NOTES_AT_ONCE, pack_notes, unpack_notes

if TYPE_CHECKING:
    from vallum.extraction.crowd import Crowd
    from vallum.extraction.facts import Floats
    from vallum.extraction.sketch import Sketch

ROWS_MAX = 96  # in one piece
SAMPLES_MAX = 8
NAMED_MAX = 64
LINE_MAX_BYTES = 4096  # of one sample: 1,024 numbers


class Row(NamedTuple):
    """The features of one query."""

    group: str  # whose rows they are put to: those of established accounts, or the others'
    account: str
    at: float
    numbers: bytes  # (WIDTH,) <f2


class Sample(NamedTuple):
    """An input, before there are features."""

    kind: str
    account: str
    line: bytes  # <f4
    answer: float | None


class Piece(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is handed in at once."""

    at: float  # Unix seconds
    scale: int
    sums: bytes
    rows: list[Row]
    samples: list[Sample]
    named: list[tuple[float, Named]]


class Notes:
    """What this process has noted, and the others do not know."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.at = 0.0  # time of the last query
        self._rows: list[Row] = []
        self._samples: list[Sample] = []
        self._named: list[tuple[float, Named]] = []

    def add_row(self, group: str, account: str, at: float, row: Floats) -> None:
        """Note the features of a query."""
        if len(self._rows) < ROWS_MAX:
            self._rows.append(Row(group, account, at, row.astype("<f2").tobytes()))

    def add_sample(self, kind: str, account: str, line: Floats, answer: float | None) -> None:
        """Note an input."""
        if len(self._samples) < SAMPLES_MAX and line.size * 4 <= LINE_MAX_BYTES:
            self._samples.append(Sample(kind, account, line.astype("<f4").tobytes(), answer))

    def add_named(self, at: float, named: Named) -> None:
        """Note whom a query has given away."""
        if len(self._named) < NAMED_MAX:
            self._named.append((at, named))

    def take(self, crowd: Crowd) -> list[bytes]:
        """Return the next piece; none: that was all."""
        sums = pack_notes(crowd.take(NOTES_AT_ONCE))
        rows, samples, named = self._rows, self._samples, self._named
        if not (sums or rows or samples or named):
            return []
        self._rows, self._samples, self._named = [], [], []
        pieces = [Piece(self.at, crowd.scale, sums[0] if sums else b"", rows, samples, named)]
        pieces += [Piece(self.at, crowd.scale, more, [], [], []) for more in sums[1:]]
        return [msgspec.msgpack.encode(piece) for piece in pieces]


class Read(NamedTuple):
    """A piece, read."""

    at: float
    scale: int
    sums: list[tuple[Account, Sketch]]
    rows: list[tuple[str, str, float, Floats]]
    samples: list[tuple[str, str, Floats, float | None]]
    named: list[tuple[float, Named]]


def read_piece(data: bytes) -> Read:
    """Read what `take` returned; raise ValueError, at once, for anything else."""
    piece = msgspec.msgpack.decode(data, type=Piece)
    rows = [(row.group, row.account, row.at, _numbers(row.numbers, "<f2", WIDTH)) for row in piece.rows]
    samples = [(one.kind, one.account, _numbers(one.line, "<f4"), one.answer) for one in piece.samples]
    sums = list(unpack_notes(piece.sums)) if piece.sums else []
    if not isfinite(piece.at):
        raise ValueError("a piece with a time that cannot be")
    return Read(piece.at, piece.scale, sums, rows, samples, piece.named)


def _numbers(data: bytes, kind: str, length: int | None = None) -> Any:
    numbers = np.frombuffer(data, kind).astype(np.float32)
    if length not in {None, len(numbers)} or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("a row with numbers that cannot be")
    return numbers
