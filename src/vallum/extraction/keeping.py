"""A crowd in bytes: all of it, for a file or a newcomer; and what was noted lately, for the other replicas.

A whole crowd takes at most 1 KiB an account.  Rule: what is broken is refused as a whole, before anything is changed.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vallum.core.extraction import Account
from vallum.extraction.crowd import POOLS, Kept
from vallum.extraction.facts import WIDTH
from vallum.extraction.sketch import COUNT, COUNT_MAX, LINE, ROW_MAX, ROWS, SQUARES, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vallum.extraction.facts import Floats
    from vallum.extraction.sketch import Sketch

NOTES_AT_ONCE = 48  # accounts in one piece: below 64 KiB, with names of the usual length
FACTS_MAX = 2_048  # characters of an account's facts together
TIMES = 5
VERSION = 1


class Packed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A crowd as it is written."""

    version: int
    scale: int
    window: int
    began: float
    accounts: list[Account]
    pools: list[str]
    recent: bytes  # (accounts, LINE) <f4
    times: bytes  # (TIMES, accounts) <f8
    before: bytes  # <i4: those with something in the earlier window
    earlier: bytes  # of those: (.., 2) <f4, count and squares
    means: bytes  # of those: (.., WIDTH) <f2, rows over count


def pack_crowd(kept: Kept) -> bytes:
    """Write a crowd: the earlier window, which fades, to three digits."""
    before = np.flatnonzero(kept.earlier[:, COUNT])
    earlier = kept.earlier[before]
    means = earlier[:, ROWS] / earlier[:, COUNT, None]
    packed = Packed(
        VERSION,
        kept.scale,
        kept.window,
        kept.began,
        kept.accounts,
        kept.pools,
        kept.recent.astype("<f4").tobytes(),
        kept.times.astype("<f8").tobytes(),
        before.astype("<i4").tobytes(),
        earlier[:, :2].astype("<f4").tobytes(),
        means.astype("<f2").tobytes(),
    )
    return msgspec.msgpack.encode(packed)


def unpack_crowd(data: bytes) -> Kept:
    """Read what `pack_crowd` wrote; raise ValueError for anything else."""
    packed = msgspec.msgpack.decode(data, type=Packed)
    if packed.version != VERSION:
        raise ValueError("a crowd of another version")
    size = len(packed.accounts)
    if len(packed.pools) > POOLS or len({account.name for account in packed.accounts}) != size:
        raise ValueError("a crowd with names that cannot be")
    recent = _read(packed.recent, "<f4", (size, LINE))
    times = _read(packed.times, "<f8", (TIMES, size))
    before = np.frombuffer(packed.before, "<i4")
    earlier = np.zeros((size, LINE), np.float32)
    if len(before):
        if before.min() < 0 or before.max() >= size or len(np.unique(before)) != len(before):
            raise ValueError("a crowd with sums of nobody")
        sums = _read(packed.earlier, "<f4", (len(before), 2))
        means = _read(packed.means, "<f2", (len(before), WIDTH))
        earlier[before] = np.hstack([sums, means.astype(np.float32) * sums[:, :1]])
    if np.isnan(times).any() or np.isnan(packed.began) or not (times[0] >= 0).all():
        raise ValueError("a crowd with times that cannot be")
    _check(recent)
    _check(earlier)
    return Kept(
        packed.scale,
        packed.window,
        packed.began,
        packed.accounts,
        packed.pools,
        recent.astype(np.float32),
        earlier,
        times.astype(np.float64),
    )


def _read(data: bytes, kind: str, shape: tuple[int, int]) -> Any:
    if len(data) != np.dtype(kind).itemsize * shape[0] * shape[1]:
        raise ValueError("a crowd of a wrong length")
    return np.frombuffer(data, kind).reshape(shape)


def _check(lines: Floats) -> None:
    """Refuse sums that no rows add up to."""
    counts, squares = lines[:, COUNT], lines[:, SQUARES]
    if not np.isfinite(lines).all() or (counts < 0).any() or (counts > COUNT_MAX).any():
        raise ValueError("a crowd with numbers that cannot be")
    if (squares < 0).any() or (squares > counts * ROW_MAX**2 + 1).any():
        raise ValueError("a crowd with sums that cannot be")
    lengths = np.linalg.norm(lines[:, ROWS].astype(np.float64), axis=1)
    if (lengths > counts * ROW_MAX + 1).any():
        raise ValueError("a crowd with sums that cannot be")


def pack_notes(notes: Iterable[tuple[Account, Sketch]]) -> list[bytes]:
    """Write what was noted, in pieces; an account whose facts are absurdly long is left out."""
    pairs = [(account, sketch.pack()) for account, sketch in notes if _length(account) <= FACTS_MAX]
    starts = range(0, len(pairs), NOTES_AT_ONCE)
    return [msgspec.msgpack.encode(pairs[start : start + NOTES_AT_ONCE]) for start in starts]


def unpack_notes(data: bytes) -> Iterator[tuple[Account, Sketch]]:
    """Read what `pack_notes` wrote; raise ValueError, at once, for anything else."""
    pairs = msgspec.msgpack.decode(data, type=list[tuple[Account, bytes]])
    if not all(account.created is None or isfinite(account.created) for account, _ in pairs):
        raise ValueError("an account with a time that cannot be")
    return iter([(account, unpack(sketch)) for account, sketch in pairs])


def _length(account: Account) -> int:
    return sum(len(fact) for fact in account if isinstance(fact, str))
