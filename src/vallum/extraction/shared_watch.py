"""A watch that several processes keep together, and that outlives each of them.

    take_notes, add              what was seen here, for the others; what they saw
    judgement, weigh, adopt      what whoever sweeps has come to, for the others
    capture, unpack, restore     all of it, for a newcomer or a file

What takes long (`weigh`, `unpack`, and what `capture` and `begin_sweep` return) may run in another thread; the rest is
called on one, as requests are.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from vallum.extraction import reference, rung
from vallum.extraction.crowd import Crowd
from vallum.extraction.keeping import pack_crowd, unpack_crowd
from vallum.extraction.notes import Notes, read_piece
from vallum.extraction.own_history import OwnHistory
from vallum.extraction.reservoir import Reservoir
from vallum.extraction.state import pack_state, refusing, unpack_state
from vallum.extraction.watch import Watch, open_groups

if TYPE_CHECKING:
    from collections.abc import Callable

    from vallum.core.extraction import Query
    from vallum.extraction.calibration import Usual
    from vallum.extraction.contemporaries import Contemporaries
    from vallum.extraction.facts import Floats, Named
    from vallum.extraction.reference import Scale
    from vallum.extraction.rung import State
    from vallum.extraction.sweep import Sweeper

VERSION = 2
JOINED_MAX = 256
TIMES = ("_began", "_swept", "_fitted", "_usual_since")


class Judgement(NamedTuple):
    """All that judging goes by, but for what was noted."""

    scales: dict[str, Scale]
    times: list[float | None]
    sweeper: Sweeper
    ladder: State
    joined: frozenset[tuple[float, str]]  # accounts that queries gave away, of which it knows


class Whole(NamedTuple):
    """All that is known."""

    judgement: Judgement
    crowd: Crowd
    asking: dict[str, Contemporaries]
    reservoirs: dict[str, Reservoir]
    own: OwnHistory


class SharedWatch(Watch):
    """A watch that can be shared and kept."""

    def __init__(
        self, seed: bytes = b"", *, shared: bool = True, now: Callable[[], float] | None = None, **settings: Any
    ) -> None:
        """Watch by a Watch's settings; with `shared`, note what other processes have to know.

        What others note is taken for of their time, unless `now` tells a better one: then not what is of the future.
        """
        self._now = now
        self._notes = Notes() if shared else None
        self._joined: deque[tuple[float, Named]] = deque(maxlen=JOINED_MAX)  # what queries gave away, of late
        self._told: Usual | None = None  # what is usual, as the others know it
        super().__init__(seed=seed, **settings)

    # --- what is seen

    def _open_crowd(self, scale: int) -> Crowd:
        return Crowd(scale, self._seed, shared=self._notes is not None)

    def _put(self, group: str, name: str, at: float, row: Floats) -> None:
        super()._put(group, name, at, row)
        if self._notes is not None:
            self._notes.add_row(group, name, at, row)

    def _join(self, named: Named, now: float) -> None:
        super()._join(named, now)
        self._joined.append((now, named))
        if self._notes is not None:
            self._notes.add_named(now, named)

    def _offer(self, kind: str, account: str, line: Floats, answer: float | None) -> bool:
        kept = super()._offer(kind, account, line, answer)
        if kept and self._notes is not None:
            self._notes.add_sample(kind, account, line, answer)
        return kept

    def note(self, query: Query) -> None:
        """Take an answered query into its account's sketch."""
        if self._notes is not None:
            self._notes.at = query.at
        super().note(query)

    def take_notes(self) -> list[bytes]:
        """Return the next of what was noted here, in pieces that `add` takes; none: that was all."""
        return [] if self._notes is None else self._notes.take(self._crowd)

    def add(self, notes: bytes) -> None:
        """Add what was noted elsewhere.  Raise ValueError for what is broken.

        Sums on another scale than the one that was agreed on say nothing.
        """
        piece = read_piece(notes)
        for kind, account, line, answer in piece.samples if self._features is None else ():
            super()._offer(kind, account, line, answer)
        if self._features is None or piece.scale != self._crowd.scale:
            self._began = piece.at if self._began is None else min(self._began, piece.at)
            return
        at = piece.at if self._now is None else self._now()
        for who, sketch in piece.sums:
            self._crowd.merge(who, sketch, at)
            if not self._is_trusted(who, piece.at):
                self._asked += int(sketch.recent[0])
        for group, name, at, row in piece.rows:
            super()._put(group, name, at, row)
        for at, named in piece.named:
            super()._join(named, at)
            self._joined.append((at, named))

    # --- what is judged

    def judgement(self, *, whole: bool = True) -> bytes:
        """Return all that judging goes by, but for what was noted; without the whole, what has changed."""
        whole = whole or self._told is not self._sweeper.usual
        self._told = self._sweeper.usual
        scales = {kind: scale.pack() for kind, scale in self._scales.items()}
        times = [getattr(self, name) for name in TIMES]
        joined = [(at, named.name) for at, named in self._joined]
        return pack_state([VERSION, scales, times, self._sweeper.state(whole=whole), self.ladder.pack(), joined])

    def weigh(self, judgement: bytes) -> Judgement:
        """Read a judgement.  Raise ValueError for what is none."""
        with refusing():
            version, scales, times, sweeper, ladder, joined = unpack_state(judgement)
            if version != VERSION:
                raise ValueError("a judgement of another version")
            read = {str(kind): reference.unpack(scale, self._seed) for kind, scale in scales.items()}
            began, *others = (None if time is None else float(time) for time in times)
            if len(others) != len(TIMES) - 1 or None in others:
                raise ValueError("a judgement without its times")
            known = frozenset((float(at), str(name)) for at, name in joined)
            return Judgement(read, [began, *others], self._sweeper.twin(sweeper), rung.read(ladder), known)

    def adopt(self, judgement: Judgement) -> None:
        """Judge as another does, from what was read since the last sweep."""
        scales, times, self._sweeper, ladder, joined = judgement
        self._told = self._sweeper.usual
        self.ladder.adopt(ladder)
        for at, named in self._joined:
            if (at, named.name) not in joined:  # whoever judged has not heard of it yet
                self.ladder.join(named, at)
        if scales and _ids(scales) != _ids(self._scales):
            self._go_by(scales)
        for name, time in zip(TIMES, times, strict=True):
            setattr(self, name, time)
        self._asked = 0
        self._hold(self._swept)

    # --- all of it

    def capture(self) -> Callable[[], bytes]:
        """Return what writes, in any thread, all that is known at this moment."""
        judged = self.judgement()
        reservoirs = pack_state({kind: kept.state() for kind, kept in self._reservoirs.items()})
        kept, asking = self._crowd.copy(), {group: rows.copy() for group, rows in self._asking.items()}
        own = pack_state(None if self._own is None else self._own.state())

        def write() -> bytes:
            rows = {group: each.state() for group, each in asking.items()}
            return pack_state([VERSION, judged, pack_crowd(kept), rows, reservoirs, own])

        return write

    def unpack(self, packed: bytes) -> Whole:
        """Read what was captured.  Raise ValueError for anything else."""
        with refusing():
            version, judged, kept, rows, reservoirs, own = unpack_state(packed)
            if version != VERSION:
                raise ValueError("what another version has kept")
            known = unpack_crowd(kept)
            whole = Whole(self.weigh(judged), self._open_crowd(known.scale), open_groups(), {}, OwnHistory())
            whole.crowd.fill(known)
            for group, state in rows.items():
                whole.asking[group].take_state(state)
            for kind, state in unpack_state(reservoirs).items():
                whole.reservoirs.setdefault(kind, Reservoir(self._seed)).take_state(state)
            histories = unpack_state(own)
            if histories is not None:
                whole.own.take_state(histories)
            return whole

    def restore(self, unpacked: Whole) -> None:
        """Put what was unpacked in the place of all that is known.  Raise ValueError for what cannot be."""
        judgement, crowd, asking, reservoirs, own = unpacked
        if judgement.scales and crowd.scale != next(iter(judgement.scales.values())).id:
            raise ValueError("a crowd of another scale than its watch's")
        if self._own is not None and crowd.scale != self._crowd.scale:
            raise ValueError("a crowd of texts that were read in another way")
        self.adopt(judgement)
        self._own = None if self._own is None else own
        self._crowd, self._asking, self._reservoirs = crowd, asking, reservoirs
        self._hold(self._swept)


def _ids(scales: dict[str, Scale]) -> dict[str, int]:
    return {kind: scale.id for kind, scale in scales.items()}
